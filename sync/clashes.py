"""Addresses that are somebody else's: what would write one lead's values over another's record is held back.

A create looks for its record by its keys (`match`), and so does every platform. Where another lead's record there has
the key, or a record that nobody has been given yet, or another lead is being written there with it, the create is not
made; nor is an update that would give two records one key. It is told in quarantine, and the lead stays among those
that wait to be planned: whatever ends the clash, the write is done with the next sync.

Two leads with one key were asked about when the second came by it (`sync.resolve`): without such a question there is
nothing to look for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from connectors.api import Verb
from mappings.model import Values
from sync.absorb import OUTSIDE
from sync.core.plan import Planned, Target, fingerprint
from sync.core.resolve import Key
from sync.entries import entry, quarantine_rows
from sync.load import chunks, record_views
from sync.state.schema import OPEN_WRITES, conflicts, identities, journal, leads, quarantine, records, streams
from sync.workspace import Workspace

CODE = "taken"

Place = tuple[str, Key]
"""A key on a connection."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A write that is held back: `rival` is the lead that has the value of `field` there, "" where `record`, which has
    it, is nobody's yet."""

    operation: Planned
    field: str
    rival: str
    record: str

    @property
    def refused(self) -> tuple[str, ...]:
        """As the planner asks about it: the whole create, of an update the field."""
        op = self.operation
        name, what = ("", dict(op.values)) if op.verb == Verb.CREATE else (self.field, op.after[self.field])
        return (op.connection, op.object, op.record, op.lead, name, fingerprint(what))

    def row(self, run: str, at: str) -> dict[str, Any]:
        """Its entry in quarantine."""
        op = self.operation
        holder = f"of lead {self.rival}" if self.rival else f"of {self.record}, which is nobody's yet"
        what = "a create would write over that one" if op.verb == Verb.CREATE else "two records would have it"
        fix = f"Give one of the two another {self.field}: the next sync goes on by itself. "
        if self.rival:
            fix += f"Where both are one person: `closedloop duplicates link {op.lead} {self.rival}`."
        else:
            fix += "Whose it is, `closedloop conflicts list` asks."
        reason = f"has the {self.field} {holder} there: {what}"
        place = (op.connection, op.object, op.record, op.lead, self.field)
        wish = fingerprint(op.after[self.field])
        return entry(run, at, place, code=CODE, reason=reason, fix=fix, fingerprint=wish)


@dataclass(frozen=True, slots=True)
class _Wish:
    """An operation that would give its record a key."""

    operation: Planned
    field: str
    key: Key

    @property
    def place(self) -> Place:
        return (self.operation.connection, self.key)


_ASKED = select(conflicts.c.connection, conflicts.c.object, conflicts.c.record, conflicts.c.options).where(
    conflicts.c.kind == "match"
)


@dataclass(slots=True)
class Claims:
    """What one pass over the leads has given whom: of two that want one key on a connection the first gets it."""

    given: dict[Place, str] = field(default_factory=dict)
    asked: list[Any] | None = None

    def questions(self, tx: Connection) -> list[Any]:
        """The questions about who is who, answered ones too."""
        if self.asked is None:
            self.asked = [(row, orjson.loads(row.options)) for row in tx.execute(_ASKED).all()]
        return self.asked

    def clashes(
        self, tx: Connection, workspace: Workspace, operations: Iterable[Planned], targets: Sequence[Target]
    ) -> list[Clash]:
        """Those of `operations` that would give a record what is somebody else's."""
        wishes = list(_wishes(workspace, operations, targets))
        if not wishes or not (asked := self.questions(tx)):
            return []
        holders = _holders(tx, workspace, wishes, asked)
        found = []
        for wish in sorted(wishes, key=lambda wish: wish.operation.lead):
            lead = wish.operation.lead
            others = [one for one in holders[wish.place] if one[0] != lead]
            first = self.given.get(wish.place, lead)
            if others or first != lead:
                rival, record = min(others) if others else (first, "")
                found.append(Clash(wish.operation, wish.field, rival, record))
            else:
                self.given[wish.place] = lead
        return found


def _wishes(workspace: Workspace, operations: Iterable[Planned], targets: Sequence[Target]) -> Iterator[_Wish]:
    matched = {(target.connection, target.object): target.match for target in targets}
    for op in operations:
        if op.verb in (Verb.CREATE, Verb.UPDATE):
            after = op.after
            for name in matched.get((op.connection, op.object), ()):
                for key in _keys(workspace, op.connection, "", {name: after.get(name)}):
                    yield _Wish(op, name, key)


def _keys(workspace: Workspace, connection: str, id: str, body: Values) -> list[Key]:
    return [key for key in workspace.keys(connection, id, body) if key[1]]


Holders = dict[Place, list[tuple[str, str]]]
"""(lead, record) of those that have a key on a connection; lead "" of a record that is nobody's."""


def _holders(tx: Connection, workspace: Workspace, wishes: Sequence[_Wish], asked: Sequence[Any]) -> Holders:
    """Who has these keys where they are wished for."""
    found: Holders = defaultdict(list)
    keys = {wish.key for wish in wishes}
    near = [one for one in asked if any(tuple(option.get("by", ())) in keys for option in one[1])]
    rivals = _rivals(tx, {wish.operation.lead for wish in wishes}, keys, asked)
    for lead, views in record_views(tx, workspace, sorted(rivals)).items():
        for view in views:
            if view.gone in (None, OUTSIDE):
                for key in _keys(workspace, view.connection, view.id, view.body):
                    found[(view.connection, key)].append((lead, view.name))
    for row, options in near:
        _questioned(tx, workspace, row, options, found)
    _under_way(tx, workspace, found)
    return found


_OWNERS = select(identities.c.kind, identities.c.value, identities.c.lead).where(
    identities.c.value.in_(bindparam("some", expanding=True))
)
_MOVED = select(leads.c.id, leads.c.into).where(
    leads.c.id.in_(bindparam("some", expanding=True)), leads.c.into.is_not(None)
)


def _rivals(tx: Connection, mine: Collection[str], keys: Collection[Key], asked: Sequence[Any]) -> set[str]:
    """The leads that may have these keys: their owners, and whoever a question names with one of them or of `mine`."""
    found: set[str] = set()
    for kind in {kind for kind, _ in keys}:
        for some in chunks(sorted(value for of, value in keys if of == kind)):
            found.update(row.lead for row in tx.execute(_OWNERS, {"some": some}) if row.kind == kind)
    for _, options in asked:
        if any(option["lead"] in mine or tuple(option.get("by", ())) in keys for option in options):
            found.update(option["lead"] for option in options)
    moved = found
    while moved:
        moved = {row.into for some in chunks(sorted(moved)) for row in tx.execute(_MOVED, {"some": some})} - found
        found |= moved
    return found


_THIS = (
    select(records.c.lead, records.c.body, records.c.gone, records.c.hash)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id == bindparam("id"))
)


def _questioned(tx: Connection, workspace: Workspace, row: Any, options: Sequence[Any], found: Holders) -> None:
    """The record of a question has a key while it is nobody's, and while nobody has looked at it since a create met it
    by that key."""
    known = tx.execute(_THIS, {"of": row.connection, "named": row.object, "id": row.record}).one_or_none()
    if known is None or known.gone not in (None, OUTSIDE):
        return
    name = f"{row.connection}/{row.object}/{row.record}"
    if known.lead is None:
        for key in _keys(workspace, row.connection, row.record, orjson.loads(known.body)):
            found[(row.connection, key)].append(("", name))
    for option in options:
        if option.get("met") == str(known.hash) and known.lead is not None:
            found[(row.connection, tuple(option["by"]))].append((known.lead, name))


_WRITING = select(journal.c.connection, journal.c.object, journal.c.record, journal.c.lead, journal.c.after).where(
    OPEN_WRITES
)


def _under_way(tx: Connection, workspace: Workspace, found: Holders) -> None:
    """A write whose fate is not known may give a record the keys in it."""
    for row in tx.execute(_WRITING).all():
        if row.lead and row.connection in workspace.connections:
            for key in _keys(workspace, row.connection, "", orjson.loads(row.after)):
                found[(row.connection, key)].append((row.lead, f"{row.connection}/{row.object}/{row.record}"))


# what is told


_DISMISSED = select(quarantine).where(
    quarantine.c.code == CODE,
    quarantine.c.state == "dismissed",
    quarantine.c.lead.in_(bindparam("some", expanding=True)),
)


def tell(tx: Connection, run: str, at: str, found: Sequence[Clash], standing: Sequence[Any]) -> None:
    """Put what is new among `found` into quarantine and resolve those of its entries `standing` that are over. What
    was told already, and what a person has let go, stays as it is."""
    rows = {_place(row): row for row in (clash.row(run, at) for clash in found)}
    known = {_entry_place(row): row.reason for row in standing}
    over = [row.id for row in standing if _entry_place(row) not in rows]
    for some in chunks(over):
        tx.execute(update(quarantine).where(quarantine.c.id.in_(some)).values(state="resolved", last_at=at))
    fresh = [row for place, row in rows.items() if known.get(place) != row["reason"]]
    if fresh:
        let_go: set[tuple[str, ...]] = set()
        for some in chunks(sorted({row["lead"] for row in fresh})):
            let_go.update(map(_entry_place, tx.execute(_DISMISSED, {"some": some})))
        if told := [row for row in fresh if _place(row) not in let_go]:
            quarantine_rows(tx, told)


def end(tx: Connection, lead: str, at: str) -> None:
    """The lead became another: it waits for nothing any more."""
    mine = (quarantine.c.code == CODE) & (quarantine.c.lead == lead) & (quarantine.c.state == "open")
    tx.execute(update(quarantine).where(mine).values(state="resolved", last_at=at))


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in _KNOWN_BY)


def _entry_place(row: Any) -> tuple[str, ...]:
    return tuple(getattr(row, name) for name in _KNOWN_BY)


_KNOWN_BY = ("connection", "object", "record", "lead", "field", "fingerprint")
