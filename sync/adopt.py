"""Writes in doubt that turned out to have happened: their answer was lost, so what they made is taken as it is found.

Its values count from when they were meant to, its record is its lead's, and whatever somebody said since stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from connectors.api import Verb
from mappings.model import Kind, Values
from sync import copies, pins
from sync.conversions import told
from sync.core.echo import came_of, later
from sync.doubt import bears_name, but_met_by, let_go, meant_undone
from sync.entries import entry, quarantine_rows
from sync.handoff import brief_settled, record_handoffs
from sync.heirs import redate
from sync.settle import AWAY, HELD, put_away, taken_back
from sync.state.schema import journal, leads, records
from sync.streams import StreamRow, stream_for
from sync.timekeeping import theirs
from sync.workspace import Workspace

_DONE = (
    update(journal)
    .where(journal.c.id == bindparam("row"))
    .values(state="settled", record=bindparam("as"), error=None, settled_at=bindparam("at"))
)
_TIE = (
    update(records)
    .where(records.c.stream == bindparam("of"), records.c.id == bindparam("named"), records.c.lead.is_(None))
    .values(lead=bindparam("whose"))
)
_TOUCHED = update(leads).where(leads.c.id == bindparam("who")).values(dirty=1)


def adopt(tx: Connection, workspace: Workspace, row: Any, record_id: str, at: str) -> None:
    """A write in doubt turned out to have happened: settle its journal row and tie its record to its lead."""
    tx.execute(_DONE, {"row": row.id, "as": record_id, "at": at})
    mapped = workspace.mapped(row.connection).get(row.object)
    if mapped is not None and mapped.kind is Kind.CONVERSION:
        told(tx, row.connection, row.object, [event_of(row)], "sent")
        return
    if mapped is None or mapped.kind not in HELD:
        brief_settled(tx, row, record_id, at)
        return
    stream = stream_for(tx, row.connection, row.object, mapped.kind)
    if row.verb in AWAY:
        put_away(tx, stream.id, [record_id], AWAY[Verb(row.verb)])
        return
    body = date(tx, workspace, stream, row, record_id)
    if body is not None:
        pins.drop(tx, stream.id, [(record_id, name) for name in orjson.loads(row.after)])
        pins.keep(tx, stream.id, record_id, row.run, taken_back(orjson.loads(row.undoes or "{}"), body))
    if mapped.kind is Kind.DEAL:
        if row.verb == Verb.CREATE:
            copied = ((row.connection, row.object, record_id), str(orjson.loads(row.after).get("home") or ""))
            copies.settled(tx, stream.id, [copied], at)
        tx.execute(update(leads).where(leads.c.id == row.lead, leads.c.state == "live").values(dirty=1))
        return
    tie(tx, stream, row, record_id)
    handoff = workspace.project.handoff
    if row.verb == "create" and handoff and (handoff.to, handoff.object) == (row.connection, row.object):
        record_handoffs(tx, workspace, row.object, [(row.lead, record_id)], at, brief_due=True)


def tie(tx: Connection, stream: StreamRow, row: Any, record_id: str) -> None:
    """The record that a create made is its lead's."""
    tx.execute(_TIE, {"of": stream.id, "named": record_id, "whose": row.lead})
    tx.execute(_TOUCHED, {"who": row.lead})


def event_of(row: Any) -> str:
    """The event id of a conversion's row in the journal."""
    return str(orjson.loads(row.remote)["match"]["event_id"])


def uncounted(tx: Connection, row: Any, at: str) -> None:
    """A conversion may or may not have been told, and its platform cannot tell a repeat: a person decides."""
    what = "The answer was lost, and this platform would count a repeat twice."
    tx.execute(update(journal).where(journal.c.id == row.id).values(state="quarantined", error=what, settled_at=at))
    place = (row.connection, row.object, event_of(row), row.lead or "", "")
    fix = "Look whether it was counted; `quarantine replay` sends it again."
    quarantine_rows(tx, [entry(row.run, at, place, code="in_doubt", reason=what, fix=fix)])
    told(tx, row.connection, row.object, [event_of(row)], "unsure")


_IT = (records.c.stream == bindparam("s")) & (records.c.id == bindparam("r"))
_HELD = select(records.c.body, records.c.changed, records.c.held, records.c.first_at).where(_IT)
_STIR = update(leads).where(leads.c.id == bindparam("who"), leads.c.state == "live").values(dirty=1)
_DATE = update(records).where(_IT).values(changed=bindparam("c"), held=bindparam("h"))


def date(tx: Connection, workspace: Workspace, stream: StreamRow, row: Any, record_id: str) -> Values | None:
    """The values of a write that are found done count from when they were meant to, not from when they were found:
    read back, they looked like a person's edit of just now. What the platform made of one is kept with what was sent,
    as from an answer. A value that is neither what was written nor what stood before replaced it, as far as anybody can
    tell. Returns what the record holds; None when it is not known."""
    place = {"s": stream.id, "r": record_id}
    known = tx.execute(_HELD, place).one_or_none()
    if known is None:
        return None
    whole: Values = orjson.loads(known.body)
    changed: dict[str, str] = orjson.loads(known.changed) if known.changed else {}
    held: dict[str, Any] = orjson.loads(known.held) if known.held else {}
    mapped = workspace.mapped(row.connection)[row.object]
    body = but_met_by(mapped, whole, changed) if row.verb == Verb.CREATE else whole
    after: Values = orjson.loads(row.after)
    silent = mapped.silent_since(theirs(workspace, row.connection, row.created_at))
    replaced = _replaced(row, after, body, held) - {name for name in silent if body.get(name) in (None, [])}
    undone = meant_undone(tx, row.lead, body) if row.verb == Verb.CREATE else {}
    let_go(tx, row, body, changed)
    before = dict(changed)
    for name, (_, at) in orjson.loads(row.times or "{}").items():
        sent, holds = after.get(name), body.get(name)
        if not came_of(sent, holds):
            if name in undone:  # an earlier create made the record
                changed[name] = min(changed.get(name, known.first_at), undone[name])
            elif at and name in replaced:
                changed[name] = later(changed.get(name, known.first_at), at)
            continue
        changed.pop(name, None)
        changed.update({name: at} if at else {})
        held.pop(name, None)
        held.update({name: [sent, holds]} if holds != sent else {})
    kept = orjson.dumps(held).decode() if held else None
    tx.execute(_DATE, {**place, "c": orjson.dumps(changed).decode(), "h": kept})
    redate(tx, row.connection, f"{stream.object}/{record_id}", row.lead, before, changed)
    tx.execute(_STIR, {"who": row.lead})
    return whole


def _replaced(row: Any, after: Values, body: Values, held: Mapping[str, Any]) -> set[str]:
    """The fields of a record in which somebody replaced what the write gave it. Was it an update whose fate is not
    known, they did so or were unheard of when it was planned: either way what they said is the newer; what the platform
    has made of a value that we had given it before is nobody's. What stands where a create was to come may be somebody
    else's record, unless it bears the lead's name, which nobody else gives."""
    before: Values = orjson.loads(row.before)
    made = {name for name, (sent, holds) in held.items() if (sent, holds) == (before.get(name), body.get(name))}
    blank = {name for name in after if body.get(name) in (None, [])}
    given = {name for name in after if name not in blank and body[name] != before.get(name)} - made
    if row.verb == Verb.UPDATE:  # a blank, too, where it was to replace a value: somebody took one out, done or not
        return given | {name for name in blank & body.keys() if before.get(name) not in (None, [])} - made
    return given if bears_name(row, body) else set()
