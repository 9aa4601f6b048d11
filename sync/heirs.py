"""Records that others live on as, by a platform's word, before they themselves were seen.

Somebody was merged or converted into a record that was put away before any pull brought it: all that is ever told of
it is its end. It is taken in all the same. Whoever it was about is who they were merged with, and that they are gone
from there is known of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from mappings.model import Values
from sync.core.resolve import record_key
from sync.load import chunks
from sync.state.schema import DIRTY_RECORDS, identities, records, streams
from sync.streams import StreamRow

_CLAIMED = select(identities.c.value).where(
    identities.c.kind == "record", identities.c.value.in_(bindparam("some", expanding=True))
)
_TO_BE_FOLLOWED = (
    select(records.c.into)
    .join(streams, streams.c.id == records.c.stream)
    .where(DIRTY_RECORDS, records.c.into.is_not(None), streams.c.connection == bindparam("of"))
)


def named(tx: Connection, connection: str, object: str, ids: Collection[str]) -> set[str]:
    """Those of these records, which are not known, that a known one lives on as: it was linked, and its lead claimed
    the name of the other (`sync.resolve`), or it waits to be."""
    places = {record_key(connection, object, id)[1]: id for id in ids}
    if not places:
        return set()
    claimed = {f"{connection}/{into}" for into in tx.execute(_TO_BE_FOLLOWED, {"of": connection}).scalars()}
    for some in chunks(sorted(places)):
        claimed.update(tx.execute(_CLAIMED, {"some": some}).scalars())
    return {places[name] for name in claimed & places.keys()}


_ENDED = (
    select(
        records.c.stream,
        records.c.id,
        records.c.into,
        records.c.version,
        records.c.body,
        records.c.changed,
    )
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead.in_(bindparam("some", expanding=True)), records.c.into.is_not(None))
    .where(streams.c.connection == bindparam("of"))
)
_SAID = (
    update(records)
    .where(records.c.stream == bindparam("s"), records.c.id == bindparam("i"))
    .values(changed=bindparam("c"))
)


class Ended:
    """The records of some leads that live on as others there, and from when their words count no earlier than those of
    their heirs."""

    def __init__(self, tx: Connection, stream: StreamRow, leads: Iterable[str]) -> None:
        self._tx, self._object = tx, stream.object
        self._by_heir: dict[str, list[Any]] = {}
        self._later: dict[tuple[int, str], dict[str, str]] = {}
        for some in chunks(sorted(set(leads))):
            for row in tx.execute(_ENDED, {"some": some, "of": stream.connection}):
                self._by_heir.setdefault(row.into, []).append(row)

    def given(
        self,
        heir: str,
        known_at: str,
        old: Values,
        told: Collection[str],
        new: Values,
        since: Mapping[str, str],
    ) -> None:
        """A record, which was last known as of `known_at` to hold `old`, has these values `since` then. One that was
        told since the other ended had all that was carried over. But a field of which nothing had been told there, not
        even a blank (`told`: the fields that changed), the answers may have left out.
        """
        for row in self._by_heir.get(f"{self._object}/{heir}", ()):
            if not (row.version and known_at >= row.version):
                continue
            held: Values = orjson.loads(row.body)
            seen = {name: at for name, at in since.items() if name in told or name in old}
            same = {name: at for name, at in seen.items() if held.get(name) == new[name] is not None}
            if same:
                self._later.setdefault((row.stream, row.id), orjson.loads(row.changed or "{}")).update(same)

    def store(self) -> None:
        """Write it."""
        rows = [
            {"s": stream, "i": id, "c": orjson.dumps(changed).decode()} for (stream, id), changed in self._later.items()
        ]
        if rows:
            self._tx.execute(_SAID, rows)


def redate(
    tx: Connection, connection: str, heir: str, lead: str, before: Mapping[str, str], now: Mapping[str, str]
) -> None:
    """A record (object/id) of the lead turns out to have its values since `now`, which was taken for `before`: so do
    the records that live on as it, where they were said to have had them no earlier."""
    for row in tx.execute(_ENDED, {"some": [lead], "of": connection}).all():
        told: dict[str, str] = orjson.loads(row.changed or "{}") if row.into == heir else {}
        wrong = {name: now[name] for name, at in before.items() if told.get(name) == at and now.get(name, at) != at}
        if wrong:
            tx.execute(_SAID, {"s": row.stream, "i": row.id, "c": orjson.dumps({**told, **wrong}).decode()})
