"""A Salesforce org in memory: REST, collections and Bulk 2.0 over TLS, with the org's own awkward habits.

The methods after "people" let a test or the demo act as sales does. Objects may be named as the connector does
(`leads`) or as the platform does (`Lead`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from config.clock import Clock
from connectors.salesforce.objects import OBJECTS
from connectors.salesforce.sandbox_bulk import Bulk
from connectors.salesforce.sandbox_login import Login, refuse
from connectors.salesforce.sandbox_rest import Rest
from connectors.salesforce.sandbox_schema import STAGES
from connectors.salesforce.sandbox_store import Rule, Store, id18
from connectors.sandbox import Answer, Call, Sandbox

ADDRESS = ("Street", "City", "State", "PostalCode", "Country")
"""What a conversion carries over to the contact's mailing address and the account's billing address."""
LONGEST_LINE = 16_384
"""Bytes of request line and headers that the platform takes; 414 for more."""


class SalesforceSandbox(Sandbox):
    """Switches, all off by default: `late_commits` (seconds until a write is seen, with its early stamp),
    `duplicate_rule` (one e-mail, one lead), `lock_rows` (that many rows of the next writes answer
    UNABLE_TO_LOCK_ROW), `session_calls` (a token dies after so many calls), `concurrent_refusals` (so many calls
    answer 403), `daily_limit`, `hide(object, field)` (field-level security), `add_rule` (validation rules),
    `page_size` (records per query answer), `upsert_status` (204 for API versions below 46)."""

    name = "salesforce"
    tls = True

    def __init__(self, *, seed: int = 1, clock: Clock | None = None, port: int = 0) -> None:
        self.lock_rows = 0
        self.session_calls = 0
        self.concurrent_refusals = 0
        self.daily_limit = 100_000
        self.used = 0
        self.page_size = 2_000
        self.upsert_status = 200
        self.soap_login = True
        super().__init__(seed=seed, clock=clock, port=port)
        self.store = Store(self.clock)
        self._found()

    def route(self) -> None:
        self.rest, self.bulk, self.login = Rest(self), Bulk(self), Login(self)
        for part in (self.login, self.rest, self.bulk):
            part.route()
        self.consents = self.login.consents

    def both(self, method: str, template: str, handler: Callable[..., Answer]) -> None:
        """The route with and without a closing slash, under any API version."""
        path = f"/services/data/v{{version}}{template}"
        self.on(method, path, handler)
        self.on(method, path + "/", handler)

    def _found(self) -> None:
        """A new org: its organisation, its integration user, its stages."""
        self.org = self.store.insert(
            "Organization",
            {"Name": "Closedloop Sandbox", "IsSandbox": True, "OrganizationType": "Developer Edition"},
            admin=True,
        )["Id"]
        user = {"Username": "sync@example.com", "FirstName": "Sync", "LastName": "User", "Email": "sync@example.com"}
        self.store.user = self.store.insert("User", user, admin=True)["Id"]
        for number, (label, closed, won, chance, forecast) in enumerate(STAGES, 1):
            values = {"MasterLabel": label, "ApiName": label, "IsActive": True, "IsClosed": closed, "IsWon": won}
            more = {"SortOrder": number, "DefaultProbability": chance, "ForecastCategoryName": forecast}
            self.store.insert("OpportunityStage", {**values, **more}, admin=True)
        self.store.facts["Opportunity"].fields["StageName"].options = tuple(stage[0] for stage in STAGES)

    # calls

    def before(self, call: Call) -> Answer | None:
        if len(call.raw_path) + sum(len(n) + len(v) + 4 for n, v in call.headers.items()) > LONGEST_LINE:
            return Answer(414, b"<h1>URI Too Long</h1>", {"content-type": "text/html"})
        if not call.path.startswith("/services/data"):
            return None
        refused = self.login.refuse_session(call)
        if refused is not None:
            return refused
        self.used += 1
        if self.used > self.daily_limit:
            return refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if self.concurrent_refusals > 0:
            self.concurrent_refusals -= 1
            message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            return refuse(403, "REQUEST_LIMIT_EXCEEDED", message)
        return None

    def after(self, call: Call, answer: Answer) -> Answer:
        if not call.path.startswith("/services/data") or answer.status == 401:
            return answer
        info = {"Sforce-Limit-Info": f"api-usage={min(self.used, self.daily_limit)}/{self.daily_limit}"}
        return Answer(answer.status, answer.body, {**answer.headers, **info})

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        if status == 404:
            return refuse(404, "NOT_FOUND", "The requested resource does not exist")
        if status == 405:
            return refuse(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed.")
        return refuse(400, "JSON_PARSER_ERROR", message)

    def account(self, mode: str = "client_credentials") -> dict[str, Any]:
        """The connection's blocks for a log-in of `mode` (jwt, client_credentials, refresh_token, password,
        session). The settings leave out the waiting for late commits, which this org has only on demand."""
        return {"auth": self.login.auth(mode), "settings": {"settle": 0}}

    # people

    def put(self, object: str, values: Mapping[str, Any]) -> str:
        """A person creates a record; its id. Read-only fields may be given."""
        with self.lock:
            return str(self.store.insert(sobject(object), values, admin=True)["Id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        """A person changes a record."""
        with self.lock:
            self.store.update(sobject(object), id, values, admin=True)

    def remove(self, object: str, id: str) -> None:
        """A person deletes a record: it goes into the bin."""
        with self.lock:
            self.store.delete(sobject(object), id)

    def undelete(self, object: str, id: str) -> None:
        """Back from the bin."""
        with self.lock:
            row = self.store.rows[sobject(object)][id18(id)]
            row.update(IsDeleted=False, SystemModstamp=self.store.now())
            if "MasterRecordId" in row:
                row["MasterRecordId"] = None

    def purge(self, object: str, id: str) -> None:
        """Out of the bin for good: nothing shows that the record ever was."""
        with self.lock:
            self.store.rows[sobject(object)].pop(id18(id))
            self.store.reindex()

    def get(self, object: str, id: str) -> dict[str, Any]:
        """The record as it stands, deleted or not; KeyError when there is none."""
        with self.lock:
            return deepcopy(self.store.rows[sobject(object)][id18(id)])

    def all(self, object: str) -> list[dict[str, Any]]:
        """All live records of an object."""
        with self.lock:
            return [deepcopy(row) for row in self.store.live(sobject(object))]

    def touch(self, object: str, id: str) -> None:
        """Automation moves a record's stamp and changes nothing."""
        with self.lock:
            self.store.touch(sobject(object), id)

    def merge(self, object: str, winner: str, loser: str) -> None:
        """Two records become one: the loser goes into the bin and points at the winner, its children move over."""
        name = sobject(object)
        with self.lock:
            self.store.delete(name, loser, into=id18(winner))
            self.store.touch(name, winner)
            self._move_children(id18(loser), id18(winner))

    def convert(self, lead: str, *, amount: float | None = None, deal: str | None = None) -> dict[str, str]:
        """A lead becomes a contact with an account and, when `deal` names it, an opportunity; the new ids."""
        with self.lock:
            row = self.store.rows["Lead"][id18(lead)]
            billing = {f"Billing{part}": row[part] for part in ADDRESS}
            named = {"Name": row["Company"], "OwnerId": row["OwnerId"]}
            account = self.store.insert("Account", named | billing, admin=True)
            copied: tuple[str, ...] = (
                "Salutation",
                "FirstName",
                "LastName",
                "Email",
                "Phone",
                "MobilePhone",
                "Title",
                "LeadSource",
            )
            copied += ("HasOptedOutOfEmail", "DoNotCall", "OwnerId", "Description", "Closedloop_Id__c")
            values = {name: row[name] for name in copied} | {"AccountId": account["Id"]}
            values |= {f"Mailing{part}": row[part] for part in ADDRESS}
            contact = self.store.insert("Contact", values, admin=True)
            made = {"accounts": account["Id"], "contacts": contact["Id"]}
            if deal is not None:
                made["opportunities"] = self.open_deal(deal, contact=contact["Id"], amount=amount)
            done = {"IsConverted": True, "Status": "Closed - Converted", "ConvertedDate": self.store.now()[:10]}
            done |= {"ConvertedContactId": contact["Id"], "ConvertedAccountId": account["Id"]}
            done["ConvertedOpportunityId"] = made.get("opportunities")
            self.store.update("Lead", lead, done, admin=True)
            self._move_children(id18(lead), contact["Id"])
        return made

    def open_deal(
        self,
        name: str,
        *,
        contact: str = "",
        amount: float | None = None,
        stage: str = "Prospecting",
        close_date: str = "",
        campaign: str = "",
        role: str = "Decision Maker",
    ) -> str:
        """A person opens an opportunity, with `contact` in it; its id."""
        with self.lock:
            account = self.store.rows["Contact"][id18(contact)]["AccountId"] if contact else None
            values: dict[str, Any] = {
                "Name": name,
                "StageName": stage,
                "CloseDate": close_date or self.store.now()[:10],
            }
            values |= {"Amount": amount, "AccountId": account, "CampaignId": campaign or None}
            id = str(self.store.insert("Opportunity", values, admin=True)["Id"])
            if contact:
                self.associate(id, contact, role=role, primary=True)
            return id

    def associate(self, deal: str, contact: str, *, role: str = "", primary: bool = False) -> str:
        """A contact takes part in an opportunity. The opportunity's stamp does not move."""
        values = {"OpportunityId": deal, "ContactId": contact, "Role": role or None, "IsPrimary": primary}
        return self.put("OpportunityContactRole", values)

    def win(self, deal: str, *, close_date: str = "", amount: float | None = None) -> None:
        """Sales win an opportunity."""
        self._close(deal, "Closed Won", close_date, {} if amount is None else {"Amount": amount})

    def lose(self, deal: str, *, reason: str = "", close_date: str = "") -> None:
        """Sales lose an opportunity; why, in the org's own field."""
        self._close(deal, "Closed Lost", close_date, {"Loss_Reason__c": reason or None})

    def _close(self, deal: str, stage: str, close_date: str, more: dict[str, Any]) -> None:
        self.edit("Opportunity", deal, {"StageName": stage, "CloseDate": close_date or self.store.now()[:10], **more})

    def respond(self, campaign: str, person: str, *, status: str = "Responded") -> str:
        """A lead or contact is put into a campaign; the member's id."""
        member = {"LeadId" if person.startswith("00Q") else "ContactId": person}
        return self.put("CampaignMember", {"CampaignId": campaign, "Status": status, **member})

    def record_activity(self, person: str, subject: str, *, at: str = "", minutes: int = 30) -> str:
        """A meeting with a person; its id."""
        values = {"WhoId": person, "Subject": subject, "ActivityDateTime": at or self.store.now()}
        return self.put("Event", {**values, "DurationInMinutes": minutes})

    def unsubscribe(self, object: str, id: str) -> None:
        """A person opts out of e-mail."""
        self.edit(object, id, {"HasOptedOutOfEmail": True})

    def _move_children(self, old: str, new: str) -> None:
        kin = {"003": "ContactId", "00Q": "LeadId", "001": "AccountId"}
        for name in ("OpportunityContactRole", "CampaignMember", "Contact", "Opportunity", "Task", "Event"):
            for link in (kin[old[:3]], "WhoId"):
                target = kin[new[:3]] if link == kin[old[:3]] else link
                children = self.store.index[name, link].get(old[:15], ())
                for id in sorted(children):
                    self.store.update(name, id, {target: new}, admin=True)

    # switches

    @property
    def late_commits(self) -> float:
        return self.store.late_commits

    @late_commits.setter
    def late_commits(self, seconds: float) -> None:
        self.store.late_commits = seconds

    @property
    def duplicate_rule(self) -> bool:
        return self.store.duplicate_rule

    @duplicate_rule.setter
    def duplicate_rule(self, on: bool) -> None:
        self.store.duplicate_rule = on

    def hide(self, object: str, field: str, hidden: bool = True) -> None:
        """Field-level security: the field is for this user as if it did not exist."""
        self.store.facts[sobject(object)].fields[field].hidden = hidden

    def add_rule(self, object: str, rule: Rule) -> None:
        """A validation rule of an administrator's."""
        self.store.rules[sobject(object)].append(rule)

    def expire_sessions(self) -> None:
        """Every token that was given out is void from now on."""
        self.login.sessions.clear()

    # state

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            return {
                "rows": deepcopy(dict(self.store.rows)),
                "serial": dict(self.store.serial),
                "user": self.store.user,
                "org": self.org,
                "used": self.used,
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        with self.lock:
            self.store.rows.clear()
            self.store.rows.update(deepcopy(state["rows"]))
            self.store.serial.clear()
            self.store.serial.update(state["serial"])
            self.store.user, self.org, self.used = state["user"], state["org"], state["used"]
            self.store.hidden.clear()
            self.store.reindex()


def sobject(object: str) -> str:
    """The platform's name of an object."""
    return OBJECTS[object].sobject if object in OBJECTS else object
