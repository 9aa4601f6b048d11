"""Pulling contacts and campaigns by the platform's own page links, with an overlap.

A cursor of contacts is one of
    {"since": s}                                          all until s is known
    {"start": a, "began": b, "next": link}                in the middle of the walk that began at b
    {"start": a, "began": b, "optouts": link}             the walk is done, opt-outs are looked at
No order is promised, so that `since` moves only when a whole walk is done. A page link that is refused has grown old:
the walk begins anew, up to three times ("again"). A fourth refusal ends the pull, and is none of the next one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import RecordRejected
from connectors.api import Gone, Page, Record
from connectors.constant_contact.client import Client, Row, Rows
from connectors.constant_contact.objects import CONTACTS, Known, included, moment, reader

OVERLAP = timedelta(seconds=300)
AGAIN = 3
"""How often a walk begins anew because its links are refused."""
SUMMARIES = ("reports/summary_reports/email_campaign_summaries", "bulk_email_campaign_summaries")

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with: the account, what is known of it, the fields to tell, the present instant, settings."""

    client: Client
    known: Known
    fields: Sequence[str]
    at: datetime
    settings: Mapping[str, Any]


def cursor_of(state: Mapping[str, Any]) -> str:
    return orjson.dumps(state).decode()


def followed(client: Client, link: str, name: str) -> Rows | None:
    """The page behind `link`; None where the link is refused."""
    try:
        return client.following(link, name)
    except RecordRejected:
        return None


# contacts


def contacts(source: Source, state: State) -> Iterator[Page]:
    """What changed, the deleted ones as gone; then, of an incremental pull, whoever opted out since: an opt-out moves
    the time of the address and not the contact's, which is all that `updated_after` looks at."""
    start = str(state["start"]) if "start" in state else _start(state)
    walk: State = {"start": start, "began": state.get("began") or stamp(source.at)}
    changed = {"status": "all", "updated_after": start} if start else {"include_count": "true"}
    if "optouts" not in state:
        for rows, left in _walked(source, changed, walk, state, "next"):
            following = left or ({**walk, "optouts": ""} if start else {"since": walk["began"]})
            yield Page(_records(source, rows), cursor_of(following), bool(left or start), rows.total)
        if not start:
            return
        state = {"optouts": ""}
    opted_out = {"status": "unsubscribed", "optout_after": start}
    for rows, left in _walked(source, opted_out, walk, state, "optouts"):
        yield Page(_records(source, rows), cursor_of(left or {"since": walk["began"]}), bool(left))


def _start(state: State) -> str:
    return stamp(unstamp(state["since"]) - OVERLAP) if state.get("since") else ""


def _walked(
    source: Source, query: Mapping[str, str], walk: State, state: State, place: str
) -> Iterator[tuple[Rows, State | None]]:
    """The pages of a walk, each with the state after it (None after the last)."""
    link, again = str(state.get(place) or ""), int(state.get("again") or 0)
    include = included(source.fields)
    asked = {**query, **({"include": ",".join(include)} if include else {})}
    while True:
        try:
            page = source.client.following(link, CONTACTS) if link else source.client.rows(CONTACTS, CONTACTS, asked)
        except RecordRejected:
            if not link:
                raise
            if again >= AGAIN:
                yield Rows(()), {**walk, place: link}
                raise
            link, again = "", again + 1
            continue
        link = page.next
        yield page, {**walk, place: link, **({"again": again} if again else {})} if link else None
        if not link:
            return


def _records(source: Source, rows: Rows) -> list[Record]:
    read = reader(source.fields, source.known)
    return [read(row) for row in rows.rows]


# campaigns


def campaigns(source: Source, state: State) -> Iterator[Page]:
    """All campaigns with their figures, every time: figures move without the campaign's own time, and both lists are
    short. Removed ones are gone."""
    figures = {str(row["campaign_id"]): row for row in source.client.all(*SUMMARIES, {})}
    link = str(state.get("next") or "")
    page = followed(source.client, link, "campaigns") if link else None
    if page is None:
        page = source.client.rows("emails", "campaigns", {})
    while True:
        found = [campaign(row, figures.get(str(row["campaign_id"]), {})) for row in page.rows]
        yield Page(found, cursor_of({"next": page.next} if page.next else {}), bool(page.next))
        if not page.next:
            return
        page = source.client.following(page.next, "campaigns")


def campaign(row: Row, figures: Row) -> Record:
    """A campaign as a record; without figures where it was never sent."""
    id, version = str(row["campaign_id"]), moment(row.get("updated_at"))
    if row.get("current_status") == "Removed":
        return Record(id, b"{}", version, Gone.DELETED)
    raw = {name: row.get(name) for name in ("name", "type", "current_status", "created_at")}
    raw["last_sent_date"] = figures.get("last_sent_date")
    raw |= {name: (figures.get("unique_counts") or {}).get(name) for name in COUNTS}
    return Record(id, orjson.dumps(raw), version)


COUNTS = ("sends", "opens", "clicks", "forwards", "optouts", "abuse", "bounces", "not_opened")
"""Of a campaign's summary: each person once."""
