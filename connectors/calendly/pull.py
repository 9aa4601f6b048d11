"""Pulling: sweeps over the events by their start, for Calendly tells nothing by the time of change.

A sweep lists the events of a window and asks for the invitees of those that changed since the last one. The usual
sweep looks from `past_days` back to `future_days` ahead. What lies outside of that is seen by a wide one, once a week;
what an event need not tell by its own time of change (no-shows, a seat in a group event) by a deep one, once a day.

A cursor is one of
    {}                                                     nothing was pulled yet
    {"since": s, "wide": w, "deep": d}                     when the last sweep of each sort began
    {..., "sweep": {"began": b, "wide": t, "deep": t, "start": a, "end": z, "after": c, "place": p, "token": n}}
                                                           in the middle of a sweep from a to z for what changed after c
Pages go by start. A page token that is refused is replaced by the window from the last start seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import RecordRejected
from connectors.api import Page, Record
from connectors.calendly import client as wire
from connectors.calendly.client import Client, Resource, Rows, invitee_id
from connectors.calendly.objects import (
    Booking,
    Bookings,
    event_type_record,
    invitee_record,
    meeting_record,
    moment,
    user_record,
)

OVERLAP = timedelta(seconds=300)
YEAR = timedelta(days=365)
LATE = timedelta(days=7)
"""How long after its start a meeting may get a no-show that a deep sweep sees."""
FIRST = 25
"""Events of a page when every one of them is asked for its invitees."""

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with: the account, its bookings, its settings, the present instant."""

    client: Client
    bookings: Bookings
    settings: Mapping[str, Any]
    at: datetime

    def setting(self, name: str, usual: int) -> int:
        return int(self.settings.get(name) or usual)


def members(source: Source) -> Iterator[Page]:
    """All members; Calendly does not tell who left."""
    yield Page([user_record(row) for row in source.client.members()], "{}", False)


def event_types(source: Source) -> Iterator[Page]:
    yield Page([event_type_record(row) for row in source.client.event_types()], "{}", False)


def invitees(source: Source, state: State) -> Iterator[Page]:
    """Everyone who booked an event that changed."""
    bookings = source.bookings
    if "sweep" not in state:
        bookings.forget()

    def read(event: Resource, anew: bool) -> list[Record]:
        return [invitee_record(booking, bookings) for booking in bookings.of(event, anew=anew)]

    return _sweep(source, state, read, late=timedelta(0))


def meetings(source: Source, state: State) -> Iterator[Page]:
    """The meetings of the bookings of an event that changed, each as it stands now."""
    bookings = source.bookings

    def read(event: Resource, anew: bool) -> list[Record]:
        return [meeting_record(booking, bookings) for booking in bookings.of(event, anew=anew)]

    return _sweep(source, state, read, late=LATE)


def _sweep(
    source: Source, state: State, read: Callable[[Resource, bool], list[Record]], late: timedelta
) -> Iterator[Page]:
    sweep = dict(state.get("sweep") or _planned(source, state))
    size = wire.PAGE if sweep["after"] else min(FIRST, wire.PAGE)
    resumed = True
    while True:
        page = _page(source.client, sweep, size, resumed=resumed)
        resumed = False
        records: list[Record] = []
        for event in page.rows:
            looked = _looked_at(event, sweep, late)
            if looked or not sweep["after"] or moment(event["updated_at"]) > sweep["after"]:
                records += read(event, looked)
        sweep["place"] = max([sweep["place"], *(moment(event["start_time"]) for event in page.rows)])
        sweep["token"] = page.next
        following = {**state, "sweep": sweep} if page.next else _done(state, sweep)
        yield Page(records, orjson.dumps(following).decode(), bool(page.next))
        if not page.next:
            return


def _planned(source: Source, state: State) -> State:
    """The sweep that is due."""
    now = source.at
    sweep = {"began": stamp(now), "wide": True, "deep": False, "place": "", "token": "", "end": ""}
    if "wide" not in state:  # the first: all, or what changed since a day
        since = state.get("since", "")
        start = stamp(unstamp(since) - timedelta(days=source.setting("past_days", 30))) if since else ""
        return {**sweep, "start": start, "after": since}
    sweep["deep"] = _due(state["deep"], now, source.setting("deep_every", 86_400))
    if _due(state["wide"], now, source.setting("wide_every", 604_800)):
        return {**sweep, "start": stamp(now - YEAR), "after": _before(state["wide"])}
    return {
        **sweep,
        "wide": False,
        "start": stamp(now - timedelta(days=source.setting("past_days", 30))),
        "end": stamp(now + timedelta(days=source.setting("future_days", 180))),
        "after": _before(state["since"]),
    }


def _due(last: str, now: datetime, every: int) -> bool:
    return now - unstamp(last) >= timedelta(seconds=every)


def _before(at: str) -> str:
    return stamp(unstamp(at) - OVERLAP)


def _done(state: State, sweep: State) -> State:
    """When the last sweep of each sort began, this one included."""
    first = "wide" not in state
    return {
        "since": sweep["began"],
        "wide": sweep["began"] if sweep["wide"] else state["wide"],
        "deep": sweep["began"] if sweep["deep"] or first else state["deep"],
    }


def _looked_at(event: Resource, sweep: State, late: timedelta) -> bool:
    """Whether a deep sweep asks for this event's invitees although the event did not change."""
    if not sweep["deep"]:
        return False
    started, began = unstamp(event["start_time"]), unstamp(sweep["began"])
    if started > began:
        return bool(((event.get("invitees_counter") or {}).get("limit") or 1) > 1)
    return started > began - late


def _page(client: Client, sweep: State, size: int, *, resumed: bool) -> Rows:
    """The next page of the sweep; where its token is refused, what starts from the last start seen on. Where that is
    where the window starts, a token that was just given must hold; one that an earlier pull left may be old again."""
    if sweep["token"]:
        try:
            return client.events(sweep["start"], sweep["end"], sweep["token"], size)
        except RecordRejected as error:
            again = _second_before(sweep["place"]) if sweep["place"] else sweep["start"]
            if error.code not in (wire.BAD_PAGE, "invalid") or (again == sweep["start"] and not resumed):
                raise
            sweep["start"] = again
    return client.events(sweep["start"], sweep["end"], count=size)


def _second_before(at: str) -> str:
    """Whether a window includes its first instant is not documented."""
    return stamp(unstamp(at) - timedelta(seconds=1))


# reading


def read_by_ids(source: Source, object: str, ids: Sequence[str]) -> dict[str, Record]:
    """The records with these ids. Of a meeting, any of its bookings will do: the record tells the meeting's own."""
    found: dict[str, Record] = {}
    for id in ids:
        if object in ("users", "event_types"):
            row = source.client.found(f"/{object}/{id}") if id.replace("-", "").isalnum() else None
            record = (user_record if object == "users" else event_type_record)(row) if row else None
        else:
            booking = source.bookings.read(id)
            make = meeting_record if object == "meetings" else invitee_record
            record = make(booking, source.bookings) if booking else None
        if record is not None and record.gone is None:
            found[id] = record
    return found


def read_by_email(source: Source, emails: Sequence[str]) -> dict[str, Record]:
    """The latest booking of each address."""
    found: dict[str, Record] = {}
    for email in emails:
        booking = _latest(source.client, email)
        if booking is not None:
            found[email] = invitee_record(booking, source.bookings)
    return found


def _latest(client: Client, email: str) -> Booking | None:
    for event in client.events_of(email):
        mine = client.invitees(wire.uuid(event["uri"]), email=email)
        for invitee in reversed(mine):
            if invitee_id(invitee.get("uri")):
                return Booking(invitee, event)
    return None
