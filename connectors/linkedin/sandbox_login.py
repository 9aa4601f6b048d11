"""The sandbox's log-in: tokens of sixty days, and a refresh token whose year began with the consent that gave it.

Two apps: one that has every product, and one that LinkedIn has approved for refresh tokens besides.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock, stamp, unstamp
from connectors.sandbox import Answer
from connectors.sandbox_consent import Consents

TOKEN_LIFE = timedelta(days=60)
YEAR = timedelta(days=365)
APP = {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}
PARTNER = {"client_id": "sandbox-partner-app", "client_secret": "sandbox-partner-secret"}
CODE_LIFE = timedelta(minutes=30)
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
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        self.consents = Consents(
            self.clock,
            {"token": APP, "oauth": PARTNER},
            lambda: self.access.clear(),
            offered=frozenset(SCOPES.split(",")),
            unoffered="unauthorized_scope_error",
            denial="user_cancelled_authorize",
            life=CODE_LIFE,
        )

    def found(self) -> None:
        """What a member's first consent gives."""
        self._begin_year()
        self.first = self.mint()

    def _begin_year(self) -> None:
        self.refresh = f"refresh-{self.random.getrandbits(64):016x}"
        self.ends = stamp(self.clock.now() + YEAR)

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
        """A new access token for a code, or for the refresh token, which comes back the same with less of its year."""
        now = self.clock.now()
        if not _is_app(form):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("grant_type") == "authorization_code":
            return self._for_code(form)
        if form.get("refresh_token") != self.refresh or self.ends <= stamp(now):
            told = {"error": "invalid_grant", "error_description": "The provided authorization grant is invalid"}
            return Answer.of(told, 400)
        return Answer.of({**self._told(), **self._year()})

    def _for_code(self, form: Mapping[str, str]) -> Answer:
        asked = self.consents.redeemed(form)
        if asked is None:
            return Answer.of({"error": "invalid_request", "error_description": _NO_CODE}, 400)
        self.scopes = asked["scope"].replace(" ", ",")
        approved = form["client_id"] == PARTNER["client_id"]
        if approved:
            self._begin_year()
        return Answer.of({**self._told(), **(self._year() if approved else {})})

    def _told(self) -> dict[str, object]:
        life = int(TOKEN_LIFE.total_seconds())
        return {"access_token": self.mint(), "expires_in": life, "scope": self.scopes, "token_type": "Bearer"}

    def _year(self) -> dict[str, object]:
        left = int((unstamp(self.ends) - self.clock.now()).total_seconds())
        return {"refresh_token": self.refresh, "refresh_token_expires_in": left}

    def introspect(self, form: Mapping[str, str]) -> Answer:
        token, now = form.get("token", ""), self.clock.now()
        if not _is_app(form):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if self.refusal(token) is not None:
            return Answer.of({"active": False, "status": "revoked" if token in self.revoked else "expired"})
        ends = unstamp(self.access[token])
        told = {"active": True, "status": "active", "client_id": form["client_id"], "auth_type": "3L"}
        began = int((ends - TOKEN_LIFE).timestamp())
        times = {
            "expires_at": int(ends.timestamp()),
            "created_at": began,
            "authorized_at": min(began, int(now.timestamp())),
        }
        return Answer.of({**told, **times, "scope": self.scopes})


_NO_CODE = (
    "Unable to retrieve access token: appid/redirect uri/code verifier does not match authorization code. Or "
    "authorization code expired. Or external member binding exists"
)


def _is_app(form: Mapping[str, str]) -> bool:
    return any(all(form.get(name) == value for name, value in app.items()) for app in (APP, PARTNER))


def _denied(service: int, code: str, message: str) -> Answer:
    return Answer.of({"status": 401, "serviceErrorCode": service, "code": code, "message": message}, 401)
