"""Large pushes as jobs: one result per row by its key, lost answers, crashes, and what goes by the hundred instead."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt, RecordRejected, RetryLater
from connectors.api import Connector, Operation, Verb
from connectors.sandbox import Answer, FaultKind
from connectors.zoho import bulk_file, bulk_write
from connectors.zoho.bulk_file import Line
from connectors.zoho.client import content_host
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.zoho.kit import (
    FIELDS,
    by_hundreds,
    create,
    errors,
    lead,
    opened,
    people,
    person,
    pushed,
    sent,
    update,
)

RESULT = "GET /v2/crm/.*/bulk-write/.*"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_write, "FROM", 3)


def jobs(zoho: ZohoSandbox) -> list[dict[str, Any]]:
    return [orjson.loads(line.body) for line in sent(zoho, "POST /write")]


# one job


def test_many_creates_go_as_one_job_with_a_result_for_each(zoho: ZohoSandbox, connector: Connector) -> None:
    operations = [*people(4), person(4, Phone="+49301"), person(5, Email_Opt_Out=True)]
    results = pushed(connector, *operations)
    rows = {row["Closedloop_Id"]: row for row in zoho.all("leads")}
    assert {key: (r.id, r.created, r.error) for key, r in results.items()} == {
        f"op{n}": (rows[f"cl_{n}"]["id"], True, None) for n in range(6)
    }
    assert (rows["cl_4"]["Phone"], rows["cl_0"]["Phone"], rows["cl_5"]["Email_Opt_Out"]) == ("+49301", None, True)
    [job] = jobs(zoho)
    assert (job["operation"], job["ignore_empty"], job["resource"][0]["find_by"]) == ("upsert", True, "Closedloop_Id")
    assert [one["index"] for one in job["resource"][0]["field_mappings"]] == list(range(6))
    assert by_hundreds(zoho) == 0
    assert zoho.store.triggered == []


def test_many_updates_clear_with_none_and_leave_the_rest(zoho: ZohoSandbox, connector: Connector) -> None:
    owner = zoho.put("users", {"email": "other@example.com"})
    ids = [lead(zoho, f"p{n}@x.io", Phone="+491", City="Rome", Interests=["x"]) for n in range(8)]
    clears = [update(f"c{n}", id, Phone=None, Owner__id=owner) for n, id in enumerate(ids[:4])]
    sets = [update(f"s{n}", id, City="Bonn", Interests=["a", "b"], No_of_Employees=3) for n, id in enumerate(ids[4:])]
    results = pushed(connector, *clears, *sets)
    assert errors(results) == {}
    assert [results[f"c{n}"].id for n in range(4)] == ids[:4]
    cleared, kept = zoho.get("leads", ids[0]), zoho.get("leads", ids[7])
    assert (cleared["Phone"], cleared["City"], cleared["Owner"]) == (None, "Rome", owner)
    assert (kept["Phone"], kept["City"], kept["Interests"], kept["No_of_Employees"]) == ("+491", "Bonn", ["a", "b"], 3)
    assert [(job["operation"], job["ignore_empty"]) for job in jobs(zoho)] == [("update", False)] * 2
    assert {"api_name": "Owner", "index": 2, "find_by": "id"} in jobs(zoho)[0]["resource"][0]["field_mappings"]


def test_every_value_arrives_as_it_was_sent(zoho: ZohoSandbox, connector: Connector) -> None:
    odd = ["=1+1", "@x", '"q", r', "a;b|c:d", "two\nlines", "+49 30", "Žofia 東", "-1", " x", "'y"]
    results = pushed(
        connector, *(person(n, First_Name=text, Customer_Since="2026-03-04") for n, text in enumerate(odd))
    )
    assert errors(results) == {}
    assert by_hundreds(zoho) == 0
    kept = {row["Closedloop_Id"]: row for row in zoho.all("leads")}
    assert [kept[f"cl_{n}"]["First_Name"] for n in range(len(odd))] == odd
    assert {row["Customer_Since"] for row in kept.values()} == {"2026-03-04"}


def test_what_a_file_cannot_hold_for_sure_goes_by_the_hundred(zoho: ZohoSandbox, connector: Connector) -> None:
    odd = [
        person(10, First_Name="back\\slash"),
        person(11, Interests=["a;b"]),
        person(12, Last_Seen="2026-03-04T10:00:00+00:00"),
        create("mail", "only@x.io"),
    ]
    results = pushed(connector, *people(3), *odd)
    assert errors(results) == {}
    assert len(jobs(zoho)) == 1
    assert by_hundreds(zoho) == len(odd)
    assert zoho.get("leads", results["op11"].id)["Interests"] == ["a;b"]
    assert len(zoho.all("leads")) == 7


def test_a_choice_that_the_list_has_not_is_not_added_to_it() -> None:
    picks: list[dict[str, Any]] = [{"display_value": "Web", "actual_value": "Web"}]
    fields: list[dict[str, Any]] = [
        {"api_name": "Closedloop_Id", "data_type": "text", "unique": {"case_sensitive": False}},
        {"api_name": "Lead_Source", "data_type": "picklist", "pick_list_values": picks},
    ]
    made = [
        Operation(f"o{n}", Verb.CREATE, "leads", {"Lead_Source": text}, match={"Closedloop_Id": str(n)})
        for n, text in enumerate(["Web", "Else"])
    ]
    [load] = bulk_file.loads(fields, made)
    assert [operation.key for operation in load.operations] == ["o0"]


def test_who_is_there_under_the_address_alone_is_not_made_twice(zoho: ZohoSandbox, connector: Connector) -> None:
    there = lead(zoho, "P1@x.io")
    results = pushed(connector, *people(5))
    assert (results["op1"].id, results["op1"].created) == (there, False)
    assert len(jobs(zoho)) == 1
    assert len(zoho.all("leads")) == 5


def test_a_record_that_comes_twice_is_written_twice_in_order(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(4)]
    first = [update(f"a{n}", id, City="first") for n, id in enumerate(ids)]
    results = pushed(connector, *first, update("b", ids[0], City="second"))
    assert errors(results) == {}
    assert [zoho.get("leads", id)["City"] for id in ids] == ["second", "first", "first", "first"]
    assert by_hundreds(zoho) == 1


def test_a_file_is_split_and_a_small_rest_goes_by_the_hundred(
    zoho: ZohoSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_file, "MOST", 4)
    assert errors(pushed(connector, *people(10))) == {}
    assert [len(job["lines"]) for job in zoho.writes.made.values()] == [4, 4]
    assert by_hundreds(zoho) == 2
    monkeypatch.setattr(bulk_file, "MOST", 25_000)
    monkeypatch.setattr(bulk_file, "LARGEST", 400)
    [load] = bulk_file.loads(named(), people(20))
    parts = list(bulk_file.split(load, 1))
    assert [o.key for part in parts for o in part.operations] == [f"op{n}" for n in range(20)]
    assert all(len(unpacked(bulk_file.packed(part))) <= 480 for part in parts)
    assert len(parts) > 1


def named() -> list[dict[str, Any]]:
    key = {"api_name": "Closedloop_Id", "data_type": "text", "unique": {"case_sensitive": False}}
    return [key, *({"api_name": name, "data_type": "text"} for name in ("Email", "Last_Name", "Company"))]


def unpacked(archive: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return files.read(bulk_file.NAME).decode()


# rows that fail


def test_rows_fail_by_themselves_and_duplicates_are_found_out_about(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.store.unique.append(("Leads", "Phone"))
    lead(zoho, "taken@x.io", Phone="+491")
    lead(zoho, "stranger@x.io", Closedloop_Id="cl_9", Phone="+499")
    locked = lead(zoho, "l@x.io", Closedloop_Id="cl_7")
    zoho.store.locked.add(locked)
    results = pushed(
        connector,
        *people(3),
        person(4, First_Name="Secret" * 9),
        person(5, Company=""),
        person(6, Phone="+491"),
        person(7, City="x"),
        person(9, Phone="+499"),
    )
    assert errors(results) == {
        "op4": (RecordRejected, "INVALID_DATA"),
        "op5": (RecordRejected, "MANDATORY_NOT_FOUND"),
        "op6": (RecordRejected, "duplicate"),
        "op7": (RetryLater, "RECORD_LOCKED"),
    }
    fields = {key: result.error.field for key, result in results.items() if isinstance(result.error, RecordRejected)}
    assert fields == {"op4": "First_Name", "op5": "Company", "op6": "Phone"}
    assert not any("ecret" in str(result.error) for result in results.values())
    assert not results["op9"].created  # our key was there: updated


def test_updates_of_what_is_gone_or_converted_say_so(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(5)]
    zoho.remove("leads", ids[0])
    zoho.convert(ids[1])
    results = pushed(connector, *(update(str(n), id, City="x") for n, id in enumerate(ids)))
    assert {key: code for key, (_, code) in errors(results).items()} == {"0": "merged_away", "1": "converted"}
    assert len(jobs(zoho)) == 1


def test_errors_of_a_result_are_read() -> None:
    head = "Email,STATUS,RECORD_ID,ERRORS\n"
    line = 'a@x.io,skipped,,"MANDATORY_NOT_FOUND-Company,Last_Name:DUPLICATE_DATA-Email"\n'
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("r.csv", head + line)
    wanted = (("MANDATORY_NOT_FOUND", ("Company", "Last_Name")), ("DUPLICATE_DATA", ("Email",)))
    assert bulk_file.results(body.getvalue(), "Email") == [Line("a@x.io", "SKIPPED", "", wanted)]
    with pytest.raises(RetryLater, match="broken"):
        bulk_file.results(b"PK\x03\x04 cut off", "Email")


def test_a_job_that_is_refused_or_comes_to_nothing_is_made_up_for(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.writes.refuses = "INVALID_FIELD"
    assert errors(pushed(connector, *people(3))) == {}
    assert by_hundreds(zoho) == 3
    zoho.writes.refuses, zoho.writes.fails = "", True
    again = [person(n, City="x") for n in range(3)]
    assert errors(pushed(connector, *again)) == {}
    assert by_hundreds(zoho) == 6
    assert len(zoho.all("leads")) == 3


def test_a_job_that_breaks_off_says_which_rows_it_did_not_come_to(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.writes.stops_after = 2
    results = pushed(connector, *people(4))
    assert {key: kind for key, (kind, _) in errors(results).items()} == {"op2": RetryLater, "op3": RetryLater}
    assert len(zoho.all("leads")) == 2


def told(zoho: ZohoSandbox, change: Any) -> Any:
    """The result of the job with its rows changed."""

    def answer(call: Any) -> Answer:
        whole = zoho.answer(call)
        with zipfile.ZipFile(io.BytesIO(whole.body)) as files:
            head, *rows = list(csv.reader(io.StringIO(files.read(files.namelist()[0]).decode())))
        out, body = io.StringIO(), io.BytesIO()
        csv.writer(out).writerows([head, *change(rows)])
        with zipfile.ZipFile(body, "w") as files:
            files.writestr("x.csv", out.getvalue())
        return Answer(200, body.getvalue(), whole.headers)

    return answer


def test_rows_are_known_by_their_key_never_by_their_place(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    change = told(
        zoho, lambda rows: [*rows[::-1][1:], ["cl_99", "x", "y", "ADDED", "6100000000000000001", ""], rows[0]]
    )
    zoho.inject(FaultKind.ANSWER, RESULT, answer=change)
    results = pushed(connector, *people(4))
    assert {key: kind for key, (kind, _) in errors(results).items()} == {"op3": InDoubt}
    rows = {row["Closedloop_Id"]: row["id"] for row in zoho.all("leads")}
    assert {key: r.id for key, r in results.items() if not r.error} == {f"op{n}": rows[f"cl_{n}"] for n in range(3)}
    assert connector.read("leads", "Closedloop_Id", ["cl_3"], FIELDS).keys() == {"cl_3"}


def test_another_record_than_the_one_sent_is_not_believed(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(3)]
    connector.check()
    change = told(zoho, lambda rows: [[*row[:-2], ids[0], ""] for row in rows])
    zoho.inject(FaultKind.ANSWER, RESULT, answer=change)
    results = pushed(connector, *(update(str(n), id, City="x") for n, id in enumerate(ids)))
    assert {key: kind for key, (kind, _) in errors(results).items()} == {"1": InDoubt, "2": InDoubt}


# when it does not pay, or must not be


@pytest.mark.parametrize("why", ["few", "switched off", "no workflows", "credits", "scope", "files scope"])
def test_a_push_that_is_not_worth_a_job_or_may_not_be_one_goes_by_the_hundred(
    zoho: ZohoSandbox, clock: ManualClock, why: str
) -> None:
    settings: dict[str, Any] = {"switched off": {"bulk_write": False}, "no workflows": {"workflows": False}}.get(
        why, {}
    )
    taken = {"scope": "ZohoCRM.bulk.CREATE", "files scope": "ZohoFiles.files.ALL"}.get(why, "")
    zoho.login.scopes = zoho.login.scopes.replace(taken, "") if taken else zoho.login.scopes
    connector = opened(zoho, clock, **settings)
    connector.check()
    if why == "credits":
        zoho.credits = 500
        zoho.used.append((zoho.used[-1][0], 300))
        connector.check()
    number = 2 if why == "few" else 4
    assert errors(pushed(connector, *people(number))) == {}
    assert zoho.writes.made == {}
    assert by_hundreds(zoho) == number
    connector.close()


# consent


def test_an_opt_in_never_leaves_in_a_file(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io", Email_Opt_Out=True) for n in range(4)]
    back = [update(f"u{n}", id, Email_Opt_Out=False, City="x") for n, id in enumerate(ids)]
    made = [person(n + 10, Email_Opt_Out=False) for n in range(4)]
    results = pushed(connector, *back, *made)
    assert {key: code for key, (_, code) in errors(results).items()} == {f"u{n}": "consent" for n in range(4)}
    assert all(zoho.get("leads", id)["Email_Opt_Out"] for id in ids)
    assert "Email_Opt_Out" not in next(iter(zoho.writes.files.values()))


# the host of files


@pytest.mark.parametrize(
    ("api", "files"),
    [
        ("https://www.zohoapis.eu", "https://content.zohoapis.eu"),
        ("https://sandbox.zohoapis.com.au", "https://content.zohoapis.com.au"),
        ("https://www.zohocloud.ca", "https://content.zohocloud.ca"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    ],
)
def test_the_host_of_files_stands_beside_the_api_s(api: str, files: str) -> None:
    assert content_host(api) == files


@pytest.fixture(autouse=True)
def nothing_left_open(zoho: ZohoSandbox) -> Iterator[None]:
    """Every job that was made was carried out once."""
    yield
    for job in zoho.writes.made.values():
        keys = [line[0] for line in job["lines"]]
        assert len(keys) == len(set(keys))
