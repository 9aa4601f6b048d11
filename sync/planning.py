"""Derive the plan for the leads that wait for one, from the state alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, func, select, update

from mappings.model import Kind
from sync.clashes import CODE as TAKEN
from sync.clashes import Claims, tell
from sync.conversions import conversions_due, takers
from sync.core import brief
from sync.core.plan import Change, Outcome, Planned, Refused, fingerprint, plan_lead
from sync.core.views import LeadView, RecordView
from sync.deals import Deals
from sync.deletes import fates
from sync.entries import entry, quarantine_rows
from sync.flapping import flaps
from sync.ledger import Ledger
from sync.load import chunks, lead_rows, lead_view, record_views
from sync.pins import pinned
from sync.push import all_open_targets, open_targets
from sync.state.schema import connections as connections_table
from sync.state.schema import dirty_leads, handoffs, leads, quarantine, records, streams
from sync.targets import targets
from sync.withheld import declined, keep_back, place_of
from sync.workspace import Workspace

BATCH = 500


@dataclass(slots=True)
class Batch:
    """What planning one batch of leads gave: their operations, those that wait until the fate of an earlier one is
    known, and the leads that need nothing anywhere."""

    operations: list[Planned] = field(default_factory=list)
    waiting: list[Planned] = field(default_factory=list)
    at_rest: list[str] = field(default_factory=list)
    last: str = ""
    leads: int = 0


_APPROVED = select(connections_table.c.name).where(connections_table.c.approved_at.is_not(None))


def approved(tx: Connection) -> set[str]:
    """The connections whose first writes a person has let through."""
    return set(tx.execute(_APPROVED).scalars())


def plan_batches(
    workspace: Workspace, run: str, *, ledger: Ledger | None = None, released: bool = False
) -> Iterator[Batch]:
    """Batches over all leads that wait to be planned, by id, for every connection that takes pushes.

    With the `ledger` of the run, what a mapping cannot express is put into quarantine and leads with nothing to write
    are laid to rest; without, the state stays as it is. With `released` it is planned as if nothing were in quarantine.
    """
    after, claims = "", Claims()
    while True:
        batch = _plan_batch(workspace, run, after, claims, ledger, released)
        if not batch.leads:
            return
        after = batch.last
        yield batch
        if batch.leads < BATCH:
            return


_TO_PLAN = select(leads.c.id).where(dirty_leads(2), leads.c.id > bindparam("after")).order_by(leads.c.id).limit(BATCH)
_REST = update(leads).where(leads.c.id.in_(bindparam("some", expanding=True)), leads.c.dirty == 2).values(dirty=0)
_REFUSED = select(quarantine).where(
    quarantine.c.direction == "push",
    quarantine.c.state == "open",
    quarantine.c.lead.in_(bindparam("some", expanding=True)),
)


def _plan_batch(
    workspace: Workspace, run: str, after: str, claims: Claims, ledger: Ledger | None, released: bool
) -> Batch:
    if ledger and not _any_to_plan(workspace, after):
        return Batch()
    opened = workspace.state.begin() if ledger else workspace.state.read()
    with opened as tx:
        if ledger:
            ledger.enter(tx)
        ids = list(tx.execute(_TO_PLAN, {"after": after}).scalars())
        batch = Batch(leads=len(ids), last=ids[-1] if ids else "")
        if ids:
            entries = [] if released else _entries(tx, ids)
            _fill(tx, workspace, run, ids, batch, claims, entries, store=ledger is not None)
        return batch


def _any_to_plan(workspace: Workspace, after: str) -> bool:
    """Most runs plan nothing: to see that takes no writer's turn."""
    with workspace.state.read() as tx:
        return tx.execute(_TO_PLAN, {"after": after}).first() is not None


def _fill(
    tx: Connection,
    workspace: Workspace,
    run: str,
    ids: Sequence[str],
    batch: Batch,
    claims: Claims,
    entries: Sequence[Any],
    *,
    store: bool,
) -> None:
    wanted = targets(workspace)
    in_doubt = all_open_targets(tx)
    refused = _refused(entries)
    linked = pinned(tx, record_views(tx, workspace, ids))
    fate = fates(tx, workspace, linked)
    views = [lead_view(row, linked.get(row.id, ())) for row in lead_rows(tx, ids)]
    deals = Deals(tx, workspace, linked, fate)

    def plan(lead: LeadView, refused: Refused) -> Outcome:
        own = plan_lead(lead, wanted, workspace.fields, refused, fate.get(lead.id))
        copied = deals.plan(lead, refused)
        return Outcome(own.operations + copied.operations, own.problems + copied.problems)

    outcomes = {lead.id: plan(lead, refused) for lead in views}
    left = declined(tx, ids)  # what is left undone claims no key
    planned = [op for outcome in outcomes.values() for op in outcome.operations if place_of(op) not in left]
    fought, taken = flaps(tx, workspace, planned), claims.clashes(tx, workspace, planned, wanted)
    if fought or taken:
        frozen = {flap.refused for flap in fought} | {clash.refused for clash in taken}
        held = {place[3] for place in frozen}
        outcomes.update((lead.id, plan(lead, _either(frozen, refused))) for lead in views if lead.id in held)
    keep_back(tx, outcomes, views, workspace.now(), store=store)
    waits = {clash.operation.lead for clash in taken}
    problems = [flap.row(run, workspace.now()) for flap in fought]
    for id, outcome in outcomes.items():
        waiting = [op for op in outcome.operations if _is_open(op, in_doubt[op.connection])]
        batch.operations.extend(op for op in outcome.operations if op not in waiting)
        batch.waiting.extend(waiting)
        problems.extend(_problem_rows(run, id, outcome, workspace.now()))
        if not outcome.operations and id not in waits:
            batch.at_rest.append(id)
    if store:
        if problems:
            quarantine_rows(tx, problems)
        tell(tx, run, workspace.now(), taken, [row for row in entries if row.code == TAKEN])
        for some in chunks(batch.at_rest):
            tx.execute(_REST, {"some": some})


def _either(frozen: set[tuple[str, ...]], refused: Refused) -> Refused:
    return lambda *place: place in frozen or refused(*place)


def _is_open(operation: Planned, unsure: set[tuple[str, str, str]]) -> bool:
    """Whether the fate of a write to the same record is not known, or of a create for the same lead: that may have made
    this record, and a blank in it may be a person's. Or that of the same copy, on account of another lead."""
    if operation.about and (operation.object, operation.about, "") in unsure:
        return True
    return any((operation.object, record, operation.lead) in unsure for record in (operation.record, ""))


def _entries(tx: Connection, ids: Sequence[str]) -> list[Any]:
    """The open entries in quarantine about writes for these leads."""
    return [row for some in chunks(ids) for row in tx.execute(_REFUSED, {"some": some})]


def _refused(entries: Iterable[Any]) -> Refused:
    """What is held by itself: a clash of keys is looked for anew each time."""
    held = {
        (row.connection, row.object, row.record, row.lead, row.field, row.fingerprint)
        for row in entries
        if row.code != TAKEN
    }
    return lambda *place: place in held


def _problem_rows(run: str, lead: str, outcome: Outcome, at: str) -> Iterator[dict[str, Any]]:
    for target, record, name, why in outcome.problems:
        fix = f"Correct the value, or the mapping of {name}." if name else "Decide it, and do it there by hand."
        place = (target.connection, target.object, record, lead, name)
        yield entry(run, at, place, code="not_expressible", reason=why, fix=fix)


def briefs_due(workspace: Workspace, connection: str, *, waiting: bool = False) -> list[Planned]:
    """The hand-off briefs that sales of `connection` have not got yet, as operations. One about somebody who stands
    there no more waits until they do; with `waiting` it is told as well."""
    object = brief_object(workspace, connection)
    if object is None:
        return []
    with workspace.state.read() as tx:
        query = select(handoffs).where(handoffs.c.connection == connection, handoffs.c.brief_state == "due")
        rows = list(tx.execute(query))
        ids = [row.lead for row in rows]
        unsure = open_targets(tx, connection)
        values = {row.id: orjson.loads(row.body) for row in lead_rows(tx, ids)}
        linked = record_views(tx, workspace, ids)
        refused = _refused(_entries(tx, ids))
    found = []
    for row in rows:
        person = _stands_as(row, linked.get(row.lead, ())) or (f"{row.object}/{row.record}" if waiting else "")
        if person and row.lead in values:
            operation = _brief(row, object, values[row.lead], person)
            told = (operation.values, operation.match)  # refused as it is, or in doubt whatever its words
            held = any(refused(connection, object, "", row.lead, "", fingerprint(dict(one))) for one in told)
            found.extend([] if held or _is_open(operation, unsure) else [operation])
    return found


def outcomes_due(workspace: Workspace, connection: str) -> list[Planned]:
    """The outcomes that the platform of `connection` has not been told yet, as operations."""
    if not takers(workspace, [connection]):
        return []
    with workspace.state.read() as tx:
        unsure = open_targets(tx, connection)
    return conversions_due(workspace, connection, unsure)


def beside_leads(workspace: Workspace, connection: str) -> list[Planned]:
    """All that is to be written to `connection` beside its people: briefs of hand-offs, outcomes as conversions."""
    return [*briefs_due(workspace, connection), *outcomes_due(workspace, connection)]


def brief_object(workspace: Workspace, connection: str) -> str | None:
    """The object in which `connection` takes hand-off briefs, None when it takes none."""
    found = workspace.manifest(connection).objects.items()
    return next((name for name, facts in found if facts.brief), None)


def _stands_as(row: Any, views: Sequence[RecordView]) -> str:
    """The record (`object/id`) that a person handed over has there now: theirs may have been converted, merged or
    deleted since. "" where there is none."""
    here = [f"{view.object}/{view.id}" for view in views if view.connection == row.connection and not view.gone]
    handed = f"{row.object}/{row.record}"
    return handed if handed in here else next(iter(here), "")


def _brief(row: Any, object: str, lead: dict[str, Any], person: str) -> Planned:
    reference = f"closedloop-brief-{row.lead}"
    values = {
        "subject": brief.title(lead),
        "body": row.brief,
        "person": person,
        "reference": reference,
    }
    return Planned(
        connection=row.connection,
        object=object,
        verb="create",
        lead=row.lead,
        record="",
        changes=(Change("brief", object, None, values["subject"], "the lead was handed off", row.at),),
        values=values,
        match={"reference": reference},
        seen=0,
        why="hand-off brief",
    )


@dataclass(slots=True)
class Waiting:
    """First writes that wait for a yes: how much would be created and updated where, on what match of both sides.

    `digest` stands for each of these writes: a yes to what was shown is a yes to the same digest and no other.
    """

    connection: str
    account_name: str
    matched: int = 0
    unmatched: int = 0
    creates: dict[str, int] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    sample: list[Planned] = field(default_factory=list)
    _sum: Any = field(default_factory=sha256, repr=False, compare=False)

    @property
    def digest(self) -> str:
        return str(self._sum.hexdigest())

    def add(self, operation: Planned, sample: int = 5) -> None:
        """Count one operation; it joins the sample while there is room."""
        table = self.creates if operation.verb == "create" else self.updates
        table[operation.object] = table.get(operation.object, 0) + 1
        self._sum.update(f"{operation.key}\n".encode())
        if len(self.sample) < sample:
            self.sample.append(operation)

    @property
    def total(self) -> int:
        return sum(self.creates.values()) + sum(self.updates.values())


def waiting_for(tx: Connection, workspace: Workspace, connection: str) -> Waiting:
    """An empty Waiting for `connection`, with how many leads stand there and how many do not."""
    row = tx.execute(
        select(connections_table.c.account_name).where(connections_table.c.name == connection)
    ).one_or_none()
    everyone = tx.execute(select(func.count()).select_from(leads).where(leads.c.state == "live")).scalar() or 0
    here = tx.execute(_leads_of(connection)).scalar() or 0
    return Waiting(connection, row.account_name if row else "", matched=here, unmatched=everyone - here)


def _leads_of(connection: str) -> Any:
    return (
        select(func.count(func.distinct(records.c.lead)))
        .join(streams, streams.c.id == records.c.stream)
        .where(streams.c.connection == connection, streams.c.kind == Kind.LEAD.value, records.c.lead.is_not(None))
    )
