"""Associations folded into `deal_people`: whose record is in which deal, and which association says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, select, tuple_, update

from mappings.model import Kind, Values
from sync.state import rows
from sync.state.schema import deal_people, leads, records, streams

_DEAL = tuple_(deal_people.c.connection, deal_people.c.deal_object, deal_people.c.deal)
_COLUMNS = ("connection", "deal_object", "deal", "person_object", "person", "source", "role")


def store(tx: Connection, connection: str, object: str, associations: Mapping[str, Values]) -> None:
    """Replace what each of the associations (record id -> values, {} where it is gone) says.

    The leads of all people of the deals that they were about until now are due to be merged anew: their tie may be
    gone, or that of somebody on whose account their deal was to be copied.
    """
    for some in _chunks([f"{object}/{id}" for id in associations]):
        mine = (deal_people.c.connection == connection) & deal_people.c.source.in_(some)
        everyone = select(deal_people.c.person).where(_DEAL.in_(select(*_DEAL.clauses).where(mine))).distinct()
        _touch(tx, connection, list(tx.execute(everyone).scalars()))
        tx.execute(delete(deal_people).where(mine))
    people = _person_objects(tx, connection)
    tied = [
        (
            connection,
            values.get("from_object") or "",
            values.get("from_id") or "",
            values.get("to_object") or "",
            person,
            f"{object}/{id}",
            values.get("role") or "",
        )
        for id, values in associations.items()
        for person in values.get("to_ids") or ()
        if values.get("from_object") not in people  # a person's own ties (to a company) are no part in a deal
    ]
    rows.insert(tx, deal_people, _COLUMNS, tied)


TIED = (
    select(records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .join(
        deal_people,
        (deal_people.c.connection == streams.c.connection)
        & (deal_people.c.person_object == streams.c.object)
        & (deal_people.c.person == records.c.id),
    )
)
"""The leads of records that are in a deal."""


_THEIR_DEALS = TIED.with_only_columns(*_DEAL.clauses, maintain_column_froms=True).where(
    records.c.lead.in_(bindparam("some", expanding=True))
)
_TOUCH_BESIDE = (
    update(leads).where(leads.c.id.in_(TIED.where(_DEAL.in_(_THEIR_DEALS))), leads.c.state == "live").values(dirty=1)
)


def touch_beside(tx: Connection, who: Iterable[str]) -> None:
    """Everyone in a deal with one of these leads is due to be merged anew.

    A deal is copied on account of one of its people. Where that one is not there any more, it is another's turn, who
    may have had nothing to do until then.
    """
    for some in _chunks(sorted(who)):
        tx.execute(_TOUCH_BESIDE, {"some": some})


def _person_objects(tx: Connection, connection: str) -> set[str]:
    mine = (streams.c.connection == connection) & (streams.c.kind == Kind.LEAD.value)
    return set(tx.execute(select(streams.c.object).where(mine)).scalars())


def _touch(tx: Connection, connection: str, people: Sequence[str]) -> None:
    theirs = select(streams.c.id).where(streams.c.connection == connection, streams.c.kind == Kind.LEAD.value)
    for some in _chunks(people):
        owners = select(records.c.lead).where(records.c.stream.in_(theirs), records.c.id.in_(some))
        tx.execute(update(leads).where(leads.c.id.in_(owners), leads.c.state == "live").values(dirty=1))


def _chunks(values: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
