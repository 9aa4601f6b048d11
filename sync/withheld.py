"""Questions that are asked whatever the rules: fields on which a restored state may not decide by itself, writes that
it may not do, and blanks where a write of unknown fate may have filled a field (`sync.doubt`).

A contested field is asked about as any field is whose rule is `ask`, until its records agree or a person has decided;
then its own rule counts again. A withheld write (the making of a person's record somewhere, or its being put away) is
not planned until a person lets it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from connectors.api import Verb
from sync.core.plan import Planned
from sync.core.views import LeadView
from sync.load import chunks
from sync.resolve import RESTORED, park
from sync.state.database import NOTE, upsert
from sync.state.schema import conflicts, leads, meta

WRITE = "write"
"""The kind of question that asks about a write."""

Withheld = frozenset[tuple[str, str, str]]
"""(lead, connection, verb) of writes that a person has not let."""

_NOTE = "asked"


def note(tx: Connection, at: str) -> None:
    """From now on there may be such questions: a state that never had one looks for none."""
    tx.execute(upsert(meta, tx, update=["value"]), [{"name": _NOTE, "value": at}])


def asks_at_all(tx: Connection) -> bool:
    """Whether there ever was such a question."""
    return tx.execute(NOTE, {"of": _NOTE}).first() is not None


_CONTESTED = select(conflicts.c.lead, conflicts.c.field).where(
    conflicts.c.kind == "field",
    conflicts.c.why != "",
    conflicts.c.state == "open",
    conflicts.c.lead.in_(bindparam("some", expanding=True)),
)
_WITHHELD = select(conflicts).where(
    conflicts.c.kind == WRITE,
    conflicts.c.state != "closed",
    conflicts.c.lead.in_(bindparam("some", expanding=True)),
)


def contested(tx: Connection, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """The contested fields of these leads, by lead."""
    found: dict[str, set[str]] = defaultdict(set)
    for some in chunks(ids):
        for row in tx.execute(_CONTESTED, {"some": some}):
            found[row.lead].add(row.field)
    return {lead: frozenset(names) for lead, names in found.items()}


def contest(tx: Connection, fields: Iterable[tuple[str, str]], at: str, why: str = RESTORED) -> None:
    """Ask about these (lead, field); what is asked already stays."""
    found = sorted(set(fields))
    for lead, name in found:
        park(tx, kind="field", lead=lead, field=name, options=[], at=at, why=why)
    for some in chunks(sorted({lead for lead, _ in found})):
        tx.execute(update(leads).where(leads.c.id.in_(some)).values(dirty=1))


def withhold(tx: Connection, operations: Iterable[Planned], at: str) -> None:
    """Ask about these writes before they are done; what a person let once and is planned again is asked anew."""
    for operation in operations:
        option = {"verb": operation.verb, "object": operation.object, "record": operation.record, "why": operation.why}
        place = {"connection": operation.connection, "lead": operation.lead, "field": operation.verb}
        park(tx, kind=WRITE, options=[option], at=at, why=RESTORED, **place)


def withheld(tx: Connection, ids: Sequence[str]) -> Withheld:
    """The writes about these leads that are not to be planned."""
    if not asks_at_all(tx):
        return frozenset()
    found = set()
    for some in chunks(ids):
        for row in tx.execute(_WITHHELD, {"some": some}):
            if row.state == "open" or not orjson.loads(row.decision)["write"]:
                found.add((row.lead, row.connection, row.field))
    return frozenset(found)


def is_withheld(operation: Planned, held: Withheld) -> bool:
    return (operation.lead, operation.connection, operation.verb) in held


def close_moot(tx: Connection, views: Iterable[LeadView], held: Withheld, at: str) -> None:
    """Whoever stands there by now need not be made there: nobody is asked any more."""
    moot = [
        (view.id, record.connection)
        for view in views
        for record in view.records
        if not record.gone and (view.id, record.connection, Verb.CREATE.value) in held
    ]
    for lead, connection in moot:
        mine = (conflicts.c.kind == WRITE) & (conflicts.c.lead == lead) & (conflicts.c.connection == connection)
        mine &= (conflicts.c.field == Verb.CREATE.value) & (conflicts.c.state == "open")
        tx.execute(update(conflicts).where(mine).values(state="closed", last_at=at))


def decide_write(tx: Connection, question: Any, *, write: bool, at: str) -> str:
    """A person says whether the write is to be done."""
    decision = orjson.dumps({"write": write, "at": at}).decode()
    mine = conflicts.c.id == question["id"]
    tx.execute(update(conflicts).where(mine).values(state="decided", decision=decision))
    tx.execute(update(leads).where(leads.c.id == question["lead"], leads.c.state == "live").values(dirty=1))
    return "`closedloop sync` does it." if write else "It is left undone."


def count(tx: Connection, kinds: Collection[str] = ("field", WRITE)) -> dict[str, int]:
    """How many such questions are open, by kind."""
    mine = (conflicts.c.why == RESTORED) & (conflicts.c.state == "open")
    found = dict.fromkeys(kinds, 0)
    for kind in tx.execute(select(conflicts.c.kind).where(mine, conflicts.c.kind.in_(kinds))).scalars():
        found[kind] += 1
    return found
