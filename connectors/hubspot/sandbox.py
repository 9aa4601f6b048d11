"""HubSpot's sandbox: a portal in memory with HubSpot's own awkward habits.

Properties are text; search sees a lagging index, ends at 10,000 and never shows the archived; contacts move
`lastmodifieddate`, everything else `hs_lastmodifieddate`; a merge makes a new id that the old ones answer with; batches
tell partial failures by 200-with-errors or 207; lifecycle stages only move forward.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors import manifest
from connectors.hubspot.client import VERSION
from connectors.sandbox import Answer, Call, Sandbox
from connectors.sandbox_consent import Consents

Row = dict[str, Any]

STAGES = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist")
TYPES = ("contacts", "companies", "deals", "notes", "meetings", "calls", "tasks", "emails")
_STRING = (
    "salutation firstname lastname jobtitle company website industry address city state zip country hs_language phone "
    "mobilephone hs_additional_emails hs_analytics_source hs_analytics_source_data_1 hs_analytics_source_data_2 "
    "hs_latest_source hs_latest_source_data_1 hs_analytics_first_url hs_lead_status hs_merged_object_ids"
)
STAGES_OF_DEALS = {
    "default/appointmentscheduled": ("Sales Pipeline", "Appointment scheduled", "false", "0.2"),
    "default/contractsent": ("Sales Pipeline", "Contract sent", "false", "0.9"),
    "default/closedwon": ("Sales Pipeline", "Closed won", "true", "1.0"),
    "default/closedlost": ("Sales Pipeline", "Closed lost", "true", "0.0"),
}
"""pipeline/stage -> labels of both, whether it is closed, its probability."""
DEFAULT_PROPERTIES: Mapping[str, str] = {
    "contacts": f"email {_STRING} hubspot_owner_id",
    "companies": "name domain website industry phone address city state zip country hubspot_owner_id",
    "deals": (
        "dealname dealtype pipeline dealstage closed_won_reason closed_lost_reason deal_currency_code hubspot_owner_id"
    ),
    "notes": "hs_note_body",
    "meetings": "hs_meeting_title",
    "calls": "hs_call_title",
    "tasks": "hs_task_subject hs_task_body",
    "emails": "hs_email_subject",
}
_TIED = {202: "contacts", 190: "companies", 214: "deals", 3: "contacts", 341: "companies"}
"""What an association type of notes and deals leads to."""
_READ_ONLY = {"hs_object_id", "createdate", "lastmodifieddate", "hs_lastmodifieddate", "hs_email_optout"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]{2,}")


class HubSpotSandbox(Sandbox):
    """A HubSpot portal. Switches: `index_lag` (seconds until search sees a change), `status_207`, `bump_on_no_change`,
    `daily_limit`, `currencies` (those that deals may have), `stages` (of deals, as STAGES_OF_DEALS)."""

    name = "hubspot"

    def __init__(self, **options: Any) -> None:
        self.rows: dict[str, dict[str, Row]] = {object: {} for object in TYPES}
        self.aliases: dict[str, str] = {}
        self.ties: dict[str, dict[str, list[str]]] = {}
        self.owners: list[Row] = []
        self.campaigns: dict[str, Row] = {}
        self.events: list[Row] = []
        self.opted_out: dict[str, str] = {}
        self.properties = {object: _properties(object) for object in TYPES}
        self.index_lag = 0.0
        self.status_207 = False
        self.bump_on_no_change = True
        self.daily_limit = 650_000
        self.currencies = {"EUR"}
        self.stages = dict(STAGES_OF_DEALS)
        self.used = 0
        self.portal = 4_242_001
        self.next_id = 10_000
        self.token = "pat-sandbox-0000"
        self.refresh_token = "refresh-sandbox-0000"
        self.scopes = ("oauth", *manifest.load(Path(__file__).parent).auth["oauth"].scopes)
        self.sessions: dict[str, datetime] = {}  # access token -> its end
        self._by_email: dict[str, str] = {}
        super().__init__(**options)

    def account(self) -> dict[str, Any]:
        return {"auth": {"mode": "token", "token": self.token}, "settings": {}}

    def oauth_account(self) -> dict[str, Any]:
        """The same account, opened by an OAuth app."""
        secrets = {"client_secret": "sandbox-secret", "refresh_token": self.refresh_token}
        return {"auth": {"mode": "oauth", "client_id": "sandbox-app", **secrets}, "settings": {}}

    def route(self) -> None:
        self.consents = Consents("sandbox-app")
        self.on("GET", "/oauth/authorize", self.consents.page)
        self.on("POST", f"/oauth/{VERSION}/token", self._grant)
        base = f"/crm/objects/{VERSION}/{{object}}"
        self.on("GET", "/account-info/v3/details", self._details)
        self.on("GET", base, self._list)
        self.on("POST", base, self._create)
        self.on("POST", f"{base}/search", self._search)
        self.on("POST", f"{base}/merge", self._merge)
        for verb, handler in (
            ("read", self._batch_read),
            ("create", self._batch_create),
            ("update", self._batch_update),
        ):
            self.on("POST", f"{base}/batch/{verb}", handler)
        self.on("POST", f"{base}/batch/upsert", self._batch_upsert)
        self.on("POST", f"{base}/batch/archive", self._batch_archive)
        self.on("POST", f"{base}/gdpr-delete", self._erase)
        self.on("GET", f"{base}/{{id}}", self._get)
        self.on("PATCH", f"{base}/{{id}}", self._patch)
        self.on("DELETE", f"{base}/{{id}}", self._archive)
        self.on("POST", f"/crm/associations/{VERSION}/{{source}}/{{target}}/batch/read", self._associated)
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
            return str(self._new(object, {name: str(value) for name, value in values.items()}, at)["id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self._change(object, self._find(object, id) or {}, {name: str(v) for name, v in values.items()})

    def remove(self, object: str, id: str) -> None:
        """Archive a record."""
        with self.lock:
            row = self.rows[object][id]
            row["archived"], row["archivedAt"] = True, self._now()

    def get(self, object: str, id: str) -> dict[str, Any]:
        return dict((self._find(object, id) or {})["properties"])

    def all(self, object: str) -> list[dict[str, Any]]:
        return [dict(row["properties"]) for row in self.rows[object].values() if not row["archived"]]

    def merge(self, object: str, winner: str, loser: str) -> str:
        """Merge two records; the id of the new one that both answer with from now on."""
        with self.lock:
            one, other = self.rows[object].pop(winner), self.rows[object].pop(loser)
            values = {**other["properties"], **{k: v for k, v in one["properties"].items() if v not in (None, "")}}
            olds = [winner, loser, *(values.get("hs_merged_object_ids") or "").split(";")]
            values["hs_merged_object_ids"] = ";".join(sorted({old for old in olds if old}))
            row = self._new(object, values, "")
            for old in (winner, loser):
                self.aliases[old] = row["id"]
            for targets in self.ties.values():
                for target in list(targets):
                    targets[target] = sorted({row["id"] if id in (winner, loser) else id for id in targets[target]})
            return str(row["id"])

    def associate(self, source: str, id: str, target: str, other: str) -> None:
        """Tie two records; no modified time moves."""
        for one, its, two, the in ((source, id, target, other), (target, other, source, id)):
            ids = self.ties.setdefault(f"{one}/{its}", {}).setdefault(two, [])
            if the not in ids:
                ids.append(the)

    def unsubscribe(self, email: str) -> None:
        """The person opts out of all e-mail."""
        self.opted_out[email.lower()] = self._now()
        id = self._by_email.get(email.lower())
        if id:
            self._change("contacts", self.rows["contacts"][id], {"hs_email_optout": "true"})

    def record_activity(self, contact: str, kind: str, at: str, **properties: str) -> None:
        """The contact did something: `kind` is an event type such as e_form_submission_v2."""
        row = {"id": str(uuid.UUID(int=self.random.getrandbits(128))), "eventType": kind, "occurredAt": at}
        self.events.append({**row, "objectType": "CONTACT", "objectId": contact, "properties": properties})

    def add_owner(self, email: str, first: str, last: str) -> str:
        id = self._id()
        now = self._now()
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
        self.campaigns[id] = {"id": id, "properties": told, "createdAt": self._now(), "updatedAt": self._now()}
        return id

    def add_property(self, object: str, name: str, kind: str = "string", options: Iterable[str] = ()) -> None:
        """An admin adds a property."""
        self.properties[object][name] = _property(name, kind, tuple(options))

    # rows

    def _id(self) -> str:
        self.next_id += 1
        return str(self.next_id)

    def _now(self) -> str:
        return stamp(self.clock.now())

    def _find(self, object: str, id: str) -> Row | None:
        seen = id
        while seen in self.aliases:
            seen = self.aliases[seen]
        return self.rows[object].get(seen)

    def _new(self, object: str, values: Mapping[str, Any], at: str) -> Row:
        id, now = self._id(), at or self._now()
        moved = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
        properties = {**values, "hs_object_id": id, "createdate": now, moved: now}
        row = {"id": id, "properties": properties, "createdAt": now, "updatedAt": now, "archived": False}
        self.rows[object][id] = row
        if object == "contacts" and values.get("email"):
            self._by_email[str(values["email"]).lower()] = id
        return row

    def _change(self, object: str, row: Row, values: Mapping[str, Any]) -> None:
        held = row["properties"]
        same = all((held.get(name) or "") == (value or "") for name, value in values.items())
        if same and not self.bump_on_no_change:
            return
        if object == "contacts" and values.get("email"):
            self._by_email.pop(str(held.get("email") or "").lower(), None)
            self._by_email[str(values["email"]).lower()] = row["id"]
        held.update({name: value if value != "" else None for name, value in values.items()})
        now = self._now()
        row["updatedAt"] = now
        held["lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"] = now

    def _shown(self, row: Row, wanted: Iterable[str]) -> Row:
        base = ["createdate", "hs_object_id"]
        base.append("lastmodifieddate" if "lastmodifieddate" in row["properties"] else "hs_lastmodifieddate")
        names = [*base, *(name for name in wanted if name and name not in base)]
        held = row["properties"]
        shown = {key: row[key] for key in ("id", "createdAt", "updatedAt", "archived")}
        shown["properties"] = {name: held.get(name) for name in names}
        if row["archived"]:
            shown["archivedAt"] = row["archivedAt"]
        shown["url"] = f"https://app.hubspot.com/contacts/{self.portal}/record/{row['id']}"
        return shown

    # limits, errors

    def _grant(self, call: Call) -> Answer:
        form = call.form
        known = form.get("client_id") == "sandbox-app" and form.get("client_secret") == "sandbox-secret"
        known = known and (self.consents.redeemed(form) or form.get("refresh_token") == self.refresh_token)
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
            return self._error(401, "INVALID_AUTHENTICATION", told)
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

    def _error(self, status: int, category: str, message: str, **more: Any) -> Answer:
        told = {"status": "error", "message": message, "correlationId": self._uuid(), "category": category, **more}
        return Answer.of(told, status)

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        if status == 404:
            return Answer(
                404, b"<html><head><title>Error 404 Not Found</title></head></html>", {"content-type": "text/html"}
            )
        return self._error(status, "VALIDATION_ERROR", message)

    def _wrong(self, object: str, row: Row | None, values: Mapping[str, Any]) -> list[Row]:
        """HubSpot's complaints about some property values."""
        found = []
        for name, value in values.items():
            known = self.properties[object].get(name)
            if known is None:
                found.append(_complaint(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
            elif known["modificationMetadata"]["readOnlyValue"]:
                found.append(_complaint(name, "READ_ONLY_VALUE", f'"{name}" is a read only property'))
            elif value and known["options"] and value not in [option["value"] for option in known["options"]]:
                found.append(_complaint(name, "INVALID_OPTION", f"{value} was not one of the allowed options"))
            elif name == "email" and value and not _EMAIL.fullmatch(str(value)):
                found.append(_complaint(name, "INVALID_EMAIL", f"Email address {value} is invalid"))
            elif len(str(value or "")) > 65_536:
                found.append(_complaint(name, "INVALID_LONG", "too long"))
        if object == "deals":
            found += self._misplaced(row, values)
        return found or self._taken(object, row, values) or self._backwards(row, values)

    def _taken(self, object: str, row: Row | None, values: Mapping[str, Any]) -> list[Row]:
        """Values of unique properties that another record has."""
        found = []
        for name, value in values.items():
            if name != "email" and value and self.properties[object][name]["hasUniqueValue"]:
                other = self._by_property(object, name, str(value))
                if other is not None and other is not row:
                    found.append(_complaint(name, "CONFLICTING_UNIQUE_VALUE", "another record has this value"))
        return found

    def _misplaced(self, row: Row | None, values: Mapping[str, Any]) -> list[Row]:
        """A deal's pipeline, stage and currency have to be set up."""
        held = {**(row["properties"] if row else {}), **values}
        if "dealstage" in values or "pipeline" in values:
            pipeline = held.get("pipeline") or "default"
            if f"{pipeline}/{held.get('dealstage')}" not in self.stages:
                return [_complaint("dealstage", "INVALID_OPTION", "the stage is not one of the pipeline")]
        if (currency := values.get("deal_currency_code")) and currency not in self.currencies:
            return [_complaint("deal_currency_code", "INVALID_OPTION", f"{currency} is not an enabled currency")]
        return []

    def _backwards(self, row: Row | None, values: Mapping[str, Any]) -> list[Row]:
        new = values.get("lifecyclestage")
        old = row["properties"].get("lifecyclestage") if row else None
        if new in STAGES and old in STAGES and STAGES.index(str(new)) < STAGES.index(str(old)):
            return [_complaint("lifecyclestage", "INVALID_OPTION", "lifecycle stage cannot move backwards")]
        return []

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

    def _list(self, call: Call, object: str) -> Answer:
        limit = int(call.query.get("limit", "10"))
        if limit > 100:
            return self._error(400, "VALIDATION_ERROR", "Limit must be less than or equal to 100")
        archived = call.query.get("archived") == "true"
        after = int(call.query.get("after") or 0)
        wanted = call.query.get("properties", "").split(",")
        target = call.query.get("associations", "")
        found: list[Row] = []
        more = False
        for id, row in self.rows.get(object, {}).items():
            if row["archived"] != archived or int(id) <= after:
                continue
            if len(found) == limit:
                more = True
                break
            found.append(self._with_ties(object, self._shown(row, wanted), target))
        told: Row = {"results": found}
        if more:
            told["paging"] = {"next": {"after": found[-1]["id"], "link": call.path}}
        return Answer.of(told)

    def _with_ties(self, object: str, shown: Row, target: str) -> Row:
        ids = self.ties.get(f"{object}/{shown['id']}", {}).get(target, []) if target else []
        if ids:
            shown["associations"] = {target: {"results": [{"id": id, "type": f"{object}_to_{target}"} for id in ids]}}
        return shown

    def _search(self, call: Call, object: str) -> Answer:
        body = call.json
        limit, after = int(body.get("limit") or 10), int(body.get("after") or 0)
        if limit > 200 or len(body.get("sorts") or []) > 1:
            return self._error(400, "VALIDATION_ERROR", "limit must be at most 200, with one sort")
        if after + limit > 10_000:
            return self._error(400, "VALIDATION_ERROR", "There was a problem with the request: paging ends at 10,000")
        tests = [_test(f) for group in body.get("filterGroups") or [] for f in group["filters"]]
        seen_until = stamp(self.clock.now() - timedelta(seconds=self.index_lag))
        rows = [
            row for row in self.rows.get(object, {}).values() if not row["archived"] and row["updatedAt"] <= seen_until
        ]
        rows = [row for row in rows if all(test(row["properties"]) for test in tests)]
        rows.sort(key=lambda row: int(row["id"]))
        page = rows[after : after + limit]
        told: Row = {"total": len(rows), "results": [self._shown(row, body.get("properties") or []) for row in page]}
        if after + limit < len(rows):
            told["paging"] = {"next": {"after": str(after + limit)}}
        return Answer.of(told)

    def _get(self, call: Call, object: str, id: str) -> Answer:
        name = call.query.get("idProperty", "")
        row = self._by_property(object, name, id) if name else self._find(object, id)
        if row is None:
            return self._error(404, "OBJECT_NOT_FOUND", "resource not found")
        return Answer.of(self._shown(row, call.query.get("properties", "").split(",")))

    def _by_property(self, object: str, name: str, value: str) -> Row | None:
        if name == "email":
            id = self._by_email.get(value.lower())
            return self.rows["contacts"].get(id) if id else None
        return next((row for row in self.rows[object].values() if row["properties"].get(name) == value), None)

    def _create(self, call: Call, object: str) -> Answer:
        body = call.json
        values = body.get("properties") or {}
        wrong = self._wrong(object, None, values)
        if wrong:
            return self._error(400, "VALIDATION_ERROR", "Property values were not valid", errors=wrong)
        twin = self._by_property(object, "email", str(values.get("email"))) if values.get("email") else None
        if object == "contacts" and twin:
            return self._error(409, "CONFLICT", f"Contact already exists. Existing ID: {twin['id']}")
        row = self._new(object, values, "")
        self._tie(object, row["id"], body)
        return Answer.of(self._shown(row, values), 201)

    def _tie(self, object: str, id: str, body: Row) -> None:
        for tie in body.get("associations") or []:
            for kind in tie["types"]:
                self.associate(object, id, _TIED[kind["associationTypeId"]], str(tie["to"]["id"]))

    def _loose(self, body: Row) -> list[Row]:
        """Ties to records that are not there."""
        ends = [
            (_TIED.get(kind["associationTypeId"], ""), str(tie["to"]["id"]))
            for tie in body.get("associations") or []
            for kind in tie["types"]
        ]
        if all(object in self.rows and self._find(object, id) for object, id in ends):
            return []
        return [_complaint("associations", "INVALID_OBJECT_IDS", "a record to associate with is not there")]

    def _patch(self, call: Call, object: str, id: str) -> Answer:
        row = self._find(object, id)
        if row is None:
            return self._error(404, "OBJECT_NOT_FOUND", "resource not found")
        values = call.json["properties"]
        wrong = self._wrong(object, row, values)
        if wrong:
            return self._error(400, "VALIDATION_ERROR", "Property values were not valid", errors=wrong)
        self._change(object, row, values)
        return Answer.of(self._shown(row, values))

    def _archive(self, call: Call, object: str, id: str) -> Answer:
        if id in self.rows[object]:
            self.remove(object, id)
        return Answer(204)

    def _batch_archive(self, call: Call, object: str) -> Answer:
        inputs = call.json["inputs"]
        for item in inputs:
            self._archive(call, object, str(item["id"]))
        return self._too_many(inputs) or Answer(204)

    def _erase(self, call: Call, object: str) -> Answer:
        """Nothing is left, and no list tells of it."""
        row = self.rows[object].pop(str(call.json["objectId"]), None)
        if row is not None:
            self._by_email.pop(str(row["properties"].get("email") or "").lower(), None)
        return Answer(204)

    def _merge(self, call: Call, object: str) -> Answer:
        body = call.json
        new = self.merge(object, str(body["primaryObjectId"]), str(body["objectIdToMerge"]))
        return Answer.of(self._shown(self.rows[object][new], []))

    def _batch(self, call: Call, results: list[Row], errors: list[Row], status: int = 200) -> Answer:
        now = self._now()
        told: Row = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if errors:
            told.update(numErrors=len(errors), errors=errors)
        return Answer.of(told, 207 if errors and self.status_207 else status)

    def _too_many(self, inputs: list[Any]) -> Answer | None:
        if len(inputs) > 100:
            return self._error(400, "VALIDATION_ERROR", "The maximum number of inputs supported in a batch is 100")
        return None

    def _batch_read(self, call: Call, object: str) -> Answer:
        body = call.json
        name = body.get("idProperty") or ""
        found: list[Row] = []
        lost: list[str] = []
        for item in body["inputs"]:
            row = self._by_property(object, name, str(item["id"])) if name else self._find(object, str(item["id"]))
            if row is None or row["archived"]:
                lost.append(str(item["id"]))
            elif row["id"] not in [shown["id"] for shown in found[-100:]]:
                found.append(self._shown(row, body.get("properties") or []))
        errors: list[Row] = []
        if lost:
            told: Row = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some records"}
            errors.append({**told, "context": {"ids": lost}})
        return self._too_many(body["inputs"]) or self._batch(call, found, errors)

    def _batch_create(self, call: Call, object: str) -> Answer:
        inputs = call.json["inputs"]
        if answer := self._too_many(inputs):
            return answer
        for item in inputs:
            email = str(item["properties"].get("email") or "").lower()
            if object == "contacts" and email in self._by_email:
                told = f"Contact already exists. Existing ID: {self._by_email[email]}"
                return self._error(409, "CONFLICT", told)
        return self._write(call, object, inputs, lambda item: None, 201)

    def _batch_update(self, call: Call, object: str) -> Answer:
        inputs = [item for item in call.json["inputs"] if str(item["id"]) not in self.aliases]
        unknown = [item for item in inputs if self._find(object, str(item["id"])) is None]
        known = [item for item in inputs if item not in unknown]
        answer = self._too_many(call.json["inputs"])
        return answer or self._write(
            call, object, known, lambda item: self._find(object, str(item["id"])), 200, unknown
        )

    def _batch_upsert(self, call: Call, object: str) -> Answer:
        inputs = call.json["inputs"]
        ids = [str(item["id"]).lower() for item in inputs]
        if len(set(ids)) < len(ids):
            return self._error(409, "CONFLICT", "Two inputs resolve to one record")
        answer = self._too_many(inputs)
        return answer or self._write(
            call,
            object,
            inputs,
            lambda item: self._by_property(object, item.get("idProperty") or "", str(item["id"])),
            200,
        )

    def _write(
        self, call: Call, object: str, inputs: list[Row], find: Any, status: int, unknown: Iterable[Row] = ()
    ) -> Answer:
        """Rows with a trace id fail alone; without, one bad row refuses the whole batch."""
        results: list[Row] = []
        errors: list[Row] = []
        for item in unknown:
            told: Row = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "not found"}
            errors.append({**told, "context": {"ids": [str(item["id"])]}})
        for item in inputs:
            values, row = item["properties"], find(item)
            wrong = self._wrong(object, row, values) or self._loose(item)
            if wrong and not item.get("objectWriteTraceId"):
                return self._error(400, "VALIDATION_ERROR", "Property values were not valid", errors=wrong)
            if wrong:
                told = {"status": "error", "category": "VALIDATION_ERROR", "message": "Property values were not valid"}
                context = {"objectWriteTraceId": [item["objectWriteTraceId"]]}
                errors.append({**told, "context": context, "errors": wrong, "links": {}})
                continue
            created = row is None
            if row is None:
                row = self._new(object, values, "")
                self._tie(object, row["id"], item)
            else:
                self._change(object, row, values)
            shown = self._shown(row, values)
            if "upsert" in call.path:
                shown["new"] = created
            if item.get("objectWriteTraceId"):
                shown["objectWriteTraceId"] = item["objectWriteTraceId"]
            results.append(shown)
        return self._batch(call, results, errors, status)

    def _associated(self, call: Call, source: str, target: str) -> Answer:
        results = []
        for item in call.json["inputs"]:
            ids = self.ties.get(f"{source}/{item['id']}", {}).get(target, [])
            kind = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]
            if ids:
                to = [{"toObjectId": int(id), "associationTypes": kind} for id in ids]
                results.append({"from": {"id": str(item["id"])}, "to": to})
        return self._batch(call, results, [])

    def _owners(self, call: Call) -> Answer:
        return Answer.of({"results": self.owners})

    def _pipelines(self, call: Call) -> Answer:
        now = self._now()
        made: dict[str, Row] = {}
        for order, (key, (group, label, closed, probability)) in enumerate(self.stages.items()):
            id, _, stage = key.partition("/")
            pipeline = made.setdefault(id, {"id": id, "label": group, "displayOrder": len(made), "stages": []})
            shown: Row = {"id": stage, "label": label, "displayOrder": order, "archived": False}
            metadata = {"isClosed": closed, "probability": probability}
            rights = {"writePermissions": "CRM_PERMISSIONS_ENFORCEMENT"}
            pipeline["stages"].append({**shown, "metadata": metadata, "createdAt": now, "updatedAt": now, **rights})
        more = {"archived": False, "createdAt": now, "updatedAt": now}
        return Answer.of({"results": [{**pipeline, **more} for pipeline in made.values()]})

    def _describe(self, call: Call, object: str) -> Answer:
        if object not in self.properties:
            return self._error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {object}")
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
            "timestamp": self._now(),
            "setStatusSuccessReason": "UNSUBSCRIBE_FROM_ALL_OCCURRED",
        }
        return self._batch(call, [row], [])

    # snapshot

    _KEPT = ("rows", "aliases", "ties", "owners", "campaigns", "events", "opted_out", "properties", "next_id", "used")

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            return orjson.loads(orjson.dumps({name: getattr(self, name) for name in self._KEPT}))  # type: ignore[no-any-return]

    def restore(self, state: Mapping[str, Any]) -> None:
        with self.lock:
            for name in self._KEPT:
                setattr(self, name, state[name])
            people = self.rows["contacts"].values()
            self._by_email = {str(row["properties"].get("email")).lower(): row["id"] for row in people}


def _complaint(name: str, code: str, message: str) -> Row:
    return {"message": message, "code": code, "in": name, "context": {"propertyName": [name]}}


def _property(name: str, kind: str = "string", options: tuple[str, ...] = ()) -> Row:
    shown = [
        {"label": value.title(), "value": value, "displayOrder": n, "hidden": False} for n, value in enumerate(options)
    ]
    meta = {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": name in _READ_ONLY}
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": "enumeration" if options else kind,
        "fieldType": "select" if options else "text",
        "description": "",
        "groupName": "information",
        "options": shown,
        "calculated": False,
        "hasUniqueValue": name == "email",
        "modificationMetadata": meta,
    }


def _properties(object: str) -> dict[str, Row]:
    found = {name: _property(name) for name in DEFAULT_PROPERTIES[object].split()}
    moved = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
    for name in ("createdate", moved, "closedate" if object == "deals" else "hs_timestamp"):
        found[name] = _property(name, "datetime")
    found["hs_object_id"] = _property("hs_object_id", "number")
    if object == "contacts":
        found["lifecyclestage"] = _property("lifecyclestage", options=(*STAGES, "other"))
        found["hs_email_optout"] = _property("hs_email_optout", "bool")
    if object == "deals":
        for name in ("amount", "hs_deal_stage_probability"):
            found[name] = _property(name, "number")
        found["closedloop_home"] = _property("closedloop_home") | {"hasUniqueValue": True}
    if object == "companies":
        for name in ("numberofemployees", "annualrevenue"):
            found[name] = _property(name, "number")
    return found


def _test(filter: Row) -> Any:
    """One search filter as a function of a record's properties."""
    name, operator, value = filter["propertyName"], filter["operator"], str(filter.get("value") or "")
    if name == "hs_object_id" and operator == "GT":
        return lambda held: int(held["hs_object_id"]) > int(value)
    if operator == "GTE" and name.endswith("modifieddate"):
        limit = _of_epoch(value)
        return lambda held: (held.get(name) or "") >= limit
    if operator == "CONTAINS_TOKEN":
        return lambda held: value in (held.get(name) or "")
    if operator == "HAS_PROPERTY":
        return lambda held: bool(held.get(name))
    return lambda held: (held.get(name) or "") == value


def _of_epoch(value: str) -> str:
    return stamp(unstamp("1970-01-01T00:00:00Z") + timedelta(milliseconds=int(value)))
