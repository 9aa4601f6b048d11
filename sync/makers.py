"""Which create of ours made a record where its answer was lost: by the name that it gives, or by its words.

A key stays with the lead that it came to first. Somebody may have given an address up since, and another been created
with it: whoever is found by it is not who is known by it then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from connectors.api import Verb
from mappings.compiler import Mapped
from mappings.model import Field, FieldType, Kind, Values
from sync.core.echo import came_of
from sync.core.resolve import Key
from sync.doubt import bears_name, watched_creates
from sync.state.schema import OPEN_WRITES, identities, journal, leads
from sync.workspace import Workspace

_OWNERS = (
    select(leads.c.id, leads.c.body)
    .join(identities, identities.c.lead == leads.c.id)
    .where(identities.c.kind == bindparam("of"), identities.c.value == bindparam("key"))
)


def is_anothers(tx: Connection, workspace: Workspace, row: Any, id: str, known: Any) -> bool:
    """Whether a record that is found by the key of a create is somebody else's: linked to another lead; or nobody's
    yet, without the name or the words that the create gives, and known by a key that another lead has: a create gives
    one address, and a key stays with whom it came to first. Where the record is both's, a person says so."""
    if known.lead is not None or not row.lead:
        return bool(known.lead not in (None, row.lead))
    body = orjson.loads(known.body)
    if bears_name(row, body) or is_made(tx, workspace, row, id, body):
        return False
    return bool(_owners(tx, workspace, row.connection, id, body).keys() - {row.lead})


def is_made(tx: Connection, workspace: Workspace, row: Any, id: str, body: Values) -> bool:
    """Whether the create made this record, as far as its words tell."""
    mapped = workspace.mapped(row.connection).get(row.object)
    owners = _owners(tx, workspace, row.connection, id, body)
    others = [told for lead, told in owners.items() if lead != row.lead]
    return _is_its_words(row, body, mapped, workspace.fields, others)


def _owners(tx: Connection, workspace: Workspace, connection: str, id: str, body: Values) -> dict[str, Values]:
    """Who is known by the keys of a record, and what is known of them."""
    found: dict[str, Values] = {}
    for kind, value in workspace.keys(connection, id, body):
        for owner in tx.execute(_OWNERS, {"of": kind, "key": value}).all():
            found[owner.id] = orjson.loads(owner.body)
    return found


def _is_its_words(
    row: Any, body: Values, mapped: Mapped | None, fields: Mapping[str, Field], others: Iterable[Values]
) -> bool:
    """Whether a person's record says, in words of somebody's own and not only in the keys that it is found by, what the
    create was to give it, and nothing else; or more of that than of what `others` say, who are known by those keys:
    somebody may have edited it since."""
    if mapped is None or mapped.kind is not Kind.LEAD:
        return False
    after: Values = orjson.loads(row.after)
    read = mapped.pulled - set(mapped.match)
    told = {name for name in after if name in read and body.get(name) not in (None, [])}
    words = {name for name in read & mapped.pushed if name in fields and fields[name].type in _WORDS}
    own = _said_by(after, body, words & told)
    if not own or _said_by(after, body, told) == told:
        return bool(own)
    return all(len(own) > len(_said_by(other, body, words)) for other in others)


_WORDS = (FieldType.TEXT, FieldType.PHONE)


def _said_by(values: Values, body: Values, names: Iterable[str]) -> set[str]:
    """Those of the fields in which a record says what somebody said."""
    said = {name for name in names if values.get(name) not in (None, [])}
    return {name for name in said if came_of(values[name], body.get(name))}


_MEANT = (
    select(journal)
    .join(leads, leads.c.id == journal.c.lead)
    .where(journal.c.verb == Verb.CREATE.value, leads.c.state == "live")
    .order_by(journal.c.id)
)
_OPEN = _MEANT.where(OPEN_WRITES)
_WATCHED = _MEANT.where(journal.c.state == "withdrawn", journal.c.op.in_(bindparam("some", expanding=True)))


class Makers:
    """The creates that may have made a record that was never seen before: of unknown fate, or found undone and watched
    still, as they may have come since."""

    def __init__(self, tx: Connection, workspace: Workspace) -> None:
        self.tx = tx
        self.workspace = workspace
        self._meant: dict[tuple[str, str, Key], list[Any]] | None = None

    def lead(self, row: Any, keys: Iterable[Key]) -> str:
        """Whose create made a record with these keys; "" where none did, as far as its words tell."""
        if self._meant is None:
            self._meant = self._load()
        found = {one.id: one for key in keys for one in self._meant.get((row.connection, row.object, key), ())}
        body = orjson.loads(row.body) if found else {}
        made = [one for one in found.values() if is_made(self.tx, self.workspace, one, row.id, body)]
        return str(made[-1].lead) if made else ""

    def _load(self) -> dict[tuple[str, str, Key], list[Any]]:
        """Them by the keys that they give."""
        rows = list(self.tx.execute(_OPEN).all())
        for some in watched_creates(self.tx):
            rows += self.tx.execute(_WATCHED, {"some": some}).all()
        found: dict[tuple[str, str, Key], list[Any]] = defaultdict(list)
        for row in rows:
            if row.connection not in self.workspace.connections:
                continue
            mapped = self.workspace.mapped(row.connection).get(row.object)
            given: Values = orjson.loads(row.after)
            given = {name: given.get(name) for name in (mapped.match if mapped else ())}
            for key in self.workspace.keys(row.connection, "", given):
                if key[1]:
                    found[(row.connection, row.object, key)].append(row)
        return found
