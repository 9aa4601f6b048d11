"""How the Zoho connector reads a large module in bulk."""

from __future__ import annotations

import pytest

from config.errors import RetryLater
from connectors.api import Connector
from connectors.sandbox import Answer, FaultKind
from connectors.zoho import bulk
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import pulled
from tests.connectors.zoho.kit import FIELDS, lead, sent


def filled(zoho: ZohoSandbox, number: int) -> None:
    for n in range(number):
        lead(zoho, f"p{n}@x.io", No_of_Employees=n, Tag=["a", "b"], Interests=["x"], First_Name='Ž, "q"\n2')


@pytest.mark.parametrize("way", ["bulk", "failed", "few"])
def test_a_backfill_reads_a_large_module_in_bulk_and_tells_the_same(
    zoho: ZohoSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(bulk, "FROM", 5 if way != "few" else 7)
    monkeypatch.setattr(bulk, "ROWS", 3)
    monkeypatch.setattr("connectors.zoho.sandbox_bulk.MOST", 4)  # two jobs
    zoho.jobs_fail = way == "failed"
    filled(zoho, 7)
    fields = ["id", "Email", "Owner.id", "Email_Opt_Out", "No_of_Employees", "Tag", "Interests", "First_Name", "City"]
    plain = {record.id: (record.raw, record.version) for record in pulled(connector, "leads", None, fields)[0]}
    pages = list(connector.pull("leads", None, fields, bulk=True))
    assert {r.id: (r.raw, r.version) for page in pages for r in page.records} == plain
    assert len(sent(zoho, "POST /read")) == {"bulk": 2, "failed": 1, "few": 0}[way]
    assert pages[0].total == 7
    if way != "bulk":
        return
    for number, page in enumerate(pages[:-1]):
        rest, last = pulled(connector, "leads", page.cursor, fields)
        assert [record.id for record in rest] == [r.id for later in pages[number + 1 :] for r in later.records]
        assert last == pages[-1].cursor
    zoho.jobs.clear()  # the files are gone after a day
    assert {record.id for record in pulled(connector, "leads", pages[0].cursor, fields)[0]} == set(plain)


def test_a_broken_bulk_file_is_no_end_of_the_data(
    zoho: ZohoSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "FROM", 1)
    filled(zoho, 3)
    whole = Answer(200, b"PK\x03\x04 cut off", {"content-type": "application/zip"})
    zoho.inject(FaultKind.ANSWER, "GET /crm/bulk/v8/read/.*/result", answer=whole, times=9)
    with pytest.raises(RetryLater, match="broken"):
        pulled(connector, "leads", None, FIELDS, bulk=True)
