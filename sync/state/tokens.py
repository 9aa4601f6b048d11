"""Short-lived and rotating tokens, encrypted at rest under the state's keys (`keys.py`).

A token is bound to its connection and name: a row moved elsewhere does not open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy import Connection, bindparam, delete, select

from config.clock import stamp
from config.errors import Misconfigured, RetryLater, StateUnusable
from sync.state.database import State, upsert
from sync.state.keys import KEY_FILE, VARIABLE, ring
from sync.state.leases import Lease, acquire
from sync.state.schema import tokens
from sync.state.sealing import opened, sealed, with_others

ALONE = 60.0
"""Seconds after which somebody who renews a token is taken for dead."""
QUEUE = 240
"""How often somebody who waits for that looks."""

_KEPT_BY = select(tokens.c.connection).where(tokens.c.name == bindparam("named"))
_KEPT = select(tokens.c.ciphertext).where(tokens.c.connection == bindparam("of"), tokens.c.name == bindparam("named"))


class StateTokens:
    """`connectors.api.Tokens` of one connection over the state."""

    def __init__(self, state: State, connection: str, *, folder: Path) -> None:
        self._state = state
        self._connection = connection
        self._folder = folder
        self._box: MultiFernet | None = None

    def get(self, name: str) -> str | None:
        """The token; None when there is none. Raises Misconfigured when no key opens it."""
        if self._ciphertext(name) is None:  # as of most: no key is looked for
            return None
        # the keys may change between our look at them and at the row: then both are looked at again, the keys first,
        # twice, for they change in two steps (`rekey.py`)
        for known in (self._box, None, None):
            box = known or self._fresh()
            ciphertext = self._ciphertext(name)
            if ciphertext is None:
                return None
            with suppress(InvalidToken):
                return opened(box, (self._connection, name), ciphertext)
        raise self._wrong_key()

    def _ciphertext(self, name: str) -> str | None:
        with self._state.read() as tx:
            found: str | None = tx.execute(_KEPT, {"of": self._connection, "named": name}).scalar()
            return found

    def put(self, name: str, value: str) -> None:
        """Keep the token in place of the one before."""
        with self._state.begin() as tx:
            self._put(tx, {name: value})

    def begin_anew(self, values: Mapping[str, str]) -> None:
        """Keep these tokens and no others of the connection: what was kept before belongs to an earlier consent."""
        with self._state.begin() as tx:
            tx.execute(delete(tokens).where(tokens.c.connection == self._connection))
            self._put(tx, values)

    def _put(self, tx: Connection, values: Mapping[str, str]) -> None:
        """The keys are read in the transaction: one that was taken away since would have made the token unreadable."""
        with_others(tx)
        box, at = self._fresh(), stamp(self._state.clock.now())
        rows = [
            {
                "connection": self._connection,
                "name": name,
                "ciphertext": sealed(box, (self._connection, name), value),
                "updated_at": at,
            }
            for name, value in values.items()
        ]
        if rows:
            tx.execute(upsert(tokens, tx, update=["ciphertext", "updated_at"]), rows)

    def _fresh(self) -> MultiFernet:
        """The keys as they lie there now."""
        self._box = ring(self._folder).box()
        return self._box

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold the right to renew `name` alone, across processes and threads; a holder that died frees it."""
        lease = self._queue(f"token:{self._connection}:{name}")
        try:
            yield
        finally:
            lease.release(self._state)

    def _queue(self, name: str) -> Lease:
        for _ in range(QUEUE):
            try:
                return acquire(self._state, name, uuid4().hex, seconds=ALONE)
            except StateUnusable as error:
                if error.code != "busy":
                    raise
            self._state.clock.sleep(ALONE / QUEUE)
        raise RetryLater("Another process has been renewing this token for a minute.", connection=self._connection)

    def _wrong_key(self) -> Misconfigured:
        return Misconfigured(
            "A stored token cannot be opened with this key.",
            fix=f"Restore the key ({VARIABLE} or {KEY_FILE}), or connect the account again.",
            connection=self._connection,
        )


def kept_by(state: State, connections: Sequence[str], name: str) -> set[str]:
    """Those of `connections` that have a token of this name."""
    with state.read() as tx:
        return set(tx.execute(_KEPT_BY, {"named": name}).scalars()) & set(connections)
