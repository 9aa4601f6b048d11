"""Short-lived and rotating tokens, encrypted at rest.

The key comes from CLOSEDLOOP_KEY, else from a file `closedloop.key` beside the project file, else from the keyring
(service closedloop, user state-key); where there is none, such a file is made, for its owner alone. A token is bound
to its connection and name: a row moved elsewhere does not open.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import orjson
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import bindparam, delete, select

from config.clock import stamp
from config.errors import Misconfigured, RetryLater, StateUnusable
from sync.state.database import State, upsert
from sync.state.leases import Lease, acquire
from sync.state.schema import tokens

VARIABLE = "CLOSEDLOOP_KEY"
KEY_FILE = "closedloop.key"
KEYRING = ("closedloop", "state-key")
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
        self._box: Fernet | None = None

    def get(self, name: str) -> str | None:
        """The token; None when there is none. Raises Misconfigured when the key does not open it."""
        with self._state.read() as tx:
            ciphertext = tx.execute(_KEPT, {"of": self._connection, "named": name}).scalar()
        if ciphertext is None:
            return None
        try:
            opened = orjson.loads(self._fernet().decrypt(ciphertext.encode()))
        except InvalidToken as error:
            raise self._wrong_key() from error
        if opened["for"] != [self._connection, name]:
            raise self._wrong_key()
        return str(opened["token"])

    def put(self, name: str, value: str) -> None:
        """Keep the token in place of the one before."""
        row = self._row(name, value)
        with self._state.begin() as tx:
            tx.execute(upsert(tokens, tx, update=["ciphertext", "updated_at"]), [row])

    def _row(self, name: str, value: str) -> dict[str, str]:
        sealed = self._fernet().encrypt(orjson.dumps({"for": [self._connection, name], "token": value})).decode()
        at = stamp(self._state.clock.now())
        return {"connection": self._connection, "name": name, "ciphertext": sealed, "updated_at": at}

    def begin_anew(self, values: Mapping[str, str]) -> None:
        """Keep these tokens and no others of the connection: what was kept before belongs to an earlier consent."""
        rows = [self._row(name, value) for name, value in values.items()]
        with self._state.begin() as tx:
            tx.execute(delete(tokens).where(tokens.c.connection == self._connection))
            if rows:
                tx.execute(upsert(tokens, tx, update=["ciphertext", "updated_at"]), rows)

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

    def _fernet(self) -> Fernet:
        if self._box is None:
            try:
                self._box = Fernet(state_key(self._folder))
            except ValueError as error:
                raise Misconfigured(
                    f"{VARIABLE} is no key.",
                    fix="Make one: python -c 'from cryptography.fernet import Fernet; "
                    "print(Fernet.generate_key().decode())'",
                ) from error
        return self._box


def kept_by(state: State, connections: Sequence[str], name: str) -> set[str]:
    """Those of `connections` that have a token of this name."""
    with state.read() as tx:
        return set(tx.execute(_KEPT_BY, {"named": name}).scalars()) & set(connections)


def state_key(folder: Path) -> bytes:
    """The key; a new one, in a file that only its owner can read, where there is none anywhere."""
    if from_environment := os.environ.get(VARIABLE, ""):
        return from_environment.encode()
    path = folder / KEY_FILE
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return _from_keyring() or _made(path)
    except OSError as error:
        raise Misconfigured(
            f"The key file {path} cannot be read: {error.strerror}.", fix="Check its permissions."
        ) from error


def _from_keyring() -> bytes:
    import keyring
    from keyring.errors import KeyringError

    try:
        return (keyring.get_password(*KEYRING) or "").encode()
    except KeyringError:
        return b""  # a machine without a keyring: the key file is for it


def _made(path: Path) -> bytes:
    """A new key at `path`, complete from its first moment; of two programs at once both get the one that came first."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{KEY_FILE}-") as draft:  # mode 0600
        draft.write(Fernet.generate_key())
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)
        except FileExistsError:
            pass
    return path.read_bytes().strip()
