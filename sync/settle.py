"""Store what became of a write: the new baseline is what the platform returned, not what was sent."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, assert_never

import orjson
from sqlalchemy import Connection, select, update

from config.errors import InDoubt, RecordRejected
from connectors.api import Record, Result
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync.absorb import body_text, content_hash, stream_for
from sync.core.plan import Planned, fingerprint
from sync.core.resolve import Key, keys
from sync.decide import record_handoff
from sync.ledger import Ledger
from sync.load import lead_rows, lead_view, record_views
from sync.resolve import park
from sync.state.database import upsert
from sync.state.schema import handoffs, identities, journal, leads, quarantine, records
from sync.workspace import Workspace


class Settled(StrEnum):
    """The state an operation ends in; the names are those of `sync.ledger.Written`."""

    APPLIED = "applied"
    HELD = "held"  # never sent: the platform could not take it now; the next run plans it anew
    QUARANTINED = "quarantined"
    PARKED = "parked"  # in doubt, or it met a record that is somebody else's


def settle(tx: Connection, workspace: Workspace, ledger: Ledger, operation: Planned, result: Result) -> Settled:
    """Store `result` of `operation`; everything about it in the caller's transaction."""
    at, run = workspace.now(), ledger.run
    outcome = _outcome(result)
    match outcome:
        case Settled.APPLIED:
            _mark(tx, operation.op(run), "settled", at, record=result.id)
            return _applied(tx, workspace, ledger, operation, result, at)
        case Settled.PARKED:
            _mark(tx, operation.op(run), "in_doubt", at, error=str(result.error))
        case Settled.QUARANTINED:
            _mark(tx, operation.op(run), "quarantined", at, error=str(result.error))
            _quarantine(tx, run, operation, result.error, at)
        case Settled.HELD:
            _mark(tx, operation.op(run), "withdrawn", at, error=str(result.error))
        case _:  # pragma: no cover
            assert_never(outcome)
    return outcome


def _outcome(result: Result) -> Settled:
    if result.error is None:
        return Settled.APPLIED
    if isinstance(result.error, InDoubt):
        return Settled.PARKED
    return Settled.QUARANTINED if isinstance(result.error, RecordRejected) else Settled.HELD


def _mark(tx: Connection, op: str, state: str, at: str, *, record: str = "", error: str = "") -> None:
    values: dict[str, Any] = {"state": state, "error": error or None}
    if state != "in_doubt":
        values["settled_at"] = at
    if record:
        values["record"] = record
    tx.execute(update(journal).where(journal.c.op == op).values(**values))


def _applied(
    tx: Connection, workspace: Workspace, ledger: Ledger, operation: Planned, result: Result, at: str
) -> Settled:
    mapped = workspace.mapped(operation.connection).get(operation.object)
    if mapped is None or mapped.kind is not Kind.LEAD:
        _brief_written(tx, operation, result.id)
        return Settled.APPLIED
    since = {change.field: change.at for change in operation.changes if change.at}
    owner = store_baseline(tx, workspace, operation, mapped, result.id, result.record, since, at)
    _close_quarantine(tx, operation, at)
    if owner != operation.lead:
        return Settled.PARKED
    if operation.handoff:
        [row] = lead_rows(tx, [operation.lead])
        lead = lead_view(row, record_views(tx, workspace, [operation.lead])[operation.lead])
        record_handoff(tx, workspace, lead, operation.object, result.id, at, brief_due=True)
        ledger.handed_off(tx, 1)
    return Settled.APPLIED


def store_baseline(
    tx: Connection,
    workspace: Workspace,
    operation: Planned,
    mapped: Mapped,
    record_id: str,
    returned: Record | None,
    since: dict[str, str],
    at: str,
) -> str:
    """Make what the platform holds now the record's baseline; the lead the record belongs to.

    A value that came back different from what was sent is kept with the value sent (`held`), so that it is neither
    sent again nor taken for a person's edit. `raw_hash` is zeroed: the echo is read once, then hashed.
    """
    stream = stream_for(tx, operation.connection, operation.object, mapped.kind)
    here = select(records).where(records.c.stream == stream.id, records.c.id == record_id)
    known = tx.execute(here).one_or_none()
    if known is not None and known.lead not in (None, operation.lead):
        options = [{"lead": operation.lead}, {"lead": known.lead}]
        place = {"connection": operation.connection, "object": operation.object, "record": record_id}
        park(tx, kind="match", options=options, at=at, **place)
        return str(known.lead)
    got = _read(mapped, returned)
    body: Values = orjson.loads(known.body) if known else {}
    changed: dict[str, str] = orjson.loads(known.changed) if known and known.changed else {}
    held: dict[str, Any] = orjson.loads(known.held) if known and known.held else {}
    for name, sent in operation.after.items():
        body[name] = got.get(name, sent)
        changed[name] = since.get(name, at)
        held.pop(name, None)
        if body[name] != sent:
            held[name] = [sent, body[name]]
        elif name not in got:
            held[name] = [sent, None]  # not confirmed yet: the first echo shows what the platform made of it
    text = body_text(body)
    row = {
        "stream": stream.id,
        "id": record_id,
        "raw_hash": 0,
        "hash": content_hash(text),
        "body": text,
        "changed": orjson.dumps(changed).decode(),
        "held": orjson.dumps(held).decode() if held else None,
        "version": (returned.version if returned else "") or (known.version if known else ""),
        "first_at": known.first_at if known else at,
        "lead": operation.lead,
        "dirty": False,
    }
    written = [name for name in row if name not in ("stream", "id", "first_at")]
    tx.execute(upsert(records, tx, update=written), [row])
    _claim_keys(tx, workspace, operation, record_id, body)
    return operation.lead


def _read(mapped: Mapped, returned: Record | None) -> Values:
    if returned is None:
        return {}
    values, _ = mapped.read(mapped.decode(returned.raw))
    return values


def _claim_keys(tx: Connection, workspace: Workspace, operation: Planned, record_id: str, body: Values) -> None:
    platform = workspace.project.connections[operation.connection].platform
    found: tuple[Key, ...] = keys(platform, record_id, body)
    rows = [{"kind": kind, "value": value, "lead": operation.lead} for kind, value in found]
    if rows:
        tx.execute(upsert(identities, tx, update=[]), rows)


def _quarantine(tx: Connection, run: str, operation: Planned, error: Any, at: str) -> None:
    """Remember what was refused, so that just this is not sent again until it changes or a person says so."""
    change = next((c for c in operation.changes if error.field and error.field in (c.remote, c.field)), None)
    refused = change.new if change else dict(operation.values)
    row = {
        "run": run,
        "direction": "push",
        "connection": operation.connection,
        "object": operation.object,
        "record": operation.record,
        "lead": operation.lead,
        "field": change.field if change else "",
        "code": error.code or "rejected",
        "reason": error.what,
        "fix": error.fix,
        "fingerprint": fingerprint(refused),
        "state": "open",
        "attempts": 1,
        "first_at": at,
        "last_at": at,
    }
    quarantine_rows(tx, [row])


_PLACE = ["direction", "connection", "object", "record", "lead", "field"]


def quarantine_rows(tx: Connection, rows: list[dict[str, Any]]) -> None:
    """Put rows into quarantine; one already there is renewed and counts one attempt more."""
    renewed = ["run", "code", "reason", "fix", "fingerprint", "state", "last_at"]
    tx.execute(upsert(quarantine, tx, key=_PLACE, update=renewed, add=["attempts"]), rows)


def _close_quarantine(tx: Connection, operation: Planned, at: str) -> None:
    """What was refused before went through now: its entries for the fields written are resolved."""
    mine = (
        (quarantine.c.direction == "push")
        & (quarantine.c.connection == operation.connection)
        & (quarantine.c.object == operation.object)
        & (quarantine.c.lead == operation.lead)
        & (quarantine.c.record == operation.record)
        & quarantine.c.state.in_(["open", "replaying"])
    )
    written = ["", *operation.after]
    tx.execute(update(quarantine).where(mine, quarantine.c.field.in_(written)).values(state="resolved", last_at=at))


def _brief_written(tx: Connection, operation: Planned, record_id: str) -> None:
    place = (handoffs.c.lead == operation.lead) & (handoffs.c.connection == operation.connection)
    tx.execute(update(handoffs).where(place).values(brief_state="written", brief_record=record_id))


def adopt(tx: Connection, workspace: Workspace, row: Any, record_id: str, at: str) -> None:
    """A write in doubt turned out to have happened: settle its journal row and tie its record to its lead."""
    mine = update(journal).where(journal.c.id == row.id)
    tx.execute(mine.values(state="settled", record=record_id, error=None, settled_at=at))
    mapped = workspace.mapped(row.connection).get(row.object)
    if mapped is None or mapped.kind is not Kind.LEAD:
        place = (handoffs.c.lead == row.lead) & (handoffs.c.connection == row.connection)
        tx.execute(update(handoffs).where(place).values(brief_state="written", brief_record=record_id))
        return
    stream = stream_for(tx, row.connection, row.object, mapped.kind)
    tx.execute(
        update(records)
        .where(records.c.stream == stream.id, records.c.id == record_id, records.c.lead.is_(None))
        .values(lead=row.lead)
    )
    tx.execute(update(leads).where(leads.c.id == row.lead).values(dirty=1))
    handoff = workspace.project.handoff
    if row.verb == "create" and handoff and (handoff.to, handoff.object) == (row.connection, row.object):
        [lead_row] = lead_rows(tx, [row.lead])
        lead = lead_view(lead_row, record_views(tx, workspace, [row.lead])[row.lead])
        record_handoff(tx, workspace, lead, row.object, record_id, at, brief_due=True)
