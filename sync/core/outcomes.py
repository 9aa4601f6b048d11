"""What sales did with a lead: its deals folded into the lead's own fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mappings.model import Values
from sync.core.merge import Voice
from sync.core.views import OURSELVES, DealView, Provenance

FIELDS = (
    "is_customer",
    "won_deals",
    "open_deals",
    "deal_stage",
    "customer_since",
    "won_amount",
    "open_amount",
    "lost_reason",
)


def fold(deals: Sequence[DealView], before: Provenance | None = None) -> tuple[Values, dict[str, Provenance]]:
    """The outcome fields that `deals` make, and why. What they do not say is cleared wherever it was told before.

    Amounts are added within one currency, that of the earliest deal of the sum: money of two currencies has no sum.
    A lead without deals has no outcome fields at all; one that had some (`before`: why it was a customer or not) is no
    customer, and the rest is blank.
    """
    if not deals:
        return _none_left(before) if before is not None else ({}, {})
    won = sorted((deal for deal in deals if deal.body.get("is_won")), key=_closed)
    lost = sorted((deal for deal in deals if _is_lost(deal)), key=_closed)
    open_ = [deal for deal in deals if not deal.body.get("is_closed")]
    moved = max(deals, key=lambda deal: (deal.at, deal.name))
    values: Values = {
        "is_customer": bool(won),
        "won_deals": len(won),
        "open_deals": len(open_),
        "deal_stage": moved.body.get("stage"),
        "customer_since": won[0].body.get("close_date") if won else None,
        "won_amount": _sum(won),
        "open_amount": _sum(open_),
        "lost_reason": lost[-1].body.get("lost_reason") if lost and not won else None,
    }
    decider = won[0] if won else lost[-1] if lost else moved
    return values, _reasons(values, Provenance(decider.name, decider.at, "outcome"))


def _none_left(before: Provenance) -> tuple[Values, dict[str, Provenance]]:
    values: Values = {**dict.fromkeys(FIELDS), "is_customer": False}
    return values, _reasons(values, Provenance(before.source, before.at, "outcome: no deal is left"))


def _reasons(values: Values, why: Provenance) -> dict[str, Provenance]:
    blank = replace(why, cleared=True)
    return {name: blank if value is None else why for name, value in values.items()}


def stage_voice(deals: Sequence[DealView]) -> Voice | None:
    """The lifecycle stage that the deals prove, as a voice of the engine's own."""
    won = [deal for deal in deals if deal.body.get("is_won")]
    if won:
        first = min(won, key=_closed)
        return Voice(first.name, OURSELVES, "customer", first.at, first.at)
    if deals:
        first = min(deals, key=lambda deal: (deal.at, deal.name))
        return Voice(first.name, OURSELVES, "opportunity", first.at, first.at)
    return None


def _closed(deal: DealView) -> tuple[str, str]:
    return (deal.body.get("close_date") or "", deal.name)


def _is_lost(deal: DealView) -> bool:
    return bool(deal.body.get("is_closed")) and not deal.body.get("is_won")


def _sum(deals: Sequence[DealView]) -> dict[str, Any] | None:
    amounts = [deal.body["amount"] for deal in deals if deal.body.get("amount")]
    if not amounts:
        return None
    currency = amounts[0]["currency"]
    total = sum((Decimal(money["amount"]) for money in amounts if money["currency"] == currency), Decimal(0))
    plain = format(total.normalize(), "f") if total else "0"
    return {"amount": plain, "currency": currency}
