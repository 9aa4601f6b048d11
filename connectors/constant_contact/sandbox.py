"""Constant Contact's sandbox: an account in memory with Constant Contact's own awkward habits.

Deleted contacts stay and block their address; a PUT sets what it leaves out to nothing; an opt-out by a link moves the
address's time only; errors are a list here and one object there; two kinds of 429 without a header; limits of the app,
counted by the day of UTC; bulk activities that tell counts and no rows; figures and events of campaigns apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from config.clock import stamp
from connectors.constant_contact.sandbox_bulk import Bulk
from connectors.constant_contact.sandbox_contacts import People
from connectors.constant_contact.sandbox_login import APP, PUBLIC, Login
from connectors.constant_contact.sandbox_reports import Reports
from connectors.constant_contact.sandbox_store import TABLES, Refused, Row, Store, error, invalid, local
from connectors.sandbox import Answer, Call, Sandbox

AUTHORIZE, TOKEN = "/oauth2/default/v1/authorize", "/oauth2/default/v1/token"
PRIVILEGES = (
    "account:read", "contacts:read", "contacts:write", "contacts:lists:read", "campaign:read", "ui:campaign:metrics",
)  # fmt: skip
_SCOPES = {"/v3/account": "account_read", "/v3/emails": "campaign_data", "/v3/reports": "campaign_data"}
_NAMES = {"contact_lists": "lists", "contact_tags": "tags", "contact_custom_fields": "custom_fields"}


class ConstantContactSandbox(Sandbox):
    """An account with one app and one user who connected it.

    Switches: `per_second` (calls; 0 for no limit: a clock that stands still has one second only), `daily`,
    `privileges`; `login.rotates`, `login.public`, `login.scopes`; `people.confirms`; `bulk.ends`, `bulk.most`;
    `reports.lag`.
    """

    name = "constant_contact"

    def __init__(self, **options: Any) -> None:
        self.per_second, self.daily = 0, 10_000
        self.used, self.day, self.burst, self.second = 0, "", 0, ""
        self.privileges = list(PRIVILEGES)
        super().__init__(**options)
        self.store = Store(self.clock, self.random)
        self.people = People(self.store)
        self.bulk = Bulk(self.store, self.people)
        self.reports = Reports(self.store)
        self.login = Login(self.clock, self.random)
        self.login.found()
        self.consents = self.login.consents
        self.list = self.put("contact_lists", {"name": "General Interest"})

    def account(self) -> dict[str, Any]:
        mode, app = ("pkce", PUBLIC) if self.login.public else ("oauth", APP)
        auth = {"mode": mode, **app, "refresh_token": self.login.first}
        # `per_second` is off, so there is no need to go slowly
        return {"auth": auth, "settings": {"list": "General Interest", "calls_per_second": 100}}

    def route(self) -> None:
        self.on("GET", AUTHORIZE, lambda call: self.login.page(call))
        self.on("POST", TOKEN, lambda call: self.login.grant(call))
        self._on("GET", "/account/summary", lambda call: Answer.of(_ACCOUNT))
        self._on("GET", "/account/user/privileges", self._privileges)
        self._on("GET", "/contacts", lambda call: self.people.listed(call))
        self._on("POST", "/contacts", lambda call: self.people.create(call))
        self._on("POST", "/contacts/sign_up_form", lambda call: self.people.sign_up(call))
        self._on("GET", "/contacts/counts", lambda call: self.people.counts(call))
        self._on("GET", "/contacts/{id}", lambda call, id: self.people.get(call, id))
        self._on("PUT", "/contacts/{id}", lambda call, id: self.people.replace(call, id))
        self._on("DELETE", "/contacts/{id}", lambda call, id: self.people.delete(call, id))
        for table in _NAMES:
            self._on("GET", f"/{table}", self._listing(table))
        self._on("POST", "/contact_tags", self._new_tag)
        self._on("GET", "/activities/{id}", lambda call, id: self.bulk.get(call, id))
        self._on("POST", "/activities/{kind}", lambda call, kind: self.bulk.start(call, kind))
        self._on("GET", "/emails", lambda call: self.reports.listed(call))
        self._on("GET", "/emails/{id}", lambda call, id: self.reports.get(call, id))
        reports = "/reports/summary_reports/email_campaign_summaries"
        self._on("GET", reports, lambda call: self.reports.summaries(call))
        self._on("GET", "/reports/stats/email_campaigns/{ids}", lambda call, ids: self.reports.stats(call, ids))
        self._on(
            "GET",
            "/reports/email_reports/{activity}/tracking/{kind}",
            lambda call, activity, kind: self.reports.tracking(call, activity, kind),
        )

    def _on(self, method: str, path: str, handler: Callable[..., Answer]) -> None:
        """A route whose refusals become answers."""

        def answer(call: Call, **named: str) -> Answer:
            try:
                return handler(call, **named)
            except Refused as refused:
                return error(refused.status, refused.key, refused.message, flat=refused.flat)

        self.on(method, f"/v3{path}", answer)

    # people

    def put(self, object: str, values: Mapping[str, Any], *, at: str = "") -> str:
        """A person makes a contact, list, tag, custom field or campaign; its id. A contact's tags, lists and custom
        fields are given by their names, made where they are not there."""
        with self.lock:
            if object == "campaigns":
                return str(self.reports.campaign(values["name"], at)["campaign_id"])
            if object != "contacts":
                made = {**({"label": values["name"], "type": "string"} if "fields" in object else {}), **values}
                made |= {"version": 1} if made.get("type") == "date" else {}
                return str(self.store.new(object, made, at or local(self.clock.now()))[TABLES[object]])
            row = self.store.new("contacts", {"create_source": "Account", "update_source": "Account"}, at)
            given = {"address": values["email"], "permission_to_send": values.get("permission_to_send", "implicit")}
            row["email_address"] = self.people.address({}, given, str(values.get("opt_in_source", "Account")))
            self._set(row, values)
            return str(row["contact_id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        """A person changes a contact, or another thing, in Constant Contact's own pages."""
        with self.lock:
            row = self.store.rows[object][id]
            if object == "contacts":
                self._set(row, values)
            else:
                row.update(values)
            row["updated_at"] = self.store.now()

    def _set(self, row: Row, values: Mapping[str, Any]) -> None:
        special = (
            "email",
            "permission_to_send",
            "opt_in_source",
            "tags",
            "lists",
            "custom_fields",
            "phones",
            "address",
        )
        row.update({name: told for name, told in values.items() if name not in special})
        if "email" in values:
            row["email_address"]["address"] = values["email"]
        for name, part, table in (("tags", "taggings", "contact_tags"), ("lists", "list_memberships", "contact_lists")):
            if name in values:
                row[part] = [self.store.named(table, one) for one in values[name]]
        if "custom_fields" in values:
            row["custom_fields"] = [self._custom(name, told) for name, told in values["custom_fields"].items()]
        if "phones" in values:
            told = values["phones"].items()
            row["phone_numbers"] = [
                {"phone_number_id": self.store.id(), "phone_number": nr, "kind": kind} for kind, nr in told
            ]
        if "address" in values:
            row["street_addresses"] = [{"street_address_id": self.store.id(), "kind": "home", **values["address"]}]

    def _custom(self, name: str, told: Any) -> Row:
        id = self.store.named("contact_custom_fields", name)
        choices = self.store.rows["contact_custom_fields"][id].get("choices")
        if not choices:
            return {"custom_field_id": id, "value": told}
        ids = {choice["choice_label"]: str(choice["choice_id"]) for choice in choices}
        return {"custom_field_id": id, "choice_ids": [ids[one] for one in told]}

    def remove(self, object: str, id: str) -> None:
        """Delete a contact, which stays as deleted; or a campaign, which stays as removed; anything else is gone."""
        with self.lock:
            row = self.store.rows[object][id]
            if object == "contacts":
                self.people.put_away(row)
            elif object == "campaigns":
                row.update({"current_status": "Removed", "updated_at": self.store.now()})
            else:
                del self.store.rows[object][id]

    def get(self, object: str, id: str) -> dict[str, Any]:
        """The thing; of a contact flat, with names in place of ids. {} where there is none."""
        row = self.store.rows[object].get(id)
        return {} if row is None else self._flat(row) if object == "contacts" else dict(row)

    def all(self, object: str) -> list[dict[str, Any]]:
        """Everything that was not deleted."""
        rows = self.store.rows[object]
        return [self.get(object, id) for id, row in rows.items() if not row.get("deleted_at")]

    def _flat(self, row: Row) -> dict[str, Any]:
        email = {**(row.get("email_address") or {})}
        told = {"id": row["contact_id"], **row, **email, "email": email.get("address")}
        for name, part, table in (("tags", "taggings", "contact_tags"), ("lists", "list_memberships", "contact_lists")):
            told[name] = [self.store.rows[table][id]["name"] for id in row.get(part, ())]
        fields = self.store.rows["contact_custom_fields"]
        told["custom_fields"] = {
            fields[one["custom_field_id"]]["name"]: one.get("value", one.get("choice_ids"))
            for one in row.get("custom_fields", ())
        }
        told["phones"] = {one["kind"]: one["phone_number"] for one in row.get("phone_numbers", ())}
        return told

    def unsubscribe(self, email: str, reason: str = "", *, by: str = "Contact") -> None:
        """Somebody leaves by the link in a mail, or is taken off by the account's people."""
        with self.lock:
            row = self.store.contact_of(email)
            assert row is not None
            self.people.unsubscribe(row, reason, by=by)

    def send(self, campaign: str, contacts: list[str], at: str = "") -> None:
        """A campaign is sent to contacts."""
        with self.lock:
            row, at = self.store.rows["campaigns"][campaign], at or stamp(self.clock.now())
            row.update({"current_status": "Done", "sent_at": at, "updated_at": self.store.now()})
            for id in contacts:
                self.reports.happen(row, self.store.rows["contacts"][id], "sends", at, {})

    def happen(self, campaign: str, contact: str, kind: str, at: str = "", **more: Any) -> None:
        """`kind` is opens, clicks, bounces, optouts or forwards; an opt-out takes the person off."""
        with self.lock:
            row, person = self.store.rows["campaigns"][campaign], self.store.rows["contacts"][contact]
            self.reports.happen(row, person, kind, at or stamp(self.clock.now()), more)
            if kind == "optouts":
                self.people.unsubscribe(person, str(more.get("opt_out_reason", "")))

    def forget_cursors(self) -> None:
        """Page cursors handed out until now are refused from now on."""
        self.store.age += 1

    # log-in and limits

    def before(self, call: Call) -> Answer | None:
        if call.path in (AUTHORIZE, TOKEN):
            return None
        header = call.headers.get("authorization", "")
        if not header:
            return error(403, "forbidden", "Forbidden", flat=True)
        if not self.login.opens(header.removeprefix("Bearer ")):
            return error(401, "unauthorized", "Unauthorized", flat=True)
        if limited := self._counted():
            return limited
        if call.method in ("POST", "PUT") and not call.headers.get("content-type", "").startswith("application/json"):
            return error(415, "unsupported_media_type", "Unsupported Media Type")
        scope = next((told for path, told in _SCOPES.items() if call.path.startswith(path)), "contact_data")
        if scope not in self.login.scopes.split():
            return error(403, "forbidden", "You lack the necessary scopes.")
        return None

    def _counted(self) -> Answer | None:
        now = stamp(self.clock.now())
        if now[:10] != self.day:
            self.day, self.used = now[:10], 0
        if now[:19] != self.second:
            self.second, self.burst = now[:19], 0
        if self.used >= self.daily:
            return error(429, "quota_exceeded", "Limit Exceeded", flat=True)
        if self.per_second and self.burst >= self.per_second:
            return error(429, "throttled", "Too Many Requests", flat=True)
        self.used, self.burst = self.used + 1, self.burst + 1
        return None

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        if status == 400:
            return error(400, "contacts.api.validation.error", message)
        return error(status, "not_found", "The requested resource was not found.", flat=True)

    # calls

    def _privileges(self, call: Call) -> Answer:
        return Answer.of([{"privilege_id": n, "privilege_name": name} for n, name in enumerate(self.privileges)])

    def _listing(self, table: str) -> Callable[[Call], Answer]:
        most = 100 if table == "contact_custom_fields" else 500

        def answer(call: Call) -> Answer:
            rows = self.store.rows[table].values()
            return Answer.of(self.store.page(_NAMES[table], rows, call.query, f"/v3/{table}", most))

        return answer

    def _new_tag(self, call: Call) -> Answer:
        name = (call.json or {}).get("name")
        if not name or len(name) > 255:
            raise invalid("#/name: expected maxLength: 255")
        if any(row["name"] == name for row in self.store.rows["contact_tags"].values()):
            raise Refused(409, "contacts.api.conflict", "A tag of this name already exists")
        return Answer.of(self.store.new("contact_tags", {"name": name}), 201)

    # snapshots

    _KEPT = ("used", "day", "burst", "second", "privileges", "list")

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self._KEPT}
        login = {name: getattr(self.login, name) for name in ("first", "access", "refresh", "minted", "scopes")}
        store = {name: getattr(self.store, name) for name in ("rows", "events", "jobs", "age")}
        told = {**kept, "login": login, "store": store, "random": self.random.getstate()}
        copied: dict[str, Any] = orjson.loads(orjson.dumps(told))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        for part in (self.login, self.store):
            for name, value in state["login" if part is self.login else "store"].items():
                setattr(part, name, value)
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))


_ACCOUNT = {
    "encoded_account_id": "p07e1l4nd0b1x",
    "organization_name": "Sandbox Bakery",
    "contact_email": "owner@example.com",
    "country_code": "US",
    "state_code": "MA",
    "time_zone_id": "US/Eastern",
}
