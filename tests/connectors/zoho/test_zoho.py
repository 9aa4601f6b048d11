"""The Zoho connector over its sandbox, over real sockets: pulling, reading, log-in, limits, notices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, QuotaExhausted, RetryLater
from config.secrets import Secret
from connectors.api import Connector, Gone, Request
from connectors.sandbox import Answer, FaultKind
from connectors.zoho import bulk, client, coql, sandbox_list, sweeps
from connectors.zoho.client import api_host
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import connect, pulled
from tests.connectors.zoho.kit import FIELDS, asked, lead, opened, queried, raws, sent

# pull


def test_a_record_tells_what_was_asked_for_and_no_more(zoho: ZohoSandbox, connector: Connector) -> None:
    account = zoho.put("accounts", {"Account_Name": "Acme"})
    values = {
        "Last_Name": "Žofia",
        "Email": "Ana@X.io",
        "Account_Name": account,
        "Tag": ["vip"],
        "Interests": ["a", "b"],
    }
    id = zoho.put("contacts", values)
    fields = [
        "id",
        "Email",
        "Account_Name.id",
        "Account_Name.Account_Name",
        "Owner.id",
        "Tag",
        "Interests",
        "Email_Opt_Out",
    ]
    records, _ = pulled(connector, "contacts", None, fields)
    told = {
        "id": id,
        "Email": "Ana@X.io",
        "Account_Name": {"id": account, "Account_Name": "Acme"},
        "Owner": {"id": zoho.user},
        "Tag": ["vip"],
        "Interests": ["a", "b"],
        "Email_Opt_Out": False,
    }
    assert raws(records) == [told]
    assert records[0].version == stamp(zoho.clock.now())
    assert raws([connector.read("contacts", "id", [id], fields)[id]]) == [told]


def test_an_incremental_pull_sees_what_changed_and_overlaps(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    first = lead(zoho, "a@x.io")
    clock.advance(3600)
    lead(zoho, "b@x.io")
    clock.advance(60)
    _, cursor = pulled(connector, "leads", None, FIELDS)
    clock.advance(60)
    records, cursor = pulled(connector, "leads", cursor, FIELDS)
    assert [row["Email"] for row in raws(records)] == ["b@x.io"]  # the overlap
    clock.advance(600)
    _, cursor = pulled(connector, "leads", cursor, FIELDS)
    zoho.edit("leads", first, {"First_Name": "Ann"})
    records, cursor = pulled(connector, "leads", cursor, FIELDS)
    assert [row["First_Name"] for row in raws(records)] == ["Ann"]
    clock.advance(3600)
    _, cursor = pulled(connector, "leads", cursor, FIELDS)
    clock.advance(600)
    before = connector.calls
    assert pulled(connector, "leads", cursor, FIELDS)[0] == []
    assert connector.calls - before == 3  # what changed, what was converted, what was deleted
    assert [line.status for line in zoho.log[-3:]] == [204, 304, 304]


def test_a_first_pull_begins_where_it_is_told(zoho: ZohoSandbox, connector: Connector, clock: ManualClock) -> None:
    lead(zoho, "old@x.io")
    clock.advance(86_400)
    lead(zoho, "new@x.io")
    records, _ = pulled(connector, "leads", None, FIELDS, since=stamp(clock.now() - timedelta(hours=1)))
    assert [row["Email"] for row in raws(records)] == ["new@x.io"]


@pytest.mark.parametrize("object", ["leads", "notes"])
def test_a_pull_goes_on_from_every_cursor(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, object: str
) -> None:
    """Also where many records share a second, and where numbers of pages end."""
    monkeypatch.setattr(coql, "MOST", 3)
    monkeypatch.setattr(coql, "FEW", 3)
    monkeypatch.setattr(client, "PAGE", 3)
    monkeypatch.setattr(sandbox_list, "BY_PAGE", 6)
    made = lead(zoho, "first@x.io")
    for number in range(10):
        if object == "leads":
            lead(zoho, f"p{number}@x.io")
        else:
            zoho.put("notes", {"Note_Title": str(number), "Parent_Id": made, "$se_module": "Leads"})
        clock.advance(number % 4 == 3)
    fields = FIELDS if object == "leads" else ["Note_Title", "Person_Id", "Person_Object"]
    cursors: list[str | None] = [None]
    whole: list[list[str]] = []
    for page in connector.pull(object, None, fields):
        whole.append([record.id for record in page.records])
        cursors.append(page.cursor)
    assert len(whole) == 4
    assert sorted(chain(*whole)) == sorted(row["id"] for row in zoho.all(object))
    for number, cursor in enumerate(cursors[:-1]):
        records, last = pulled(connector, object, cursor, fields)
        assert [record.id for record in records] == list(chain(*whole[number:]))
        assert last == cursors[-1]


@pytest.mark.parametrize("object", ["leads", "notes"])
def test_an_edit_during_a_walk_loses_nobody(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, object: str
) -> None:
    """A record that moves to the other end of the order must not push another one over a page's edge."""
    monkeypatch.setattr(coql, "MOST", 2)
    monkeypatch.setattr(client, "PAGE", 2)
    about, ids = lead(zoho, "about@x.io"), []
    for number in range(6):
        made = {"Note_Title": "old", "Parent_Id": about, "$se_module": "Leads"}
        ids.append(lead(zoho, f"p{number}@x.io") if object == "leads" else zoho.put("notes", made))
        clock.advance(600)
    pages, seen = connector.pull(object, None, ["Email"]), []
    for number, page in enumerate(pages):
        seen += [record.id for record in page.records]
        cursor = page.cursor
        if number == 0:
            zoho.edit(object, ids[0], {"Description": "new", "Note_Content": "new"})
            clock.advance(600)
    seen += [record.id for record in pulled(connector, object, cursor, ["Email"])[0]]
    assert set(ids) <= set(seen)


def test_a_page_token_that_has_expired_restarts_the_list(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 3)
    about = lead(zoho, "a@x.io")
    for number in range(8):
        zoho.put("notes", {"Note_Title": str(number), "Parent_Id": about, "$se_module": "Leads"})
        clock.advance(1)
    first = next(iter(connector.pull("notes", None, ["Note_Title"])))
    assert orjson.loads(first.cursor)["place"]["token"]
    clock.advance(25 * 3600)
    records, _ = pulled(connector, "notes", first.cursor, ["Note_Title"])
    assert len({record.id for record in records}) == 8
    pages = connector.pull("notes", None, ["Note_Title"])  # and in the middle of a walk
    found = list(next(iter(pages)).records)
    zoho.age += 1
    found += [record for page in pages for record in page.records]
    assert len({record.id for record in found}) == 8


def test_columns_that_queries_do_not_take_or_hold_are_joined(
    zoho: ZohoSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coql, "COLUMNS", 6)
    monkeypatch.setattr(client, "FIELDS", 2)
    zoho.coql_refuses = {"First_Name", "Converted__s"}
    values = {
        "First_Name": "Ana",
        "City": "Vigo",
        "Phone": "1",
        "Mobile": "2",
        "Website": "w",
        "Tag": ["t"],
        "State": "PO",
    }
    lead(zoho, "a@x.io", **values)
    fields = ["Email", *values]
    assert raws(pulled(connector, "leads", None, fields)[0]) == [{"Email": "a@x.io", **values}]
    lists = sent(zoho, "GET /Leads")
    assert lists
    assert all(len(line.query["fields"].split(",")) <= 2 for line in lists)
    refused = [line for line in sent(zoho, "POST /coql") if line.status == 400]
    pulled(connector, "leads", None, fields)
    assert [line for line in sent(zoho, "POST /coql") if line.status == 400] == refused  # refused once, known for good


def test_a_column_that_is_a_word_of_the_query_language_stops_no_pull(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.put("contacts", {"Last_Name": "R", "External": "E"})
    assert raws(pulled(connector, "contacts", None, ["Last_Name", "External"])[0]) == [
        {"Last_Name": "R", "External": "E"}
    ]


def test_the_name_behind_a_lookup_is_told_even_if_queries_do_not_join(zoho: ZohoSandbox, connector: Connector) -> None:
    account = zoho.put("accounts", {"Account_Name": "Acme"})
    zoho.put("contacts", {"Last_Name": "R", "Account_Name": account})
    zoho.coql_refuses = {"Account_Name.Account_Name"}
    fields = ["Account_Name.id", "Account_Name.Account_Name"]
    told = {"Account_Name": {"id": account, "Account_Name": "Acme"}}
    assert raws(pulled(connector, "contacts", None, fields)[0]) == [told]


def test_a_module_that_does_not_heed_the_header_is_not_read_whole(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    monkeypatch.setattr(sandbox_list, "newer", lambda row, since: True)
    about = lead(zoho, "a@x.io")
    for number in range(9):
        zoho.put("notes", {"Note_Title": str(number), "Parent_Id": about, "$se_module": "Leads"})
        clock.advance(600)
    _, cursor = pulled(connector, "notes", None, ["Note_Title"])
    before = connector.calls
    pulled(connector, "notes", cursor, ["Note_Title"])
    assert connector.calls - before == 1


def test_deletions_are_told_and_a_merge_loser_is_one(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    ids = [zoho.put("contacts", {"Last_Name": "R", "Email": f"p{n}@x.io"}) for n in range(5)]
    _, cursor = pulled(connector, "contacts", None, FIELDS)
    clock.advance(3600)
    for id in ids[:3]:
        zoho.remove("contacts", id)
    zoho.merge("contacts", ids[3], ids[4])
    pages = list(connector.pull("contacts", cursor, FIELDS))
    told = {record.id: record.gone for page in pages for record in page.records}
    assert told == {ids[3]: None, **dict.fromkeys((*ids[:3], ids[4]), Gone.DELETED)}
    for number, page in enumerate(pages[:-1]):
        rest, _ = pulled(connector, "contacts", page.cursor, FIELDS)
        assert [record.id for record in rest] == [r.id for later in pages[number + 1 :] for r in later.records]
    assert connector.read("contacts", "id", ids, FIELDS).keys() == {ids[3]}


@pytest.mark.parametrize(("hidden", "shown"), [(False, False), (True, False), (False, True)])
def test_a_converted_lead_lives_on_as_its_contact(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, *, hidden: bool, shown: bool
) -> None:
    zoho.coql_shows_converted = shown
    id, other = lead(zoho, "a@x.io"), lead(zoho, "b@x.io")
    clock.advance(600)
    _, cursor = pulled(connector, "leads", None, FIELDS)
    clock.advance(3600)
    _, contact, _ = zoho.convert(id)
    if hidden:  # the list does not tell the contact: the whole lead does
        zoho.store.rows["Leads"][id]["Converted_Contact"] = None
    [record] = pulled(connector, "leads", cursor, FIELDS)[0]
    assert (record.id, record.gone, record.into, record.into_object) == (id, Gone.CONVERTED, contact, "contacts")
    found = connector.read("leads", "id", [id, other, "77", "no-id"], FIELDS)
    assert {key: (one.gone, one.into) for key, one in found.items()} == {
        id: (Gone.CONVERTED, contact),
        other: (None, ""),
    }
    assert connector.read("leads", "Email", ["a@x.io"], FIELDS) == {}
    assert pulled(connector, "contacts", None, ["Email"])[0][0].id == contact


def test_deals_tell_their_outcome_by_the_forecast_type_of_the_stage(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    won, lost, open_ = (zoho.deal(name, [], Amount=5.25) for name in ("won", "lost", "open"))
    zoho.close(won, won=True, day="2026-11-20")
    zoho.close(lost, won=False, day="2026-11-20", reason="price")
    zoho.deal("partner", [], "Partner gewonnen")
    zoho.deal("nearly", [], "Fast gewonnen (90 %)")
    clock.advance(600)
    fields = ["Deal_Name", "Amount", "Stage_Closed", "Stage_Won", "Win_Probability", "Reason_For_Loss__s"]
    records, cursor = pulled(connector, "deals", None, fields)
    told = {row["Deal_Name"]: row for row in raws(records)}
    outcome = {name: (row["Stage_Closed"], row["Stage_Won"], row["Win_Probability"]) for name, row in told.items()}
    assert outcome == {
        "won": (True, True, "1"),
        "lost": (True, False, "0"),
        "open": (False, False, "0.1"),
        "nearly": (False, False, "0.9"),
        "partner": (True, True, "1"),  # a stage of another layout, known to its pipeline only
    }
    assert (told["lost"]["Reason_For_Loss__s"], told["open"]["Amount"]) == ("price", 5.25)
    clock.advance(3600)
    zoho.remove("deals", open_)
    assert [(r.id, r.gone) for r in pulled(connector, "deals", cursor, fields)[0]] == [(open_, Gone.DELETED)]


def test_who_is_in_a_deal_is_followed_and_swept(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "ROWS", 2)
    people = [zoho.put("contacts", {"Last_Name": f"p{n}"}) for n in range(3)]
    deals = [zoho.deal(f"d{n}", people[: n + 1]) for n in range(3)]
    alone = zoho.deal("alone", [])
    main = zoho.put("deals", {"Deal_Name": "main", "Stage": "Qualification", "Contact_Name": people[2]})
    clock.advance(600)
    records, cursor = pulled(connector, "contact_roles", None, [])
    ties = {row["from_id"]: row["to_ids"] for row in raws(records)}
    assert ties == {**{deal: people[: n + 1] for n, deal in enumerate(deals)}, alone: [], main: [people[2]]}
    assert raws(records)[0]["role"] == "Decision Maker"
    clock.advance(3600)
    zoho.edit("deals", deals[0], {"Contact_Name": people[1]})
    clock.advance(600)
    records, cursor = pulled(connector, "contact_roles", cursor, [])
    assert [(row["from_id"], row["to_ids"], row["role"]) for row in raws(records)] == [(deals[0], people[:2], None)]
    zoho.role(deals[1], people[1], None)  # told by nothing
    zoho.role(alone, people[0])
    clock.advance(3600)
    assert pulled(connector, "contact_roles", cursor, [])[0] == []
    clock.advance(86_400)
    cursors: list[str] = []
    swept: list[Any] = []
    for page in connector.pull("contact_roles", cursor, []):
        swept += page.records
        cursors.append(page.cursor)
    ties = {row["from_id"]: row["to_ids"] for row in raws(swept)}
    assert (ties[deals[1]], ties[alone]) == ([people[0]], [people[0]])
    rest, _ = pulled(connector, "contact_roles", cursors[0], [])
    assert [record.id for record in rest] == [record.id for record in swept[2:]]
    clock.advance(100 * 86_400)  # old deals are not looked at again
    assert pulled(connector, "contact_roles", cursors[-1], [])[0] == []
    assert raws([connector.read("contact_roles", "id", [deals[2]], [])[deals[2]]])[0]["to_ids"] == people


def test_activities_tell_their_person(zoho: ZohoSandbox, connector: Connector) -> None:
    person, contact = lead(zoho, "a@x.io"), zoho.put("contacts", {"Last_Name": "R"})
    deal = zoho.deal("d", [])
    zoho.put("calls", {"Subject": "c", "Call_Start_Time": "2026-11-20T10:00:00+01:00", "person": f"leads/{person}"})
    zoho.put("calls", {"Subject": "d", "What_Id": deal, "$se_module": "Deals"})
    zoho.put("meetings", {"Event_Title": "m", "person": f"contacts/{contact}"})
    zoho.put("tasks", {"Subject": "t", "Status": "Completed", "person": f"contacts/{contact}"})
    zoho.put("notes", {"Note_Title": "n", "Parent_Id": person, "$se_module": "Leads"})
    zoho.put("notes", {"Note_Title": "o", "Parent_Id": deal, "$se_module": "Deals"})
    who = ["Person_Id", "Person_Object"]
    names = {"calls": "Subject", "meetings": "Event_Title", "tasks": "Subject", "notes": "Note_Title"}
    told = {
        row[name]: (row["Person_Id"], row["Person_Object"])
        for object, name in names.items()
        for row in raws(pulled(connector, object, None, [name, *who])[0])
    }
    assert told == {
        "c": (person, "leads"),
        "d": (None, None),
        "m": (contact, "contacts"),
        "t": (contact, "contacts"),
        "n": (person, "leads"),
        "o": (None, None),
    }


def test_users_tell_who_is_active(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.put("users", {"email": "b@x.io", "status": "inactive"})
    told = [(row["email"], row["name"], row["active"]) for row in raws(pulled(connector, "users", None, [])[0])]
    assert told == [("rita.ortega@example.com", "Rita Ortega", True), ("b@x.io", "b", False)]


# bulk


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


# read


def test_reading_by_a_field_finds_the_oldest_without_case(zoho: ZohoSandbox, connector: Connector) -> None:
    old, _ = lead(zoho, "A@x.io"), lead(zoho, "a@x.io")
    odd = lead(zoho, "o'brien@x.io")
    many = [f"n{n}@x.io" for n in range(120)]
    found = connector.read("leads", "Email", ["a@X.io", "o'brien@x.io", *many], FIELDS)
    assert {value: record.id for value, record in found.items()} == {"a@X.io": old, "o'brien@x.io": odd}
    assert len(sent(zoho, "POST /coql")) == 3  # fifty values each
    with pytest.raises(Misconfigured):
        connector.read("leads", "Email = 'x' or id", ["x"], FIELDS)
    with pytest.raises(Misconfigured):
        connector.read("nosuch", "id", ["1"], FIELDS)
    assert connector.read("users", "id", [zoho.user, "1"], []).keys() == {zoho.user}


# log-in, limits, errors


def test_an_access_token_is_renewed_before_its_end_and_after_a_401(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    lead(zoho, "a@x.io")
    for _ in range(2):
        assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    clock.advance(3600)
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    zoho.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    assert len(sent(zoho, "POST /oauth/v2/token")) == 3
    zoho.login.revoked = True
    zoho.login.access.clear()
    with pytest.raises(AuthorizationLost, match="refresh token"):
        pulled(connector, "leads", None, FIELDS)


def test_a_client_of_another_data_centre_is_named(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.login.elsewhere = True
    with pytest.raises(AuthorizationLost, match="region"):
        connector.check()


@pytest.mark.parametrize("old", [False, True])
def test_too_many_token_calls_are_waited_for_elsewhere(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, *, old: bool
) -> None:
    zoho.login.old_throttle = old
    zoho.login.calls = [stamp(clock.now())] * 10
    with pytest.raises(RetryLater) as told:
        connector.check()
    assert (told.value.after, told.value.code) == (600, "token_limit")
    clock.advance(601)
    assert connector.check().account_name == "Sandbox Ltd"


def test_the_region_decides_the_hosts_and_no_other_host_is_followed(zoho: ZohoSandbox, clock: ManualClock) -> None:
    assert api_host("https://www.zohoapis.com.au/") == "https://www.zohoapis.com.au"
    for wrong in ("https://www.zohoapis.eu.evil.example", "http://www.zohoapis.eu", "https://zohoapis.eu@evil.example"):
        with pytest.raises(AuthorizationLost):
            api_host(wrong)
    with pytest.raises(Misconfigured, match="uk"):
        opened(zoho, clock, region="moon")
    with pytest.raises(Misconfigured, match=r"auth\.client_secret"):
        connect(zoho, clock, auth={"client_id": "x", "refresh_token": Secret("y")})


def test_calls_that_run_at_once_are_waited_for_and_a_day_s_end_is_not(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    lead(zoho, "a@x.io")
    zoho.busy = 2
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    zoho.credits = zoho.spent + 2
    connector.check()
    assert connector.check().quotas[0].limit == 51_000
    with pytest.raises(QuotaExhausted) as told:
        connector.check()
    assert told.value.until == clock.now() + timedelta(hours=1)
    clock.advance(24 * 3600 + 1)
    assert connector.check().quotas == ()  # less than a half is used: Zoho does not say


def test_credits_are_left_to_others(zoho: ZohoSandbox, clock: ManualClock) -> None:
    connector = opened(zoho, clock, credits_reserve=90)
    zoho.credits = 100
    for _ in range(10):
        zoho.used.append((stamp(clock.now()), 5))
    assert connector.check()  # whose answer tells that few are left
    before = connector.calls
    with pytest.raises(QuotaExhausted):
        connector.check()
    assert connector.calls == before
    clock.advance(3601)
    assert connector.check()
    connector.close()


def test_a_missing_scope_stops_its_object_and_is_named(zoho: ZohoSandbox, connector: Connector) -> None:
    words = [scope for scope in zoho.login.scopes.split() if "users" not in scope and "settings" not in scope]
    zoho.login.scopes = " ".join([*words, "ZohoCRM.settings.fields.READ"])
    missing = connector.check().missing_scopes
    assert missing == ("ZohoCRM.users.READ", "ZohoCRM.settings.layouts.READ", "ZohoCRM.settings.pipeline.READ")
    with pytest.raises(PermissionMissing, match="scope"):
        pulled(connector, "users", None, [])
    assert pulled(connector, "accounts", None, ["Account_Name"])[0] == []


def test_broken_answers_are_asked_again(zoho: ZohoSandbox, connector: Connector) -> None:
    lead(zoho, "a@x.io")
    connector.check()
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        zoho.inject(kind, "POST /crm/v8/coql")
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/coql", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1


def test_describe_tells_live_fields(connector: Connector) -> None:
    fields = connector.describe("leads").fields
    assert (fields["First_Name"].length, fields["First_Name"].writable) == (40, True)
    assert (fields["Modified_Time"].type, fields["Modified_Time"].writable) == ("datetime", False)
    assert (fields["Owner.id"].type, fields["Owner.id"].writable, fields["Owner"].writable) == (
        "reference",
        True,
        False,
    )
    assert (fields["Closedloop_Id"].unique, fields["Last_Name"].required) == (True, True)
    assert not connector.describe("deals").fields["Stage_Won"].writable
    before = connector.calls
    connector.describe("leads")
    assert connector.calls == before
    assert connector.describe("users").fields == {}


# notices


def test_a_channel_is_opened_renewed_and_believed_by_its_token_only(zoho: ZohoSandbox, clock: ManualClock) -> None:
    connector = opened(zoho, clock, notify_url="https://sync.example/hooks/zoho")
    pulled(connector, "leads", None, FIELDS)
    [channel] = zoho.store.channels.values()
    assert channel["channel_expiry"] == "2026-11-29T11:00:00+01:00"
    assert "sandbox-webhook-secret" not in str(channel)
    assert len(channel["token"]) <= 50
    id, deal = lead(zoho, "a@x.io"), zoho.deal("d", [])
    zoho.put("campaigns", {"Campaign_Name": "not subscribed"})
    got: list[tuple[str, str]] = []
    bodies: list[bytes] = []

    def receive(url: str, body: bytes) -> None:
        assert url == "https://sync.example/hooks/zoho"
        bodies.append(body)
        got.extend((n.object, n.id) for n in connector.verify(Request("POST", url, {}, body)))

    assert zoho.deliver(receive) == 2
    assert got == [("leads", id), ("deals", deal), ("contact_roles", deal)]
    for wrong in (bodies[0].replace(channel["token"].encode(), b"x"), b"{}", b"[]", b'{"token": null}'):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", {}, wrong))
    clock.advance(2 * 86_400)
    pulled(connector, "leads", None, FIELDS)
    assert len(sent(zoho, "PUT /actions/watch")) == 0
    clock.advance(2 * 86_400)
    pulled(connector, "leads", None, FIELDS)
    assert len(sent(zoho, "PUT /actions/watch")) == 1
    clock.advance(30 * 86_400)  # it ended in silence
    pulled(connector, "leads", None, FIELDS)
    assert [line.status for line in sent(zoho, "POST /actions/watch")] == [201, 201]
    assert zoho.store.channels[channel["channel_id"]]["channel_expiry"] > channel["channel_expiry"]
    connector.close()


def test_a_channel_that_is_refused_stops_no_pull(zoho: ZohoSandbox, clock: ManualClock) -> None:
    connector = opened(zoho, clock, notify_url="https://sync.example/hooks/zoho")
    lead(zoho, "a@x.io")
    zoho.login.scopes = zoho.login.scopes.replace("ZohoCRM.notifications.ALL", "")
    for _ in range(2):
        assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    assert len(sent(zoho, "POST /actions/watch")) == 1  # not at every pull
    connector.close()


# the sandbox itself


def test_lists_and_queries_are_as_narrow_as_zoho_s(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    for number in range(3):
        lead(zoho, f"p{number}@x.io")
    assert asked(zoho, "Leads")[1]["code"] == "REQUIRED_PARAM_MISSING"
    assert asked(zoho, "Leads", fields=",".join(["Email"] * 51))[1]["code"] == "LIMIT_EXCEEDED"
    assert asked(zoho, "Leads", fields="Email", page="11")[1]["code"] == "DISCRETE_PAGINATION_LIMIT_EXCEEDED"
    assert asked(zoho, "Contacts", fields="Email") == (204, None)
    assert asked(zoho, "Nosuch", fields="Email")[1]["code"] == "INVALID_MODULE"
    token = asked(zoho, "Leads", fields="Email", per_page="2")[1]["info"]["next_page_token"]
    told = asked(zoho, "Leads", fields="Last_Name", per_page="2", page_token=token)
    assert told[1]["code"] == "TOKEN_BOUND_DATA_MISMATCH"
    assert asked(zoho, "Leads", fields="Email", page="1", page_token=token)[1]["code"] == "AMBIGUITY_DURING_PROCESSING"
    three = "id is not null and Email is not null and City is null"
    assert queried(zoho, f"select id from Leads where {three}")[1]["code"] == "SYNTAX_ERROR"
    nested = "(id is not null and (Email != 'x' and Email like 'p'))"
    assert queried(zoho, f"select id from Leads where {nested}")[1]["details"] == {"operator": "like"}
    assert queried(zoho, "select id from Leads where (Email = 'P1@x.io') limit 2001")[1]["code"] == "INVALID_QUERY"
    assert queried(zoho, "select Tag from Leads where (id > 1)")[1]["details"] == {"column_name": "Tag"}
    assert queried(zoho, "select id from Leads where (id > 1) order by id, id")[1]["code"] == "DUPLICATE_DATA"
    assert queried(zoho, "select id from Leads where (Email = 'P1@x.io')")[1]["info"]["count"] == 1
    assert queried(zoho, "drop table Leads")[1]["code"] == "SYNTAX_ERROR"


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled_twice() -> ZohoSandbox:
        sandbox = ZohoSandbox(seed=4, clock=clock)
        sandbox.convert(lead(sandbox, "a@x.io"), deal="d")
        return sandbox

    one, two = filled_twice(), filled_twice()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    lead(one, "b@x.io")
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state


def test_the_day_s_credits_are_those_of_the_edition(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.credits, zoho.used = 20, [(stamp(datetime(2026, 11, 23, 9, tzinfo=UTC)), 10)]
    [quota] = connector.check().quotas
    assert (quota.window, quota.used, quota.limit) == ("24 hours", 51_000 - 9, 51_000)
    assert connector.check().missing_scopes == ()


def test_an_answer_of_another_shape_is_asked_again_later(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    odd: Any = {"data": "none"}
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/coql", answer=Answer.of(odd), times=9)
    with pytest.raises(RetryLater, match="unknown shape"):
        pulled(connector, "leads", None, FIELDS)
