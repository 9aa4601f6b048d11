"""Everything held of one person, as JSON: the answer to a request to see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, and_, false, or_, select

from sync.forget import Place, find
from sync.state.schema import (
    activities,
    conflicts,
    conversions,
    deal_people,
    handoffs,
    identities,
    journal,
    leads,
    quarantine,
    records,
    streams,
)
from sync.workspace import Workspace

_JSON = ("body", "reasons", "changed", "held", "before", "after", "remote", "options", "qualified_why", "problems")


def export(tx: Connection, workspace: Workspace, address: str) -> dict[str, Any]:
    """All rows about the person with this (canonical) address, by table."""
    person = find(tx, address)
    of_lead = person.leads
    about = {
        table.name: or_(table.c.lead.in_(of_lead), _at(table, person.records))
        for table in (journal, quarantine, conflicts)
    }
    return {
        "address": address,
        "at": workspace.now(),
        "forgotten_since": workspace.suppression.since(tx, address) or None,
        "leads": _rows(tx, select(leads).where(leads.c.id.in_(of_lead)).order_by(leads.c.id)),
        "records": _rows(tx, _here(records).where(_places(records.c.id, person.records))),
        "identities": _rows(tx, select(identities).where(identities.c.lead.in_(of_lead))),
        "activities": _rows(tx, _here(activities).where(_did(person.records, person.addresses))),
        "deals": _rows(tx, select(deal_people).where(_deals(person.records))),
        "conversions": _rows(tx, select(conversions).where(conversions.c.lead.in_(of_lead))),
        "handoffs": _rows(tx, select(handoffs).where(handoffs.c.lead.in_(of_lead))),
        "journal": _rows(tx, select(journal).where(about["journal"]).order_by(journal.c.id)),
        "quarantine": _rows(tx, select(quarantine).where(about["quarantine"]).order_by(quarantine.c.id)),
        "conflicts": _rows(tx, select(conflicts).where(about["conflicts"]).order_by(conflicts.c.id)),
    }


def _here(table: Any) -> Any:
    """The rows of a stream's table, with the names of its connection and object."""
    return select(streams.c.connection, streams.c.object, table).join(streams, streams.c.id == table.c.stream)


def _places(id: Any, places: Iterable[Place]) -> ColumnElement[bool]:
    return or_(
        false(),
        *(and_(streams.c.connection == c, streams.c.object == o, id == i) for c, o, i in places),
    )


def _at(table: Any, places: Iterable[Place]) -> ColumnElement[bool]:
    mine = (and_(table.c.connection == c, table.c.object == o, table.c.record == i) for c, o, i in places)
    return or_(false(), *mine)


def _did(places: Iterable[Place], addresses: list[str]) -> ColumnElement[bool]:
    theirs = (and_(streams.c.connection == c, activities.c.person == f"{o}/{i}") for c, o, i in places)
    return or_(activities.c.email.in_(addresses), *theirs)


def _deals(places: Iterable[Place]) -> ColumnElement[bool]:
    here = deal_people.c
    return or_(false(), *(and_(here.connection == c, here.person_object == o, here.person == i) for c, o, i in places))


def _rows(tx: Connection, query: Any) -> list[dict[str, Any]]:
    return [
        {str(name): orjson.loads(v) if name in _JSON and v else v for name, v in row.items() if v is not None}
        for row in tx.execute(query).mappings()
    ]
