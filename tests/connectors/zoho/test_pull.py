"""What the Zoho connector reads over its sandbox, over real sockets: pulls, cursors, deletions, records by a field."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import Misconfigured
from connectors.api import Connector, Gone
from connectors.zoho import client, coql, sandbox_list, sweeps
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import pulled
from tests.connectors.zoho.kit import FIELDS, lead, raws, sent

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
