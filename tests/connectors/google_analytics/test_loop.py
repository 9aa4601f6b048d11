"""The loop with Google Analytics: figures come in, and each outcome of a lead goes out once, then silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from config.clock import ManualClock, stamp
from connectors import registry
from connectors.google_analytics.sandbox_reports import CLIENT, Row
from connectors.sandbox import FaultKind
from sync import forget as forgetting
from sync import scaffold
from sync.checkup import check_online
from sync.replay import replay
from sync.runs import Options, Report, Runner
from sync.state.schema import conversions, journal, leads, quarantine, records, streams
from sync.workspace import Workspace

TAIL = """
qualification: {qualified_when: "lead.title == 'Chief'"}
"""
ENTRY = "      - {remote: jobtitle,"
REASON = "# - {remote: Loss_Reason__c, field: lost_reason}"
ANA, BOB = "1111111111.1700000000", "2222222222.1700000001"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 15, tzinfo=UTC))


@pytest.fixture
def platforms(clock: ManualClock) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        names = ("hubspot", "salesforce", "google_analytics")
        made = {name: stack.enter_context(registry.platform(name).sandbox(seed=3, clock=clock)) for name in names}
        made["hubspot"].add_property("contacts", "ga_client_id")
        yield made


def project(folder: Path, platforms: dict[str, Any], **settings: Any) -> None:
    """The ready mappings, and the field in which the site's forms leave the client id."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=TAIL)
    file = folder / "closedloop.yaml"
    here = f"      measurement_id: {platforms['google_analytics'].account()['settings']['measurement_id']}"
    more = "".join(f"\n      {name}: {value}" for name, value in settings.items())
    assert here in file.read_text()
    file.write_text(file.read_text().replace(here, f"      measurement_id: G-SANDBOX001{more}\n      # "))
    file = folder / "mappings" / "hubspot.yaml"
    text = file.read_text()
    assert ENTRY in text
    file.write_text(text.replace(ENTRY, f"      - {{remote: ga_client_id, field: google_client_id}}\n{ENTRY}", 1))
    file = folder / "mappings" / "salesforce.yaml"
    assert REASON in file.read_text()
    file.write_text(file.read_text().replace(REASON, REASON.replace("# ", "")))


def run(workspace: Workspace, command: str = "sync", *, errors: bool = False) -> Report:
    workspace.clock.sleep(60)  # the tests' clock: it only moves
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert errors or not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most five times."""
    assert any(written(run(workspace)) == 0 for _ in range(5))


def states(workspace: Workspace) -> Counter[tuple[str, str]]:
    with workspace.state.read() as tx:
        return Counter((row.event, row.state) for row in tx.execute(select(conversions)))


def figures(workspace: Workspace) -> list[Row]:
    query = select(records.c.body).join(streams, streams.c.id == records.c.stream)
    with workspace.state.read() as tx:
        bodies = tx.execute(query.where(streams.c.object == "figures", records.c.gone.is_(None))).scalars()
        return sorted((orjson.loads(body) for body in bodies), key=lambda row: (row["day"], str(row.get("campaign"))))


def people(platforms: dict[str, Any]) -> None:
    hubspot = platforms["hubspot"]
    hubspot.put("contacts", {"email": "ana@x.example", "firstname": "Ana", "jobtitle": "Chief", "ga_client_id": ANA})
    hubspot.put("contacts", {"email": "bob@x.example", "firstname": "Bob", "jobtitle": "Chief", "ga_client_id": BOB})
    hubspot.put("contacts", {"email": "cara@x.example", "firstname": "Cara", "jobtitle": "Chief"})  # never on the site
    hubspot.put("contacts", {"email": "dan@x.example", "jobtitle": "Clerk", "ga_client_id": "3333333333.1700000002"})


def sell(platforms: dict[str, Any]) -> None:
    """Ana's deal is won, Bob's is lost, Cara's is won."""
    salesforce = platforms["salesforce"]
    by_email = {row["Email"]: row["Id"] for row in salesforce.all("leads")}
    today = platforms["salesforce"].clock.now().date().isoformat()
    for name in ("ana", "bob", "cara"):
        made = salesforce.convert(by_email[f"{name}@x.example"], amount=1200.5, deal=f"Deal {name}")
        if name == "bob":
            salesforce.lose(made["opportunities"], reason="Price", close_date=today)
        else:
            salesforce.win(made["opportunities"], close_date=today)


def told(platforms: dict[str, Any]) -> Counter[tuple[str, str]]:
    return Counter((event["name"], event["client_id"]) for event in platforms["google_analytics"].all())


EXPECTED = Counter(
    {
        ("qualify_lead", ANA): 1,
        ("working_lead", ANA): 1,
        ("close_convert_lead", ANA): 1,
        ("qualify_lead", BOB): 1,
        ("working_lead", BOB): 1,
        ("close_unconvert_lead", BOB): 1,
    }
)


@pytest.mark.parametrize("send_by", ["measurement_protocol", "data_manager"])
def test_each_outcome_is_told_once_and_then_nothing(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock, send_by: str
) -> None:
    site = platforms["google_analytics"]
    people(platforms)
    project(tmp_path, platforms, send_by=send_by)
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        assert {name for name, _ in told(platforms)} == {"qualify_lead", "working_lead"}
        sell(platforms)
        settled(workspace)
        assert told(platforms) == EXPECTED
        [won] = [event for event in site.all() if event["name"] == "close_convert_lead"]
        assert (won["params"]["value"], won["params"]["currency"]) == (1200.5, "USD")
        [lost] = [event for event in site.all() if event["name"] == "close_unconvert_lead"]
        assert (lost["client_id"], lost["params"].get("unconvert_lead_reason")) == (BOB, "Price")
        assert written(run(workspace)) == 0
        run(workspace, "backfill")
        assert told(platforms) == EXPECTED
        assert {state for _, state in states(workspace)} == {"sent"}
    assert (site.dropped, site.leaks) == ([], [])


def test_a_lost_answer_goes_to_a_person_and_is_not_counted_twice(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock
) -> None:
    site = platforms["google_analytics"]
    people(platforms)
    project(tmp_path, platforms)
    site.inject(FaultKind.LOST_ANSWER, "POST /mp/collect")
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace, "backfill", errors=True)
        for _ in range(3):
            run(workspace, errors=True)
        assert told(platforms) == {
            (name, client): 1 for name in ("qualify_lead", "working_lead") for client in (ANA, BOB)
        }
        assert Counter(state for _, state in states(workspace).elements()) == {"sent": 3, "unsure": 1}
        with workspace.state.read() as tx:
            codes = tx.execute(select(quarantine.c.code).where(quarantine.c.state == "open")).scalars().all()
        assert codes == ["in_doubt"]


def test_a_name_in_a_reason_is_held_back_until_the_mapping_is_mended(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock
) -> None:
    site = platforms["google_analytics"]
    people(platforms)
    project(tmp_path, platforms)
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        lead = next(row["Id"] for row in platforms["salesforce"].all("leads") if row["Email"] == "bob@x.example")
        made = platforms["salesforce"].convert(lead, amount=10.0, deal="Deal")
        today = platforms["salesforce"].clock.now().date().isoformat()
        platforms["salesforce"].lose(made["opportunities"], reason="ask bob@x.example", close_date=today)
        for _ in range(3):
            run(workspace, errors=True)
        assert states(workspace)["lost", "refused"] == 1
        with workspace.state.read() as tx:
            [entry] = tx.execute(select(quarantine).where(quarantine.c.connection == "google_analytics")).all()
        assert (entry.code, "bob@" in entry.reason) == ("personal_data", False)
        file = tmp_path / "mappings" / "google_analytics.yaml"
        file.write_text("\n".join(line for line in file.read_text().splitlines() if "event_reason" not in line))
    with Workspace.open(tmp_path, clock=clock) as workspace:
        replay(workspace, [entry.id])
        settled(workspace)
        assert states(workspace)["lost", "sent"] == 1
    assert site.leaks == []


def test_whoever_is_forgotten_is_erased_there_too(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock
) -> None:
    site = platforms["google_analytics"]
    people(platforms)
    project(tmp_path, platforms)
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        site.inject(FaultKind.NO_ANSWER, "submitUserDeletion", times=99)
        forgetting.forget(workspace, forgetting.erasure(workspace, "ana@x.example"), Runner(workspace))
        assert (site.erased, states(workspace)["qualified", "sent"]) == (
            [],
            2,
        )  # asked for in vain: nothing is forgotten
        site.faults.clear()
        with workspace.state.begin() as tx:  # a process that died while it asked
            mine = (journal.c.verb == "erase") & (journal.c.object == "lead_events")
            tx.execute(update(journal).where(mine).values(state="sent"))
        run(workspace)
        assert site.erased == []
        forgetting.forget(workspace, forgetting.erasure(workspace, "ana@x.example"), Runner(workspace))
        assert site.erased == [ANA]
        assert {event["client_id"] for event in site.all()} == {BOB}
        assert states(workspace)["qualified", "sent"] == 1


def test_figures_come_in_and_are_replaced_day_by_day(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock
) -> None:
    site = platforms["google_analytics"]
    day = site.visit("Spring", ago=1, sessions=3, totalRevenue="10.50", keyEvents=1, advertiserAdCost="2.25")
    site.visit(ago=1, sessions=5)
    project(tmp_path, platforms, refresh_every=0)
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace, "backfill")
        cost, direct, spring = sorted(
            figures(workspace), key=lambda row: (row.get("channel") or "", row.get("sessions") or 0)
        )
        assert (spring["campaign"], spring["day"], spring["sessions"]) == ("Spring", day, 3)
        assert spring["revenue"] == {"amount": "10.5", "currency": "USD"}
        assert (direct["campaign"], direct["sessions"], direct["incomplete"]) == (None, 5, False)
        assert (cost["campaign"], cost["cost"]) == ("Spring", {"amount": "2.25", "currency": "USD"})
        assert written(run(workspace)) == 0
        site.restate(day, "Spring", "Autumn")
        run(workspace)
        assert {row["campaign"] for row in figures(workspace)} == {None, "Autumn"}
        # another mapping makes other rows: the old ones do not stay beside them
        file = tmp_path / "mappings" / "google_analytics.yaml"
        file.write_text("\n".join(line for line in file.read_text().splitlines() if "landingPage" not in line))
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace)
        assert Counter(row["campaign"] for row in figures(workspace)) == {"Autumn": 2, None: 1}


def test_a_spent_quota_stores_what_came(tmp_path: Path, platforms: dict[str, Any], clock: ManualClock) -> None:
    site = platforms["google_analytics"]
    site.created = stamp(clock.now() - timedelta(days=9))
    for ago in range(9):
        site.visit("Spring", ago=ago)
    site.quotas.price, site.quotas.limits["tokensPerProjectPerHour"] = 10, 110
    project(tmp_path, platforms)
    with Workspace.open(tmp_path, clock=clock) as workspace:
        report = run(workspace, "backfill", errors=True)
        assert [error.code for error in report.errors] == ["quota"]
        assert len(figures(workspace)) >= 4


def test_a_lead_gets_the_sources_of_its_own_sessions_and_nobody_else_becomes_one(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock
) -> None:
    site, hubspot = platforms["google_analytics"], platforms["hubspot"]
    people(platforms)
    site.visit("Spring", ago=2, landingPage="/start", **{CLIENT: ANA})
    site.visit("Autumn", ago=1, **{CLIENT: ANA, "firstUserCampaignName": "Spring"})
    site.visit("Spring", ago=1, **{CLIENT: "9999999999.1700000000"})  # filled in no form
    project(tmp_path, platforms)
    file = tmp_path / "mappings" / "hubspot.yaml"
    more = "      - {remote: hs_analytics_last_touch_converting_campaign, field: latest_campaign, direction: both}\n"
    hubspot.add_property("contacts", "hs_analytics_last_touch_converting_campaign")
    file.write_text(file.read_text().replace(ENTRY, more + ENTRY, 1))
    with Workspace.open(tmp_path, clock=clock) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        with workspace.state.read() as tx:
            bodies = [orjson.loads(one) for one in tx.execute(select(leads.c.body)).scalars()]
        assert len(bodies) == 4
        [ana] = [body for body in bodies if body.get("google_client_id") == ANA]
        told = {name: ana[name] for name in ("landing_page", "original_campaign", "latest_campaign", "latest_source")}
        assert told == {
            "landing_page": "/start",
            "original_campaign": "Spring",
            "latest_campaign": "Autumn",
            "latest_source": "Paid Search",
        }
        [held] = [row for row in hubspot.all("contacts") if row["email"] == "ana@x.example"]
        assert held["hs_analytics_last_touch_converting_campaign"] == "Autumn"
        made = forgetting.erasure(workspace, "ana@x.example")
        forgetting.forget(workspace, made, Runner(workspace))
        assert set(site.erased) == {ANA}
        assert ANA not in workspace.known("google_client_id")
    assert site.leaks == []


def test_a_project_of_the_ready_mapping_passes_the_live_check(
    tmp_path: Path, platforms: dict[str, Any], clock: ManualClock
) -> None:
    project(tmp_path, platforms)
    with Workspace.open(tmp_path, clock=clock) as workspace:
        found = check_online(workspace)
    assert found.errors == {}
    assert [str(problem) for problem in found.problems] == []
    assert found.accounts["google_analytics"].notes == ()
