"""People who were forgotten, known only by keyed digests, so that they are not taken in again.

A plain hash of an address can be guessed; these are HMACs under the state's key, which is not in the database. Another
key would let everybody in unseen, so it is checked before it is used.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Connection, delete, func, insert, select

from config.errors import Misconfigured
from mappings.model import Values
from sync.state.database import upsert
from sync.state.schema import meta, suppressed

KEY_CHECK = "suppression_key"
"""In `meta`: the digest that tells the key under which people were forgotten."""
_AS_OF = select(func.count(), func.coalesce(func.max(suppressed.c.id), 0))


class Suppression:
    """The forgotten of one state. `key()` gives the state's key; it is asked for only once somebody is forgotten."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._given = key
        self._key = b""
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
        self._check(tx)
        if not hmac.compare_digest(mark, self.digest("key", "check")):
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
        return hmac.digest(self._secret(), f"{kind}:{value}".encode(), "sha256").hex()

    def _secret(self) -> bytes:
        if not self._key:
            self._key = hmac.digest(self._given(), b"closedloop: people who were forgotten", "sha256")
        return self._key

    def _check(self, tx: Connection) -> None:
        mark = self.digest("key", "check")
        kept = tx.execute(select(meta.c.value).where(meta.c.name == KEY_CHECK)).scalar()
        if kept is None:
            tx.execute(upsert(meta, tx), [{"name": KEY_CHECK, "value": mark}])
        elif not hmac.compare_digest(kept, mark):
            raise _another_key()


def _another_key() -> Misconfigured:
    return Misconfigured(
        "The key is not the one under which people were forgotten: they would be taken in again.",
        fix="Restore the key (CLOSEDLOOP_KEY or closedloop.key).",
    )
