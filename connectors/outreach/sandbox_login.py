"""The sandbox's log-in: pairs of tokens, their lives, and how often there is a new one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock, stamp, unstamp
from connectors.sandbox import Answer
from connectors.sandbox_consent import Consents

TOKEN_LIFE = timedelta(hours=2)
REFRESH_LIFE = timedelta(days=14)
LIVE = 100
"""Refresh tokens per user and app; the oldest falls out."""
APP = {
    "client_id": "sandbox-app",
    "client_secret": "sandbox-app-secret",
    "redirect_uri": "https://127.0.0.1/callback",
}


@dataclass
class Login:
    """Tokens by the end of their lives. `rotates`: a refresh token works once."""

    clock: Clock
    random: random.Random
    rotates: bool = True
    scopes: str = ""
    first: str = ""
    access: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    minted: str = ""
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        here = [APP["redirect_uri"]]
        self.consents = Consents(self.clock, {"oauth": APP}, lambda: self.access.clear(), here)

    def found(self) -> None:
        """The first refresh token, as a person's consent gives it."""
        self.first = self._token("refresh")
        self.refresh[self.first] = stamp(self.clock.now() + REFRESH_LIFE)

    def _token(self, what: str) -> str:
        return f"{what}-{self.random.getrandbits(64):016x}"

    def opens(self, token: str) -> bool:
        return self.access.get(token, "") > stamp(self.clock.now())

    def grant(self, form: Mapping[str, str]) -> Answer | None:
        """A new pair for a live refresh token; one a minute (None: too soon)."""
        now, told = stamp(self.clock.now()), form.get("refresh_token", "")
        app = {**APP, "redirect_uri": form.get("redirect_uri", "")} if "code" in form else APP
        if any(form.get(name) != value for name, value in app.items()):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed."}, 401)
        asked = self.consents.redeemed(form)
        if asked is None and self.refresh.get(told, "") <= now:
            return Answer.of({"error": "invalid_grant", "error_description": "The refresh token is invalid."}, 400)
        if self.minted and now < stamp(unstamp(self.minted) + timedelta(seconds=60)):
            return None
        self.minted = now
        if asked is not None:
            self.scopes = asked["scope"]
        elif self.rotates:
            del self.refresh[told]
        access, refresh = self._token("access"), self._token("refresh")
        self.access[access] = stamp(self.clock.now() + TOKEN_LIFE)
        self.refresh[refresh] = stamp(self.clock.now() + REFRESH_LIFE)
        self.refresh = dict(list(self.refresh.items())[-LIVE:])
        pair = {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 7200}
        return Answer.of({**pair, "scope": self.scopes, "created_at": int(self.clock.now().timestamp())})
