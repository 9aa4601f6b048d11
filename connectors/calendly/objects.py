"""The objects as the connector names them, and how Calendly's things become records.

An invitee is one booking by one person; its record is that person as they gave their name then. A meeting is the same
booking through all its moves: Calendly makes a new event and a new invitee of every move, and ties the two invitees
together. Its record has the id of the first invitee of the chain and tells of the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import FieldSchema, Gone, Record
from connectors.calendly.client import PAGE, Client, Resource, invitee_id, invitee_path, uuid

ANSWERS = "answers."
"""`answers.company_name` of an invitee: what was answered to the question “Company name?”."""
KEPT = 5000
"""Events whose invitees are kept in memory, so that meetings need not ask again for what invitees asked."""
LONGEST = 50
"""Moves of one meeting that are followed."""
TRACKED = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "salesforce_uuid")


def _table(*fields: FieldSchema) -> Mapping[str, FieldSchema]:
    return {field.name: field for field in fields}


def _told(names: str, type: str = "text") -> tuple[FieldSchema, ...]:
    return tuple(FieldSchema(name, type, writable=False) for name in names.split())


_TRACKING = _told(" ".join(f"tracking.{name}" for name in TRACKED))

FIELDS: Mapping[str, Mapping[str, FieldSchema]] = {
    "users": _table(
        *_told("id uri name slug scheduling_url timezone locale time_notation avatar_url current_organization"),
        *_told("resource_type"),
        *_told("email", "email"),
        *_told("created_at updated_at", "datetime"),
    ),
    "event_types": _table(
        *_told(
            "id uri name slug scheduling_url kind pooling_type type color locale internal_note description_plain status"
        ),
        *_told("active secret admin_managed", "boolean"),
        *_told("duration", "integer"),
        *_told("created_at updated_at deleted_at", "datetime"),
        *_told("owner", "reference"),
    ),
    "invitees": _table(
        *_told("id uri name first_name last_name given_name family_name status timezone event_name"),
        *_told("old_invitee new_invitee routing_form_submission scheduling_method"),
        *_told("email", "email"),
        *_told("phone text_reminder_number", "phone"),
        *_told("created_at updated_at starts_at", "datetime"),
        *_told("rescheduled", "boolean"),
        *_told("event event_type host", "reference"),
        *_told("tracking payment no_show cancellation answers", "object"),
        *_TRACKING,
    ),
    "meetings": _table(
        *_told("id name title detail place cancelled_by reason host_name"),
        FieldSchema("state", "choice", writable=False, options=("booked", "cancelled", "no_show")),
        *_told("starts_at ends_at booked_at", "datetime"),
        *_told("moves", "integer"),
        *_told("email host_email", "email"),
        *_told("invitee event event_type host", "reference"),
        *_told("tracking", "object"),
        *_TRACKING,
    ),
}
"""What a mapping may name. Nothing is written, by whatever name."""


@dataclass(frozen=True, slots=True)
class Booking:
    """An invitee with the event booked."""

    invitee: Resource
    event: Resource


@dataclass(frozen=True, slots=True)
class History:
    """Of a meeting: the id of its first invitee, how often it was moved, and the link that brought the person, which
    a move does not carry along."""

    first: str
    moves: int
    tracking: Mapping[str, Any]


class Bookings:
    """Who booked which event. The first KEPT events that a sweep reads are kept, by their time of change."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: dict[tuple[str, str], list[Resource]] = {}
        self._numbers: set[str] | None = None

    def forget(self) -> None:
        """Ask anew for everything from here on."""
        self._kept.clear()
        self._numbers = None

    def of(self, event: Resource, *, anew: bool = False) -> list[Booking]:
        """The bookings of an event; `anew` where its time of change need not tell of theirs."""
        key = (uuid(event["uri"]), str(event.get("updated_at")))
        found = None if anew else self._kept.get(key)
        if found is None:
            found = self._client.invitees(key[0])
            if len(self._kept) < KEPT and len(found) <= PAGE:
                self._kept[key] = found
        return [Booking(invitee, event) for invitee in found]

    def read(self, id: str) -> Booking | None:
        """The booking with the id `EVENT:INVITEE`, as it stands now; None where there is none."""
        invitee = self._client.found(path) if (path := invitee_path(id)) else None
        event = self._client.found(f"/scheduled_events/{id.partition(':')[0]}") if invitee else None
        return Booking(invitee, event) if invitee and event else None

    def history(self, invitee: Resource) -> History:
        """What came before in the chain. A first invitee that was erased still gives the meeting its id."""
        id, moves, tracking = invitee_id(invitee["uri"]), 0, invitee.get("tracking") or {}
        before: Resource | None = invitee
        while before and (earlier := invitee_id(before.get("old_invitee"))) and moves < LONGEST:
            id, moves = earlier, moves + 1
            before = self._client.found(invitee_path(earlier))
            if not any(tracking.values()):
                tracking = (before or {}).get("tracking") or {}
        return History(id, moves, tracking)

    def last(self, booking: Booking) -> Booking:
        """The booking that the meeting was moved to, the last of the chain that can be read."""
        for _ in range(LONGEST):
            later = invitee_id(booking.invitee.get("new_invitee"))
            following = self.read(later) if later else None
            if following is None:
                break
            booking = following
        return booking

    def number(self, booking: Booking) -> str | None:
        """The phone number that the person gave: to be called at, or as the answer to a question for a number."""
        place = booking.event.get("location") or {}
        if place.get("type") == "outbound_call" and place.get("location"):
            return str(place["location"])
        answers = booking.invitee.get("questions_and_answers") or ()
        if self._numbers is None and answers:
            asked = (question for kind in self._client.event_types() for question in kind.get("custom_questions") or ())
            self._numbers = {str(question["name"]) for question in asked if question["type"] == "phone_number"}
        told = (row["answer"] for row in answers if row["question"] in (self._numbers or ()) and row["answer"])
        return next(told, None)


# records


def user_record(row: Resource) -> Record:
    raw = {**row, "id": uuid(row["uri"])}
    return Record(raw["id"], orjson.dumps(raw), moment(row.get("updated_at")))


def event_type_record(row: Resource) -> Record:
    """One that was deleted is told by links of old only, as is its time."""
    id, version = uuid(row["uri"]), moment(row.get("updated_at"))
    if row.get("deleted_at"):
        return Record(id, b"{}", version, Gone.DELETED)
    owner = uuid((row.get("profile") or {}).get("owner"))
    raw = {**row, "id": id, "status": "active" if row.get("active") else "off", "owner": owner or None}
    return Record(id, orjson.dumps(raw), version)


def invitee_record(booking: Booking, bookings: Bookings) -> Record:
    """The person who booked. What they asked of us is told by the question in small letters (`answers.budget`)."""
    invitee, event = booking.invitee, booking.event
    given, family = names(invitee)
    raw = {
        **{name: value for name, value in invitee.items() if name not in ("questions_and_answers", "uri")},
        "id": invitee_id(invitee["uri"]),
        "given_name": given,
        "family_name": family,
        "phone": bookings.number(booking),
        "answers": dict(answers(invitee.get("questions_and_answers") or ())),
        "event": uuid(event["uri"]),
        "event_name": event.get("name"),
        "event_type": uuid(event.get("event_type")) or None,
        "starts_at": event.get("start_time"),
        "host": _host(event)[0] or None,
    }
    return Record(str(raw["id"]), orjson.dumps(raw), moment(invitee.get("updated_at")))


def meeting_record(booking: Booking, bookings: Bookings) -> Record:
    """The meeting of which this booking is a part, as it stands now, whatever was told of it before."""
    booking = bookings.last(booking)
    invitee, event = booking.invitee, booking.event
    history = bookings.history(invitee)
    state = _state(booking)
    host, host_name, host_email = _host(event)
    cancelled = (invitee.get("cancellation") or event.get("cancellation") or {}) if state == "cancelled" else {}
    raw = {
        "id": history.first,
        "state": state,
        "name": event.get("name"),
        "title": _TITLES[state].format(event.get("name") or "meeting"),
        "starts_at": event["start_time"],
        "ends_at": event.get("end_time"),
        "booked_at": invitee.get("created_at"),
        "moves": history.moves,
        "invitee": invitee_id(invitee["uri"]),
        "email": invitee.get("email"),
        "event": uuid(event["uri"]),
        "event_type": uuid(event.get("event_type")) or None,
        "host": host or None,
        "host_name": host_name,
        "host_email": host_email,
        "place": (event.get("location") or {}).get("type"),
        "cancelled_by": cancelled.get("canceler_type"),
        "reason": cancelled.get("reason"),
        "tracking": history.tracking,
    }
    raw["detail"] = "; ".join(_detail(raw)) or None
    return Record(history.first, orjson.dumps(raw), moment(invitee.get("updated_at")), revised=True)


_TITLES = {"booked": "{}", "cancelled": "cancelled: {}", "no_show": "did not come: {}"}


def _state(booking: Booking) -> str:
    if "canceled" in (booking.invitee.get("status"), booking.event.get("status")):
        return "cancelled"
    return "no_show" if booking.invitee.get("no_show") else "booked"


def _detail(raw: Mapping[str, Any]) -> Iterator[str]:
    """What else is worth a line."""
    if raw["host_name"] or raw["host_email"]:
        yield f"with {raw['host_name'] or raw['host_email']}"
    if raw["moves"]:
        yield f"moved {raw['moves']} time{'s' if raw['moves'] > 1 else ''}"
    if raw["cancelled_by"] or raw["reason"]:
        said = f": {raw['reason']}" if raw["reason"] else ""
        yield f"cancelled by the {raw['cancelled_by'] or 'other side'}{said}"
    came = [str(raw["tracking"][name]) for name in TRACKED[:3] if raw["tracking"].get(name)]
    if came:
        yield f"came by {' / '.join(came)}"


def _host(event: Resource) -> tuple[str, str | None, str | None]:
    """Id, name and address of the first of those who meet the person; older answers tell the id only."""
    first: Resource = next(iter(event.get("event_memberships") or ()), {})
    return uuid(first.get("user")), first.get("user_name"), first.get("user_email")


def names(invitee: Resource) -> tuple[str | None, str | None]:
    """Given and family name. The event type decides whether Calendly asks for them as one or as two; the other is
    blank then. Of one name the last word is the family's."""
    if invitee.get("first_name") or invitee.get("last_name"):
        return invitee.get("first_name"), invitee.get("last_name")
    given, _, family = " ".join(str(invitee.get("name") or "").split()).rpartition(" ")
    return given or None, family or None


def answers(told: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each answer by its question; of two questions that read the same the second has `_2` behind it."""
    seen: dict[str, int] = {}
    for row in told:
        name = question_name(str(row["question"]))
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}_{seen[name]}"), row["answer"]


def question_name(question: str) -> str:
    """`Company name?` as `company_name`."""
    return re.sub(r"\W+", "_", question.casefold()).strip("_") or "question"


def moment(told: Any) -> str:
    """An instant as a stamp (Calendly tells microseconds); '' where there is none."""
    return stamp(unstamp(str(told))) if told else ""
