"""Walks for what hangs on a record without moving its stamp: who takes part in a deal, who is in a campaign.

Zoho tells such ties record by record, a call each, and a tie that is given or taken moves no stamp. So those of every
changed record are read, and every so often those of all records that changed lately.

A cursor is one of
    {"since": s, "swept": w}                          all until s is known; the last sweep began at w
    {"since": a, "until": u, ..., "swept": w}         in the middle of the changed records (see pull.py)
    {"sweep": {...}}                                  in the middle of a sweep
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import Page, Record
from connectors.zoho import coql
from connectors.zoho.client import Client, Row
from connectors.zoho.pull import Source, Window, begun, rows_of

ROWS = 50
"""Records per query of a walk: each costs a call or more."""

State = dict[str, Any]
Part = tuple[Sequence[Record], Row]
"""Ties, and the row up to which all ties are told when these are."""


@dataclass(frozen=True, slots=True)
class Ties:
    """What hangs on the records of `object`: the `fields` of these that it takes, and how rows of them become pages of
    ties, read with (client, rows, instant of the pull, whether nothing is known yet)."""

    object: str
    fields: tuple[str, ...]
    read: Callable[[Client, Sequence[Row], str, bool], Iterator[Part]]


@dataclass(frozen=True, slots=True)
class Sweeping:
    """How often all younger records are looked at (seconds), and which are those (days since their last change)."""

    every: int
    days: int


def swept(source: Source, ties: Ties, state: State, sweeping: Sweeping) -> Iterator[Page]:
    """The ties of what changed; of all younger records, where that is due. A first pull reads all there are."""
    source = replace(source, fields=ties.fields)
    last = state.get("swept")
    if "sweep" in state:
        return _sweep(source, ties, dict(state["sweep"]))
    if last is None or source.at - unstamp(last) >= timedelta(seconds=sweeping.every):
        since = stamp(source.at - timedelta(days=sweeping.days)) if last else str(state.get("from", ""))
        return _sweep(source, ties, {"since": since, "until": stamp(source.at), "first": not last})
    return _changed(source, ties, state)


def _sweep(source: Source, ties: Ties, state: State) -> Iterator[Page]:
    window = Window(state["since"], state["until"])
    first = bool(state.get("first"))
    for records, place in _walk(source, ties, window, state.get("place") or {}, first=first):
        following: State | None = {"sweep": {**state, "place": place}} if place is not None else None
        cursor = following or {"since": window.until, "swept": window.until}
        yield Page(records, _cursor(cursor), following is not None)


def _changed(source: Source, ties: Ties, state: State) -> Iterator[Page]:
    last, state = state["swept"], begun(state, source.at)
    window = Window(state["since"], state["until"])
    for records, place in _walk(source, ties, window, state.get("place") or {}, first=False):
        following = {**state, "place": place} if place is not None else {"since": window.until}
        yield Page(records, _cursor({**following, "swept": last}), place is not None)


def _walk(
    source: Source, ties: Ties, window: Window, place: Mapping[str, str], *, first: bool
) -> Iterator[tuple[Sequence[Record], State | None]]:
    """Pages of ties, each with the place to go on from; None behind the last one."""
    at, id = place.get("at", ""), place.get("id", "")
    while True:
        where = coql.window(window.since, window.until, at, id)
        page = rows_of(source, ties.object, where, "Modified_Time, id", ROWS)
        last = not page.more or not page.rows
        for records, row in ties.read(source.client, page.rows, window.until, first):
            if row:
                at, id = str(row["Modified_Time"]), source.client.id_of(row)
            yield records, {"at": at, "id": id}
        if last:
            yield (), None
            return


def _cursor(state: State) -> str:
    return orjson.dumps(state).decode()
