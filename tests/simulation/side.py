"""A platform for simulations: it speaks the connector port with every bad habit, and remembers what people did to it.

Habits (how it is) and faults (what goes wrong at a rate) are drawn from the seed of a scenario. Nothing here looks at
a clock or a random source of its own. The process behind a call is a `Seat`: of two processes each has its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson

from config.clock import ManualClock, stamp
from config.errors import AuthorizationLost, InDoubt, PermissionMissing, QuotaExhausted, RecordRejected, RetryLater
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
from sync.push import DOUBT
from tests.simulation.clocks import Watch
from tests.simulation.moments import FILLER
from tests.simulation.naming import Number, ascending
from tests.simulation.swarm import Habits

OVERLAP = timedelta(seconds=90)
"""What an incremental pull reads again; no index of a side lags longer."""

LATEST = timedelta(seconds=DOUBT - 10)
"""After it no side does a write any more whose answer it did not give: the engine waits for DOUBT."""

RACE = timedelta(seconds=90)
"""Between a look-up and the create that follows it, no longer ago, a record may be brought back that it missed."""
LACKING = "no such field"

NAMES = ("email", "first", "title", "stage", "consent", "key")


@dataclass(slots=True)
class Row:
    """A record as it was from `at` on."""

    id: str
    object: str
    at: datetime
    version: str
    values: dict[str, Any]
    gone: Gone | None = None
    into: str = ""
    into_object: str = ""


@dataclass(slots=True)
class Side:
    """One platform: the history of each row, what people and the engine did."""

    name: str
    clock: ManualClock | Watch
    habits: Habits
    rates: dict[str, float]
    rng: Random
    objects: tuple[str, ...] = ("contacts",)
    history: dict[str, list[Row]] = field(default_factory=dict)
    late: list[tuple[int, datetime, Operation]] = field(default_factory=list)  # done at this call, or by this time
    created: Counter[str] = field(default_factory=Counter)  # by the engine, by e-mail
    unheard: Counter[str] = field(default_factory=Counter)  # of those, gone untold by the time that the next was made
    looks: dict[str, tuple[datetime, set[str]]] = field(default_factory=dict)  # key -> last look, what was gone
    known: set[str] = field(default_factory=set)  # records that the engine stored while they lived
    shown: set[tuple[str, str, Any]] = field(default_factory=set)  # (id, field, value) that anybody was shown
    forgotten: set[tuple[str, str, Any]] = field(default_factory=set)  # of those: to a state that was lost only
    untold: set[tuple[str, str]] = field(default_factory=set)  # (id, field) that the last answer left out
    purged: set[str] = field(default_factory=set)  # gone for so long that nothing tells of them
    silent: set[str] = field(default_factory=set)  # of those: opted out, which stood nowhere else by then
    unlisted: set[str] = field(default_factory=set)  # deleted in silence: no listing tells of them
    erased: set[str] = field(default_factory=set)  # of those: no read by id does
    ahead: dict[str, timedelta] = field(default_factory=dict)  # how far ahead of the clock a record's times are
    told_gone: set[str] = field(default_factory=set)  # known ones that it stored as gone
    filled: set[tuple[str, str]] = field(default_factory=set)  # (id, field) that it stored, or wrote, as not blank
    blind: set[tuple[str, str, Any]] = field(default_factory=set)  # (id, field, value) written over, and never shown
    anew: dict[str, datetime] = field(default_factory=dict)  # fields that were made anew, and when
    revived: set[str] = field(default_factory=set)  # people made anew after that, by e-mail
    whose: dict[str, str] = field(default_factory=dict)  # record -> the address that its person joined with
    stood: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # record -> (version, address) that the engine stored or wrote last
    left: dict[str, tuple[str, dict[str, tuple[str, str]]]] = field(default_factory=dict)  # late create: whose, `stood`
    mistaken: set[str] = field(default_factory=set)  # people of whom no engine could know which record is whose
    strangers: set[str] = field(default_factory=set)  # people converted under an address that the engine had not heard
    refused: set[str] = field(default_factory=set)  # keys of operations
    writes: list[tuple[Verb, Row | None, dict[str, Any]]] = field(default_factory=list)  # what, over what, of what
    met: Counter[str] = field(default_factory=Counter)  # call/fault
    calls: int = 0
    broke: int = 0  # checks and pulls that failed
    pushes: int = 0
    healed: bool = False
    between: Callable[[], None] = lambda: None  # what happens in the world before each call
    boundary: Callable[[str], None] = lambda name: None
    identify: Callable[[Mapping[str, Any]], str] = lambda values: email_of(values)  # of whom a create speaks
    then: Callable[[Side, Row, frozenset[str]], Row] = lambda side, row, written: row  # what a write sets off there
    taken: Callable[[Operation], Operation] = lambda operation: operation  # what it makes of a write
    ours: Callable[[], datetime] | None = None  # the engine's clock, which its answers are held against
    pause: tuple[float, ...] = (0.05, 0.4, 1.3)  # seconds a call may take
    slow: float = 0.0  # seconds that a write takes beside that: of some written at once, the last leave late
    moment: datetime | None = None  # when what is being done was done; None for now
    came_late: datetime | None = None  # when the last of what came late was done
    doing: str = ""  # the call under way or last, and the fault that struck it
    struck: str = ""
    fills: bool = False  # it fills in first names where there are none
    cuts: int = 0  # letters after which it cuts names and titles off; 0 where it does not
    lacking: str = ""  # a field that is gone just now
    strict: bool = False  # it refuses to be asked for such a field
    number: Number = ascending  # the number in the id of its nth record
    _ids: int = 0

    # people

    def rows(self) -> dict[str, Row]:
        """Every record as it is now."""
        return {id: told[-1] for id, told in self.history.items()}

    def live(self) -> dict[str, Row]:
        return {id: told[-1] for id, told in self.history.items() if told[-1].gone is None}

    def put(self, values: dict[str, Any], object: str = "", person: str = "") -> str:
        self._ids += 1
        id = f"{self.name[0]}{self.number(self._ids, 9):03d}"
        self.history[id] = []
        self.whose[id] = person or email_of(values)
        self._store(id, object or self.objects[0], values)
        return id

    def edit(self, id: str, values: dict[str, Any]) -> None:
        last = self.history[id][-1]
        self._store(id, last.object, {**last.values, **values})

    def remove(self, id: str, gone: Gone = Gone.DELETED, into: str = "", into_object: str = "") -> None:
        last = self.history[id][-1]
        self._store(id, last.object, last.values, gone, into, into_object)

    def restore(self, id: str) -> None:
        last = self.history[id][-1]
        self._store(id, last.object, last.values)

    def convert(self, id: str) -> str:
        """A lead becomes a contact with the same values; its new id."""
        values = self.history[id][-1].values
        if id in self.stood and self.stood[id][1] != _address(values):
            self.strangers.add(self.whose[id])
        made = self.put(dict(values), self.objects[1], self.whose[id])
        self.remove(id, Gone.CONVERTED, made, self.objects[1])
        return made

    def _store(
        self,
        id: str,
        object: str,
        values: dict[str, Any],
        gone: Gone | None = None,
        into: str = "",
        into_object: str = "",
    ) -> None:
        now = self.moment or self.clock.now()
        shown = now.replace(microsecond=0) if self.habits.whole_seconds else now
        told = self.rewritten(dict(values))
        shown += self.ahead.get(id, timedelta(0))
        self.history[id].append(Row(id, object, now, stamp(shown), told, gone, into, into_object))

    def rewritten(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the side makes of values that it is given."""
        if self.habits.shouts and isinstance(values.get("first"), str):
            values["first"] = values["first"].upper()
        if self.fills and not values.get("first"):
            values["first"] = FILLER
        if self.cuts:
            values.update({name: values[name][: self.cuts] for name in ("first", "title") if values.get(name)})
        return values

    # faults

    def strikes(self, fault: str) -> bool:
        rate = self.rates.get(fault, 0.0)
        if self.healed or rate == 0.0 or self.rng.random() >= rate:
            return False
        self.met[f"{self.doing}/{fault}"] += 1
        self.struck = fault
        return True

    def call(self, what: str) -> None:
        """A request arrives: time passes, the world goes on, and what was late comes to be."""
        self.doing, self.struck = what, ""
        self.boundary("call.before")
        self.clock.advance(self.rng.choice(self.pause))
        self.between()
        self.calls += 1
        self.catch_up()

    def catch_up(self) -> None:
        """What is late and due by now is done: at the moment when it was due, if nobody called just then."""
        if not self.late:
            return
        now = self.clock.now()
        due = [one for one in self.late if one[0] <= self.calls or one[1] <= now]
        self.late = [one for one in self.late if one not in due]
        for _, by, operation in due:
            self.moment = min(now, by)
            self.apply(operation)
            self.came_late = self.moment
        self.moment = None

    @property
    def lags(self) -> bool:
        """Whether the index does not show everything yet that came late."""
        return self.came_late is not None and (self.clock.now() - self.came_late).total_seconds() < self.habits.lag

    def shown_rows(self, object: str) -> list[Row]:
        """Every row as the index shows it, which may be as it was a while ago."""
        if self.healed or not self.habits.lag:
            rows = (told[-1] for id, told in self.history.items() if id not in self.purged)
            return [row for row in rows if row.object == object]
        seen = self.clock.now() - timedelta(seconds=self.habits.lag)
        shown = []
        for id, told in self.history.items():
            if id in self.purged:
                continue
            past = [row for row in told if row.at <= seen and row.object == object]
            if past:
                shown.append(self._of_now(past[-1]))
        return shown

    def _of_now(self, row: Row) -> Row:
        """A row as it was, without what a field had held that was made anew since: its namesake is not shown."""
        blank = [name for name, at in self.anew.items() if row.at < at]
        return replace(row, values={**row.values, **dict.fromkeys(blank)}) if blank else row

    def told(self, row: Row) -> Record:
        """The row as an answer."""
        if row.gone is None:
            self.shown.update([(row.id, name, row.values.get(name)) for name in NAMES])
            if self.forgotten:
                self.forgotten.difference_update([(row.id, name, row.values.get(name)) for name in NAMES])
            if self.untold:
                self.untold.difference_update([(row.id, name) for name in NAMES])
        return Record(row.id, orjson.dumps(row.values), row.version, row.gone, row.into, row.into_object)

    def apply(self, operation: Operation) -> tuple[Row | None, bool]:
        """Carry out a write: the row it came to (None when there is none any more), and whether it is new."""
        operation = self.taken(operation)
        if operation.verb is Verb.CREATE:
            return self._create(operation)
        row = self.history[operation.id][-1]
        if row.gone is not None:
            return None, False
        self._over(row, operation)
        self.edit(operation.id, dict(operation.values))
        return self.history[operation.id][-1], False

    def _create(self, operation: Operation) -> tuple[Row, bool]:
        known = self._meets(operation) if self.habits.finds_by_key else None
        email, stood = self.left.pop(operation.key, (self.identify(operation.values), self.stood))
        if known is not None:
            if self.whose[known.id] != email and stood.get(known.id, ("", ""))[1] != _address(known.values):
                self.mistaken.update((email, self.whose[known.id]))
            values = dict(operation.values)
            if known.values.get("consent") == "unsubscribed":
                values.pop("consent", None)  # no connector may opt somebody in who is there and has opted out
            self._over(known, replace(operation, values=values))
            self.edit(known.id, values)
            return self.history[known.id][-1], False
        heard = self.told_gone | (self.unlisted & self.known)  # or never, and known to be there
        if any(self.whose[id] == email and id in stood for id in heard):  # and was, when this left
            self.revived.add(email)
        gone = (self._gone() | self._missed(operation)) - heard
        here = [id for id in gone if self.whose[id] == email]
        self.unheard[email] = max(self.unheard[email], len(here))
        self.writes.append((Verb.CREATE, None, dict(operation.values)))
        id = self.put(dict(operation.values), operation.object, email)
        self.stands(self.history[id][-1])
        self.filled.update((id, name) for name, value in operation.values.items() if value)
        self.created[email] += 1
        return self.history[id][-1], True

    def _gone(self) -> set[str]:
        return {id for id, told in self.history.items() if told[-1].gone}

    def looked_up(self, values: Iterable[str]) -> None:
        """A look-up by these keys showed nobody who is gone."""
        self.looks.update(dict.fromkeys(values, (self.clock.now(), self._gone())))

    def _missed(self, operation: Operation) -> set[str]:
        """What the look-up just before this create, or one by its own address, could not show: it was gone then."""
        keys = {str(value) for value in operation.match.values()}
        looks = [(key, gone) for key, (at, gone) in self.looks.items() if self.clock.now() - at < RACE]
        return {id for key, gone in looks for id in gone if key in keys or key == _address(self.history[id][-1].values)}

    def stands(self, row: Row) -> None:
        """The engine knows that the record has this address, or none since it is gone; an older state tells nothing."""
        if row.gone is not None or row.version >= self.stood.get(row.id, ("", ""))[0]:
            self.stood[row.id] = (row.version, _address(row.values) if row.gone is None else "")

    def _over(self, row: Row, operation: Operation) -> None:
        """The engine writes over a record: what of it nobody had been shown is noted."""
        self.writes.append((operation.verb, row, dict(operation.values)))
        if "email" in operation.values:  # somebody may give it another one again, before the engine looks
            self.stood[row.id] = (row.version, _address(operation.values))
        for name, value in operation.values.items():
            if value:
                self.filled.add((row.id, name))
            if (row.id, name, row.values.get(name)) not in self.shown:
                self.blind.add((row.id, name, row.values.get(name)))

    def _meets(self, operation: Operation) -> Row | None:
        for row in self.live().values():
            same = all(
                str(row.values.get(name)).casefold() == str(value).casefold() for name, value in operation.match.items()
            )
            if operation.match and same and row.object == operation.object:
                return row
        return None


def _address(values: Mapping[str, Any]) -> str:
    return str(values.get("email")).casefold()


def email_of(values: Mapping[str, Any]) -> str:
    """Whose record it is: the address that the person joined with. Of one they changed to, it is what is before and
    behind the +."""
    email = _address(values)
    return email.partition("+")[0] + email[email.index("@") :] if "+" in email else email


class Seat:
    """A process' connector to a side. `take()` is what every connector does before a call: it may be refused."""

    calls = 0

    def __init__(self, side: Side, take: Callable[[], None]) -> None:
        self.side = side
        self._take = take
        self.pending: list[Row] = []

    def stored(self) -> None:
        """The process has committed what it was shown: from now on it knows."""
        for row in self.pending:
            self.side.filled.update((row.id, name) for name, value in row.values.items() if value)
            self.side.stands(row)
            if row.gone is None:
                self.side.known.add(row.id)
            elif row.id in self.side.known:
                self.side.told_gone.add(row.id)
        self.pending.clear()

    def _call(self, what: str) -> None:
        self.side.call(what)
        self._take()

    def check(self) -> Health:
        self._call("check")
        if self.side.strikes("login_lost"):
            self.side.broke += 1
            raise AuthorizationLost("The credentials were taken back.")
        ours = self.side.ours
        ahead = (ours() - self.side.clock.now()).total_seconds() if ours is not None else None
        return Health(self.side.name, self.side.name, ahead=ahead)

    def describe(self, object: str) -> ObjectSchema:
        self._call("describe")
        return ObjectSchema(object, {name: FieldSchema(name, "text") for name in NAMES if name != self.side.lacking})

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        side = self.side
        state = orjson.loads(cursor) if cursor else {"since": since, "after": ""}
        began = state.get("began") or stamp(side.clock.now() - OVERLAP)
        after = state["after"]
        while True:
            self._call("pull")
            if side.strikes("pull_breaks"):
                self.pending.clear()
                side.broke += 1
                raise RetryLater("No answer.", after=1)
            self._ask(fields)
            found = [row for row in side.shown_rows(object) if row.id > after and row.version >= state["since"]]
            found.sort(key=lambda row: row.id)
            page, more = found[: side.habits.page_size], len(found) > side.habits.page_size
            held = {(row.id, name, row.values.get(name)) for row in page[:1] for name in ("first", "title")}
            new = held - (side.shown - side.forgotten) if side.forgotten else held - side.shown
            records = [side.told(row) for row in page]
            stored = list(page)
            if records and side.strikes("left_out"):
                name = side.rng.choice(("first", "title"))
                records[0] = _without(records[0], name)
                side.shown -= {what for what in new if what[1] == name}
                side.untold.add((page[0].id, name))
                stored[0] = replace(page[0], values={**page[0].values, name: None})
            self.pending.extend(stored)
            if side.habits.shuffles:
                records += records[:1]
                side.rng.shuffle(records)
            side.boundary("call.after")
            if not more:
                yield Page(records, orjson.dumps({"since": began, "after": ""}).decode(), False)
                return
            after = page[-1].id
            yield Page(records, orjson.dumps({**state, "after": after, "began": began}).decode(), True)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self._call("read")
        if self.side.strikes("read_breaks"):
            raise RetryLater("No answer.", after=1)
        self._ask(fields)
        found: dict[str, Row] = {}  # of several the last: the others the answer does not show
        # by another key than the id some platforms can only search, and a search lags
        searched = key != "id" and self.side.habits.lag < DOUBT
        for row in self.side.shown_rows(object) if searched else self.side.rows().values():
            value = row.id if key == "id" else str(row.values.get(key))
            if row.id in self.side.erased:
                continue
            if row.object == object and value in values and (key == "id" or row.gone is None):
                found[value] = row
        self.pending.extend(found.values())
        told = {value: self.side.told(row) for value, row in found.items()}
        if key != "id":
            self.side.looked_up(values)
        self.side.boundary("call.after")
        return told

    def _ask(self, fields: Sequence[str]) -> None:
        """A strict platform refuses to tell of a field that it has not."""
        side = self.side
        if side.strict and side.lacking in fields:
            self.pending.clear()
            side.broke += side.doing == "pull"
            side.struck = LACKING
            side.met[f"{side.doing}/{LACKING}"] += 1
            raise PermissionMissing("There is no such field.", field=side.lacking, code="no_such_field")

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        assert operations, "asked to write nothing"
        for operation in operations:
            if not self.side.healed:
                self.side.clock.advance(self.side.slow)
            self._call(operation.verb.value)
            self.side.pushes += 1
            yield self._pushed(operation)

    def _pushed(self, operation: Operation) -> Result:
        side = self.side
        if side.lacking in operation.values:
            side.struck = LACKING
            side.met[f"{side.doing}/{LACKING}"] += 1
            side.refused.add(operation.key)
            error = RecordRejected("There is no such field.", field=side.lacking, code="no_such_field")
            return Result(operation.key, operation.id, error=error)
        if side.strikes("push_breaks"):
            raise QuotaExhausted("No calls are left.")
        if side.strikes("later"):
            return Result(operation.key, error=RetryLater("Busy.", after=1))
        if side.strikes("refused"):
            side.refused.add(operation.key)
            return Result(operation.key, error=RecordRejected("It does not take this.", code="invalid"))
        if side.strikes("lost_before"):
            return Result(operation.key, error=InDoubt("No answer came."))
        if side.strikes("late_commit"):
            until = side.clock.now() + LATEST
            side.late.append((side.calls + side.rng.randint(1, 3), until, operation))
            if operation.verb is Verb.CREATE:
                side.left[operation.key] = (side.identify(operation.values), dict(side.stood))
            return Result(operation.key, error=InDoubt("No answer came."))
        row, created = side.apply(operation)
        if row is not None:
            row = side.then(side, row, frozenset(operation.values))
        side.boundary("call.after")
        if side.strikes("lost_after"):
            return Result(operation.key, error=InDoubt("No answer came."))
        if row is None:
            return Result(operation.key, error=RecordRejected("There is no such record.", code="not_found"))
        return Result(operation.key, row.id, created, side.told(row) if side.habits.echoes else None)

    def verify(self, request: Request) -> list[Notice]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def _without(record: Record, name: str) -> Record:
    """The record from an answer that leaves a field out."""
    values = {field: value for field, value in orjson.loads(record.raw).items() if field != name}
    return Record(record.id, orjson.dumps(values), record.version, record.gone, record.into, record.into_object)
