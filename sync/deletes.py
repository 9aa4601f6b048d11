"""What a record that was deleted or archived on one platform means for the person's records on the others.

A deletion counts on positive evidence only: the platform said that the record is gone, it was not we who put it away,
it does not live on as another, and no other record of the person lives on the same connection. Each connection says in
the project file (`on_delete`) what follows from a deletion there; by itself, nothing does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from connectors.api import Gone
from mappings.model import Field, Rule
from sync.core.plan import Fate
from sync.core.views import RecordView
from sync.load import chunks
from sync.settle import AWAY
from sync.state.schema import journal
from sync.workspace import Workspace

Linked = Mapping[str, Sequence[RecordView]]
"""Lead -> its records."""

CLOSED = "unsubscribed"


def fates(tx: Connection, workspace: Workspace, linked: Linked) -> dict[str, Fate]:
    """What follows for those of these leads that were deleted where it means something for the plan."""
    lost = _lost(tx, linked, _policies(workspace, "unlink", "archive"))
    if not lost:
        return {}
    away = _put_away(tx, list(lost))
    found = {}
    archive = _policies(workspace, "archive")
    for lead, records in lost.items():
        strongest = min(records, key=lambda record: (record.connection not in archive, record.name))
        done = frozenset(connection for connection, _, _ in away[lead])
        why = f"{strongest.name} was {strongest.gone} there"
        found[lead] = Fate("archive" if strongest.connection in archive else "unlink", why, done)
    return found


def opted_out(tx: Connection, workspace: Workspace, linked: Linked) -> Linked:
    """`linked` where the records whose deletion means an opt-out say so, in every consent."""
    lost = _lost(tx, linked, _policies(workspace, "opt_out"))
    if not lost:
        return linked
    consents = [
        known for known in workspace.fields.values() if known.rule is Rule.MOST_RESTRICTIVE and CLOSED in known.options
    ]
    closed = {record.name: _closed(record, consents) for records in lost.values() for record in records}
    return {lead: [closed.get(view.name, view) for view in views] for lead, views in linked.items()}


def _closed(record: RecordView, consents: Sequence[Field]) -> RecordView:
    body = dict(record.body)
    for known in consents:
        rank = known.options.index
        if body.get(known.name) not in known.options or rank(body[known.name]) < rank(CLOSED):
            body[known.name] = CLOSED
    return replace(record, body=body, pulled=record.pulled | {known.name for known in consents})


def _policies(workspace: Workspace, *which: str) -> set[str]:
    return {name for name, settings in workspace.project.connections.items() if settings.on_delete in which}


def _lost(tx: Connection, linked: Linked, connections: set[str]) -> dict[str, list[RecordView]]:
    """The records of each lead that a person deleted on `connections`, and none of whom lives there any more."""
    if not connections:
        return {}
    suspects = {lead: gone for lead, views in linked.items() if (gone := _gone(views, connections))}
    ours = _put_away(tx, list(suspects)) if suspects else {}
    found = {
        lead: [view for view in views if (view.connection, view.object, view.id) not in ours[lead]]
        for lead, views in suspects.items()
    }
    return {lead: views for lead, views in found.items() if views}


def _gone(views: Sequence[RecordView], connections: set[str]) -> list[RecordView]:
    living = {view.connection for view in views if not view.gone}
    gone = (Gone.DELETED.value, Gone.ARCHIVED.value)
    return [
        view for view in views if view.gone in gone and view.connection in connections and view.connection not in living
    ]


def _put_away(tx: Connection, leads: Sequence[str]) -> Mapping[str, set[tuple[str, str, str]]]:
    """The records (connection, object, id) of each lead that we put away ourselves, or may have."""
    found: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    verbs = [verb.value for verb in AWAY]
    for some in chunks(leads):
        mine: Any = journal.c.lead.in_(some) & journal.c.verb.in_(verbs)
        mine &= journal.c.state.not_in(["withdrawn", "quarantined"])
        query = select(journal.c.lead, journal.c.connection, journal.c.object, journal.c.record).where(mine)
        for lead, connection, object, record in tx.execute(query):
            found[lead].add((connection, object, record))
    return found
