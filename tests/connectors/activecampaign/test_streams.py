"""What else the ActiveCampaign connector reads: deals, users, accounts, campaigns, activities."""

from __future__ import annotations

import orjson
import pytest

from config.clock import ManualClock, stamp
from connectors.activecampaign import client as wire
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector
from tests.connectors.activecampaign.kit import opened, raws
from tests.connectors.surroundings import pulled

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
