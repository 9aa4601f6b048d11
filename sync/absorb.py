"""Take pages of raw records into the state: what is new, what changed, which fields, since when.

A record whose bytes are the same costs a hash and a comparison. Otherwise its mapping reads it and its values are
compared with the baseline, field by field. Everything of a group of pages, the cursor included, is written in the
caller's transaction: the cursor never stands for records that are not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import xxhash
from sqlalchemy import Connection, bindparam, delete, select, update

from connectors.api import Page, Record
from mappings.compiler import Mapped, ValueProblem
from mappings.model import Kind, Values
from sync.state.database import upsert
from sync.state.schema import activities, deal_people, leads, quarantine, records, streams

LARGEST = 1_000_000
"""Bytes. A record beyond it is quarantined unread."""

_OFFSET = 1 << 63


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One object of one connection, as stored."""

    id: int
    connection: str
    object: str
    kind: Kind
    cursor: str | None
    complete: bool
    mapping: str


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What became of pulled records: each is in exactly one of the counts after `pulled`."""

    pulled: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    filtered: int = 0
    quarantined: int = 0

    def __add__(self, other: Absorbed) -> Absorbed:
        return Absorbed(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def stream_for(tx: Connection, connection: str, object: str, kind: Kind | str) -> StreamRow:
    """The stream of this object, made when it is new."""
    query = select(streams).where(streams.c.connection == connection, streams.c.object == object)
    row = tx.execute(query).one_or_none()
    if row is None:
        new = {"connection": connection, "object": object, "kind": Kind(kind).value}
        tx.execute(upsert(streams, tx, key=["connection", "object"]), [new])
        row = tx.execute(query).one()
    return StreamRow(row.id, row.connection, row.object, Kind(row.kind), row.cursor, bool(row.complete), row.mapping)


def save_cursor(tx: Connection, stream: StreamRow, page: Page, at: str) -> None:
    """Store where pulling goes on after `page`."""
    values: dict[str, Any] = {"cursor": page.cursor, "pulled_at": at}
    if not page.more:
        values["complete"] = True
    tx.execute(update(streams).where(streams.c.id == stream.id).values(**values))


def absorb_pages(
    tx: Connection, stream: StreamRow, pages: Sequence[Page], mapped: Mapped, *, run: str, at: str
) -> Absorbed:
    """Absorb some pages of `stream` and store the cursor of the last."""
    counts = absorb_records(tx, stream, [r for page in pages for r in page.records], mapped, run=run, at=at)
    save_cursor(tx, stream, pages[-1], at)
    return counts


def absorb_records(
    tx: Connection, stream: StreamRow, arrived: Sequence[Record], mapped: Mapped, *, run: str, at: str
) -> Absorbed:
    """Absorb records without moving any cursor. Of one id that comes twice the last counts; the other is unchanged."""
    if not arrived:
        return Absorbed()
    if stream.kind is Kind.ACTIVITY:
        return _absorb_activities(tx, stream, arrived, mapped, run, at)
    by_id = {record.id: record for record in arrived}
    group = _Group(tx, stream, mapped, run, at)
    group.take(by_id)
    group.store()
    return group.counts(len(arrived))


def content_hash(text: str) -> int:
    """The signed 64-bit hash of a body."""
    return xxhash.xxh3_64_intdigest(text.encode()) - _OFFSET


def body_text(values: Values) -> str:
    """The values as stored; equal values give equal text."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


class _Group:
    """The records of one transaction, on their way from bytes to rows."""

    def __init__(self, tx: Connection, stream: StreamRow, mapped: Mapped, run: str, at: str) -> None:
        self.tx, self.stream, self.mapped, self.run, self.at = tx, stream, mapped, run, at
        self.inserts: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.touches: list[dict[str, Any]] = []
        self.gone_rows: list[dict[str, Any]] = []
        self.problems: list[dict[str, Any]] = []
        self.clean: list[str] = []
        self.associations: dict[str, Values] = {}
        self.unlinked: list[str] = []
        self.new = self.changed = self.unchanged = self.gone = self.filtered = self.quarantined = 0

    def counts(self, arrived: int) -> Absorbed:
        sorted_ = self.new + self.changed + self.unchanged + self.gone + self.filtered + self.quarantined
        repeated = arrived - sorted_
        return Absorbed(
            arrived, self.new, self.changed, self.unchanged + repeated, self.gone, self.filtered, self.quarantined
        )

    def take(self, by_id: dict[str, Record]) -> None:
        hashes = _known_hashes(self.tx, self.stream.id, list(by_id))
        fresh: list[tuple[Record, int]] = []
        stale: dict[str, tuple[Record, int]] = {}
        digest = xxhash.xxh3_64_intdigest
        for id, record in by_id.items():
            raw_hash = digest(record.raw) - _OFFSET
            known = hashes.get(id)
            if known is None:
                fresh.append((record, raw_hash))
            elif known[0] == raw_hash and known[1] == record.gone:
                self.unchanged += 1
            else:
                stale[id] = (record, raw_hash)
        for record, raw_hash in fresh:
            self._take_new(record, raw_hash)
        for row in _known_rows(self.tx, self.stream.id, list(stale)):
            self._take_known(*stale[row.id], row)

    def _take_new(self, record: Record, raw_hash: int) -> None:
        if record.gone is not None and record.raw == b"{}":
            self._insert(record, raw_hash, {}, None)
            self.gone += 1
            return
        read = self._read(record)
        if read is None:
            return
        values, problems = read
        self._insert(record, raw_hash, values, problems)
        if record.gone is not None:
            self.gone += 1
        elif problems:
            self.quarantined += 1
        else:
            self.new += 1

    def _insert(self, record: Record, raw_hash: int, values: Values, problems: list[ValueProblem] | None) -> None:
        text = body_text(values)
        self.inserts.append(
            {
                "stream": self.stream.id,
                "id": record.id,
                "raw_hash": raw_hash,
                "hash": content_hash(text),
                "body": text,
                "version": record.version,
                "first_at": record.version or self.at,
                "gone": record.gone,
                "into": _into(record, self.stream.object),
                "problems": _problem_text(problems),
            }
        )
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = {} if record.gone else values

    def _take_known(self, record: Record, raw_hash: int, row: Any) -> None:
        if record.gone is not None:
            self._take_gone(record, raw_hash, row)
            return
        read = self._read(record)
        if read is None:
            return
        values, problems = read
        before: Values = orjson.loads(row.body)
        body = {**before, **values}
        for problem in problems:
            if problem.field in before:
                body[problem.field] = before[problem.field]
        text = body_text(body)
        digest = content_hash(text)
        if problems:
            self.quarantined += 1
        elif row.problems:
            self.clean.append(record.id)
        if digest == row.hash and row.gone is None:
            self.touches.append(self._touch(record, raw_hash, problems))
            if not problems:
                self.unchanged += 1
            return
        self.updates.append(self._update(record, raw_hash, row, before, body, text, digest, problems))
        if not problems:
            self.changed += 1
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = body

    def _touch(self, record: Record, raw_hash: int, problems: list[ValueProblem]) -> dict[str, Any]:
        return {
            "i": record.id,
            "raw_hash": raw_hash,
            "version": record.version,
            "problems": _problem_text(problems),
        }

    def _update(
        self,
        record: Record,
        raw_hash: int,
        row: Any,
        before: Values,
        body: Values,
        text: str,
        digest: int,
        problems: list[ValueProblem],
    ) -> dict[str, Any]:
        changed: dict[str, str] = orjson.loads(row.changed) if row.changed else {}
        held: dict[str, list[Any]] = orjson.loads(row.held) if row.held else {}
        since = record.version or self.at
        for name, value in body.items():
            if name in before and before[name] == value:
                continue
            if name not in before and value is None:
                continue  # a blank where nothing was known is unset, not cleared
            if name in held and _is_rewrite(held[name], value):
                held[name] = [held[name][0], value]
                continue
            held.pop(name, None)
            changed[name] = since
        return {
            "i": record.id,
            "raw_hash": raw_hash,
            "hash": digest,
            "body": text,
            "changed": orjson.dumps(changed).decode() if changed else None,
            "held": orjson.dumps(held).decode() if held else None,
            "version": record.version,
            "problems": _problem_text(problems),
        }

    def _take_gone(self, record: Record, raw_hash: int, row: Any) -> None:
        into = _into(record, self.stream.object)
        if row.gone == record.gone and (row.into or None) == into:
            self.touches.append(self._touch(record, raw_hash, []))
            self.unchanged += 1
            return
        self.gone += 1
        self.gone_rows.append({"i": record.id, "gone": record.gone, "into": into, "raw_hash": raw_hash})
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = {}

    def _read(self, record: Record) -> tuple[Values, list[ValueProblem]] | None:
        """The record's values, None when it is filtered out or cannot be read at all (then it is counted here)."""
        try:
            if len(record.raw) > LARGEST:
                raise ValueError(f"larger than {LARGEST} bytes")
            decoded = self.mapped.decode(record.raw)
        except ValueError as error:
            reason = "is no JSON object" if isinstance(error, orjson.JSONDecodeError) else str(error)
            self._complain(record.id, ValueProblem("", "unreadable", reason))
            self.quarantined += 1
            return None
        if not self.mapped.accepts(decoded):
            self.filtered += 1
            return None
        values, problems = self.mapped.read(decoded)
        for problem in problems:
            self._complain(record.id, problem)
        return values, problems

    def _complain(self, id: str, problem: ValueProblem) -> None:
        self.problems.append(
            {
                "run": self.run,
                "direction": "pull",
                "connection": self.stream.connection,
                "object": self.stream.object,
                "record": id,
                "lead": "",
                "field": problem.field,
                "code": problem.code,
                "reason": f"{problem.field or 'the record'} {problem.reason}",
                "fix": "Correct it on the platform, or change the mapping.",
                "fingerprint": "",
                "state": "open",
                "attempts": 1,
                "first_at": self.at,
                "last_at": self.at,
            }
        )

    # rows

    def store(self) -> None:
        if self.inserts:
            self.tx.execute(records.insert(), self.inserts)
        self._run(self.updates, ("raw_hash", "hash", "body", "changed", "held", "version", "problems"), alive=True)
        self._run(self.touches, ("raw_hash", "version", "problems"))
        self._run(self.gone_rows, ("gone", "into", "raw_hash"), dirty=True)
        if self.problems:
            renewed = ["run", "code", "reason", "fix", "state", "last_at"]
            statement = upsert(quarantine, self.tx, key=_PLACE, update=renewed, add=["attempts"])
            self.tx.execute(statement, self.problems)
        self._resolve_clean()
        if self.associations:
            _store_associations(self.tx, self.stream, self.associations)

    def _run(
        self, rows: list[dict[str, Any]], names: Sequence[str], *, alive: bool = False, dirty: bool = False
    ) -> None:
        if not rows:
            return
        values: dict[str, Any] = {name: bindparam(name) for name in names}
        if alive:
            values.update(gone=None, into=None)
        if alive or dirty:
            values["dirty"] = True
        mine = (records.c.stream == self.stream.id) & (records.c.id == bindparam("i"))
        self.tx.execute(update(records).where(mine).values(**values), rows)

    def _resolve_clean(self) -> None:
        for some in _chunks(self.clean):
            here = (
                (quarantine.c.direction == "pull")
                & (quarantine.c.connection == self.stream.connection)
                & (quarantine.c.object == self.stream.object)
                & quarantine.c.record.in_(some)
            )
            tx_update = update(quarantine).where(here, quarantine.c.state != "resolved")
            self.tx.execute(tx_update.values(state="resolved", last_at=self.at))


_PLACE = ["direction", "connection", "object", "record", "lead", "field"]


def _is_rewrite(held: list[Any], value: Any) -> bool:
    """Whether `value` is what the platform made of the value we sent: what it returned then, or, where it returned
    nothing, what differs from it only in case, space, punctuation or by being cut off."""
    sent, returned = held
    if returned is not None:
        return bool(returned == value)
    if not isinstance(sent, str) or not isinstance(value, str):
        return False
    one, other = _bare(sent), _bare(value)
    return one == other or (len(other) >= 20 and one.startswith(other))


def _bare(value: str) -> str:
    return "".join(letter for letter in value.casefold() if letter.isalnum())


def _problem_text(problems: list[ValueProblem] | None) -> str | None:
    if not problems:
        return None
    return orjson.dumps([[p.field, p.code, p.reason] for p in problems]).decode()


def _into(record: Record, object: str) -> str | None:
    return f"{record.into_object or object}/{record.into}" if record.into else None


def _chunks(values: Sequence[Any], size: int = 1000) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _known_hashes(tx: Connection, stream: int, ids: Sequence[str]) -> dict[str, tuple[int, str | None]]:
    found: dict[str, tuple[int, str | None]] = {}
    for some in _chunks(ids):
        query = select(records.c.id, records.c.raw_hash, records.c.gone)
        query = query.where(records.c.stream == stream, records.c.id.in_(some))
        found.update({id: (raw_hash, gone) for id, raw_hash, gone in tx.execute(query)})
    return found


def _known_rows(tx: Connection, stream: int, ids: Sequence[str]) -> Iterable[Any]:
    columns = (
        records.c.id,
        records.c.hash,
        records.c.body,
        records.c.changed,
        records.c.held,
        records.c.gone,
        records.c.into,
        records.c.problems,
    )
    for some in _chunks(ids):
        yield from tx.execute(select(*columns).where(records.c.stream == stream, records.c.id.in_(some)))


def _store_associations(tx: Connection, stream: StreamRow, changed: dict[str, Values]) -> None:
    """Keep `deal_people` in step with the associations, and have the leads on either side looked at again."""
    sources = [f"{stream.object}/{id}" for id in changed]
    for some in _chunks(sources):
        mine = (deal_people.c.connection == stream.connection) & deal_people.c.source.in_(some)
        _touch_people(tx, stream.connection, [row.person for row in tx.execute(select(deal_people).where(mine))])
        tx.execute(delete(deal_people).where(mine))
    rows = [
        {
            "connection": stream.connection,
            "deal_object": values.get("from_object") or "",
            "deal": values.get("from_id") or "",
            "person_object": values.get("to_object") or "",
            "person": person,
            "source": f"{stream.object}/{id}",
            "role": values.get("role") or "",
        }
        for id, values in changed.items()
        for person in values.get("to_ids") or ()
    ]
    if rows:
        tx.execute(deal_people.insert(), rows)


def _touch_people(tx: Connection, connection: str, people: Sequence[str]) -> None:
    """Whoever was tied to a deal until now is merged anew: the tie may be gone."""
    theirs = select(streams.c.id).where(streams.c.connection == connection, streams.c.kind == Kind.LEAD.value)
    for some in _chunks(people):
        owners = select(records.c.lead).where(records.c.stream.in_(theirs), records.c.id.in_(some))
        tx.execute(update(leads).where(leads.c.id.in_(owners), leads.c.state == "live").values(dirty=1))


def _absorb_activities(
    tx: Connection, stream: StreamRow, arrived: Sequence[Record], mapped: Mapped, run: str, at: str
) -> Absorbed:
    """Activities are facts: written once, by their key, never changed."""
    by_id = {record.id: record for record in arrived}
    known: set[str] = set()
    for some in _chunks(list(by_id)):
        query = select(activities.c.key).where(activities.c.stream == stream.id, activities.c.key.in_(some))
        known.update(tx.execute(query).scalars())
    group = _Group(tx, stream, mapped, run, at)
    rows = []
    for id, record in by_id.items():
        if id in known or record.gone is not None:
            continue
        read = group._read(record)
        if read is None:
            continue
        values, problems = read
        if problems or not values.get("type") or not values.get("at"):
            group.quarantined += 1
            if not problems:
                group._complain(id, ValueProblem("", "incomplete", "has no type or no time"))
            continue
        rows.append(_activity_row(stream.id, id, values))
    if rows:
        tx.execute(upsert(activities, tx), rows)
    group.store()
    unchanged = len(arrived) - len(rows) - group.filtered - group.quarantined
    return Absorbed(len(arrived), len(rows), 0, unchanged, 0, group.filtered, group.quarantined)


def _activity_row(stream: int, key: str, values: Values) -> dict[str, Any]:
    person, object = values.get("person"), values.get("person_object")
    return {
        "stream": stream,
        "key": key,
        "type": values["type"],
        "at": values["at"],
        "person": f"{object}/{person}" if person and object else None,
        "email": values.get("email"),
        "campaign": values.get("campaign"),
        "title": values.get("title"),
        "url": values.get("url"),
        "detail": values.get("detail"),
    }
