"""What a restored state may not decide by itself, found by what it would write: the last steps of a rebaseline.

Everything has been read anew and decided upon. What would be written now is what the platforms differ in and the older
state has an opinion of. Of that only goes on what is right whatever was done since: a person is looked up before they
are made; consents only tighten, stages only move forward; a blank that says nothing is filled. The rest is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, select, update

from connectors.api import Verb
from mappings.model import Field, Rule
from sync.absorb import absorb_found
from sync.conversions import takers, told
from sync.core.plan import Change, Planned, fingerprint
from sync.core.views import Provenance, RecordView
from sync.entries import entry, quarantine_rows
from sync.ledger import Ledger
from sync.load import lead_rows, provenances, record_views
from sync.planning import briefs_due, plan_batches
from sync.settle import AWAY
from sync.state.schema import conversions, leads, quarantine, records, runs, streams
from sync.withheld import contest, note_restored, withhold
from sync.workspace import Workspace

_FROM_THE_RECORDS = {Rule.MOST_RESTRICTIVE, Rule.FURTHEST, Rule.UNION, Rule.ASK}
"""Rules that decide by what the records say, whenever they said it: an older baseline decides nothing there."""
_PREFERRING = {Rule.PREFER, Rule.PREFER_UNLESS_BLANK}
CODE = "restored"


def planned(workspace: Workspace, run: str, *, released: bool = False) -> list[Planned]:
    """All that would be written to people now, or once the fate of an earlier write is known; with `released` what
    quarantine holds, too."""
    batches = list(plan_batches(workspace, run, released=released))
    return [operation for batch in batches for operation in (*batch.operations, *batch.waiting)]


def look_up(workspace: Workspace, run: str, ledger: Ledger) -> int:
    """Ask the platforms, by every key, for those who would be made there; how many stood there unseen by a pull.

    Raises what a connector raises.
    """
    _stir_refused(workspace, ledger)
    found = 0
    for (connection, object), wanted in _missing(planned(workspace, run, released=True)).items():
        facts = workspace.manifest(connection).objects[object]
        for key in sorted(set(wanted) & set(facts.unique)):
            found += _take(workspace, ledger, connection, object, key, sorted(wanted[key]))
    return found


_REFUSED = select(quarantine.c.lead).where(quarantine.c.direction == "push", quarantine.c.state == "open")


def _stir_refused(workspace: Workspace, ledger: Ledger) -> None:
    """Those of whom quarantine holds a write are planned as well: it may have been let go and done since."""
    resting = leads.c.id.in_(_REFUSED) & (leads.c.state == "live") & (leads.c.dirty == 0)
    with workspace.state.begin() as tx:
        ledger.enter(tx)
        tx.execute(update(leads).where(resting).values(dirty=2))


def _missing(operations: Iterable[Planned]) -> dict[tuple[str, str], dict[str, set[str]]]:
    """The keys of those who would be made: (connection, object) -> remote field -> values."""
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for operation in operations:
        for name, value in operation.match.items() if operation.verb == Verb.CREATE else ():
            found[(operation.connection, operation.object)][name].add(str(value))
    return found


def _take(workspace: Workspace, ledger: Ledger, connection: str, object: str, key: str, values: Sequence[str]) -> int:
    mapped = workspace.mapped(connection)[object]
    found = workspace.connector(connection).read(object, key, values, mapped.remote_fields)
    with workspace.state.begin() as tx:
        ledger.enter(tx)
        absorb_found(tx, workspace, connection, object, found.values(), run=ledger.run)
    return len(found)


def question(workspace: Workspace, run: str, ledger: Ledger, *, missing: bool) -> None:
    """Ask about all that the state may not decide by itself; with `missing` about who is to be made somewhere too."""
    operations = planned(workspace, run)
    released = planned(workspace, run, released=True)
    briefs = [brief for name in workspace.connections for brief in briefs_due(workspace, name, waiting=True)]
    at = workspace.now()
    with workspace.state.begin() as tx:
        ledger.enter(tx)
        note_restored(tx, at, missing=missing)
        away = {verb.value for verb in AWAY}
        withhold(tx, [op for op in released if op.verb in away or (missing and op.verb == Verb.CREATE)], at)
        contest(tx, _disputed(tx, workspace, [op for op in operations if op.verb == Verb.UPDATE], at), at)
        doubted = [_entry(run, at, op.connection, op.object, op.lead, dict(op.match)) for op in briefs]
        doubted += _doubt_outcomes(tx, workspace, run, at)
        if doubted:
            quarantine_rows(tx, doubted)


# fields


def _disputed(tx: Connection, workspace: Workspace, updates: Sequence[Planned], at: str) -> Iterator[tuple[str, str]]:
    """The (lead, field) of which a record says one thing and would be given another. Its blanks speak from now on."""
    ids = sorted({operation.lead for operation in updates})
    views = record_views(tx, workspace, ids)
    reasons = {row.id: provenances(row.reasons) for row in lead_rows(tx, ids)}
    for operation in updates:
        view = next(
            v for v in views[operation.lead] if (v.connection, v.id) == (operation.connection, operation.record)
        )
        for change in operation.changes:
            known = workspace.fields.get(change.field)
            why = reasons[operation.lead].get(change.field)
            if known is not None and _is_disputed(known, change, view, why, workspace.order):
                _let_blanks_speak(tx, views[operation.lead], change.field, at)
                yield operation.lead, change.field


def _is_disputed(
    known: Field, change: Change, view: RecordView, why: Provenance | None, order: Mapping[str, Sequence[str]]
) -> bool:
    if known.derived or known.name == "closedloop_id" or known.rule in _FROM_THE_RECORDS:
        return False
    if known.name not in view.pulled or known.name not in view.body:
        return False
    if change.old in (None, []) and view.on_blank.get(known.name, "ignore") == "ignore":
        return False
    source = why.source.partition("/")[0] if why else ""
    preferred = known.rule in _PREFERRING and source in order.get(known.name, ()) and source != view.connection
    return not preferred


def _let_blanks_speak(tx: Connection, views: Iterable[RecordView], name: str, at: str) -> None:
    """A blank may be what somebody made of a value that the older state never saw."""
    for view in views:
        if view.gone or view.body.get(name, "") not in (None, []) or name in view.changed:
            continue
        stream = select(streams.c.id).where(streams.c.connection == view.connection, streams.c.object == view.object)
        mine = (records.c.stream == stream.scalar_subquery()) & (records.c.id == view.id)
        told = tx.execute(select(records.c.changed).where(mine)).scalar()
        changed = {**(orjson.loads(told) if told else {}), name: at}
        tx.execute(update(records).where(mine).values(changed=orjson.dumps(changed).decode()))


# what is beside people


def _doubt_outcomes(tx: Connection, workspace: Workspace, run: str, at: str) -> list[dict[str, Any]]:
    """Outcomes that would be told now may have been told before, unless their platform knows them by their name: they
    are unsure from now on. Their entries for quarantine."""
    entries = []
    began = tx.execute(select(runs.c.started_at).where(runs.c.id == run)).scalar_one()
    for taker in takers(workspace):
        mine = (conversions.c.connection == taker.connection) & (conversions.c.object == taker.object)
        query = select(conversions.c.event_id, conversions.c.lead, leads.c.created_at)
        query = query.join(leads, leads.c.id == conversions.c.lead).where(mine, conversions.c.state == "due")
        due = tx.execute(query.order_by(conversions.c.event_id)).all()
        # the names of a lead that was made only now are new too
        doubtful = [row for row in due if not taker.facts.repeats or row.created_at >= began]
        told(tx, taker.connection, taker.object, [row.event_id for row in doubtful], "unsure")
        entries += [_entry(run, at, taker.connection, taker.object, row.lead, None, row.event_id) for row in doubtful]
    return entries


def _entry(run: str, at: str, connection: str, object: str, lead: str, values: Any, record: str = "") -> dict[str, Any]:
    return entry(
        run,
        at,
        (connection, object, record, lead, ""),
        code=CODE,
        reason="The state was restored: this may have been written already.",
        fix="Look whether it is there; `quarantine replay` writes it, `quarantine dismiss` does not.",
        fingerprint=fingerprint(values) if values is not None else "",
    )
