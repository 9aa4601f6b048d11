"""Which outcomes are told, under which name, as of when."""

from __future__ import annotations

from typing import Any

from sync.core.conversions import events
from sync.core.views import DealView, LeadView, RecordView


def lead(**more: Any) -> LeadView:
    record = RecordView("alpha", "contacts", "1", {}, "2026-02-01T00:00:00.000Z")
    values = {"email": "ana@x.example", **more.pop("values", {})}
    return LeadView("ld_1", values, {}, (record,), **more)


def deal(id: str, at: str = "2026-03-05T10:00:00.000Z", **body: Any) -> DealView:
    return DealView("beta", "deals", id, body, at)


def test_a_lead_without_anything_is_new_since_it_was_first_seen() -> None:
    [event] = events(lead(), ())
    assert (event.name, event.at) == ("new", "2026-02-01T00:00:00.000Z")


def test_the_way_through_the_funnel() -> None:
    on_its_way = lead(
        values={"created_at": "2026-01-01T00:00:00.000Z"},
        qualified_at="2026-03-01T00:00:00.000Z",
        handed_off_at="2026-03-02T00:00:00.000Z",
    )
    won = {"amount": "100", "currency": "EUR"}
    told = events(
        on_its_way,
        [
            deal("d1", is_closed=True, is_won=True, close_date="2026-03-05", amount=won),
            deal("d2", is_closed=True, is_won=False, close_date="2026-03-04", lost_reason="price"),
            deal("d3", "2026-03-03T00:00:00.000Z"),
        ],
    )
    assert [(event.name, event.at[:10]) for event in told] == [
        ("new", "2026-01-01"),
        ("qualified", "2026-03-01"),
        ("working", "2026-03-02"),
        ("opportunity", "2026-03-03"),
        ("won", "2026-03-05"),
        ("lost", "2026-03-04"),
    ]
    assert told[4].value == won
    assert told[5].reason == "price"


def test_a_deal_edited_years_later_was_still_closed_when_it_was_closed() -> None:
    [_, _, event] = events(lead(), [deal("d1", "2026-03-05T10:00:00.000Z", is_won=True, close_date="2024-01-31")])
    assert event.at == "2024-01-31T23:59:59.000Z"
    [_, _, planned] = events(lead(), [deal("d1", "2026-03-05T10:00:00.000Z", is_won=True, close_date="2027-01-31")])
    assert planned.at == "2026-03-05T10:00:00.000Z"


def test_names_stay_the_same_and_tell_nothing() -> None:
    first, again = events(lead(), [deal("d1", is_won=True)]), events(lead(), [deal("d1", "2027", is_won=True)])
    assert [event.id for event in first] == [event.id for event in again]
    assert len({event.id for event in first}) == len(first)
    assert all(event.id.startswith("cl_") and "d1" not in event.id for event in first)
