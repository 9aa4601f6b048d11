"""A state in memory that speaks to SQLite itself: the engine's own statements, as SQLAlchemy compiles them, without
SQLAlchemy's connections, transactions and results around each.

Simulations run some hundred small statements a sync, of which the database takes a tenth of the time. What was read is
known as long as nothing is written to the tables it was read from: many a look finds what the last one found. Some
scenarios run on the true State as well (see `test_simulation`): they must go the same way, step by step.
"""

from __future__ import annotations

import re
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import chain
from typing import Any

from sqlalchemy import Alias, Column, Table
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import Function

from config.clock import Clock
from sync.state.database import State
from sync.state.schema import metadata

_DIALECT = SQLiteDialect_pysqlite()
_EXPANDED = re.compile(r"__\[POSTCOMPILE_(\w+)\]")
_MISSING = object()
OFTEN = 20
"""Runs of one statement after which it is one that the engine keeps, and not one that is built anew each time."""


class Found(list[Any]):
    """The rows that a statement gave, with the few ways of reading them that the engine uses."""

    __slots__ = ()
    rowcount = -1

    def all(self) -> list[Any]:
        return list(self)

    fetchall = all

    def first(self) -> Any:
        return self[0] if self else None

    def one_or_none(self) -> Any:
        if len(self) > 1:
            raise ValueError("more than one row")
        return self[0] if self else None

    def one(self) -> Any:
        if len(self) != 1:
            raise ValueError(f"{len(self)} rows, not one")
        return self[0]

    def scalar(self) -> Any:
        return self[0][0] if self else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalars(self) -> list[Any]:
        return [row[0] for row in self]

    def mappings(self) -> Found:
        return Found(row._asdict() for row in self)


NOTHING = Found()
"""What most look-ups find. It is handed out as it is: all that reads it makes a list of its own."""


class Changed(Found):
    """What a statement came to that gives no rows: how many it changed."""

    __slots__ = ("rowcount",)

    def __init__(self, rowcount: int) -> None:
        super().__init__()
        self.rowcount = rowcount


@cache
def _counted(rowcount: int) -> Changed:
    return Changed(rowcount)


class _Compiled:
    """A statement as text, and how its parameters are gathered, given some of these names."""

    def __init__(self, statement: Any, key: Any, columns: list[str], many: bool) -> None:
        compiled = statement._compiler(_DIALECT, cache_key=key, column_keys=columns, for_executemany=many)
        self._text: str = compiled.string
        extracted = {bound.key: place for place, bound in enumerate(key[1])}
        by_name = {name: bound for bound, name in compiled.bind_names.items()}
        processors = compiled._bind_processors
        parameters = [_Parameter(by_name[name], processors.get(name), columns) for name in compiled.positiontup or ()]
        self._fixed = [(extracted.get(own.bound.key, -1), own) for own in parameters if not own.given]
        self.values, self.sizes, self.known = _places(parameters)
        # generated: this is done for each of some hundred statements a sync
        self._gather = eval(f"lambda fixed: lambda given: {self.values}", self.known)
        self._measure = eval(f"lambda fixed: lambda given: {self.sizes}", self.known)
        self._lists = [own for own in parameters if own.bound.expanding]
        self.texts: dict[tuple[int, ...], str] = {}
        self.shape: Any = _shaped(compiled._result_columns) if compiled._result_columns else None

    def bound(self, values: Sequence[Any]) -> _Bound:
        """Ready to run; what the statement itself holds is as in `values`."""
        fixed = [own.held(values[place] if place >= 0 else own.bound) for place, own in self._fixed]
        text: Any = self._text
        if any(own.given for own in self._lists):
            text = partial(_spread, self.text, self._measure(fixed))
        elif self._lists:
            text = self.text(self._measure(fixed)(None))
        return _Bound(self, text, self._gather(fixed), fixed)

    def text(self, sizes: tuple[int, ...]) -> str:
        """The text with a place for each value of its lists, which are of these sizes."""
        text = self.texts.get(sizes)
        if text is None:
            marks = [_marks(number, own.width) for number, own in zip(sizes, self._lists, strict=True)]
            following = iter(marks)
            text = self.texts[sizes] = _EXPANDED.sub(lambda _: next(following), self._text)
        return text


class _Parameter:
    """A parameter of a statement: given with each run, or held by the statement. A list has a place for each value."""

    def __init__(self, bound: Any, process: Any, names: Sequence[str]) -> None:
        self.bound, self.given = bound, bound.key in names
        self.width = len(bound.type.types) if bound.expanding and bound.type._is_tuple_type else 0
        self.process = None if isinstance(process, tuple) else process  # of tuples: what is compared so is plain text
        if self.process is not None and bound.expanding:
            self.process = partial(_each, process)

    def held(self, found: Any) -> Any:
        value = found.value if found.callable is None else found.effective_value
        return value if self.process is None else self.process(value)


def _places(parameters: Sequence[_Parameter]) -> tuple[str, str, dict[str, Any]]:
    """Two tuples in Python's words: of all values in their places, and of the sizes of the lists; what a statement
    holds is `fixed` there, what a run is given `given`. And what else they name."""
    values: list[str] = []
    sizes: list[str] = []
    held = 0
    for number, own in enumerate(parameters):
        one = f"given[{own.bound.key!r}]" if own.given else f"fixed[{held}]"
        held += not own.given
        if own.bound.expanding:
            sizes.append(f"len({one}),")
        if own.given and own.process is not None:
            one = f"process[{number}]({one})"
        if own.width:
            one = f"flat({one})"
        values.append(f"*{one}," if own.bound.expanding else f"{one},")
    known = {"process": [own.process for own in parameters], "flat": chain.from_iterable}
    return f"({''.join(values)})", f"({''.join(sizes)})", known


def _spread(text: Callable[[tuple[int, ...]], str], measure: Callable[[Any], tuple[int, ...]], given: Any) -> str:
    return text(measure(given))


def _each(process: Any, values: Any) -> list[Any]:
    return [process(value) for value in values]


def _marks(number: int, width: int) -> str:
    """The places of a list of `number` values, or of tuples of `width` values."""
    if not number:
        return f"SELECT {', '.join('1' * (width or 1))} WHERE 1 != 1"
    if width:
        return "VALUES " + ", ".join(["(" + ", ".join("?" * width) + ")"] * number)
    return ", ".join("?" * number)


class _Bound:
    """A statement and what it holds of its own, `fixed`. `values(given)` are its parameters; `text`, where lists are
    given, is a function of what is given too."""

    __slots__ = ("fixed", "of", "shape", "text", "values")

    def __init__(self, of: _Compiled, text: Any, values: Callable[[Any], Sequence[Any]], fixed: list[Any]) -> None:
        self.of, self.text, self.values, self.shape, self.fixed = of, text, values, of.shape, fixed


def _shaped(columns: Sequence[Any]) -> Any:
    """How a row is told."""
    shape: Any = namedtuple("Row", [column.keyname for column in columns], rename=True)  # type: ignore[misc]
    types = [column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None) for column in columns]
    if not any(types):
        return partial(tuple.__new__, shape)
    cells = [f"process[{place}](row[{place}])" if process else f"row[{place}]" for place, process in enumerate(types)]
    known = {"new": tuple.__new__, "shape": shape, "process": types}
    return eval(f"lambda row: new(shape, ({', '.join(cells)},))", known)  # generated: called for each row


_COMPILED: dict[Any, _Compiled] = {}


def _bound(statement: Any, names: tuple[str, ...], several: bool) -> _Bound:
    """The statement, compiled once for all that are built alike."""
    key = statement._generate_cache_key()
    place = (key[0], names, several)
    compiled = _COMPILED.get(place)
    if compiled is None:
        compiled = _COMPILED[place] = _Compiled(statement, key, list(names), several)
    return compiled.bound(key[1])


class _Kept(dict[tuple[tuple[str, ...], bool], _Bound]):
    """What the engine builds once and runs often, bound once too. A copy of the statement is another one."""

    def __init__(self, statement: Any) -> None:
        self.owner = id(statement)
        self.runs = 0


_GIVEN = """
def run(given):
    if given.__class__ is list and len(given) == 1:
        given = given[0]
    if given.__class__ is not dict or len(given) != {number}:
        return None
    try:
        told = {values}
    except KeyError:
        return None
"""
_BARE = """
def run(given):
    if given is not None:
        return None
"""
_READ = """
    now = {now}
    last = known.get(told)
    if last is not None and last[0] == now:
        return last[1]
    execute({text}, told)
    found = Found(map(shape, rows)) if (rows := fetch()) else NOTHING
    known[told] = now, found
    return found
"""
_LOOK = """
    execute({text}, told)
    return Found(map(shape, rows)) if (rows := fetch()) else NOTHING
"""
_WRITE = """
    done = execute({text}, told)
    if done.rowcount:
        writes[{place}] += 1
    return counted(done.rowcount)
"""
_WRITE_AND_READ = """
    execute({text}, told)
    found = Found(map(shape, fetch()))
    writes[{place}] += 1
    return found
"""
_PLACES = {table.name: place for place, table in enumerate(metadata.sorted_tables)}


def _read_from(statement: Any) -> list[int]:
    """The places of the tables that the statement reads; none where what it finds hangs on more than these."""
    parts = list(visitors.iterate(statement))
    if any(isinstance(part, Function) and part.name == "julianday" for part in parts):
        return []
    named = [part.table if isinstance(part, Column) else part for part in parts]
    tables = [part.element if isinstance(part, Alias) else part for part in named]
    return sorted({_PLACES[table.name] for table in tables if isinstance(table, Table)})


def _ready(
    cursor: sqlite3.Cursor, statement: Any, bound: _Bound, names: tuple[str, ...], writes: list[int], known: Any
) -> Callable[[Any], Found | None]:
    """Runs a statement that is always given parameters of these names; None for what is given otherwise. It is one
    function, generated: these are called five hundred times a scenario. `known` is what it found, by parameters, with
    the sum of the `writes` to its tables as of then."""
    of, text = bound.of, "text"
    space = {**of.known, "execute": cursor.execute, "fetch": cursor.fetchall, "shape": of.shape, "fixed": bound.fixed}
    if isinstance(bound.text, str):
        space["text"] = bound.text
    else:
        space |= {"texts": of.texts, "spread": of.text}
        text = f"texts.get({of.sizes}) or spread({of.sizes})"
    if not names:
        space["told"] = bound.values(None)
    space |= {"Found": Found, "NOTHING": NOTHING, "counted": _counted, "writes": writes, "known": known}
    body, now, place = _body(statement, bound)
    source = (_GIVEN if names else _BARE) + body
    exec(source.format(number=len(names), values=of.values, text=text, now=now, place=place), space)
    run: Callable[[Any], Found | None] = space["run"]
    return run


def _body(statement: Any, bound: _Bound) -> tuple[str, str, int]:
    """What carries the statement out; the sum of the writes to the tables it reads, and the place of the one that it
    writes to."""
    if statement.is_dml:
        return _WRITE_AND_READ if bound.shape else _WRITE, "", _PLACES[statement.table.name]
    tables = _read_from(statement)
    if not tables or len(bound.of._lists) > 1:  # of two lists the values do not tell where one ends
        return _LOOK, "", 0
    return _READ, " + ".join(f"writes[{place}]" for place in tables), 0


class Transaction:
    """What the engine calls a connection: it carries statements out."""

    dialect = _DIALECT

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._cursor = driver.cursor()
        self._often: dict[Any, Callable[[Any], Found | None]] = {}
        self._known: list[dict[Any, Any]] = []
        self._writes = [0] * len(_PLACES)

    def forget(self) -> None:
        """The tables are others than they were: nothing that was read is known any more."""
        for known in self._known:
            known.clear()

    def execute(self, statement: Any, given: Any = None) -> Found:
        often = self._often.get(statement)
        if often is not None:
            found = often(given)
            if found is not None:
                return found
        return self._execute(statement, given)

    def _execute(self, statement: Any, given: Any) -> Found:
        many = isinstance(given, list)
        several = many and len(given) > 1
        first = (given[0] if given else ()) if many else given
        names = tuple(first) if first else ()
        kept = statement.__dict__.get("_closedloop_kept", _MISSING)
        if kept is _MISSING:  # it may have been built for this one time
            statement.__dict__["_closedloop_kept"] = None
            bound = _bound(statement, names, several)
        else:
            if kept is None or kept.owner != id(statement):
                kept = statement.__dict__["_closedloop_kept"] = _Kept(statement)
            bound = kept.get((names, several))
            if bound is None:
                bound = kept[(names, several)] = _bound(statement, names, several)
            kept.runs += 1
            if kept.runs >= OFTEN and not several and statement not in self._often:
                self._known.append({})
                ready = _ready(self._cursor, statement, bound, names, self._writes, self._known[-1])
                self._often[statement] = ready
        if statement.is_dml:
            self._writes[_PLACES[statement.table.name]] += 1
        if several:
            cursor = self._cursor.executemany(bound.text, map(bound.values, given))
            return _counted(cursor.rowcount)
        text = bound.text if isinstance(bound.text, str) else bound.text(first)
        cursor = self._cursor.execute(text, bound.values(first))
        return Found(map(bound.shape, cursor.fetchall())) if bound.shape else _counted(cursor.rowcount)

    def exec_driver_sql(self, text: str, given: Any = None) -> Found:
        if not text.startswith("SELECT "):
            self._writes[_written(text)] += 1
        if isinstance(given, list):
            cursor = self._cursor.executemany(text, given)
        else:
            cursor = self._cursor.execute(text, given or ())
        return Found(cursor.fetchall()) if cursor.description else _counted(cursor.rowcount)


@cache
def _written(text: str) -> int:
    """The place of the table that a statement writes to, which stands behind INSERT INTO or UPDATE."""
    first, second, third, *_ = text.split()
    return _PLACES[third if first == "INSERT" else second]


class _Engine:
    """What of an engine the state asks for."""

    dialect = _DIALECT
    url = "sqlite://"

    def dispose(self) -> None:
        """Nothing is pooled."""


class Memory:
    """A database in memory for one scenario after the other: each begins with the empty tables."""

    def __init__(self) -> None:
        from sqlalchemy import create_engine

        self.driver = sqlite3.connect(":memory:", isolation_level=None, cached_statements=1000)
        engine = create_engine("sqlite://", creator=lambda: self.driver)
        metadata.create_all(engine)
        self.driver.isolation_level = None
        self.driver.execute("PRAGMA foreign_keys=ON")
        self.transaction: Any = Transaction(self.driver)
        self.reading, self.writing = Reading(self.transaction), Writing(self)
        self.run = self.driver.cursor().execute
        self.inside = False

    def renew(self) -> None:
        """Forget everything since the last call. What was prepared stays prepared: the tables are the same."""
        self.transaction.forget()
        if self.driver.in_transaction:
            self.run("ROLLBACK")
        self.run("BEGIN")

    def state(self, clock: Clock) -> State:
        """A state on it, as a process would open one."""
        state = State(_Engine(), clock)  # type: ignore[arg-type]
        state.__dict__["begin"] = self.begin
        state.__dict__["read"] = self.read
        return state

    def begin(self, *, durable: bool = True) -> Writing:
        return self.writing

    def read(self) -> Reading:
        return self.reading


class Writing:
    """A transaction that writes: kept at its end, undone by any exception."""

    __slots__ = ("_memory",)

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def __enter__(self) -> Any:
        if self._memory.inside:
            raise RuntimeError("a write transaction inside a write transaction would wait for itself")
        self._memory.inside = True
        self._memory.run("SAVEPOINT one")
        return self._memory.transaction

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._memory.run("ROLLBACK TO one")
            self._memory.transaction.forget()
        self._memory.run("RELEASE one")
        self._memory.inside = False


class Reading:
    """A look at what is there."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def __enter__(self) -> Any:
        return self._transaction

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""


__all__ = ["Changed", "Found", "Memory", "Reading", "Transaction", "Writing"]
