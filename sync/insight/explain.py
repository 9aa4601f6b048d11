"""One lead explained: its records, every value with who said so, why it won and over what, its hand-off, its writes."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, and_, or_, select

from config.errors import Misconfigured
from mappings.model import Lead
from sync.copies import of_homes
from sync.core import addresses
from sync.core.views import DealView, LeadView, Provenance
from sync.load import activity_views, deal_views, lead_rows, lead_view, people, record_views
from sync.state.schema import (
    conflicts,
    conversions,
    handoffs,
    identities,
    journal,
    leads,
    quarantine,
    records,
    streams,
)
from sync.workspace import Workspace


def find(tx: Connection, key: str) -> str | None:
    """The lead that `key` names: an e-mail address, a lead id, or the id of a record on any platform."""
    wanted = key.strip()
    row = tx.execute(select(leads.c.id, leads.c.into).where(leads.c.id == wanted)).one_or_none()
    if row is not None:
        return str(row.into or row.id)
    by_key = select(identities.c.lead).where(or_(identities.c.value == wanted, identities.c.value == wanted.lower()))
    found = tx.execute(by_key.limit(1)).scalar() or _by_record(tx, wanted)
    return str(found) if found else None


def _by_record(tx: Connection, wanted: str) -> str | None:
    """By `id`, or by `connection/object/id` where two platforms count alike. Raises Misconfigured when it is both."""
    place, _, id = wanted.rpartition("/")
    query = select(streams.c.connection, streams.c.object, records.c.lead).join(
        records, records.c.stream == streams.c.id
    )
    rows = tx.execute(query.where(records.c.id == id, records.c.lead.is_not(None)).order_by(streams.c.id)).all()
    found = {f"{row.connection}/{row.object}": str(row.lead) for row in rows}
    if place:
        return found.get(place)
    if len(set(found.values())) > 1:
        names = " or ".join(f"{name}/{id}" for name in found)
        raise Misconfigured("Several records have this id.", fix=f"Name one: {names}.")
    return next(iter(found.values()), None)


def explain(tx: Connection, workspace: Workspace, lead_id: str) -> dict[str, Any]:
    """Everything known of the lead, as JSON."""
    [row] = lead_rows(tx, [lead_id])
    linked = record_views(tx, workspace, [lead_id])
    lead = lead_view(row, linked.get(lead_id, ()))
    deals = deal_views(tx, people(linked), workspace.deal_sources).get(lead_id, [])
    copied = _copied(tx, deals)
    activities = activity_views(tx, lead.records, lead.values.get("email") or "", limit=50)
    return {
        "lead": lead_id,
        "values": Lead.model_validate(lead.values).model_dump(exclude_none=True),
        "score": row.score,
        "stage": row.stage,
        "qualified_at": row.qualified_at,
        "qualified_why": orjson.loads(row.qualified_why or "[]"),
        "handed_off_at": row.handed_off_at,
        "records": [
            {"record": record.name, "since": record.first_at, "gone": record.gone, "values": record.body}
            for record in lead.records
        ],
        "fields": [
            {"field": name, "value": value, **_why(lead.reasons.get(name), lead, value)}
            for name, value in sorted(lead.values.items())
            if value not in (None, [], "")
        ],
        "deals": [
            {"deal": deal.name, "at": deal.at, "role": deal.role, "values": deal.body, "copies": copied[deal.name]}
            for deal in deals
        ],
        "activities": [
            {"at": a.at, "type": a.type, "title": a.title, "url": a.url, "connection": a.connection} for a in activities
        ],
        "conversions": _rows(tx, conversions, conversions.c.lead == lead_id),
        "handoffs": _rows(tx, handoffs, handoffs.c.lead == lead_id),
        "writes": _rows(tx, journal, journal.c.lead == lead_id),
        "quarantine": _open(tx, quarantine, lead),
        "conflicts": _open(tx, conflicts, lead),
    }


def _copied(tx: Connection, deals: list[DealView]) -> dict[str, list[str]]:
    """The copies of each deal elsewhere, both by name."""
    homes = {deal.name: (deal.connection, deal.object, deal.id) for deal in deals}
    found = of_homes(tx, homes.values())
    return {name: ["/".join(copy) for copy in found.get(home, ())] for name, home in homes.items()}


def _open(tx: Connection, table: Any, lead: LeadView) -> list[dict[str, Any]]:
    """The open rows of `table` about the lead, or about one of its records."""
    about = [
        and_(table.c.connection == record.connection, table.c.object == record.object, table.c.record == record.id)
        for record in lead.records
    ]
    return _rows(tx, table, and_(table.c.state == "open", or_(table.c.lead == lead.id, *about)))


def _why(why: Provenance | None, lead: LeadView, value: Any) -> dict[str, Any]:
    """Who says so. Of records beside it those that have another value now: the last one left is given this one."""
    if why is None:
        return {"source": "", "since": "", "rule": "", "over": [], "beside": []}
    over = [{"source": source, "value": value, "since": at} for source, value, at in why.over]
    now = {record.name: record.body.get(addresses.MAIN) for record in lead.records if not record.gone}
    beside = [{"source": of, "value": other} for of, other in why.beside if of in now and now[of] != value]
    return {"source": why.source, "since": why.at, "rule": why.rule, "over": over, "beside": beside}


_JSON = {"before", "after", "remote", "reasons", "options"}


def _rows(tx: Connection, table: Any, condition: Any) -> list[dict[str, Any]]:
    found = []
    key = list(table.primary_key.columns)
    for row in tx.execute(select(table).where(condition).order_by(*key)).mappings():
        found.append({str(name): orjson.loads(v) if name in _JSON and v else v for name, v in row.items()})
    return found
