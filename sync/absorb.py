"""Take pages of raw records into the state: what is new, what changed, which fields, since when.

A record whose bytes are the same costs a hash and a comparison. Otherwise its mapping reads it and its values are
compared with the baseline, field by field. Everything of a group of pages, the cursor included, is written in the
caller's transaction: the cursor never stands for records that are not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import orjson
import xxhash
from sqlalchemy import Connection, bindparam, select, update

from config.clock import stamp, unstamp
from connectors.api import Page, Record
from mappings.compiler import Mapped, ValueProblem
from mappings.model import Kind, Values
from sync import retold, ties
from sync.agreed import Agreed
from sync.complaints import Complaints
from sync.core.echo import revise
from sync.state import rows
from sync.state.database import upsert
from sync.state.schema import activities, records, streams
from sync.state.suppression import Suppression

LARGEST = 1_000_000
"""Bytes. A record beyond it is quarantined unread."""

AHEAD = timedelta(days=1)
"""How far ahead of our clock a record's time may be and is believed: no two clocks differ by more."""

OUTSIDE = "filtered"
"""In `records.gone`: the record lives, but no longer passes the mapping's filter, or is a second copy of a deal. It is
neither heard nor written. What the filter left out has no `raw_hash`, and is judged anew whenever it is told."""

LAGS = timedelta(hours=1)
"""No index lags longer. What is told older than it has been known for so long was rolled back."""

_OFFSET = 1 << 63
_digest = xxhash.xxh3_64_intdigest
_dumps, _SORTED = orjson.dumps, orjson.OPT_SORT_KEYS


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
    """What became of pulled records: each is in exactly one of the counts from `new` to `suppressed`. `older` are those
    of the unchanged that were rolled back; `lost` the (lead, field) of which a platform lost what is to be kept."""

    pulled: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    filtered: int = 0
    quarantined: int = 0
    suppressed: int = 0
    older: int = 0
    lost: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Absorbed) -> Absorbed:
        return Absorbed(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Back:
    """How records that were rolled back are taken in: their values count `anew`, or from when they were given. Of the
    fields that are `kept` (None for all) the lead's value is to stay."""

    anew: bool
    kept: frozenset[str] | None


_STREAM = select(streams).where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))


def stream_for(tx: Connection, connection: str, object: str, kind: Kind | str) -> StreamRow:
    """The stream of this object, made when it is new."""
    found = known_stream(tx, connection, object)
    if found is None:
        new = {"connection": connection, "object": object, "kind": Kind(kind).value}
        tx.execute(upsert(streams, tx, key=["connection", "object"]), [new])
        found = known_stream(tx, connection, object)
    assert found is not None
    return found


def known_stream(tx: Connection, connection: str, object: str) -> StreamRow | None:
    """The stream of this object; None before anything of it was pulled."""
    row = tx.execute(_STREAM, {"of": connection, "named": object}).one_or_none()
    return None if row is None else stream_row(row)


def stream_row(row: Any) -> StreamRow:
    """A row of `streams`."""
    return StreamRow(row.id, row.connection, row.object, Kind(row.kind), row.cursor, bool(row.complete), row.mapping)


_CURSOR = (
    update(streams)
    .where(streams.c.id == bindparam("stream"))
    .values(cursor=bindparam("where"), pulled_at=bindparam("at"), complete=False)
)
_LAST_CURSOR = _CURSOR.values(complete=True)


def save_cursor(tx: Connection, stream: StreamRow, page: Page, at: str) -> None:
    """Store where pulling goes on after `page`."""
    statement = _CURSOR if page.more else _LAST_CURSOR
    tx.execute(statement, {"stream": stream.id, "where": page.cursor, "at": at})


def absorb(tx: Connection, stream: StreamRow, page: Page, mapped: Mapped, *, run: str, at: str) -> Absorbed:
    """Absorb one page of `stream` and store its cursor."""
    return absorb_pages(tx, stream, [page], mapped, run=run, at=at)


def absorb_pages(
    tx: Connection,
    stream: StreamRow,
    pages: Sequence[Page],
    mapped: Mapped,
    *,
    run: str,
    at: str,
    forgotten: Suppression | None = None,
    keep_gone: bool = False,
    back: Back | None = None,
) -> Absorbed:
    """Absorb some pages of `stream` and store the cursor of the last."""
    arrived = [record for page in pages for record in page.records]
    counts = absorb_records(
        tx, stream, arrived, mapped, run=run, at=at, forgotten=forgotten, keep_gone=keep_gone, back=back
    )
    save_cursor(tx, stream, pages[-1], at)
    return counts


def absorb_records(
    tx: Connection,
    stream: StreamRow,
    arrived: Sequence[Record],
    mapped: Mapped,
    *,
    run: str,
    at: str,
    forgotten: Suppression | None = None,
    keep_gone: bool = False,
    back: Back | None = None,
) -> Absorbed:
    """Absorb records without moving any cursor. Of one id that comes twice the last counts; the other is unchanged.

    With `keep_gone` records are taken in too that were deleted before we knew of them: a restored state knew them once.
    Those told older than they are known are not, but as `back` has it: see `sync.rollback`.

    Records of people who are `forgotten` are not taken in, by whatever of them is recognised: the record or an address.
    """
    if not arrived:
        return Absorbed()
    group = _Group(tx, stream, mapped, run, at)
    group.keep_gone = keep_gone
    group.back = back
    group.forgotten = forgotten if forgotten is not None and forgotten.refresh(tx) else None
    by_id = {record.id: record for record in arrived}
    for id in [id for id in by_id if not id.isprintable() or not id]:
        group.refuse(by_id.pop(id), "bad_id", "has an id that is empty or holds control characters")
    if stream.kind is Kind.ACTIVITY:
        group.take_activities(by_id)
    else:
        group.take(by_id)
    group.store()
    return group.counts(len(arrived))


def is_far(version: str, at: str) -> bool:
    """Whether a record's time, read at `at`, is so far ahead that an import or a program must have set it."""
    return version > at and version > stamp(unstamp(at) + AHEAD)


def counts_from(version: str, at: str) -> str:
    """Since when counts what a record of this version says: since it was read at `at`, where its time tells nothing."""
    return version if version and not is_far(version, at) else at


def content_hash(body: bytes) -> int:
    """The signed 64-bit hash of a body."""
    return _digest(body) - _OFFSET


def body_bytes(values: Values) -> bytes:
    """The values as stored (text, in UTF-8); equal values give equal bytes."""
    return _dumps(values, option=_SORTED)


_Reading = tuple[Values, list[ValueProblem], bytes]


class _Known(NamedTuple):
    """A record as stored."""

    id: str
    hash: int
    body: str
    changed: str | None
    held: str | None
    version: str
    gone: str | None
    into: str | None
    lead: str | None


class _Group:
    """The records of one transaction, on their way from bytes to rows."""

    def __init__(self, tx: Connection, stream: StreamRow, mapped: Mapped, run: str, at: str) -> None:
        self.tx, self.stream, self.mapped, self.at = tx, stream, mapped, at
        self.complaints = Complaints(tx, stream.connection, stream.object, run, at)
        self.plain: list[rows.Row] = []
        self.inserts: list[rows.Row] = []
        self.updates: list[rows.Row] = []
        self.touches: list[rows.Row] = []
        self.farewells: list[rows.Row] = []
        self.happened: list[rows.Row] = []
        self.retold = retold.Retold()
        self.associations: dict[str, Values] = {}
        self.new = self.changed = self.gone = self.filtered = self.quarantined = self.suppressed = 0
        self.forgotten: Suppression | None = None
        self.keep_gone = False
        self.back: Back | None = None
        self.older = 0
        self.lost: list[tuple[str, str]] = []
        self.agreed = Agreed(tx, ())

    def counts(self, arrived: int) -> Absorbed:
        """The accounts: what was none of the others was unchanged, ids that came again included."""
        told = (self.new, self.changed, self.gone, self.filtered, self.quarantined, self.suppressed)
        return Absorbed(arrived, *told[:2], arrived - sum(told), *told[2:], self.older, tuple(self.lost))

    def take(self, by_id: dict[str, Record]) -> None:
        """Sort the records into new, known and the same as before; only the first two are decoded."""
        names = ("id", "raw_hash", "gone")
        found = rows.find(self.tx, records, self.stream.id, names, "id", list(by_id))
        known = {id: (raw_hash, gone) for id, raw_hash, gone in found}
        fresh: dict[str, int] = {}
        nobody = self.forgotten is None
        for id, record in by_id.items():
            raw_hash = _digest(record.raw) - _OFFSET
            before = known.get(id)
            same = before is not None and before[0] == raw_hash and _stands_as(record, before[1])
            if not same and (nobody or not self._hushed(self.stream.object, id)):
                fresh[id] = raw_hash
        if not fresh:
            return
        self.complaints.recall(list(fresh))
        again = [id for id in fresh if id in known]
        found = rows.find(self.tx, records, self.stream.id, _Known._fields, "id", again)
        before_them = list(map(_Known._make, found))
        self.agreed = Agreed(self.tx, [stood.lead for stood in before_them if stood.lead])
        for stood in before_them:
            self._take_known(by_id[stood.id], fresh[stood.id], stood)
        new = [by_id[id] for id in fresh if id not in known]
        for record in self._take_plain(new, fresh):
            self._take_new(record, fresh[record.id])

    def _hushed(self, object: str, id: str) -> bool:
        """Whether the record is of somebody forgotten; counted where it is."""
        found = self.forgotten is not None and self.forgotten.has_record(self.stream.connection, object, id)
        self.suppressed += found
        return found

    # new records

    def _take_plain(self, new: list[Record], fresh: Mapping[str, int]) -> list[Record]:
        """Take the records in which nothing is out of the ordinary, nearly all of a first pull; the rest comes back."""
        if self.complaints.any_open or self.stream.kind is Kind.ASSOCIATION:
            return new
        odd: list[Record] = []
        quick, keep, stream, at = self.mapped.quick, self.plain.append, self.stream.id, self.at
        forgotten = self.forgotten
        for record in new:
            values = quick(record.raw) if record.gone is None else None
            if values is None or (forgotten is not None and forgotten.has_person(values)):
                odd.append(record)
                continue
            body, version = _dumps(values), record.version  # `quick` gives its fields in order
            told = _digest(body) - _OFFSET
            since = counts_from(version, at)
            keep((stream, record.id, fresh[record.id], told, bytearray(body), version, since))
        self.new += len(new) - len(odd)
        return odd

    def _take_new(self, record: Record, raw_hash: int) -> None:
        """A record never seen. Of those that are gone only one that lives on as another is kept: what was deleted
        before we knew of it is nobody's lead."""
        if record.gone is not None and not record.into and not self.keep_gone:
            return
        if record.gone is not None and record.raw == b"{}":
            self.gone += 1
            self._insert(record, raw_hash, ({}, [], b"{}"), dirty=False)  # nothing to match by: kept for its `into`
            return
        read = self._read(record)
        if read is None:
            return
        self._insert(record, raw_hash, read, dirty=True)
        if read[1]:
            self.quarantined += 1
        elif record.gone is not None:
            self.gone += 1
        else:
            self.new += 1

    def _insert(self, record: Record, raw_hash: int, read: _Reading, *, dirty: bool) -> None:
        values, problems, body = read
        row = (
            self.stream.id,
            record.id,
            raw_hash,
            _digest(body) - _OFFSET,
            body.decode(),
            record.version,
            counts_from(record.version, self.at),
            record.gone.value if record.gone else None,
            _into(record, self.stream.object) if record.into else None,
            _problem_text(problems) if problems else None,
            dirty,
        )
        self.inserts.append(row)
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = {} if record.gone else values

    # known records

    def _take_known(self, record: Record, raw_hash: int, before: _Known) -> None:
        if record.gone is not None:
            self._take_gone(record, raw_hash, before)
            return
        older = bool(record.version) and record.version < before.version and not self._is_back(record, before)
        if older and self.back is None:  # an index that lags tells an older state than the one we know: not news
            self.older += before.version < stamp(unstamp(self.at) - LAGS)
            return
        read = self._read(record, before)
        if read is None:
            return
        if older:
            self._take_back(record, raw_hash, before, read)
            return
        values, problems, stored = read
        old: Values = orjson.loads(before.body)
        body = {**old, **values}  # a field that the record no longer tells keeps what was last known
        if len(body) > len(values):
            stored = body_bytes(body)
        if content_hash(stored) == before.hash and before.gone is None:
            self.touches.append((record.id, raw_hash, record.version or before.version, _problem_text(problems)))
        else:
            self._update(record, raw_hash, before, old, body, stored, problems)
        if problems:
            self.quarantined += 1

    def _is_back(self, record: Record, before: _Known) -> bool:
        """Whether a record whose time was far ahead has one of our days again, which says nothing of what is older."""
        return is_far(before.version, self.at) and not is_far(record.version, self.at)

    def _update(
        self,
        record: Record,
        raw_hash: int,
        before: _Known,
        old: Values,
        body: Values,
        stored: bytes,
        problems: list[ValueProblem],
    ) -> None:
        self.updates.append(self._revised(record, raw_hash, before, old, body, stored, problems))
        if not problems:
            self.changed += 1
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = body

    def _revised(
        self,
        record: Record,
        raw_hash: int,
        before: _Known,
        old: Values,
        body: Values,
        stored: bytes,
        problems: list[ValueProblem],
    ) -> rows.Row:
        known: dict[str, str] = orjson.loads(before.changed) if before.changed else {}
        rewritten: dict[str, list[Any]] = orjson.loads(before.held) if before.held else {}
        agreed = self.agreed.of(before.lead, old, body)
        since = counts_from(record.version, self.at)
        changed, held = revise(known, rewritten, old, body, since, agreed)
        return (
            record.id,
            raw_hash,
            content_hash(stored),
            stored.decode(),
            orjson.dumps(changed).decode() if changed else None,
            orjson.dumps(held).decode() if held else None,
            record.version or before.version,
            _problem_text(problems),
        )

    def _take_back(self, record: Record, raw_hash: int, before: _Known, read: _Reading) -> None:
        """A record that was rolled back: it holds again what it held before."""
        assert self.back is not None
        old: Values = orjson.loads(before.body)
        body = {**old, **read[0]}
        names = [name for name in body if body[name] != old.get(name)]
        told: dict[str, str] = orjson.loads(before.changed) if before.changed else {}
        since = self.at if self.back.anew else record.version
        changed = orjson.dumps({**told, **dict.fromkeys(names, since)}).decode()
        held = {n: pair for n, pair in orjson.loads(before.held or "{}").items() if n not in names}
        kept_held = orjson.dumps(held).decode() if held else None
        stored = body_bytes(body)
        row = (record.id, raw_hash, content_hash(stored), stored.decode(), changed, kept_held, record.version)
        self.updates.append((*row, _problem_text(read[1])))
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = body
        kept = self.back.kept
        self.lost += [(before.lead, name) for name in names if before.lead and (kept is None or name in kept)]
        self.changed += not read[1]
        self.quarantined += bool(read[1])

    def _take_gone(self, record: Record, raw_hash: int, before: _Known) -> None:
        """The body is kept: what the record said of consent and first sources still counts, its last words included
        where the platform tells them (an opt-out just before the deletion)."""
        assert record.gone is not None
        into = _into(record, self.stream.object)
        self.complaints.judge(record.id, [])
        if before.gone == record.gone and before.into == into:
            self.touches.append((record.id, raw_hash, before.version, None))
            return
        self.gone += before.gone is None or before.version != ""  # what nobody ever saw was known as gone already
        if self.stream.kind is Kind.LEAD:
            old: Values = orjson.loads(before.body)
            body = {**old, **self._last_words(record)}
            if body != old:
                self.updates.append(self._revised(record, raw_hash, before, old, body, body_bytes(body), []))
        self.farewells.append((record.id, raw_hash, record.gone.value, into))  # stored after the updates
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = {}

    def _last_words(self, record: Record) -> Values:
        """What a record that is gone still says. Its blanks say nothing: platforms empty what they delete."""
        values = self.mapped.quick(record.raw)
        if values is None:
            try:
                values, _ = self.mapped.read(self.mapped.decode(record.raw))
            except ValueError:
                values = {}
        return {name: value for name, value in values.items() if value is not None and value != []}

    # activities

    def take_activities(self, by_id: dict[str, Record]) -> None:
        """Activities are facts: written once, by their key, never changed and never taken back, unless their platform
        says of one that it was revised."""
        found = rows.find(self.tx, activities, self.stream.id, ("key",), "key", list(by_id))
        known = {key for (key,) in found}
        fresh = [record for id, record in by_id.items() if id not in known and record.gone is None]
        again = [record for id, record in by_id.items() if id in known and record.gone is None and record.revised]
        if not fresh and not again:
            return
        self.complaints.recall([record.id for record in (*fresh, *again)])
        for record in fresh:
            row = self._activity(record)
            if row is not None:
                self.happened.append((self.stream.id, *row))
                self.new += 1
        for record in again:
            self._take_again(record)

    def _take_again(self, record: Record) -> None:
        """An activity that is here already, as it is told now; one that the filter leaves out now takes no part."""
        filtered = self.filtered
        row = self._activity(record)
        if row is not None:
            self.retold.told.append(row)
        elif self.filtered > filtered:
            self.retold.left_out.append(record.id)

    def _activity(self, record: Record) -> rows.Row | None:
        """The activity as a row; None where it has no part in this, or is not whole, which is counted then."""
        read = self._read(record)
        if read is None:
            return None
        values, problems, _ = read
        if values.get("person") and self._hushed(str(values.get("person_object")), str(values["person"])):
            return None
        if problems:
            self.quarantined += 1
        elif not values.get("type") or not values.get("at"):
            self.refuse(record, "incomplete", "has no type or no time")
        elif values.get("person") and not values.get("person_object"):
            self.refuse(record, "incomplete", "names a person without the object that the person's record is of")
        else:
            return retold.row(record.id, values)
        return None

    # reading

    def _read(self, record: Record, before: _Known | None = None) -> _Reading | None:
        """The record's values, the mistakes in them and the values as text; None when it cannot be read or has no part
        in this."""
        values = self.mapped.quick(record.raw)
        problems: list[ValueProblem] = []
        if values is None:
            read = self._read_carefully(record, before)
            if read is None:
                return None
            values, problems = read
        if self.forgotten is not None and self.forgotten.has_person(values):
            self.suppressed += 1
            self.complaints.judge(record.id, [])
            return None
        body = body_bytes(values)
        if problems or self.complaints.any_open:
            self.complaints.judge(record.id, problems)
        return values, problems, body

    def _read_carefully(self, record: Record, before: _Known | None) -> tuple[Values, list[ValueProblem]] | None:
        if (fault := record.fault) is not None:
            self.refuse(record, fault.code, fault.reason, field=fault.field, fix=fault.fix)
            return None
        if len(record.raw) > LARGEST:
            self.refuse(record, "too_large", f"is larger than {LARGEST} bytes")
            return None
        try:
            decoded = self.mapped.decode(record.raw)
        except ValueError:
            self.refuse(record, "unreadable", "is no JSON object")
            return None
        if not self.mapped.accepts(decoded):
            self._leave_out(record, before)
            return None
        return self.mapped.read(decoded)

    def _leave_out(self, record: Record, before: _Known | None) -> None:
        self.filtered += 1
        self.complaints.judge(record.id, [])
        if before is not None and before.gone != OUTSIDE:
            self.farewells.append((record.id, 0, OUTSIDE, None))
            if self.stream.kind is Kind.ASSOCIATION:
                self.associations[record.id] = {}

    def refuse(self, record: Record, code: str, reason: str, *, field: str = "", fix: str = "") -> None:
        """The whole record goes to quarantine; what was known of it stays."""
        name = record.id if record.id.isprintable() else ascii(record.id)
        self.complaints.judge(name, [ValueProblem(field, code, reason, fix)])
        self.quarantined += 1

    def store(self) -> None:
        """Write it all."""
        rows.insert(self.tx, records, _PLAIN, self.plain, encoded="body")
        rows.insert(self.tx, records, _INSERTED, self.inserts)
        rows.insert(self.tx, activities, ("stream", *retold.COLUMNS), self.happened, quietly=True)
        self.changed += retold.store(self.tx, self.stream.id, self.retold)
        change = partial(rows.update, self.tx, records, self.stream.id, "id")
        change(_UPDATED, self.updates, also='gone = NULL, "into" = NULL, dirty = true')
        change(_TOUCHED, self.touches)
        change(_GONE, self.farewells, also="dirty = true")
        self.complaints.store()
        if self.associations:
            ties.store(self.tx, self.stream.connection, self.stream.object, self.associations)


_PLAIN = ("stream", "id", "raw_hash", "hash", "body", "version", "first_at")
"""Of a record in which nothing is out of the ordinary: it lives, was read whole, and waits for its decision."""
_INSERTED = (*_PLAIN, "gone", "into", "problems", "dirty")
_UPDATED = ("raw_hash", "hash", "body", "changed", "held", "version", "problems")
_TOUCHED = ("raw_hash", "version", "problems")
_GONE = ("raw_hash", "gone", "into")


def _problem_text(problems: list[ValueProblem]) -> str | None:
    if not problems:
        return None
    return orjson.dumps([[p.field, p.code, p.reason] for p in problems]).decode()


def _stands_as(record: Record, before: str | None) -> bool:
    """Whether the record is as gone as it was. What lives and was set aside stays so until its bytes change."""
    return before == record.gone or (record.gone is None and before == OUTSIDE)


def _into(record: Record, object: str) -> str | None:
    return f"{record.into_object or object}/{record.into}" if record.into else None
