"""The sandbox's bulk activities: states that move by and by, counts, and bare words for what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from connectors.constant_contact.sandbox_contacts import OUT, People
from connectors.constant_contact.sandbox_store import Refused, Row, Store, invalid
from connectors.sandbox import Answer, Call

LARGEST = 4 * 1024 * 1024
QUEUE = 1000
STATES = ("initialized", "processing", "completed")
_PHONES = {
    "work_phone": "work",
    "home_phone": "home",
    "mobile_phone": "mobile",
    "other_phone": "other",
    "phone": "other",
}
_ADDRESS = {"street": "street", "city": "city", "state": "state", "zip": "postal_code", "country": "country"}


class Bulk:
    """Activities. `ends` is the state that they come to, `most` what fits into one import."""

    def __init__(self, store: Store, people: People) -> None:
        self.store, self.people = store, people
        self.ends = "completed"
        self.most = LARGEST

    def start(self, call: Call, kind: str) -> Answer:
        given = call.json if isinstance(call.json, dict) else {}
        if sum(job["state"] in STATES[:2] for job in self.store.jobs.values()) >= QUEUE:
            raise Refused(429, "too_many_requests", "More than 1,000 activities are queued.", flat=True)
        if kind == "contacts_json_import":
            work = self._import(call.body, given)
        elif kind == "contact_delete":
            if not given.get("contact_ids") or len(given["contact_ids"]) > 500:
                raise invalid("contact_ids must have 1 to 500 members")
            work = {"ids": given["contact_ids"]}
        else:
            raise Refused(404, "not_found", "There is no such activity.")
        now = self.store.now()
        job: Row = {"activity_id": self.store.id(), "state": STATES[0], "created_at": now, "updated_at": now}
        job |= {"percent_done": 0, "activity_errors": [], "status": {}, "kind": kind, "work": work}
        self.store.jobs[job["activity_id"]] = job
        return Answer.of(_shown(job), 201)

    def _import(self, body: bytes, given: Mapping[str, Any]) -> Row:
        """Rows beyond what fits are dropped without a word."""
        if not isinstance(given.get("import_data"), list) or not isinstance(given.get("list_ids"), list):
            raise invalid("import_data and list_ids are required")
        if any(id not in self.store.rows["contact_lists"] for id in given["list_ids"]):
            raise invalid("list_ids is not valid")
        rows, size = [], len(body) - len(orjson.dumps(given["import_data"]))
        for row in given["import_data"]:
            size += len(orjson.dumps(row)) + 1
            if size > self.most:
                break
            rows.append(row)
        return {"rows": rows, "lists": given["list_ids"]}

    def get(self, call: Call, id: str) -> Answer:
        """Each look finds it a step further."""
        job = self.store.jobs.get(id)
        if job is None:
            raise Refused(404, "not_found", "Activity not found.")
        if job["state"] == STATES[0]:
            job["state"] = STATES[1]
        elif job["state"] == STATES[1]:
            job.update({"state": self.ends, "percent_done": 100, "completed_at": self.store.now()})
            if self.ends == "completed":
                works: Mapping[str, Callable[[Row], None]] = {
                    "contacts_json_import": self._imported,
                    "contact_delete": self._deleted,
                }
                works[job["kind"]](job)
        job["updated_at"] = self.store.now()
        return Answer.of(_shown(job))

    def _imported(self, job: Row) -> None:
        counts = dict.fromkeys(("person_count", "error_count", "correctable_count", "cannot_add_to_list_count"), 0)
        for row in job["work"]["rows"]:
            wrong = self._import_one(row, job["work"]["lists"])
            counts[wrong or "person_count"] += 1
            if wrong:
                job["activity_errors"].append("Contact could not be added.")  # never which
        job["status"] = {"items_total_count": len(job["work"]["rows"]), **counts}

    def _import_one(self, row: Row, lists: list[str]) -> str:
        """Somebody new is `implicit`; who was deleted comes back; who left gets on no list."""
        email = str(row.get("email") or "")
        if "@" not in email or len(email) > 50:
            return "error_count"
        if any(
            str(told).startswith("+") and not str(told).startswith("+1")
            for name, told in row.items()
            if name in _PHONES
        ):
            return "error_count"
        contact = self.store.contact_of(email)
        if contact is None:
            contact = self.store.new("contacts", {"create_source": "Account", "update_source": "Account"})
            given = {"address": email, "permission_to_send": "implicit"}
            contact["email_address"] = self.people.address({}, given, "Account")
        out = contact["email_address"]["permission_to_send"] == OUT
        self.people.fill(contact, {**self._columns(row), **({} if out else {"list_memberships": lists})})
        contact.pop("deleted_at", None)
        contact["updated_at"] = self.store.now()
        return "cannot_add_to_list_count" if out else ""

    def _columns(self, row: Row) -> Row:
        """The row in the words of a partial update."""
        told: Row = {
            name: value
            for name, value in row.items()
            if name
            in ("first_name", "last_name", "job_title", "company_name", "anniversary", "birthday_month", "birthday_day")
        }
        fields = {field["name"]: id for id, field in self.store.rows["contact_custom_fields"].items()}
        custom = {name.removeprefix("cf:"): value for name, value in row.items() if name.startswith("cf:")}
        told["custom_fields"] = [{"custom_field_id": fields[n], "value": v} for n, v in custom.items() if n in fields]
        for column, kind in _PHONES.items():
            if row.get(column):
                told.setdefault("phones", []).append({"phone_number": row[column], "kind": kind})
        address = {part: row[f"work_{column}"] for column, part in _ADDRESS.items() if row.get(f"work_{column}")}
        return {**told, **({"street_address": {"kind": "work", **address}} if address else {})}

    def _deleted(self, job: Row) -> None:
        for id in job["work"]["ids"]:
            contact = self.store.rows["contacts"].get(id)
            if contact is not None and not contact.get("deleted_at"):
                self.people.put_away(contact)
        done = len(job["work"]["ids"])
        job["status"] = {"items_total_count": done, "items_completed_count": done, "list_count": 0}


def _shown(job: Row) -> Row:
    told = {name: value for name, value in job.items() if name not in ("kind", "work")}
    return {**told, "_links": {"self": {"href": f"/v3/activities/{job['activity_id']}"}}}
