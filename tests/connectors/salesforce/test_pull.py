"""Pulling over the sandbox: windows, cursors, deletions, merges, conversions, bulk."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import PermissionMissing
from connectors.api import Connector, Gone, Page, Record
from connectors.salesforce import bulk, platform, pull
from connectors.salesforce.objects import OBJECTS
from connectors.salesforce.sandbox import SalesforceSandbox
from mappings.compiler import load_mapping
from tests.connectors.salesforce.conftest import Open

FIELDS = ["Email", "LastName", "Company"]


def lead(org: SalesforceSandbox, n: int) -> str:
    return org.put("leads", {"Email": f"p{n}@example.com", "LastName": f"L{n}", "Company": "C"})


def everything(connector: Connector, object: str, cursor: str | None = None, **more: Any) -> tuple[list[Record], str]:
    pages = list(connector.pull(object, cursor, FIELDS if object == "leads" else ["Name"], **more))
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    return [record for page in pages for record in page.records], pages[-1].cursor


def caught_up(connector: Connector, object: str, clock: ManualClock) -> str:
    """The cursor of a pull that lies so late that its overlap holds nothing."""
    _, cursor = everything(connector, object)
    clock.advance(3600)
    return everything(connector, object, cursor)[1]


def test_first_pull_brings_everything_once(org: SalesforceSandbox, connector: Connector, clock: ManualClock) -> None:
    ids = []
    for n in range(450):
        ids.append(lead(org, n))
        clock.advance(0.01)
    org.page_size = 200
    pages = list(connector.pull("leads", None, FIELDS))
    assert [len(page.records) for page in pages] == [200, 200, 50]
    assert pages[0].total == 450
    assert [record.id for page in pages for record in page.records] == ids
    first = pages[0].records[0]
    assert orjson.loads(first.raw) == {"Id": ids[0], "Email": "p0@example.com", "LastName": "L0", "Company": "C"}
    assert first.version == "2026-11-23T10:00:00.000Z"


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_pull_goes_on_from_every_cursor(
    org: SalesforceSandbox, open_org: Open, clock: ManualClock, stop: int
) -> None:
    ids = [lead(org, n) for n in range(700)]
    org.page_size = 200
    seen: list[str] = []
    cursor = None
    pulling = open_org().pull("leads", None, FIELDS)
    for _ in range(stop):
        page = next(pulling)
        seen += [record.id for record in page.records]
        cursor = page.cursor
    clock.advance(60)
    org.rest.locators.clear()
    late = lead(org, 9999)
    rest, cursor = everything(open_org(), "leads", cursor)
    assert seen + [record.id for record in rest] == ids, "the walk ends where it began"
    after, _ = everything(open_org(), "leads", cursor)
    assert late in {record.id for record in after}


def test_a_row_that_changes_during_the_walk_is_not_lost(
    org: SalesforceSandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [lead(org, n) for n in range(450)]
    org.page_size = 200
    pulling = connector.pull("leads", None, FIELDS)
    next(pulling)
    clock.advance(30)
    org.edit("leads", ids[300], {"LastName": "Changed"})
    cursor = list(pulling)[-1].cursor
    rows, _ = everything(connector, "leads", cursor)
    changed = next(record for record in rows if record.id == ids[300])
    assert orjson.loads(changed.raw)["LastName"] == "Changed"


def test_an_incremental_pull_costs_one_call(org: SalesforceSandbox, connector: Connector, clock: ManualClock) -> None:
    for n in range(50):
        lead(org, n)
    cursor = {object: list(connector.pull(object, None, []))[-1].cursor for object in OBJECTS}
    clock.advance(3600)
    cursor = {object: list(connector.pull(object, cursor[object], []))[-1].cursor for object in OBJECTS}
    clock.advance(60)
    for object in OBJECTS:
        before = connector.calls
        pages = list(connector.pull(object, cursor[object], []))
        assert connector.calls - before == 1, object
        assert pages == [Page([], pages[0].cursor, False, 0)], object


def test_rows_that_commit_late_are_found_by_the_overlap(
    org: SalesforceSandbox, connector: Connector, clock: ManualClock
) -> None:
    lead(org, 1)
    cursor = caught_up(connector, "leads", clock)
    clock.advance(3600)
    org.late_commits = 60
    late = lead(org, 2)
    clock.advance(30)
    rows, cursor = everything(connector, "leads", cursor)
    assert rows == []
    clock.advance(60)
    rows, cursor = everything(connector, "leads", cursor)
    assert [record.id for record in rows] == [late]


def test_without_the_overlap_late_rows_are_lost(org: SalesforceSandbox, open_org: Open, clock: ManualClock) -> None:
    """Why the overlap is there: the sandbox would show its lack."""
    connector = open_org(overlap=0)
    _, cursor = everything(connector, "leads")
    clock.advance(3600)
    org.late_commits = 60
    lead(org, 2)
    clock.advance(30)
    _, cursor = everything(connector, "leads", cursor)
    clock.advance(60)
    assert everything(connector, "leads", cursor)[0] == []


def test_what_is_younger_than_settle_waits(org: SalesforceSandbox, open_org: Open, clock: ManualClock) -> None:
    connector = open_org(settle=5)
    id = lead(org, 1)
    rows, cursor = everything(connector, "leads")
    assert rows == []
    clock.advance(10)
    assert [record.id for record in everything(connector, "leads", cursor)[0]] == [id]


def test_deleted_merged_converted_and_undeleted(
    org: SalesforceSandbox, connector: Connector, clock: ManualClock
) -> None:
    plain, winner, loser, converted = (lead(org, n) for n in range(4))
    cursor = caught_up(connector, "leads", clock)
    clock.advance(600)
    org.remove("leads", plain)
    org.merge("leads", winner, loser)
    made = org.convert(converted)
    rows, cursor = everything(connector, "leads", cursor)
    clock.advance(3600)
    cursor = everything(connector, "leads", cursor)[1]
    fates = {record.id: (record.gone, record.into, record.into_object) for record in rows}
    assert fates == {
        plain: (Gone.DELETED, "", ""),
        winner: (None, "", ""),
        loser: (Gone.MERGED, winner, ""),
        converted: (Gone.CONVERTED, made["contacts"], "contacts"),
    }
    assert all(orjson.loads(record.raw)["Email"] for record in rows)
    clock.advance(600)
    org.undelete("leads", plain)
    rows, _ = everything(connector, "leads", cursor)
    assert [(record.id, record.gone) for record in rows] == [(plain, None)]


def test_a_moved_stamp_alone_does_not_change_raw(
    org: SalesforceSandbox, connector: Connector, clock: ManualClock
) -> None:
    id = lead(org, 1)
    [before], cursor = everything(connector, "leads")
    clock.advance(600)
    org.touch("leads", id)
    [after], _ = everything(connector, "leads", cursor)
    assert (after.raw, after.id) == (before.raw, before.id)
    assert after.version > before.version


def test_since_leaves_older_records_out(org: SalesforceSandbox, connector: Connector, clock: ManualClock) -> None:
    lead(org, 1)
    clock.advance(600)
    young = lead(org, 2)
    pages = list(connector.pull("leads", None, FIELDS, since="2026-11-23T10:05:00.000Z"))
    assert [record.id for page in pages for record in page.records] == [young]


def test_associations_members_and_meetings_are_normalised(
    org: SalesforceSandbox, connector: Connector, clock: ManualClock
) -> None:
    maps = load_mapping(platform.folder / "mapping.yaml")
    a, b = lead(org, 1), lead(org, 2)
    campaign = org.put("campaigns", {"Name": "Fair", "ActualCost": 100.5, "BudgetedCost": 200})
    made = org.convert(a, deal="Big", amount=1200.5)
    org.win(made["opportunities"])
    org.respond(campaign, b)
    org.respond(campaign, made["contacts"], status="Sent")
    org.record_activity(b, "Demo")

    def unified(object: str) -> list[dict[str, object]]:
        records = [r for p in connector.pull(object, None, maps[object].remote_fields) for r in p.records]
        decoded = [maps[object].decode(record.raw) for record in records]
        return [maps[object].read(row)[0] for row in decoded if maps[object].accepts(row)]

    [role] = unified("contact_roles")
    assert role["from_object"] == "opportunities"
    assert role["to_ids"] == [made["contacts"]]
    [deal] = unified("opportunities")
    assert (deal["is_won"], deal["amount"]) == (True, {"amount": "1200.5", "currency": "USD"})
    [member] = unified("campaign_members")
    assert (member["type"], member["person"], member["person_object"]) == ("campaign_response", b, "leads")
    [meeting] = unified("events")
    assert (meeting["type"], meeting["person"]) == ("meeting", b)
    [campaign_] = unified("campaigns")
    assert campaign_["cost"] == {"amount": "100.5", "currency": "USD"}
    assert {row["company"] for row in unified("contacts")} == {"C"}


def test_a_conversion_carries_the_address_over(org: SalesforceSandbox) -> None:
    person = {"Email": "p@example.com", "LastName": "L", "Company": "C", "City": "Lyon", "Country": "France"}
    made = org.convert(org.put("leads", person))
    contact, account = org.get("contacts", made["contacts"]), org.get("accounts", made["accounts"])
    assert (contact["MailingCity"], contact["MailingCountry"]) == ("Lyon", "France")
    assert (account["BillingCity"], account["BillingCountry"]) == ("Lyon", "France")


def test_removing_a_role_moves_only_the_role(org: SalesforceSandbox, connector: Connector, clock: ManualClock) -> None:
    made = org.convert(lead(org, 1), deal="Big")
    cursor = caught_up(connector, "opportunities", clock)
    roles = list(connector.pull("contact_roles", None, []))
    clock.advance(600)
    org.remove("contact_roles", roles[0].records[0].id)
    assert everything(connector, "opportunities", cursor)[0] == []
    [page] = connector.pull("contact_roles", roles[-1].cursor, [])
    assert [record.gone for record in page.records] == [Gone.DELETED]
    assert made


def test_bulk_gives_the_same_records_as_pages(
    org: SalesforceSandbox, open_org: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(250):
        org.put(
            "leads", {"Email": f"p{n}@example.com", "LastName": 'Line\n"two", ü', "Company": "C", "AnnualRevenue": 10.5}
        )
    fields = ["Email", "LastName", "Company", "AnnualRevenue", "NumberOfEmployees", "HasOptedOutOfEmail", "Owner.Name"]
    plain = [r for p in open_org().pull("leads", None, fields) for r in p.records]
    monkeypatch.setattr(pull, "BULK_FROM", 200)
    monkeypatch.setattr(bulk, "CHUNK", 100)
    pages = list(open_org().pull("leads", None, fields, bulk=True))
    assert [len(page.records) for page in pages] == [100, 100, 50]
    assert {r.id: r for p in pages for r in p.records} == {r.id: r for r in plain}


@pytest.mark.parametrize("dropped", [False, True])
def test_a_bulk_pull_goes_on_where_it_was_left(
    org: SalesforceSandbox, open_org: Open, monkeypatch: pytest.MonkeyPatch, dropped: bool
) -> None:
    ids = {lead(org, n) for n in range(250)}
    monkeypatch.setattr(pull, "BULK_FROM", 200)
    monkeypatch.setattr(bulk, "CHUNK", 100)
    page = next(open_org().pull("leads", None, FIELDS, bulk=True))
    if dropped:
        org.bulk.jobs.clear()
    rest = list(open_org().pull("leads", page.cursor, FIELDS, bulk=True))
    seen = [record.id for one in [page, *rest] for record in one.records]
    assert set(seen) == ids
    assert len(seen) == (350 if dropped else 250)
    assert not rest[-1].more


def test_a_small_account_is_read_in_pages_even_in_bulk(org: SalesforceSandbox, connector: Connector) -> None:
    lead(org, 1)
    everything(connector, "leads", bulk=True)
    assert not [line for line in org.log if "/jobs/" in line.path]


def test_a_hidden_opt_out_fails_loudly(org: SalesforceSandbox, connector: Connector) -> None:
    org.hide("leads", "HasOptedOutOfEmail")
    with pytest.raises(PermissionMissing, match="opted out") as caught:
        list(connector.pull("leads", None, ["Email", "HasOptedOutOfEmail"]))
    assert caught.value.field == "HasOptedOutOfEmail"
    assert (caught.value.object, caught.value.connection) == ("leads", "sf")
    assert "Lead.HasOptedOutOfEmail (field-level security)" in connector.check().missing_scopes


def test_an_expired_locator_is_replaced_by_the_key(org: SalesforceSandbox, connector: Connector) -> None:
    ids = [lead(org, n) for n in range(450)]
    org.page_size = 200
    pulling = connector.pull("leads", None, FIELDS)
    seen = list(next(pulling).records)
    org.rest.locators.clear()
    seen += [record for page in pulling for record in page.records]
    assert [record.id for record in seen] == ids
