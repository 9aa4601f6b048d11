"""The sandbox's log-in: personal tokens, pairs of tokens that rotate, and scopes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from config.clock import Clock, stamp
from connectors.sandbox import Answer
from connectors.sandbox_consent import Consents, Proof

TOKEN_LIFE = timedelta(hours=2)
APP = {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}
PERSONAL = "sandbox-personal-token"
SCOPES = "users:read organizations:read event_types:read scheduled_events:write webhooks:write data_compliance:write"
PER_MINUTE = 8

NEEDED = (
    ("/users", "users"),
    ("/organization_memberships", "organizations"),
    ("/event_types", "event_types"),
    ("/scheduled_events", "scheduled_events"),
    ("/invitee_no_shows", "scheduled_events"),
    ("/webhook_subscriptions", "webhooks"),
    ("/data_compliance", "data_compliance"),
)
"""The scope that a path needs."""


@dataclass
class Login:
    """Access tokens by the end of their lives; a refresh token works once. `scopes` are those of every token."""

    clock: Clock
    random: random.Random
    scopes: str = SCOPES
    first: str = ""
    access: dict[str, str] = field(default_factory=dict)
    refresh: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)  # when, of late
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        self.consents = Consents(self.clock, {"oauth": APP}, lambda: self.access.clear(), proof=Proof.DEMANDED)

    def found(self) -> None:
        """The first refresh token, as a person's consent gives it."""
        self.first = self._token("refresh")
        self.refresh = [self.first]

    def _token(self, what: str) -> str:
        return f"{what}-{self.random.getrandbits(64):016x}"

    def opens(self, token: str) -> bool:
        return token == PERSONAL or self.access.get(token, "") > stamp(self.clock.now())

    def lacks(self, method: str, path: str) -> bool:
        """Whether the scopes do not allow the call. `:write` covers `:read`; `default` is of the time before scopes."""
        resource = next((name for start, name in NEEDED if path.startswith(start)), "")
        scopes = set(self.scopes.split())
        enough = {"default", f"{resource}:write"} | ({f"{resource}:read"} if method == "GET" else set())
        return bool(resource) and not scopes & enough

    def grant(self, form: Mapping[str, str], owner: str, organization: str) -> Answer:
        """A new pair for the live refresh token, which is dead from now on."""
        now = self.clock.now()
        self.granted = [at for at in self.granted if at > stamp(now - timedelta(seconds=60))]
        if len(self.granted) >= PER_MINUTE:
            busy = {"title": "Too Many Requests", "message": "Too many token requests."}
            return Answer.of(busy, 429, {"X-RateLimit-Reset": "60"})
        self.granted.append(stamp(now))
        if any(form.get(name) != value for name, value in APP.items()):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed."}, 401)
        asked = self.consents.redeemed(form)
        if asked is None and form.get("refresh_token") not in self.refresh:
            words = "The provided authorization grant is invalid, expired, revoked, or was issued to another client."
            return Answer.of({"error": "invalid_grant", "error_description": words}, 400)
        self.scopes = asked["scope"] if asked else self.scopes
        access, refresh = self._token("access"), self._token("refresh")
        self.access[access] = stamp(now + TOKEN_LIFE)
        self.refresh = [refresh]
        pair = {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 7200}
        whose: dict[str, Any] = {"scope": self.scopes, "owner": owner, "organization": organization}
        return Answer.of({**pair, **whose, "created_at": int(now.timestamp())})
