"""What HubSpot's connector reads over its sandbox, through the real SDK."""

from __future__ import annotations

from typing import Any

import pytest

from config.clock import ManualClock
from connectors.api import Connector, Gone
from connectors.hubspot import connector as pulling
from connectors.hubspot.sandbox import HubSpotSandbox
from tests.connectors.hubspot.kit import FIELDS, fill, values
from tests.connectors.surroundings import pulled


def test_the_first_pull_lists_everything_and_then_the_archived(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 250)
    portal.remove("contacts", ids[0])
    found, _ = pulled(hubspot, "contacts", None, FIELDS)
    assert {record.id for record in found if record.gone is None} == set(ids[1:])
    assert [(record.id, record.gone) for record in found if record.gone] == [(ids[0], Gone.ARCHIVED)]
    assert all(record.version == "2026-11-23T10:00:00.000Z" for record in found)


def test_every_cursor_of_a_first_pull_can_be_resumed(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = set(fill(portal, 230))
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(10):
        page = next(iter(hubspot.pull("contacts", cursor, FIELDS)))
        seen |= {record.id for record in page.records}
        cursor = page.cursor
        if not page.more:
            break
    assert seen == ids


def test_a_later_pull_brings_only_what_changed_with_overlap(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    ids = fill(portal, 20)
    clock.advance(3600)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(3600)
    before = hubspot.calls
    nothing, cursor = pulled(hubspot, "contacts", cursor, FIELDS)
    assert nothing == []
    assert hubspot.calls - before == 2  # one search, one look at the archived
    portal.edit("contacts", ids[3], {"firstname": "New"})
    clock.advance(60)
    changed, cursor = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [record.id for record in changed] == [ids[3]]
    again, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [record.id for record in again] == [ids[3]]  # within the overlap: the index may lag


def test_a_row_that_the_index_shows_late_is_not_missed(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    fill(portal, 3)
    clock.advance(3600)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(600)
    portal.index_lag = 60
    late = portal.put("contacts", {"email": "late@x.io"})
    found, cursor = pulled(hubspot, "contacts", cursor, FIELDS)
    assert found == []
    clock.advance(120)
    found, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [record.id for record in found] == [late]


def test_a_bulk_change_beyond_ten_thousand_is_walked_by_id(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    ids = fill(portal, 10_300)  # all of one instant
    clock.advance(1)
    found, _ = pulled(hubspot, "contacts", cursor, ["email"])
    assert {record.id for record in found} == set(ids)


def test_a_merge_makes_a_new_record_and_the_old_ones_point_at_it(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    ids = fill(portal, 3)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(60)
    new = portal.merge("contacts", ids[0], ids[1])
    found, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    merged = {record.id: record.into for record in found if record.gone is Gone.MERGED}
    assert merged == {ids[0]: new, ids[1]: new}
    answered = hubspot.read("contacts", "id", [ids[0], ids[2], "999"], FIELDS)
    assert answered[ids[0]].id == new
    assert set(answered) == {ids[0], ids[2]}


def test_what_is_archived_later_is_noticed(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    ids = fill(portal, 3)
    clock.advance(3600)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(3600)
    portal.remove("contacts", ids[1])
    found, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [(record.id, record.gone) for record in found] == [(ids[1], Gone.ARCHIVED)]


def test_deals_know_their_stage_and_ties_are_a_stream_of_their_own(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    [contact] = fill(portal, 1)
    deal = portal.put("deals", {"dealname": "D", "pipeline": "default", "dealstage": "closedwon", "amount": "5"})
    found, _ = pulled(hubspot, "deals", None, ["dealname", "stage_label", "stage_won"])
    told = values(found[0])
    assert (told["stage_label"], told["stage_closed"], told["stage_won"]) == ("Closed won", True, True)
    clock.advance(3600)
    ties, cursor = pulled(hubspot, "deal_contacts", None, [])
    assert values(ties[0])["to_ids"] == []
    portal.associate("deals", deal, "contacts", contact)  # moves no modified time
    clock.advance(3600)
    quiet, cursor = pulled(hubspot, "deal_contacts", cursor, [])
    assert quiet == []
    clock.advance(6 * 3600)
    swept, _ = pulled(hubspot, "deal_contacts", cursor, [])
    assert values(swept[0])["to_ids"] == [contact]
    assert ties[0].id == swept[0].id


def test_a_contacts_companies_are_a_stream_too(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    [contact] = fill(portal, 1)
    company = portal.put("companies", {"name": "C"})
    portal.associate("contacts", contact, "companies", company)
    clock.advance(3600)
    [tie], cursor = pulled(hubspot, "contact_companies", None, [])
    assert (values(tie)["from_id"], values(tie)["to_ids"]) == (contact, [company])
    other = portal.put("companies", {"name": "D"})
    portal.associate("contacts", contact, "companies", other)
    portal.edit("contacts", contact, {"firstname": "moves the stamp"})
    [tie], _ = pulled(hubspot, "contact_companies", cursor, [])
    assert values(tie)["to_ids"] == sorted([company, other])


def test_events_owners_and_campaigns(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    [contact] = fill(portal, 1)
    portal.add_owner("rita@x.io", "Rita", "O")
    portal.add_campaign("Spring", "100", "2026-01-01T00:00:00Z")
    portal.record_activity(contact, "e_form_submission_v2", "2026-11-20T10:00:00.000Z", hs_form_name="Ask")
    portal.record_activity(contact, "e_something_else", "2026-11-20T11:00:00.000Z")
    found, cursor = pulled(hubspot, "events", None, [])
    assert [(values(r)["type"], values(r)["title"], values(r)["contact"]) for r in found] == [("form", "Ask", contact)]
    clock.advance(600)
    assert pulled(hubspot, "events", cursor, [])[0] == []
    [owner], _ = pulled(hubspot, "owners", None, [])
    assert values(owner)["email"] == "rita@x.io"
    [campaign], _ = pulled(hubspot, "campaigns", None, [])
    assert values(campaign)["hs_name"] == "Spring"


def test_long_property_lists_are_not_put_into_the_address(portal: HubSpotSandbox, hubspot: Connector) -> None:
    names = [f"custom_property_with_a_long_name_{n}" for n in range(300)]
    for name in names:
        portal.add_property("contacts", name)
    id = portal.put("contacts", {"email": "a@x.io", names[299]: "here"})
    found, _ = pulled(hubspot, "contacts", None, names)
    assert {record.id: values(record)[names[299]] for record in found} == {id: "here"}


def test_two_spellings_of_an_address_are_both_answered(portal: HubSpotSandbox, app: Connector) -> None:
    id = portal.put("contacts", {"email": "ana@x.io"})
    found = app.read("contacts", "email", ["Ana@x.io", "ANA@X.IO", "no@x.io"], ["email"])
    assert {value: record.id for value, record in found.items()} == {"Ana@x.io": id, "ANA@X.IO": id}


MOVED: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("contacts", "contacts", {"firstname": "N"}, "lastmodifieddate"),
    ("companies", "companies", {"name": "N"}, "hs_lastmodifieddate"),
    ("deals", "deals", {"dealname": "N"}, "hs_lastmodifieddate"),
    ("meetings", "meetings", {"hs_meeting_title": "N"}, "hs_lastmodifieddate"),
    ("calls", "calls", {"hs_call_title": "N"}, "hs_lastmodifieddate"),
    ("deal_contacts", "deals", {"dealname": "N"}, "hs_lastmodifieddate"),
    ("contact_companies", "contacts", {"firstname": "N"}, "lastmodifieddate"),
)
"""A stream, the object whose change it is to tell of, a change, and the property that moves with it."""


@pytest.mark.parametrize(("stream", "object", "change", "moved"), MOVED)
def test_each_object_is_asked_for_by_the_property_that_moves_with_it(
    portal: HubSpotSandbox,
    hubspot: Connector,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    stream: str,
    object: str,
    change: dict[str, Any],
    moved: str,
) -> None:
    """By the other one HubSpot finds nothing, and says nothing of it."""
    told = {"hs_timestamp": "2026-11-23T09:00:00.000Z"} if stream in pulling.ENGAGEMENTS else {}
    id = portal.put(object, told)
    clock.advance(3600)
    _, cursor = pulled(hubspot, stream, None, list(change))
    clock.advance(3600)
    portal.edit(object, id, change)
    assert [id in record.id.split("/") for record in pulled(hubspot, stream, cursor, list(change))[0]] == [True]
    other = {"lastmodifieddate": "hs_lastmodifieddate", "hs_lastmodifieddate": "lastmodifieddate"}[moved]
    monkeypatch.setattr(pulling, "STAMP", {object: other})
    assert pulled(hubspot, stream, cursor, list(change))[0] == []
