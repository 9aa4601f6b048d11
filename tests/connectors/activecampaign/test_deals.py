"""Deals of a CRM as deals of ActiveCampaign: what is written, what is refused, and the loop with Salesforce."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector, Operation, Record, Result, Verb
from sync.insight.report import funnel
from sync.workspace import Workspace
from tests.connectors.activecampaign.test_loop import project, refused, run, running, settled, written
from tests.connectors.activecampaign.test_wire import connector
from tests.connectors.copies import push_deals

HOME = "fields.CLOSEDLOOP_HOME"
FIELDS = ["title", "amount", "currencyCode", "stageName", "pipelineName", "isClosed", "isWon", "closedAt", HOME]
NEW = {
    "title": "Big", "amount": "1200.50", "currencyCode": "EUR", "stageName": "In Contact", "pipelineName": "Sales",
    "isClosed": False, "isWon": False, HOME: "crm/deals/1", "person": "contacts/1",
}  # fmt: skip


@pytest.fixture
def ac() -> Iterator[ActiveCampaignSandbox]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    sandbox = ActiveCampaignSandbox(seed=1, clock=clock)
    with sandbox:
        sandbox.put("contacts", {"email": "ana@example.com"})
        yield sandbox


@pytest.fixture
def port(ac: ActiveCampaignSandbox) -> Iterator[Connector]:
    clock = ac.clock
    assert isinstance(clock, ManualClock)
    made = connector(ac, clock, ac.base_url)
    yield made
    made.close()


def push(port: Connector, *operations: Operation) -> list[Result]:
    return list(port.push(operations, FIELDS))


def create(port: Connector, **values: Any) -> Result:
    told = {name: value for name, value in (NEW | values).items() if value is not ...}
    [result] = push(port, Operation("c", Verb.CREATE, "deals", told, match={HOME: told.get(HOME)}))
    return result


def change(port: Connector, id: str, **values: Any) -> Result:
    [result] = push(port, Operation("u", Verb.UPDATE, "deals", values, id=id))
    return result


def code(result: Result) -> str:
    return result.error.code if result.error else ""


def shown(record: Record | None) -> dict[str, Any]:
    assert record is not None
    found: dict[str, Any] = orjson.loads(record.raw)
    return found


def test_a_deal_is_made_as_the_platform_wants_it_and_reads_back_as_it_was_meant(
    ac: ActiveCampaignSandbox, port: Connector
) -> None:
    made = create(port)
    assert (made.created, made.error) == (True, None)
    row = ac.get("deals", made.id)
    assert {name: row[name] for name in ("value", "currency", "status", "stage", "group", "owner", "contact")} == {
        "value": "120050", "currency": "eur", "status": "0", "stage": ac.stages["In Contact"], "group": ac.pipeline,
        "owner": ac.user, "contact": "1",
    }  # fmt: skip
    held = shown(made.record)
    assert held.pop("fields") == {"CLOSEDLOOP_HOME": "crm/deals/1"}
    assert {**held, HOME: "crm/deals/1", "amount": "1200.50", "person": "contacts/1"} == {**NEW, "closedAt": None}
    assert held["amount"] == "1200.5"


def test_what_is_not_told_has_the_platforms_own_usual_value(ac: ActiveCampaignSandbox, port: Connector) -> None:
    bare = dict.fromkeys(("amount", "currencyCode", "stageName", "pipelineName", "isClosed", "isWon"), ...)
    row = ac.get("deals", create(port, **bare).id)
    assert (row["value"], row["currency"], row["stage"], row["group"]) == ("0", "usd", "1", ac.pipeline)


def test_won_and_closed_are_one_status_there(ac: ActiveCampaignSandbox, port: Connector) -> None:
    id = create(port, isClosed=True, isWon=True).id
    told = [ac.get("deals", id)["status"]]
    for values in ({"isWon": False}, {"isClosed": False}, {"isClosed": True}, {"isWon": True}, {"title": "Other"}):
        assert change(port, id, **values).error is None
        told.append(ac.get("deals", id)["status"])
    assert told == ["1", "2", "0", "2", "1", "1"]


def test_a_stage_is_one_of_its_pipeline(ac: ActiveCampaignSandbox, port: Connector) -> None:
    other = ac.put("dealGroups", {"title": "Renewals"})
    first = ac.put("dealStages", {"title": "Due", "group": other, "order": "1"})
    id = create(port).id
    assert code(change(port, id, stageName="Due")) == "unknown_stage"
    assert code(change(port, id, pipelineName="Gone")) == "unknown_pipeline"
    assert change(port, id, pipelineName="renewals").error is None
    assert (ac.get("deals", id)["group"], ac.get("deals", id)["stage"]) == (other, first)
    assert change(port, id, stageName="due").error is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"person": ...}, "person"),
        ({"person": "leads/1"}, "person"),
        ({"title": None}, "field_missing"),
        ({"amount": "-1"}, "field_invalid"),
        ({"amount": "much"}, "field_invalid"),
        ({"currencyCode": "EURO"}, "field_invalid"),
        ({"fields.NOT_THERE": "x"}, "unknown_field"),
        ({"probability": "1"}, "read_only"),
        ({"person": "contacts/99"}, "field_invalid"),
        ({"owner": "99"}, "field_invalid"),
    ],
)
def test_what_it_does_not_take_is_refused_and_nothing_is_made(
    ac: ActiveCampaignSandbox, port: Connector, values: dict[str, Any], why: str
) -> None:
    assert code(create(port, **values)) == why
    assert ac.all("deals") == []


def test_a_lost_answer_is_in_doubt_and_the_deal_is_found_by_the_name_of_its_home(
    ac: ActiveCampaignSandbox, port: Connector
) -> None:
    ac.inject("lost_answer", "^POST .*deals$", times=1)
    assert isinstance(create(port).error, InDoubt)
    found = port.read("deals", HOME, ["crm/deals/1", "crm/deals/2"], FIELDS)
    assert {value: shown(record)["title"] for value, record in found.items()} == {"crm/deals/1": "Big"}
    assert port.read("deals", "fields.NOT_THERE", ["crm/deals/1"], FIELDS) == {}


def test_the_newest_are_looked_at_whichever_end_of_the_list_they_stand_at(
    ac: ActiveCampaignSandbox, port: Connector
) -> None:
    for number in range(230):
        held = {"dealId": 9, "customFieldId": 1, "fieldValue": f"x{number}"}
        ac.put("dealCustomFieldData", held, at="2026-01-01T00:00:00.000Z")
    made = create(port)
    before = port.calls
    assert list(port.read("deals", HOME, ["crm/deals/1"], FIELDS)) == ["crm/deals/1"]
    assert port.calls - before <= 6
    assert made.error is None
    assert port.read("deals", HOME, ["x3"], FIELDS) == {}, "what is older than thirty days is not looked for"


def test_a_deal_that_is_gone_is_told_and_one_can_be_put_away(ac: ActiveCampaignSandbox, port: Connector) -> None:
    id = create(port).id
    away = Operation("a", Verb.ARCHIVE, "deals", {}, id=id)
    assert [result.error for result in push(port, away)] == [None]
    assert [result.error for result in push(port, away)] == [None]
    assert ac.all("deals") == []
    assert code(change(port, id, title="x")) == "gone"


def test_what_would_stop_the_next_one_as_well_stops_them_all(ac: ActiveCampaignSandbox, port: Connector) -> None:
    ac.forbidden = {"deals"}
    made = [Operation(f"c{n}", Verb.CREATE, "deals", {**NEW, HOME: f"crm/deals/{n}"}) for n in range(3)]
    assert {type(result.error).__name__ for result in push(port, *made)} == {"PermissionMissing"}


# the loop


def revenue(workspace: Workspace) -> tuple[int, Any]:
    with workspace.state.read() as tx:
        total = funnel(tx, currency="USD").total
    return total.won_deals, total.revenue


def posts(ac: Any) -> list[str]:
    return [f"{line.method} {line.path}" for line in ac.log if line.method in ("POST", "PUT") and "/deals" in line.path]


def test_an_opportunity_is_shown_follows_and_counts_once(tmp_path: Path) -> None:
    with running("activecampaign", "salesforce") as platforms:
        ac, sales = platforms["activecampaign"], platforms["salesforce"]
        ana = ac.put("contacts", {"email": "ana@x.example"})
        person = sales.put("Contact", {"Email": "ana@x.example", "LastName": "A"})
        later = sales.put("Contact", {"Email": "bob@x.example", "LastName": "B"})
        deal = sales.open_deal("Big", contact=person, amount=100)
        other = sales.open_deal("Small", contact=later, amount=5)
        own = ac.deal("Own", [ana], value="700", currency="usd")
        project(tmp_path, platforms, "")
        push_deals(tmp_path / "mappings" / "activecampaign.yaml")
        with Workspace.open(tmp_path) as workspace:
            run(workspace, "backfill")
            settled(workspace)
            [copy] = [row for row in ac.all("deals") if row["id"] != own]
            assert (copy["title"], copy["value"], copy["status"], copy["contact"]) == ("Big", "10000", "0", ana)
            assert posts(ac) == ["POST /api/3/deals"]

            sales.win(deal, amount=150)
            settled(workspace)
            copy = ac.get("deals", copy["id"])
            assert (copy["value"], copy["status"], copy["stage"]) == ("15000", "1", ac.stages["Follow Up"])
            assert posts(ac)[1:] == [f"PUT /api/3/deals/{copy['id']}"]
            assert written(run(workspace)) == 0
            assert revenue(workspace) == (1, 150)

            bob = ac.put("contacts", {"email": "bob@x.example"})
            settled(workspace)
            assert [row["contact"] for row in ac.all("deals") if row["title"] == "Small"] == [bob]
            sales.remove("Opportunity", other)
            settled(workspace)
            assert len(ac.all("deals")) == 3
            assert written(run(workspace)) == 0
            assert revenue(workspace) == (1, 150)


def test_a_lost_answer_makes_no_second_deal(tmp_path: Path) -> None:
    with running("activecampaign", "salesforce") as platforms:
        ac, sales = platforms["activecampaign"], platforms["salesforce"]
        ac.put("contacts", {"email": "ana@x.example"})
        person = sales.put("Contact", {"Email": "ana@x.example", "LastName": "A"})
        sales.win(sales.open_deal("Big", contact=person, amount=100))
        project(tmp_path, platforms, "")
        push_deals(tmp_path / "mappings" / "activecampaign.yaml")
        with Workspace.open(tmp_path) as workspace:
            ac.inject("lost_answer", "^POST .*deals$", times=1)
            run(workspace, "backfill")
            for _ in range(2):
                assert refused(run(workspace)) == 0
            assert len(ac.all("deals")) == 1
            assert revenue(workspace) == (1, 100)
