"""How the ActiveCampaign connector reads contacts over its sandbox, over real sockets."""

from __future__ import annotations

from itertools import chain

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import Misconfigured, RetryLater
from connectors.activecampaign import client as wire
from connectors.activecampaign import pull as pulling
from connectors.activecampaign.objects import moment
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector, Gone
from connectors.sandbox import Answer, FaultKind
from tests.connectors.activecampaign.kit import FIELDS, opened, raws
from tests.connectors.surroundings import pulled


def test_a_record_tells_what_was_asked_for_and_no_more(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    held = {"lists": {ac.list: "1"}, "tags": ["customer", "vip"], "fields": {"JOB_TITLE": "Chief"}}
    id = ac.put("contacts", {"email": "ana@x.io", "firstName": "Ana", "lastName": "A", **held})
    ac.put("contacts", {"email": "bob@x.io"})
    account = ac.put("accounts", {"name": "Acme", "accountUrl": "https://www.Acme.example/x"})
    ac.put("accountContacts", {"account": account, "contact": id, "jobTitle": "Boss"})
    records, _ = pulled(connector, "contacts", None, [*FIELDS, "tagNames", "accountName", "jobTitle"])
    ana, bob = raws(records)
    assert ana == {
        "email": "ana@x.io",
        "firstName": "Ana",
        "consent": "active",
        "tags": {"customer": True},
        "lists": {"1": "active"},
        "joined": {"2": False},
        "fields": {"JOB_TITLE": "Chief"},
        "tagNames": ["customer", "vip"],
        "accountName": "Acme",
        "jobTitle": "Boss",
    }
    assert (bob["consent"], bob["tags"], bob["lists"], bob["fields"]) == (
        "none", {"customer": False}, {"1": None}, {"JOB_TITLE": None},
    )  # fmt: skip
    assert records[0].version == stamp(clock.now())
    [account_raw] = raws(pulled(connector, "accounts", None, ["name", "domain"])[0])
    assert account_raw == {"name": "Acme", "domain": "acme.example"}


@pytest.mark.parametrize(
    ("lists", "counted", "word"),
    [
        ({}, "", "none"),
        ({"1": "1", "2": "2"}, "", "active"),
        ({"1": "1", "2": "2"}, "2", "unsubscribed"),
        ({"1": "1"}, "2", "none"),
        ({"1": "3", "2": "2"}, "", "unsubscribed"),
        ({"1": "3"}, "1,2", "bounced"),
        ({"1": "0"}, "", "unconfirmed"),
    ],
)
def test_consent_is_what_the_counted_lists_come_to(
    ac: ActiveCampaignSandbox, clock: ManualClock, lists: dict[str, str], counted: str, word: str
) -> None:
    ac.put("contacts", {"email": "a@x.io", "lists": lists})
    connector = opened(ac, clock, lists=counted)
    assert raws(pulled(connector, "contacts", None, ["consent"])[0]) == [{"consent": word}]
    connector.close()


@pytest.mark.parametrize("heeds_offset", [True, False])
def test_an_incremental_pull_sees_what_changed_whatever_the_filter_makes_of_zones(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, *, heeds_offset: bool
) -> None:
    ac.heeds_offset = heeds_offset
    first = ac.put("contacts", {"email": "a@x.io", "firstName": "A"})
    clock.advance(3 * 3600)
    ac.put("contacts", {"email": "b@x.io"})
    clock.advance(60)
    _, cursor = pulled(connector, "contacts", None, FIELDS)
    clock.advance(60)
    records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    assert [row["email"] for row in raws(records)] == ["b@x.io"]  # the overlap
    clock.advance(3 * 3600)
    _, cursor = pulled(connector, "contacts", cursor, FIELDS)
    ac.edit("contacts", first, {"firstName": "Ann"})
    records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    assert [row["firstName"] for row in raws(records)] == ["Ann"]
    for _ in range(2):
        clock.advance(3 * 3600)
        records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    before = connector.calls
    assert pulled(connector, "contacts", cursor, FIELDS)[0] == []
    assert connector.calls - before == 1
    asked = [line.query["filters[updated_after]"] for line in ac.log if "filters[updated_after]" in line.query]
    assert {text[-6:] for text in asked} == {"-05:00"}


def test_before_the_zone_is_known_a_filter_reaches_back_far_enough(
    ac: ActiveCampaignSandbox, connector: Connector
) -> None:
    ac.heeds_offset = False  # five hours behind us: 7:00 is taken for noon
    ac.put("contacts", {"email": "a@x.io"})
    records, _ = pulled(connector, "contacts", None, ["email"], since="2026-11-23T09:00:00.000Z")
    assert raws(records) == [{"email": "a@x.io"}]


def test_a_pull_goes_on_from_every_cursor(
    ac: ActiveCampaignSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    for number in range(10):
        ac.put("contacts", {"email": f"p{number}@x.io"})
        ac.deal(f"d{number}", [])
    for object in ("contacts", "deals", "deal_contacts"):
        cursors: list[str | None] = [None]
        whole: list[list[str]] = []
        for page in connector.pull(object, None, ["id"]):
            whole.append([record.id for record in page.records])
            cursors.append(page.cursor)
        assert sorted(chain(*whole), key=int) == [str(number) for number in range(1, 11)]
        for number, cursor in enumerate(cursors[:-1]):
            records, last = pulled(connector, object, cursor, ["id"])
            assert [record.id for record in records] == list(chain(*whole[number:])), object
            assert orjson.loads(last)["since"] == orjson.loads(cursors[-1] or "")["since"]
            assert orjson.loads(last)["census"]["blocks"] == {"0": 10} or object != "contacts"


def test_who_is_edited_during_a_walk_is_seen_by_the_next(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    ids = [ac.put("contacts", {"email": f"p{number}@x.io", "firstName": "old"}) for number in range(5)]
    clock.advance(86_400)
    seen: dict[str, str] = {}
    cursor = ""
    for page in connector.pull("contacts", None, ["firstName"]):
        seen |= {record.id: orjson.loads(record.raw)["firstName"] for record in page.records}
        cursor = page.cursor
        if len(seen) == 2:
            ac.edit("contacts", ids[0], {"firstName": "new"})
            ac.edit("contacts", ids[4], {"firstName": "new"})
    assert seen == dict.fromkeys(ids, "old") | {ids[4]: "new"}
    again = raws(pulled(connector, "contacts", cursor, ["firstName"])[0])
    assert again == [{"firstName": "new"}, {"firstName": "new"}]


def test_a_sweep_finds_who_was_deleted_and_what_moves_no_time(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 4)
    monkeypatch.setattr("connectors.activecampaign.census.BLOCK", 10)
    monkeypatch.setattr(pulling, "BLOCK", 10)
    ac.store.lists_bump = False
    ids = [ac.put("contacts", {"email": f"p{number}@x.io", "lists": {ac.list: "1"}}) for number in range(25)]
    ac.remove("contacts", ids[3])  # before we ever looked
    _, cursor = pulled(connector, "contacts", None, FIELDS)
    clock.advance(3 * 3600)
    _, cursor = pulled(connector, "contacts", cursor, FIELDS)
    for number in (0, 11, 24):
        ac.remove("contacts", ids[number])
    ac.unsubscribe(ids[5])
    ac.put("contacts", {"email": "new@x.io"})
    clock.advance(3 * 3600)
    records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    assert [row["email"] for row in raws(records)] == ["new@x.io"]  # nothing tells of the rest
    clock.advance(86_400)
    records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    gone = {record.id for record in records if record.gone is Gone.DELETED}
    assert gone == {ids[0], ids[3], ids[11], ids[24]}  # the one never known says nothing to the engine
    told = {record.id: orjson.loads(record.raw) for record in records if record.gone is None}
    assert told[ids[5]]["consent"] == "unsubscribed"
    clock.advance(86_400)
    records, _ = pulled(connector, "contacts", cursor, FIELDS)
    assert not [record for record in records if record.gone]
    assert len(records) == 22


def test_a_walk_that_is_cut_short_over_there_takes_nobody_for_deleted(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 4)
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(12)]
    deals = [ac.deal(f"d{number}", []) for number in range(6)]
    _, cursor = pulled(connector, "contacts", None, ["email"])
    _, of_deals = pulled(connector, "deals", None, ["title"])
    clock.advance(2 * 86_400)
    ac.remove("contacts", ids[2])
    short = Answer.of({"contacts": [], "meta": {"total": "0"}})
    ac.inject(FaultKind.ANSWER, "GET /api/3/contacts$", skip=1, answer=short)
    records, cursor = pulled(connector, "contacts", cursor, ["email"])
    assert [record.gone for record in records] == [None] * 4
    ac.inject(FaultKind.ANSWER, "GET /api/3/deals$", answer=Answer.of({"deals": [], "meta": {"total": 6}}))
    records, of_deals = pulled(connector, "deals", of_deals, ["title"])
    assert records == []
    clock.advance(2 * 86_400)
    records, _ = pulled(connector, "contacts", cursor, ["email"])  # the next look tells, beside the last whole one
    assert [record.id for record in records if record.gone] == [ids[2]]
    ac.remove("deals", deals[5])
    records, _ = pulled(connector, "deals", of_deals, ["title"])
    assert [record.id for record in records if record.gone] == [deals[5]]


def test_a_sweep_can_be_resumed_at_any_page(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    monkeypatch.setattr("connectors.activecampaign.census.BLOCK", 5)
    monkeypatch.setattr(pulling, "BLOCK", 5)
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(12)]
    _, cursor = pulled(connector, "contacts", None, ["email"])
    ac.remove("contacts", ids[1])
    ac.remove("contacts", ids[8])
    clock.advance(2 * 86_400)
    pages = list(connector.pull("contacts", cursor, ["email"]))
    whole = [record.id for page in pages for record in page.records]
    assert {record.id for page in pages for record in page.records if record.gone} == {ids[1], ids[8]}
    seen = 0
    for page in pages[:-1]:
        seen += len(page.records)
        rest, _ = pulled(connector, "contacts", page.cursor, ["email"])
        assert [record.id for record in rest] == whole[seen:]


def test_a_pull_from_the_middle_of_time_takes_nobody_for_deleted(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ac.put("contacts", {"email": "old@x.io"})
    clock.advance(5 * 86_400)
    ac.put("contacts", {"email": "new@x.io"})
    records, cursor = pulled(connector, "contacts", None, ["email"], since="2026-11-27T00:00:00.000Z")
    assert raws(records) == [{"email": "new@x.io"}]
    clock.advance(5 * 86_400)
    _, cursor = pulled(connector, "contacts", cursor, ["email"])  # the overlap
    clock.advance(5 * 86_400)
    assert pulled(connector, "contacts", cursor, ["email"])[0] == []


def test_what_does_not_come_along_is_asked_for_alone(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    held = {"lists": {ac.list: "2"}, "tags": ["customer"], "fields": {"JOB_TITLE": "Chief"}}
    ac.put("contacts", {"email": "ana@x.io", **held})
    ac.put("contacts", {"email": "bob@x.io"})
    with_it = raws(pulled(connector, "contacts", None, FIELDS)[0])
    assert connector.check().notes == ()
    ac.includes = False
    assert raws(pulled(connector, "contacts", None, FIELDS)[0]) == with_it
    before = connector.calls
    assert raws(pulled(connector, "contacts", None, ["email"])[0]) == [{"email": "ana@x.io"}, {"email": "bob@x.io"}]
    assert connector.calls - before == 1
    [note] = connector.check().notes
    assert "do not come along" in note


def test_a_contact_with_more_tags_than_a_page_holds_is_no_endless_walk(
    ac: ActiveCampaignSandbox, connector: Connector
) -> None:
    """What stands beside a contact is told whole, with no total, whatever offset is asked for."""
    id = ac.put("contacts", {"email": "ana@x.example", "tags": [f"tag {number}" for number in range(120)]})
    ac.includes = False
    told = connector.read("contacts", "id", [id], ["tagNames"])
    assert len(orjson.loads(told[id].raw)["tagNames"]) == 120


def test_who_has_nothing_beside_costs_no_call_more(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.put("contacts", {"email": "bare@x.io"})
    before = connector.calls
    fields = ["consent", "tags.customer", "fields.JOB_TITLE"]
    assert raws(pulled(connector, "contacts", None, fields)[0]) == [
        {"consent": "none", "tags": {"customer": False}, "fields": {"JOB_TITLE": None}}
    ]
    assert connector.calls - before == 2  # the contacts, and the names of the fields


def test_an_anonymized_contact_is_erased_and_zeros_are_no_date(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.put("contacts", {"email": "a@x.io", "bounced_date": "0000-00-00"})
    ac.put("contacts", {"email": "", "anonymized": "1"})
    ac.put("contacts", {"email": "c@x.io", "deleted": "1"})
    one, erased, deleted = pulled(connector, "contacts", None, ["email", "bounced_date"])[0]
    assert orjson.loads(one.raw) == {"email": "a@x.io", "bounced_date": None}
    assert (erased.gone, deleted.gone) == (Gone.ERASED, Gone.DELETED)
    assert (moment("0000-00-00 00:00:00"), moment(None)) == ("", "")
    assert moment("2020-06-09T21:14:47-05:00") == "2020-06-10T02:14:47.000Z"


def test_contacts_are_read_by_id_and_by_address(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [ac.put("contacts", {"email": f"P+{number}@x.io"}) for number in range(3)]
    found = connector.read("contacts", "id", [*ids[:2], "99", "x"], ["email"])
    assert {id: orjson.loads(record.raw)["email"] for id, record in found.items()} == {
        ids[0]: "P+0@x.io",
        ids[1]: "P+1@x.io",
    }
    assert {v: r.id for v, r in connector.read("contacts", "email", ["p+1@X.io", "no@x.io"], []).items()} == {
        "p+1@X.io": ids[1]
    }
    with pytest.raises(Misconfigured):
        connector.read("contacts", "phone", ["1"], [])


def test_a_filter_that_is_ignored_is_no_endless_walk(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.put("contacts", {"email": "a@x.io"})
    body = {"contacts": [{"id": "1", "email": "a@x.io"}] * 100, "meta": {"total": "500"}}
    ac.inject(FaultKind.ANSWER, "GET /api/3/contacts$", times=9, answer=Answer.of(body))
    with pytest.raises(RetryLater, match="ignores a filter"):
        pulled(connector, "contacts", None, ["email"])
