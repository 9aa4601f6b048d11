"""Google Analytics' sandbox: a property in memory with Google's own awkward habits; all of its hosts on one port.

Every value of a report is a string; what is empty is left out; quotas are told by what remains, and their end by the
text of a 429; ten server errors lock the project out; figures of a day are restated for days. The Measurement Protocol
answers 204 to anything and drops in silence: what was dropped stands in `dropped`, what should never have come stands
in `leaks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import orjson

from config.clock import stamp
from connectors.google_analytics import sandbox_events as intake
from connectors.google_analytics.figures import OF_COST, Query, row_id
from connectors.google_analytics.login import EDIT, INGEST, READ
from connectors.google_analytics.pull import local_day
from connectors.google_analytics.sandbox_login import APP, REFRESH, Login
from connectors.google_analytics.sandbox_reports import CLIENT, UNSET, Habits, Quotas, Refused, metadata, report
from connectors.sandbox import Answer, Call, Sandbox

Row = dict[str, Any]

PROPERTY, STREAM = "123456789", "G-SANDBOX001"
API_SECRET = "sandbox-api-secret"
READY = Query("visits", (*OF_COST, "sessionDefaultChannelGroup", "landingPage"), ())
"""The report of the ready mapping."""
PROCESSING = timedelta(seconds=120)
"""How long the Data Manager says that a request is being worked on."""


class GoogleAnalyticsSandbox(Sandbox):
    """One property with one web stream.

    Switches: `habits` (see `Habits`), `quotas.price`, `quotas.limits`, `failing` (server errors to come), `blocked`
    (metrics the log-in may not see), `role` (none, viewer, editor), `enabled` (the APIs in the project), `created`,
    `zone`, `currency`; `login.scopes`, `login.withdrawn`.
    """

    name = "google_analytics"

    def __init__(self, **options: Any) -> None:
        self.zone, self.currency, self.role, self.enabled = "America/New_York", "USD", "editor", True
        self.failing = 0
        self.blocked: list[str] = []
        self.visits: list[Row] = []
        self.key_events = ["close_convert_lead", "qualify_lead"]
        self.events: list[Row] = []
        self.dropped: list[str] = []
        self.leaks: list[str] = []
        self.requests: dict[str, Row] = {}
        self.transactions: list[str] = []
        self.erased: list[str] = []
        self.habits = Habits()
        self.custom = {CLIENT: "Client id"}
        super().__init__(**options)
        self.created = stamp(self.clock.now() - timedelta(days=3))
        self.quotas = Quotas(self.clock)
        self.login = Login(self.clock, self.random)
        self.consents = self.login.consents

    def account(self) -> Row:
        secrets = {"refresh_token": REFRESH, "api_secret": API_SECRET}
        return {
            "auth": {"mode": "oauth", **APP, **secrets},
            "settings": {"property": PROPERTY, "measurement_id": STREAM, "client_dimension": CLIENT},
        }

    def service_account(self) -> Row:
        """The `auth:` block of a service account."""
        return {"mode": "service_account", "service_account_key": self.login.key_file(), "api_secret": API_SECRET}

    def route(self) -> None:
        self.on("GET", "/o/oauth2/v2/auth", lambda call: self.login.consents.page(call))
        self.on("POST", "/token", lambda call: self.login.grant(call.form))
        here = f"/v1beta/properties/{PROPERTY}"
        self.on("GET", here, self._of(READ, self._property))
        self.on("GET", f"{here}/metadata", self._of(READ, lambda call: Answer.of(self._metadata())))
        self.on("POST", f"{here}:runReport", self._of(READ, self._report))
        self.on("GET", f"{here}/dataStreams", self._of(READ, self._streams))
        self.on("GET", f"{here}/dataStreams/1/measurementProtocolSecrets", self._of(READ, self._secrets))
        self.on("GET", f"{here}/keyEvents", self._of(READ, self._key_events))
        self.on("POST", f"{here}/keyEvents", self._of(EDIT, self._mark))
        self.on("POST", f"/v1alpha/properties/{PROPERTY}:submitUserDeletion", self._of(EDIT, self._erase))
        self.on("POST", "/mp/collect", self._collect)
        self.on("POST", "/debug/mp/collect", self._debug)
        self.on("POST", "/v1/events:ingest", self._of(INGEST, self._ingest))
        self.on("GET", "/v1/requestStatus:retrieve", self._of(INGEST, self._status))

    # people on the site

    @property
    def today(self) -> date:
        return local_day(self.clock.now(), self.zone)

    def put(self, object: str, values: Mapping[str, Any]) -> str:
        """Count visits (`object` is figures), by the names of dimensions and metrics; the id of their row in a report
        of the ready mapping's dimensions."""
        told = {"date": self.today.isoformat(), "sessions": 1, "totalUsers": 1, **values}
        with self.lock:
            self.visits.append({**told, "date": str(told["date"]).replace("-", "")})
        return _id(self.visits[-1])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        """Count the visits of a row otherwise."""
        with self.lock:
            next(visit for visit in self.visits if _id(visit) == id).update(values)

    def remove(self, object: str, id: str) -> None:
        """Count the visits of a row no more."""
        with self.lock:
            self.visits = [visit for visit in self.visits if _id(visit) != id]

    def visit(self, campaign: str = "(direct)", *, ago: int = 0, **values: Any) -> str:
        """Visits of a campaign, some days ago; the day."""
        day = (self.today - timedelta(days=ago)).isoformat()
        usual = {
            "sessionCampaignName": campaign,
            "sessionCampaignId": "(not set)",
            "sessionSource": "(direct)" if campaign == "(direct)" else "google",
            "sessionMedium": "(none)" if campaign == "(direct)" else "cpc",
            "sessionDefaultChannelGroup": "Direct" if campaign == "(direct)" else "Paid Search",
            "landingPage": "/",
        }
        self.put("figures", {"date": day, **usual, **values})
        return day

    def restate(self, day: str, campaign: str, into: str) -> None:
        """Attribute the visits of a day anew: those of one campaign become another's."""
        with self.lock:
            for visit in self.visits:
                if visit["date"] == day.replace("-", "") and visit.get("sessionCampaignName") == campaign:
                    visit["sessionCampaignName"] = into

    def all(self, object: str = "lead_events") -> list[Row]:
        """The events that came in and were kept."""
        return [dict(event) for event in self.events]

    # before and after

    def before(self, call: Call) -> Answer | None:
        if call.path in ("/o/oauth2/v2/auth", "/token", "/mp/collect", "/debug/mp/collect"):
            return None
        if not self.login.opens(_token(call)):
            message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            return self.error(401, "UNAUTHENTICATED", message)
        return None

    def _of(self, scope: str, handler: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        """The handler, where the scope, the API and the role are there."""

        def answer(call: Call) -> Answer:
            if not self.login.allows(_token(call), scope):
                message = "Request had insufficient authentication scopes."
                return self.error(403, "PERMISSION_DENIED", message, reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT")
            if not self.enabled:
                message = "The API has not been used in project 1 before or it is disabled."
                return self.error(403, "PERMISSION_DENIED", message, reason="SERVICE_DISABLED")
            if self.role != "editor" and (scope != READ or self.role == "none"):
                return self.error(
                    403, "PERMISSION_DENIED", "User does not have sufficient permissions for this property."
                )
            return handler(call)

        return answer

    def error(self, status: int, code: str, message: str, *, reason: str = "", fields: Any = ()) -> Answer:
        """Google's error body."""
        details: list[Row] = []
        if reason:
            kind = "type.googleapis.com/google.rpc.ErrorInfo"
            details.append({"@type": kind, "reason": reason, "domain": "googleapis.com"})
        if fields:
            details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": list(fields)})
        told = {"code": status, "message": message, "status": code, **({"details": details} if details else {})}
        return Answer.of({"error": told}, status)

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        code = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}.get(status, "UNIMPLEMENTED")
        return self.error(status, code, "Requested entity was not found." if status == 404 else message)

    # the property

    def _property(self, call: Call) -> Answer:
        return Answer.of(
            {
                "name": f"properties/{PROPERTY}",
                "parent": "accounts/1",
                "account": "accounts/1",
                "displayName": "Example site",
                "propertyType": "PROPERTY_TYPE_ORDINARY",
                "timeZone": self.zone,
                "currencyCode": self.currency,
                "serviceLevel": "GOOGLE_ANALYTICS_STANDARD",
                "createTime": self.created,
                "updateTime": self.created,
            }
        )

    def _streams(self, call: Call) -> Answer:
        web = {"measurementId": STREAM, "defaultUri": "https://www.example.com"}
        name = f"properties/{PROPERTY}/dataStreams/1"
        row = {"name": name, "type": "WEB_DATA_STREAM", "displayName": "Site", "webStreamData": web}
        return Answer.of({"dataStreams": [row]})

    def _secrets(self, call: Call) -> Answer:
        name = f"properties/{PROPERTY}/dataStreams/1/measurementProtocolSecrets/1"
        row = {"name": name, "displayName": "Sync", "secretValue": API_SECRET}
        return Answer.of({"measurementProtocolSecrets": [row]})

    def _key_events(self, call: Call) -> Answer:
        rows = [
            {"name": f"properties/{PROPERTY}/keyEvents/{number}", "eventName": name, "countingMethod": "ONCE_PER_EVENT"}
            for number, name in enumerate(self.key_events)
        ]
        return Answer.of({"keyEvents": rows} if rows else {})

    def _mark(self, call: Call) -> Answer:
        name = str((call.json or {}).get("eventName"))
        if name in self.key_events:
            return self.error(409, "ALREADY_EXISTS", "Entity already exists.")
        self.key_events.append(name)
        return Answer.of({"name": f"properties/{PROPERTY}/keyEvents/{len(self.key_events)}", "eventName": name})

    def _erase(self, call: Call) -> Answer:
        told = call.json or {}
        if not told.get("clientId") and not told.get("userId"):
            return self.error(400, "INVALID_ARGUMENT", "A user identifier is required.")
        self.erased.append(str(told.get("clientId") or told.get("userId")))
        self.events = [event for event in self.events if event["client_id"] != told.get("clientId")]
        return Answer.of({"deletionRequestTime": stamp(self.clock.now())})

    # reports

    def _metadata(self) -> Row:
        return metadata(PROPERTY, self.blocked, self.custom)

    def _report(self, call: Call) -> Answer:
        if text := self.quotas.empty():
            return self.error(429, "RESOURCE_EXHAUSTED", text)
        if self.failing:
            self.failing -= 1
            self.quotas.failures += 1
            return self.error(500, "INTERNAL", "An internal error has occurred.")
        asked = call.json if isinstance(call.json, dict) else {}
        quota = self.quotas.take()
        try:
            world = (self.clock.now(), self.zone, self.currency, self.habits, self.custom)
            self.leaks += intake.leaks_of_filter(asked.get("dimensionFilter"))
            told = report(self.visits, asked, *world)
        except Refused as error:
            return self.error(400, "INVALID_ARGUMENT", str(error))
        return Answer.of({**told, **({"propertyQuota": quota} if asked.get("returnPropertyQuota") else {})})

    # events

    def _collect(self, call: Call) -> Answer:
        """204, whatever it is."""
        known = call.query.get("measurement_id") == STREAM and call.query.get("api_secret") == API_SECRET
        kept, dropped = intake.collected(call.body, known, self.clock.now())
        self.dropped += dropped
        self._keep(kept)
        return Answer(204)

    def _keep(self, events: list[Row]) -> None:
        for event in events:
            self.leaks += intake.leaks(event)
            self.events.append(event)

    def _debug(self, call: Call) -> Answer:
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            body = None
        return Answer.of({"validationMessages": intake.messages(body, self.clock.now())})

    def _ingest(self, call: Call) -> Answer:
        body = call.json if isinstance(call.json, dict) else {}
        wrong = intake.violations(body, PROPERTY, {STREAM: ""}, self.clock.now())
        if wrong:
            return self.error(400, "INVALID_ARGUMENT", "There was a problem with the request.", fields=wrong)
        request = f"request-{len(self.requests) + 1}"
        if body.get("validateOnly"):
            return Answer.of({"requestId": request})
        fresh = [event for event in body["events"] if event.get("transactionId") not in self.transactions]
        self.transactions += [str(event.get("transactionId")) for event in fresh]
        self._keep([intake.ingested(event) for event in fresh])
        repeats = len(body["events"]) - len(fresh)
        told = {"at": stamp(self.clock.now()), "events": len(body["events"]), "repeats": repeats, "status": ""}
        self.requests[request] = {**told, "destination": body["destinations"][0]}
        return Answer.of({"requestId": request})

    def _status(self, call: Call) -> Answer:
        told = self.requests.get(call.query.get("requestId", ""))
        if told is None:
            return self.error(404, "NOT_FOUND", "The request was not found.")
        row: Row = {"destination": told["destination"], "eventsIngestionStatus": {"recordCount": str(told["events"])}}
        if stamp(self.clock.now() - PROCESSING) < told["at"]:
            return Answer.of({"requestStatusPerDestination": [{**row, "requestStatus": "PROCESSING"}]})
        status = told["status"] or ("PARTIAL_SUCCESS" if told["repeats"] else "SUCCESS")
        if status != "SUCCESS":
            reason = "INVALID_EVENT" if told["status"] else "DUPLICATE_TRANSACTION_ID"
            count = {
                "reason": f"PROCESSING_ERROR_REASON_{reason}",
                "recordCount": str(told["repeats"] or told["events"]),
            }
            row["errorInfo"] = {"errorCounts": [count]}
        return Answer.of({"requestStatusPerDestination": [{**row, "requestStatus": status}]})

    # snapshots

    _KEPT = (
        "zone",
        "currency",
        "role",
        "enabled",
        "failing",
        "blocked",
        "custom",
        "visits",
        "key_events",
        "events",
        "dropped",
        "leaks",
        "requests",
        "transactions",
        "erased",
        "created",
    )
    _OF_QUOTAS = ("price", "limits", "used", "window", "failures", "concurrent")
    _OF_HABITS = ("cardinality", "threshold", "sampled")
    _OF_LOGIN = ("scopes", "withdrawn", "access", "refresh")

    def snapshot(self) -> Row:
        told = {
            **{name: getattr(self, name) for name in self._KEPT},
            "quotas": {name: getattr(self.quotas, name) for name in self._OF_QUOTAS},
            "habits": {name: getattr(self.habits, name) for name in self._OF_HABITS},
            "login": {name: getattr(self.login, name) for name in self._OF_LOGIN},
            "random": self.random.getstate(),
        }
        copied: Row = orjson.loads(orjson.dumps(told))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        for part, names in (("quotas", self._OF_QUOTAS), ("habits", self._OF_HABITS), ("login", self._OF_LOGIN)):
            for name in names:
                if name in state[part]:
                    setattr(getattr(self, part), name, state[part][name])
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))


def _id(visit: Row) -> str:
    """The id of the row that visits are counted in."""
    row = {name: str(visit.get(name, UNSET)) for name in READY.dimensions}
    return f"{date.fromisoformat(visit['date']).isoformat()}:{row_id(READY, row)}"


def _token(call: Call) -> str:
    return call.headers.get("authorization", "").removeprefix("Bearer ")
