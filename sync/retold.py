"""Activities that are told anew: a meeting that was moved, cancelled or missed is still that one meeting.

Whoever an activity was of before, and whoever it is of now, is looked at again: the row is marked, and so are the leads
that it leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select, update

from mappings.model import Values
from sync.state import rows
from sync.state.schema import activities, identities, leads, records, streams

COLUMNS = ("key", "type", "at", "person", "email", "campaign", "title", "url", "detail")
"""Of an activity's row, in this order."""

_Owner = tuple[str | None, str | None]
"""(object/id of the person's record, address)."""


@dataclass(slots=True)
class Retold:
    """What a group of pages says of activities that are here already: rows in the order of COLUMNS, and the keys of
    those that take no part any more."""

    told: list[rows.Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def row(key: str, values: Values) -> rows.Row:
    """An activity's unified values in the order of COLUMNS."""
    person = f"{values['person_object']}/{values['person']}" if values.get("person") else None
    return (key, values["type"], values["at"], person, *(values.get(name) for name in COLUMNS[4:]))


def store(tx: Connection, stream: int, retold: Retold) -> int:
    """Write what differs from what is here, take out what is left out; how many rows were written."""
    keys = [str(row[0]) for row in retold.told] + retold.left_out
    if not keys:
        return 0
    before = {str(row[0]): tuple(row) for row in rows.find(tx, activities, stream, COLUMNS, "key", keys)}
    changed = [row for row in retold.told if before[str(row[0])] != row]
    moved = [before[str(row[0])] for row in changed if _owner(before[str(row[0])]) != _owner(row)]
    for owner in sorted({_owner(row) for row in [*moved, *(before[key] for key in retold.left_out)]}, key=str):
        _look_again(tx, stream, owner)
    rows.update(tx, activities, stream, "key", COLUMNS[1:], changed, also="dirty = true")
    for key in retold.left_out:
        tx.execute(delete(activities).where(activities.c.stream == stream, activities.c.key == key))
    return len(changed)


def _owner(row: rows.Row) -> _Owner:
    return row[COLUMNS.index("person")], row[COLUMNS.index("email")]


def _look_again(tx: Connection, stream: int, owner: _Owner) -> None:
    """The leads of the person's record, or of the address where no record was named, are to be decided anew."""
    person, email = owner
    object, _, id = (person or "").partition("/")
    connection = select(streams.c.connection).where(streams.c.id == stream).scalar_subquery()
    of_person = (
        select(records.c.lead)
        .join(streams, streams.c.id == records.c.stream)
        .where(streams.c.connection == connection, streams.c.object == object, records.c.id == id)
    )
    of_email = select(identities.c.lead).where(identities.c.kind == "email", identities.c.value == (email or ""))
    mine = leads.c.id.in_(of_person) if person else leads.c.id.in_(of_email)
    tx.execute(update(leads).where(mine, leads.c.state == "live").values(dirty=1))
