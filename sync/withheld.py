"""Questions that are asked whatever the rules: fields on which a restored state may not decide by itself, writes that
it may not do, and blanks where a write of unknown fate may have filled a field (`sync.doubt`).

A contested field is asked about as any field is whose rule is `ask`, until its records agree or a person has decided;
then its own rule counts again. A withheld write (the making of a person's record somewhere, or its being put away) is
not planned until a person lets it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, select, update

from config.clock import stamp, unstamp
from connectors.api import Verb
from sync.core.merge import Voice
from sync.core.plan import Outcome, Planned
from sync.core.views import LeadView
from sync.load import chunks
from sync.parked import RESTORED, park
from sync.state.database import NOTE, upsert
from sync.state.schema import conflicts, leads, meta, records

LOST = "lost:"
"""Before the name of a record, as a source: what it said before it was told older than it had been known."""

WRITE = "write"
"""The kind of question that asks about a write."""

LATE = timedelta(minutes=5)
"""Whoever is first seen so soon after a state was taken up anew may have been there before: indexes lag."""

_NOTE = "asked"
_RESTORED_AT = "restored_at"


def note(tx: Connection, at: str) -> None:
    """From now on there may be such questions: a state that never had one looks for none."""
    tx.execute(upsert(meta, tx, update=["value"]), [{"name": _NOTE, "value": at}])


def note_restored(tx: Connection, at: str, *, missing: bool) -> None:
    """The state is taken up anew now; with `missing` it asks about whoever is to be made somewhere."""
    note(tx, at)
    if missing:
        # whoever is known only by what is gone begins now: a record of theirs that comes up later comes up late
        alive = select(records.c.lead).where(records.c.gone.is_(None), records.c.lead.is_not(None))
        tx.execute(update(leads).where(leads.c.id.not_in(alive)).values(created_at=at))
        tx.execute(upsert(meta, tx), [{"name": _RESTORED_AT, "value": at}])


def begin_anew(tx: Connection) -> None:
    """Whatever an earlier try to take the state up had noted is noted anew at the end of this one."""
    tx.execute(delete(meta).where(meta.c.name == _RESTORED_AT))


def asks_at_all(tx: Connection) -> bool:
    """Whether there ever was such a question."""
    return tx.execute(NOTE, {"of": _NOTE}).first() is not None


_CONTESTED = select(conflicts.c.lead, conflicts.c.field, conflicts.c.options).where(
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


def contested(tx: Connection, ids: Sequence[str]) -> dict[str, dict[str, tuple[Voice, ...]]]:
    """The contested fields of these leads, by lead, with what records said of them and lost."""
    found: dict[str, dict[str, tuple[Voice, ...]]] = defaultdict(dict)
    for some in chunks(ids):
        for row in tx.execute(_CONTESTED, {"some": some}):
            lost = (option for option in orjson.loads(row.options) if option["source"].startswith(LOST))
            found[row.lead][row.field] = tuple(map(_lost, lost))
    return found


def option_of(voice: Voice) -> dict[str, Any]:
    """What a person may take of a field: what a record says, or what it said and lost."""
    return {"source": f"{LOST if voice.lost else ''}{voice.source}", "value": voice.value, "at": voice.at}


def _lost(option: Mapping[str, Any]) -> Voice:
    source = option["source"].removeprefix(LOST)
    return Voice(source, source.partition("/")[0], option["value"], option["at"], option["at"], lost=True)


def contest(
    tx: Connection,
    fields: Iterable[tuple[str, str]],
    at: str,
    why: str = RESTORED,
    lost: Mapping[tuple[str, str], Sequence[Voice]] | None = None,
) -> None:
    """Ask about these (lead, field), of which records `lost` what a person may take; what is asked already stays, with
    what was lost before. Of one record the last that it lost counts."""
    found = sorted(set(fields))
    known = contested(tx, sorted({lead for lead, _ in found}))
    for lead, name in found:
        voices = (*known.get(lead, {}).get(name, ()), *(lost or {}).get((lead, name), ()))
        options = [option_of(voice) for voice in {voice.source: voice for voice in voices}.values()]
        park(tx, kind="field", lead=lead, field=name, options=options, at=at, why=why)
    for some in chunks(sorted({lead for lead, _ in found})):
        tx.execute(update(leads).where(leads.c.id.in_(some)).values(dirty=1))


def withhold(tx: Connection, operations: Iterable[Planned], at: str) -> None:
    """Ask about these writes before they are done; what a person let once and is planned again is asked anew."""
    for operation in operations:
        option = {"verb": operation.verb, "object": operation.object, "record": operation.record, "why": operation.why}
        place = {"connection": operation.connection, "lead": operation.lead, "field": operation.verb}
        park(tx, kind=WRITE, options=[option], at=at, why=RESTORED, **place)


def keep_back(
    tx: Connection, outcomes: Mapping[str, Outcome], views: Sequence[LeadView], at: str, *, store: bool
) -> None:
    """Take out of the outcomes of these leads what a person has not let. With `store` questions that came up are asked,
    and those that went away are closed."""
    if not asks_at_all(tx):
        return
    told = _told(tx, [view.id for view in views])
    held = {place for place, let in told.items() if not let}
    late = [op for op in _late(tx, outcomes, views) if place_of(op) not in told]
    held.update(map(place_of, late))
    for outcome in outcomes.values():
        outcome.operations = [op for op in outcome.operations if place_of(op) not in held]
    if store:
        withhold(tx, late, at)
        _close_moot(tx, views, held, at)


Place = tuple[str, str, str]
"""(lead, connection, verb)."""


def place_of(operation: Planned) -> Place:
    return (operation.lead, operation.connection, operation.verb)


def declined(tx: Connection, ids: Sequence[str]) -> set[Place]:
    """The writes about these leads that a person said are to be left undone."""
    if not asks_at_all(tx):
        return set()
    rows = [row for some in chunks(ids) for row in tx.execute(_WITHHELD, {"some": some}) if row.decision]
    return {(row.lead, row.connection, row.field) for row in rows if not orjson.loads(row.decision)["write"]}


def _told(tx: Connection, ids: Sequence[str]) -> dict[Place, bool]:
    """The writes about these leads that a person was asked about, and whether they are to be done."""
    found = {}
    for some in chunks(ids):
        for row in tx.execute(_WITHHELD, {"some": some}):
            found[(row.lead, row.connection, row.field)] = bool(row.decision and orjson.loads(row.decision)["write"])
    return found


def _late(tx: Connection, outcomes: Mapping[str, Outcome], views: Sequence[LeadView]) -> list[Planned]:
    """Creates of people who came up only after the state was taken up anew, and had been there before: an index that
    lags showed them late, and the state cannot know of them either."""
    since = tx.execute(NOTE, {"of": _RESTORED_AT}).scalar()
    if not since:
        return []
    until = stamp(unstamp(since) + LATE)
    before = [view.id for view in views if any(record.first_at < until for record in view.records)]
    asked = [op for lead in before for op in outcomes[lead].operations if op.verb == Verb.CREATE]
    fresh: set[str] = set()
    for some in chunks(sorted({op.lead for op in asked})):
        mine = leads.c.id.in_(some) & (leads.c.created_at >= since)
        fresh.update(tx.execute(select(leads.c.id).where(mine)).scalars())
    return [op for op in asked if op.lead in fresh]


def _close_moot(tx: Connection, views: Iterable[LeadView], held: Collection[Place], at: str) -> None:
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
