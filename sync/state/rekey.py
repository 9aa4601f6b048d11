"""Another key for all that is kept encrypted, without connecting anew.

Two steps, for other processes may still know only the key before. `rekey` brings everything under the first key of the
ring, a new one where there was one only; the others go on opening. `drop_others` takes these away, once every process
has the new one.

Invariant: what opens a row lies in the keys' place before the row is committed, and is taken from there only after no
committed row needs it. A death at any moment leaves every row readable, and the same command goes on. Both hold off all
who encrypt (`sealing.alone`), who read the keys only then (`StateTokens._put`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection, select, update

from config.clock import stamp
from config.errors import StateUnusable
from sync.state.database import State
from sync.state.keys import Place, Ring, keep, ring
from sync.state.schema import tokens
from sync.state.sealing import Where, alone
from sync.state.suppression import Suppression


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was done: how many rows now lie under the first key that did not, which open with no key, how many keys
    beside the first still open."""

    place: Place
    sealed: int
    lost: tuple[Where, ...]
    others: int


def rekey(state: State, folder: Path) -> Rekeyed:
    """Everything lies under the first key, which is new where there was one only.

    Raises Misconfigured where a new one cannot be put (the environment).
    """
    with state.begin() as tx:
        alone(tx)
        held = ring(folder)
        if len(held.keys) == 1:
            held = held.led_by(Fernet.generate_key())
            keep(folder, held)
        return _seal_all(tx, held, stamp(state.clock.now()))


def drop_others(state: State, folder: Path) -> Rekeyed:
    """Everything lies under the first key, and there is no other.

    Those in the environment are a person's to take away: they are counted. Raises StateUnusable where another process
    goes on to encrypt under one of them.
    """
    at = stamp(state.clock.now())
    with state.begin() as tx:
        alone(tx)
        done = _seal_all(tx, ring(folder), at)
    with state.begin() as tx:  # only now: a death before the commit would leave rows under keys that are gone
        alone(tx)
        held = ring(folder)
        if _seal_all(tx, held, at).sealed:
            raise StateUnusable(
                "Another process encrypts under a key that is to go.", fix="Stop it, or give it the new key first."
            )
        if len(held.keys) > 1 and held.place is not Place.ENVIRONMENT:
            held = held.alone()
            keep(folder, held)
    return Rekeyed(done.place, done.sealed, done.lost, len(held.keys) - 1)


def _seal_all(tx: Connection, held: Ring, at: str) -> Rekeyed:
    Suppression(lambda: held).keep_secret(tx, at)
    first, box = held.first(), held.box()
    count, lost = 0, []
    for row in tx.execute(select(tokens).order_by(tokens.c.connection, tokens.c.name)).all():
        where = (row.connection, row.name)
        if _is_under(first, row.ciphertext):
            continue
        try:
            fresh = box.rotate(row.ciphertext.encode()).decode()
        except InvalidToken:
            lost.append(where)
            continue
        mine = (tokens.c.connection == row.connection) & (tokens.c.name == row.name)
        tx.execute(update(tokens).where(mine).values(ciphertext=fresh))
        count += 1
    return Rekeyed(held.place, count, tuple(lost), len(held.keys) - 1)


def _is_under(key: Fernet, ciphertext: str) -> bool:
    try:
        key.decrypt(ciphertext.encode())
    except InvalidToken:
        return False
    return True
