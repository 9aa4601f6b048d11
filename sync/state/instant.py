"""The time that leases and budgets count in: seconds since 1970, from the database, so that machines agree."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from config.clock import Clock, SystemClock


def seconds(tx: Connection, clock: Clock) -> ColumnElement[float]:
    """The present instant as an SQL expression: the database's clock, or `clock` where that is not the machine's
    (a simulation's time is the only time there is)."""
    if not isinstance(clock, SystemClock):
        return sa.literal(clock.now().timestamp(), sa.Float)
    if tx.dialect.name == "postgresql":
        return sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Float)
    return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)
