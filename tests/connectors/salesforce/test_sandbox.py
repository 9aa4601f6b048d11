"""The sandbox's own habits, through the real SDK and plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceMoreThanOneRecord

from config.clock import ManualClock
from connectors.salesforce.client import Session
from connectors.salesforce.records import id18 as ours
from connectors.salesforce.sandbox import SalesforceSandbox
from connectors.salesforce.sandbox_soql import Malformed, parse
from connectors.salesforce.sandbox_store import id18


@pytest.fixture
def session(org: SalesforceSandbox) -> Any:
    with Session(10, org.ca_file) as session:
        yield session


@pytest.fixture
def sdk(org: SalesforceSandbox, session: requests.Session) -> Any:
    return Salesforce(session_id=org.login.new_session(), instance_url=org.base_url, version="66.0", session=session)


def test_the_sdks_own_calls(org: SalesforceSandbox, sdk: Any) -> None:
    id = sdk.Lead.create({"LastName": "L", "Company": "C", "Email": "a@example.com"})["id"]
    assert sdk.Lead.get(id)["Email"] == "a@example.com"
    assert sdk.Lead.update(id, {"City": "Rom"}) == 204
    assert sdk.Lead.upsert("Closedloop_Id__c/c1", {"LastName": "M", "Company": "C"}) == 201
    assert sdk.Lead.upsert("Closedloop_Id__c/c1", {"City": "Bonn"}) == 200
    assert sdk.query("SELECT COUNT() FROM Lead")["totalSize"] == 2
    assert sdk.Lead.delete(id) == 204
    assert [
        row["Id"]
        for row in sdk.query_all("SELECT Id FROM Lead WHERE IsDeleted = true", include_deleted=True)["records"]
    ] == [id]
    assert sdk.limits()["DailyApiRequests"]["Max"] == 100_000
    assert sdk.api_usage["api-usage"].total == 100_000
    assert sdk.Lead.describe()["keyPrefix"] == "00Q"


def test_several_matches_answer_300(org: SalesforceSandbox, sdk: Any) -> None:
    for _ in range(2):
        org.put("leads", {"LastName": "L", "Company": "C", "Email": "a@example.com"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        sdk.Lead.upsert("Email/a@example.com", {"City": "Rom"})


def test_get_deleted(org: SalesforceSandbox, sdk: Any, clock: ManualClock) -> None:
    id = org.put("leads", {"LastName": "L", "Company": "C"})
    org.remove("leads", id)
    clock.advance(120)
    path = "sobjects/Lead/deleted/?start=2026-11-23T09:00:00%2B00:00&end=2026-11-23T10:01:00%2B00:00"
    assert [row["id"] for row in sdk.restful(path)["deletedRecords"]] == [id]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("LastName = 'a'", ["A"]),
        ("LastName != 'A' AND LastName != 'B'", ["C"]),
        ("LastName IN ('A', 'C')", ["A", "C"]),
        ("LastName NOT IN ('A', 'C')", ["B"]),
        ("LastName LIKE '%b%'", ["B"]),
        ("NumberOfEmployees > 1", ["B", "C"]),
        ("NumberOfEmployees >= 2 AND NumberOfEmployees < 3", ["B"]),
        ("(LastName = 'A' OR LastName = 'B') AND NumberOfEmployees <= 1", ["A"]),
        ("City = null", ["A", "B"]),
        ("City != null", ["C"]),
        ("NOT LastName = 'A'", ["B", "C"]),
        ("Owner.Name = 'Sync User'", ["A", "B", "C"]),
        ("SystemModstamp > 2026-11-23T10:00:00Z", []),
        ("SystemModstamp <= 2026-11-23T11:00:00+01:00", ["A", "B", "C"]),
    ],
)
def test_soql(org: SalesforceSandbox, sdk: Any, where: str, found: list[str]) -> None:
    for n, name in enumerate("ABC", 1):
        org.put("leads", {"LastName": name, "Company": "C", "NumberOfEmployees": n, "City": "Rom" if n == 3 else None})
    rows = sdk.query(f"SELECT LastName FROM Lead WHERE {where} ORDER BY LastName DESC LIMIT 10")["records"]
    assert [row["LastName"] for row in reversed(rows)] == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT Id FROM",
        "SELECT Id FROM Lead WHERE",
        "SELECT Id FROM Lead x = 'a",
        "SELECT Id FROM Lead WHERE Id == 1",
    ],
)
def test_malformed_queries(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


def test_long_text_cannot_be_filtered(sdk: Any) -> None:
    with pytest.raises(SalesforceMalformedRequest, match="can not be filtered"):
        sdk.query("SELECT Id FROM Task WHERE Description LIKE '%x%'")


def test_a_long_line_is_refused(org: SalesforceSandbox, sdk: Any, session: requests.Session) -> None:
    answer = session.get(org.base_url + "/services/data/v66.0/query?q=" + "x" * 17_000, timeout=10)
    assert answer.status_code == 414


def test_all_or_none_rolls_back(org: SalesforceSandbox, sdk: Any) -> None:
    good, bad = {"attributes": {"type": "Lead"}, "LastName": "L", "Company": "C"}, {"attributes": {"type": "Lead"}}
    answer = sdk.restful("composite/sobjects", method="POST", json={"allOrNone": True, "records": [good, bad]})
    assert [row["errors"][0]["statusCode"] for row in answer] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert org.all("leads") == []


def test_a_snapshot_brings_everything_back(org: SalesforceSandbox, clock: ManualClock) -> None:
    id = org.put("leads", {"LastName": "L", "Company": "C", "Email": "a@example.com"})
    before = org.snapshot()
    org.remove("leads", id)
    org.put("leads", {"LastName": "M", "Company": "C"})
    fresh = SalesforceSandbox(clock=clock)
    fresh.restore(before)
    assert [row["Id"] for row in fresh.all("leads")] == [id]
    assert fresh.snapshot() == before


def test_ids_have_two_lengths() -> None:
    for short, long in (("0019H00000H1RMD", "0019H00000H1RMDQA3"), ("0039H00000BbbFB", "0039H00000BbbFBQAZ")):
        assert id18(short) == ours(short) == long


def test_same_seed_same_answers(clock: ManualClock) -> None:
    one, two = SalesforceSandbox(seed=3, clock=clock), SalesforceSandbox(seed=3, clock=clock)
    for org in (one, two):
        org.convert(org.put("leads", {"LastName": "L", "Company": "C"}), deal="D")
    assert one.snapshot() == two.snapshot()
