"""What a pull begins with, in one look each: most find that nothing is in doubt, told or frozen, and need no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, exists, or_, select

from sync.state.schema import OPEN_WRITES, connections, hints, journal, meta, streams
from sync.streams import StreamRow, stream_row


@dataclass(frozen=True, slots=True)
class Outset:
    """Where an object's pull stands, what was noted of its fields (see `sync.drift`), whether hints tell of it."""

    stream: StreamRow
    described: str | None
    frozen: str | None
    hinted: bool


def _noted(name: str) -> Any:
    return select(meta.c.value).where(meta.c.name == bindparam(name)).scalar_subquery()


_OUTSET = select(
    streams,
    _noted("described_as").label("described"),
    _noted("frozen_as").label("frozen"),
    exists().where(hints.c.connection == streams.c.connection, hints.c.object == streams.c.object).label("hinted"),
).where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
_STIRRED = or_(
    # SQLite would make a table of the states to look each up by; of all that are open there are few
    exists().where(journal.c.connection.concat("") == bindparam("of"), OPEN_WRITES),
    exists().where(hints.c.connection == bindparam("of")),
).label("stirred")
_CONNECTION = select(connections, _STIRRED).where(connections.c.name == bindparam("of"))


def outset(tx: Connection, connection: str, object: str) -> Outset | None:
    """What the object's pull begins with; None before the first."""
    place = f"{connection}/{object}"
    given = {"of": connection, "named": object, "described_as": f"described:{place}", "frozen_as": f"frozen:{place}"}
    row = tx.execute(_OUTSET, given).one_or_none()
    return None if row is None else Outset(stream_row(row), row.described, row.frozen, bool(row.hinted))


def known_connection(tx: Connection, connection: str) -> Any:
    """The connection's row; its `stirred` tells whether a write there is of unknown fate, or hints of it wait. None
    before its first run."""
    return tx.execute(_CONNECTION, {"of": connection}).one_or_none()
