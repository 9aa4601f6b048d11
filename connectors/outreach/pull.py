"""Pulling: a walk along updatedAt by the platform's own page links, with an overlap.

A cursor is one of
    {"since": s}                                                     all until s is known
    {"start": a, "began": b, "next": link, "place": p}               in the middle of the walk that began at b
    {"start": a, "began": b, "optouts": link, ...}                   prospects: the walk is done, opt-outs are looked at
Rows come in the order of updatedAt: one that is edited meanwhile moves to the end and is seen again. A page link that
is refused (it has grown old, or offsets end at 10,000) is replaced by a filter from the last time seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import orjson

from config.clock import stamp, unstamp
from config.errors import RecordRejected
from connectors.api import Page, Record
from connectors.outreach.client import Client, Resource, Rows, attribute, related_id
from connectors.outreach.objects import OBJECTS, SEQUENCES, Known, mailing_records, moment, reader, wanted

OVERLAP = timedelta(seconds=300)
REFUSED = ("badRequest", "400", "422")
SWEPT = 200
"""Opportunities per page of a sweep: their ids stand in the next call's address."""

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with: the account, what is known of it, the fields to tell, the present instant."""

    client: Client
    known: Known
    fields: Sequence[str]
    at: datetime


def pages(source: Source, object: str, state: State) -> Iterator[Page]:
    """The pull of any object but the associations."""
    if object == "prospects":
        return _prospects(source, state)
    if object == "mailings":
        return _walk(source, object, state, lambda rows: [record for row in rows for record in mailing_records(row)])
    read = reader(object, source.fields, source.known)
    return _walk(source, object, state, lambda rows: [read(row) for row in rows])


def _walk(
    source: Source, object: str, state: State, records: Callable[[Sequence[Resource]], list[Record]]
) -> Iterator[Page]:
    for rows, following, total in _changed(source.client, object, wanted(object, source.fields), state, source.at):
        yield Page(records(rows.rows), _cursor(following), bool(rows.next), total)


def _changed(
    client: Client, object: str, fields: Sequence[str], state: State, at: datetime, size: int = 0
) -> Iterator[tuple[Rows, State, int | None]]:
    """The pages of a walk, the state after each, and how many rows the whole walk has where that is told."""
    facts = OBJECTS[object]
    start = _start(state)
    began, place = state.get("began") or stamp(at), state.get("place") or start
    page = _page(client, facts.path, facts.type, fields, state.get("next", ""), place, size, kept=True)
    total = page.total if "next" not in state else None
    while True:
        place = max(place, *(moment(attribute(row, "updatedAt")) for row in page.rows), "")
        if not page.next:
            yield page, {"since": began}, total
            return
        yield page, {"start": start, "began": began, "next": page.next, "place": place}, total
        page = _page(client, facts.path, facts.type, fields, page.next, place, size)


def _page(
    client: Client,
    path: str,
    type: str,
    fields: Sequence[str],
    link: str,
    place: str,
    size: int,
    *,
    kept: bool = False,
) -> Rows:
    """The page behind `link`; without one, or where it is refused, what changed from `place` on. One that is refused
    just after it was told, and led on from there already, leads nowhere; one that was `kept` may have grown old."""
    if link:
        try:
            return client.following(link)
        except RecordRejected as error:
            if error.code not in REFUSED or (not kept and f"{place}..inf" in unquote(link)):
                raise
    query: dict[str, Any] = {"sort": "updatedAt", f"fields[{type}]": ",".join(fields)}
    query["count"] = "false" if place else "true"
    if place:
        query["filter[updatedAt]"] = f"{place}..inf"
    if size:
        query["page[size]"] = size
    return client.rows(path, query)


def _start(state: State) -> str:
    """Where a walk starts; '' at the beginning of time. Milliseconds: Outreach refuses microseconds."""
    if "start" in state:
        return str(state["start"])
    return stamp(unstamp(state["since"]) - OVERLAP) if state.get("since") else ""


def _cursor(state: State) -> str:
    return orjson.dumps(state).decode()


# prospects


def _prospects(source: Source, state: State) -> Iterator[Page]:
    """What changed; then, of an incremental pull, whoever unsubscribed by a link in a mail since: whether that moves
    the prospect's updatedAt is not documented."""
    read = prospect_reader(source.client, source.known, source.fields)
    fields = wanted("prospects", source.fields)
    seen: set[str] = set()
    if "optouts" not in state:
        start, following = _start(state), state
        for rows, following, total in _changed(source.client, "prospects", fields, state, source.at):
            if not rows.next and start:
                following = {"start": start, "began": following["since"], "optouts": ""}
            seen.update(str(row["id"]) for row in rows.rows)
            yield Page(read(rows.rows), _cursor(following), bool(rows.next or start), total)
        if not start:
            return
        state = following
    yield from _optouts(source, state, read, fields, seen)


def _optouts(
    source: Source, state: State, read: Callable[[Sequence[Resource]], list[Record]], fields: list[str], seen: set[str]
) -> Iterator[Page]:
    query = {
        "filter[unsubscribedAt]": f"{state['start']}..inf",
        "sort": "unsubscribedAt",
        "fields[emailAddress]": "unsubscribedAt,prospect",
    }
    page = _kept(source.client, state["optouts"]) or source.client.rows("emailAddresses", query)
    while True:
        ids = [id for row in page.rows if (id := related_id(row, "prospect")) and id not in seen]
        found = read(list(source.client.by_ids("prospects", "prospect", ids, fields))) if ids else []
        link = page.next
        following = {**state, "optouts": link} if link else {"since": state["began"]}
        yield Page(found, _cursor(following), bool(link))
        if not link:
            return
        page = source.client.following(link)


def _kept(client: Client, link: str) -> Rows | None:
    """The page behind a link that was kept; None without one, or where it has grown old."""
    try:
        return client.following(link) if link else None
    except RecordRejected as error:
        if error.code not in REFUSED:
            raise
        return None


def prospect_reader(
    client: Client, known: Known, fields: Sequence[str]
) -> Callable[[Sequence[Resource]], list[Record]]:
    """What turns prospects into records; with the sequences they were ever in, where the mapping names some."""
    read = reader("prospects", fields, known)
    sequences = [name.removeprefix(SEQUENCES) for name in fields if name.startswith(SEQUENCES)]
    if not sequences:
        return lambda rows: [read(row) for row in rows]

    def told(rows: Sequence[Resource]) -> list[Record]:
        records = [read(row) for row in rows]
        live = [record.id for record in records if record.gone is None]
        entered = enrolments(client, live, sequences)
        return [
            record if record.gone else _with_sequences(record, entered.get(record.id, set()), sequences)
            for record in records
        ]

    return told


def enrolments(client: Client, prospects: Sequence[str], sequences: Sequence[str]) -> dict[str, set[str]]:
    """Which of the sequences each prospect is in or ever was in."""
    found: dict[str, set[str]] = {}
    filters = {"prospect": prospects, "sequence": sequences}
    for row in client.related("sequenceStates", "sequenceState", filters, "prospect,sequence"):
        found.setdefault(related_id(row, "prospect") or "", set()).add(related_id(row, "sequence") or "")
    return found


def _with_sequences(record: Record, entered: set[str], sequences: Sequence[str]) -> Record:
    raw = orjson.loads(record.raw)
    raw["sequences"] = {sequence: sequence in entered for sequence in sequences}
    return Record(record.id, orjson.dumps(raw), record.version)


# associations


def ties(source: Source, state: State, every: int) -> Iterator[Page]:
    """Who is in which opportunity, as one record per opportunity. A role that a person removes is told by nothing but
    its absence: all opportunities are swept every `every` seconds; in between, those whose roles changed are read."""
    swept = state.get("swept")
    if swept is None or "sweep" in state or source.at - unstamp(swept) >= timedelta(seconds=every):
        return _sweep(source, dict(state.get("sweep") or {}))
    return _changed_ties(source, state)


def _sweep(source: Source, state: State) -> Iterator[Page]:
    for rows, following, total in _changed(source.client, "opportunities", ["updatedAt"], state, source.at, SWEPT):
        records = tie_records(source.client, [str(row["id"]) for row in rows.rows])
        done = {"since": following.get("since"), "swept": following.get("since")}
        yield Page(records, _cursor({"sweep": following} if rows.next else done), bool(rows.next), total)


def _changed_ties(source: Source, state: State) -> Iterator[Page]:
    fields = OBJECTS["opportunity_prospects"].always
    for rows, following, total in _changed(source.client, "opportunity_prospects", fields, state, source.at):
        deals = sorted({id for row in rows.rows if (id := related_id(row, "opportunity"))})
        records = tie_records(source.client, deals) if deals else []
        yield Page(records, _cursor({**following, "swept": state["swept"]}), bool(rows.next), total)


def tie_records(client: Client, deals: Sequence[str]) -> list[Record]:
    """All that each of the opportunities says of its people; without people, that too."""
    facts = OBJECTS["opportunity_prospects"]
    rows: dict[str, list[Resource]] = {deal: [] for deal in deals}
    for row in client.related(facts.path, facts.type, {"opportunity": deals}, ",".join(facts.always)):
        rows.get(related_id(row, "opportunity") or "", []).append(row)
    return [_tie(deal, those) for deal, those in rows.items()]


def _tie(deal: str, rows: Sequence[Resource]) -> Record:
    """The role is the one that all share, else the main person's."""
    people = {id for row in rows if (id := related_id(row, "prospect"))}
    roles = {attribute(row, "role") for row in rows}
    main = next((row for row in rows if attribute(row, "primary")), None)
    raw = {
        "from_object": "opportunities",
        "from_id": deal,
        "to_object": "prospects",
        "to_ids": sorted(people),
        "role": roles.pop() if len(roles) == 1 else attribute(main, "role") if main else None,
        "primary": main is not None,
    }
    version = max((moment(attribute(row, "updatedAt")) for row in rows), default="")
    return Record(deal, orjson.dumps(raw), version)
