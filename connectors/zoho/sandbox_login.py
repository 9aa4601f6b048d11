"""The sandbox's log-in: access tokens of an hour, refresh tokens for ever, ten token calls in ten minutes.

A consent is answered with the host where the account lives (`accounts-server`), and gives a refresh token only where it
was asked for (`access_type=offline`), and to a user who agreed before only by `prompt=consent`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock, stamp
from connectors.sandbox import Answer
from connectors.sandbox_consent import Consents

TOKEN_LIFE = timedelta(hours=1)
WINDOW = timedelta(minutes=10)
CALLS = 10
CODE_LIFE = timedelta(minutes=2)
LASTING = 20
"""Refresh tokens per user and client; the oldest falls out."""
LIVE = 15
"""Access tokens per refresh token; the oldest falls out."""
APP = {"client_id": "1000.SANDBOX", "client_secret": "sandbox-client-secret"}


@dataclass
class Login:
    """Tokens by the end of their lives. `elsewhere`: the client is of another data centre. `old_throttle`: the answer
    to too many token calls comes with status 200, as it did once. `server` is where the account lives, `centre` the
    word for it."""

    clock: Clock
    random: random.Random
    scopes: str = ""
    refresh: str = ""
    elsewhere: bool = False
    old_throttle: bool = False
    revoked: bool = False
    access: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)  # refresh tokens of later consents
    centre: str = "eu"
    server: str = ""
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        self.consents = Consents(
            self.clock,
            {"oauth": APP},
            lambda: self.access.clear(),
            separator=",",
            more=lambda _: {"location": self.centre, "accounts-server": self.server},
            life=CODE_LIFE,
        )

    def found(self) -> None:
        """The refresh token, as a person's consent gives it."""
        self.refresh = f"1000.refresh-{self.random.getrandbits(64):016x}"

    def opens(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        return scheme == "Zoho-oauthtoken" and self.access.get(token, "") > stamp(self.clock.now())

    def grant(self, form: Mapping[str, str], api: str) -> Answer:
        """A new access token. What is wrong is told with status 200."""
        now = self.clock.now()
        if self.elsewhere or any(form.get(name) != value for name, value in APP.items()):
            return Answer.of({"error": "invalid_client"})
        if form.get("grant_type") == "authorization_code":
            return self._for_code(form, api)
        if self.revoked or form.get("refresh_token") not in (self.refresh, *self.later):
            return Answer.of({"error": "invalid_code"})
        self.calls = [at for at in self.calls if at > stamp(now - WINDOW)]
        if len(self.calls) >= CALLS:
            why = "You have made too many requests continuously. Please try again after some time."
            told = {"error": "Access Denied", "error_description": why, "status": "failure"}
            return Answer.of(told, 200 if self.old_throttle else 400)
        self.calls.append(stamp(now))
        return Answer.of(self._told(api))

    def _for_code(self, form: Mapping[str, str], api: str) -> Answer:
        asked = self.consents.redeemed(form)
        if asked is None:
            return Answer.of({"error": "invalid_code"})
        self.scopes = asked["scope"].replace(",", " ")
        if asked.get("access_type") != "offline" or (self.later and asked.get("prompt") != "consent"):
            return Answer.of(self._told(api))
        self.later = [*self.later, f"1000.refresh-{self.random.getrandbits(64):016x}"][-LASTING:]
        return Answer.of({**self._told(api), "refresh_token": self.later[-1]})

    def _told(self, api: str) -> dict[str, object]:
        token = f"1000.access-{self.random.getrandbits(64):016x}"
        self.access[token] = stamp(self.clock.now() + TOKEN_LIFE)
        self.access = dict(list(self.access.items())[-LIVE:])
        pair = {"access_token": token, "scope": self.scopes, "api_domain": api}
        return {**pair, "token_type": "Bearer", "expires_in": 3600}
