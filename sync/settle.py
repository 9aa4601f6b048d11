"""Store what became of writes: the new baseline is what the platform returned, not what was sent.

Results come in groups and are stored by whole columns: a statement per table and group, not per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from config.errors import InDoubt, RecordRejected
from connectors.api import Record, Result
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync.absorb import body_bytes, content_hash, stream_for
from sync.core.plan import Planned, fingerprint
from sync.core.resolve import keys
from sync.handoff import record_handoffs
from sync.ledger import Ledger, Written
from sync.load import chunks
from sync.resolve import park
from sync.state.database import upsert
from sync.state.schema import handoffs, identities, journal, leads, quarantine, records
from sync.workspace import Workspace

Pair = tuple[Planned, Result]


class Settled(StrEnum):
    """The state an operation ends in; the names are those of `sync.ledger.Written`."""

    APPLIED = "applied"
    HELD = "held"  # never sent: the platform could not take it now; the next run plans it anew
    QUARANTINED = "quarantined"
    PARKED = "parked"  # in doubt, or it met a record that is somebody else's


_JOURNAL = {
    Settled.APPLIED: "settled",
    Settled.HELD: "withdrawn",
    Settled.QUARANTINED: "quarantined",
    Settled.PARKED: "in_doubt",
}


def settle(tx: Connection, workspace: Workspace, ledger: Ledger, pairs: Sequence[Pair]) -> Written:
    """Store the results of operations of one object; everything about them in the caller's transaction."""
    at = workspace.now()
    outcomes = [_outcome(result) for _, result in pairs]
    _mark(tx, ledger.run, pairs, outcomes, at)
    refused = [pair for pair, outcome in zip(pairs, outcomes, strict=True) if outcome is Settled.QUARANTINED]
    if refused:
        quarantine_rows(tx, [_quarantine_row(ledger.run, op, result.error, at) for op, result in refused])
    done = [pair for pair, outcome in zip(pairs, outcomes, strict=True) if outcome is Settled.APPLIED]
    foreign = _applied(tx, workspace, ledger, done, at) if done else 0
    return Written(
        applied=len(done) - foreign,
        held=outcomes.count(Settled.HELD),
        quarantined=len(refused),
        parked=outcomes.count(Settled.PARKED) + foreign,
    )


def _outcome(result: Result) -> Settled:
    if result.error is None:
        return Settled.APPLIED
    if isinstance(result.error, InDoubt):
        return Settled.PARKED
    return Settled.QUARANTINED if isinstance(result.error, RecordRejected) else Settled.HELD


def _mark(tx: Connection, run: str, pairs: Sequence[Pair], outcomes: Sequence[Settled], at: str) -> None:
    rows = [
        {
            "o": operation.op(run),
            "s": _JOURNAL[outcome],
            "e": str(result.error) if result.error else None,
            "r": result.id or operation.record,
            "t": None if outcome is Settled.PARKED else at,
        }
        for (operation, result), outcome in zip(pairs, outcomes, strict=True)
    ]
    statement = (
        update(journal)
        .where(journal.c.op == bindparam("o"))
        .values(state=bindparam("s"), error=bindparam("e"), record=bindparam("r"), settled_at=bindparam("t"))
    )
    tx.execute(statement, rows)


def _applied(tx: Connection, workspace: Workspace, ledger: Ledger, done: Sequence[Pair], at: str) -> int:
    """Store what was done; how many of them met a record that is another lead's."""
    first = done[0][0]
    mapped = workspace.mapped(first.connection).get(first.object)
    if mapped is None or mapped.kind is not Kind.LEAD:
        for operation, result in done:
            _brief_written(tx, operation, result.id)
        return 0
    baselines = _Baselines(tx, workspace, mapped, first.connection, first.object, at)
    baselines.take(done)
    baselines.store()
    own = [(operation, result) for operation, result in done if operation.key not in baselines.foreign]
    _close_quarantine(tx, [operation for operation, _ in own], at)
    handed = [(operation.lead, result.id) for operation, result in own if operation.handoff]
    if handed:
        record_handoffs(tx, workspace, first.object, handed, at, brief_due=True)
        ledger.handed_off(tx, len(handed))
    return len(baselines.foreign)


@dataclass
class _Baselines:
    """The records of one object as the platform holds them after some writes.

    A value that came back different from what was sent is kept with the value sent (`held`), so that it is neither
    sent again nor taken for a person's edit. `raw_hash` is zeroed: the echo is read once, then hashed.
    """

    tx: Connection
    workspace: Workspace
    mapped: Mapped
    connection: str
    object: str
    at: str
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: list[dict[str, str]] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)

    def take(self, done: Sequence[Pair]) -> None:
        stream = stream_for(self.tx, self.connection, self.object, self.mapped.kind)
        known: dict[str, Any] = {}
        for some in chunks([result.id for _, result in done]):
            query = select(records).where(records.c.stream == stream.id, records.c.id.in_(some))
            known.update({row.id: row for row in self.tx.execute(query)})
        for operation, result in done:
            self._take(stream.id, operation, result, known.get(result.id))

    def _take(self, stream: int, operation: Planned, result: Result, known: Any) -> None:
        if known is not None and known.lead not in (None, operation.lead):
            self.foreign.add(operation.key)
            options = [{"lead": operation.lead}, {"lead": known.lead}]
            place = {"connection": self.connection, "object": self.object, "record": result.id}
            park(self.tx, kind="match", options=options, at=self.at, **place)
            return
        body, changed, held = self._held(operation, result.record, known)
        stored = body_bytes(body)
        returned = result.record.version if result.record else ""
        self.rows[result.id] = {
            "stream": stream,
            "id": result.id,
            "raw_hash": 0,
            "hash": content_hash(stored),
            "body": stored.decode(),
            "changed": orjson.dumps(changed).decode(),
            "held": orjson.dumps(held).decode() if held else None,
            "version": returned or (known.version if known else ""),
            "first_at": known.first_at if known else self.at,
            "lead": operation.lead,
            "gone": None,
            "into": None,
            "dirty": False,
        }
        platform = self.workspace.project.connections[self.connection].platform
        found = keys(platform, result.id, body)
        self.claims.extend({"kind": kind, "value": value, "lead": operation.lead} for kind, value in found)

    def _held(
        self, operation: Planned, returned: Record | None, known: Any
    ) -> tuple[Values, dict[str, str], dict[str, Any]]:
        got = _read(self.mapped, returned)
        body: Values = orjson.loads(known.body) if known else {}
        changed: dict[str, str] = orjson.loads(known.changed) if known and known.changed else {}
        held: dict[str, Any] = orjson.loads(known.held) if known and known.held else {}
        for change in operation.changes:
            name, sent = change.field, change.new
            body[name] = got.get(name, sent)
            changed[name] = change.at or self.at
            held.pop(name, None)
            if body[name] != sent:
                held[name] = [sent, body[name]]
            elif name not in got:
                held[name] = [sent, None]  # not confirmed yet: the first echo shows what the platform made of it
        return body, changed, held

    def store(self) -> None:
        if self.rows:
            rows = list(self.rows.values())
            written = [name for name in rows[0] if name not in ("stream", "id", "first_at")]
            self.tx.execute(upsert(records, self.tx, update=written), rows)
        if self.claims:
            self.tx.execute(upsert(identities, self.tx), self.claims)


def _read(mapped: Mapped, returned: Record | None) -> Values:
    if returned is None:
        return {}
    values, _ = mapped.read(mapped.decode(returned.raw))
    return values


def _quarantine_row(run: str, operation: Planned, error: Any, at: str) -> dict[str, Any]:
    """What was refused, so that just this is not sent again until it changes or a person says so."""
    change = next((c for c in operation.changes if error.field and error.field in (c.remote, c.field)), None)
    refused = change.new if change else dict(operation.values)
    return {
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


_PLACE = ["direction", "connection", "object", "record", "lead", "field"]


def quarantine_rows(tx: Connection, rows: list[dict[str, Any]]) -> None:
    """Put rows into quarantine; one already there is renewed and counts one attempt more."""
    renewed = ["run", "code", "reason", "fix", "fingerprint", "state", "last_at"]
    tx.execute(upsert(quarantine, tx, key=_PLACE, update=renewed, add=["attempts"]), rows)


def _close_quarantine(tx: Connection, done: Sequence[Planned], at: str) -> None:
    """What was refused before went through now: the entries of the fields written are resolved."""
    written = {(op.object, op.record, op.lead): {"", *op.after} for op in done}
    resolved: list[int] = []
    for some in chunks(sorted({op.lead for op in done})):
        query = select(quarantine).where(
            quarantine.c.direction == "push",
            quarantine.c.state.in_(["open", "replaying"]),
            quarantine.c.connection == done[0].connection,
            quarantine.c.lead.in_(some),
        )
        for row in tx.execute(query):
            if row.field in written.get((row.object, row.record, row.lead), ()):
                resolved.append(row.id)
    for some in chunks(resolved):
        tx.execute(update(quarantine).where(quarantine.c.id.in_(some)).values(state="resolved", last_at=at))


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
        record_handoffs(tx, workspace, row.object, [(row.lead, record_id)], at, brief_due=True)
