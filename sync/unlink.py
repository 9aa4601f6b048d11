"""Cut a wrong link: one record leaves its lead and stands alone, and both sides come apart cleanly.

What only the record knew of the person goes with it: its keys, its hand-off, its part of the journal, the values that
the lead had from it. A key that both sides hold stays with the lead. The cut is stored as a question about who is who
that is decided already, so that nothing links the two again by itself, and so that a person can take it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, select, update

from config.errors import Misconfigured
from mappings.model import Kind
from sync.conflicts import new_lead
from sync.core import resolve
from sync.core.resolve import Key
from sync.core.views import RecordView
from sync.load import lead_rows, provenance_json, provenances, record_views
from sync.parked import park
from sync.state.schema import conflicts, handoffs, identities, journal, leads, records, streams
from sync.ties import touch_beside
from sync.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Cut:
    """A link that was cut: the record, the lead it left, the one it is now, the question that takes it back."""

    record: str
    left: str
    lead: str
    question: int


def unlink(tx: Connection, workspace: Workspace, name: str) -> Cut:
    """Cut `name` (connection/object/id) from its lead. Raises Misconfigured when it has none, or is all of it."""
    connection, _, rest = name.partition("/")
    object, _, id = rest.partition("/")
    old = _lead_of(tx, name, connection, object, id)
    views = record_views(tx, workspace, [old])[old]
    cut = next(view for view in views if view.name == name)
    others = [view for view in views if view.name != name]
    if not others:
        raise Misconfigured(f"{name} is all there is of lead {old}.", fix="There is nothing to cut it from.")
    lead = new_lead(tx, workspace)
    own, shared = _keys(workspace, cut), {key for view in others for key in _keys(workspace, view)}
    shared.add(("closedloop_id", old))  # which the record may bear: it is the lead's name
    _move(tx, cut, old, lead, [key for key in own if key not in shared])
    _part(tx, old, lead, cut)
    _unsay(tx, old, name)
    return Cut(name, old, lead, _decided(tx, workspace, cut, old, lead))


def _lead_of(tx: Connection, name: str, connection: str, object: str, id: str) -> str:
    joined = select(records.c.lead).join(streams, streams.c.id == records.c.stream)
    mine = (streams.c.connection == connection) & (streams.c.object == object) & (streams.c.kind == Kind.LEAD.value)
    lead = tx.execute(joined.where(mine, records.c.id == id, records.c.lead.is_not(None))).scalar()
    if lead is None:
        fix = "Name it as `closedloop explain` does: connection/object/id."
        raise Misconfigured(f"No lead has a record {name}.", fix=fix)
    return str(lead)


def _keys(workspace: Workspace, view: RecordView) -> tuple[Key, ...]:
    own = resolve.record_key(view.connection, view.object, view.id)
    return (own, *workspace.keys(view.connection, view.id, view.body))


def _move(tx: Connection, cut: RecordView, old: str, lead: str, own: list[Key]) -> None:
    for kind, value in own:
        mine = (identities.c.kind == kind) & (identities.c.value == value) & (identities.c.lead == old)
        tx.execute(update(identities).where(mine).values(lead=lead))
    place = (streams.c.connection == cut.connection) & (streams.c.object == cut.object)
    stream = select(streams.c.id).where(place).scalar_subquery()
    this = (records.c.stream == stream) & (records.c.id == cut.id)
    touch_beside(tx, [old])
    tx.execute(update(records).where(this).values(lead=lead, dirty=True))
    tx.execute(update(leads).where(leads.c.id == old).values(dirty=1))


def _part(tx: Connection, old: str, lead: str, cut: RecordView) -> None:
    """What was written to the record, and that it was handed to sales, goes with it."""
    for table in (journal, handoffs):
        mine = (table.c.lead == old) & (table.c.connection == cut.connection)
        mine &= (table.c.object == cut.object) & (table.c.record == cut.id)
        tx.execute(update(table).where(mine).values(lead=lead))
    for id in (old, lead):
        since = select(handoffs.c.at).where(handoffs.c.lead == id).order_by(handoffs.c.at).limit(1)
        tx.execute(update(leads).where(leads.c.id == id).values(handed_off_at=tx.execute(since).scalar()))


def _unsay(tx: Connection, old: str, name: str) -> None:
    """The lead forgets what it had from the record: a field of which nobody speaks any more would keep it."""
    [row] = lead_rows(tx, [old])
    reasons = provenances(row.reasons)
    body: Mapping[str, Any] = orjson.loads(row.body)
    gone = {field for field, why in reasons.items() if why.source == name}
    values = {
        "body": orjson.dumps({field: value for field, value in body.items() if field not in gone}).decode(),
        "reasons": provenance_json({field: why for field, why in reasons.items() if field not in gone}),
    }
    tx.execute(update(leads).where(leads.c.id == old).values(**values))


def _decided(tx: Connection, workspace: Workspace, cut: RecordView, old: str, lead: str) -> int:
    at = workspace.now()
    key = resolve.record_key(cut.connection, cut.object, cut.id)
    options = [{"lead": lead, "by": list(key)}, {"lead": old, "by": list(key)}]
    place = {"connection": cut.connection, "object": cut.object, "record": cut.id}
    park(tx, kind="match", options=options, at=at, **place)
    mine = (conflicts.c.kind == "match") & (conflicts.c.connection == cut.connection)
    mine &= (conflicts.c.object == cut.object) & (conflicts.c.record == cut.id)
    decision = orjson.dumps({"at": at, "apart": True}).decode()
    tx.execute(update(conflicts).where(mine).values(state="decided", decision=decision))
    return int(tx.execute(select(conflicts.c.id).where(mine)).scalar_one())
