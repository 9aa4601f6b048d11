"""People who were forgotten, known only by keyed digests, so that they are not taken in again.

A plain hash of an address can be guessed; these are HMACs under a secret made of the state's key, which is not in the
database. Another would let everybody in unseen, so it is checked before it is used. A digest cannot be made anew for
another key: when the keys change, the secret itself is kept, encrypted as tokens are (`keep_secret`).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping

from cryptography.fernet import InvalidToken
from sqlalchemy import Connection, delete, func, insert, select

from config.errors import Misconfigured
from mappings.model import Values
from sync.state.database import upsert
from sync.state.keys import Ring
from sync.state.schema import meta, suppressed, tokens
from sync.state.sealing import Where, opened, sealed

KEY_CHECK = "suppression_key"
"""In `meta`: the digest that tells the key under which people were forgotten."""
KEPT: Where = ("", "forgotten")
"""Where the secret is kept among the tokens, once the keys changed: no connection has this name."""
_SECRET = select(tokens.c.ciphertext).where(tokens.c.connection == KEPT[0], tokens.c.name == KEPT[1])
_AS_OF = select(func.count(), func.coalesce(func.max(suppressed.c.id), 0))


class Suppression:
    """The forgotten of one state. `keys()` gives the state's keys; asked for only once somebody is forgotten."""

    def __init__(self, keys: Callable[[], Ring]) -> None:
        self._given = keys
        self._secret = b""
        self._known: frozenset[str] = frozenset()
        self._as_of = (0, 0)

    def refresh(self, tx: Connection) -> bool:
        """Know who is forgotten as of now; whether anybody is. Raises Misconfigured when the key is another."""
        number, last = tx.execute(_AS_OF).one()
        if not number:
            return False
        if (number, last) != self._as_of:
            self._check(tx)
            self._known = frozenset(tx.execute(select(suppressed.c.digest)).scalars())
            self._as_of = (number, last)
        return True

    def has_record(self, connection: str, object: str, id: str) -> bool:
        """Whether this is a record of somebody forgotten."""
        return self.digest("record", f"{connection}/{object}/{id}") in self._known

    def has_person(self, values: Values) -> bool:
        """Whether the values hold an address of somebody forgotten."""
        addresses = (values.get("email"), *(values.get("emails") or ()))
        return any(address and self.digest("email", address) in self._known for address in addresses)

    def add(self, tx: Connection, keys: Iterable[tuple[str, str]], at: str) -> None:
        """Take nobody in any more who has one of these keys: ("email", address) or ("record", connection/object/id)."""
        self._check(tx)
        rows = [{"digest": self.digest(kind, value), "at": at} for kind, value in sorted(set(keys))]
        if rows:
            tx.execute(upsert(suppressed, tx, key=["digest"]), rows)

    def lift(self, tx: Connection, address: str) -> bool:
        """Let the person with this address come in again; whether it was forgotten at all."""
        self._check(tx)
        mine = suppressed.c.digest == self.digest("email", address)
        return tx.execute(delete(suppressed).where(mine)).rowcount > 0

    def restore(self, tx: Connection, forgotten: Mapping[str, str], mark: str) -> frozenset[str]:
        """Take nobody in any more of these digests (-> when), made under the key that `mark` tells; those that were
        not known here. Raises Misconfigured when the key is another."""
        if not forgotten:
            return frozenset()
        self._check(tx, mark)
        if not self._is_told_by(self._secret, mark):
            raise _another_key()
        known = set(tx.execute(select(suppressed.c.digest)).scalars())
        fresh = {digest: at for digest, at in forgotten.items() if digest not in known}
        if fresh:
            tx.execute(insert(suppressed), [{"digest": digest, "at": at} for digest, at in fresh.items()])
        return frozenset(fresh)

    def since(self, tx: Connection, address: str) -> str:
        """When the person with this address was forgotten; "" when not."""
        if not self.refresh(tx):
            return ""
        found = select(suppressed.c.at).where(suppressed.c.digest == self.digest("email", address))
        return str(tx.execute(found).scalar() or "")

    def digest(self, kind: str, value: str) -> str:
        return _digest(self._secret or self._first(), kind, value)

    def keep_secret(self, tx: Connection, at: str) -> None:
        """Where people were forgotten, the secret is kept under the first key, whatever key it was made of.

        Raises Misconfigured when it was made of none of these keys.
        """
        if tx.execute(select(meta.c.value).where(meta.c.name == KEY_CHECK)).scalar() is None:
            return
        self._check(tx)
        if tx.execute(_SECRET).scalar() is None:
            kept = sealed(self._given().box(), KEPT, self._secret.hex())
            row = {"connection": KEPT[0], "name": KEPT[1], "ciphertext": kept, "updated_at": at}
            tx.execute(insert(tokens), [row])

    def _check(self, tx: Connection, told: str = "") -> None:
        """Know the secret, by the mark that is kept, else by the one that was `told`, else make it the first key's."""
        mark = tx.execute(select(meta.c.value).where(meta.c.name == KEY_CHECK)).scalar()
        if not (mark and self._secret and self._is_told_by(self._secret, mark)):
            self._secret = self._found(tx, mark or told)
        if mark is None:
            tx.execute(upsert(meta, tx), [{"name": KEY_CHECK, "value": _digest(self._secret, "key", "check")}])

    def _found(self, tx: Connection, mark: str) -> bytes:
        """The secret that `mark` tells, among the kept one and those of each key. Raises Misconfigured: none is it."""
        found = [*self._kept(tx), *(_secret_of(key) for key in self._given().keys)]
        right = [secret for secret in found if not mark or self._is_told_by(secret, mark)]
        if not right:
            raise _another_key()
        return right[0]

    def _kept(self, tx: Connection) -> list[bytes]:
        ciphertext = tx.execute(_SECRET).scalar()
        try:
            return [bytes.fromhex(opened(self._given().box(), KEPT, ciphertext))] if ciphertext else []
        except InvalidToken:
            return []  # it lies under a key that is not here: one of those that are may still be the one it was made of

    def _first(self) -> bytes:
        return _secret_of(self._given().keys[0])

    @staticmethod
    def _is_told_by(secret: bytes, mark: str) -> bool:
        return hmac.compare_digest(mark, _digest(secret, "key", "check"))


def _secret_of(key: bytes) -> bytes:
    return hmac.digest(key, b"closedloop: people who were forgotten", "sha256")


def _digest(secret: bytes, kind: str, value: str) -> str:
    return hmac.digest(secret, f"{kind}:{value}".encode(), "sha256").hex()


def _another_key() -> Misconfigured:
    return Misconfigured(
        "The key is not the one under which people were forgotten: they would be taken in again.",
        fix="Restore the key (CLOSEDLOOP_KEY or closedloop.key).",
    )
