"""LinkedIn's sandbox: one member's ad account and page in memory, with LinkedIn's own awkward habits.

A monthly version is demanded (400 without, 426 after its sunset); Rest.li addresses are read strictly; created ids come
in a header; daily quotas stand in no header; answers name questions by id; one bad element refuses a batch; an event is
counted once by its id; hooks are challenged every two hours and closed after three misses; notices come twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp
from connectors.linkedin.client import VERSION
from connectors.linkedin.restli import encoded
from connectors.linkedin.sandbox_events import Events
from connectors.linkedin.sandbox_exports import Exports
from connectors.linkedin.sandbox_leads import QUESTIONS, Leads, signed
from connectors.linkedin.sandbox_login import APP, Login
from connectors.linkedin.sandbox_restli import BadSyntax, Row, members, page, projected
from connectors.linkedin.webhook import challenge
from connectors.sandbox import Answer, Call, Sandbox

AD_ACCOUNT = "512345678"
PAGE = "2414183"
INSTANCE = "urn:li:crmInstance:(SFDC,00D000000000001)"
CHALLENGES = timedelta(hours=2)
MISSES = 3
_SCOPES = {
    "leadFormResponses": "r_marketing_leadgen_automation",
    "leadForms": "r_marketing_leadgen_automation",
    "leadNotifications": "r_marketing_leadgen_automation",
    "adAccounts": "r_ads",
    "adAccountUsers": "r_ads",
    "organizationAcls": "r_organization_admin",
    "conversions": "rw_conversions",
    "campaignConversions": "rw_conversions",
    "conversionEvents": "rw_conversions",
    "crmDataValidationExportJobs": "r_sales_nav_validation",
    "salesNavigatorProfileAssociations": "r_sales_nav_profiles",
}

Receiver = Callable[[str, str, Mapping[str, str], bytes], tuple[int, Any]]
"""A hook's address: (method, address, headers, body) -> (status, JSON); status 0 where nobody answers."""


class LinkedInSandbox(Sandbox):
    """Switches: `sunset` (versions that are answered 426), `daily` (calls a day of an endpoint), `partner` (the app is
    one of SNAP's), `roles` and `page_roles`, `leads.embeds_current`, `events.partly`, `exports.fails`,
    `exports.per_file`, `login.scopes`."""

    name = "linkedin"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sunset: list[str] = ["202511"]
        self.daily: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.day = ""
        self.partner = True
        self.owner = f"urn:li:sponsoredAccount:{AD_ACCOUNT}"
        self.page = f"urn:li:organization:{PAGE}"
        self.roles = {self.owner: "CAMPAIGN_MANAGER"}
        self.page_roles = {self.page: "LEAD_GEN_FORMS_MANAGER"}
        self.campaigns: dict[str, Row] = {}
        self.matched: dict[str, str] = {}
        self.login = Login(self.clock, self.random)
        self.login.found()
        self.consents = self.login.consents
        self.leads = Leads(self.clock, self.random)
        self.events = Events(self.clock)
        self.exports = Exports(self.clock)
        self._people()

    def _people(self) -> None:
        """A campaign, the usual form, and a conversion rule for each of three outcomes."""
        self.campaign = self.put("campaigns", {"name": "Lead generation"})
        self.form = self.ask("Demo request")
        for number, event in enumerate(("qualified", "opportunity", "won"), 101):
            self.rule(str(number), event)

    def account(self) -> dict[str, Any]:
        rules = ", ".join(f"{rule['name']}={id}" for id, rule in self.events.rules.items())
        return {
            "auth": {"mode": "token", "access_token": self.login.first, **APP},
            "settings": {"ad_accounts": AD_ACCOUNT, "email_consent": "0", "conversion_rules": rules},
        }

    def renewed(self) -> dict[str, Any]:
        """The `auth:` of the mode with a refresh token."""
        return {"mode": "oauth", "refresh_token": self.login.refresh, **APP}

    def route(self) -> None:
        self.on("GET", "/oauth/v2/authorization", lambda call: self.login.consents.page(call))
        self.on("POST", "/oauth/v2/accessToken", lambda call: self.login.grant(call.form))
        self.on("POST", "/oauth/v2/introspectToken", lambda call: self.login.introspect(call.form))
        self.on("GET", "/rest/adAccounts/{id}", self._ad_account)
        self.on("GET", "/rest/adAccounts/{id}/adCampaigns", self._campaigns)
        self.on("GET", "/rest/adAccountUsers", self._roles)
        self.on("GET", "/rest/organizationAcls", self._page_roles)
        self.on("GET", "/rest/leadForms", self._forms)
        self.on("GET", "/rest/leadFormResponses", self._responses)
        self.on("GET", "/rest/leadFormResponses/{id}", self._response)
        self.on("POST", "/rest/leadNotifications", self._subscribe)
        self.on("DELETE", "/rest/leadNotifications/{id}", self._unsubscribe)
        self.on("GET", "/rest/conversions", self._rules)
        self.on("POST", "/rest/conversions", self._new_rule)
        self.on("PUT", "/rest/campaignConversions/{key:path}", lambda call, key: Answer(204))
        self.on("POST", "/rest/conversionEvents", self._events)
        self.on("POST", "/v2/crmDataValidationExportJobs", self._start_export)
        self.on("GET", "/v2/crmDataValidationExportJobs/{id}", self._export)
        self.on("GET", "/ambry/{id}/{number}", self._file)
        self.on("GET", "/v2/salesNavigatorProfileAssociations", self._associations)

    # people

    def put(self, object: str, values: Mapping[str, Any], *, at: str = "") -> str:
        """A person makes a campaign, or answers the usual form (answers by predefined field); its id."""
        if object == "leads":
            return self.submit(dict(values))
        with self.lock:
            id = str(435_000 + len(self.campaigns))
            budget = {"amount": "3000", "currencyCode": "EUR"}
            stamps = self._stamps()
            plain = {"status": "ACTIVE", "type": "SPONSORED_UPDATES", "account": self.owner, "totalBudget": budget}
            schedule = {"start": self.leads.ms()}
            row = {"id": int(id), **plain, "runSchedule": schedule, "changeAuditStamps": stamps, **values}
            self.campaigns[id] = row
            return id

    def ask(
        self,
        name: str,
        extra: Sequence[Row] = (),
        hidden: Mapping[str, str] | None = None,
        *,
        consents: int = 1,
        owner: str = "",
        revises: str = "",
    ) -> str:
        """A form with the usual questions and `extra` ones; its id. `revises`: a new version of that form."""
        questions = [{"name": label, "predefined": field} for field, label in QUESTIONS.items()]
        told = ([*questions, *extra], hidden or {"utm_source": "linkedin", "utm_campaign": "spring"}, consents)
        with self.lock:
            if revises:
                self.leads.revise(revises, owner or self.owner, name, *told)
                return revises
            return self.leads.form(owner or self.owner, name, *told)

    def submit(
        self, answers: Mapping[str, Any], *, form: str = "", consents: Sequence[bool] = (False,), **more: Any
    ) -> str:
        """A person answers a form; the response's id. `more` are members of the response (`testLead`)."""
        campaign = {"sponsoredLeadMetadata": {"campaign": f"urn:li:sponsoredCampaign:{self.campaign}"}}
        origin = {"leadMetadata": campaign, "associatedEntity": {"associatedCreative": "urn:li:sponsoredCreative:3"}}
        with self.lock:
            return self.leads.submit(form or self.form, answers, consents, {**origin, **more})

    def rule(self, id: str, name: str, method: str = "CONVERSIONS_API", **more: Any) -> str:
        """A conversion rule; its id."""
        told = {"name": name, "conversionMethod": method, "type": "LEAD", "campaigns": [], "enabled": True}
        self.events.rules[id] = {"id": int(id), **told, **more}
        return id

    def remove(self, object: str, id: str) -> None:
        with self.lock:
            if object == "leads":
                self.leads.erase(id)
            else:
                del self.campaigns[id]

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        """A campaign is changed; a response never is."""
        with self.lock:
            self.campaigns[id].update(values)

    def get(self, object: str, id: str) -> Row:
        rows = self.leads.responses if object == "leads" else self.campaigns
        return dict(rows.get(id, {}))

    def all(self, object: str) -> list[Row]:
        rows = {"leads": self.leads.responses, "campaigns": self.campaigns, "conversions": self.events.events}
        return [dict(row) for row in rows[object].values()]

    def flag(self, record: str, kind: str = "Contact") -> None:
        """Sales Navigator finds that a CRM record's person left the company."""
        self.exports.flagged.append({"id": record, "type": kind, "at": self.exports.ms()})

    def match(self, record: str, member: str) -> None:
        """Sales Navigator is confident that a CRM record's person is this member."""
        self.matched[record] = member

    # hooks

    def hook(self, owner: str = "", lead_type: str = "SPONSORED") -> str:
        """An app subscribes; the hook's id. Nothing comes before it has answered a challenge."""
        with self.lock:
            id = str(9000 + len(self.leads.hooks))
            kind = "sponsoredAccount" if not owner or ":sponsoredAccount:" in owner else "organization"
            told = {"owner": {kind: owner or self.owner}, "leadType": lead_type, "state": "new", "misses": 0, "due": ""}
            self.leads.hooks[id] = told
            return id

    def challenge_hooks(self, receiver: Receiver) -> list[int]:
        """Challenge every hook that is due, as LinkedIn does every two hours; the statuses that came back."""
        statuses, now = [], self.clock.now()
        for hook in self.leads.hooks.values():
            if hook["state"] == "blocked" or hook["due"] > stamp(now):
                continue
            code = f"{self.random.getrandbits(128):032x}"
            query = {"challengeCode": code, "applicationId": APP["client_id"]}
            address = "https://closedloop.example/linkedin?" + "&".join(f"{n}={v}" for n, v in query.items())
            status, told = receiver("GET", address, {}, b"")
            good = status == 200 and told == challenge(query, APP["client_secret"])
            hook["misses"] = 0 if good else hook["misses"] + 1
            hook["state"] = "valid" if good else "blocked" if hook["misses"] >= MISSES else hook["state"]
            hook["due"] = stamp(now + CHALLENGES)
            statuses.append(status)
        return statuses

    def deliver(self, receiver: Receiver) -> int:
        """Send what waits, each notice twice; the number of deliveries."""
        waiting, self.leads.deliveries = self.leads.deliveries, []
        for one in waiting:
            body = one["body"].encode()
            headers = {"X-LI-Signature": signed(body, APP["client_secret"]), "content-type": "application/json"}
            for _ in range(2):
                receiver("POST", "https://closedloop.example/linkedin", headers, body)
        return 2 * len(waiting)

    # what comes before every answer

    def before(self, call: Call) -> Answer | None:
        if call.path.startswith(("/oauth/", "/ambry/")):
            return None
        endpoint = call.path.split("/")[2] if call.path.count("/") > 1 else ""
        return (
            self.login.refusal(call.headers.get("authorization", "").removeprefix("Bearer "))
            or self._versioned(call)
            or self._scoped(endpoint)
            or self._counted(endpoint)
        )

    def _versioned(self, call: Call) -> Answer | None:
        if call.headers.get("x-restli-protocol-version") != "2.0.0":
            return self._error(400, "ILLEGAL_ARGUMENT", "Rest.li protocol version 2.0.0 is required")
        if not call.path.startswith("/rest/"):
            return None
        version = call.headers.get("linkedin-version", "")
        if not version:
            return self._error(400, "VERSION_MISSING", "A version must be present. Please specify a version")
        if version in self.sunset:
            return self._error(426, "NONEXISTENT_VERSION", f"Requested version {version} is not active")
        return None

    def _scoped(self, endpoint: str) -> Answer | None:
        scope = _SCOPES.get(endpoint)
        closed = scope is not None and scope.startswith("r_sales_nav") and not self.partner
        if scope is None or (scope in self.login.scopes.split(",") and not closed):
            return None
        return self._error(403, "ACCESS_DENIED", f"Not enough permissions to access: {endpoint}.FINDER.{VERSION}")

    def _counted(self, endpoint: str) -> Answer | None:
        day = f"{self.clock.now():%Y-%m-%d}"
        if day != self.day:
            self.day, self.used = day, {}
        self.used[endpoint] = self.used.get(endpoint, 0) + 1
        if self.used[endpoint] <= self.daily.get(endpoint, 10**9):
            return None
        told = "Resource level throttle limit for calls to this resource is reached."
        return self._error(429, "TOO_MANY_REQUESTS", told)

    def after(self, call: Call, answer: Answer) -> Answer:
        told = {"X-RestLi-Protocol-Version": "2.0.0", "X-LI-UUID": f"AAX{len(self.log):013d}=="}
        return Answer(answer.status, answer.body, {**answer.headers, **told})

    def _error(self, status: int, code: str, message: str) -> Answer:
        return Answer.of({"status": status, "code": code, "message": message}, status)

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        return self._error(status, "NOT_FOUND" if status == 404 else "ILLEGAL_ARGUMENT", "Not Found.")

    def _asked(self, call: Call) -> Row:
        """The query. Raises BadSyntax, which `_dispatch` answers."""
        return members(call.raw_path.partition("?")[2])

    def _dispatch(self, call: Call) -> Answer:
        try:
            return super()._dispatch(call)
        except BadSyntax:
            told = "Invalid param. Please see documentation for details on how to call this API"
            return self._error(400, "ILLEGAL_ARGUMENT", told)

    # calls

    def _ad_account(self, call: Call, id: str) -> Answer:
        if f"urn:li:sponsoredAccount:{id}" not in self.roles:
            return self._error(404, "NOT_FOUND", "Not Found.")
        told = {"id": int(id), "name": "Cranberries", "currency": "EUR", "status": "ACTIVE", "test": False}
        notes = ("CampaignOptimization", "CreativeApproval", "CreativeRejection", "EndOfCampaign", "NewFeaturesEnabled")
        more = {"servingStatuses": ["RUNNABLE"], "version": {"versionTag": "4"}, "changeAuditStamps": self._stamps()}
        switches = {f"notifiedOn{name}": True for name in notes}
        return Answer.of({**told, "type": "BUSINESS", "reference": self.page, **switches, **more})

    def _stamps(self) -> Row:
        one = {"actor": "urn:li:unknown:0", "time": self.leads.ms()}
        return {"created": one, "lastModified": {**one, "impersonator": "urn:li:servicePrincipal:organization"}}

    def _campaigns(self, call: Call, id: str) -> Answer:
        query = self._asked(call)
        if query.get("q") != "search" or "start" in query:
            return self._error(400, "ILLEGAL_ARGUMENT", "Parameter start is not supported with cursor pagination")
        wanted = ((query.get("search") or {}).get("status") or {}).get("values") or []
        rows = [row for row in self.campaigns.values() if row["status"] in wanted]
        size, start = int(query.get("pageSize") or 10), int(query.get("pageToken") or 0)
        following = {"nextPageToken": str(start + size)} if start + size < len(rows) else {}
        return Answer.of({"metadata": following, "elements": rows[start:][:size]})

    def _roles(self, call: Call) -> Answer:
        rows = [{"user": "urn:li:person:abcd", "account": one, "role": role} for one, role in self.roles.items()]
        return Answer.of(
            {"paging": {"start": 0, "count": 2**31 - 1, "links": [], "total": len(rows)}, "elements": rows}
        )

    def _page_roles(self, call: Call) -> Answer:
        at = self._stamps()["lastModified"]
        plain = {"roleAssignee": "urn:li:person:abcd", "state": "APPROVED", "created": at, "lastModified": at}
        rows = [{**plain, "role": role, "organization": one} for one, role in self.page_roles.items()]
        return Answer.of(page(rows, self._asked(call)))

    def _unroled(self, owner: Row) -> Answer | None:
        """A missing role is told as a 401, as if the token were bad."""
        known = {**self.roles, **self.page_roles}
        if next(iter(owner.values()), "") in known:
            return None
        return self._error(401, "MEMBER_NOT_AUTHORIZED", "Member does not have permission for this owner")

    def _forms(self, call: Call) -> Answer:
        query = self._asked(call)
        rows = [versions[-1] for versions in self.leads.forms.values() if versions[-1]["owner"] == query["owner"]]
        return self._unroled(query["owner"]) or Answer.of(page(rows, query))

    def _responses(self, call: Call) -> Answer:
        query = self._asked(call)
        owner, kind = query.get("owner"), query.get("leadType")
        if query.get("q") != "owner" or not isinstance(owner, dict) or not isinstance(kind, dict):
            return self._error(400, "ILLEGAL_ARGUMENT", "Invalid query parameters")
        test_only = query.get("limitedToTestLeads") == "true"
        times = query.get("submittedAtTimeRange") or {}
        rows = self.leads.listed(owner, kind["leadType"], times, test_only=test_only)
        told = page(rows, query)
        shown = [projected(row, query.get("fields", "")) for row in told["elements"]]
        return self._unroled(owner) or Answer.of({**told, "elements": shown})

    def _response(self, call: Call, id: str) -> Answer:
        row = self.leads.responses.get(id)
        if row is None or not self.leads.readable(row):
            return self._error(404, "NOT_FOUND", "Not Found.")
        return Answer.of(projected(self.leads.shown(row), self._asked(call).get("fields", "")))

    def _subscribe(self, call: Call) -> Answer:
        told = call.json or {}
        if not str(told.get("webhook", "")).startswith("https://"):
            return self._error(400, "ILLEGAL_ARGUMENT", "Webhook URLs must use HTTPS")
        id = self.hook(next(iter(told["owner"].values())), told["leadType"])
        return Answer(201, b"", {"x-restli-id": id})

    def _unsubscribe(self, call: Call, id: str) -> Answer:
        if self.leads.hooks.pop(id, None) is None:
            return self._error(404, "NOT_FOUND", "Not Found.")
        return Answer(204)

    def _rules(self, call: Call) -> Answer:
        query = self._asked(call)
        rows = [projected(row, query.get("fields", "")) for row in self.events.rules.values()]
        return Answer.of(page(rows if query.get("account") in self.roles else [], query))

    def _new_rule(self, call: Call) -> Answer:
        told = call.json or {}
        id = self.rule(str(104 + len(self.events.rules)), told["name"], told["conversionMethod"])
        return Answer(201, b"", {"x-restli-id": id, "location": f"/conversions/{id}"})

    def _events(self, call: Call) -> Answer:
        batch = call.headers.get("x-restli-method") == "BATCH_CREATE"
        told = call.json or {}
        return self.events.take(told.get("elements") or [] if batch else [told], batch=batch)

    def _start_export(self, call: Call) -> Answer:
        if self._asked(call).get("crmInstanceId") != INSTANCE:
            return self._error(403, "ACCESS_DENIED", "CRM Sync is not set up for this instance")
        id = self.exports.start(int((call.json or {}).get("exportStartAt") or 0))
        return Answer(201, b"", {"x-restli-id": id, "location": f"/crmDataValidationExportJobs/{id}"})

    def _export(self, call: Call, id: str) -> Answer:
        told = self.exports.told(id, self.base_url)
        return Answer.of(told) if told else self._error(404, "NOT_FOUND", "Not Found.")

    def _file(self, call: Call, id: str, number: str) -> Answer:
        body = self.exports.file(id, int(number))
        return Answer(403, b"expired") if body is None else Answer(200, body, {"content-type": "text/csv"})

    def _associations(self, call: Call) -> Answer:
        """By complex keys; what has no match stands among the errors."""
        instance, found, statuses, missing = INSTANCE.partition("(")[2].strip(")").split(","), {}, {}, {}
        for key in self._asked(call).get("ids") or []:
            if not isinstance(key, dict) or set(key) != {"instanceId", "partner", "recordId"}:
                return self._error(400, "ILLEGAL_ARGUMENT", "Invalid query parameters passed to request")
            name = encoded(dict(sorted(key.items())))
            member = self.matched.get(key["recordId"]) if [key["partner"], key["instanceId"]] == instance else None
            statuses[name] = 200 if member else 404
            if member:
                profile = f"https://www.linkedin.com/sales/people/{member}"
                photo = f"https://media.licdn.com/dms/image/{member}/profile.jpg"
                found[name] = {"member": f"urn:li:person:{member}", "profile": profile, "profilePhoto": photo}
            else:
                missing[name] = "Match unavailable"
        return Answer.of({"statuses": statuses, "results": found, "errors": missing})

    # snapshots

    _KEPT = (
        "sunset", "daily", "used", "day", "partner", "roles", "page_roles", "campaigns", "campaign", "form", "matched",
    )  # fmt: skip
    _ROOMS = ("login", "leads", "events", "exports")

    def snapshot(self) -> dict[str, Any]:
        told: Row = {name: getattr(self, name) for name in self._KEPT}
        for room in self._ROOMS:
            whole = getattr(self, room)
            told[room] = {one.name: getattr(whole, one.name) for one in fields(whole) if one.name not in _WORLD}
        copied: dict[str, Any] = orjson.loads(orjson.dumps({**told, "random": self.random.getstate()}))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        for room in self._ROOMS:
            for name, value in state[room].items():
                setattr(getattr(self, room), name, value)
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))


_WORLD = ("clock", "random", "consents")
