"""The sandbox's members and their tags: ids, stamps, and how a member is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from config.clock import Clock, stamp, unstamp
from connectors.mailchimp.client import subscriber_hash

Row = dict[str, Any]

AUDIENCE = "a6b5da1054"


class Store:
    """One audience. Switch: `with_contact_ids` (older accounts have none)."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.members: dict[str, Row] = {}  # by hash
        self.forgotten: set[str] = set()
        self.merge_fields = [merge_field(n, *row) for n, row in enumerate(_MERGE_FIELDS, 1)]
        self.segments: dict[int, Row] = {}
        self.with_contact_ids = True
        self.next_id = 100

    def stamped(self) -> str:
        return seconds(stamp(self.clock.now()))

    def hex(self, length: int) -> str:
        return f"{self.random.getrandbits(length * 4):0{length}x}"

    def found(self, id: str) -> Row:
        if id in self.members:
            return self.members[id]
        return next(member for member in self.members.values() if member["contact_id"] == id)

    def member(self, id: str) -> Row | None:
        if id in self.members:
            return self.members[id]
        if "@" in id:
            return self.members.get(subscriber_hash(id))
        return next((member for member in self.members.values() if member["contact_id"] == id), None)

    def new(self, values: Row, status: str, source: str, at: str = "") -> Row:
        email = values.pop("email_address")
        now = seconds(at) if at else self.stamped()
        self.next_id += 1
        fields = {row["tag"]: "" for row in self.merge_fields}
        member: Row = {
            "id": subscriber_hash(email),
            "email_address": email,
            "unique_email_id": self.hex(10),
            "contact_id": self.hex(32),
            "full_name": "",
            "web_id": self.next_id,
            "email_type": "html",
            "status": status,
            "consents_to_one_to_one_messaging": True,
            "merge_fields": fields,
            "interests": {},
            "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
            "ip_signup": "",
            "timestamp_signup": now if source != "API - Generic" else "",
            "ip_opt": "127.0.0.1" if status == "subscribed" else "",
            "timestamp_opt": now if status == "subscribed" else "",
            "member_rating": 2,
            "last_changed": now,
            "language": "",
            "vip": False,
            "email_client": "",
            "location": {
                "latitude": 0,
                "longitude": 0,
                "gmtoff": 0,
                "dstoff": 0,
                "country_code": "",
                "timezone": "",
                "region": "",
            },
            "source": source,
            "tags_count": 0,
            "tags": [],
            "list_id": AUDIENCE,
        }
        self.members[member["id"]] = member
        self.change(member, values, now)
        return member

    def change(self, member: Row, values: Row, at: str = "") -> None:
        fields = values.pop("merge_fields", None) or {}
        member["merge_fields"].update(fields)
        names = (member["merge_fields"].get("FNAME"), member["merge_fields"].get("LNAME"))
        member["full_name"] = " ".join(str(name) for name in names if name)
        member["interests"].update(values.pop("interests", None) or {})
        email = values.pop("email_address", None)
        if email and email.lower() != member["email_address"].lower():
            del self.members[member["id"]]
            member["id"], member["email_address"] = subscriber_hash(email), email
            self.members[member["id"]] = member
        for name in (
            "language",
            "vip",
            "location",
            "ip_opt",
            "timestamp_opt",
            "ip_signup",
            "timestamp_signup",
            "email_type",
        ):
            if name in values:
                member[name] = values[name]
        member["last_changed"] = at or self.stamped()

    def set_status(self, member: Row, status: str) -> None:
        member["status"], member["last_changed"] = status, self.stamped()

    def shown(self, member: Row) -> Row:
        shown = {name: value for name, value in member.items() if not name.startswith("_")}
        if not self.with_contact_ids:
            del shown["contact_id"]
        shown["tags"] = shown["tags"][:50]
        shown["_links"] = [
            {
                "rel": "self",
                "href": f"https://us19.api.mailchimp.com/3.0/lists/{AUDIENCE}/members/{member['id']}",
                "method": "GET",
            }
        ]
        return shown

    def set_tags(self, member: Row, tags: list[Row]) -> None:
        for tag in tags:
            segment = self.segment(tag["name"])
            held = [row for row in member["tags"] if row["name"] != tag["name"]]
            if tag["status"] == "active":
                held.append({"id": segment["id"], "name": tag["name"]})
            member["tags"], member["tags_count"] = held, len(held)
            member["last_changed"] = self.stamped()

    def segment(self, name: str) -> Row:
        for segment in self.segments.values():
            if segment["name"] == name:
                return segment
        self.next_id += 1
        row = {"id": self.next_id, "name": name, "member_count": 0, "type": "static", "list_id": AUDIENCE}
        self.segments[self.next_id] = row
        return row

    # snapshot

    _KEPT = ("members", "merge_fields", "next_id")

    def snapshot(self) -> Row:
        kept: Row = {name: getattr(self, name) for name in self._KEPT}
        return {**kept, "forgotten": sorted(self.forgotten), "segments": list(self.segments.values())}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in self._KEPT:
            setattr(self, name, state[name])
        self.forgotten = set(state["forgotten"])
        self.segments = {row["id"]: row for row in state["segments"]}


_MERGE_FIELDS = (
    ("FNAME", "First Name", "text"),
    ("LNAME", "Last Name", "text"),
    ("ADDRESS", "Address", "address"),
    ("PHONE", "Phone Number", "phone"),
    ("BIRTHDAY", "Birthday", "birthday"),
)


def merge_field(number: int, tag: str, name: str, kind: str) -> Row:
    told = {"merge_id": number, "tag": tag, "name": name, "type": kind, "required": False, "default_value": ""}
    return {
        **told,
        "public": False,
        "display_order": number,
        "options": {"size": 25},
        "help_text": "",
        "list_id": AUDIENCE,
    }


def seconds(text: str) -> str:
    """An instant as Mailchimp writes it: whole seconds, +00:00."""
    return unstamp(text).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def instant(text: str) -> datetime | None:
    """The instant that a filter names; None for one that Mailchimp does not understand, and so ignores."""
    try:
        return unstamp(text.replace(" ", "+")) if text else None
    except ValueError:
        return None
