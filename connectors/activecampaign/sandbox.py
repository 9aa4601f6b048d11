"""ActiveCampaign's sandbox: an account in memory with ActiveCampaign's own awkward habits.

Figures are text in lists and numbers in answers to writes; a bad key is answered with 403; five calls a second (on
demand); filters that it does not know are ignored; contacts have no order by change; deletes are for good and nothing
tells of them; putting somebody back on a list they left is let happen; imports are taken in later, refused as a whole
for one bad row, and their limit is answered with 400; webhooks are unsigned, come once, and not for imports.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp
from connectors.activecampaign.sandbox_deals import write_deal, wrong_deal
from connectors.activecampaign.sandbox_list import SIDES, asked, beside, matching, page
from connectors.activecampaign.sandbox_shapes import CONTACT_LINKS, HOST, SHAPES, Row, shown
from connectors.activecampaign.sandbox_store import Store
from connectors.sandbox import Answer, Call, Sandbox

KEY = "sandbox-key"
HOOK_TOKEN = "sandbox-webhook-token"
HOOK_URL = f"https://closedloop.example/activecampaign/{HOOK_TOKEN}"
_NAMES = {
    "accounts": "CustomerAccount",
    "contactTags": "SubscriberTag",
    "contacts": "Subscriber",
    "deals": "Deal",
    "notes": "Note",
    "tags": "Tag",
}
"""What a row is called where there is none."""
_OBJECTS = {"deal_contacts": "contactDeals"}


class ActiveCampaignSandbox(Sandbox):
    """An account with one user, two lists, a pipeline and three custom fields.

    Switches: `per_second` (calls, 5 in earnest), `refusals` (so many calls are answered with a passing 403),
    `forbidden` (paths that the user may not call), `includes` (what is asked for comes along), `heeds_offset`
    (filters of time do), `import_lag` (seconds), `hidden` (deals of which only the title shows); `store.lists_bump`,
    `store.tags_bump`.
    """

    name = "activecampaign"

    def __init__(self, **options: Any) -> None:
        self.per_second, self.refusals = 1000, 0
        self.second, self.used = 0, 0
        self.forbidden: set[str] = set()
        self.includes = self.heeds_offset = True
        self.import_lag = 2.0
        self.hidden: set[str] = set()
        super().__init__(**options)
        self.store = Store(self.clock)
        names = {"username": "admin", "firstName": "Rita", "lastName": "Ortega"}
        self.user = self.put("users", {**names, "email": "rita.ortega@example.com"})
        self.list = self.put("lists", {"name": "Newsletter", "stringid": "newsletter"})
        self.other_list = self.put("lists", {"name": "Events", "stringid": "events"})
        self.pipeline = self.put("dealGroups", {"title": "Sales"})
        self.stages = {
            title: self.put("dealStages", {"title": title, "group": self.pipeline, "order": str(order)})
            for order, title in enumerate(("To Contact", "In Contact", "Follow Up"), 1)
        }
        self.put("dealCustomFieldMeta", {"fieldLabel": "Closedloop home", "personalization": "CLOSEDLOOP_HOME"})
        self.put("fields", {"title": "Job title", "perstag": "JOB_TITLE"})
        self.put("fields", {"title": "Interests", "perstag": "INTERESTS", "type": "checkbox"})
        for value in ("red", "blue"):
            self.put("fieldOptions", {"field": "2", "value": value})

    def account(self) -> dict[str, Any]:
        auth = {"mode": "api_key", "url": HOST, "api_key": KEY, "webhook_token": HOOK_TOKEN}
        return {"auth": auth, "settings": {"calls_per_second": 1000}}

    def route(self) -> None:
        base = "/api/3"
        self.on("GET", f"{base}/users/me", lambda call: self._one("users", self.store.rows["users"][1]))
        self.on("POST", f"{base}/contact/sync", self._sync)
        self.on("POST", f"{base}/contacts", self._create)
        self.on("PUT", f"{base}/contacts/{{id}}", self._update)
        self.on("GET", f"{base}/contacts/{{id}}", self._contact)
        self.on("GET", f"{base}/contacts/{{id}}/{{side}}", self._beside)
        self.on("POST", f"{base}/contactLists", self._list_status)
        self.on("POST", f"{base}/contactTags", self._tag)
        self.on("POST", f"{base}/tags", self._new_tag)
        self.on("POST", f"{base}/notes", self._note)
        self.on("POST", f"{base}/deals", lambda call: self._deal(call, ""))
        self.on("PUT", f"{base}/deals/{{id}}", self._deal)
        self.on("POST", f"{base}/import/bulk_import", self._import)
        self.on("GET", f"{base}/import/info", self._import_info)
        self.on("GET", f"{base}/activities", self._activities)
        self.on("DELETE", f"{base}/campaigns/{{id}}", lambda call, id: Answer.of({"succeeded": 0, "message": ""}))
        self.on("GET", f"{base}/{{path}}", self._list)
        self.on("GET", f"{base}/{{path}}/{{id}}", self._get)
        self.on("DELETE", f"{base}/{{path}}/{{id}}", self._delete)

    # people

    def put(self, object: str, values: Mapping[str, Any], *, at: str = "") -> str:
        """A person creates a record; its id. Of contacts also `lists` (id -> status), `tags` and `fields` (by tag)."""
        with self.lock:
            path = _OBJECTS.get(object, object)
            plain = {n: v for n, v in values.items() if path != "contacts" or n not in ("lists", "tags", "fields")}
            row = self.store.new(path, plain, at)
            if path == "contacts":
                self._beside_put(row, values)
                if at:
                    self.store.touch(path, row, at)
            return str(row["id"])

    def _beside_put(self, row: Row, values: Mapping[str, Any]) -> None:
        for list, status in (values.get("lists") or {}).items():
            self.store.list_status(row, str(list), str(status))
        for tag in values.get("tags") or ():
            self.store.tag(row, self.store.tag_named(tag))
        for tag, value in (values.get("fields") or {}).items():
            self.store.set_field(row, self.field(tag), value)

    def field(self, tag: str) -> str:
        """The id of the custom field of contacts with this tag."""
        return next(str(row["id"]) for row in self.store.rows["fields"].values() if row["perstag"] == tag)

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            path = _OBJECTS.get(object, object)
            row = self.store.rows[path][int(id)]
            beside = {name: value for name, value in values.items() if name in ("lists", "tags", "fields")}
            self.store.change(path, row, {n: v for n, v in values.items() if path != "contacts" or n not in beside})
            if path == "contacts":
                self._beside_put(row, values)
                self.store.notice("update", row)
            if path == "deals":
                self.store.notice("deal_update", row, kind="deal")

    def remove(self, object: str, id: str) -> None:
        with self.lock:
            self.store.remove(_OBJECTS.get(object, object), int(id))

    def get(self, object: str, id: str) -> dict[str, Any]:
        """The row, of a contact with its `lists` (id -> status), `tags` and `fields`; {} where there is none."""
        row = self.store.rows[_OBJECTS.get(object, object)].get(int(id))
        if row is None or object != "contacts":
            return dict(row or {})
        tags, fields = self.store.rows["tags"], self.store.rows["fields"]
        lists = {one["list"]: one["status"] for one in self.store.where("contactLists", contact=id)}
        held = {fields[int(o["field"])]["perstag"]: o["value"] for o in self.store.where("fieldValues", contact=id)}
        named = sorted(tags[int(one["tag"])]["tag"] for one in self.store.where("contactTags", contact=id))
        return {**row, "lists": lists, "tags": named, "fields": held}

    def all(self, object: str) -> list[dict[str, Any]]:
        return [self.get(object, row["id"]) for row in self.store.rows[_OBJECTS.get(object, object)].values()]

    def untag(self, contact: str, name: str) -> None:
        with self.lock:
            link = self.store.first("contactTags", contact=contact, tag=self.store.tag_named(name))
            if link is not None:
                self.store.remove("contactTags", int(link["id"]))

    def unsubscribe(self, contact: str, list: str = "", *, campaign: str = "") -> None:
        """A person leaves a list, or every list they are on."""
        with self.lock:
            row = self.store.rows["contacts"][int(contact)]
            for one in self.store.where("contactLists", contact=contact):
                if not list or one["list"] == list:
                    self.store.list_status(row, one["list"], "2", unsubreason="no", campaign=campaign or None)

    def sign_up(self, contact: str, list: str, form: str) -> None:
        """A person subscribes by a form: the one way back."""
        with self.lock:
            self.store.list_status(self.store.rows["contacts"][int(contact)], list, "1", form=form)

    def mail(self, contact: str, campaign: str, *, at: str = "") -> str:
        return self.put("logs", {"contact": contact, "campaign": campaign}, at=at)

    def click(self, contact: str, campaign: str, url: str = "https://example.com") -> str:
        """A person follows a link of a mail; once more counts in the same row. With `open` for `url` it is an open."""
        with self.lock:
            link = self.store.first("links", campaignid=campaign, link=url)
            link = link or self.store.new("links", {"campaignid": campaign, "link": url})
            row = self.store.first("linkData", contact=contact, linkid=link["id"])
            if row is None:
                held = {"contact": contact, "campaign": campaign, "linkid": link["id"], "link": link["id"]}
                row = self.store.new("linkData", held)
            else:
                row.update({"times": str(int(row["times"]) + 1), "tstamp": self.store.now()})
            self.store.touch("contacts", self.store.rows["contacts"][int(contact)])
            return str(row["id"])

    def bounce(self, contact: str, campaign: str) -> None:
        with self.lock:
            row = self.store.rows["contacts"][int(contact)]
            held = {"subscriberid": contact, "contact": contact, "campaignid": campaign, "campaign": campaign}
            self.store.new("bounceLogs", {**held, "email": row["email"]})
            self.store.change("contacts", row, {"bounced_hard": "1"})

    def deal(self, title: str, contacts: Sequence[str], stage: str = "To Contact", **values: Any) -> str:
        """A deal with its contact first, and those added after; its id."""
        held = {"title": title, "stage": self.stages[stage], "group": self.pipeline, "owner": self.user, **values}
        deal = self.put("deals", {**held, "contact": contacts[0] if contacts else None})
        for contact in contacts[1:]:
            self.put("contactDeals", {"deal": deal, "contact": contact})
        return deal

    def close(self, deal: str, *, won: bool) -> None:
        """Win or lose a deal."""
        status = "1" if won else "2"
        with self.lock:
            self.store.new("dealActivities", {"d_id": deal, "deal": deal, "dataType": "status", "dataAction": status})
        self.edit("deals", deal, {"status": status})

    def hook(self, *events: str) -> str:
        """Subscribe to notices."""
        return self.put("webhooks", {"name": "closedloop", "url": HOOK_URL, "events": list(events)})

    def deliver(self, receiver: Callable[[str, bytes], int]) -> int:
        """Send what waits, each once; a hook whose receiver says 410 is gone."""
        waiting, self.store.deliveries = self.store.deliveries, []
        for one in waiting:
            if receiver(one["url"], one["body"]) == 410:
                self.store.rows["webhooks"] = {
                    id: hook for id, hook in self.store.rows["webhooks"].items() if hook["url"] != one["url"]
                }
        return len(waiting)

    # keys and limits

    def before(self, call: Call) -> Answer | None:
        self.store.take_in(self.import_lag)
        second = int(self.clock.now().timestamp())
        if second != self.second:
            self.second, self.used = second, 0
        self.used += 1
        if self.used > self.per_second:
            return Answer(429, b"", {"Retry-After": "1"})
        if call.headers.get("api-token") != KEY:
            return Answer.of({"message": "No access."}, 403)
        if self.refusals > 0:
            self.refusals -= 1
            return Answer(403)
        path = call.path.removeprefix("/api/3/").partition("/")[0]
        return Answer.of({"message": "You do not have permission."}, 403) if path in self.forbidden else None

    def after(self, call: Call, answer: Answer) -> Answer:
        left = max(0, self.per_second - self.used)
        told = {"RateLimit-Limit": str(self.per_second), "RateLimit-Remaining": str(left)}
        return Answer(answer.status, answer.body, {**answer.headers, **told})

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        return Answer.of({"message": "No Result found" if status == 404 else "Bad request"}, status)

    def _missing(self, path: str, id: str) -> Answer:
        """Notes are answered with 403, all else with 404."""
        told = {"message": f"No Result found for {_NAMES.get(path, path)} with id {int(id) if id.isdigit() else 0}"}
        return Answer.of(told, 403 if path == "notes" else 404)

    def _invalid(self, title: str, code: str, pointer: str) -> Answer:
        error = {"title": title, "detail": "", "code": code, "source": {"pointer": f"/data/attributes/{pointer}"}}
        return Answer.of({"errors": [error]}, 422)

    # calls

    def _one(self, path: str, row: Row, status: int = 200, **more: Any) -> Answer:
        return Answer.of({**more, SHAPES[path].one: shown(path, row)}, status)

    def _row(self, path: str, id: str) -> Row | None:
        return self.store.rows[path].get(int(id)) if path in self.store.rows and id.isdigit() else None

    def _list(self, call: Call, path: str) -> Answer:
        if path not in self.store.rows:
            return self.refuse(call, 404, path)
        query = asked(call)
        told = page(self.store, path, matching(self.store, path, query, self.heeds_offset), query, self.includes)
        if path == "deals":
            told["deals"] = [self._veiled(row) for row in told["deals"]]
        return Answer.of(told)

    def _veiled(self, deal: Row) -> Row:
        """A deal that the user may not see shows its title only."""
        if deal["id"] not in self.hidden:
            return deal
        return {"title": deal["title"], "links": deal["links"], "id": deal["id"], "isDisabled": True}

    def _get(self, call: Call, path: str, id: str) -> Answer:
        row = self._row(path, id)
        return self._one(path, row) if row is not None else self._missing(path, id)

    def _delete(self, call: Call, path: str, id: str) -> Answer:
        if self._row(path, id) is None:
            return self._missing(path, id)
        self.store.remove(path, int(id))
        return Answer.of({})

    def _given(self, call: Call, name: str) -> Row:
        told = call.json.get(name) if isinstance(call.json, dict) else None
        return told if isinstance(told, dict) else {}

    def _contact(self, call: Call, id: str) -> Answer:
        row = self._row("contacts", id)
        if row is None:
            return self._missing("contacts", id)
        sides = {side: beside(self.store, side, [id]) for side in SIDES if side != "contactTags"}
        deals = [shown("deals", deal) for deal in self.store.where("deals", contact=id)]
        more = {"contactAutomations": [], "geoIps": [], **sides, "deals": deals}
        ids = {name: [one["id"] for one in rows] for name, rows in more.items()}
        return Answer.of({**more, "contact": {**shown("contacts", row), **ids}})

    def _beside(self, call: Call, id: str, side: str) -> Answer:
        if self._row("contacts", id) is None:
            return self._missing("contacts", id)
        if side not in CONTACT_LINKS or side not in self.store.rows:
            return Answer.of({side: []})
        return Answer.of({side: beside(self.store, side, [id])})

    def _sync(self, call: Call) -> Answer:
        given = self._given(call, "contact")
        there = self.store.contact(str(given.get("email") or ""))
        return self._written(given, there)

    def _create(self, call: Call) -> Answer:
        given = self._given(call, "contact")
        if self.store.contact(str(given.get("email") or "")):
            return self._invalid("Email address already exists in the system", "duplicate", "email")
        return self._written(given, None)

    def _update(self, call: Call, id: str) -> Answer:
        row, given = self._row("contacts", id), self._given(call, "contact")
        if row is None:
            return self._missing("contacts", id)
        there = self.store.contact(given["email"]) if given.get("email") else None
        if there is not None and there is not row:
            return self._invalid("Email address already exists in the system", "duplicate", "email")
        return self._written({"email": row["email"], **given}, row)

    def _written(self, given: Row, row: Row | None) -> Answer:
        email = str(given.get("email") or "")
        if not email:
            return self._invalid("Contact Email Address is required", "field_missing", "email")
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            return self._invalid("Email address is invalid", "field_invalid", "email")
        new = row is None
        row = self.store.write_contact(given, row)
        fields = {str(one["field"]) for one in given.get("fieldValues") or ()}
        values = [one for one in beside(self.store, "fieldValues", [row["id"]]) if one["field"] in fields]
        told = shown("contacts", row)
        if new:  # a new contact is told in short
            names = ("email", "phone", "firstName", "lastName", "cdate", "udate", "links", "id")
            told = {name: told[name] for name in names} | {"email_empty": False, "orgid": "", "orgname": ""}
            told["organization"] = ""
        more = {"fieldValues": values} if fields else {}
        return Answer.of({**more, "contact": told}, 201 if new else 200)

    def _list_status(self, call: Call) -> Answer:
        given = self._given(call, "contactList")
        contact, list = self._row("contacts", str(given.get("contact"))), self._row("lists", str(given.get("list")))
        if contact is None or list is None or str(given.get("status")) not in "12":
            return Answer.of({"message": "Invalid list or contact"}, 400)
        more = {"sourceid": str(given.get("sourceid", 0))}
        row = self.store.list_status(contact, list["id"], str(given["status"]), **more)
        told = {**shown("contactLists", row), "status": given["status"]}
        return Answer.of({"contacts": [shown("contacts", contact)], "contactList": told})

    def _tag(self, call: Call) -> Answer:
        given = self._given(call, "contactTag")
        if "contact" not in given:
            source = {"pointer": "/data/attributes/contact"}
            return Answer.of({"errors": [{"status": 422, "title": "Missing attribute", "source": source}]}, 422)
        contact, tag = self._row("contacts", str(given["contact"])), self._row("tags", str(given.get("tag")))
        if contact is None or tag is None:
            what = "Contact not found" if contact is None else "Tag not found"
            return Answer.of({"errors": [{"status": 404, "title": "Not Found", "detail": what}]}, 404)
        row = self.store.tag(contact, tag["id"])
        names = ("contact", "tag", "cdate", "links", "id")
        link = shown("contactTags", row)
        told = {"contacts": [{**shown("contacts", contact), "email_empty": False}]}
        return Answer.of({**told, "contactTag": {name: link[name] for name in names}}, 201)

    def _new_tag(self, call: Call) -> Answer:
        given = self._given(call, "tag")
        if self.store.first("tags", tag=given.get("tag")):
            return self._invalid("A tag with this name already exists", "duplicate", "tag")
        row = self.store.new("tags", {name: given.get(name, "") for name in ("tag", "tagType", "description")})
        names = ("tag", "description", "tagType", "cdate", "links", "id")
        told = shown("tags", row)
        return Answer.of({"tag": {name: told[name] for name in names}}, 201)

    def _note(self, call: Call) -> Answer:
        given = self._given(call, "note")
        contact = self._row("contacts", str(given.get("relid")))
        if contact is None:
            return Answer.of({"errors": [{"status": 404, "title": "Not Found", "detail": "Contact not found"}]}, 404)
        owner = {"type": "contact", "id": contact["id"]}
        row = self.store.new("notes", {"note": given.get("note"), "relid": contact["id"], "owner": owner})
        return self._one("notes", row, 201, contacts=[shown("contacts", contact)])

    def _deal(self, call: Call, id: str) -> Answer:
        """A deal is made or changed. Its figures are told as they were sent."""
        row = self._row("deals", id) if id else None
        if id and row is None:
            return self._missing("deals", id)
        given = self._given(call, "deal")
        if wrong := wrong_deal(self.store, given, row):
            return self._invalid(*wrong)
        row = write_deal(self.store, given, row)
        there = self._row("contacts", str(row["contact"]))
        contacts = [shown("contacts", there)] if there is not None else []
        figures: Row = {name: given[name] for name in ("value", "status", "percent") if name in given}
        told = {**shown("deals", row), **figures}
        data = [shown("dealCustomFieldData", one) for one in self.store.where("dealCustomFieldData", dealId=row["id"])]
        return Answer.of({"contacts": contacts, "deal": {**told, "fields": data}}, 200 if id else 201)

    def _activities(self, call: Call) -> Answer:
        """A contact's activities, with what they refer to beside them."""
        query = asked(call)
        contact = query.get("contact", [""])[-1]
        if not contact:
            return Answer.of({"message": "A contact is required"}, 400)
        told = page(self.store, "activities", matching(self.store, "activities", query, True), query, self.includes)
        data = beside(self.store, "linkData", [contact])
        links = {row["link"] for row in data}
        shown_links = [shown("links", row) for row in self.store.rows["links"].values() if row["id"] in links]
        return Answer.of(
            {**told, "logs": beside(self.store, "logs", [contact]), "linkData": data, "links": shown_links}
        )

    # imports

    def _import(self, call: Call) -> Answer:
        contacts = call.json.get("contacts") if isinstance(call.json, dict) else None
        recent = stamp(self.clock.now() - timedelta(seconds=60))
        if sum(one["at"] > recent for one in self.store.imports) >= 100:
            reasons = ["Up to 100 imports may be requested per minute."]
            return Answer.of({"success": 0, "message": "Rate limit exceeded.", "failureReasons": reasons}, 400)
        if not isinstance(contacts, list) or not 1 <= len(contacts) <= 250:
            return self._unimported(["Up to 250 contacts may be included in a single request."])
        wrong = [n for n, one in enumerate(contacts) if not re.fullmatch(r"\S+@\S+", str(one.get("email")))]
        if wrong:
            why = "Field 'email' incorrect format"
            return self._unimported([{"contact": number, "failureReason": why} for number in wrong])
        one = self.store.queue(contacts)
        message = "Contact import queued"
        return Answer.of({"Success": 1, "queued_contacts": len(contacts), "batchId": one["id"], "message": message})

    def _unimported(self, reasons: Sequence[Any]) -> Answer:
        message = "JSON payload did not pass validation. The import was not queued for processing."
        return Answer.of({"success": 0, "message": message, "failureReasons": reasons}, 400)

    def _import_info(self, call: Call) -> Answer:
        batch = call.query.get("batchId", "")
        one = next((one for one in self.store.imports if one["id"] == batch), None)
        if one is None:
            return Answer.of({"success": 0, "message": "'batchId' is a required field."}, 400)
        return Answer.of({name: one[name] for name in ("status", "success", "failure")})

    # snapshots

    _KEPT = ("user", "list", "other_list", "pipeline", "stages", "second", "used")

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self._KEPT}
        rows = {path: list(rows.values()) for path, rows in self.store.rows.items()}
        told = {**kept, "rows": rows, "next_ids": self.store.next_ids, "imports": self.store.imports}
        copied: dict[str, Any] = orjson.loads(orjson.dumps({**told, "random": self.random.getstate()}))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))
        self.store.rows = {path: {int(row["id"]): row for row in state["rows"].get(path, ())} for path in SHAPES}
        self.store.next_ids, self.store.imports = state["next_ids"], state["imports"]
