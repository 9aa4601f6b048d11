"""The sandbox's log-in: access tokens of an hour, one refresh token for ever, ten token calls in ten minutes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock, stamp
from connectors.sandbox import Answer

TOKEN_LIFE = timedelta(hours=1)
WINDOW = timedelta(minutes=10)
CALLS = 10
LIVE = 15
"""Access tokens per refresh token; the oldest falls out."""
APP = {"client_id": "1000.SANDBOX", "client_secret": "sandbox-client-secret"}


@dataclass
class Login:
    """Tokens by the end of their lives. `elsewhere`: the client is of another data centre. `old_throttle`: the answer
    to too many token calls comes with status 200, as it did once."""

    clock: Clock
    random: random.Random
    scopes: str = ""
    refresh: str = ""
    elsewhere: bool = False
    old_throttle: bool = False
    revoked: bool = False
    access: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

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
        if self.revoked or form.get("refresh_token") != self.refresh:
            return Answer.of({"error": "invalid_code"})
        self.calls = [at for at in self.calls if at > stamp(now - WINDOW)]
        if len(self.calls) >= CALLS:
            why = "You have made too many requests continuously. Please try again after some time."
            told = {"error": "Access Denied", "error_description": why, "status": "failure"}
            return Answer.of(told, 200 if self.old_throttle else 400)
        self.calls.append(stamp(now))
        token = f"1000.access-{self.random.getrandbits(64):016x}"
        self.access[token] = stamp(now + TOKEN_LIFE)
        self.access = dict(list(self.access.items())[-LIVE:])
        pair = {"access_token": token, "scope": self.scopes, "api_domain": api}
        return Answer.of({**pair, "token_type": "Bearer", "expires_in": 3600})
