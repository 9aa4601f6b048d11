"""Which outcomes are told, under which name, as of when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mappings.model import CONVERSION_FIELDS
from sync.core.conversions import OF_LEADS, events
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


def test_a_lead_is_new_since_the_first_of_its_records_was_seen_and_not_without_any() -> None:
    [one] = lead().records
    [event] = events(replace(lead(), records=(replace(one, first_at="2026-02-02T00:00:00.000Z"), one)), ())
    assert event.at == "2026-02-01T00:00:00.000Z"
    assert events(replace(lead(), records=()), ()) == []


def test_an_opportunity_began_when_its_first_deal_was_made_not_when_that_was_edited() -> None:
    later = deal("d1", "2026-03-06T00:00:00.000Z", created_at="2026-02-10T00:00:00.000Z")
    [_, event] = events(lead(), [deal("d2", "2026-02-20T00:00:00.000Z"), later])
    assert (event.name, event.at) == ("opportunity", "2026-02-10T00:00:00.000Z")


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
    assert tuple(event.name for event in told[:-2]) == OF_LEADS, "what is told once of a lead, whatever deals follow"


def test_a_deal_edited_years_later_was_still_closed_when_it_was_closed() -> None:
    [_, _, event] = events(lead(), [deal("d1", "2026-03-05T10:00:00.000Z", is_won=True, close_date="2024-01-31")])
    assert event.at == "2024-01-31T23:59:59.000Z"
    [_, _, planned] = events(lead(), [deal("d1", "2026-03-05T10:00:00.000Z", is_won=True, close_date="2027-01-31")])
    assert planned.at == "2026-03-05T10:00:00.000Z"
    [_, _, same_day] = events(lead(), [deal("d1", "2026-03-05T10:00:00.000Z", is_won=True, close_date="2026-03-05")])
    assert same_day.at == "2026-03-05T10:00:00.000Z", "its evening may be still to come"


def test_names_stay_the_same_and_tell_nothing() -> None:
    first, again = events(lead(), [deal("d1", is_won=True)]), events(lead(), [deal("d1", "2027", is_won=True)])
    assert [event.id for event in first] == [event.id for event in again]
    assert len({event.id for event in first}) == len(first)
    assert all(event.id.startswith("cl_") and "d1" not in event.id for event in first)


def test_an_outcome_has_the_name_that_it_had_in_every_version_before() -> None:
    """A platform that was told it under another one would count it twice."""
    on_its_way = lead(qualified_at="2026-03-01T00:00:00.000Z", handed_off_at="2026-03-02T00:00:00.000Z")
    told = events(on_its_way, [deal("d1", is_won=True), deal("d2", is_closed=True)])
    assert {event.name: event.id for event in told} == {
        "new": "cl_a4f450a915b9a1a0b0d9102efc87dca3",
        "qualified": "cl_83592313ebad9ee7821426bad392d95a",
        "working": "cl_864f883e9c8680eae67cbe5c90c9c3ac",
        "opportunity": "cl_182e83a44a55194a4cdaa926c01ab197",
        "won": "cl_7a7756a3435407d7c606d20dc2efd435",
        "lost": "cl_7cf1aee335a69217f22862b36c2b65b1",
    }


def test_an_outcome_fills_the_fields_that_a_mapping_of_conversions_knows() -> None:
    [_, _, event] = events(lead(), [deal("d1", is_closed=True, lost_reason="price")])
    assert event.values == {
        "event": "lost",
        "event_id": event.id,
        "event_at": "2026-03-05T10:00:00.000Z",
        "event_value": None,
        "event_reason": "price",
    }
    assert event.values.keys() == CONVERSION_FIELDS.keys()
