"""Records that others live on as, by a platform's word, before they themselves were seen.

Somebody was merged or converted into a record that was put away before any pull brought it: all that is ever told of
it is its end. It is taken in all the same. Whoever it was about is who they were merged with, and that they are gone
from there is known of them.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from sync.core.resolve import record_key
from sync.load import chunks
from sync.state.schema import DIRTY_RECORDS, identities, records, streams

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
