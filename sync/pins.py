"""Wishes that a person took back with an undo.

A pin says: this record was given another value in place of just this wish. While the record holds that value and the
wish stays the same, the plan leaves the field alone; a source that changes makes another wish, which is written, and
with whatever is written to the field the pin is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, select, tuple_, update

from sync.core.views import RecordView
from sync.load import chunks
from sync.state.database import upsert
from sync.state.schema import pins, records, streams

_PINNED = (
    select(streams.c.connection, streams.c.object, pins.c.record, pins.c.field, pins.c.wish, pins.c.holds)
    .join(streams, streams.c.id == pins.c.stream)
    .join(records, (records.c.stream == pins.c.stream) & (records.c.id == pins.c.record))
    .where(records.c.lead.in_(bindparam("some", expanding=True)))
)
_ANY = select(pins.c.stream).where(pins.c.stream == bindparam("of")).limit(1)


def pinned(tx: Connection, linked: Mapping[str, Sequence[RecordView]]) -> Mapping[str, Sequence[RecordView]]:
    """`linked` (lead -> its records) with the pins of those records that have any."""
    found: dict[tuple[str, str, str], dict[str, tuple[str, str]]] = defaultdict(dict)
    for some in chunks(list(linked)):
        for connection, object, record, field, wish, holds in tx.execute(_PINNED, {"some": some}):
            found[(connection, object, record)][field] = (wish, holds)
    if not found:
        return linked
    return {
        lead: [replace(view, pinned=found.get((view.connection, view.object, view.id), {})) for view in views]
        for lead, views in linked.items()
    }


_AT = tuple_(streams.c.connection, streams.c.object, pins.c.record)
_OF_RECORDS = select(
    streams.c.connection, streams.c.object, pins.c.record, pins.c.field, pins.c.wish, pins.c.holds
).join(streams, streams.c.id == pins.c.stream)


def of_records(
    tx: Connection, places: Sequence[tuple[str, str, str]]
) -> Mapping[tuple[str, str, str], dict[str, tuple[str, str]]]:
    """The pins of the records at these (connection, object, id)."""
    found: dict[tuple[str, str, str], dict[str, tuple[str, str]]] = defaultdict(dict)
    for some in chunks(sorted(places)):
        for connection, object, record, field, wish, holds in tx.execute(_OF_RECORDS.where(_AT.in_(some))):
            found[(connection, object, record)][field] = (wish, holds)
    return found


def keep(tx: Connection, stream: int, record: str, run: str, pairs: Mapping[str, tuple[str, str]]) -> None:
    """Pin fields of a record: field -> (fingerprint of the wish taken back, of the value held instead)."""
    rows = [
        {"stream": stream, "record": record, "field": field, "wish": wish, "holds": holds, "run": run}
        for field, (wish, holds) in pairs.items()
    ]
    if rows:
        tx.execute(upsert(pins, tx, update=["wish", "holds", "run"]), rows)


def drop(tx: Connection, stream: int, written: Iterable[tuple[str, str]]) -> None:
    """Forget the pins of these (record, field): they were written."""
    gone = [{"r": record, "f": field} for record, field in written]
    if gone and tx.execute(_ANY, {"of": stream}).first():
        mine = (pins.c.stream == stream) & (pins.c.record == bindparam("r")) & (pins.c.field == bindparam("f"))
        tx.execute(delete(pins).where(mine), gone)


def move(tx: Connection, stream: int, old: str, new: str) -> None:
    """A record has another id from now on; what was pinned where that one stood before is over."""
    if tx.execute(_ANY, {"of": stream}).first():
        tx.execute(delete(pins).where(pins.c.stream == stream, pins.c.record == new))
        tx.execute(update(pins).where(pins.c.stream == stream, pins.c.record == old).values(record=new))
