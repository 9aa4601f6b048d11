"""Store what became of writes: the new baseline is what the platform returned, not what was sent.

Results come in groups and are stored by whole columns: a statement per table and group, not per row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from config.errors import InDoubt, RecordRejected
from connectors.api import Gone, Record, Result, Verb
from mappings.compiler import Mapped
from mappings.model import Kind, Rule, Values
from sync import copies, pins
from sync.agreed import Agreed
from sync.baseline import body_bytes, content_hash, counts_from
from sync.conversions import told
from sync.core.addresses import MAIN
from sync.core.echo import later, stood_since
from sync.core.plan import Planned, fingerprint
from sync.entries import entry, quarantine_rows
from sync.handoff import brief_settled, record_handoffs
from sync.ledger import Ledger, Written
from sync.load import chunks
from sync.parked import park
from sync.state.database import upsert
from sync.state.schema import identities, journal, quarantine, records
from sync.streams import StreamRow, stream_for
from sync.timekeeping import theirs
from sync.workspace import Workspace

Pair = tuple[Planned, Result]

HELD = (Kind.LEAD, Kind.DEAL)
"""Kinds of records that are written and read back: what they hold is known."""

AWAY = {Verb.ARCHIVE: Gone.ARCHIVED, Verb.ERASE: Gone.ERASED}
"""Verbs after which the record is no longer there, and how it is gone then."""


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
        _tell(tx, workspace, [op for op, _ in refused], "refused")
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


_MARK = (
    update(journal)
    .where(journal.c.op == bindparam("o"))
    .values(
        state=bindparam("s"),
        error=bindparam("e"),
        record=bindparam("r"),
        settled_at=bindparam("t"),
        created=bindparam("c"),
        sent_at=bindparam("u"),
    )
)


def _mark(tx: Connection, run: str, pairs: Sequence[Pair], outcomes: Sequence[Settled], at: str) -> None:
    rows = [
        {
            "o": operation.op(run),
            "s": _JOURNAL[outcome],
            "e": str(result.error) if result.error else None,
            "r": result.id or operation.record,
            "t": None if outcome is Settled.PARKED else at,
            "u": at if outcome is Settled.PARKED else None,
            "c": result.created if outcome is Settled.APPLIED and operation.verb == Verb.CREATE else None,
        }
        for (operation, result), outcome in zip(pairs, outcomes, strict=True)
    ]
    tx.execute(_MARK, rows)


def _applied(tx: Connection, workspace: Workspace, ledger: Ledger, done: Sequence[Pair], at: str) -> int:
    """Store what was done; how many of them met a record that is another lead's."""
    first = done[0][0]
    mapped = workspace.mapped(first.connection).get(first.object)
    if mapped is not None and mapped.kind is Kind.CONVERSION:
        _tell(tx, workspace, [operation for operation, _ in done], "sent")
        return 0
    if mapped is None or mapped.kind not in HELD:
        for operation, result in done:
            brief_settled(tx, operation, result.id, at)
        return 0
    stream = stream_for(tx, first.connection, first.object, mapped.kind)
    for verb, gone in AWAY.items():
        put_away(tx, stream.id, [operation.record for operation, _ in done if operation.verb == verb], gone)
    done = [(operation, result) for operation, result in done if operation.verb not in AWAY]
    baselines = _Baselines(tx, workspace, mapped, first.connection, first.object, at, stream)
    baselines.take(done)
    baselines.store()
    baselines.pin(ledger.run)
    if mapped.kind is Kind.DEAL:
        made = [(op, result.id) for op, result in done if op.verb == Verb.CREATE]
        copied = [((op.connection, op.object, id), op.about) for op, id in made]
        copies.settled(tx, stream.id, copied, at)
    own = [(operation, result) for operation, result in done if operation.key not in baselines.foreign]
    if not own:
        return len(baselines.foreign)
    _close_quarantine(tx, [operation for operation, _ in own], at)
    handed = [(operation.lead, result.id) for operation, result in own if operation.handoff]
    if handed:
        record_handoffs(tx, workspace, first.object, handed, at, brief_due=True)
        ledger.handed_off(tx, len(handed))
    return len(baselines.foreign)


def _tell(tx: Connection, workspace: Workspace, operations: Sequence[Planned], state: str) -> None:
    """Note the state of the conversions among `operations`, all of one object."""
    for operation in operations[:1]:
        mapped = workspace.mapped(operation.connection).get(operation.object)
        if mapped is not None and mapped.kind is Kind.CONVERSION:
            ids = [str(one.match["event_id"]) for one in operations]
            told(tx, operation.connection, operation.object, ids, state)


_THESE = select(records).where(records.c.stream == bindparam("of"), records.c.id.in_(bindparam("some", expanding=True)))
_OLD = records.delete().where(records.c.stream == bindparam("s"), records.c.id == bindparam("i"))
_OLD_KEY = identities.delete().where(
    identities.c.kind == bindparam("k"), identities.c.value == bindparam("v"), identities.c.lead == bindparam("whose")
)


@dataclass
class _Baselines:
    """The records of one object as the platform holds them after some writes.

    A value that came back different from what was sent is kept with the value sent (`held`), so that it is neither
    sent again nor taken for a person's edit. `raw_hash` is zeroed: the echo is read once, then hashed. A person's
    record that has another id after the write, where an address is all that one is known by, is known by that one only:
    whoever comes by the old address comes by the old id.
    """

    tx: Connection
    workspace: Workspace
    mapped: Mapped
    connection: str
    object: str
    at: str
    stream: StreamRow
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: list[dict[str, str]] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    wrote: list[tuple[str, Planned, Values]] = field(default_factory=list)
    moved: list[tuple[str, str, str | None]] = field(default_factory=list)

    @cached_property
    def _there(self) -> str:
        return theirs(self.workspace, self.connection, self.at)

    def take(self, done: Sequence[Pair]) -> None:
        stream = self.stream
        known: dict[str, Any] = {}
        ids = {result.id for _, result in done} | {operation.record for operation, _ in done if operation.record}
        for some in chunks(sorted(ids)):
            known.update({row.id: row for row in self.tx.execute(_THESE, {"of": stream.id, "some": some})})
        for operation, result in done:
            before = known.get(operation.record)
            self._take(stream.id, operation, result, known.get(result.id, before))
            if before is not None and result.id != operation.record and self._is_readdressed(operation, result):
                self.moved.append((operation.record, result.id, before.lead))
                del known[operation.record]  # the next one's, perhaps

    def _is_readdressed(self, operation: Planned, result: Result) -> bool:
        """Whether a person's record has another id because it was given another address. Where a platform merges
        records it may be the one that they were merged into, of which a pull tells."""
        if self.mapped.kind is not Kind.LEAD or MAIN not in operation.after or result.id not in self.rows:
            return False
        return not self.workspace.manifest(self.connection).objects[operation.object].merges

    def _take(self, stream: int, operation: Planned, result: Result, known: Any) -> None:
        of_person = self.mapped.kind is Kind.LEAD
        if of_person and known is not None and known.lead not in (None, operation.lead):
            self.foreign.add(operation.key)
            self._met(operation, result.id, known)
            return
        body, changed, held = self._held(operation, result.record, known)
        news = self._overheard(operation, result, known, body, held, changed)
        changed.update(news)
        self.wrote.append((result.id, operation, body))
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
            "first_at": known.first_at if known else counts_from(returned, self.at, self._there),
            "lead": operation.lead if of_person else None,
            "gone": None,
            "into": None,
            "dirty": bool(news)
            or (
                of_person and any(self._is_to_be_heard(change.field, change.new, body) for change in operation.changes)
            ),
        }
        if not of_person:
            return
        found = self.workspace.keys(self.connection, result.id, body)
        self.claims.extend({"kind": kind, "value": value, "lead": operation.lead} for kind, value in found)

    def _met(self, operation: Planned, record: str, known: Any) -> None:
        """A create met the record of another lead: by which key, and how that was known then (`sync.clashes`)."""
        after = operation.after
        wanted = {name: after.get(name) for name in self.mapped.match}
        keys = [key for key in self.workspace.keys(self.connection, "", wanted) if key[1]]
        met = [{"lead": operation.lead, "by": list(key), "met": str(known.hash)} for key in keys]
        options = [*(met or [{"lead": operation.lead}]), {"lead": known.lead}]
        place = {"connection": self.connection, "object": self.object, "record": record}
        park(self.tx, kind="match", options=options, at=self.at, **place)

    def _is_to_be_heard(self, name: str, sent: Any, body: Values) -> bool:
        """Whether the lead is to be decided and planned anew for what became of this value."""
        return self._went_further(name, sent, body) or self._is_open_still(name, sent, body[name])

    def _went_further(self, name: str, sent: Any, body: Values) -> bool:
        """Whether a record that was there already says no where we said yes, or is at a later stage: that is no
        rewriting of ours but a person's word, and the lead is to hear it."""
        known = self.workspace.fields.get(name)
        if known is None or known.rule not in (Rule.MOST_RESTRICTIVE, Rule.FURTHEST):
            return False
        rank = {option: number for number, option in enumerate(known.options)}
        return rank.get(body[name], -1) > rank.get(sent, -1)

    def _is_open_still(self, name: str, sent: Any, holds: Any) -> bool:
        """Whether an opt-out was answered by a consent: the record was there already, and a create does not change that
        there. It is no rewriting: the opt-out is written again, as an update."""
        known = self.workspace.fields.get(name)
        if known is None or known.rule is not Rule.MOST_RESTRICTIVE or sent not in known.options:
            return False
        return holds in known.options and known.options.index(holds) < known.options.index(sent)

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
            if change.at or not operation.undoes:
                changed[name] = change.at or self.at
            else:
                changed.pop(name, None)  # what an undo brings back counts from the first absorb, as it did
            held.pop(name, None)
            if body[name] != sent and not self._is_open_still(name, sent, body[name]):
                held[name] = [sent, body[name]]
            elif name not in got:
                held[name] = [sent, None]  # not confirmed yet: the first echo shows what the platform made of it
        return body, changed, held

    def _overheard(
        self,
        operation: Planned,
        result: Result,
        known: Any,
        body: Values,
        held: Mapping[str, Any],
        changed: Mapping[str, str],
    ) -> dict[str, str]:
        """What the answer tells of other fields than those written, taken into `body`: somebody gave them values that
        no pull has brought yet: of a record that is known, that a create met there, or in which the platform itself
        filled more than a create gave it. Which, and since when: after what they replaced, as when a pull brings it.
        """
        returned = result.record
        if returned is None or not returned.version or (known is not None and known.version > returned.version):
            return {}
        ours = {*operation.after, *held}
        told = {n: v for n, v in _read(self.mapped, returned).items() if v is not None and n in self.mapped.pulled}
        news = {n: v for n, v in told.items() if n not in ours and body.get(n) != v}
        # a consent that was taken back is left to a pull, which looks first whether it may be believed
        news = {n: v for n, v in news.items() if not self._is_open_still(n, body.get(n), v)}
        lead, first_at = (known.lead, known.first_at) if known is not None else (None, "")
        agreed = Agreed(self.tx, [lead] if news and lead else []).of(lead, body, news)
        replaced = {name: stood_since(name, body, changed, agreed, first_at) for name in news}
        body.update(news)
        since = counts_from(returned.version, self.at, self._there)
        return {name: later(since, at) for name, at in replaced.items()}

    def store(self) -> None:
        for old, new, lead in self.moved:
            self._forget(old, new, lead)
        if self.rows:
            rows = list(self.rows.values())
            written = [name for name in rows[0] if name not in ("stream", "id", "first_at")]
            self.tx.execute(upsert(records, self.tx, update=written), rows)
        if self.claims:
            self.tx.execute(upsert(identities, self.tx), self.claims)

    def _forget(self, old: str, new: str, lead: str | None) -> None:
        self.tx.execute(_OLD, {"s": self.stream.id, "i": old})
        for kind, value in self.workspace.keys(self.connection, old, {}):
            self.tx.execute(_OLD_KEY, {"k": kind, "v": value, "whose": lead})
        pins.move(self.tx, self.stream.id, old, new)

    def pin(self, run: str) -> None:
        """Remember what an undo took back; forget the pins of whatever else was written."""
        fields = [(record, change.field) for record, operation, _ in self.wrote for change in operation.changes]
        pins.drop(self.tx, self.stream.id, fields)
        for record, operation, body in self.wrote:
            pins.keep(self.tx, self.stream.id, record, run, taken_back(operation.undoes, body))


def taken_back(undoes: Mapping[str, str], body: Values) -> dict[str, tuple[str, str]]:
    """What an undo took back, as a pin keeps it: the wish, and what the record holds instead."""
    return {name: (wish, fingerprint(body.get(name))) for name, wish in undoes.items()}


def put_away(tx: Connection, stream: int, ids: Sequence[str], gone: Gone) -> None:
    """Records that we archived or erased: known as gone from now on, and their leads are decided anew."""
    for some in chunks(list(ids)):
        mine = (records.c.stream == stream) & records.c.id.in_(some) & records.c.gone.is_(None)
        tx.execute(update(records).where(mine).values(gone=gone.value, raw_hash=0, dirty=True))


def _read(mapped: Mapped, returned: Record | None) -> Values:
    if returned is None:
        return {}
    values, _ = mapped.read(mapped.decode(returned.raw))
    return values


def _quarantine_row(run: str, operation: Planned, error: Any, at: str) -> dict[str, Any]:
    """What was refused, so that just this is not sent again until it changes or a person says so."""
    change = next((c for c in operation.changes if error.field and error.field in (c.remote, c.field)), None)
    refused = change.new if change else dict(operation.values)
    place = (operation.connection, operation.object, about(operation), operation.lead, change.field if change else "")
    told = {"code": error.code or "rejected", "reason": error.what, "fix": error.fix}
    return entry(run, at, place, **told, fingerprint=fingerprint(refused))


def about(operation: Planned) -> str:
    """The record that quarantine speaks of: its id, an outcome's event id, or the home of a copy that is not there yet;
    "" for a person who is to be made."""
    return operation.record or str(operation.match.get("event_id", operation.about))


_COMPLAINTS = select(quarantine).where(
    quarantine.c.direction == "push",
    quarantine.c.state.in_(["open", "replaying"]),
    quarantine.c.connection == bindparam("of"),
)
_OF_LEADS = _COMPLAINTS.where(quarantine.c.lead.in_(bindparam("some", expanding=True)))
_OF_RECORDS = _COMPLAINTS.where(quarantine.c.record.in_(bindparam("some", expanding=True)))
_RESOLVED = (
    update(quarantine)
    .where(quarantine.c.id.in_(bindparam("some", expanding=True)))
    .values(state="resolved", last_at=bindparam("at"))
)


def _close_quarantine(tx: Connection, done: Sequence[Planned], at: str) -> None:
    """What was refused before went through now: the entries of the fields written are resolved, on whoever's account
    they are. So are those of records that were to be made, of leads that have one there by now: what of it is refused
    still is told of that record."""
    written: dict[tuple[str, str], set[str]] = defaultdict(set)
    for op in done:
        written[(op.object, about(op))].update(("", *op.after))
    here = {(op.object, op.lead) for op in done}
    found: list[Any] = []
    for query, wanted in ((_OF_LEADS, {op.lead for op in done}), (_OF_RECORDS, {about(op) for op in done} - {""})):
        for some in chunks(sorted(wanted)):
            found.extend(tx.execute(query, {"of": done[0].connection, "some": some}))
    resolved = {row.id for row in found if _is_over(row, written, here)}
    for some in chunks(sorted(resolved)):
        tx.execute(_RESOLVED, {"some": some, "at": at})


def _is_over(row: Any, written: Mapping[tuple[str, str], set[str]], here: set[tuple[str, str]]) -> bool:
    if not row.record:
        return (row.object, row.lead) in here
    return row.field in written.get((row.object, row.record), ())
