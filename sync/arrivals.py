"""Records on their way into the state: which are new, which changed in what and since when, which are gone.

A record whose bytes are the same costs a hash and a comparison. Otherwise it is read, and its values are compared with
the baseline, field by field. A first pull is nearly all records in which nothing is out of the ordinary: those take a
quick way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from config.clock import stamp, unstamp
from connectors.api import Record
from mappings.compiler import Mapped, ValueProblem
from mappings.model import Kind, Values
from sync import ties
from sync.agreed import Agreed
from sync.baseline import body_bytes, content_hash, counts_from, is_far
from sync.core.addresses import MAIN
from sync.core.echo import revise
from sync.heirs import Ended, named
from sync.holders import had_main
from sync.reader import Reader, Reading
from sync.state import rows
from sync.state.schema import records
from sync.streams import StreamRow

OUTSIDE = "filtered"
"""In `records.gone`: the record lives, but no longer passes the mapping's filter, or is a second copy of a deal. It is
neither heard nor written. What the filter left out has no `raw_hash`, and is judged anew whenever it is told."""

LAGS = timedelta(hours=1)
"""No index lags longer. What is told older than it has been known for so long was rolled back."""
ROUNDING = timedelta(minutes=1)
"""Two interfaces of a platform may tell one time so differently: whole seconds, or when an index took it in."""


def went_back(told: str, known: str) -> bool:
    """Whether a record's modified time is earlier than it was known to be, and not only told less exactly."""
    return bool(told) and told < known and unstamp(known) - unstamp(told) > ROUNDING


class Loss(NamedTuple):
    """The value of a lead's field that a record held, which counted from `at`, and does not hold any more. Where it is
    what the platform made of a word of ours, `said` is that word."""

    lead: str
    field: str
    record: str
    value: Any
    at: str
    said: Any


@dataclass(frozen=True, slots=True)
class Back:
    """How records that were rolled back are taken in: their values count `anew`, or from when they were given. Of the
    fields that are `kept` (None for all) the lead's value is to stay. People who are `listed`, and not asked for by
    their ids, are left alone where an index that lags may show them so."""

    anew: bool
    kept: frozenset[str] | None
    listed: bool = False


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
    first_at: str


class Arrivals:
    """The records of one transaction, on their way from bytes to rows: read `at` by our clock, `there` by that of their
    platform."""

    def __init__(
        self,
        tx: Connection,
        stream: StreamRow,
        mapped: Mapped,
        at: str,
        there: str,
        reader: Reader,
        keep_gone: bool,
        back: Back | None,
    ) -> None:
        self.tx, self.stream, self.mapped, self.at, self.there = tx, stream, mapped, at, there
        self.reader, self.complaints, self.keep_gone, self.back = reader, reader.complaints, keep_gone, back
        self.plain: list[rows.Row] = []
        self.inserts: list[rows.Row] = []
        self.updates: list[rows.Row] = []
        self.touches: list[rows.Row] = []
        self.farewells: list[rows.Row] = []
        self.associations: dict[str, Values] = {}
        self.new = self.changed = self.gone = 0
        self.older: list[str] = []
        self.lost: list[Loss] = []
        self.loosened: list[Loss] = []
        self.heirs: set[str] = set()
        self.agreed = Agreed(tx, ())
        self.ended = Ended(tx, stream, ())

    @cached_property
    def consents(self) -> dict[str, tuple[str, ...]]:
        """Of what is read here: needed only where somebody's record changed."""
        return self.mapped.consents

    def take(self, by_id: dict[str, Record]) -> None:
        """Sort the records into new, known and the same as before; only the first two are decoded."""
        names = ("id", "raw_hash", "gone")
        found = rows.find(self.tx, records, self.stream.id, names, "id", list(by_id))
        known = {id: (raw_hash, gone) for id, raw_hash, gone in found}
        fresh: dict[str, int] = {}
        nobody = self.reader.forgotten is None
        for id, record in by_id.items():
            raw_hash = content_hash(record.raw)
            before = known.get(id)
            same = before is not None and before[0] == raw_hash and _stands_as(record, before[1])
            same = same and self.back is None  # the time of one that was rolled back need not be among its bytes
            if not same and (nobody or not self.reader.is_hushed(self.stream.object, id)):
                fresh[id] = raw_hash
        if not fresh:
            return
        self.complaints.recall(list(fresh))
        again = [id for id in fresh if id in known]
        found = rows.find(self.tx, records, self.stream.id, _Known._fields, "id", again)
        before_them = list(map(_Known._make, found))
        whose = [stood.lead for stood in before_them if stood.lead]
        self.agreed = Agreed(self.tx, whose)
        self.ended = Ended(self.tx, self.stream, whose if self.stream.kind is Kind.LEAD else ())
        for stood in before_them:
            self._take_known(by_id[stood.id], fresh[stood.id], stood)
        new = [by_id[id] for id in fresh if id not in known]
        self.heirs = self._heirs(new, by_id)
        for record in self._take_plain(new, fresh):
            self._take_new(record, fresh[record.id])

    # new records

    def _take_plain(self, new: list[Record], fresh: Mapping[str, int]) -> list[Record]:
        """Take the records in which nothing is out of the ordinary, nearly all of a first pull; the rest comes back."""
        if self.complaints.any_open or self.stream.kind is Kind.ASSOCIATION:
            return new
        odd: list[Record] = []
        quick, keep, stream, at, there = self.mapped.quick, self.plain.append, self.stream.id, self.at, self.there
        forgotten = self.reader.forgotten
        for record in new:
            values = quick(record.raw) if record.gone is None else None
            if values is None or (forgotten is not None and forgotten.has_person(values)):
                odd.append(record)
                continue
            body, version = orjson.dumps(values), record.version  # `quick` gives its fields in order
            told = content_hash(body)
            since = counts_from(version, at, there)
            keep((stream, record.id, fresh[record.id], told, bytearray(body), version, since))
        self.new += len(new) - len(odd)
        return odd

    def _heirs(self, new: list[Record], by_id: Mapping[str, Record]) -> set[str]:
        """Those of the new records, of which only an end is told, that others live on as. It is people of whom that
        tells something; a deal that was put away unseen is none, whatever was merged into it."""
        ends = [record.id for record in new if record.gone is not None and not record.into]
        if not ends or self.stream.kind is not Kind.LEAD:
            return set()
        told = {_into(record, self.stream.object) for record in by_id.values() if record.into}
        here = {id for id in ends if f"{self.stream.object}/{id}" in told}
        return here | named(self.tx, self.stream.connection, self.stream.object, ends)

    def _take_new(self, record: Record, raw_hash: int) -> None:
        """A record never seen. Of those that are gone only one that lives on as another is kept, or that another lives
        on as: what was deleted before we knew of it is nobody's lead."""
        is_heir = record.id in self.heirs
        if record.gone is not None and not record.into and not (self.keep_gone or is_heir):
            return
        if record.gone is not None and record.raw == b"{}":
            self.gone += 1
            self._insert(record, raw_hash, ({}, [], b"{}"), dirty=is_heir)  # nothing to match by: kept for its `into`
            return
        read = self._read(record)
        if read is None:
            return
        self._insert(record, raw_hash, read, dirty=True)
        if read[1]:
            self.reader.quarantined += 1
        elif record.gone is not None:
            self.gone += 1
        else:
            self.new += 1

    def _insert(self, record: Record, raw_hash: int, read: Reading, *, dirty: bool) -> None:
        values, problems, body = read
        row = (
            self.stream.id,
            record.id,
            raw_hash,
            content_hash(body),
            body.decode(),
            record.version,
            counts_from(record.version, self.at, self.there),
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
        older = self._is_older(record, before)
        lags = before.version >= stamp(unstamp(self.there) - LAGS) if older else False
        if older and self.back is None:  # an index that lags tells an older state than the one we know: not news
            if not lags and went_back(record.version, before.version):
                self.older.append(record.id)
            return
        if lags and self.back is not None and self.back.listed and self.stream.kind is Kind.LEAD:
            return
        read = self._read(record, before)
        if read is None:
            return
        if older:
            self._take_back(record, raw_hash, before, read)
            return
        values, problems, stored = read  # a field that the record no longer tells keeps what was last known
        old: Values = orjson.loads(before.body)
        body = {**old, **dict.fromkeys(self._unheard_of(before) & old.keys()), **values}
        if len(body) > len(values):
            stored = body_bytes(body)
        if content_hash(stored) == before.hash and before.gone is None:
            made = _made_at(before, old, body, counts_from(record.version, self.at, self.there))
            self.touches.append((record.id, raw_hash, record.version or before.version, _problem_text(problems), made))
        else:
            self._update(record, raw_hash, before, old, body, stored, problems)
        if problems:
            self.reader.quarantined += 1

    def _is_older(self, record: Record, before: _Known) -> bool:
        return bool(record.version) and record.version < before.version and not self._is_back(record, before)

    def _is_back(self, record: Record, before: _Known) -> bool:
        """Whether a record whose time was ahead has one that was again, which says nothing of what is older: no index
        lags by so much."""
        if not before.version > self.there:
            return False
        if is_far(before.version, self.there):
            return not is_far(record.version, self.there)
        return record.version <= self.there and record.version < stamp(unstamp(before.version) - LAGS)

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
        if before.lead and MAIN in agreed:
            had_main(self.tx, before.lead, f"{self.stream.connection}/{self.stream.object}/{record.id}")
        since = counts_from(record.version, self.at, self.there)
        changed, held = revise(known, rewritten, old, body, since, agreed, before.first_at)
        for name in self.mapped.doubted | self._unheard_of(before):
            if body.get(name) in (None, []) and old.get(name) not in (None, []):
                changed.pop(name, None)
                held.pop(name, None)
        self._note_loosened(record, before, old, body)
        news = {name: at for name, at in changed.items() if known.get(name) != at}
        self.ended.given(record.id, before.version, old, known, body, news)
        return (
            record.id,
            raw_hash,
            content_hash(stored),
            stored.decode(),
            orjson.dumps(changed).decode() if changed else None,
            orjson.dumps(held).decode() if held else None,
            record.version or before.version,
            _problem_text(problems),
            _made_at(before, old, body, since),
        )

    def _unheard_of(self, before: _Known) -> frozenset[str]:
        """The fields that are read anew since nothing told of a record that had gone and is back."""
        return self.mapped.anew_since(before.version) if before.gone is not None else frozenset()

    def _note_loosened(self, record: Record, before: _Known, old: Values, body: Values) -> None:
        """Note the consents that say less now than they did."""
        told: dict[str, str] = orjson.loads(before.changed) if self.consents and before.changed else {}
        for name, options in self.consents.items() if before.lead else ():
            rank: dict[Any, int] = {option: number for number, option in enumerate(options)}
            if rank.get(body.get(name), -1) < rank.get(old.get(name), -1):
                since = told.get(name, before.first_at)
                self.loosened.append(Loss(before.lead or "", name, record.id, old[name], since, old[name]))

    def _take_back(self, record: Record, raw_hash: int, before: _Known, read: Reading) -> None:
        """A record that was rolled back: it holds again what it held before."""
        assert self.back is not None
        old: Values = orjson.loads(before.body)
        body = {**old, **read[0]}
        names = [name for name in body if body[name] != old.get(name)]
        told: dict[str, str] = orjson.loads(before.changed) if before.changed else {}
        sent: dict[str, list[Any]] = orjson.loads(before.held or "{}")
        since = self.at if self.back.anew else record.version
        if self.back.anew:
            self.ended.given(record.id, before.version, old, told, body, dict.fromkeys(names, since))
        self.updates.append(self._rewound(record, raw_hash, before, body, names, since, read[1]))
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = body
        kept = self.back.kept
        lasting = [name for name in names if kept is None or name in kept]
        for name in lasting if before.lead else ():
            value, counted = old.get(name), told.get(name, before.first_at)
            said = sent[name][0] if name in sent and sent[name][1] == value else value
            self.lost.append(Loss(before.lead or "", name, record.id, value, counted, said))
        self.changed += not read[1]
        self.reader.quarantined += bool(read[1])

    def _rewound(
        self,
        record: Record,
        raw_hash: int,
        before: _Known,
        body: Values,
        names: Collection[str],
        since: str,
        problems: list[ValueProblem],
    ) -> rows.Row:
        """The row of a record that holds again in these fields what it held before, which counts `since`."""
        told: dict[str, str] = orjson.loads(before.changed) if before.changed else {}
        sent: dict[str, list[Any]] = orjson.loads(before.held or "{}")
        held = {n: pair for n, pair in sent.items() if n not in names}
        stored = body_bytes(body)
        return (
            record.id,
            raw_hash,
            content_hash(stored),
            stored.decode(),
            orjson.dumps({**told, **dict.fromkeys(names, since)}).decode(),
            orjson.dumps(held).decode() if held else None,
            record.version,
            _problem_text(problems),
            before.first_at,
        )

    def _take_gone(self, record: Record, raw_hash: int, before: _Known) -> None:
        """The body is kept: what the record said of consent and first sources still counts, its last words included
        where the platform tells them (an opt-out just before the deletion) and they are no older than what is known: an
        index that lags may tell late of one that is back."""
        assert record.gone is not None
        into = _into(record, self.stream.object)
        self.complaints.judge(record.id, [])
        same = before.gone == record.gone and before.into == into
        old: Values = orjson.loads(before.body)
        body = {**old, **self._last_words(record)} if self._says_more(record, before, same) else old
        if same and body == old:
            self.touches.append((record.id, raw_hash, before.version, None, before.first_at))
            return
        self.gone += not same and (before.gone is None or before.version != "")  # else nobody ever saw it alive
        self.changed += same  # it was back, and said more, before it went again
        ended = self._end(record, before) if into else before.version  # what came after is its heir's own
        if body != old:
            self.updates.append(self._last_row(record, raw_hash, before, old, body))
            ended = record.version or before.version
        self.farewells.append((record.id, raw_hash, record.gone.value, into, ended))  # stored after the updates
        if self.stream.kind is Kind.ASSOCIATION:
            self.associations[record.id] = {}

    def _last_row(self, record: Record, raw_hash: int, before: _Known, old: Values, body: Values) -> rows.Row:
        """What it says that was rolled back, too, is nobody's word of now: should it be back, it was given before."""
        if self.back is None or not self._is_older(record, before):
            return self._revised(record, raw_hash, before, old, body, body_bytes(body), [])
        names = [name for name in body if body[name] != old.get(name)]
        self._note_loosened(record, before, old, body)
        return self._rewound(record, raw_hash, before, body, names, record.version, [])

    def _end(self, record: Record, before: _Known) -> str:
        """When it ended, which was no earlier than what it is known to have said, but for a time in the future."""
        if record.version and is_far(before.version, self.there):
            return record.version
        return max(record.version, before.version)

    def _says_more(self, record: Record, before: _Known, same: bool) -> bool:
        """Whether what a record says that is gone is heard. One that is gone as it was before has been back since, and
        has gone again, where it is newer."""
        if self.stream.kind is not Kind.LEAD:
            return False
        return record.version > before.version if same else self.back is not None or not self._is_older(record, before)

    def _last_words(self, record: Record) -> Values:
        """What a record that is gone still says. Its blanks say nothing: platforms empty what they delete."""
        values = self.mapped.quick(record.raw)
        if values is None:
            try:
                values, _ = self.mapped.read(self.mapped.decode(record.raw))
            except ValueError:
                values = {}
        return {name: value for name, value in values.items() if value is not None and value != []}

    def _read(self, record: Record, before: _Known | None = None) -> Reading | None:
        """What the record says; None where it has no part in this. One that was known and that the filter leaves out
        now takes no part any more."""
        filtered = self.reader.filtered
        read = self.reader.read(record)
        if self.reader.filtered > filtered and before is not None and before.gone != OUTSIDE:
            self.farewells.append((record.id, 0, OUTSIDE, None, before.version))
            if self.stream.kind is Kind.ASSOCIATION:
                self.associations[record.id] = {}
        return read

    def store(self) -> None:
        """Write it all."""
        rows.insert(self.tx, records, _PLAIN, self.plain, encoded="body")
        rows.insert(self.tx, records, _INSERTED, self.inserts)
        change = partial(rows.update, self.tx, records, self.stream.id, "id")
        change(_UPDATED, self.updates, also='gone = NULL, "into" = NULL, dirty = true')
        change(_TOUCHED, self.touches)
        change(_GONE, self.farewells, also="dirty = true")
        self.ended.store()
        if self.associations:
            ties.store(self.tx, self.stream.connection, self.stream.object, self.associations)


_PLAIN = ("stream", "id", "raw_hash", "hash", "body", "version", "first_at")
"""Of a record in which nothing is out of the ordinary: it lives, was read whole, and waits for its decision."""
_INSERTED = (*_PLAIN, "gone", "into", "problems", "dirty")
_UPDATED = ("raw_hash", "hash", "body", "changed", "held", "version", "problems", "first_at")
_TOUCHED = ("raw_hash", "version", "problems", "first_at")
_GONE = ("raw_hash", "gone", "into", "version")


def _made_at(before: _Known, old: Values, body: Values, since: str) -> str:
    """Since when the values count that a record was made with. Where we made it and were answered with no more than its
    id, only its first look tells, by its platform's clock: when it was made, or that nothing else was given since."""
    if before.version:
        return before.first_at
    told = {name for name, value in body.items() if value is not None and name not in old}
    made: str = body["created_at"] if "created_at" in told else before.first_at if told else since
    return made


def _problem_text(problems: list[ValueProblem]) -> str | None:
    if not problems:
        return None
    return orjson.dumps([[p.field, p.code, p.reason] for p in problems]).decode()


def _stands_as(record: Record, before: str | None) -> bool:
    """Whether the record is as gone as it was. What lives and was set aside stays so until its bytes change."""
    return before == record.gone or (record.gone is None and before == OUTSIDE)


def _into(record: Record, object: str) -> str | None:
    return f"{record.into_object or object}/{record.into}" if record.into else None
