"""A platform for simulations: it speaks the connector port with every bad habit, and remembers what people did to it.

Habits (how it is) and faults (what goes wrong at a rate) are drawn from the seed of a scenario. Nothing here looks at
a clock or a random source of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson

from config.clock import ManualClock, stamp
from config.errors import InDoubt, QuotaExhausted, RecordRejected, RetryLater
from connectors.api import (
    FieldSchema,
    Gone,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Record,
    Request,
    Result,
    Verb,
)

OVERLAP = timedelta(seconds=90)
"""What an incremental pull reads again; no index of a side lags longer."""

FAULTS = (
    "pull_breaks",
    "read_breaks",
    "push_breaks",
    "later",
    "refused",
    "lost_after",
    "lost_before",
    "late_commit",
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a side is, all through a scenario."""

    page_size: int = 2
    whole_seconds: bool = False  # its times have no fractions
    echoes: bool = True  # a write's answer holds the record
    lag: float = 0.0  # seconds until the index shows a change
    shuffles: bool = False  # pages come in any order, and rows twice
    shouts: bool = False  # it stores names in capitals
    finds_by_key: bool = True  # a create that meets its key updates


@dataclass(slots=True)
class Row:
    """A record as it was from `at` on."""

    id: str
    at: datetime
    version: str
    values: dict[str, Any]
    gone: Gone | None = None
    into: str = ""


@dataclass(slots=True)
class Side:
    """One platform: the history of each row, what people and the engine did."""

    name: str
    clock: ManualClock
    habits: Habits
    rates: dict[str, float]
    rng: Random
    account_id: str = ""
    history: dict[str, list[Row]] = field(default_factory=dict)
    late: list[tuple[int, Operation]] = field(default_factory=list)
    created: Counter[str] = field(default_factory=Counter)  # by the engine, by e-mail
    known: set[str] = field(default_factory=set)  # records that were shown while they lived
    told_gone: set[str] = field(default_factory=set)  # known ones that were shown as gone
    revived: set[str] = field(default_factory=set)  # people made anew after that, by e-mail
    struck: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    healed: bool = False
    between: Callable[[], None] = lambda: None  # what happens in the world before each call
    boundary: Callable[[str], None] = lambda name: None
    _ids: int = 0

    # people

    def rows(self) -> dict[str, Row]:
        """Every record as it is now."""
        return {id: told[-1] for id, told in self.history.items()}

    def live(self) -> dict[str, Row]:
        return {id: row for id, row in self.rows().items() if row.gone is None}

    def put(self, values: dict[str, Any]) -> str:
        self._ids += 1
        id = f"{self.name[0]}{self._ids:03d}"
        self.history[id] = []
        self._store(id, values)
        return id

    def edit(self, id: str, values: dict[str, Any]) -> None:
        self._store(id, {**self.history[id][-1].values, **values})

    def remove(self, id: str, gone: Gone = Gone.DELETED, into: str = "") -> None:
        self._store(id, self.history[id][-1].values, gone, into)

    def _store(self, id: str, values: dict[str, Any], gone: Gone | None = None, into: str = "") -> None:
        now = self.clock.now()
        shown = now.replace(microsecond=0) if self.habits.whole_seconds else now
        told = dict(values)
        if self.habits.shouts and isinstance(told.get("first"), str):
            told["first"] = told["first"].upper()
        self.history[id].append(Row(id, now, stamp(shown), told, gone, into))

    # faults

    def strikes(self, fault: str) -> bool:
        rate = self.rates.get(fault, 0.0)
        if self.healed or rate == 0.0 or self.rng.random() >= rate:
            return False
        self.struck[fault] += 1
        return True

    def _call(self, what: str) -> None:
        self.boundary(f"{self.name}.{what}.before")
        self.clock.advance(self.rng.choice((0.05, 0.4, 1.3)))
        self.between()
        self.calls += 1
        due = [operation for call, operation in self.late if call <= self.calls]
        self.late = [(call, operation) for call, operation in self.late if call > self.calls]
        for operation in due:
            self._apply(operation)

    # the port

    def check(self) -> Health:
        self._call("check")
        return Health(self.account_id or self.name, self.name)

    def describe(self, object: str) -> ObjectSchema:
        self._call("describe")
        names = ("email", "first", "title", "consent", "key")
        return ObjectSchema(object, {name: FieldSchema(name, "text") for name in names})

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        state = orjson.loads(cursor) if cursor else {"since": since, "after": ""}
        began = state.get("began") or stamp(self.clock.now() - OVERLAP)
        after = state["after"]
        while True:
            self._call("pull")
            if self.strikes("pull_breaks"):
                raise RetryLater("No answer.", after=1)
            found = [row for row in self._shown() if row.id > after and row.version >= state["since"]]
            found.sort(key=lambda row: row.id)
            page, more = found[: self.habits.page_size], len(found) > self.habits.page_size
            records = [_record(row) for row in page]
            self.known.update(row.id for row in page if row.gone is None)
            self.told_gone.update(row.id for row in page if row.gone and row.id in self.known)
            if self.habits.shuffles:
                records += records[:1]
                self.rng.shuffle(records)
            self.boundary(f"{self.name}.pull.after")
            if not more:
                yield Page(records, orjson.dumps({"since": began, "after": ""}).decode(), False)
                return
            after = page[-1].id
            yield Page(records, orjson.dumps({**state, "after": after, "began": began}).decode(), True)

    def _shown(self) -> list[Row]:
        """Every row as the index shows it, which may be as it was a while ago."""
        seen = self.clock.now() - timedelta(seconds=0.0 if self.healed else self.habits.lag)
        shown = []
        for told in self.history.values():
            past = [row for row in told if row.at <= seen]
            if past:
                shown.append(past[-1])
        return shown

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self._call("read")
        if self.strikes("read_breaks"):
            raise RetryLater("No answer.", after=1)
        found: dict[str, Record] = {}
        for row in self.rows().values():
            value = row.id if key == "id" else str(row.values.get(key))
            if value in values and (key == "id" or row.gone is None):
                found[value] = _record(row)
        self.boundary(f"{self.name}.read.after")
        return found

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        for operation in operations:
            self._call("push")
            if self.strikes("push_breaks"):
                raise QuotaExhausted("No calls are left.")
            if self.strikes("later"):
                yield Result(operation.key, error=RetryLater("Busy.", after=1))
                continue
            if self.strikes("refused"):
                yield Result(operation.key, error=RecordRejected("It does not take this.", code="invalid"))
                continue
            if self.strikes("lost_before"):
                yield Result(operation.key, error=InDoubt("No answer came."))
                continue
            if self.strikes("late_commit"):
                self.late.append((self.calls + self.rng.randint(1, 3), operation))
                yield Result(operation.key, error=InDoubt("No answer came."))
                continue
            row, created = self._apply(operation)
            self.boundary(f"{self.name}.push.after")
            if self.strikes("lost_after"):
                yield Result(operation.key, error=InDoubt("No answer came."))
            else:
                yield Result(operation.key, row.id, created, _record(row) if self.habits.echoes else None)

    def _apply(self, operation: Operation) -> tuple[Row, bool]:
        if operation.verb is Verb.CREATE:
            known = self._meets(operation) if self.habits.finds_by_key else None
            if known is None:
                email = str(operation.values.get("email"))
                if any(self.history[id][-1].values.get("email") == email for id in self.told_gone):
                    self.revived.add(email)
                id = self.put(dict(operation.values))
                self.created[email] += 1
                return self.history[id][-1], True
            values = dict(operation.values)
            if self.history[known][-1].values.get("consent") == "unsubscribed":
                values.pop("consent", None)  # no connector may opt somebody in who is there and has opted out
            self.edit(known, values)
            return self.history[known][-1], False
        row = self.history[operation.id][-1]
        if row.gone is None:  # a late write to what was deleted meanwhile comes to nothing
            self.edit(operation.id, dict(operation.values))
        return self.history[operation.id][-1], False

    def _meets(self, operation: Operation) -> str | None:
        for row in self.live().values():
            if operation.match and all(row.values.get(name) == value for name, value in operation.match.items()):
                return row.id
        return None

    def verify(self, request: Request) -> list[Notice]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def _record(row: Row) -> Record:
    return Record(row.id, orjson.dumps(row.values), row.version, row.gone, row.into)


def drawn_habits(rng: Random) -> Habits:
    """Each seed draws its own."""
    return Habits(
        page_size=rng.choice((1, 2, 3, 50)),
        whole_seconds=rng.random() < 0.4,
        echoes=rng.random() < 0.6,
        lag=rng.choice((0.0, 0.0, 5.0, 60.0)),
        shuffles=rng.random() < 0.3,
        shouts=rng.random() < 0.25,
        finds_by_key=rng.random() < 0.7,
    )


def drawn_rates(rng: Random) -> dict[str, float]:
    """Some faults never, some rarely, some all the time (swarm): what is drawn together finds what is not."""
    return {name: rng.choice((0.0, 0.0, 0.02, 0.1, 0.35)) for name in FAULTS}


__all__ = ["FAULTS", "OVERLAP", "Habits", "Row", "Side", "drawn_habits", "drawn_rates"]
