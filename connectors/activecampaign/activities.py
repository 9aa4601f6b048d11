"""What contacts did. ActiveCampaign tells it per contact only, so those who changed are asked about, one by one.

Mails sent and clicks come with the contact's activities; bounces from its log, where it has any; sign-ups by a form
and unsubscribes from the lists it is on. Who opened a mail is told by no call, unless the mail's links tell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.activecampaign.client import Client, Row, Rows
from connectors.activecampaign.contacts import STATUS, UNSUBSCRIBED, Beside, People
from connectors.activecampaign.objects import Known, moment
from connectors.activecampaign.pull import OVERLAP, Source, State, begin, changed_since, cursor_of, zone_of
from connectors.api import Page, Record

SIZE = 20
"""Contacts per page: each is a call, and a cursor is stored after every page."""
REMEMBERED = 5000
"""Contacts that were asked about in the overlap are not asked about again unless they changed: so many at most."""
OPENED = "open"
"""The address of the link that counts opens."""


def activities(source: Source, state: State, days: int, turn: int, *, tracking: bool) -> Iterator[Page]:
    """The activities of all contacts who changed; a first pull asks about those of the last `days`. After them `turn`
    others, one after the other from pull to pull, for it is not documented that a click is a change."""
    walk, zone = begin(source, state), str(state.get("zone") or "")
    walk.setdefault("start", stamp(source.at - timedelta(days=days)))
    people = People(source.client, source.known, (), extra=("contactLists",))
    person = Person(source.client, source.known, tracking=tracking)
    asked, now = dict(state.get("asked") or {}), dict(walk.get("asked") or {})
    lately = stamp(unstamp(walk["began"]) - OVERLAP)
    while "done" not in walk:
        place = int(walk.get("id") or 0)
        page = source.client.beyond(place, {**people.query, **changed_since(walk, zone)}, SIZE)
        found: list[Record] = []
        for row, beside in people.beside(page):
            id, changed = str(row["id"]), moment(row.get("udate"))
            if asked.get(id) != changed:
                found += person.did(row, beside)
            if changed >= lately and len(now) < REMEMBERED:
                now[id] = changed
        zone = zone_of(page.rows, "udate", zone)
        walk |= {"id": max((int(row["id"]) for row in page.rows), default=place), "asked": now}
        walk |= {"done": True} if len(page.rows) < SIZE else {}
        yield Page(found, cursor_of({**state, "zone": zone, "walk": walk}), True)
    others, last = _in_turn(people, int(state.get("turn") or 0), turn)
    found = [record for row, beside in others if str(row["id"]) not in now for record in person.did(row, beside)]
    yield Page(found, cursor_of({"since": walk["began"], "zone": zone, "asked": now, "turn": last}), False)


def _in_turn(people: People, place: int, number: int) -> tuple[list[tuple[Row, Beside]], int]:
    """So many contacts next after the id `place`, and where the next ones start: at the beginning behind the last."""
    page = people.client.beyond(place, people.query, number) if number else Rows([])
    more = bool(number) and len(page.rows) >= number
    return people.beside(page), max(int(row["id"]) for row in page.rows) if more else 0


class Person:
    """What one contact did, as records."""

    def __init__(self, client: Client, known: Known, *, tracking: bool) -> None:
        self._client, self._known, self._tracking = client, known, tracking

    def did(self, row: Row, beside: Beside) -> list[Record]:
        id = str(row["id"])
        found = [*self._mails(id), *self._lists(id, beside.get("contactLists") or ())]
        if any(str(row.get(name) or "0") != "0" for name in ("bounced_hard", "bounced_soft")):
            found += self._bounces(id)
        if self._tracking:
            found += self._visits(id)
        return found

    def _mails(self, id: str) -> Iterator[Record]:
        """Mails and clicks stand beside the activities, as what those refer to."""
        for page, _ in self._client.pages("activities", "activities", {"contact": id, "orders[tstamp]": "DESC"}):
            opens = {str(link["id"]) for link in page.beside.get("links") or () if link.get("link") == OPENED}
            for one in page.beside.get("logs") or ():
                yield self._mail(id, f"log:{one['id']}", "email_sent", one)
            for one in page.beside.get("linkData") or ():
                link = str(one.get("link") or one.get("linkid"))
                type = "email_open" if link in opens else "email_click"
                # one row counts all of a person's clicks on a link and keeps the latest time
                yield self._mail(id, f"link:{one['id']}:{one.get('times') or 1}", type, one)
            for one in page.rows:
                if one.get("reference_type") == "SubscriberEmail":
                    yield _record(f"mail:{one['id']}", id, "email_sent", one.get("tstamp"))

    def _mail(self, id: str, key: str, type: str, row: Row) -> Record:
        campaign = str(row.get("campaign") or row.get("campaignid") or "")
        title = self._known.campaigns.get(campaign)
        return _record(key, id, type, row.get("tstamp"), campaign=campaign or None, title=title)

    def _lists(self, id: str, rows: Any) -> Iterator[Record]:
        for row in rows:
            key, form = str(row["id"]), str(row.get("form") or "")
            if form and moment(row.get("sdate")):
                yield _record(f"form:{key}:{form}", id, "form", row["sdate"], title=self._known.forms.get(form))
            if STATUS.get(str(row.get("status"))) == UNSUBSCRIBED and moment(row.get("udate")):
                at, campaign = row["udate"], row.get("campaign")
                title = self._known.lists.get(str(row.get("list")))
                left = {"campaign": str(campaign) if campaign else None, "title": title}
                yield _record(f"left:{key}:{moment(at)}", id, "email_unsubscribe", at, **left)

    def _bounces(self, id: str) -> Iterator[Record]:
        for one in self._client.all(f"contacts/{id}/bounceLogs", "bounceLogs"):
            yield self._mail(id, f"bounce:{one['id']}", "email_bounce", one)

    def _visits(self, id: str) -> Iterator[Record]:
        """Events and page visits; a visit's value is the page's address."""
        for one in self._client.all(f"contacts/{id}/trackingLogs", "trackingLogs"):
            value = str(one.get("value") or "")
            url = value if value.startswith(("http://", "https://")) else None
            type = "page" if url else "event"
            yield _record(f"visit:{one['id']}", id, type, one.get("tstamp"), title=one.get("type"), url=url)


def _record(key: str, contact: str, type: str, at: Any, **more: Any) -> Record:
    raw = {"type": type, "at": moment(at) or None, "contact": contact, **more}
    return Record(key, orjson.dumps(raw), moment(at))
