"""Shared call rates: one row per platform account, one statement per take, the database's clock.

GCRA, reserve and then sleep: the row holds the theoretical arrival time of the next call; a take moves it forward and
waits until its own turn. All processes on one state share the rate exactly, in the order in which they asked.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, bindparam, case, func, literal, select

from config.clock import Clock, SystemClock
from sync.state.database import State, dialect_insert
from sync.state.leases import database_time, time_of
from sync.state.schema import budgets


class StateBudget:
    """`connectors.api.Budget` over the state."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._ahead: dict[str, int] = {}

    def take(self, key: str, calls: int, *, rate: float, burst: int) -> None:
        """Return when `calls` calls are allowed at `rate` a second, with at most `burst` at once.

        Where bursts are wide, single calls are reserved a few ahead (a twentieth of the burst), so that not every call
        costs a transaction; what is reserved and not used is lost, never doubled.
        """
        ahead = self._ahead.get(key, 0)
        if calls == 1 and ahead > 0:
            self._ahead[key] = ahead - 1
            return
        if calls == 1 and burst >= 40:
            calls = burst // 20
            self._ahead[key] = calls - 1
        wait = self._reserve(key, calls, rate, burst)
        while wait > 0:
            self._clock.sleep(wait)
            # the platform may have said "stop" to somebody meanwhile: then our place in the queue is void
            wait = self._reserve(key, calls, rate, burst) if self._blocked(key) else 0.0

    def block(self, key: str, seconds: float) -> None:
        """Nobody calls under `key` for the next `seconds`; a longer block that stands already stays."""
        self._ahead.pop(key, None)
        with self._state.begin(durable=False) as tx:
            until = self._now(tx) + seconds
            later = case((budgets.c.blocked_until > until, budgets.c.blocked_until), else_=until)
            insert = _insert(tx).values(key=key, tat=0.0, blocked_until=until)
            tx.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"blocked_until": later}))

    def _reserve(self, key: str, calls: int, rate: float, burst: int) -> float:
        """Take the next places in the queue; the seconds until the last of them comes."""
        given = {"of": key, "cost": calls / rate, "slack": max(0, burst - 1) / rate, "gap": 1 / rate}
        with self._state.begin(durable=False) as tx:
            given["at"] = self._clock.now().timestamp()
            statement = _taking(tx.dialect.name, isinstance(self._clock, SystemClock))
            return float(tx.execute(statement, given).scalar_one())

    def _blocked(self, key: str) -> bool:
        with self._state.read() as tx:
            return bool(
                tx.execute(select(budgets.c.blocked_until > self._now(tx)).where(budgets.c.key == key)).scalar()
            )

    def _now(self, tx: Connection) -> ColumnElement[float]:
        """The database's clock; a simulated clock where there is one, which no database knows of."""
        if isinstance(self._clock, SystemClock):
            return database_time(tx)
        return literal(self._clock.now().timestamp(), Float)


@cache
def _taking(dialect: str, real: bool) -> Any:
    """Built once: every call to a platform runs it, and building costs more than running."""
    cost, slack, gap = (bindparam(name, type_=Float) for name in ("cost", "slack", "gap"))
    now = time_of(dialect) if real else bindparam("at", type_=Float)
    first = dialect_insert(dialect, budgets).values(key=bindparam("of"), tat=now - slack + cost, blocked_until=0.0)
    largest = func.max if dialect == "sqlite" else func.greatest
    start = largest(budgets.c.tat, now - slack, budgets.c.blocked_until)
    statement = first.on_conflict_do_update(index_elements=["key"], set_={"tat": start + cost})
    return statement.returning(budgets.c.tat - gap - now)


def _insert(tx: Connection) -> Any:
    return dialect_insert(tx.dialect.name, budgets)
