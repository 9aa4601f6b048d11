"""Who takes part in a deal, as one record per deal.

Zoho tells roles deal by deal, a call each, and a role that is given or taken moves no stamp of the deal. So the roles
of every changed deal are read, and once a day those of all deals that changed in the last months.

A cursor is one of
    {"since": s, "swept": w}                          all until s is known; the last sweep began at w
    {"since": a, "until": u, ..., "swept": w}         in the middle of the changed deals (see pull.py)
    {"sweep": {...}}                                  in the middle of a sweep
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import Page, Record
from connectors.zoho import coql
from connectors.zoho.client import Client, Row
from connectors.zoho.objects import moment
from connectors.zoho.pull import Source, Window, begun, rows_of

SWEPT = 50
"""Deals per page of a walk: each costs a call."""
FIELDS = ("Contact_Name.id",)

State = dict[str, Any]


def ties(source: Source, state: State, every: int, days: int) -> Iterator[Page]:
    """The roles of what changed; of all younger deals, where that is due. A first pull reads all there are."""
    source = replace(source, fields=FIELDS)
    swept = state.get("swept")
    if "sweep" in state:
        return _sweep(source, dict(state["sweep"]))
    if swept is None or source.at - unstamp(swept) >= timedelta(seconds=every):
        since = stamp(source.at - timedelta(days=days)) if swept else str(state.get("from", ""))
        return _sweep(source, {"since": since, "until": stamp(source.at)})
    return _changed(source, state)


def _sweep(source: Source, state: State) -> Iterator[Page]:
    window = Window(state["since"], state["until"])
    for records, place in _walk(source, window, state.get("place") or {}):
        done = {"since": window.until, "swept": window.until}
        yield Page(records, _cursor({"sweep": {**state, "place": place}} if place else done), place is not None)


def _changed(source: Source, state: State) -> Iterator[Page]:
    swept, state = state["swept"], begun(state, source.at)
    window = Window(state["since"], state["until"])
    for records, place in _walk(source, window, state.get("place") or {}):
        following = {**state, "place": place} if place else {"since": window.until}
        yield Page(records, _cursor({**following, "swept": swept}), place is not None)


def _walk(source: Source, window: Window, place: Mapping[str, str]) -> Iterator[tuple[list[Record], State | None]]:
    at, id = place.get("at", ""), place.get("id", "")
    while True:
        where = coql.window(window.since, window.until, at, id)
        page = rows_of(source, "deals", where, "Modified_Time, id", SWEPT)
        records = tie_records(source.client, page.rows)
        if not page.more or not page.rows:
            yield records, None
            return
        at, id = str(page.rows[-1]["Modified_Time"]), source.client.id_of(page.rows[-1])
        yield records, {"at": at, "id": id}


def tie_records(client: Client, deals: Sequence[Row]) -> list[Record]:
    """All that each of the deals says of its people; without people, that too."""
    return [_tie(deal, list(client.contact_roles(client.id_of(deal)))) for deal in deals]


def _tie(deal: Row, rows: Sequence[Row]) -> Record:
    """The deal's main contact takes part, with or without a role. The role is the main contact's, else the one that
    all share."""
    main = str((deal.get("Contact_Name") or {}).get("id") or "")
    roles = {str(row["id"]): (row.get("Contact_Role") or {}).get("name") for row in rows}
    if main:
        roles.setdefault(main, None)
    shared = set(roles.values())
    raw = {
        "from_object": "deals",
        "from_id": str(deal["id"]),
        "to_object": "contacts",
        "to_ids": sorted(roles),
        "role": roles.get(main) or (shared.pop() if len(shared) == 1 else None),
        "primary": bool(main),
    }
    return Record(str(deal["id"]), orjson.dumps(raw), moment(deal.get("Modified_Time")))


def _cursor(state: State) -> str:
    return orjson.dumps(state).decode()
