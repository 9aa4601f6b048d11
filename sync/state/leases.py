"""Leases with fencing tokens: one holder at a time, and one that was taken over can commit nothing more.

The lease is a row; its token grows with every change of hands. A holder checks its token in every transaction that it
commits, by the database's own clock, so a process that slept past its lease finds out before it writes, not after.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Float, bindparam, cast, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from config.errors import Fenced, StateUnusable
from sync.state.database import State, upsert
from sync.state.schema import leases

SECONDS = 60.0
"""How long a lease holds without being renewed: longer than any step between two transactions should take."""


def database_time(tx: Connection) -> ColumnElement[float]:
    """The database's clock, in seconds."""
    return _time(tx.dialect.name)


@cache
def _time(dialect: str) -> ColumnElement[float]:
    if dialect == "sqlite":
        return cast((func.julianday("now") - 2440587.5) * 86400.0, Float)
    return cast(func.extract("epoch", func.clock_timestamp()), Float)


_MINE = (leases.c.name == bindparam("of")) & (leases.c.token == bindparam("held"))
_TOKEN = select(leases.c.token).where(leases.c.name == bindparam("of"))


@cache
def _renewal(dialect: str) -> Any:
    """Built once: every transaction of a run begins with it, and building costs more than running."""
    return update(leases).where(_MINE).values(expires_at=_time(dialect) + bindparam("more", type_=Float))


def holder_name() -> str:
    """This process, as a person would look for it."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was acquired."""

    name: str
    holder: str
    token: int
    seconds: float

    def check(self, tx: Connection) -> None:
        """Renew the lease in `tx`. Raises Fenced when somebody else has taken it since."""
        given = {"of": self.name, "held": self.token, "more": self.seconds}
        if tx.execute(_renewal(tx.dialect.name), given).rowcount != 1:
            raise self._lost()

    def look(self, tx: Connection) -> None:
        """The same without renewing it."""
        if tx.execute(_TOKEN, {"of": self.name}).scalar() != self.token:
            raise self._lost()

    def _lost(self) -> Fenced:
        return Fenced(
            f"The lease {self.name} was taken over by another process.",
            fix="Nothing is lost: the other process goes on.",
        )

    def release(self, state: State) -> None:
        """Give it back, unless it is somebody else's by now."""
        with state.begin() as tx:
            given = {"of": self.name, "held": self.token}
            tx.execute(update(leases).where(_MINE).values(expires_at=0.0), given)


def acquire(state: State, name: str, run: str, *, seconds: float | None = None) -> Lease:
    """The lease `name` for `run`. Raises StateUnusable (code "busy"), naming the holder, while another run works.

    The same run gets it again at once, as does anyone when the holder was a process of this machine that is dead: what
    was killed goes on without waiting. Its old self, should it still live, is fenced by the new token.
    """
    seconds = SECONDS if seconds is None else seconds
    holder = f"{holder_name()} {run}"
    with state.begin() as tx:
        tx.execute(upsert(leases, tx), [{"name": name, "holder": "", "token": 0, "expires_at": 0.0}])
        alive = (leases.c.expires_at > database_time(tx)).label("alive")
        query = select(leases.c.holder, leases.c.token, alive).where(leases.c.name == name).with_for_update()
        row = tx.execute(query).one()
        if row.alive and not _may_follow(row.holder, run):
            raise StateUnusable(
                f"Another run holds {name} ({row.holder}).",
                fix=f"Wait for it; a run that died on another machine is free after {seconds:.0f} seconds.",
                code="busy",
            )
        taken = {"holder": holder, "token": row.token + 1, "expires_at": database_time(tx) + seconds}
        tx.execute(update(leases).where(leases.c.name == name).values(**taken))
        return Lease(name, holder, row.token + 1, seconds)


def _may_follow(holder: str, run: str) -> bool:
    """Whether `run` may take the lease before it expires."""
    process, _, theirs = holder.partition(" ")
    host, _, rest = process.partition(":")
    number = rest.partition(":")[0]
    return theirs == run or (host == socket.gethostname() and number.isdigit() and not _lives(int(number)))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but alive
    return True
