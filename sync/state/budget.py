"""Shared call rates: one row per platform account, one statement per take, the database's clock.

GCRA, reserve and then sleep: the row holds the theoretical arrival time of the next call; a take moves it forward and
waits until its own turn. All processes on one state share the rate exactly, in the order in which they asked.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, case, func
from sqlalchemy.dialects import postgresql, sqlite

from config.clock import Clock
from sync.state.database import State
from sync.state.leases import database_time
from sync.state.schema import budgets


class StateBudget:
    """`connectors.api.Budget` over the state."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def take(self, key: str, calls: int, *, rate: float, burst: int) -> None:
        """Return when `calls` calls are allowed at `rate` a second, with at most `burst` at once."""
        cost, slack = calls / rate, max(0, burst - calls) / rate
        with self._state.begin() as tx:
            now = database_time(tx)
            first = _insert(tx).values(key=key, tat=now + cost, blocked_until=0.0)
            largest = func.max if tx.dialect.name == "sqlite" else func.greatest
            start = largest(budgets.c.tat, now - slack, budgets.c.blocked_until)
            statement = first.on_conflict_do_update(index_elements=["key"], set_={"tat": start + cost})
            wait = tx.execute(statement.returning(budgets.c.tat - cost - now)).scalar_one()
        self._clock.sleep(wait)

    def block(self, key: str, seconds: float) -> None:
        """Nobody calls under `key` for the next `seconds`."""
        with self._state.begin() as tx:
            until = database_time(tx) + seconds
            later = case((budgets.c.blocked_until > until, budgets.c.blocked_until), else_=until)
            insert = _insert(tx).values(key=key, tat=0.0, blocked_until=until)
            tx.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"blocked_until": later}))


def _insert(tx: Connection) -> Any:
    return (postgresql if tx.dialect.name == "postgresql" else sqlite).insert(budgets)
