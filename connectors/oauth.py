"""OAuth access tokens that are renewed when they run out, alone among all processes that share the account.

Where a platform rotates refresh tokens, the new one is stored before the new access token is used: a process that dies
in between leaves a pair that works. Two processes never renew at once; the second takes what the first was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import AuthorizationLost, Misconfigured
from config.secrets import Secret
from connectors.api import Account, Surroundings, Tokens
from connectors.manifest import AuthMode

KEPT = "oauth"
"""The name under which the pair is kept: one row, so that both tokens change at once."""
CONNECTED = "connected"
"""The name under which what a consent gave is kept (`closedloop connect`)."""
SKEW = 60
"""Seconds before its end at which a token is renewed."""

LONGEST = 366 * 86_400
"""Seconds beyond which no platform lets an access token live; a longer time is no reason to break."""

Exchange = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""Post a token request's form; the platform's JSON. Raises AuthorizationLost when the grant is refused."""


def connected(
    auth: Mapping[str, Secret | str], mode: AuthMode | None, tokens: Tokens, connection: str
) -> Mapping[str, Secret | str]:
    """The `auth:` block with the member that a consent gives, where the project file leaves it out.

    Raises Misconfigured where nobody has given a consent yet.
    """
    if mode is None or mode.grant is None or auth.get(mode.grant.gives):
        return auth
    kept = tokens.get(CONNECTED)
    if kept is None:
        raise Misconfigured(
            f"{connection} is not connected.",
            fix=f"Run `closedloop connect {connection}`, or give auth.{mode.grant.gives} in the project file.",
            connection=connection,
        )
    return {**auth, mode.grant.gives: Secret(kept)}


def pair_of(told: Mapping[str, Any], first: str, refresh: str, now: datetime) -> str:
    """What a token call told, as the pair is kept. `first` is the token that the project, or a consent, began with."""
    expires = now + timedelta(seconds=min(int(told.get("expires_in") or 3600), LONGEST))
    pair = {
        "first": first,
        "access": str(told["access_token"]),
        "refresh": str(told.get("refresh_token") or refresh),
        "expires": stamp(expires),
    }
    return orjson.dumps(pair).decode()


class RenewedToken:
    """`connectors.rest.Credentials` for the refresh-token grant.

    The connection's `auth:` gives `client_id`, `client_secret` and the first `refresh_token`; what the platform hands
    out later is kept in `surroundings.tokens` and goes before it. A first token that a person replaced wins again.
    """

    def __init__(
        self, account: Account, surroundings: Surroundings, exchange: Exchange, *, scheme: str = "Bearer"
    ) -> None:
        self._account, self._world, self._exchange, self._scheme = account, surroundings, exchange, scheme
        self._used = ""

    def headers(self) -> dict[str, str]:
        kept = self._kept()
        fresh = kept and unstamp(kept["expires"]) > self._world.clock.now() + timedelta(seconds=SKEW)
        token = kept["access"] if kept and fresh else self._renewed(kept["access"] if kept else "")
        self._used = token
        return {"authorization": f"{self._scheme} {token}"}

    def renew(self) -> bool:
        """After a 401: a new access token, unless another process has got one meanwhile."""
        self._renewed(self._used)
        return True

    def _renewed(self, refused: str) -> str:
        with self._world.tokens.alone(KEPT):
            kept = self._kept()
            if kept and kept["access"] != refused:
                return str(kept["access"])
            first = self._secret("refresh_token")
            refresh = kept["refresh"] if kept else first
            form = {
                "grant_type": "refresh_token",
                "refresh_token": refresh,
                "client_id": self._secret("client_id"),
                "client_secret": self._secret("client_secret"),
            }
            told = self._exchange(form)
            if not told.get("access_token"):
                raise AuthorizationLost(
                    "The platform gave no access token.",
                    fix=f"Connect the account again: `closedloop connect {self._account.connection}`.",
                    connection=self._account.connection,
                )
            self._world.tokens.put(KEPT, pair_of(told, first, refresh, self._world.clock.now()))
            return str(told["access_token"])

    def _kept(self) -> dict[str, str] | None:
        """The stored pair, unless the project's refresh token was replaced since."""
        text = self._world.tokens.get(KEPT)
        pair: dict[str, str] | None = orjson.loads(text) if text else None
        return pair if pair and pair["first"] == self._secret("refresh_token") else None

    def _secret(self, name: str) -> str:
        value = self._account.auth.get(name, "")
        return value.reveal() if isinstance(value, Secret) else str(value)
