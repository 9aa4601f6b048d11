"""LinkedIn's wire format, pinned; what is sent is what its public collections show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.clock import ManualClock
from tests.connectors.linkedin import truth
from tests.connectors.wire import RECORDING, play, shown, told

CASSETTES = Path(__file__).parent / "cassettes"


def toured() -> list[Any]:
    """The tour, over a sandbox when it is recorded, over the cassette when it is played."""
    clock, other = ManualClock(truth.CLOCK), ManualClock(truth.CLOCK)
    sandbox = truth.filled(clock)
    if RECORDING:
        sandbox.start()
    base = sandbox.base_url if RECORDING else "http://127.0.0.1"
    made = truth.connector(sandbox, clock, base, **truth.SETTINGS_OF_TOUR)
    try:
        return truth.tour(made, truth.filled(other), clock, shown, told)
    finally:
        made.close()
        sandbox.stop()


def test_the_wire_format_stands() -> None:
    play(CASSETTES, toured)


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert "uthorization" not in text
    assert "access-" not in text
    assert "p1@example.com" not in text.partition("conversionEvents")[2].partition("response:")[0]


def test_every_call_is_one_that_the_collections_show() -> None:
    truth.described()
    sandbox = truth.toured()
    found = truth.faults(sandbox.log)
    print(f"{len(found)} kinds of requests")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert set(found) == {
        "GET /rest/adAccounts/{}",
        "GET /rest/adAccounts/{}/adCampaigns",
        "GET /rest/adAccountUsers",
        "GET /rest/organizationAcls",
        "GET /rest/conversions",
        "GET /rest/leadForms",
        "GET /rest/leadFormResponses",
        "GET /rest/leadFormResponses/{}",
        "POST /rest/conversionEvents",
        "POST /v2/crmDataValidationExportJobs",
        "GET /v2/crmDataValidationExportJobs/{}",
        "GET /v2/salesNavigatorProfileAssociations",
    }


def test_addresses_are_written_as_the_collections_show_them() -> None:
    """Structure raw, values encoded: seen on the wire, not in a decoded query."""
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    owner = truth.described()["paths"]["/rest/leadFormResponses"]["get"]["parameters"]
    pattern = next(one["example"] for one in owner if one["name"] == "owner")
    assert f"owner={pattern.replace('{{sponsoredaccount_id}}', '512345678')}&leadType=(leadType:SPONSORED)" in text
    fields = next(one["example"] for one in owner if one["name"] == "fields")
    assert "form:(hiddenFields,creationLocale,name,id,content)" in fields
    assert "form:(hiddenFields,creationLocale,name,id,versionId,content)" in text
