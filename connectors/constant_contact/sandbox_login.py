"""The sandbox's log-in: access tokens of a day, refresh tokens that rotate or last, one token call a second.

Two apps: one with a secret, told by HTTP Basic, and one without, which proves to have asked (PKCE).
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock, stamp
from connectors.sandbox import Answer, Call
from connectors.sandbox_consent import Consents, Proof

TOKEN_LIFE = timedelta(hours=24)
REFRESH_LIFE = timedelta(days=180)
APP = {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}
PUBLIC = {"client_id": "sandbox-public-app"}
SCOPES = "contact_data campaign_data account_read offline_access"
OFFERED = frozenset((*SCOPES.split(), "account_update", "billing_data"))
CODE_LIFE = timedelta(minutes=5)


@dataclass
class Login:
    """Tokens by the end of their lives. `rotates`: each renewal gives a new refresh token and ends all older ones;
    otherwise the same comes back. `public`: the account is connected by the app without a secret."""

    clock: Clock
    random: random.Random
    rotates: bool = True
    public: bool = False
    scopes: str = SCOPES
    first: str = ""
    access: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    minted: str = ""
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        self.consents = Consents(
            self.clock,
            {"oauth": APP, "pkce": PUBLIC},
            lambda: self.access.clear(),
            proof=Proof.TAKEN,
            offered=OFFERED,
            life=CODE_LIFE,
        )

    def page(self, call: Call) -> Answer:
        """The page that asks; an app without a secret gets no code without a challenge."""
        public = call.query.get("client_id") == PUBLIC["client_id"]
        self.consents.proof = Proof.DEMANDED if public else Proof.TAKEN
        return self.consents.page(call)

    def found(self) -> None:
        """The first refresh token, as a person's consent gives it."""
        self.first = self._token("refresh")
        self.refresh[self.first] = stamp(self.clock.now() + REFRESH_LIFE)

    def _token(self, what: str) -> str:
        return f"{what}-{self.random.getrandbits(64):016x}"

    def opens(self, token: str) -> bool:
        return self.access.get(token, "") > stamp(self.clock.now())

    def grant(self, call: Call) -> Answer:
        now, form = stamp(self.clock.now()), call.form
        if not self._is_app(call.headers.get("authorization", ""), form):
            return _refused("invalid_client", "Client authentication failed.", 401)
        if self.minted[:19] == now[:19]:
            return Answer.of({"error_key": "throttled", "error_message": "Too Many Requests"}, 429)
        self.minted = now
        if form.get("grant_type") == "authorization_code":
            return self._for_code(form)
        told = form.get("refresh_token", "")
        if form.get("grant_type") != "refresh_token" or self.refresh.get(told, "") <= now:
            return _refused("invalid_grant", "The refresh token is invalid or expired.", 400)
        return Answer.of(self._pair(told))

    def _for_code(self, form: Mapping[str, str]) -> Answer:
        """A refresh token comes only where `offline_access` was asked for."""
        asked = self.consents.redeemed(form)
        if asked is None:
            return _refused("invalid_grant", "The authorization code is invalid or has expired.", 400)
        self.scopes = asked["scope"]
        pair = self._pair(self._token("refresh"))
        if "offline_access" not in self.scopes.split():
            del self.refresh[str(pair.pop("refresh_token"))]
        return Answer.of(pair)

    def _is_app(self, header: str, form: Mapping[str, str]) -> bool:
        if not header:
            return form.get("client_id") == PUBLIC["client_id"]
        pair = base64.b64encode(f"{APP['client_id']}:{APP['client_secret']}".encode()).decode()
        return header == f"Basic {pair}"

    def _pair(self, told: str) -> dict[str, object]:
        access = self._token("access")
        self.access[access] = stamp(self.clock.now() + TOKEN_LIFE)
        refresh = told
        if self.rotates:
            self.refresh.clear()
            refresh = self._token("refresh")
        self.refresh[refresh] = stamp(self.clock.now() + REFRESH_LIFE)
        return {
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFE.total_seconds()),
            "access_token": access,
            "scope": self.scopes,
            "refresh_token": refresh,
        }


def _refused(error: str, description: str, status: int) -> Answer:
    return Answer.of({"error": error, "error_description": description}, status)
