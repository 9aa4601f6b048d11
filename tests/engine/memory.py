"""A platform that lives in memory and speaks the port: what the engine's own tests run against.

It has a habit switch for each thing that goes wrong on real platforms: answers lost after the effect, rows refused,
values rewritten, quotas. Two of them stand for a marketing tool and a CRM.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from config.clock import Clock, stamp
from config.errors import ClosedloopError, InDoubt, RecordRejected, RetryLater
from connectors.api import (
    Account,
    Budget,
    Connector,
    FieldSchema,
    Gone,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Platform,
    Record,
    Request,
    Result,
    Surroundings,
    Verb,
)


@dataclass
class Row:
    id: str
    values: dict[str, Any]
    version: str
    gone: Gone | None = None
    into: str = ""
    into_object: str = ""


@dataclass
class Memory:
    """The platform's side: rows by object, what is refused, what is rewritten, what was asked."""

    clock: Clock
    page_size: int = 3
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    refuse: Callable[[Operation], ClosedloopError | None] = lambda operation: None
    rewrite: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values
    lose_answers: int = 0
    breaks_after: int | None = None  # pages, of one pull
    invents: str = ""  # "records", "pages" (empty ones) or "calls" without end, for who pulls contacts
    blind: bool = False  # nobody is found by a key yet: its index lags
    account_id: str = "acc-1"
    ahead: float | None = None  # of ours, ahead of its clock, as its answers tell it
    returns_records: bool = True
    by_address: bool = False  # an address is all that a record is known by: its id
    schema: dict[str, Sequence[str]] = field(default_factory=dict)
    writes: list[Operation] = field(default_factory=list)
    pulls: int = 0
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, object: str, values: dict[str, Any], id: str = "") -> str:
        """A person creates a record."""
        id = id or (values["email"] if self.by_address else f"{object[:2]}{next(self._ids)}")
        self.rows.setdefault(object, {})[id] = Row(id, dict(values), stamp(self.clock.now()))
        return id

    def edit(self, object: str, id: str, values: dict[str, Any]) -> None:
        """A person edits a record."""
        row = self.rows[object][id]
        row.values.update(values)
        row.version = stamp(self.clock.now())

    def remove(self, object: str, id: str, gone: Gone = Gone.DELETED, into: str = "", into_object: str = "") -> None:
        """A person deletes, merges or converts a record."""
        row = self.rows[object][id]
        row.gone, row.into, row.into_object, row.version = gone, into, into_object, stamp(self.clock.now())

    def all(self, object: str) -> list[dict[str, Any]]:
        return [row.values for row in self.rows.get(object, {}).values() if row.gone is None]


@dataclass
class MemoryConnector:
    """The connector of a `Memory`."""

    memory: Memory
    calls: int = 0
    budget: Budget | None = None

    def check(self) -> Health:
        self.calls += 1
        return Health(self.memory.account_id, "Memory", ahead=self.memory.ahead)

    def describe(self, object: str) -> ObjectSchema:
        self.calls += 1
        names = self.memory.schema.get(object, ())  # none told: the platform has every field
        return ObjectSchema(object, {name: FieldSchema(name, "text") for name in names})

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        if self.memory.invents and object == "contacts":
            yield from self._invented(int(cursor or 0))
        state = orjson.loads(cursor) if cursor else {"since": since, "after": ""}
        rows = [row for row in self.memory.rows.get(object, {}).values() if row.version >= state["since"]]
        rows.sort(key=lambda row: row.id)
        rows = [row for row in rows if row.id > state["after"]]
        began = state.get("began") or stamp(self.memory.clock.now())
        size = self.memory.page_size
        pages = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
        for number, page in enumerate(pages):
            if number == self.memory.breaks_after:
                self.memory.breaks_after = None
                raise unreachable()
            self.calls += 1
            self.memory.pulls += 1
            last = number == len(pages) - 1
            next_state = {"since": began, "after": ""} if last else {**state, "after": page[-1].id, "began": began}
            yield Page([_record(row) for row in page], orjson.dumps(next_state).decode(), not last)

    def _invented(self, number: int) -> Iterator[Page]:
        """Ever new pages, each after the one before."""
        while True:
            number += 1
            self.calls += 1
            self.memory.clock.sleep(1.0)
            if self.memory.invents == "calls":
                assert self.budget
                self.budget.take("memory", 1, rate=1e9, burst=10**9)
                continue
            row = Row(f"co-{number}", {"email": f"n{number}@x.io"}, stamp(self.memory.clock.now()))
            yield Page([_record(row)] if self.memory.invents == "records" else [], str(number), more=True)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self.calls += 1
        found = {}
        rows = self.memory.rows.get(object, {})
        for row in rows.values():
            value = row.id if key == "id" else str(row.values.get(key))
            if value in values and not (self.memory.blind and key != "id"):
                merged = key == "id" and row.gone is Gone.MERGED
                found[value] = _record(rows[row.into] if merged else row)
        return found

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        assert operations, "a batch is one of something"
        for operation in operations:
            self.calls += 1
            error = self.memory.refuse(operation)
            if operation.id and operation.id not in self.memory.rows.get(operation.object, {}):
                error = rejected(code="not_found")
            if error is not None:
                yield Result(operation.key, error=error)
                continue
            self.memory.writes.append(operation)
            row, created = self._write(operation)
            if self.memory.lose_answers:
                self.memory.lose_answers -= 1
                yield Result(operation.key, error=InDoubt("The answer was lost."))
                continue
            record = _record(row) if self.memory.returns_records else None
            yield Result(operation.key, row.id, created, record)

    def _write(self, operation: Operation) -> tuple[Row, bool]:
        rows = self.memory.rows.setdefault(operation.object, {})
        values = self.memory.rewrite(_nested(operation.values))
        if operation.verb is Verb.CREATE:
            for row in rows.values():
                named = operation.match and all(row.values.get(k) == v for k, v in operation.match.items())
                if named and row.gone is None:
                    row.values.update(values)
                    row.version = stamp(self.memory.clock.now())
                    return row, False
            return rows[self.memory.put(operation.object, values)], True
        row = rows[operation.id]
        if operation.verb is Verb.UPDATE:
            row.values.update(values)
            if self.memory.by_address:
                row.id = row.values["email"]
                rows[row.id] = rows.pop(operation.id)
        else:
            row.gone = Gone.ARCHIVED if operation.verb is Verb.ARCHIVE else Gone.ERASED
            row.values = row.values if operation.verb is Verb.ARCHIVE else {}
        row.version = stamp(self.memory.clock.now())
        return row, False

    def verify(self, request: Request) -> list[Notice]:
        return []

    def close(self) -> None:
        self.calls += 0


def _nested(values: Any) -> dict[str, Any]:
    return dict(values)


def _record(row: Row) -> Record:
    return Record(row.id, orjson.dumps(row.values), row.version, row.gone, row.into, row.into_object)


def rejected(field: str = "", code: str = "invalid") -> RecordRejected:
    return RecordRejected("The platform does not take this value.", field=field, code=code)


def unreachable() -> RetryLater:
    return RetryLater("No answer.", after=1)


def platform(name: str, folder: Path, memory: Memory) -> Platform:
    """The platform `name`, with manifest and mapping in `folder`, over `memory`."""

    def open(account: Account, surroundings: Surroundings) -> Connector:
        return MemoryConnector(memory, budget=surroundings.budget)

    return Platform(name, folder, open, None)
