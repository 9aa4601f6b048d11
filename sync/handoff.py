"""Write down that leads reached sales, with the story of what each saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from connectors.api import Gone, Verb
from sync.core import brief
from sync.core.views import LeadView
from sync.load import activities_of, chunks, lead_rows, lead_view, record_views
from sync.state.database import upsert
from sync.state.schema import handoffs, leads, quarantine
from sync.workspace import Workspace


def record_handoffs(
    tx: Connection,
    workspace: Workspace,
    object: str,
    handed: Sequence[tuple[str, str]],
    at: str,
    *,
    brief_due: bool,
) -> None:
    """`handed` are (lead, record): each lead stands in the CRM as `object/record` from now on.

    With `brief_due` (and where the project wants briefs) the story is to be written beside the record.
    """
    handoff = workspace.project.handoff
    assert handoff is not None
    records = dict(handed)
    ids = sorted(records)
    linked = record_views(tx, workspace, ids)
    state = "due" if brief_due and handoff.brief else "none"
    rows: list[dict[str, Any]] = []
    for row in lead_rows(tx, ids):
        why = orjson.loads(row.qualified_why or "[]")
        lead = lead_view(row, linked.get(row.id, ()))
        seen = activities_of(tx, lead) if lead.values.get("last_activity_at") else []
        rows.append(
            {
                "lead": row.id,
                "connection": handoff.to,
                "object": object,
                "record": records[row.id],
                "score": row.score,
                "reasons": orjson.dumps(why).decode(),
                "brief": brief.write(lead.values, why, seen),
                "brief_state": state,
                "at": at,
            }
        )
    tx.execute(upsert(handoffs, tx, key=["lead", "connection"], update=["object", "record"]), rows)
    for some in chunks(ids):
        tx.execute(update(leads).where(leads.c.id.in_(some)).values(handed_off_at=at, dirty=1))


_FOR_GOOD = {Gone.DELETED, Gone.ERASED}
_WAITING = (
    select(handoffs.c.lead, handoffs.c.connection, handoffs.c.brief_state)
    .where(handoffs.c.brief_state.in_(["due", "withdrawn"]))
    .where(handoffs.c.lead.in_(bindparam("some", expanding=True)))
)
_STATE = (
    update(handoffs)
    .where(handoffs.c.lead == bindparam("of"), handoffs.c.connection == bindparam("there"))
    .values(brief_state=bindparam("is"))
)


def withdraw_briefs(tx: Connection, handed: Sequence[LeadView]) -> None:
    """Of these leads whom sales was handed: a brief about somebody who was deleted there before it was written is
    withdrawn, and due again once they are back. One about somebody who was put away waits."""
    by_lead = {lead.id: lead.records for lead in handed}
    changed = []
    for some in chunks(sorted(by_lead)):
        for row in tx.execute(_WAITING, {"some": some}):
            here = {view.gone for view in by_lead[row.lead] if view.connection == row.connection}
            state = "withdrawn" if _is_over(here) else "due"
            if state != row.brief_state:
                changed.append({"of": row.lead, "there": row.connection, "is": state})
    if changed:
        tx.execute(_STATE, changed)


def _is_over(gone: set[str | None]) -> bool:
    """Whether whoever stood as records that went so is deleted for good; what lives on as another is where that is."""
    return bool(gone & _FOR_GOOD) and gone <= {*_FOR_GOOD, Gone.MERGED, Gone.CONVERTED}


def brief_settled(tx: Connection, written: Any, record_id: str, at: str) -> None:
    """A hand-off brief (an operation, or its row in the journal) was written or put away as `record_id`; that one was
    refused before is over."""
    place = (handoffs.c.lead == written.lead) & (handoffs.c.connection == written.connection)
    state = "archived" if written.verb in (Verb.ARCHIVE, Verb.ERASE) else "written"
    tx.execute(update(handoffs).where(place).values(brief_state=state, brief_record=record_id))
    refused = (quarantine.c.connection == written.connection) & (quarantine.c.object == written.object)
    refused &= (quarantine.c.lead == written.lead) & quarantine.c.state.in_(["open", "replaying"])
    tx.execute(update(quarantine).where(refused).values(state="resolved", last_at=at))
