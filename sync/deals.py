"""Plan the copies of deals: for the leads of a batch, after their own records.

Deals that count as outcomes (`Workspace.deal_sources`) are copied to every other connection whose mapping pushes deals.
A deal that changes has its people planned anew, and so its copies; so has one whose person came to stand where copies
are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select, tuple_, update

from mappings.model import Kind
from sync import copies, pins
from sync.copies import Place
from sync.core.copies import DealTarget, on_account_of, plan_copy
from sync.core.plan import Fate, Outcome, Refused
from sync.core.views import DealView, LeadView, RecordView
from sync.load import chunks, deal_views, people, record_view, record_views
from sync.state.database import NOTE, upsert
from sync.state.schema import deal_people, leads, meta, records, streams
from sync.targets import deal_targets
from sync.ties import TIED
from sync.workspace import Workspace

Linked = Mapping[str, Sequence[RecordView]]
"""Lead -> its records."""


def bearing(workspace: Workspace) -> frozenset[tuple[str, str]]:
    """The (connection, object) of deals whose mapping reads the name of a home."""
    return frozenset(
        (connection, object)
        for connection in workspace.connections
        for object, mapped in workspace.mapped(connection).items()
        if mapped.kind is Kind.DEAL and "home" in mapped.entries
    )


def welcome(tx: Connection, workspace: Workspace) -> None:
    """Where deals are copied to for the first time, or by another mapping than before, plan everyone in a deal."""
    fresh = newly_copied(tx, workspace)
    if fresh:
        tx.execute(upsert(meta, tx, update=["value"]), fresh)
        tx.execute(update(leads).where(leads.c.dirty == 0, leads.c.state == "live", _IN_A_DEAL).values(dirty=2))


def newly_copied(tx: Connection, workspace: Workspace) -> list[dict[str, str]]:
    """The marks of targets of copies that are not noted yet: new ones, and those of another mapping."""
    fresh = []
    for into in deal_targets(workspace):
        connection, object = into.place
        mark, told = f"copies:{connection}/{object}", workspace.mapped(connection)[object].fingerprint
        if tx.execute(NOTE, {"of": mark}).scalar() != told:
            fresh.append({"name": mark, "value": told})
    return fresh


_IN_A_DEAL = TIED.where(records.c.lead == leads.c.id).exists()


class Deals:
    """The deals of a batch of leads, what copies of them stand where, and who is in them."""

    def __init__(self, tx: Connection, workspace: Workspace, linked: Linked, fate: Mapping[str, Fate]) -> None:
        self._targets = deal_targets(workspace)
        self._of: dict[str, list[DealView]] = {}
        self._fate = fate
        if self._targets:
            self._of = deal_views(tx, people(linked), workspace.deal_sources)
        if self._of:
            self._load(tx, workspace, linked)

    def _load(self, tx: Connection, workspace: Workspace, linked: Linked) -> None:
        deals = {_place(deal): deal for found in self._of.values() for deal in found}
        self._parties = _parties(tx, deals)
        others = sorted({lead for found in self._parties.values() for lead in found} - set(linked))
        self._linked = {**record_views(tx, workspace, others), **linked}
        self._copies = _copies(tx, workspace, deals)

    def plan(self, lead: LeadView, refused: Refused) -> Outcome:
        """The operations on copies of the lead's deals, of those for which it is this lead's turn."""
        outcome = Outcome()
        if lead.id in self._fate:
            return outcome
        for deal in self._of.get(lead.id, ()):
            for into in self._targets:
                if into.target.connection != deal.connection:
                    found = self._plan(deal, lead, into, refused)
                    outcome.operations.extend(found.operations)
                    outcome.problems.extend(found.problems)
        return outcome

    def _plan(self, deal: DealView, lead: LeadView, into: DealTarget, refused: Refused) -> Outcome:
        copy = self._copies.get((_place(deal), into.place))
        connection = into.target.connection

        def standing(party: str) -> RecordView | None:
            here = (view for view in self._linked.get(party, ()) if view.connection == connection and not view.gone)
            return next(here, None)

        whose, person = on_account_of(self._parties.get(_place(deal), []), standing, copy is not None)
        return plan_copy(deal, lead, into, person, copy, refused) if whose == lead.id else Outcome()


def _place(deal: DealView) -> Place:
    return (deal.connection, deal.object, deal.id)


_DEAL = tuple_(deal_people.c.connection, deal_people.c.deal_object, deal_people.c.deal)
_PARTIES = (
    select(deal_people.c.connection, deal_people.c.deal_object, deal_people.c.deal, records.c.lead)
    .join(
        streams,
        (streams.c.connection == deal_people.c.connection) & (streams.c.object == deal_people.c.person_object),
    )
    .join(records, (records.c.stream == streams.c.id) & (records.c.id == deal_people.c.person))
    .join(leads, leads.c.id == records.c.lead)
    .where(leads.c.state == "live")
    .distinct()
    .order_by(records.c.lead)
)


def _parties(tx: Connection, deals: Iterable[Place]) -> dict[Place, list[str]]:
    """The leads in each deal, in a fixed order."""
    found: dict[Place, list[str]] = defaultdict(list)
    for some in chunks(sorted(deals)):
        for connection, object, id, lead in tx.execute(_PARTIES.where(_DEAL.in_(some))):
            found[(connection, object, id)].append(lead)
    return found


_AT = tuple_(streams.c.connection, streams.c.object, records.c.id)
_RECORDS = select(records, streams.c.connection, streams.c.object).join(streams, streams.c.id == records.c.stream)


def _copies(
    tx: Connection, workspace: Workspace, deals: Iterable[Place]
) -> dict[tuple[Place, tuple[str, str]], RecordView]:
    """The copies of these deals, by home and place."""
    homes = {copy: home for home, found in copies.of_homes(tx, deals).items() for copy in found}
    views: dict[Place, RecordView] = {}
    for some in chunks(sorted(homes)):
        for row in tx.execute(_RECORDS.where(_AT.in_(some))):
            views[(row.connection, row.object, row.id)] = record_view(workspace, row)
    pinned = pins.of_records(tx, list(views))
    return {(homes[place], place[:2]): replace(view, pinned=pinned.get(place, {})) for place, view in views.items()}
