"""The sandbox's log-in: tokens of sixty days, and a refresh token whose year began with the first consent."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock, stamp, unstamp
from connectors.sandbox import Answer

TOKEN_LIFE = timedelta(days=60)
YEAR = timedelta(days=365)
APP = {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}
SCOPES = (
    "r_marketing_leadgen_automation,r_ads,r_organization_admin,r_events,rw_conversions,"
    "r_sales_nav_validation,r_sales_nav_profiles"
)


@dataclass
class Login:
    """Access tokens by the end of their lives; `refresh` is the one that never changes, `ends` its end."""

    clock: Clock
    random: random.Random
    scopes: str = SCOPES
    first: str = ""
    refresh: str = ""
    ends: str = ""
    access: dict[str, str] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)

    def found(self) -> None:
        """What a member's first consent gives."""
        self.refresh = f"refresh-{self.random.getrandbits(64):016x}"
        self.ends = stamp(self.clock.now() + YEAR)
        self.first = self.mint()

    def mint(self) -> str:
        token = f"access-{self.random.getrandbits(64):016x}"
        self.access[token] = stamp(self.clock.now() + TOKEN_LIFE)
        return token

    def refusal(self, token: str) -> Answer | None:
        """The 401 of a token that opens nothing."""
        if token in self.revoked:
            return _denied(65601, "REVOKED_ACCESS_TOKEN", "The token used in the request has been revoked by the user")
        if token not in self.access:
            return _denied(65600, "INVALID_ACCESS_TOKEN", "Invalid access token")
        if self.access[token] <= stamp(self.clock.now()):
            return _denied(65602, "EXPIRED_ACCESS_TOKEN", "The token used in the request has expired")
        return None

    def grant(self, form: Mapping[str, str]) -> Answer:
        """A new access token for the refresh token, which comes back the same with less of its year left."""
        now = self.clock.now()
        if any(form.get(name) != value for name, value in APP.items()):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("refresh_token") != self.refresh or self.ends <= stamp(now):
            told = {"error": "invalid_grant", "error_description": "The provided authorization grant is invalid"}
            return Answer.of(told, 400)
        left = int((unstamp(self.ends) - now).total_seconds())
        life = {"expires_in": int(TOKEN_LIFE.total_seconds()), "refresh_token_expires_in": left}
        return Answer.of({"access_token": self.mint(), "refresh_token": self.refresh, "scope": self.scopes, **life})

    def introspect(self, form: Mapping[str, str]) -> Answer:
        token, now = form.get("token", ""), self.clock.now()
        if any(form.get(name) != value for name, value in APP.items()):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if self.refusal(token) is not None:
            return Answer.of({"active": False, "status": "revoked" if token in self.revoked else "expired"})
        ends = unstamp(self.access[token])
        told = {"active": True, "status": "active", "client_id": APP["client_id"], "auth_type": "3L"}
        began = int((ends - TOKEN_LIFE).timestamp())
        times = {
            "expires_at": int(ends.timestamp()),
            "created_at": began,
            "authorized_at": min(began, int(now.timestamp())),
        }
        return Answer.of({**told, **times, "scope": self.scopes})


def _denied(service: int, code: str, message: str) -> Answer:
    return Answer.of({"status": 401, "serviceErrorCode": service, "code": code, "message": message}, 401)
