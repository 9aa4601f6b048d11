"""Merge and qualify the leads whose records changed, and record who reached sales.

Around the pure core: load a batch, decide, store, in one transaction. A lead leaves step 1 (to merge) for step 2 (to
plan) in the transaction that stores its new values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from mappings.expressions import lead_context
from mappings.model import Values
from sync.conflicts import decisions, leads_asked, park_fields
from sync.conversions import record_conversions
from sync.core import outcomes, qualify
from sync.core.merge import Decision, Merged, Voice, merge
from sync.core.views import OURSELVES, DealView, LeadView, Provenance, RecordView
from sync.deals import bearing, welcome
from sync.deletes import opted_out
from sync.doubt import date_unheard
from sync.handoff import record_handoffs, withdraw_briefs
from sync.load import (
    activity_tallies,
    deal_views,
    lead_view,
    people,
    provenance_json,
    record_views,
)
from sync.resolve import resolve_batch, touch_leads
from sync.state.schema import connections, dirty_leads, leads
from sync.targets import expressed
from sync.withheld import asks_at_all, contested
from sync.workspace import Workspace

BATCH = 500


@dataclass(slots=True)
class Decided:
    """What a round of deciding did."""

    leads: int = 0
    created: int = 0
    qualified: int = 0
    parked: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))


def decide_some(tx: Connection, workspace: Workspace) -> tuple[Decided, bool]:
    """One batch of whatever is to be decided next, and whether anything was."""
    done = Decided()
    resolved = resolve_batch(tx, workspace)
    if resolved.records:
        date_unheard(tx, resolved.named)
        done.created, done.parked = resolved.created, resolved.parked
        return done, True
    if touch_leads(tx, workspace.now(), bearing(workspace)):
        return done, True
    done.leads, done.qualified = merge_batch(tx, workspace)
    if not done.leads:
        welcome(tx, workspace)
    return done, done.leads > 0


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Everything a lead is decided from."""

    lead: LeadView
    records: Sequence[RecordView]
    deals: Sequence[DealView]
    activity: Mapping[str, Any]
    decisions: Mapping[str, Decision]
    contested: Mapping[str, Sequence[Voice]]


_TO_MERGE = select(leads).where(dirty_leads(1), leads.c.state == "live").order_by(leads.c.id).limit(bindparam("limit"))


_COLUMNS = ("body", "reasons", "score", "stage", "qualified_at", "qualified_why", "dirty", "updated_at")
_MERGED = update(leads).where(leads.c.id == bindparam("lead")).values({name: bindparam(name) for name in _COLUMNS})


def merge_batch(tx: Connection, workspace: Workspace, limit: int = BATCH) -> tuple[int, int]:
    """Merge up to `limit` dirty leads; (leads merged, leads that newly qualified)."""
    rows = list(tx.execute(_TO_MERGE, {"limit": limit}))
    if not rows:
        return 0, 0
    at = workspace.now()
    stored: list[dict[str, Any]] = []
    fresh: list[LeadView] = []
    standing: list[LeadView] = []
    decided: list[tuple[LeadView, Sequence[DealView]]] = []
    asks = workspace.asks or asks_at_all(tx)
    asked = leads_asked(tx, [row.id for row in rows]) if asks else set()
    for evidence in _evidence(tx, workspace, rows, asks=asks):
        lead, verdict = _decide(evidence, workspace, at)
        if lead.qualified_at and not evidence.lead.qualified_at:
            fresh.append(lead)
        if asks:
            undecided = _merge(evidence, workspace, None).undecided
            if undecided or evidence.lead.id in asked:
                park_fields(tx, evidence.lead.id, undecided, at)
        stored.append(_row(lead, verdict, workspace, at))
        decided.append((lead, evidence.deals))
        if lead.qualified_at:
            standing.append(lead)
    tx.execute(_MERGED, stored)
    _already_with_sales(tx, workspace, standing, at)
    withdraw_briefs(tx, [lead for lead in standing if lead.handed_off_at])
    record_conversions(tx, workspace, decided, at)
    return len(rows), len(fresh)


def _evidence(tx: Connection, workspace: Workspace, rows: Sequence[Any], *, asks: bool) -> list[_Evidence]:
    ids = [row.id for row in rows]
    linked = opted_out(tx, workspace, record_views(tx, workspace, ids))
    who = people(linked)
    deals = deal_views(tx, who, workspace.deal_sources)
    emails = {email: lead for lead, views in linked.items() for email in _emails(views)}
    tallies = activity_tallies(tx, who, emails)
    decided = decisions(tx, ids) if asks else {}
    doubtful = contested(tx, ids) if asks else {}
    empty = qualify.tally(())
    return [
        _Evidence(
            lead_view(row, linked.get(row.id, ())),
            linked.get(row.id, ()),
            deals.get(row.id, ()),
            {**empty, **tallies.get(row.id, {})},
            decided.get(row.id, {}),
            doubtful.get(row.id, {}),
        )
        for row in rows
    ]


def _emails(views: Sequence[RecordView]) -> list[str]:
    return [
        address for view in views for address in (view.body.get("email"), *(view.body.get("emails") or ())) if address
    ]


def _decide(evidence: _Evidence, workspace: Workspace, at: str) -> tuple[LeadView, qualify.Verdict]:
    """The lead as its evidence makes it. Qualified once is qualified: sales were promised it."""
    lead = evidence.lead
    values, reasons = _merged(evidence, workspace, lead.qualified_at)
    told = lead_context(values, workspace.fields) if workspace.definition.asks else {}
    verdict = qualify.judge(workspace.definition, told, evidence.activity)
    qualified_at = lead.qualified_at or (at if verdict.qualified else None)
    if qualified_at and not lead.qualified_at:
        values, reasons = _merged(evidence, workspace, qualified_at)
    values.update(
        score=verdict.score,
        qualified=qualified_at is not None,
        qualified_at=qualified_at,
        handed_off_at=lead.handed_off_at,
        last_activity_at=evidence.activity["last_at"] or None,
        closedloop_id=lead.id,
    )
    own = Provenance(OURSELVES, qualified_at or at, "definition of a qualified lead")
    for name in ("score", "qualified", "qualified_at"):
        reasons[name] = own
    for name, rule in (("handed_off_at", "hand-off"), ("last_activity_at", "latest activity")):
        if values[name]:
            reasons[name] = Provenance(OURSELVES, values[name], rule)
    return LeadView(lead.id, values, reasons, lead.records, qualified_at, lead.handed_off_at), verdict


def _merged(
    evidence: _Evidence, workspace: Workspace, qualified_at: str | None
) -> tuple[Values, dict[str, Provenance]]:
    merged = _merge(evidence, workspace, qualified_at)
    folded, why = outcomes.fold(evidence.deals, evidence.lead.reasons.get("is_customer"))
    return {**merged.values, **folded}, {**merged.reasons, **why}


def _merge(evidence: _Evidence, workspace: Workspace, qualified_at: str | None) -> Merged:
    lead = evidence.lead
    voices = [outcomes.stage_voice(evidence.deals)]
    for stage, since in (("marketing_qualified", qualified_at), ("sales_qualified", lead.handed_off_at)):
        if since:
            voices.append(Voice(OURSELVES, OURSELVES, stage, since, since))
    return merge(
        evidence.records,
        workspace.fields,
        workspace.order,
        lead.values,
        lead.reasons,
        own=[voice for voice in voices if voice is not None],
        decisions=evidence.decisions,
        contested=evidence.contested,
        expressed=partial(expressed, workspace),
    )


def _row(lead: LeadView, verdict: qualify.Verdict, workspace: Workspace, at: str) -> dict[str, Any]:
    return {
        "lead": lead.id,
        "body": orjson.dumps(lead.values).decode(),
        "reasons": provenance_json(lead.reasons),
        "score": verdict.score,
        "stage": lead.values.get("lifecycle_stage") or "",
        "qualified_at": lead.qualified_at,
        "qualified_why": orjson.dumps(qualify.reasons(workspace.definition, verdict)).decode(),
        "dirty": 2,
        "updated_at": at,
    }


def _already_with_sales(tx: Connection, workspace: Workspace, qualified: Sequence[LeadView], at: str) -> None:
    """A lead that qualifies and stands in the CRM already is handed off by that fact.

    The brief is due unless the connection is still before its first approved write: then the two sides are only
    being matched, and sales have known the person without us.
    """
    handoff = workspace.project.handoff
    if handoff is None:
        return
    standing: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for lead in qualified:
        here = [r for r in lead.records if r.connection == handoff.to and not r.gone]
        if here and not lead.handed_off_at:
            standing[here[0].object].append((lead.id, here[0].id))
    if standing:
        query = select(connections.c.approved_at).where(connections.c.name == handoff.to)
        due = bool(tx.execute(query).scalar())
        for object, handed in standing.items():
            record_handoffs(tx, workspace, object, handed, at, brief_due=due)
