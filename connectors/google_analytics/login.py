"""Getting an access token: a service account's signed assertion, or a user's refresh token. Google rotates neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jwt
import orjson

from config.errors import AuthorizationLost, Misconfigured, RecordRejected
from config.secrets import Secret
from connectors.api import Account, Surroundings
from connectors.oauth import Exchange, RenewedToken

AUDIENCE = "https://oauth2.googleapis.com/token"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE = 3600
"""Seconds that an assertion asks for; Google gives no more."""
AUTH = "https://www.googleapis.com/auth/"
READ, EDIT, INGEST = f"{AUTH}analytics.readonly", f"{AUTH}analytics.edit", f"{AUTH}datamanager"
SCOPE = "scope"
"""The name under which the scopes of the last grant are kept."""

Post = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""Post a form to the token endpoint; its JSON."""


def needed_scopes(account: Account) -> tuple[str, ...]:
    """What this connection uses; erasing a person needs to edit."""
    return (READ, EDIT, INGEST) if account.settings.get("send_by") == "data_manager" else (READ, EDIT)


def credentials(account: Account, surroundings: Surroundings, post: Post) -> RenewedToken:
    """The credentials of the connection's `auth:`. Raises Misconfigured when something in it is missing."""
    if account.auth.get("mode") == "service_account" or account.auth.get("service_account_key"):
        key = service_account(account)
        # the pair kept belongs to this key: another key makes it void
        named = replace(
            account, auth={**account.auth, "refresh_token": f"{key['client_email']} {key['private_key_id']}"}
        )
        return RenewedToken(named, surroundings, _keeping(surroundings, _signed(account, surroundings, key, post)))
    missing = [f"auth.{name}" for name in ("client_id", "client_secret", "refresh_token") if not account.auth.get(name)]
    if missing:
        raise Misconfigured(f"Google Analytics needs {', '.join(missing)}.", connection=account.connection)
    return RenewedToken(account, surroundings, _keeping(surroundings, _granted(account, post)))


def service_account(account: Account) -> dict[str, str]:
    """The key file's members. Raises Misconfigured when it is no key file."""
    try:
        told = orjson.loads(secret(account, "service_account_key") or "null")
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict) or not all(isinstance(told.get(n), str) for n in ("client_email", "private_key")):
        raise Misconfigured(
            "auth.service_account_key is no key file of a service account.",
            fix="Give the downloaded JSON file: service_account_key: file:PATH.",
            connection=account.connection,
        )
    return {"private_key_id": "", **told}


def secret(account: Account, name: str) -> str:
    value = account.auth.get(name, "")
    return value.reveal() if isinstance(value, Secret) else str(value or "")


def _signed(account: Account, surroundings: Surroundings, key: Mapping[str, str], post: Post) -> Exchange:
    """The exchange of an assertion; the form of a refresh that it is given has nothing for it."""

    def exchange(_: Mapping[str, str]) -> Mapping[str, Any]:
        now = int(surroundings.clock.now().timestamp())
        claims = {
            "iss": key["client_email"],
            "scope": " ".join(needed_scopes(account)),
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + LIFE,
        }
        try:
            headers = {"kid": key["private_key_id"]} if key["private_key_id"] else None
            assertion = jwt.encode(claims, key["private_key"], algorithm="RS256", headers=headers)
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            fix = "Download a new key of the service account."
            raise Misconfigured("The private key cannot be read.", fix=fix, connection=account.connection) from error
        fix = "Look whether the key was deleted, or the service account disabled; check this machine's clock."
        return _asked(account, post, {"grant_type": JWT_GRANT, "assertion": assertion}, fix)

    return exchange


def _granted(account: Account, post: Post) -> Exchange:
    fix = (
        f"Connect the account again, by `closedloop connect {account.connection}`: a refresh token ends when the user "
        "withdraws it or changes the password, after six months without use, and after seven days while the consent "
        "screen is in testing."
    )
    return lambda form: _asked(account, post, form, fix)


def _asked(account: Account, post: Post, form: Mapping[str, str], fix: str) -> Mapping[str, Any]:
    """The token call. Nothing rotates, so that a lost answer may be asked for again."""
    try:
        return post(form)
    except RecordRejected as error:
        what = f"Google refuses the log-in ({error.code})."
        raise AuthorizationLost(what, fix=fix, connection=account.connection, code=error.code) from error


def _keeping(surroundings: Surroundings, exchange: Exchange) -> Exchange:
    """The same exchange; the scopes that were granted are remembered."""

    def kept(form: Mapping[str, str]) -> Mapping[str, Any]:
        told = exchange(form)
        if told.get("scope"):
            surroundings.tokens.put(SCOPE, str(told["scope"]))
        return told

    return kept
