"""Streams as stored: how far each object of each connection was pulled, and by which mapping it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from connectors.api import Page
from mappings.model import Kind
from sync.state.database import upsert
from sync.state.schema import streams


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One object of one connection, as stored."""

    id: int
    connection: str
    object: str
    kind: Kind
    cursor: str | None
    complete: bool
    mapping: str


_STREAM = select(streams).where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))


def stream_for(tx: Connection, connection: str, object: str, kind: Kind | str) -> StreamRow:
    """The stream of this object, made when it is new."""
    found = known_stream(tx, connection, object)
    if found is None:
        new = {"connection": connection, "object": object, "kind": Kind(kind).value}
        tx.execute(upsert(streams, tx, key=["connection", "object"]), [new])
        found = known_stream(tx, connection, object)
    assert found is not None
    return found


def known_stream(tx: Connection, connection: str, object: str) -> StreamRow | None:
    """The stream of this object; None before anything of it was pulled."""
    row = tx.execute(_STREAM, {"of": connection, "named": object}).one_or_none()
    return None if row is None else stream_row(row)


def stream_row(row: Any) -> StreamRow:
    """A row of `streams`."""
    return StreamRow(row.id, row.connection, row.object, Kind(row.kind), row.cursor, bool(row.complete), row.mapping)


_CURSOR = (
    update(streams)
    .where(streams.c.id == bindparam("stream"))
    .values(cursor=bindparam("where"), pulled_at=bindparam("at"), complete=False)
)
_LAST_CURSOR = _CURSOR.values(complete=True)


def save_cursor(tx: Connection, stream: StreamRow, page: Page, at: str) -> None:
    """Store where pulling goes on after `page`."""
    statement = _CURSOR if page.more else _LAST_CURSOR
    tx.execute(statement, {"stream": stream.id, "where": page.cursor, "at": at})
