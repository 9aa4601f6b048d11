"""The sandbox's things: members, event types, events, invitees, and the notices that go out."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import Clock, unstamp

HOST = "https://api.calendly.com"
"""Where every address points, whatever host the sandbox has."""
PATIENCE = timedelta(hours=24)
"""How long a delivery is tried again; then its subscription is disabled for good."""

Row = dict[str, Any]


def instant(at: datetime) -> str:
    """An instant as Calendly writes it, in microseconds."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def uuid(uri: Any) -> str:
    return str(uri or "").rpartition("/")[2]


@dataclass
class Store:
    """Rows by kind and uuid. Switches: `group_bumps` (a seat taken or given back in a group event changes the event),
    `no_show_bumps`, `erasing` (how long an erasure takes)."""

    clock: Clock
    random: random.Random
    organization: str = ""
    rows: dict[str, dict[str, Row]] = field(
        default_factory=lambda: {
            kind: {} for kind in ("users", "event_types", "events", "invitees", "invitee_no_shows", "hooks")
        }
    )
    group_bumps: bool = True
    no_show_bumps: bool = False
    erasing: timedelta = timedelta(days=2)
    erasures: list[list[str]] = field(default_factory=list)  # [address, when]
    deliveries: list[Row] = field(default_factory=list)  # webhook calls that wait to be sent

    def now(self) -> str:
        return instant(self.clock.now())

    def new_id(self) -> str:
        text = f"{self.random.getrandbits(128):032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def new(self, kind: str, path: str, values: Mapping[str, Any]) -> Row:
        id = self.new_id()
        row = {"uri": f"{HOST}/{path}/{id}", "created_at": self.now(), "updated_at": self.now(), **values}
        self.rows[kind][id] = row
        return row

    # what people do

    def user(self, values: Mapping[str, Any]) -> Row:
        name = str(values.get("name") or "Rita Ortega")
        slug = name.lower().replace(" ", "-")
        given = {
            "name": name,
            "slug": slug,
            "email": f"{slug}@example.com",
            "scheduling_url": f"https://calendly.com/{slug}",
            "timezone": "Europe/Madrid",
            "avatar_url": None,
            "locale": "en",
            "time_notation": "24h",
            "resource_type": "User",
            "current_organization": f"{HOST}/organizations/{self.organization}",
            "standing": "user",
            "membership": self.new_id(),
        }
        return self.new("users", "users", {**given, **values})

    def event_type(self, owner: Row, values: Mapping[str, Any]) -> Row:
        name = str(values.get("name") or "Demo")
        given: Row = {
            "name": name,
            "active": True,
            "booking_method": "instant",
            "slug": name.lower().replace(" ", "-"),
            "scheduling_url": f"{owner['scheduling_url']}/{name.lower().replace(' ', '-')}",
            "duration": 30,
            "duration_options": None,
            "locale": "en",
            "locations": [{"kind": "physical", "location": "Calendly Office"}],
            "position": 0,
            "kind": "solo",
            "kind_description": "One-on-One",
            "pooling_type": None,
            "type": "StandardEventType",
            "color": "#0088ff",
            "internal_note": None,
            "description_plain": None,
            "description_html": None,
            "profile": {"type": "User", "name": owner["name"], "owner": owner["uri"]},
            "secret": False,
            "custom_questions": [],
            "deleted_at": None,
            "admin_managed": False,
        }
        return self.new("event_types", "event_types", {**given, **values})

    def event(self, kind: Row, host: Row, start: str, *, seats: int, location: Row | None) -> Row:
        end = instant(unstamp(start) + timedelta(minutes=kind["duration"]))
        values: Row = {
            "name": kind["name"],
            "status": "active",
            "start_time": instant(unstamp(start)),
            "end_time": end,
            "event_type": kind["uri"],
            "location": location or {"type": "physical", "location": "Calendly Office"},
            "invitees_counter": {"total": 0, "active": 0, "limit": seats},
            "event_memberships": [{"user": host["uri"], "user_email": host["email"], "user_name": host["name"]}],
            "event_guests": [],
            "calendar_event": None,
            "meeting_notes_plain": None,
            "meeting_notes_html": None,
        }
        return self.new("events", "scheduled_events", values)

    def invitee(self, event: Row, values: Mapping[str, Any]) -> Row:
        given: Row = {
            "first_name": None,
            "last_name": None,
            "status": "active",
            "questions_and_answers": [],
            "timezone": "Europe/Berlin",
            "event": event["uri"],
            "tracking": {},
            "text_reminder_number": None,
            "rescheduled": False,
            "old_invitee": None,
            "new_invitee": None,
            "routing_form_submission": None,
            "payment": None,
            "no_show": None,
            "reconfirmation": None,
            "scheduling_method": None,
            "invitee_scheduled_by": None,
        }
        row = self.new("invitees", f"scheduled_events/{uuid(event['uri'])}/invitees", {**given, **values})
        names = ("utm_campaign", "utm_source", "utm_medium", "utm_content", "utm_term", "salesforce_uuid")
        row["tracking"] = {name: row["tracking"].get(name) for name in names}
        row["cancel_url"] = f"https://calendly.com/cancellations/{uuid(row['uri'])}"
        row["reschedule_url"] = f"https://calendly.com/reschedulings/{uuid(row['uri'])}"
        self._seat(event, total=1, active=1)
        return row

    def _seat(self, event: Row, *, total: int, active: int) -> None:
        counter = event["invitees_counter"]
        counter["total"] += total
        counter["active"] += active
        if counter["limit"] == 1 or self.group_bumps:
            event["updated_at"] = self.now()

    def cancel(self, invitee: Row, by: str, reason: str, **more: Any) -> None:
        """The person's seat is given back; an event for one is cancelled with it."""
        event = self.rows["events"][uuid(invitee["event"])]
        told = {"canceled_by": invitee["name"], "reason": reason, "canceler_type": by, "created_at": self.now()}
        invitee |= {"status": "canceled", "cancellation": told, "updated_at": self.now(), **more}
        if event["invitees_counter"]["limit"] == 1:
            event |= {"status": "canceled", "cancellation": told}
        self._seat(event, total=0, active=-1)

    def no_show(self, invitee: Row, marked: bool) -> Row:
        """The host says that the person did not come, or takes that back."""
        told = invitee["no_show"]
        if marked:
            told = self.new("invitee_no_shows", "invitee_no_shows", {"invitee": invitee["uri"]})
            invitee["no_show"] = {"uri": told["uri"], "created_at": told["created_at"]}
        elif told:
            del self.rows["invitee_no_shows"][uuid(told["uri"])]
            invitee["no_show"] = None
        invitee["updated_at"] = self.now()
        if self.no_show_bumps:
            self.rows["events"][uuid(invitee["event"])]["updated_at"] = self.now()
        return told or {}

    def erase(self) -> None:
        """What was asked to be erased and is due: the invitees, and the events that are nobody's then."""
        due = {address for address, at in self.erasures if at <= self.now()}
        if not due:
            return
        self.erasures = [[address, at] for address, at in self.erasures if address not in due]
        gone = {id for id, row in self.rows["invitees"].items() if row["email"].lower() in due}
        events = {uuid(self.rows["invitees"][id]["event"]) for id in gone}
        self.rows["invitees"] = {id: row for id, row in self.rows["invitees"].items() if id not in gone}
        used = {uuid(row["event"]) for row in self.rows["invitees"].values()}
        self.rows["events"] = {id: row for id, row in self.rows["events"].items() if id not in events or id in used}

    # notices

    def notice(self, event: str, payload: Mapping[str, Any]) -> None:
        """Queue a delivery for every active subscription of the event."""
        body = dict(payload)
        if event.startswith("invitee"):
            body["scheduled_event"] = self.rows["events"][uuid(payload["event"])]
        for id, hook in self.rows["hooks"].items():
            if hook["state"] == "active" and event in hook["events"]:
                told = {"event": event, "created_at": self.now(), "created_by": hook["creator"], "payload": body}
                self.deliveries.append({"hook": id, "body": orjson.dumps(told).decode(), "since": ""})

    def deliver(self, receiver: Callable[[Mapping[str, str], bytes], int | None]) -> int:
        """Try once what waits; the number of attempts. What is not answered with 2xx waits on, newly stamped when it is
        tried again; a day later its subscription is disabled, and does not recover."""
        waiting, self.deliveries, attempts = self.deliveries, [], 0
        for one in waiting:
            hook, body = self.rows["hooks"].get(one["hook"]), one["body"].encode()
            if hook is None or hook["state"] != "active":
                continue
            attempts += 1
            answer = receiver(signed(hook["signing_key"], body, self.clock.now()), body)
            if answer is not None and 200 <= answer < 300:
                hook["retry_started_at"] = None
                continue
            one["since"] = one["since"] or self.now()
            hook["retry_started_at"] = hook["retry_started_at"] or one["since"]
            if self.clock.now() - unstamp(one["since"]) >= PATIENCE:
                hook["state"] = "disabled"
            else:
                self.deliveries.append(one)
        return attempts


def signed(key: str | None, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of a delivery; without a key it goes out unsigned."""
    if not key:
        return {}
    stamped = str(int(at.timestamp()))
    digest = hmac.new(key.encode(), stamped.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Calendly-Webhook-Signature": f"t={stamped},v1={digest}"}
