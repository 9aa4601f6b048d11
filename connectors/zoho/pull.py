"""Pulling: the walks through a module, one after the other.

    changed     what changed in [since, until], by COQL, along the key (Modified_Time, id)
    listed      the same by the list, latest first, for modules that COQL does not know
    converted   leads that became contacts: they are in no list but that of the converted
    deleted     what was put into the bin, or destroyed

A cursor is one of
    {"since": s}                                                all until s is known
    {"since": a, "until": u, "phase": p, "place": {...}}        in the middle of a walk
    {"job": {...}}                                              in the middle of a bulk read (bulk.py)
An incremental pull reads again what changed in the last minutes before `since`: Zoho tells whole seconds, and a record
may be stamped before it can be seen. A first pull takes only the first walk: nothing that was gone by then is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import RecordRejected
from config.log import Log
from connectors.api import Gone, Page, Record
from connectors.zoho import coql
from connectors.zoho.client import PAGE, Client, Row, Rows, portions
from connectors.zoho.objects import CONVERTED, OBJECTS, Known, contact_of, further, gone, moment, reader, wanted

OVERLAP = timedelta(seconds=300)
log = Log(__name__)
AGED = ("EXPIRED_VALUE", "TOKEN_BOUND_DATA_MISMATCH", "INVALID_DATA")
"""What a list says to a page token that it does not take (any more): they live a day."""

State = dict[str, Any]
Step = tuple[list[Record], State | None]
"""Records, and the place after them; None at the end of a walk."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with: the account, what is known of it, the fields to tell, the instant, how to wait."""

    client: Client
    known: Known
    fields: Sequence[str]
    at: datetime
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Window:
    """What a walk looks for: changes in [since, until]; `since` is '' at the beginning of time."""

    since: str
    until: str


def begun(state: State, at: datetime) -> State:
    """The state of a pull in the middle of its walks, or of one that begins now."""
    if "until" in state:
        return state
    since = stamp(unstamp(state["since"]) - OVERLAP) if state.get("since") else str(state.get("from", ""))
    return {"since": since, "until": stamp(at), "known": bool(state.get("since"))}


def pages(source: Source, object: str, state: State, total: int | None = None) -> Iterator[Page]:
    """The pull of any object but users and associations."""
    state = begun(state, source.at)
    phases = OBJECTS[object].phases if state["known"] else OBJECTS[object].phases[:1]
    window = Window(state["since"], state["until"])
    start, place = phases.index(state.get("phase", phases[0])), state.get("place") or {}
    for number, phase in enumerate(phases[start:], start):
        for records, behind in WALKS[phase](source, object, window, place):
            following = {"phase": phase, "place": behind} if behind is not None else None
            if following is None and number + 1 < len(phases):
                following = {"phase": phases[number + 1], "place": {}}
            cursor = {**state, **following} if following is not None else {"since": window.until}
            yield Page(records, _cursor(cursor), following is not None, total)
        place = {}


def _cursor(state: State) -> str:
    return orjson.dumps(state).decode()


# what changed, by query


def _changed(source: Source, object: str, window: Window, place: State) -> Iterator[Step]:
    at, id = str(place.get("at", "")), str(place.get("id", ""))
    limit = coql.FEW if window.since and not at else coql.MOST
    read = reader(object, source.fields, source.known)
    while True:
        page = rows_of(source, object, coql.window(window.since, window.until, at, id), "Modified_Time, id", limit)
        records = [read(row) for row in page.rows if not row.get("Converted__s")]
        if not page.more or not page.rows:
            yield records, None
            return
        at, id, limit = str(page.rows[-1]["Modified_Time"]), source.client.id_of(page.rows[-1]), coql.MOST
        yield records, {"at": at, "id": id}


def rows_of(source: Source, object: str, where: str, order: str, limit: int) -> Rows:
    """The rows of a query with all that `source.fields` want: columns beyond 50, and such as COQL does not take, are
    read by id and joined."""
    facts, refused = OBJECTS[object], source.known.refused.setdefault(OBJECTS[object].module, set())
    names = [name for name in (*wanted(object, source.fields), *further(source.fields)) if name not in facts.quiet]
    while True:
        asked = [name for name in (*facts.quiet, *names) if name not in refused and not name.startswith("$")]
        columns = ["id", *asked][: coql.COLUMNS]
        missing = list(dict.fromkeys(name.partition(".")[0] for name in names if name not in columns))
        try:
            page = source.client.query(coql.select(columns, facts.module, where, order, coql.FEW if missing else limit))
        except RecordRejected as error:
            untaken = _untaken(error, columns)
            if not untaken:
                raise
            log.info("coql.columns_refused", module=facts.module, columns=sorted(untaken))
            refused |= untaken
            continue
        return Rows(_joined(source.client, facts.module, page.rows, missing), page.more)


def _untaken(error: RecordRejected, columns: Sequence[str]) -> set[str]:
    """The columns that a query is to do without: the one that Zoho names; where it names none, because one is a word
    of the language, all of them."""
    spare = set(columns) - {"id", "Modified_Time"}
    if error.code == "INVALID_QUERY":
        return spare & {error.field}
    return spare if error.code == "SYNTAX_ERROR" else set()


def _joined(client: Client, module: str, rows: Sequence[Row], missing: Sequence[str]) -> Sequence[Row]:
    """The rows with the `missing` fields beside the others."""
    if not missing or not rows:
        return rows
    told = {str(row["id"]): row for row in client.by_ids(module, [str(row["id"]) for row in rows], missing)}
    return [{**row, **told.get(str(row["id"]), {})} for row in rows]


# what changed, by list


def _listed(source: Source, object: str, window: Window, place: State) -> Iterator[Step]:
    read = reader(object, source.fields, source.known)
    first, *others = portions(wanted(object, source.fields))
    module = OBJECTS[object].module
    for page, behind in _walk(source.client, module, first, window, place, {}):
        rows = _joined(source.client, module, page.rows, [name for some in others for name in some])
        yield [read(row) for row in rows], behind


def _converted(source: Source, object: str, window: Window, place: State) -> Iterator[Step]:
    asked = {"converted": "true"}
    for page, behind in _walk(source.client, OBJECTS[object].module, CONVERTED, window, place, asked):
        yield converted_records(source.client, page.rows), behind


def converted_records(client: Client, rows: Sequence[Row]) -> list[Record]:
    """Converted leads as records that live on; the contact is read from the whole lead where the list hides it."""
    return [
        gone(
            str(row["id"]),
            row.get("Modified_Time") or "",
            Gone.CONVERTED,
            contact_of(row) or contact_of(client.whole("Leads", client.id_of(row))),
        )
        for row in rows
    ]


def _walk(
    client: Client, module: str, fields: Sequence[str], window: Window, place: State, query: Mapping[str, Any]
) -> Iterator[tuple[Rows, State | None]]:
    """The pages of a list, latest first: a record that is edited meanwhile moves to the front, and pushes others into
    pages yet to come, never out of them. Pages go by number for 2,000 rows, behind these by token."""
    query = {**query, "sort_by": "Modified_Time", "sort_order": "desc"}
    while True:
        asked = {**query, **({"page_token": place["token"]} if place.get("token") else {"page": place.get("page", 1)})}
        try:
            page = client.page(module, fields, asked, window.since)
        except RecordRejected as error:
            if error.code not in AGED or not place.get("token"):
                raise
            place = {}
            continue
        if not page.more or not page.rows or _is_old(page.rows[-1], window.since):
            yield page, None
            return
        place = {"token": page.token} if page.token else {"page": place.get("page", 1) + 1}
        yield page, place


def _is_old(row: Row, since: str) -> bool:
    """Whether all that follows was known before: a module may not heed If-Modified-Since."""
    return bool(since and row.get("Modified_Time")) and moment(row["Modified_Time"]) < since


# what is gone


def _deleted(source: Source, object: str, window: Window, place: State) -> Iterator[Step]:
    """Whoever merges two records deletes one of them; nothing tells into which it went."""
    number = int(place.get("page", 1))
    while True:
        page = source.client.deleted(OBJECTS[object].module, number, window.since)
        records = [gone(str(row["id"]), row.get("deleted_time") or "", Gone.DELETED) for row in page.rows]
        number += 1
        yield records, {"page": number} if page.more and page.rows else None
        if not page.more or not page.rows:
            return


WALKS: Mapping[str, Callable[[Source, str, Window, State], Iterator[Step]]] = {
    "changed": _changed,
    "listed": _listed,
    "converted": _converted,
    "deleted": _deleted,
}


def users(client: Client, at: datetime) -> Iterator[Page]:
    """All users, each time: there are few, and no call tells which of them changed."""
    records = []
    for row in client.users():
        name = row.get("full_name") or " ".join(n for n in (row.get("first_name"), row.get("last_name")) if n)
        raw = {"id": str(row["id"]), "email": row.get("email"), "name": name, "active": row.get("status") == "active"}
        records.append(Record(str(row["id"]), orjson.dumps(raw), ""))
    for start in range(0, max(1, len(records)), PAGE):
        more = start + PAGE < len(records)
        yield Page(records[start : start + PAGE], _cursor({"since": stamp(at)}), more, len(records))
