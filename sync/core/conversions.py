"""Which outcomes of a lead an ad or analytics platform may be told, each under a name that stays the same for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from mappings.model import Values
from sync.core.views import DealView, LeadView

OF_LEADS = ("new", "qualified", "working", "opportunity")
"""Events that a lead has once. The others it has once for each deal."""


@dataclass(frozen=True, slots=True)
class Event:
    """One outcome: `name` is one of mappings.model.OUTCOMES, `at` a stamp. `id` is made of the lead or the deal alone,
    so that a deal of two leads is told once, and no try has another name than the one before."""

    name: str
    id: str
    at: str
    value: Any = None
    reason: str | None = None

    @property
    def values(self) -> Values:
        """The event as unified fields of a conversion."""
        return {
            "event": self.name,
            "event_id": self.id,
            "event_at": self.at,
            "event_value": self.value,
            "event_reason": self.reason,
        }


def events(lead: LeadView, deals: Sequence[DealView]) -> list[Event]:
    """What is known to have come of `lead`, in the order of the funnel."""
    return [*_of_lead(lead, deals), *(event for deal in deals for event in _of_deal(deal))]


def _of_lead(lead: LeadView, deals: Sequence[DealView]) -> Iterator[Event]:
    seen = [record.first_at for record in lead.records]
    arrived = lead.values.get("created_at") or (min(seen) if seen else "")
    first_deal = min((deal.body.get("created_at") or deal.at for deal in deals), default="")
    for name, at in (
        ("new", arrived),
        ("qualified", lead.qualified_at),
        ("working", lead.handed_off_at),
        ("opportunity", first_deal),
    ):
        if at:
            yield Event(name, _id(name, lead.id), at)


def _of_deal(deal: DealView) -> Iterator[Event]:
    if deal.body.get("is_won"):
        yield Event("won", _id("won", deal.name), _closed_at(deal), deal.body.get("amount"))
    elif deal.body.get("is_closed"):
        reason = deal.body.get("lost_reason")
        yield Event("lost", _id("lost", deal.name), _closed_at(deal), reason=reason)


def _closed_at(deal: DealView) -> str:
    """When the deal was closed. Its version would be the time of its latest edit, which may be years later."""
    day = deal.body.get("close_date") or deal.at[:10]
    return f"{day}T23:59:59.000Z" if day < deal.at[:10] else deal.at


def _id(*parts: str) -> str:
    return "cl_" + xxhash.xxh3_128_hexdigest("/".join(parts).encode())
