"""Leases with fencing tokens: one holder at a time, and one that was taken over can commit nothing more.

The lease is a row; its token grows with every change of hands. A holder checks its token in every transaction that it
commits, by the database's own clock, so a process that slept past its lease finds out before it writes, not after.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Float, bindparam, cast, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from config.errors import Fenced, StateUnusable
from sync.state.database import State, upsert
from sync.state.schema import leases

SECONDS = 60.0
"""How long a lease holds without being renewed: longer than any step between two transactions should take."""


def database_time(tx: Connection) -> ColumnElement[float]:
    """The database's clock, in seconds."""
    return time_of(tx.dialect.name)


@cache
def time_of(dialect: str) -> ColumnElement[float]:
    if dialect == "sqlite":
        return cast((func.julianday("now") - 2440587.5) * 86400.0, Float)
    return cast(func.extract("epoch", func.clock_timestamp()), Float)


_MINE = (leases.c.name == bindparam("of")) & (leases.c.token == bindparam("held"))
_AMONG = leases.c.name.in_(bindparam("some", expanding=True))
_TOKEN = select(leases.c.token).where(leases.c.name == bindparam("of"))
_RELEASE = update(leases).where(_MINE).values(expires_at=0.0)


@cache
def _renewal(dialect: str) -> Any:
    """Built once: every transaction of a run begins with it, and building costs more than running."""
    return update(leases).where(_MINE).values(expires_at=time_of(dialect) + bindparam("more", type_=Float))


@cache
def _standing(dialect: str) -> Any:
    alive = (leases.c.expires_at > time_of(dialect)).label("alive")
    query = select(leases.c.name, leases.c.holder, leases.c.token, alive).where(_AMONG)
    return query.order_by(leases.c.name).with_for_update()


@cache
def _taking(dialect: str) -> Any:
    ends = time_of(dialect) + bindparam("more", type_=Float)
    return update(leases).where(_AMONG).values(holder=bindparam("by"), token=leases.c.token + 1, expires_at=ends)


_OURS = secrets.token_hex(4)


def holder_name() -> str:
    """This process, as a person would look for it."""
    return f"{_host()}:{os.getpid()}:{_OURS}"


@cache
def _host() -> str:
    return socket.gethostname()


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
            tx.execute(_RELEASE, {"of": self.name, "held": self.token})


def renew(tx: Connection, held: Sequence[Lease]) -> None:
    """Renew all of these in `tx`, in one statement. Raises Fenced when somebody else has taken one since."""
    if held:
        found = tx.execute(_renewals(tx.dialect.name, len(held)), {"more": held[0].seconds, **_given(held)})
        _compare(tx, held, found.rowcount)


def looking(held: Sequence[Lease]) -> Callable[[Connection], None]:
    """The same without renewing them, for the transactions of a run. Nobody takes one before such a transaction ends:
    SQLite has one writer, PostgreSQL locks."""
    if not held:
        return lambda tx: None
    statement, given, number = _looks(len(held)), _given(held), len(held)

    def look(tx: Connection) -> None:
        if len(tx.execute(statement, given).all()) != number:
            _compare(tx, held, 0)

    return look


def release(state: State, held: Sequence[Lease], *, last: Callable[[Connection], None] | None = None) -> None:
    """Give all of these back that nobody took; where that are all, `last(tx)` is done in the same transaction."""
    if held:
        with state.begin() as tx:
            mine = tx.execute(_releases(len(held)), _given(held)).rowcount
            if last is not None and mine == len(held):
                last(tx)


def _compare(tx: Connection, held: Sequence[Lease], found: int) -> None:
    if found != len(held):
        for lease in held:
            lease.look(tx)


def _given(held: Sequence[Lease]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for number, lease in enumerate(held):
        given[f"of{number}"], given[f"held{number}"] = lease.name, lease.token
    return given


@cache
def _all_mine(number: int) -> Any:
    return or_(
        *(
            (leases.c.name == bindparam(f"of{place}")) & (leases.c.token == bindparam(f"held{place}"))
            for place in range(number)
        )
    )


@cache
def _renewals(dialect: str, number: int) -> Any:
    ends = time_of(dialect) + bindparam("more", type_=Float)
    return update(leases).where(_all_mine(number)).values(expires_at=ends)


@cache
def _looks(number: int) -> Any:
    return select(leases.c.name).where(_all_mine(number)).with_for_update(read=True)


@cache
def _releases(number: int) -> Any:
    return update(leases).where(_all_mine(number)).values(expires_at=0.0)


def acquire(state: State, name: str, run: str, *, seconds: float | None = None) -> Lease:
    """The lease `name` for `run`. Raises StateUnusable (code "busy"), naming the holder, while another run works.

    The same run gets it again at once, as does anyone when the holder was a process of this machine that is dead: what
    was killed goes on without waiting. Its old self, should it still live, is fenced by the new token.
    """
    return acquire_all(state, [name], run, seconds=seconds)[0]


def acquire_all(state: State, names: Sequence[str], run: str, *, seconds: float | None = None) -> list[Lease]:
    """The same for several, all of them or none."""
    seconds = SECONDS if seconds is None else seconds
    holder = f"{holder_name()} {run}"
    with state.begin() as tx:
        standing = _locked(tx, names)
        for name in names:
            _check_free(standing[name], run, seconds)
        tx.execute(_taking(tx.dialect.name), {"some": list(names), "by": holder, "more": seconds})
        return [Lease(name, holder, standing[name].token + 1, seconds) for name in names]


def _locked(tx: Connection, names: Sequence[str]) -> dict[str, Any]:
    """The rows of these leases by name, made where they are new; nobody else takes one before `tx` ends. They are
    locked in the order of their names, as by everybody, so that no two wait for each other."""
    given = {"some": list(names)}
    found = {row.name: row for row in tx.execute(_standing(tx.dialect.name), given)}
    fresh = [{"name": name, "holder": "", "token": 0, "expires_at": 0.0} for name in names if name not in found]
    if fresh:
        tx.execute(upsert(leases, tx), fresh)
        found = {row.name: row for row in tx.execute(_standing(tx.dialect.name), given)}
    return found


def _check_free(row: Any, run: str, seconds: float) -> None:
    if row.alive and not _may_follow(row.holder, run):
        raise StateUnusable(
            f"Another run holds {row.name} ({row.holder}).",
            fix=f"Wait for it; a run that died on another machine is free after {seconds:.0f} seconds.",
            code="busy",
        )


def _may_follow(holder: str, run: str) -> bool:
    """Whether `run` may take the lease before it expires."""
    process, _, theirs = holder.partition(" ")
    host, _, rest = process.partition(":")
    number = rest.partition(":")[0]
    return theirs == run or (host == _host() and number.isdigit() and not _lives(int(number)))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but alive
    return True
