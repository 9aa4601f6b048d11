"""HubSpot's sandbox: a portal in memory with HubSpot's own awkward habits.

Properties are text; search sees a lagging index, ends at 10,000 and never shows the archived; contacts move
`lastmodifieddate`, everything else `hs_lastmodifieddate`; a merge makes a new id that the old ones answer with; batches
tell partial failures by 200-with-errors or 207; lifecycle stages only move forward.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from connectors import manifest
from connectors.hubspot.client import VERSION
from connectors.hubspot.sandbox_batches import Batches, completed
from connectors.hubspot.sandbox_deals import STAGES_OF_DEALS, misplaced, pipelines, taken
from connectors.hubspot.sandbox_objects import Objects
from connectors.hubspot.sandbox_schema import TYPES, complaints, property_row, standard
from connectors.hubspot.sandbox_store import Store
from connectors.sandbox import Answer, Call, Sandbox
from connectors.sandbox_consent import Consents

Row = dict[str, Any]


class HubSpotSandbox(Sandbox):
    """A HubSpot portal. Switches: `index_lag` (seconds until search sees a change), `status_207`, `daily_limit`;
    `store.bump_on_no_change`; `currencies` that deals may have, `stages` of deals (as STAGES_OF_DEALS)."""

    name = "hubspot"

    def __init__(self, **options: Any) -> None:
        self.owners: list[Row] = []
        self.campaigns: dict[str, Row] = {}
        self.events: list[Row] = []
        self.opted_out: dict[str, str] = {}
        self.properties = {object: standard(object) for object in TYPES}
        self.index_lag = 0.0
        self.status_207 = False
        self.daily_limit = 650_000
        self.currencies = {"EUR"}
        self.stages = dict(STAGES_OF_DEALS)
        self.used = 0
        self.portal = 4_242_001
        self.token = "pat-sandbox-0000"
        self.refresh_token = "refresh-sandbox-0000"
        self.scopes = ("oauth", *manifest.load(Path(__file__).parent).auth["oauth"].scopes)
        self.sessions: dict[str, datetime] = {}  # access token -> its end
        super().__init__(**options)

    def account(self) -> dict[str, Any]:
        return {"auth": {"mode": "token", "token": self.token}, "settings": {}}

    def oauth_account(self) -> dict[str, Any]:
        """The same account, opened by an OAuth app."""
        secrets = {"client_secret": "sandbox-secret", "refresh_token": self.refresh_token}
        return {"auth": {"mode": "oauth", "client_id": "sandbox-app", **secrets}, "settings": {}}

    def route(self) -> None:
        app = {"client_id": "sandbox-app", "client_secret": "sandbox-secret"}
        self.consents = Consents(self.clock, {"oauth": app}, self.sessions.clear)
        self.on("GET", "/oauth/authorize", self.consents.page)
        self.on("POST", f"/oauth/{VERSION}/token", self._grant)
        self.store = Store(self.clock, self.portal)
        base = f"/crm/objects/{VERSION}/{{object}}"
        Objects(self).route(base)
        Batches(self).route(base)
        self.on("GET", "/account-info/v3/details", self._details)
        self.on("GET", f"/crm/owners/{VERSION}", self._owners)
        self.on("GET", f"/crm/pipelines/{VERSION}/deals", self._pipelines)
        self.on("GET", f"/crm/properties/{VERSION}/{{object}}", self._describe)
        self.on("GET", f"/marketing/campaigns/{VERSION}", self._campaigns)
        self.on("GET", f"/events/event-occurrences/{VERSION}", self._events)
        path = f"/communication-preferences/{VERSION}/statuses/{{email}}/unsubscribe-all"
        self.on("POST", path, self._unsubscribe)

    # people

    def put(self, object: str, values: Mapping[str, Any], *, at: str = "") -> str:
        """A person (or a form) creates a record; its id."""
        with self.lock:
            return str(self.store.new(object, {name: str(value) for name, value in values.items()}, at)["id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self.store.change(object, self.store.find(object, id) or {}, {name: str(v) for name, v in values.items()})

    def remove(self, object: str, id: str) -> None:
        """Archive a record."""
        with self.lock:
            row = self.store.rows[object][id]
            row["archived"], row["archivedAt"] = True, self.store.now()

    def get(self, object: str, id: str) -> dict[str, Any]:
        return dict((self.store.find(object, id) or {})["properties"])

    def all(self, object: str) -> list[dict[str, Any]]:
        return [dict(row["properties"]) for row in self.store.rows[object].values() if not row["archived"]]

    def merge(self, object: str, winner: str, loser: str) -> str:
        """Merge two records; the id of the new one that both answer with from now on."""
        with self.lock:
            return self.store.merge(object, winner, loser)

    def associate(self, source: str, id: str, target: str, other: str) -> None:
        """Tie two records; no modified time moves."""
        self.store.associate(source, id, target, other)

    def unsubscribe(self, email: str) -> None:
        """The person opts out of all e-mail."""
        self.opted_out[email.lower()] = self.store.now()
        id = self.store.by_email.get(email.lower())
        if id:
            self.store.change("contacts", self.store.rows["contacts"][id], {"hs_email_optout": "true"})

    def record_activity(self, contact: str, kind: str, at: str, **properties: str) -> None:
        """The contact did something: `kind` is an event type such as e_form_submission_v2."""
        row = {"id": str(uuid.UUID(int=self.random.getrandbits(128))), "eventType": kind, "occurredAt": at}
        self.events.append({**row, "objectType": "CONTACT", "objectId": contact, "properties": properties})

    def add_owner(self, email: str, first: str, last: str) -> str:
        id = self.store.new_id()
        now = self.store.now()
        names = {"firstName": first, "lastName": last, "email": email, "type": "PERSON", "userId": int(id)}
        row = {
            "id": id,
            **names,
            "userIdIncludingInactive": int(id),
            "archived": False,
            "createdAt": now,
            "updatedAt": now,
        }
        self.owners.append(row)
        return id

    def add_campaign(self, name: str, spend: str, started: str) -> str:
        id = str(uuid.UUID(int=self.random.getrandbits(128)))
        told = {"hs_name": name, "hs_spend_items_sum_amount": spend, "hs_start_date": started[:10]}
        self.campaigns[id] = {
            "id": id,
            "properties": told,
            "createdAt": self.store.now(),
            "updatedAt": self.store.now(),
        }
        return id

    def add_property(self, object: str, name: str, kind: str = "string", options: Iterable[str] = ()) -> None:
        """An admin adds a property."""
        self.properties[object][name] = property_row(name, kind, tuple(options))

    def hide(self, name: str, hidden: bool = True) -> None:
        """An admin archives a property of contacts, or takes it back: its values stay with the records."""
        given, taken = self.properties["contacts"], self.store.hidden
        one, other = (given, taken) if hidden else (taken, given)
        if name in one:
            other[name] = one.pop(name)

    # limits, errors

    def _grant(self, call: Call) -> Answer:
        form = call.form
        known = form.get("client_id") == "sandbox-app" and form.get("client_secret") == "sandbox-secret"
        asked = self.consents.redeemed(form) if known and self.consents else None
        known = known and (asked is not None or form.get("refresh_token") == self.refresh_token)
        if form.get("grant_type") not in ("refresh_token", "authorization_code") or not known:
            told = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
            return Answer.of({**told, "correlationId": self._uuid()}, 400)
        token = f"access-{self._uuid()}"
        self.sessions[token] = self.clock.now() + timedelta(seconds=1800)
        granted = {"token_type": "bearer", "token_use": "access_token", "expires_in": 1800, "hub_id": self.portal}
        tokens = {"access_token": token, "refresh_token": self.refresh_token}
        return Answer.of({**tokens, **granted, "scopes": list(self.scopes)})

    def _opens(self, token: str) -> bool:
        ends = self.sessions.get(token)
        return token == self.token or (ends is not None and ends > self.clock.now())

    def before(self, call: Call) -> Answer | None:
        if call.path.startswith("/oauth/"):
            return None
        if not self._opens(call.headers.get("authorization", "").removeprefix("Bearer ")):
            told = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
            return self.error(401, "INVALID_AUTHENTICATION", told)
        self.used += 1
        if self.used > self.daily_limit:
            return self.limited("DAILY")
        return None

    def limited(self, policy: str) -> Answer:
        """The 429 of a policy: SECONDLY, TEN_SECONDLY_ROLLING or DAILY."""
        told = {
            "status": "error",
            "message": f"You have reached your {policy.lower()} limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": self._uuid(),
            "policyName": policy,
            "requestId": self._uuid(),
        }
        return Answer.of(told, 429)

    def after(self, call: Call, answer: Answer) -> Answer:
        if call.path.endswith("/search"):
            return answer
        left = max(0, self.daily_limit - self.used)
        told = {
            "X-HubSpot-RateLimit-Daily": str(self.daily_limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": "190",
            "X-HubSpot-RateLimit-Remaining": "189",
        }
        return Answer(answer.status, answer.body, {**answer.headers, **told})

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128)))

    def error(self, status: int, category: str, message: str, **more: Any) -> Answer:
        told = {"status": "error", "message": message, "correlationId": self._uuid(), "category": category, **more}
        return Answer.of(told, status)

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        if status == 404:
            return Answer(
                404, b"<html><head><title>Error 404 Not Found</title></head></html>", {"content-type": "text/html"}
            )
        return self.error(status, "VALIDATION_ERROR", message)

    # handlers

    def _details(self, call: Call) -> Answer:
        told = {
            "portalId": self.portal,
            "accountType": "STANDARD",
            "timeZone": "UTC",
            "companyCurrency": "EUR",
            "additionalCurrencies": [],
            "utcOffset": "+00:00",
            "utcOffsetMilliseconds": 0,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
        return Answer.of(told)

    def _owners(self, call: Call) -> Answer:
        return Answer.of({"results": self.owners})

    def _pipelines(self, call: Call) -> Answer:
        return Answer.of({"results": pipelines(self.stages, self.store.now())})

    def wrong(self, object: str, row: Row | None, values: Mapping[str, Any]) -> list[Row]:
        """What HubSpot has against these values of a record."""
        properties = self.properties[object]
        found = complaints(properties, row, values)
        if not found and object == "deals":
            found = misplaced(self.stages, self.currencies, row, values)
        return found or taken(self.store, object, properties, row, values)

    def _describe(self, call: Call, object: str) -> Answer:
        if object not in self.properties:
            return self.error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {object}")
        return Answer.of({"results": list(self.properties[object].values())})

    def _campaigns(self, call: Call) -> Answer:
        return Answer.of({"results": list(self.campaigns.values()), "total": len(self.campaigns)})

    def _events(self, call: Call) -> Answer:
        since = call.query.get("occurredAfter", "")
        start, limit = int(call.query.get("after") or 0), int(call.query.get("limit", "100"))
        rows = sorted((row for row in self.events if row["occurredAt"] >= since), key=lambda row: row["occurredAt"])
        told: Row = {"results": rows[start : start + limit]}
        if start + limit < len(rows):
            told["paging"] = {"next": {"after": str(start + limit), "link": call.path}}
        return Answer.of(told)

    def _unsubscribe(self, call: Call, email: str) -> Answer:
        self.unsubscribe(email)
        row = {
            "channel": "EMAIL",
            "subscriberIdString": email,
            "status": "UNSUBSCRIBED",
            "source": "API",
            "timestamp": self.store.now(),
            "setStatusSuccessReason": "UNSUBSCRIBE_FROM_ALL_OCCURRED",
        }
        return completed(self, [row], [])

    # snapshot

    _KEPT = ("owners", "campaigns", "events", "opted_out", "properties", "used")

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            kept = {name: getattr(self, name) for name in self._KEPT}
            return orjson.loads(orjson.dumps({**kept, **self.store.snapshot()}))  # type: ignore[no-any-return]

    def restore(self, state: Mapping[str, Any]) -> None:
        with self.lock:
            for name in self._KEPT:
                setattr(self, name, state[name])
            self.store.restore(state)
