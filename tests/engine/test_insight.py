"""What the state tells: the funnel's figures, one lead explained, the status; and the replay of what was refused."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import orjson
import pytest
from sqlalchemy import insert, select, update

from connectors.api import Gone
from mappings.model import Kind
from sync.insight.explain import explain, find
from sync.insight.report import _shared, funnel
from sync.insight.status import status
from sync.replay import replay
from sync.state.schema import leads, records
from sync.streams import stream_for
from tests.engine.conftest import Loop
from tests.engine.memory import rejected


@pytest.fixture
def worked(loop: Loop) -> Loop:
    """Three leads by two sources: one won for 100 EUR, one lost for its price, one untouched."""
    people = {}
    for name, source in (("ana", "organic"), ("bob", "organic"), ("eva", "=paid")):
        people[name] = loop.alpha.put("contacts", {"email": f"{name}@x.io", "title": "Chief", "source": source})
        if name != "eva":
            loop.alpha.put(
                "events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": people[name], "title": "Ask"}
            )
    loop.settled()
    prospects = {row.values["email"]: id for id, row in loop.beta.rows["prospects"].items()}
    for name, won in (("ana", True), ("bob", False)):
        values = {
            "name": name,
            "amount": "100",
            "stage": "Closed",
            "closed": True,
            "won": won,
            "close_date": "2026-03-02",
        }
        id = loop.beta.put("deals", {**values, "lost_reason": None if won else "price"})
        tie = {"from_object": "deals", "from_id": id, "to_object": "prospects", "to_ids": [prospects[f"{name}@x.io"]]}
        loop.beta.put("deal_contacts", tie)
    loop.settled()
    return loop


def test_the_funnel_adds_up(worked: Loop) -> None:
    with worked.workspace.state.read() as tx:
        found = funnel(tx, "source", "EUR")
    rows = {row["name"]: row for row in found.plain()["rows"]}
    organic = rows["organic"]
    assert (organic["leads"], organic["qualified"], organic["handed_off"], organic["customers"]) == (2, 2, 2, 1)
    assert (organic["conversion"], organic["win_rate"], organic["revenue"]) == (0.5, 0.5, "100")
    assert organic["lost_reasons"] == {"price": 1}
    assert found.total.leads == 3
    cells = [row["name"] for row in csv.DictReader(io.StringIO(found.csv()))]
    assert cells == ["organic", "'=paid", "total"]  # no spreadsheet runs a source's name


def test_one_lead_is_explained_by_any_of_its_names(worked: Loop) -> None:
    record = next(iter(worked.alpha.rows["contacts"]))
    with worked.workspace.state.read() as tx:
        lead = find(tx, "ANA@x.io")
        assert lead is not None
        assert find(tx, lead) == find(tx, record) == lead
        assert find(tx, "nobody@x.io") is None
        told = explain(tx, worked.workspace, lead)
    fields = {field["field"]: field for field in told["fields"]}
    assert fields["title"]["source"] == f"alpha/contacts/{record}"
    assert fields["lifecycle_stage"]["value"] == "customer"
    assert fields["customer_since"]["rule"] == "outcome"
    assert told["handoffs"][0]["brief_state"] == "written"
    assert told["deals"][0]["values"]["is_won"] is True
    assert {write["state"] for write in told["writes"]} == {"settled"}
    assert orjson.dumps(told, default=str)


def test_the_status_counts_what_is_there(worked: Loop) -> None:
    with worked.workspace.state.read() as tx:
        found = status(tx)
    assert found["leads"] == {"live": 3, "qualified": 2, "handed_off": 2, "to_merge": 0, "to_write": 0}
    objects = {o["object"]: o for c in found["connections"] if c["connection"] == "alpha" for o in c["objects"]}
    assert objects["contacts"]["records"] == 3
    assert objects["contacts"]["complete"]
    assert found["runs"][0]["state"] == "done"
    assert found["quarantine"] == []


def test_a_refused_write_is_tried_again_when_released(worked: Loop) -> None:
    ana = next(iter(worked.alpha.rows["contacts"]))
    worked.beta.refuse = lambda op: rejected("first")
    worked.clock.advance(5)
    worked.alpha.edit("contacts", ana, {"first": "Ana"})
    worked.sync()
    with worked.workspace.state.read() as tx:
        assert status(tx)["quarantine"] == [{"connection": "beta", "code": "invalid", "number": 1}]
    worked.beta.refuse = lambda op: None
    assert worked.sync().counts["write"] == {}
    assert replay(worked.workspace, [1]) == {"read": 0, "planned": 1}
    worked.settled()
    assert {row["first"] for row in worked.beta.all("prospects") if row["email"] == "ana@x.io"} == {"Ana"}
    with worked.workspace.state.read() as tx:
        assert status(tx)["quarantine"] == []


def test_a_refused_record_is_read_anew_when_released(loop: Loop) -> None:
    bad = loop.alpha.put("contacts", {"email": "ana@x.io", "phone": "call me"})
    loop.sync(push=False)
    loop.alpha.rows["contacts"][bad].values["phone"] = "+4930123456"
    assert replay(loop.workspace, [1]) == {"read": 1, "planned": 0}
    with loop.workspace.state.read() as tx:
        assert status(tx)["quarantine"] == []


def test_a_refused_record_that_was_merged_away_meanwhile_lives_on_as_the_one_that_answers(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"}, "old")
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "old", {"phone": "call me"})
    loop.sync(push=False)
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"}, "new")
    loop.alpha.remove("contacts", "old", Gone.MERGED, into="new")
    assert replay(loop.workspace, [1]) == {"read": 1, "planned": 0}
    with loop.workspace.state.read() as tx:
        assert status(tx)["quarantine"] == []
        assert tx.execute(select(records.c.into).where(records.c.id == "old")).scalar() == "contacts/new"


def test_a_campaigns_cost_is_shared_by_the_leads_it_brought(worked: Loop) -> None:
    heads = {"organic": 1, "paid": 2}
    assert _shared(Decimal("100.00"), heads) == {"organic": Decimal("33.33"), "paid": Decimal("66.67")}
    assert _shared(Decimal("100.00"), {}) == {}
    spring, nobody = ("spring", "7"), ("nobody came", "8")
    _campaigns(worked, "alpha", {spring: "90.00", nobody: "10.00"})
    _campaigns(worked, "beta", {("spring", "0x7"): "60.00"})  # the same campaign, as the other side knows it
    campaign_of = {"ana@x.io": "spring", "bob@x.io": "7", "eva@x.io": "spring"}  # by name or by id
    with worked.workspace.state.begin() as tx:
        for row in tx.execute(select(leads.c.id, leads.c.body)).all():
            body = orjson.loads(row.body)
            body["original_campaign"] = campaign_of[body["email"]]
            tx.execute(update(leads).where(leads.c.id == row.id).values(body=orjson.dumps(body).decode()))
        found = funnel(tx, "source", "EUR")
    costs = {row.name: (row.cost, row.acquisition_cost) for row in found.rows}
    assert costs == {"organic": (Decimal("60.00"), Decimal("60.00")), "=paid": (Decimal("30.00"), None)}
    assert found.total.cost == Decimal("100.00")


def test_a_days_figures_give_visits_and_cost(worked: Loop) -> None:
    at = worked.workspace.now()
    day = {"day": "2026-03-01", "campaign": "spring", "sessions": 10, "cost": {"amount": "5.50", "currency": "EUR"}}
    with worked.workspace.state.begin() as tx:
        stream = stream_for(tx, "alpha", "figures", Kind.FIGURE)
        for number, values in enumerate((day, {**day, "day": "2026-03-02"}, {**day, "campaign": "other"})):
            body = orjson.dumps(values).decode()
            row = {"stream": stream.id, "id": str(number), "raw_hash": 1, "hash": 1, "body": body, "first_at": at}
            tx.execute(insert(records), [row])
        for lead in tx.execute(select(leads.c.id, leads.c.body)).all():
            body = orjson.dumps({**orjson.loads(lead.body), "original_campaign": "spring"}).decode()
            tx.execute(update(leads).where(leads.c.id == lead.id).values(body=body))
        found = funnel(tx, "campaign", "EUR")
        by_month, by_source = funnel(tx, "month", "EUR"), funnel(tx, "source", "EUR")
    rows = {row.name: (row.leads, row.visits, row.cost) for row in found.rows}
    assert rows == {"spring": (3, 20, Decimal("11.00")), "other": (0, 10, Decimal("5.50"))}
    assert (found.total.visits, found.total.cost, found.idle) == (30, Decimal("16.50"), Decimal(0))
    assert by_month.total.visits == sum(row.visits or 0 for row in by_month.rows) == 30
    assert {row.name: row.visits for row in by_source.rows if row.visits} == {"unknown": 30}
    assert by_source.idle == Decimal("5.50")
    assert by_source.plain()["cost_of_campaigns_without_leads"] == "5.50"


def test_a_channel_is_one_row_whatever_each_platform_calls_it(worked: Loop) -> None:
    at = worked.workspace.now()
    called = {"ana@x.io": "PAID_SOCIAL", "bob@x.io": "paid social", "eva@x.io": "SOCIAL_MEDIA"}
    told = ("Paid Social", "Organic Social", "Organic Social", "Display")
    with worked.workspace.state.begin() as tx:
        for lead in tx.execute(select(leads.c.id, leads.c.body)).all():
            body = orjson.loads(lead.body)
            body["original_source"] = called[body["email"]]
            tx.execute(update(leads).where(leads.c.id == lead.id).values(body=orjson.dumps(body).decode()))
        stream = stream_for(tx, "alpha", "figures", Kind.FIGURE)
        for number, channel in enumerate(told):
            body = orjson.dumps({"day": "2026-03-01", "channel": channel, "source": "bob", "sessions": 1}).decode()
            row = {"stream": stream.id, "id": str(number), "raw_hash": 1, "hash": 1, "body": body, "first_at": at}
            tx.execute(insert(records), [row])
        plain = funnel(tx, "source", "EUR")
        agreed = funnel(tx, "source", "EUR", {"Social": ["social_media", "organic social"], "Paid": ["Paid-Social"]})
    assert {row.name: (row.leads, row.visits) for row in plain.rows} == {
        "PAID_SOCIAL": (2, 1),
        "SOCIAL_MEDIA": (1, None),
        "Organic Social": (0, 2),
        "Display": (0, 1),
    }
    assert {row.name: (row.leads, row.visits) for row in agreed.rows} == {
        "Paid": (2, 1),
        "Social": (1, 2),
        "Display": (0, 1),
    }
    for found in (plain, agreed):
        assert (found.total.leads, found.total.visits) == (3, 4)
        assert sum(row.visits or 0 for row in found.rows) == 4


def _campaigns(loop: Loop, connection: str, costs: dict[tuple[str, str], str]) -> None:
    at = loop.workspace.now()
    with loop.workspace.state.begin() as tx:
        stream = stream_for(tx, connection, "campaigns", Kind.CAMPAIGN)
        for (name, id), amount in costs.items():
            body = orjson.dumps({"name": name, "cost": {"amount": amount, "currency": "EUR"}}).decode()
            row = {"stream": stream.id, "id": id, "raw_hash": 1, "hash": 1, "body": body, "first_at": at}
            tx.execute(insert(records), [row])
