"""What a merge or a conversion carried over, and what was told of it before its end was.

The record that stays may be read first, with values of the one that ends: they look as if they were given then, and are
written so to the other records of the lead. Once the end is told they count from when the ended record had them: else
they would go over what was given elsewhere in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import orjson
from sqlalchemy import Connection, bindparam, select, update

from config.clock import stamp, unstamp
from mappings.model import Kind
from sync.arrivals import ROUNDING
from sync.baseline import is_far
from sync.core.views import RecordView, came_over
from sync.load import record_view
from sync.state.schema import OPEN_WRITES, journal, records, streams
from sync.timekeeping import theirs
from sync.workspace import Workspace

_OF_LEAD = (
    select(records, streams.c.connection, streams.c.object)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead == bindparam("whose"), streams.c.kind == Kind.LEAD.value)
    .order_by(records.c.stream, records.c.id)
)
_WRITING = select(journal.c.id, journal.c.after, journal.c.times).where(
    OPEN_WRITES, journal.c.lead == bindparam("whose"), journal.c.times.is_not(None)
)
_SAID = (
    update(records)
    .where(records.c.stream == bindparam("s"), records.c.id == bindparam("i"))
    .values(changed=bindparam("c"))
)
_MEANT = update(journal).where(journal.c.id == bindparam("write")).values(times=bindparam("t"))


def date_spread(tx: Connection, workspace: Workspace, lead: str, ended: Collection[tuple[int, str]]) -> None:
    """Of these records (stream, id) of the lead it was just told that they live on as others. What was written of that
    before, on account of those others, counts from when the ended ones had it."""
    rows, at = tx.execute(_OF_LEAD, {"whose": lead}).all(), workspace.now()
    views = {(row.stream, row.id): record_view(workspace, row) for row in rows}
    by_name = {view.name: view for view in views.values()}
    for old in [views[place] for place in sorted(ended) if place in views]:
        heir = by_name.get(f"{old.connection}/{old.into}")
        over = came_over(old, heir, _end(old.version, theirs(workspace, old.connection, at))) if heir else {}
        if heir is None or not over:
            continue
        for (stream, id), view in views.items():
            mine = {name: was for name, (told, was) in over.items() if _has_it(view, heir, name, told)}
            if mine and view is not heir:
                changed = orjson.dumps({**view.changed, **mine}).decode()
                tx.execute(_SAID, {"s": stream, "i": id, "c": changed})
        _date_meant(tx, lead, heir, over)


def _end(version: str, at: str) -> str:
    """From when on, of its record's version, an end can have been; "" where that says nothing."""
    return stamp(unstamp(version) - ROUNDING) if version and not is_far(version, at) else ""


def _has_it(view: RecordView, heir: RecordView, name: str, told: str) -> bool:
    """Whether a record was given what `heir` has in a field, which was told at `told`."""
    sent = view.held[name][0] if name in view.held else view.body.get(name)
    return view.changed.get(name) == told and heir.body[name] in (sent, view.body.get(name))


def _date_meant(tx: Connection, lead: str, heir: RecordView, over: Mapping[str, tuple[str, str]]) -> None:
    """What is being written just now, and may be found done, counts from then as well."""
    for row in tx.execute(_WRITING, {"whose": lead}).all():
        after, times = orjson.loads(row.after), orjson.loads(row.times)
        meant = {
            name: [times[name][0], was]
            for name, (told, was) in over.items()
            if name in times and times[name][1] == told and after.get(name) == heir.body[name]
        }
        if meant:
            tx.execute(_MEANT, {"write": row.id, "t": orjson.dumps({**times, **meant}).decode()})
