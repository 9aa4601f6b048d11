"""Deals of a CRM as deals of HubSpot: what is written, what is refused, and the loop with Salesforce."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt, RecordRejected
from connectors.api import Connector, Operation, Result, Verb
from connectors.hubspot.sandbox import HubSpotSandbox
from sync import scaffold
from sync.checkup import check
from sync.insight.report import funnel
from sync.workspace import Workspace
from tests.connectors.activecampaign.test_loop import refused, run, running, settled, written
from tests.connectors.copies import push_deals
from tests.connectors.surroundings import connect

HOME = "closedloop_home"
FIELDS = [
    "dealname",
    "amount",
    "deal_currency_code",
    "stage_label",
    "pipeline_label",
    "stage_closed",
    "stage_won",
    HOME,
]
NEW = {"dealname": "Big", "amount": "1200.5", "deal_currency_code": "EUR", "stage_label": "Contract sent"}


@pytest.fixture
def portal() -> Iterator[HubSpotSandbox]:
    sandbox = HubSpotSandbox(seed=1, clock=ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC)))
    with sandbox:
        sandbox.put("contacts", {"email": "ana@example.com"})
        yield sandbox


@pytest.fixture
def hubspot(portal: HubSpotSandbox) -> Iterator[Connector]:
    clock = portal.clock
    assert isinstance(clock, ManualClock)
    connector = connect(portal, clock)
    yield connector
    connector.close()


def wish(portal: HubSpotSandbox, number: int = 1, **values: Any) -> Operation:
    [contact] = portal.store.rows["contacts"]
    told = {**NEW, HOME: f"crm/deals/{number}", "person": f"contacts/{contact}"} | values
    told = {name: value for name, value in told.items() if value is not ...}
    return Operation(f"c{number}", Verb.CREATE, "deals", told, match={HOME: told.get(HOME)})


def push(hubspot: Connector, *operations: Operation) -> list[Result]:
    results = {result.key: result for result in hubspot.push(operations, FIELDS)}
    return [results[operation.key] for operation in operations]


def change(hubspot: Connector, id: str, **values: Any) -> Result:
    [result] = push(hubspot, Operation("u", Verb.UPDATE, "deals", values, id=id))
    return result


def code(result: Result) -> str:
    return result.error.code if result.error else ""


def test_a_deal_is_made_with_its_person_and_tells_what_its_stage_means(
    portal: HubSpotSandbox, hubspot: Connector
) -> None:
    [made] = push(hubspot, wish(portal))
    assert (made.error, made.created, made.record is not None) == (None, True, True)
    held = portal.get("deals", made.id)
    assert (held["dealstage"], held["pipeline"], held["amount"]) == ("contractsent", "default", "1200.5")
    assert "person" not in held
    [contact] = portal.store.rows["contacts"]
    assert portal.store.ties[f"deals/{made.id}"] == {"contacts": [contact]}
    assert made.record is not None
    told = orjson.loads(made.record.raw)
    assert (told["stage_label"], told["stage_closed"], told["stage_won"]) == ("Contract sent", False, False)

    won = change(hubspot, made.id, stage_label="closed won")
    assert won.record is not None
    assert orjson.loads(won.record.raw)["stage_won"] is True
    assert change(hubspot, made.id, amount="1").error is None
    assert portal.get("deals", made.id)["dealstage"] == "closedwon"


def test_where_nothing_is_told_the_first_stage_is_meant(portal: HubSpotSandbox, hubspot: Connector) -> None:
    [made] = push(hubspot, wish(portal, stage_label=...))
    assert portal.get("deals", made.id)["dealstage"] == "appointmentscheduled"


def test_a_stage_is_one_of_the_deals_own_pipeline(portal: HubSpotSandbox, hubspot: Connector) -> None:
    portal.stages["renewals/sent"] = ("Renewals", "Contract sent", "false", "0.5")
    [one, other] = push(hubspot, wish(portal), wish(portal, 2, pipeline_label="renewals"))
    assert portal.get("deals", other.id)["dealstage"] == "sent"
    assert change(hubspot, other.id, stage_label="Contract sent").error is None
    assert code(change(hubspot, other.id, stage_label="Closed won")) == "unknown_stage"
    assert code(change(hubspot, one.id, pipeline_label="None such")) == "unknown_pipeline"
    assert (portal.get("deals", one.id)["pipeline"], portal.get("deals", other.id)["pipeline"]) == (
        "default", "renewals",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"person": ...}, "person"),
        ({"person": "companies/1"}, "person"),
        ({"dealname": None}, "field_missing"),
        ({"stage_won": True}, "read_only"),
        ({"deal_currency_code": "USD"}, "invalid_option"),
        ({"dealstage": "gone"}, "invalid_option"),
        ({"person": "contacts/99"}, "invalid_object_ids"),
        ({"not_there": "x"}, "property_doesnt_exist"),
    ],
)
def test_what_it_does_not_take_is_refused_and_the_others_go_on(
    portal: HubSpotSandbox, hubspot: Connector, values: dict[str, Any], why: str
) -> None:
    results = push(hubspot, wish(portal, 1, **values), wish(portal, 2))
    assert [code(result) for result in results] == [why, ""]
    assert [deal[HOME] for deal in portal.all("deals")] == ["crm/deals/2"]


def test_none_is_made_twice(portal: HubSpotSandbox, hubspot: Connector) -> None:
    push(hubspot, wish(portal))
    [again] = push(hubspot, wish(portal))
    assert code(again) == "conflicting_unique_value"
    assert len(portal.all("deals")) == 1


def test_a_lost_answer_is_in_doubt_and_the_deal_is_found_by_the_name_of_its_home(
    portal: HubSpotSandbox, hubspot: Connector
) -> None:
    portal.inject("lost_answer", "^POST .*deals/batch/create$", times=1)
    results = push(hubspot, wish(portal), wish(portal, 2))
    assert [type(result.error) for result in results] == [InDoubt, InDoubt]
    found = hubspot.read("deals", HOME, ["crm/deals/1", "crm/deals/3"], FIELDS)
    assert {value: orjson.loads(record.raw)["dealname"] for value, record in found.items()} == {"crm/deals/1": "Big"}


def test_a_deal_that_is_gone_is_told_and_one_can_be_put_away(portal: HubSpotSandbox, hubspot: Connector) -> None:
    [made] = push(hubspot, wish(portal))
    away = Operation("a", Verb.ARCHIVE, "deals", {}, id=made.id)
    assert [result.error for result in push(hubspot, away)] == [None]
    assert portal.all("deals") == []
    assert isinstance(change(hubspot, "99", amount="1").error, RecordRejected)


# the loop


def project(folder: Path, platforms: dict[str, Any]) -> None:
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen)
    platforms["hubspot"].currencies = {"EUR", "USD"}
    push_deals(folder / "mappings" / "hubspot.yaml")


def revenue(workspace: Workspace) -> tuple[int, Any]:
    with workspace.state.read() as tx:
        total = funnel(tx, currency="USD").total
    return total.won_deals, total.revenue


def posts(hubspot: Any) -> list[str]:
    return [line.path.rpartition("/")[2] for line in hubspot.log if "/deals/batch/" in line.path and line.body]


def test_an_opportunity_is_shown_follows_and_counts_once(tmp_path: Path) -> None:
    with running("hubspot", "salesforce") as platforms:
        hubspot, sales = platforms["hubspot"], platforms["salesforce"]
        ana = hubspot.put("contacts", {"email": "ana@x.example"})
        person = sales.put("Contact", {"Email": "ana@x.example", "LastName": "A"})
        deal = sales.open_deal("Big", contact=person, amount=100)
        project(tmp_path, platforms)
        with Workspace.open(tmp_path) as workspace:
            run(workspace, "backfill")
            settled(workspace)
            [(id, copy)] = [(row["id"], row["properties"]) for row in hubspot.store.rows["deals"].values()]
            assert (copy["dealname"], copy["amount"], copy["dealstage"]) == ("Big", "100", "appointmentscheduled")
            assert hubspot.store.ties[f"deals/{id}"] == {"contacts": [ana]}

            sales.win(deal, amount=150)
            settled(workspace)
            copy = hubspot.get("deals", id)
            assert (copy["amount"], copy["dealstage"]) == ("150", "closedwon")
            made = [verb for verb in posts(hubspot) if verb in ("create", "update")]
            assert made == ["create", "update"]
            assert written(run(workspace)) == 0
            assert revenue(workspace) == (1, 150)

            sales.remove("Opportunity", deal)
            settled(workspace)
            assert len(hubspot.all("deals")) == 1
            assert revenue(workspace) == (0, 0)


def test_a_lost_answer_makes_no_second_deal(tmp_path: Path) -> None:
    with running("hubspot", "salesforce") as platforms:
        hubspot, sales = platforms["hubspot"], platforms["salesforce"]
        hubspot.put("contacts", {"email": "ana@x.example"})
        person = sales.put("Contact", {"Email": "ana@x.example", "LastName": "A"})
        sales.win(sales.open_deal("Big", contact=person, amount=100))
        project(tmp_path, platforms)
        with Workspace.open(tmp_path) as workspace:
            hubspot.inject("lost_answer", "^POST .*deals/batch/create$", times=1)
            run(workspace, "backfill")
            for _ in range(2):
                assert refused(run(workspace)) == 0
            assert len(hubspot.all("deals")) == 1
            assert revenue(workspace) == (1, 100)


def test_deals_pushed_to_a_platform_that_takes_none_are_told_by_check(tmp_path: Path) -> None:
    scaffold.write(tmp_path, scaffold.names(["salesforce"]))
    file = tmp_path / "mappings" / "salesforce.yaml"
    text = file.read_text()
    own = "      - {remote: Home__c, field: home, direction: push}\n"
    file.write_text(
        text.replace("    kind: deal\n    fields:\n", f"    kind: deal\n    match: [home]\n    fields:\n{own}")
    )
    assert any("Deals are not written to Salesforce" in str(problem) for problem in check(tmp_path).problems)
