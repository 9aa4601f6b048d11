"""A state in memory that speaks to SQLite itself: the engine's own statements, as SQLAlchemy compiles them, without
SQLAlchemy's connections, transactions and results around each.

Simulations run some hundred small statements a sync, of which the database takes a tenth of the time. Some scenarios
run on the true State as well (see `test_simulation`): they must go the same way, step by step.
"""

from __future__ import annotations

import re
import sqlite3
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from config.clock import Clock
from sync.state.database import State
from sync.state.schema import metadata

_DIALECT = SQLiteDialect_pysqlite()
_EXPANDED = re.compile(r"__\[POSTCOMPILE_(\w+)\]")
_MISSING = object()


class Found:
    """What a statement gave, with the few ways of reading it that the engine uses."""

    __slots__ = ("_rows", "_shape", "rowcount")

    def __init__(self, rows: list[Any], shape: Any, rowcount: int) -> None:
        self._rows, self._shape, self.rowcount = rows, shape, rowcount

    def all(self) -> list[Any]:
        return [self._shape(row) for row in self._rows]

    fetchall = all

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def first(self) -> Any:
        return self._shape(self._rows[0]) if self._rows else None

    def one_or_none(self) -> Any:
        if len(self._rows) > 1:
            raise ValueError("more than one row")
        return self.first()

    def one(self) -> Any:
        if len(self._rows) != 1:
            raise ValueError(f"{len(self._rows)} rows, not one")
        return self.first()

    def scalar(self) -> Any:
        return self.first()[0] if self._rows else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalars(self) -> list[Any]:
        return [row[0] for row in self.all()]

    def mappings(self) -> Found:
        return Found(self._rows, lambda row: self._shape(row)._asdict(), self.rowcount)


class _Compiled:
    """A statement as text, and how its parameters are gathered."""

    def __init__(self, statement: Any, key: Any, columns: list[str] | None, many: bool) -> None:
        compiled = statement._compiler(_DIALECT, cache_key=key, column_keys=columns, for_executemany=many)
        self.text: str = compiled.string
        extracted = {bound.key: place for place, bound in enumerate(key[1])}
        by_name = {name: bound for bound, name in compiled.bind_names.items()}
        processors = compiled._bind_processors
        self.parameters = [
            (by_name[name].key, extracted.get(by_name[name].key, -1), by_name[name], processors.get(name))
            for name in compiled.positiontup or ()
        ]
        self.expanded = bool(compiled.post_compile_params)
        self.expands = [bound in compiled.post_compile_params for _, _, bound, _ in self.parameters]
        self.given = [key for key, _, _, process in self.parameters if process is None]
        if len(self.given) < len(self.parameters):
            self.given = []
        columns_found = compiled._result_columns
        self.shape = _shaped(compiled, columns_found) if columns_found else tuple

    def values(self, given: Any, bound: Sequence[Any]) -> list[Any]:
        if self.given:
            try:
                return [given[key] for key in self.given]
            except (KeyError, TypeError):
                pass  # some of them are in the statement
        gathered = []
        for key, place, own, process in self.parameters:
            value: Any = given.get(key, _MISSING) if given else _MISSING
            if value is _MISSING:
                found = bound[place] if place >= 0 else own
                value = found.value if found.callable is None else found.effective_value
            if process is not None:
                value = process(value) if not own.expanding else [process(one) for one in value]
            gathered.append(value)
        return gathered

    def spread(self, values: list[Any]) -> tuple[str, list[Any]]:
        """The text and the parameters with every list in its place."""
        flat: list[Any] = []
        lists: list[Any] = []
        for value, expands in zip(values, self.expands, strict=True):
            if expands:
                lists.append(value)
                flat.extend(value)
            else:
                flat.append(value)
        following = iter(lists)
        text = _EXPANDED.sub(lambda _: ", ".join("?" * len(next(following))) or "SELECT 1 WHERE 1 != 1", self.text)
        return text, flat


def _shaped(compiled: Any, columns: Sequence[Any]) -> Any:
    shape: Any = namedtuple("Row", [column.keyname for column in columns], rename=True)  # type: ignore[misc]
    types = [column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None) for column in columns]
    if not any(types):
        return shape._make
    pairs = [(place, process) for place, process in enumerate(types) if process]

    def make(row: Sequence[Any]) -> Any:
        told = list(row)
        for place, process in pairs:
            told[place] = process(told[place])
        return shape._make(told)

    return make


_COMPILED: dict[Any, _Compiled] = {}


class Transaction:
    """What the engine calls a connection: it carries statements out."""

    dialect = _DIALECT

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._cursor = driver.cursor()

    def execute(self, statement: Any, given: Any = None) -> Found:
        many = isinstance(given, list)
        first = (given[0] if given else {}) if many else given
        names = list(first) if first else []
        several = many and len(given) > 1
        key = statement._generate_cache_key()
        place = (key[0], tuple(names), several)
        compiled = _COMPILED.get(place)
        if compiled is None:
            compiled = _COMPILED[place] = _Compiled(statement, key, names, several)
        if several:
            cursor = self._cursor.executemany(compiled.text, [compiled.values(row, key[1]) for row in given])
            return Found([], tuple, cursor.rowcount)
        values = compiled.values(first, key[1])
        text = compiled.text
        if compiled.expanded:
            text, values = compiled.spread(values)
        cursor = self._cursor.execute(text, values)
        return Found(cursor.fetchall(), compiled.shape, cursor.rowcount)

    def exec_driver_sql(self, text: str, given: Any = None) -> Found:
        if isinstance(given, list):
            cursor = self._cursor.executemany(text, given)
        else:
            cursor = self._cursor.execute(text, given or ())
        return Found(cursor.fetchall(), tuple, cursor.rowcount)


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
        self._inside = False

    def renew(self) -> None:
        """Forget everything since the last call. What was prepared stays prepared: the tables are the same."""
        if self.driver.in_transaction:
            self.driver.execute("ROLLBACK")
        self.driver.execute("BEGIN")

    def state(self, clock: Clock) -> State:
        """A state on it, as a process would open one."""
        state = State(_Engine(), clock)  # type: ignore[arg-type]
        state.__dict__["begin"] = self.begin
        state.__dict__["read"] = self.read
        return state

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Any]:
        if self._inside:
            raise RuntimeError("a write transaction inside a write transaction would wait for itself")
        self._inside = True
        self.driver.execute("SAVEPOINT one")
        try:
            yield self.transaction
        except BaseException:
            self.driver.execute("ROLLBACK TO one")
            raise
        finally:
            self.driver.execute("RELEASE one")
            self._inside = False

    @contextmanager
    def read(self) -> Iterator[Any]:
        yield self.transaction


__all__ = ["Found", "Memory", "Transaction"]
