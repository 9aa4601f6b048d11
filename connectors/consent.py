"""A person's consent, got in a browser: OAuth's authorization code (RFC 6749) with a proof of possession (RFC 7636).

Three steps, each a function: `ask` makes the page's address, `code_of` takes the code out of the answer that came back
(its `state` first), `exchange` trades it for tokens. Nothing is stored here. No error names the code or a secret; of
what the platform says only its error word is repeated.

The words of the protocol are authlib's; its HTTP clients are not used: they want another library than ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import orjson

from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, RetryLater
from config.secrets import Secret
from connectors.api import Account
from connectors.bounded import CODINGS, Excess, bounded
from connectors.manifest import AuthMode, Grant

RANDOM = 64
"""Characters of a state and of a verifier; RFC 7636 wants 43 to 128 of the latter."""
TIMEOUT = 30.0
"""Seconds to wait for the exchange."""
DENIALS = ("access_denied", "user_cancelled_authorize", "user_cancelled_login")
"""What a platform calls it that the person did not agree: the first is the standard's, the others are LinkedIn's."""


@dataclass(frozen=True, slots=True)
class App:
    """An app at the platform, as a connection names it, and the addresses its consent goes through."""

    connection: str
    title: str
    grant: Grant
    scopes: tuple[str, ...]
    client_id: str
    client_secret: Secret | None
    authorize: str
    token: str
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that waits for its answer: the page's address, and what only the asker knows of it."""

    address: str
    redirect: str
    state: str
    verifier: str


def app_of(account: Account, title: str, mode: AuthMode) -> App:
    """The connection's app. Raises Misconfigured where its mode knows no consent, or a member is missing."""
    grant, connection = mode.grant, account.connection
    if grant is None:
        raise Misconfigured(
            f"{title} is not connected in a browser by this mode of auth.",
            fix="Give its secrets in the project file, or choose another mode: see the connector's README.",
            connection=connection,
        )
    secret_too = ["client_secret"] if "client_secret" in mode.secrets else []
    wanted = dict.fromkeys(["client_id", *secret_too, *(name for name in mode.settings if name not in mode.optional)])
    if missing := [f"auth.{name}" for name in wanted if not account.auth.get(name)]:
        raise Misconfigured(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            fix=f"Make an OAuth app at {title} and give its id and secret in the project file.",
            connection=connection,
        )
    secret = account.auth.get("client_secret")
    return App(
        connection,
        title,
        grant,
        tuple(dict.fromkeys((*grant.scopes, *mode.scopes, *_also(grant, account)))),
        plain(account.auth["client_id"]),
        Secret(plain(secret)) if secret else None,
        _address(grant.authorize, grant, account),
        _address(grant.token, grant, account),
        account.ca_file,
    )


def _also(grant: Grant, account: Account) -> Iterator[str]:
    """The scopes that only some settings need."""
    for setting, words in grant.also.items():
        chosen = {word.strip().lower() for word in str(account.settings.get(setting, "")).split(",")}
        for word, scopes in words.items():
            if word.lower() in chosen:
                yield from scopes


def plain(value: Secret | str) -> str:
    """The text of a member of `auth:`."""
    return value.reveal() if isinstance(value, Secret) else value


def _address(usual: str, grant: Grant, account: Account) -> str:
    """The usual address, at the sandbox's host or the one that the connection names."""
    other = account.base_url or _named(grant, account)
    if not other:
        return usual
    host = urlsplit(other if "://" in other else f"https://{other}")
    if host.scheme != "https" and host.hostname not in ("127.0.0.1", "localhost"):
        raise Misconfigured("A log-in needs an https address.", connection=account.connection)
    return urlunsplit(urlsplit(usual)._replace(scheme=host.scheme, netloc=host.netloc))


def _named(grant: Grant, account: Account) -> str:
    """The host that the connection names; "" where it names none, or the usual one."""
    value = account.auth.get(grant.host) or account.settings.get(grant.host) or ""
    word = plain(value) if isinstance(value, Secret) else str(value)
    if not word or not grant.hosts:
        return word
    if word not in grant.hosts:
        raise Misconfigured(
            f"{grant.host} is {word!r}.", fix=f"It is one of {', '.join(grant.hosts)}.", connection=account.connection
        )
    return grant.hosts[word]


def ask(app: App, redirect: str) -> Asked:
    """A new question, whose answer goes to `redirect`."""
    from authlib.common.security import generate_token
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    state, verifier = generate_token(RANDOM), generate_token(RANDOM) if app.grant.pkce else ""
    more = dict(app.grant.extra)
    if verifier:
        challenge: str = create_s256_code_challenge(verifier)  # type: ignore[no-untyped-call]
        more |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    scope = app.grant.separator.join(app.scopes)
    address = prepare_grant_uri(app.authorize, app.client_id, "code", redirect, scope, state, **more)
    return Asked(str(address), redirect, state, verifier)


def code_of(app: App, asked: Asked, answer: str) -> Secret:
    """The code in the address that the browser was sent to. Raises AuthorizationLost for any other answer."""
    told = dict(parse_qsl(urlsplit(answer.strip()).query))
    if told.get("state") != asked.state:
        raise AuthorizationLost(
            f"The answer is not one to this question to {app.title}: its state differs.",
            fix="Somebody else's answer, or one to an earlier question, is not taken. Run the command again.",
            connection=app.connection,
        )
    if "error" in told:
        denied = told["error"] in DENIALS
        raise AuthorizationLost(
            f"The consent was denied at {app.title}." if denied else f"{app.title} gives no consent{_word(told)}.",
            fix="Run the command again and agree." if denied else "Check the app's redirect address and scopes there.",
            connection=app.connection,
        )
    if not told.get("code"):
        raise AuthorizationLost(
            f"{app.title}'s answer has no code.", fix="Run the command again.", connection=app.connection
        )
    _settle(app, told.get(app.grant.server, "") if app.grant.server else "")
    return Secret(told["code"])


def _settle(app: App, server: str) -> None:
    """Nothing, where the account lives at the host that the code is sent to. Else no code goes anywhere: a client and
    its tokens belong to one data centre, and a host that an answer makes up must not get the app's secret."""
    here = urlsplit(app.token)
    if not server or server.rstrip("/") == f"{here.scheme}://{here.netloc}":
        return
    word = next((word for word, host in app.grant.hosts.items() if host == server.rstrip("/")), "")
    if not word:
        raise AuthorizationLost(
            f"The answer names a host that is none of {app.title}'s.",
            fix="Nothing was sent there. Run the command again.",
            connection=app.connection,
        )
    raise Misconfigured(
        f"The account lives in another of {app.title}'s data centres: {word}.",
        fix=f"Write `{app.grant.host}: {word}` into its settings, with an app of that data centre, and run it again.",
        connection=app.connection,
    )


def _word(told: Mapping[str, Any]) -> str:
    """` (invalid_scope)`: the platform's word for what is wrong, where it is a word."""
    word = str(told.get("error") or told.get("status") or "")
    return f" ({word})" if re.fullmatch(r"\w{1,40}", word) else ""


def exchange(app: App, asked: Asked, code: Secret) -> Mapping[str, Any]:
    """The tokens for a code, which works once and for minutes. What the platform answers has at least `grant.gives`.

    Raises AuthorizationLost where it is refused, RetryLater where no answer came: then the consent is asked for anew.
    """
    import httpx

    from connectors.trust import trust

    form = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": asked.redirect}
    form |= {"client_id": app.client_id} | ({"code_verifier": asked.verifier} if asked.verifier else {})
    basic = None
    if app.client_secret is not None and app.grant.client == "basic":
        basic = httpx.BasicAuth(app.client_id, app.client_secret.reveal())
    elif app.client_secret is not None:
        form["client_secret"] = app.client_secret.reveal()
    try:
        with httpx.Client(auth=basic, timeout=TIMEOUT, verify=trust(app.ca_file), follow_redirects=False) as client:
            wanted = {"accept": "application/json", "accept-encoding": CODINGS}
            with client.stream("POST", app.token, data=form, headers=wanted) as answer:
                body = b"".join(bounded(answer.iter_bytes(), answer.headers))
    except (httpx.HTTPError, Excess) as error:
        raise _again(app, f"cannot be reached ({type(error).__name__})") from None
    if answer.status_code >= 500 or answer.status_code == 429:
        raise _again(app, f"cannot answer now ({answer.status_code})")
    return _granted(app, answer.status_code, body)


def _again(app: App, why: str) -> ClosedloopError:
    return RetryLater(f"{app.title} {why}.", fix="Run the command again.", connection=app.connection)


def _granted(app: App, status: int, body: bytes) -> Mapping[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise _again(app, "answered no JSON")
    if not 200 <= status < 300 or "error" in told:
        raise AuthorizationLost(
            f"{app.title} refuses the code{_word(told)}.",
            fix="Check the app's id, secret and redirect address, and run the command again: a code works once.",
            connection=app.connection,
        )
    if not told.get(app.grant.gives):
        raise AuthorizationLost(
            f"{app.title} gave no {app.grant.gives.replace('_', ' ')}.",
            fix="The app must be allowed to work while nobody is there; see the connector's README.",
            connection=app.connection,
        )
    return told
