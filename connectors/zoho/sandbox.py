"""Zoho CRM's sandbox: an org in memory with Zoho's own awkward habits.

Errors of the log-in come with status 200; empty lists are 204 without a body; `fields` must be asked for; page numbers
end at 2,000 rows; rows of a write fail one by one under 207; both limits answer 429 alike; a merge and a conversion
leave little behind; a channel's life that is too long becomes one hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors import manifest
from connectors.sandbox import Answer, Call, Sandbox
from connectors.zoho import platform
from connectors.zoho import sandbox_bulk as bulk
from connectors.zoho.sandbox_coql import Refused, ordered, parse, shown
from connectors.zoho.sandbox_jobs import ORG, Jobs
from connectors.zoho.sandbox_list import chosen, names, page
from connectors.zoho.sandbox_login import APP, Login
from connectors.zoho.sandbox_schema import MODULES, OTHER_LAYOUT, STAGES, stage_rows, told_field
from connectors.zoho.sandbox_store import Store, module_of, newer, shown_time
from connectors.zoho.sandbox_writes import Writes

DAY = timedelta(hours=24)
Row = dict[str, Any]
_MESSAGES = {
    "REQUIRED_PARAM_MISSING": "One of the expected parameter is missing",
    "INVALID_MODULE": "the module name given seems to be invalid",
    "OAUTH_SCOPE_MISMATCH": "invalid oauth scope to access this URL",
    "INVALID_TOKEN": "invalid oauth token",
    "TOO_MANY_REQUESTS": "You have exceeded the API limit",
}


class ZohoSandbox(Sandbox):
    """An org with one client and the admin who connected it.

    Switches: `credits` (in any 24 hours), `busy` (so many calls find too many others running), `coql_refuses` (columns
    that queries do not take), `coql_shows_converted` (leads), `age` (raised: page tokens have expired), `queued` (looks
    that a bulk read needs), `jobs_fail`; `login.*`, `store.*` and `writes.*` (bulk writes) as they say.
    """

    name = "zoho"

    def __init__(self, **options: Any) -> None:
        self.credits, self.busy, self.age, self.queued = 51_000, 0, 0, 1
        self.jobs_fail = False
        self.coql_refuses: set[str] = set()
        self.coql_shows_converted = False
        self.used: list[tuple[str, int]] = []
        self.jobs: dict[str, Row] = {}
        super().__init__(**options)
        self.store = Store(self.clock)
        self.writes = Jobs(self)
        self.login = Login(self.clock, self.random)
        self.login.scopes = " ".join((*manifest.load(platform.folder).auth["oauth"].scopes, "ZohoCRM.settings.ALL"))
        self.login.found()
        self.consents = self.login.consents
        self.user = self.put("users", {"email": "rita.ortega@example.com", "full_name": "Rita Ortega"})
        self.store.user = self.user

    def account(self) -> dict[str, Any]:
        secrets = {"refresh_token": self.login.refresh, "webhook_secret": "sandbox-webhook-secret"}
        return {"auth": {"mode": "oauth", **APP, **secrets}, "settings": {"region": "eu"}}

    def route(self) -> None:
        self.on("GET", "/oauth/v2/auth", self._ask)
        self.on("POST", "/oauth/v2/token", self._token)
        base, writes = "/crm/v8", Writes(self)
        self.on("POST", f"{base}/coql", self._coql)
        self.on("POST", f"{base}/upload", lambda call: self.writes.upload(call))
        self.on("GET", f"{base}/org", self._org)
        self.on("GET", f"{base}/users", self._users)
        self.on("GET", f"{base}/settings/fields", self._fields)
        layouts = [{"id": "61001", "name": "Standard"}, {"id": "61002", "name": "Partner"}]
        self.on("GET", f"{base}/settings/layouts", lambda call: Answer.of({"layouts": layouts}))
        self.on("GET", f"{base}/settings/pipeline", self._pipeline)
        self.on("DELETE", f"{base}/settings/recycle_bin/{{id}}", writes.destroy)
        self.on("GET", f"{base}/settings/recycle_bin", lambda call: Answer(204))
        for method in ("POST", "PUT", "PATCH"):
            self.on(method, f"{base}/actions/watch", writes.watch)
        self.on("POST", f"{base}/Leads/{{id}}/actions/convert", writes.convert)
        self.on("GET", f"{base}/Deals/{{id}}/Contact_Roles", self._roles)
        for module in ("Leads", "Contacts"):
            self.on("GET", f"{base}/Campaigns/{{id}}/{module}", partial(self._members, module=module))
        self.on("GET", f"{base}/{{module}}/deleted", self._of(self._deleted))
        self.on("GET", f"{base}/{{module}}/actions/count", self._of(self._count))
        self.on("POST", f"{base}/{{module}}/upsert", self._of(writes.upsert))
        self.on("GET", f"{base}/{{module}}", self._of(self._list))
        self.on("POST", f"{base}/{{module}}", self._of(writes.insert))
        self.on("PUT", f"{base}/{{module}}", self._of(writes.update))
        self.on("DELETE", f"{base}/{{module}}", self._of(writes.delete))
        self.on("GET", f"{base}/{{module}}/{{id}}", self._of(self._get))
        self.on("POST", "/crm/bulk/v8/read", self._job)
        self.on("GET", "/crm/bulk/v8/read/{id}", self._look)
        self.on("GET", "/crm/bulk/v8/read/{id}/result", self._result)
        self.on("POST", "/crm/bulk/v8/write", lambda call: self.writes.create(call))
        self.on("GET", "/crm/bulk/v8/write/{id}", lambda call, id: self.writes.look(call, id))
        self.on("GET", f"/v2/crm/{ORG}/bulk-write/{{id}}/{{name}}", lambda call, id, name: self.writes.result(call, id))

    # people

    def put(self, object: str, values: Mapping[str, Any], *, at: str = "") -> str:
        """A person creates a record; its id. Lookups are given by an id, tags by names, an activity's person by
        `person` ("leads/1")."""
        with self.lock:
            if object == "users":
                id = self.store.id()
                names = {"full_name": values["email"].partition("@")[0], "status": "active"}
                self.store.rows["users"][id] = {**names, **values, "id": id}
                return id
            when = shown_time(unstamp(at)) if at else ""
            return str(self.store.new(module_of(object), self._given(values), when)["id"])

    def _given(self, values: Mapping[str, Any]) -> Row:
        given = dict(values)
        if "Tag" in given:
            given["Tag"] = [
                {"name": name, "id": f"619{number}", "color_code": None} for number, name in enumerate(given["Tag"])
            ]
        object, _, id = str(given.pop("person", "")).partition("/")
        if object == "contacts":
            given["Who_Id"] = id
        elif object:
            given |= {"What_Id": id, "$se_module": module_of(object)}
        return given

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self.store.change(module_of(object), id, self._given(values))

    def remove(self, object: str, id: str) -> None:
        """Into the bin."""
        with self.lock:
            self.store.remove(module_of(object), id)

    def get(self, object: str, id: str) -> dict[str, Any]:
        """All that a record has, lookups by id; {} where there is none."""
        return dict(self.store.rows[module_of(object)].get(id, {}))

    def all(self, object: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.store.rows[module_of(object)].values() if not row.get("converted")]

    def merge(self, object: str, winner: str, loser: str) -> None:
        """Merge two records: the loser is gone for good, and nothing says where to."""
        with self.lock:
            module = module_of(object)
            lost = {name: value for name, value in self.store.rows[module][loser].items() if value}
            held = self.store.rows[module][winner]
            self.store.remove(module, loser, kind="permanent", by=None)
            self.store.change(module, winner, {name: v for name, v in lost.items() if held.get(name) in (None, "")})

    def convert(self, lead: str, *, deal: str = "", stage: str = "Qualification") -> tuple[str, str, str]:
        """A salesperson converts a lead; the ids of account, contact and deal ('' without a name for one)."""
        with self.lock:
            row = self.store.rows["Leads"][lead]
            shared = {name: row[name] for name in MODULES["Leads"] if name in MODULES["Contacts"] and row.get(name)}
            unlike = ("id", "Created_Time", "Modified_Time", "Created_By", "Modified_By", "Full_Name")
            account = self.put("accounts", {"Account_Name": row["Company"]})
            values = {name: value for name, value in shared.items() if name not in unlike and name != "Tag"}
            contact = str(self.store.new("Contacts", {**values, "Account_Name": account})["id"])
            made = self.deal(deal, [contact], stage, Account_Name=account) if deal else ""
            self.store.convert(lead, account, contact, made)
            return account, contact, made

    def deal(self, name: str, contacts: list[str], stage: str = "Qualification", **values: Any) -> str:
        """A deal with its people, the first of them its main one; its id."""
        main = contacts[0] if contacts else None
        deal = self.put("deals", {"Deal_Name": name, "Stage": stage, "Contact_Name": main, **values})
        for contact in contacts:
            self.role(deal, contact)
        return deal

    def role(self, deal: str, contact: str, role: str | None = "Decision Maker") -> None:
        """Give a contact a role in a deal, or take it away (None): no stamp of the deal moves."""
        with self.lock:
            held = self.store.roles.setdefault(deal, {})
            held.pop(contact, None)
            if role is not None:
                held[contact] = role

    def member(self, campaign: str, person: str, status: str | None = "Active") -> None:
        """Take a person ("leads/1") into a campaign, give them another status, or take them out (None): no stamp
        moves."""
        with self.lock:
            object, _, id = person.partition("/")
            held = self.store.members.setdefault(campaign, {})
            held.pop(f"{module_of(object)}/{id}", None)
            if status is not None:
                held[f"{module_of(object)}/{id}"] = status

    def close(self, deal: str, *, won: bool, day: str, reason: str = "") -> None:
        """Win or lose a deal."""
        stage = "Abgeschlossen (gewonnen)" if won else "Closed Lost"
        self.edit("deals", deal, {"Stage": stage, "Closing_Date": day, "Reason_For_Loss__s": reason or None})

    def deliver(self, receiver: Callable[[str, bytes], Any]) -> int:
        """Send the notices that wait, each once whatever is answered; their number."""
        waiting, self.store.deliveries = self.store.deliveries, []
        for notice in waiting:
            receiver(notice["url"], notice["body"].encode())
        return len(waiting)

    # log-in and limits

    def _ask(self, call: Call) -> Answer:
        self.login.server = self.login.server or self.base_url
        return self.login.consents.page(call)

    def _token(self, call: Call) -> Answer:
        return self.login.grant({**call.query, **call.form}, self.base_url)

    def before(self, call: Call) -> Answer | None:
        if call.path.startswith("/oauth/v2/"):
            return None
        self.writes.work()
        if not self.login.opens(call.headers.get("authorization", "")):
            return self.error(401, "INVALID_TOKEN")
        if self.busy > 0:
            self.busy -= 1
            return self.error(429, "TOO_MANY_REQUESTS")
        since = stamp(self.clock.now() - DAY)
        self.used = [(at, cost) for at, cost in self.used if at > since]
        cost = self._cost(call)
        if self.spent + cost > self.credits:
            return self.error(429, "TOO_MANY_REQUESTS")
        self.used.append((stamp(self.clock.now()), cost))
        return self._unscoped(call)

    @property
    def spent(self) -> int:
        return sum(cost for _, cost in self.used)

    def _cost(self, call: Call) -> int:
        if call.path.endswith("/coql"):
            try:
                return parse(call.json["select_query"]).credits
            except (Refused, orjson.JSONDecodeError, TypeError, KeyError):
                return 1
        if call.path.endswith("/deleted"):
            return 2
        if call.path.endswith("/convert"):
            return 5
        if call.path.endswith(("/bulk/v8/read", "/bulk/v8/write")):
            return 50 if call.path.endswith("read") else 500
        return -(-self._rows(call) // 10)

    @staticmethod
    def _rows(call: Call) -> int:
        """How many records a write sends."""
        try:
            told = call.json if call.method in ("POST", "PUT") else None
        except orjson.JSONDecodeError:
            return 1
        rows = told.get("data") if isinstance(told, dict) else None
        return max(1, len(rows)) if isinstance(rows, list) else 1

    def _unscoped(self, call: Call) -> Answer | None:
        """The refusal of a call whose scope was not granted."""
        parts = call.path.split("/")
        word = "bulk" if "bulk" in parts else "files" if parts[-1] == "upload" else parts[3] if len(parts) > 3 else ""
        wanted = {"coql": "coql", "users": "users", "org": "org", "actions": "notifications"}
        group = f"settings.{parts[4]}" if word == "settings" else wanted.get(word, "modules")
        opening: tuple[str, ...] = (f"ZohoCRM.{group}.", f"ZohoCRM.{group.partition('.')[0]}.ALL")
        if word == "bulk":
            opening = ("ZohoCRM.bulk.ALL", f"ZohoCRM.bulk.{'READ' if 'read' in parts else 'CREATE'}")
        if word == "files":
            opening = ("ZohoFiles.files.ALL",)
        granted = parts[1] != "crm" or any(s.startswith(opening) for s in self.login.scopes.split())
        return None if granted else self.error(401, "OAUTH_SCOPE_MISMATCH")

    def after(self, call: Call, answer: Answer) -> Answer:
        if call.path.startswith("/oauth/v2/") or self.spent * 2 < self.credits:
            return answer
        left = str(max(0, self.credits - self.spent))
        return Answer(answer.status, answer.body, {**answer.headers, "X-API-CREDITS-REMAINING": left})

    def error(self, status: int, code: str, message: str = "", **details: Any) -> Answer:
        """A refusal of a call as a whole."""
        message = message or _MESSAGES.get(code, "invalid request")
        return Answer.of({"code": code, "details": details, "message": message, "status": "error"}, status)

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        codes = {404: "INVALID_URL_PATTERN", 405: "INVALID_REQUEST_METHOD"}
        return self.error(status, codes.get(status, "INVALID_DATA"))

    def _of(self, handler: Callable[..., Answer]) -> Callable[..., Answer]:
        """The handler of a module that there is."""

        def answer(call: Call, module: str, **named: str) -> Answer:
            if module not in MODULES:
                return self.error(400, "INVALID_MODULE", resource_path_index=0)
            try:
                return handler(call, module, **named)
            except Refused as error:
                return self.error(400, error.code, **error.details)

        return answer

    # reading

    def _list(self, call: Call, module: str) -> Answer:
        asked, since = names(call.query), call.headers.get("if-modified-since", "")
        found = chosen(list(self.store.rows[module].values()), call.query, since)
        if not found:
            return Answer(304 if since else 204)
        rows, info = page(found, call.query, self.clock.now(), self.age)
        if not rows:
            return Answer(204)
        return Answer.of({"data": [self.store.shown(module, row, asked) for row in rows], "info": info})

    def _get(self, call: Call, module: str, id: str) -> Answer:
        row = self.store.rows[module].get(id)
        if row is None:
            return Answer(204)
        told = self.store.shown(module, row)
        if row.get("converted"):
            told |= {"$converted": True, "$converted_detail": row["detail"]}
        return Answer.of({"data": [told]})

    def _deleted(self, call: Call, module: str) -> Answer:
        since = call.headers.get("if-modified-since", "")
        found = [
            {
                "id": row["id"],
                "display_name": row["name"],
                "type": row["type"],
                "deleted_time": row["at"],
                "deleted_by": {"name": "Rita Ortega", "id": row["by"]} if row["by"] else None,
                "created_by": {"name": "Rita Ortega", "id": self.user},
            }
            for row in reversed(self.store.gone)
            if row["module"] == module and newer({"Modified_Time": row["at"]}, since)
        ]
        number, size = int(call.query.get("page") or 1), int(call.query.get("per_page") or 200)
        rows = found[(number - 1) * size : number * size]
        if not rows:
            return Answer(304 if since and not found else 204)
        info = {"per_page": size, "count": len(rows), "page": number, "more_records": number * size < len(found)}
        return Answer.of({"data": rows, "info": info})

    def _coql(self, call: Call) -> Answer:
        try:
            query = parse(call.json["select_query"])
            if refused := [column for column in query.columns if column in self.coql_refuses]:
                raise Refused("INVALID_QUERY", column_name=refused[0])
            rows = [
                row
                for row in self.store.rows[query.module].values()
                if query.test(row) and (self.coql_shows_converted or not row.get("converted"))
            ]
        except Refused as error:
            return self.error(400, error.code, **error.details)
        found = ordered(rows, query)
        some = found[query.offset : query.offset + query.limit]
        if not some:
            return Answer(204)
        info = {"count": len(some), "more_records": query.offset + query.limit < len(found)}
        return Answer.of({"data": [shown(row, query, self._record) for row in some], "info": info})

    def _record(self, module: str, id: str) -> Row:
        return self.store.rows.get(module, {}).get(id, {})

    def _count(self, call: Call, module: str) -> Answer:
        return Answer.of({"count": len(self.all(module))})

    def _roles(self, call: Call, id: str) -> Answer:
        if id not in self.store.rows["Deals"]:
            return self.error(400, "INVALID_DATA", "the related id given seems to be invalid", resource_path_index=1)
        names(call.query)
        held = self.store.roles.get(id, {})
        rows = [{"id": contact, "Contact_Role": {"name": role, "id": "6101"}} for contact, role in held.items()]
        info = {"per_page": 200, "count": len(rows), "page": 1, "more_records": False}
        return Answer.of({"data": rows, "info": info}) if rows else Answer(204)

    def _members(self, call: Call, id: str, module: str) -> Answer:
        if id not in self.store.rows["Campaigns"]:
            return self.error(400, "INVALID_DATA", "the related id given seems to be invalid", resource_path_index=1)
        asked = names(call.query)
        people = self.store.rows[module]
        held = {key.partition("/")[2]: status for key, status in self.store.members.get(id, {}).items()}
        found = chosen([row for person, row in people.items() if person in held], call.query, "")
        rows, info = page(found, call.query, self.clock.now(), self.age)
        told = [{**self.store.shown(module, row, asked), "Member_Status": held[row["id"]]} for row in rows]
        info = {name: value for name, value in info.items() if not name.startswith("sort")}
        return Answer.of({"data": told, "info": info}) if told else Answer(204)

    def _org(self, call: Call) -> Answer:
        paid = {
            "paid": True,
            "paid_type": "enterprise",
            "users_license_purchased": 1,
            "portal_users_license_purchased": 0,
        }
        told = {"id": "6100000000000000019", "zgid": ORG, "company_name": "Sandbox Ltd", "type": "sandbox"}
        return Answer.of({"org": [{**told, "currency": "EUR", "time_zone": "Europe/Berlin", "license_details": paid}]})

    def _users(self, call: Call) -> Answer:
        rows = list(self.store.rows["users"].values())
        info = {"per_page": 200, "count": len(rows), "page": 1, "more_records": False}
        return Answer.of({"users": rows, "info": info}) if call.query.get("page", "1") == "1" else Answer(204)

    def _fields(self, call: Call) -> Answer:
        module = call.query.get("module", "")
        if module not in MODULES:
            return self.error(400, "INVALID_MODULE")
        return Answer.of({"fields": [{**told_field(module, name)} for name in MODULES[module]]})

    def _pipeline(self, call: Call) -> Answer:
        standard = call.query.get("layout_id") == "61001"
        stages = [stage for stage in STAGES if (stage not in OTHER_LAYOUT) == standard]
        line = {"id": "67001", "display_value": "Sales", "actual_value": "Sales", "default": True}
        return Answer.of({"pipeline": [{**line, "maps": stage_rows(stages)}]})

    # bulk

    def _job(self, call: Call) -> Answer:
        try:
            job = bulk.started(self.store, self.store.id(), call.json["query"], self.queued)
        except Refused as error:
            return self.error(400, error.code, **error.details)
        job["state"] = "FAILURE" if self.jobs_fail else "ADDED"
        self.jobs[job["id"]] = job
        created = {"created_by": {"id": job["by"], "name": "Rita Ortega"}, "created_time": job["at"]}
        details = {"id": job["id"], "operation": "read", "state": "ADDED", **created}
        row = {"status": "success", "code": "ADDED_SUCCESSFULLY", "message": "Added successfully.", "details": details}
        return Answer.of({"data": [row], "info": {}}, 201)

    def _look(self, call: Call, id: str) -> Answer:
        if id not in self.jobs:
            return self.error(404, "RESOURCE_NOT_FOUND")
        job = self.jobs[id]
        return Answer.of({"data": [bulk.told(job, len(self.all(job["query"]["module"]["api_name"])))]})

    def _result(self, call: Call, id: str) -> Answer:
        if id not in self.jobs:
            return self.error(404, "RESOURCE_NOT_FOUND")
        job = self.jobs[id]
        body = bulk.packed(job, self.all(job["query"]["module"]["api_name"]), self._record)
        return Answer(200, body, {"content-type": "application/zip"})

    # snapshots

    _KEPT = ("credits", "age", "user", "jobs", "queued")
    _WRITTEN = ("files", "made", "added")
    _STORED = ("rows", "gone", "roles", "members", "channels", "deliveries", "triggered", "last_id", "user")

    def snapshot(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self._KEPT}
        told |= {
            "login": {name: getattr(self.login, name) for name in ("scopes", "refresh", "access", "calls", "later")}
        }
        told |= {"store": {name: getattr(self.store, name) for name in self._STORED}}
        told |= {"writes": {name: getattr(self.writes, name) for name in self._WRITTEN}}
        told |= {"used": self.used, "random": self.random.getstate()}
        copied: dict[str, Any] = orjson.loads(orjson.dumps(told))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        holders = (("login", self.login), ("store", self.store), ("writes", self.writes))
        for holder, values in ((holder, state[name]) for name, holder in holders):
            for name, value in values.items():
                setattr(holder, name, value)
        self.used = [(at, cost) for at, cost in state["used"]]
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))
