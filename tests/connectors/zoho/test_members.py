"""Who is in which campaign: pulled campaign by campaign, swept, dated, read by id."""

from __future__ import annotations

import pytest

from config.clock import ManualClock, stamp
from config.errors import RecordRejected
from connectors.api import Connector
from connectors.sandbox import FaultKind
from connectors.zoho import sandbox_list, sweeps
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import pulled
from tests.connectors.zoho.kit import lead, raws, sent

FIELDS = ["Campaign", "Person_Id", "Person_Object", "Member_Status", "Member_Time"]


def campaign(zoho: ZohoSandbox, name: str, **values: str) -> str:
    return zoho.put("campaigns", {"Campaign_Name": name, "Status": "Active", **values})


def members(connector: Connector, cursor: str | None = None) -> tuple[dict[str, str], str]:
    """campaign/person -> status."""
    records, cursor = pulled(connector, "campaign_members", cursor, FIELDS)
    assert [record.id for record in records] == [f"{row['Campaign']}/{row['Person_Id']}" for row in raws(records)]
    return {record.id: row["Member_Status"] for record, row in zip(records, raws(records), strict=True)}, cursor


def test_leads_and_contacts_are_told_with_their_status(zoho: ZohoSandbox, connector: Connector) -> None:
    fair, other, alone = campaign(zoho, "Fair", Start_Date="2026-11-02"), campaign(zoho, "Other"), campaign(zoho, "No")
    ana, bob = lead(zoho, "ana@x.io"), zoho.put("contacts", {"Last_Name": "Bob"})
    zoho.member(fair, f"leads/{ana}", "Responded")
    zoho.member(fair, f"contacts/{bob}", "Invited")
    zoho.member(other, f"leads/{ana}", "Active")
    records, _ = pulled(connector, "campaign_members", None, FIELDS)
    wanted = {
        f"{fair}/{ana}": ("leads", "Responded", "2026-11-02T00:00:00.000Z"),
        f"{fair}/{bob}": ("contacts", "Invited", "2026-11-02T00:00:00.000Z"),
        f"{other}/{ana}": ("leads", "Active", "2026-11-23T10:00:00.000Z"),
    }
    told = {
        r.id: (w["Person_Object"], w["Member_Status"], w["Member_Time"])
        for r, w in zip(records, raws(records), strict=True)
    }
    assert told == wanted
    assert len(sent(zoho, f"GET /Campaigns/{alone}/Leads")) == 1


def test_what_no_stamp_tells_is_found_by_a_sweep_of_the_younger_campaigns(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    old, young = campaign(zoho, "Old"), campaign(zoho, "Young")
    person = lead(zoho, "a@x.io")
    _, cursor = members(connector)
    clock.advance(60 * 86_400)
    zoho.edit("campaigns", young, {"Status": "Complete"})
    clock.advance(600)
    _, cursor = members(connector, cursor)
    zoho.member(young, f"leads/{person}", "Responded")
    zoho.member(old, f"leads/{person}", "Responded")
    clock.advance(3600)
    assert members(connector, cursor)[0] == {}
    zoho.edit("campaigns", old, {"Status": "Complete"})  # a changed campaign is looked at at once
    clock.advance(600)
    found, cursor = members(connector, cursor)
    assert found == {f"{old}/{person}": "Responded"}
    clock.advance(86_400)
    [record, *_] = pulled(connector, "campaign_members", cursor, FIELDS)[0]
    assert raws([record])[0]["Member_Time"] == stamp(clock.now())
    assert members(connector, cursor)[0] == {f"{young}/{person}": "Responded", f"{old}/{person}": "Responded"}
    clock.advance(100 * 86_400)
    assert members(connector, cursor)[0] == {}


def test_a_pull_goes_on_at_any_page_and_reaches_behind_the_pages_by_number(
    zoho: ZohoSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "ROWS", 2)
    monkeypatch.setattr(sandbox_list, "BY_PAGE", 400)
    campaigns = [campaign(zoho, f"c{n}") for n in range(5)]
    people = [lead(zoho, f"p{n}@x.io") for n in range(650)]
    for number, person in enumerate(people):
        zoho.member(campaigns[1], f"leads/{person}", f"s{number % 3}")
    zoho.member(campaigns[4], f"leads/{people[0]}")
    pages = list(connector.pull("campaign_members", None, FIELDS))
    every = {record.id for page in pages for record in page.records}
    assert len(every) == 651
    assert max(len(page.records) for page in pages) == 200
    assert any("page_token" in line.query for line in sent(zoho, f"GET /Campaigns/{campaigns[1]}/Leads"))
    for number, page in enumerate(pages[:-1]):
        rest, last = members(connector, page.cursor)
        assert every == set(rest) | {record.id for before in pages[: number + 1] for record in before.records}
        assert last == pages[-1].cursor


def test_a_campaign_that_goes_meanwhile_is_no_end(zoho: ZohoSandbox, connector: Connector) -> None:
    first, second = campaign(zoho, "a"), campaign(zoho, "b")
    person = lead(zoho, "a@x.io")
    for one in (first, second):
        zoho.member(one, f"leads/{person}")
    connector.check()
    gone = zoho.error(400, "INVALID_DATA", "the related id given seems to be invalid", resource_path_index=1)
    zoho.inject(FaultKind.ANSWER, f"GET /crm/v8/Campaigns/{first}/.*", answer=gone, times=2)
    assert set(members(connector)[0]) == {f"{second}/{person}"}


def test_a_refused_field_is_no_empty_campaign(zoho: ZohoSandbox, connector: Connector) -> None:
    campaign(zoho, "a")
    connector.check()
    refused = zoho.error(400, "INVALID_DATA", "invalid field", api_name="Member_Status")
    zoho.inject(FaultKind.ANSWER, "GET /crm/v8/Campaigns/.*/Leads", answer=refused)
    with pytest.raises(RecordRejected):
        members(connector)


def test_a_converted_lead_goes_on_as_a_contact_and_members_are_read_by_id(
    zoho: ZohoSandbox, connector: Connector
) -> None:
    fair = campaign(zoho, "Fair")
    ana, bob = lead(zoho, "ana@x.io"), lead(zoho, "bob@x.io")
    for person in (ana, bob):
        zoho.member(fair, f"leads/{person}", "Responded")
    zoho.member(fair, f"leads/{bob}", None)
    _, contact, _ = zoho.convert(ana)
    wanted = f"{fair}/{contact}"
    assert members(connector)[0] == {wanted: "Responded"}
    assert set(connector.read("campaign_members", "id", [wanted, f"{fair}/{bob}", "77/78", "x"], FIELDS)) == {wanted}
