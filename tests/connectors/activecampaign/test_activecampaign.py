"""The ActiveCampaign connector over its sandbox, over real sockets: reading, limits, webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, RetryLater
from config.secrets import Secret
from connectors.activecampaign import client as wire
from connectors.activecampaign import pull as pulling
from connectors.activecampaign.objects import moment
from connectors.activecampaign.sandbox import HOOK_TOKEN, HOOK_URL, ActiveCampaignSandbox
from connectors.api import Connector, Gone, Request
from connectors.sandbox import Answer, FaultKind
from tests.connectors.surroundings import connect, pulled

FIELDS = ["email", "firstName", "consent", "tags.customer", "lists.1", "joined.2", "fields.JOB_TITLE"]
SECRETS = ("api_key", "webhook_token")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def ac(clock: ManualClock) -> Iterator[ActiveCampaignSandbox]:
    with ActiveCampaignSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, ActiveCampaignSandbox)
        yield sandbox


@pytest.fixture
def connector(ac: ActiveCampaignSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(ac, clock)
    yield made
    made.close()


def opened(ac: ActiveCampaignSandbox, clock: ManualClock, **settings: Any) -> Connector:
    auth = {name: Secret(value) if name in SECRETS else value for name, value in ac.account()["auth"].items()}
    return connect(ac, clock, auth=auth, **settings)


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


# contacts


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


# deals


def test_deals_tell_stage_outcome_and_when_they_were_closed(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    field = ac.put("dealCustomFieldMeta", {"fieldLabel": "Reason", "personalization": "DEAL_REASON"})
    won, lost, open_ = (ac.deal(title, [], value="12345", currency="eur") for title in ("won", "lost", "open"))
    ac.put("dealCustomFieldData", {"dealId": int(lost), "customFieldId": int(field), "fieldValue": "price"})
    ac.close(won, won=True)
    ac.close(lost, won=False)
    closed = stamp(clock.now())
    clock.advance(86_400)
    ac.edit("deals", won, {"description": "edited long after", "percent": "30"})
    ac.edit("deals", open_, {"percent": "25"})
    fields = [
        "title", "amount", "currencyCode", "stageName", "pipelineName", "isClosed", "isWon", "closedAt", "probability",
        "fields.DEAL_REASON", "mdate",
    ]  # fmt: skip
    told = {row["title"]: row for row in raws(pulled(connector, "deals", None, fields)[0])}
    assert told["won"] | {"mdate": ""} == {
        "title": "won",
        "amount": "123.45",
        "currencyCode": "EUR",
        "stageName": "To Contact",
        "pipelineName": "Sales",
        "isClosed": True,
        "isWon": True,
        "closedAt": closed,
        "probability": "0.3",
        "fields": {"DEAL_REASON": None},
        "mdate": "",
    }
    assert (told["lost"]["isClosed"], told["lost"]["isWon"], told["lost"]["fields"]) == (
        True, False, {"DEAL_REASON": "price"},
    )  # fmt: skip
    assert (told["open"]["closedAt"], told["open"]["isClosed"], told["open"]["probability"]) == (None, False, "0.25")
    ac.store.rows["dealActivities"].clear()
    assert raws(list(connector.read("deals", "id", [lost], ["closedAt"]).values())) == [{"closedAt": closed}]


def test_a_deal_that_may_not_be_seen_tells_its_title_only(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    deal = ac.deal("secret", [ac.put("contacts", {"email": "a@x.io"})])
    ac.hidden.add(deal)
    [record] = pulled(connector, "deals", None, ["title", "isWon", "amount", "closedAt"])[0]
    assert orjson.loads(record.raw) == {"title": "secret"}
    assert pulled(connector, "deal_contacts", None, [])[0] == []


def test_deals_that_move_or_vanish_while_pages_are_read_cost_none(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    deals = []
    for number in range(9):
        deals.append(ac.deal(f"d{number}", []))
        clock.advance(1)
    seen: list[str] = []
    for page in connector.pull("deals", None, ["title"]):
        seen += [record.id for record in page.records]
        if len(seen) == 3:
            ac.remove("deals", deals[0])
            ac.remove("deals", deals[2])
    assert set(deals) <= set(seen)


def test_a_sweep_finds_deleted_deals(ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock) -> None:
    deals = [ac.deal(f"d{number}", []) for number in range(4)]
    clock.advance(3 * 3600)
    _, cursor = pulled(connector, "deals", None, ["title"])
    ac.remove("deals", deals[1])
    clock.advance(3600)
    records, cursor = pulled(connector, "deals", cursor, ["title"])
    assert records == []
    clock.advance(86_400)
    records, cursor = pulled(connector, "deals", cursor, ["title"])
    assert [record.id for record in records if record.gone] == [deals[1]]
    clock.advance(86_400)
    assert not [record for record in pulled(connector, "deals", cursor, ["title"])[0] if record.gone]


def test_people_of_a_deal_are_its_contact_and_those_added(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(3)]
    deal, bare = ac.deal("d", [ids[1], ids[0], ids[2]]), ac.deal("bare", [])
    ties = {record.id: orjson.loads(record.raw) for record in pulled(connector, "deal_contacts", None, [])[0]}
    assert ties[deal] == {
        "from_object": "deals",
        "from_id": deal,
        "to_object": "contacts",
        "to_ids": [ids[1], ids[0], ids[2]],
        "role": None,
        "primary": True,
    }
    assert ties[bare]["to_ids"] == []
    assert connector.read("deal_contacts", "id", [deal, "99"], []).keys() == {deal}


# what is read as a whole


def test_users_accounts_and_campaigns(ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock) -> None:
    assert raws(pulled(connector, "users", None, ["email", "name", "active"])[0]) == [
        {"email": "rita.ortega@example.com", "name": "Rita Ortega", "active": True}
    ]
    ac.put("accounts", {"name": "A"})
    _, cursor = pulled(connector, "accounts", None, ["name"])
    before = connector.calls
    assert pulled(connector, "accounts", cursor, ["name"])[0] == []
    assert connector.calls == before  # not before accounts_every
    clock.advance(3600)
    assert len(pulled(connector, "accounts", cursor, ["name"])[0]) == 1
    old = {"name": "old", "status": "5", "hardbounces": "1", "softbounces": "2", "sdate": "2026-01-01T00:00:00-05:00"}
    ac.put("campaigns", old)
    rows, cursor = pulled(connector, "campaigns", None, ["name", "bounces", "statusName"])
    assert raws(rows) == [{"name": "old", "bounces": 3, "statusName": "sent"}]


def test_only_campaigns_whose_figures_still_move_are_read_again(
    ac: ActiveCampaignSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    for month in range(1, 10):
        ac.put("campaigns", {"name": f"m{month}", "sdate": f"2026-{month + 2:02d}-01T00:00:00-05:00"})
    rows, cursor = pulled(connector, "campaigns", None, ["name"])
    assert len(rows) == 9
    rows, _ = pulled(connector, "campaigns", cursor, ["name"])
    assert [row["name"] for row in raws(rows)] == ["m9", "m8", "m7", "m6", "m5", "m4"][: len(rows)]
    assert 3 <= len(rows) <= 6


# activities


def test_activities_are_told_once_each(ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock) -> None:
    person = ac.put("contacts", {"email": "a@x.io"})
    ac.put("contacts", {"email": "idle@x.io"})
    form, campaign = ac.put("forms", {"name": "Demo"}), ac.put("campaigns", {"name": "May"})
    ac.sign_up(person, ac.list, form)
    ac.mail(person, campaign)
    ac.click(person, campaign)
    ac.click(person, campaign, "open")
    records, cursor = pulled(connector, "activities", None, [])
    assert {(row["type"], row["contact"], row.get("title")) for row in raws(records)} == {
        ("form", person, "Demo"),
        ("email_sent", person, "May"),
        ("email_click", person, "May"),
        ("email_open", person, "May"),
    }
    bare = opened(ac, clock, activity_turn=0)
    assert pulled(bare, "activities", cursor, [])[0] == []
    assert bare.calls == 1  # nobody changed
    bare.close()
    clock.advance(60)
    ac.click(person, campaign)
    ac.bounce(person, campaign)
    ac.unsubscribe(person, campaign=campaign)
    again, cursor = pulled(connector, "activities", cursor, [])
    assert len({record.id for record in (*records, *again)}) == 4 + 3
    left = next(row for row in raws(again) if row["type"] == "email_unsubscribe")
    assert (left["campaign"], left["title"]) == (campaign, "Newsletter")
    assert sorted(row["type"] for row in raws(again) if row["type"] == "email_bounce") == ["email_bounce"]
    clock.advance(40 * 86_400)
    bare = opened(ac, clock, activity_turn=0)
    assert pulled(bare, "activities", None, [])[0] == []  # nobody changed in the last thirty days
    bare.close()


def test_others_are_asked_about_in_turn(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    """A mail that moves nobody's time of change is told all the same, after some pulls."""
    people = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(5)]
    clock.advance(60 * 86_400)
    connector = opened(ac, clock, activity_turn=2)
    _, cursor = pulled(connector, "activities", None, [])
    campaign = ac.put("campaigns", {"name": "May"})
    for person in people:
        ac.mail(person, campaign)
    asked = []
    for _ in range(4):
        records, cursor = pulled(connector, "activities", cursor, [])
        asked.append([row["contact"] for row in raws(records)])
    assert asked == [people[2:4], people[4:], people[:2], people[2:4]]
    connector.close()


def test_site_tracking_is_read_on_demand(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    person = ac.put("contacts", {"email": "a@x.io"})
    for value in ("https://example.com/price", "demo"):
        ac.put("trackingLogs", {"contact": person, "subscriberid": person, "type": "visit", "value": value})
    connector = opened(ac, clock, site_tracking=True)
    told = [(row["type"], row["url"], row["title"]) for row in raws(pulled(connector, "activities", None, [])[0])]
    assert told == [("page", "https://example.com/price", "visit"), ("event", None, "visit")]
    connector.close()


def test_activities_go_on_from_every_cursor(
    ac: ActiveCampaignSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.activecampaign.activities.SIZE", 2)
    campaign = ac.put("campaigns", {"name": "May"})
    for number in range(5):
        ac.mail(ac.put("contacts", {"email": f"p{number}@x.io"}), campaign)
    pages = list(connector.pull("activities", None, []))
    whole = [record.id for page in pages for record in page.records]
    assert len(set(whole)) == 5
    for number, page in enumerate(pages[:-1]):
        seen = sum(len(earlier.records) for earlier in pages[: number + 1])
        assert [record.id for record in pulled(connector, "activities", page.cursor, [])[0]] == whole[seen:]


# keys, limits, errors


def test_a_bad_key_a_missing_right_and_a_passing_refusal_are_told_apart(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ac.put("contacts", {"email": "a@x.io"})
    ac.refusals = 3
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 1
    ac.forbidden.add("deals")
    with pytest.raises(PermissionMissing):
        pulled(connector, "deals", None, ["title"])
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 1
    auth = {**ac.account()["auth"], "api_key": Secret("wrong")}
    stranger = connect(ac, clock, auth=auth)
    with pytest.raises(AuthorizationLost, match="refuses the key"):
        stranger.check()
    stranger.close()


def test_five_calls_a_second_are_waited_for(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 1)
    for number in range(12):
        ac.put("contacts", {"email": f"p{number}@x.io"})
    ac.per_second = 5
    began = clock.now()
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 12
    assert 2 <= (clock.now() - began).total_seconds() <= 4
    assert connector.check().quotas[0].limit == 5


def test_broken_answers_are_asked_again(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.put("contacts", {"email": "a@x.io"})
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        ac.inject(kind, "GET /api/3/contacts")
    ac.inject(FaultKind.ANSWER, "GET /api/3/contacts", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 1


def test_an_answer_of_another_shape_is_named(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    for body in (b"[]", b'{"contacts":{}}'):
        ac.inject(FaultKind.ANSWER, "GET /api/3/contacts", answer=Answer(200, body))
        with pytest.raises(RetryLater):
            pulled(connector, "contacts", None, ["email"])


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.api-us1.com",
        "https://acme.example",
        "https://x@acme.api-us1.com",
        "https://acme.api-us1.com:8443",
        "",
    ],
)
def test_the_key_goes_to_the_account_s_own_host_only(ac: ActiveCampaignSandbox, clock: ManualClock, url: str) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.url"):
        connect(ac, clock, auth={"api_key": Secret("x"), "url": url})
    with pytest.raises(Misconfigured, match=r"auth\.api_key"):
        connect(ac, clock, auth={"url": "https://acme.api-us1.com"})


def test_a_redirect_says_that_the_address_is_wrong(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.inject(FaultKind.ANSWER, "users/me", answer=Answer(301, b"", {"location": "https://elsewhere.example"}))
    with pytest.raises(Misconfigured, match="not that of the API"):
        connector.check()


def test_check_tells_the_account_and_lists_that_are_not_there(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    connector = opened(ac, clock, lists="1,77")
    health = connector.check()
    assert (health.account_id, health.account_name) == ("sandbox.api-us1.com", "sandbox")
    assert health.notes == ("settings.lists names 77, which is not there or which the user may not see",)
    connector.close()


def test_describe_tells_live_fields(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    schema = connector.describe("contacts")
    assert schema.open_ended == ("tags.", "lists.", "joined.")
    assert (schema.fields["email"].unique, schema.fields["udate"].writable) == (True, False)
    assert schema.fields["fields.INTERESTS"].type == "choices"
    assert schema.fields["fields.INTERESTS"].options == ("red", "blue")
    assert schema.fields["fields.JOB_TITLE"].label == "Job title"
    ac.put("dealCustomFieldMeta", {"fieldLabel": "Reason", "personalization": "DEAL_REASON"})
    assert connector.describe("deals").fields["fields.DEAL_REASON"].label == "Reason"
    with pytest.raises(Misconfigured):
        connector.describe("nothing")


# webhooks


def test_webhooks_are_believed_by_the_token_of_their_address_only(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ac.hook("update", "subscribe", "unsubscribe", "contact_tag_added", "deal_update")
    person = ac.put("contacts", {"email": "a@x.io"})
    deal = ac.deal("d", [person])
    ac.edit("contacts", person, {"firstName": "A", "lists": {ac.list: "1"}, "tags": ["t"]})
    ac.edit("deals", deal, {"title": "D"})
    got: list[list[tuple[str, str]]] = []

    def receive(url: str, body: bytes) -> int:
        got.append([(n.object, n.id) for n in connector.verify(Request("POST", url, {}, body))])
        return 500  # it comes once, whatever the answer

    assert ac.deliver(receive) == 4
    assert got == [[("contacts", person)]] * 3 + [[("deals", deal), ("deal_contacts", deal)]]
    assert ac.deliver(receive) == 0
    body = b"type=update&contact[id]=7&contact[email]=a%40x.io"
    for url in (HOOK_URL, f"https://x.example/hook?token={HOOK_TOKEN}"):
        assert [notice.id for notice in connector.verify(Request("POST", url, {}, body))] == ["7"]
    for url in ("https://x.example/hook", f"{HOOK_URL}x", f"https://{HOOK_TOKEN}/", "https://x.example/hook?token=ä"):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", url, {}, body))
    bare = connect(ac, clock, auth={"url": "https://acme.api-us1.com", "api_key": Secret("k")})
    with pytest.raises(AuthorizationLost, match="webhook_token"):
        bare.verify(Request("POST", HOOK_URL, {}, body))
    bare.close()
    assert connector.verify(Request("POST", HOOK_URL, {}, b"type=list_add&contact[id]=x&deal[id]=0\xff")) == []
    ac.edit("contacts", person, {"firstName": "B"})
    assert ac.deliver(lambda url, body: 410) == 1
    assert ac.all("webhooks") == []  # the hook is gone for good


# the sandbox itself


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> ActiveCampaignSandbox:
        sandbox = ActiveCampaignSandbox(seed=4, clock=clock)
        sandbox.deal("d", [sandbox.put("contacts", {"email": "a@x.io", "tags": ["t"], "lists": {"1": "1"}})])
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.put("contacts", {"email": "b@x.io"})
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
