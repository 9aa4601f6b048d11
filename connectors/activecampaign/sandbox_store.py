"""The sandbox's rows: ids, stamps, lists and tags of contacts, imports, and the notices that go out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from config.clock import Clock, stamp, unstamp
from connectors.activecampaign.sandbox_shapes import SHAPES, Row

ZONE = timezone(timedelta(hours=-5))
"""The account's time zone."""
TIED = (
    "contactLists",
    "contactTags",
    "fieldValues",
    "accountContacts",
    "contactDeals",
    "logs",
    "linkData",
    "bounceLogs",
)
"""What goes with a contact that is deleted."""

NOTICED = {
    "contact": {"id": "id", "email": "email", "first_name": "firstName", "last_name": "lastName", "phone": "phone"},
    "deal": {"id": "id", "stageid": "stage", "pipelineid": "group", "status": "status", "contactid": "contact"},
}
"""What a delivery tells of a row, by its own names."""


@dataclass
class Store:
    """All rows by path and id. Switches: `lists_bump`, `tags_bump` (they move the contact's udate)."""

    clock: Clock
    rows: dict[str, dict[int, Row]] = field(default_factory=lambda: {path: {} for path in SHAPES})
    next_ids: dict[str, int] = field(default_factory=dict)
    lists_bump: bool = True
    tags_bump: bool = True
    deliveries: list[Row] = field(default_factory=list)  # webhook calls that wait to be sent
    imports: list[Row] = field(default_factory=list)
    quiet: bool = False  # an import is taken in: no webhooks

    def local(self, at: datetime | None = None) -> datetime:
        return (at or self.clock.now()).astimezone(ZONE)

    def now(self) -> str:
        return self.local().isoformat(timespec="seconds")

    def new(self, path: str, values: Mapping[str, Any], at: str = "") -> Row:
        """A new row, stamped now or at the instant `at` (a stamp)."""
        shape = SHAPES[path]
        id = self.next_ids[path] = self.next_ids.get(path, 0) + 1
        row: Row = {"id": str(id), **{n: list(v) if isinstance(v, list) else v for n, v in shape.blank.items()}}
        told = self.local(unstamp(at)) if at else self.local()
        row[shape.made] = told.isoformat(timespec="seconds")
        if "created_timestamp" in row:
            row["created_timestamp"] = f"{told:%Y-%m-%d %H:%M:%S}"
        if "created_utc_timestamp" in row:  # local time, whatever its name: so it is recorded
            row["created_utc_timestamp"] = row["created_timestamp"]
        if "hash" in row:
            row["hash"] = hashlib.md5(f"{path}{id}".encode(), usedforsecurity=False).hexdigest()
        row.update(values)
        self.rows[path][id] = row
        self.touch(path, row, at)
        return row

    def change(self, path: str, row: Row, values: Mapping[str, Any]) -> None:
        row.update(values)
        self.touch(path, row)

    def touch(self, path: str, row: Row, at: str = "") -> None:
        """The row changed, now or at `at`."""
        told = self.local(unstamp(at)) if at else self.local()
        if changed := SHAPES[path].changed:
            row[changed] = told.isoformat(timespec="seconds")
        for name in ("updated_timestamp", "updated_utc_timestamp"):
            if name in row:
                row[name] = f"{told:%Y-%m-%d %H:%M:%S}"

    def where(self, path: str, **wanted: Any) -> Iterator[Row]:
        for row in list(self.rows[path].values()):
            if all(str(row.get(name)) == str(value) for name, value in wanted.items()):
                yield row

    def first(self, path: str, **wanted: Any) -> Row | None:
        return next(self.where(path, **wanted), None)

    def contact(self, email: str) -> Row | None:
        return next((row for row in self.rows["contacts"].values() if row["email"].lower() == email.lower()), None)

    # contacts

    def write_contact(self, values: Mapping[str, Any], row: Row | None) -> Row:
        """Create or change a contact; custom fields as `fieldValues`. Unknown members are passed over in silence."""
        known = {name: value for name, value in values.items() if name in ("email", "firstName", "lastName", "phone")}
        if row is None:
            row = self.new("contacts", known)
        else:
            self.change("contacts", row, known)
            self.notice("update", row)
        for one in values.get("fieldValues") or ():
            self.set_field(row, str(one["field"]), one["value"])
        return row

    def set_field(self, contact: Row, field: str, value: Any) -> None:
        if int(field) not in self.rows["fields"]:
            return
        there = self.first("fieldValues", contact=contact["id"], field=field)
        told = "" if value is None else str(value)
        if there is None:
            self.new("fieldValues", {"contact": contact["id"], "field": field, "value": told, "owner": contact["id"]})
        else:
            self.change("fieldValues", there, {"value": told})
        self.touch("contacts", contact)

    def list_status(self, contact: Row, list: str, status: str, **more: Any) -> Row:
        """Set it, whatever it was: that is how somebody who left is put back on, and the API lets it happen."""
        row = self.first("contactLists", contact=contact["id"], list=list)
        if row is None:
            row = self.new("contactLists", {"contact": contact["id"], "list": list, "status": status, **more})
        else:
            self.change("contactLists", row, {"status": status, **more})
        if self.lists_bump:
            self.touch("contacts", contact)
        if status in "12":
            self.notice("subscribe" if status == "1" else "unsubscribe", contact, {"list": list})
        return row

    def tag(self, contact: Row, tag: str) -> Row:
        row = self.first("contactTags", contact=contact["id"], tag=tag)
        if row is None:
            row = self.new("contactTags", {"contact": contact["id"], "tag": tag})
            self.tagged(contact, tag, "contact_tag_added")
        return row

    def tagged(self, contact: Row, tag: str, event: str) -> None:
        if self.tags_bump:
            self.touch("contacts", contact)
        self.notice(event, contact, {"tag": self.rows["tags"][int(tag)]["tag"]})

    def tag_named(self, name: str) -> str:
        there = self.first("tags", tag=name)
        return str((there or self.new("tags", {"tag": name}))["id"])

    def remove(self, path: str, id: int) -> None:
        row = self.rows[path].pop(id)
        if path == "contacts":
            for tied in TIED:
                for one in self.where(tied, contact=row["id"]):
                    del self.rows[tied][int(one["id"])]
        if path == "contactTags" and int(row["contact"]) in self.rows["contacts"]:
            self.tagged(self.rows["contacts"][int(row["contact"])], row["tag"], "contact_tag_removed")

    # imports

    def take_in(self, lag: float) -> None:
        """Take in the imports that are old enough. Nobody who left a list is put back on it; nothing is noticed."""
        for one in self.imports:
            if one["status"] == "waiting" and unstamp(one["at"]) + timedelta(seconds=lag) <= self.clock.now():
                self.quiet = True
                one["status"] = "completed"
                for contact in one["contacts"]:
                    self._take_in(one, contact)
                self.quiet = False

    def _take_in(self, one: Row, told: Row) -> None:
        if "'" in told["email"] or told["email"].endswith("@invalidDomain"):
            one["failure"].append(told["email"])
            return
        names = {"first_name": "firstName", "last_name": "lastName", "phone": "phone", "email": "email"}
        values = {names[name]: value for name, value in told.items() if name in names}
        row = self.write_contact(values, self.contact(told["email"]))
        for one_field in told.get("fields") or ():
            self.set_field(row, str(one_field["id"]), one_field["value"])
        for tag in told.get("tags") or ():
            self.tag(row, self.tag_named(tag))
        for entry in told.get("unsubscribe") or ():
            self.list_status(row, str(entry["listid"]), "2")
        for entry in told.get("subscribe") or ():
            there = self.first("contactLists", contact=row["id"], list=entry["listid"])
            if there is None or there["status"] not in "23":
                self.list_status(row, str(entry["listid"]), "1")
        one["success"].append(row["id"])

    def queue(self, contacts: list[Row]) -> Row:
        number = len(self.imports) + 1
        one = {"id": f"0641fbdd-f62f-4c2c-ba02-{number:012d}", "at": stamp(self.clock.now()), "status": "waiting"}
        self.imports.append({**one, "contacts": contacts, "success": [], "failure": []})
        return one

    # webhooks

    def notice(self, event: str, row: Row, more: Mapping[str, Any] | None = None, kind: str = "contact") -> None:
        """One form-encoded delivery for every hook that wants the event."""
        form = {"type": event, "date_time": self.now(), "initiated_from": "admin", "initiated_by": "admin", "list": "0"}
        form |= {f"{kind}[{name}]": str(row[member]) for name, member in NOTICED[kind].items()}
        if kind == "deal":
            form["deal[value]"] = f"{int(row['value']) / 100:.2f}"  # formatted, not cents
        body = urlencode({**form, **(more or {})}).encode()
        for hook in () if self.quiet else list(self.rows["webhooks"].values()):
            if event in hook["events"]:
                self.deliveries.append({"url": hook["url"], "body": body})
