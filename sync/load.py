"""Rows of the state as the core's views, many at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, and_, bindparam, func, or_, select

from mappings.model import Kind
from sync.core.views import ActivityView, DealView, LeadView, Provenance, RecordView, inherited
from sync.state.schema import activities, copies, deal_people, leads, records, streams
from sync.workspace import Workspace

CHUNK = 500
"""Values per IN list: under every database's limit, few round trips."""


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterable[Sequence[Any]]:
    """`values` in runs of at most `size`."""
    if len(values) <= size:  # nearly always
        return (values,) if values else ()
    return [values[start : start + size] for start in range(0, len(values), size)]


_OF_LEADS = (
    select(
        records.c.id,
        records.c.lead,
        records.c.body,
        records.c.first_at,
        records.c.changed,
        records.c.held,
        records.c.gone,
        records.c.into,
        records.c.version,
        records.c.hash,
        streams.c.connection,
        streams.c.object,
    )
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead.in_(bindparam("some", expanding=True)), streams.c.kind == Kind.LEAD.value)
    .order_by(streams.c.connection, streams.c.object, records.c.id)
)


def record_views(tx: Connection, workspace: Workspace, lead_ids: Sequence[str]) -> dict[str, list[RecordView]]:
    """The person records linked to each of `lead_ids`, in a fixed order."""
    found: dict[str, list[RecordView]] = defaultdict(list)
    for some in chunks(lead_ids):
        for row in tx.execute(_OF_LEADS, {"some": some}):
            found[row.lead].append(record_view(workspace, row))
    for lead, views in found.items():
        if len(views) > len({view.connection for view in views}):
            found[lead] = list(inherited(views))
    return found


def record_view(workspace: Workspace, row: Any) -> RecordView:
    """One row (with its stream's connection and object) as a view."""
    mapped = workspace.mapped(row.connection).get(row.object) if row.connection in workspace.connections else None
    return RecordView(
        connection=row.connection,
        object=row.object,
        id=row.id,
        body=orjson.loads(row.body),
        first_at=row.first_at,
        changed=orjson.loads(row.changed) if row.changed else {},
        held={name: (sent, got) for name, (sent, got) in orjson.loads(row.held).items()} if row.held else {},
        pulled=mapped.pulled if mapped else frozenset(),
        on_blank=mapped.on_blank if mapped else {},
        gone=row.gone,
        into=row.into or "",
        version=row.version,
        hash=row.hash,
    )


def lead_view(row: Any, linked: Sequence[RecordView] = ()) -> LeadView:
    """A lead's row as a view."""
    return LeadView(
        id=row.id,
        values=orjson.loads(row.body),
        reasons=provenances(row.reasons),
        records=tuple(linked),
        qualified_at=row.qualified_at,
        handed_off_at=row.handed_off_at,
    )


def provenances(text: str) -> dict[str, Provenance]:
    """The stored reasons of a lead, by field."""
    return {
        name: Provenance(
            why["source"],
            why["at"],
            why["rule"],
            tuple((source, value, at) for source, value, at in why.get("over", ())),
            why.get("cleared", False),
            tuple((source, value) for source, value in why.get("beside", ())),
            tuple(why["holders"]) if "holders" in why else None,
        )
        for name, why in orjson.loads(text).items()
    }


def provenance_json(reasons: Mapping[str, Provenance]) -> str:
    """The inverse of `provenances`."""
    plain = {}
    for name, why in reasons.items():
        entry: dict[str, Any] = {"source": why.source, "at": why.at, "rule": why.rule}
        if why.over:
            entry["over"] = why.over
        if why.cleared:
            entry["cleared"] = True
        if why.beside:
            entry["beside"] = why.beside
        if why.holders is not None:
            entry["holders"] = why.holders
        plain[name] = entry
    return orjson.dumps(plain).decode()


People = dict[tuple[str, str, str], str]
"""(connection, object, record id) -> lead id."""


def people(linked: Mapping[str, Sequence[RecordView]]) -> People:
    """Which lead each record belongs to."""
    return {(r.connection, r.object, r.id): lead for lead, views in linked.items() for r in views}


_DEAL_STREAMS = streams.alias("deal_streams")
_HOME_STREAMS, _HOMES = streams.alias("home_streams"), records.alias("homes")
_IS_COPY = (
    select(copies.c.record)
    .join(
        _HOME_STREAMS,
        and_(_HOME_STREAMS.c.connection == copies.c.home_connection, _HOME_STREAMS.c.object == copies.c.home_object),
    )
    .join(_HOMES, and_(_HOMES.c.stream == _HOME_STREAMS.c.id, _HOMES.c.id == copies.c.home_record))
    .where(copies.c.connection == deal_people.c.connection, copies.c.object == deal_people.c.deal_object)
    .where(copies.c.record == deal_people.c.deal)
    .exists()
)
"""Whether the deal is a copy of one that is known, whether or not that one still stands: it says nothing of its own."""
_DEALS = (
    select(
        deal_people.c.connection,
        deal_people.c.person_object,
        deal_people.c.person,
        deal_people.c.role,
        _DEAL_STREAMS.c.object,
        records.c.id,
        records.c.body,
        records.c.version,
        records.c.first_at,
    )
    .join(
        _DEAL_STREAMS,
        and_(
            _DEAL_STREAMS.c.connection == deal_people.c.connection,
            _DEAL_STREAMS.c.object == deal_people.c.deal_object,
        ),
    )
    .join(records, and_(records.c.stream == _DEAL_STREAMS.c.id, records.c.id == deal_people.c.deal))
    .where(deal_people.c.person.in_(bindparam("some", expanding=True)), records.c.gone.is_(None), ~_IS_COPY)
)


def deal_views(tx: Connection, who: People, sources: Iterable[str]) -> dict[str, list[DealView]]:
    """The deals of each lead, from the connections named in `sources` (all when empty), each deal once: copies of deals
    are left out."""
    allowed = set(sources)
    found: dict[str, dict[str, DealView]] = defaultdict(dict)
    ids = sorted({record_id for _, _, record_id in who})
    for some in chunks(ids):
        for row in tx.execute(_DEALS, {"some": some}):
            lead = who.get((row.connection, row.person_object, row.person))
            if lead is None or (allowed and row.connection not in allowed):
                continue
            deal = DealView(
                row.connection,
                row.object,
                row.id,
                orjson.loads(row.body),
                row.version or row.first_at,
                row.role,
            )
            found[lead][deal.name] = deal
    return {lead: sorted(deals.values(), key=lambda deal: deal.name) for lead, deals in found.items()}


@cache
def _tally(column: str) -> Any:
    key = activities.c[column]
    query = (
        select(
            streams.c.connection,
            key,
            activities.c.type,
            func.count().label("number"),
            func.max(activities.c.at).label("last"),
        )
        .join(streams, streams.c.id == activities.c.stream)
        .where(key.in_(bindparam("some", expanding=True)))
        .group_by(streams.c.connection, key, activities.c.type)
    )
    return query.where(activities.c.person.is_(None)) if column == "email" else query


def activity_tallies(tx: Connection, who: People, emails: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Per lead: the number of activities by type, `total` and `last_at`. `emails` maps address -> lead."""
    tallies: dict[str, dict[str, Any]] = defaultdict(lambda: {"total": 0, "last_at": ""})
    names = {(connection, f"{object}/{id}"): lead for (connection, object, id), lead in who.items()}
    for column, wanted in (("person", sorted({name for _, name in names})), ("email", sorted(emails))):
        for some in chunks(wanted):
            for connection, value, type_, number, last in tx.execute(_tally(column), {"some": some}):
                lead = names.get((connection, value)) if column == "person" else emails.get(value)
                if lead is None:
                    continue
                tally = tallies[lead]
                tally[type_] = tally.get(type_, 0) + number
                tally["total"] += number
                tally["last_at"] = max(tally["last_at"], last)
    return tallies


def activity_views(
    tx: Connection, records_of: Sequence[RecordView], email: str, limit: int = 1000
) -> list[ActivityView]:
    """The latest activities of one lead, newest first."""
    mine = [
        and_(streams.c.connection == record.connection, activities.c.person == f"{record.object}/{record.id}")
        for record in records_of
    ]
    if email:
        mine.append(and_(activities.c.person.is_(None), activities.c.email == email))
    if not mine:
        return []
    query = (
        select(activities, streams.c.connection)
        .join(streams, streams.c.id == activities.c.stream)
        .where(or_(*mine))
        .order_by(activities.c.at.desc(), activities.c.key)
        .limit(limit)
    )
    return [
        ActivityView(row.connection, row.type, row.at, row.title or "", row.url or "", row.campaign or "")
        for row in tx.execute(query)
    ]


def activities_of(tx: Connection, lead: LeadView) -> list[ActivityView]:
    """The latest activities of `lead`, newest first."""
    return activity_views(tx, lead.records, lead.values.get("email") or "")


_LEADS = select(leads).where(leads.c.id.in_(bindparam("some", expanding=True))).order_by(leads.c.id)


def lead_rows(tx: Connection, ids: Sequence[str]) -> list[Any]:
    """The rows of `leads` with these ids."""
    found: list[Any] = []
    for some in chunks(ids):
        found.extend(tx.execute(_LEADS, {"some": some}))
    return found
