"""The loop with Zoho as the CRM: hand-off with a brief, conversion, a won deal, its outcome in HubSpot, silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from connectors import registry
from connectors.zoho import bulk_write
from connectors.zoho.client import Client
from sync import scaffold
from sync.checkup import check_online
from sync.drift import vanished
from sync.runs import Options, Report, Runner
from sync.state.schema import activities, leads
from sync.workspace import Workspace

QUALIFICATION = """
qualification: {qualified_when: "lead.title == 'Chief'"}
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in ("hubspot", "zoho")}


def project(folder: Path, platforms: dict[str, Any]) -> None:
    """The ready mappings, and the hand-off that a new project with this CRM gets of itself."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=QUALIFICATION)
    assert "to: zoho" in (folder / "closedloop.yaml").read_text()


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times."""
    assert any(written(run(workspace)) == 0 for _ in range(4))


def lead_of(workspace: Workspace, email: str) -> dict[str, Any]:
    with workspace.state.read() as tx:
        bodies = [orjson.loads(body) for body in tx.execute(select(leads.c.body)).scalars()]
    [found] = [body for body in bodies if body.get("email") == email]
    return dict(found)


def test_a_lead_is_handed_off_converted_won_and_its_outcome_comes_back(
    tmp_path: Path, platforms: dict[str, Any]
) -> None:
    hubspot, zoho = platforms["hubspot"], platforms["zoho"]
    rita = hubspot.add_owner("rita.ortega@example.com", "Rita", "Ortega")
    chief = {"email": "ana@x.example", "firstname": "Ana", "lastname": "Ruiz", "company": "Acme", "jobtitle": "Chief"}
    ana = hubspot.put("contacts", chief)
    hubspot.put("contacts", {"email": "bob@x.example", "firstname": "Bob", "jobtitle": "Clerk"})
    cara = hubspot.put("contacts", {"email": "cara@x.example", "firstname": "Cara", "hubspot_owner_id": rita})
    known = zoho.put("contacts", {"Last_Name": "Diaz", "Email": "Cara@x.example", "Title": "Buyer", "Owner": zoho.user})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        assert run(workspace, "backfill").counts["handoffs"] == 1
        settled(workspace)

        [made] = zoho.all("leads")  # bob is nobody's lead yet, cara a contact
        assert (made["Email"], made["Last_Name"], made["Company"], made["Designation"]) == (
            "ana@x.example",
            "Ruiz",
            "Acme",
            "Chief",
        )
        [task] = zoho.all("tasks")
        assert (task["What_Id"], task["$se_module"], task["Owner"]) == (made["id"], "Leads", zoho.user)
        assert "Ana" in task["Description"]
        assert zoho.get("contacts", known)["First_Name"] == "Cara"
        assert hubspot.get("contacts", cara)["jobtitle"] == "Buyer"

        _, contact, deal = zoho.convert(made["id"], deal="Platform")
        zoho.edit("deals", deal, {"Amount": 1200.5})
        settled(workspace)
        assert lead_of(workspace, "ana@x.example").get("open_deals") == 1
        assert zoho.get("contacts", contact)["Closedloop_Id"] == made["Closedloop_Id"]
        zoho.close(deal, won=True, day="2026-11-20")
        zoho.edit("contacts", known, {"Email_Opt_Out": True})
        settled(workspace)

        lead = lead_of(workspace, "ana@x.example")
        assert (lead["is_customer"], lead["customer_since"]) == (True, "2026-11-20")
        assert lead["won_amount"]["amount"] == "1200.5"
        assert hubspot.get("contacts", ana)["lifecyclestage"] == "customer"
        assert lead_of(workspace, "cara@x.example")["email_consent"] == "unsubscribed"
        assert zoho.all("leads") == []  # nobody made the converted lead again, nor its contact
        assert {row["id"] for row in zoho.all("contacts")} == {known, contact}
        assert written(run(workspace)) == 0


def test_an_opt_out_of_marketing_reaches_the_crm_and_stays(tmp_path: Path, platforms: dict[str, Any]) -> None:
    hubspot, zoho = platforms["hubspot"], platforms["zoho"]
    hubspot.put("contacts", {"email": "dan@x.example", "firstname": "Dan"})
    dan = zoho.put("leads", {"Last_Name": "D", "Company": "C", "Email": "dan@x.example"})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        hubspot.unsubscribe("dan@x.example")
        settled(workspace)
        assert zoho.get("leads", dan)["Email_Opt_Out"] is True
        assert written(run(workspace)) == 0


def test_no_field_of_the_ready_mapping_is_taken_for_vanished(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        for object, _ in workspace.objects("zoho"):
            schema = workspace.connector("zoho").describe(object)
            assert vanished(workspace.mapped("zoho")[object], schema) == [], object


def test_a_project_of_the_ready_mapping_passes_the_live_check(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        found = check_online(workspace)
    assert found.errors == {}
    assert [str(problem) for problem in found.problems] == []
    assert found.accounts["zoho"].missing_scopes == ()


def chiefs(hubspot: Any, number: int) -> list[str]:
    made = [
        {
            "email": f"p{n}@x.example",
            "firstname": f"=N{n}",
            "lastname": 'R, "z"',
            "company": "Acme",
            "jobtitle": "Chief",
        }
        for n in range(number)
    ]
    return [hubspot.put("contacts", values) for values in made]


def test_a_backfill_of_many_goes_out_by_bulk_write_and_is_quiet_after(
    tmp_path: Path, platforms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_write, "FROM", 15)
    hubspot, zoho = platforms["hubspot"], platforms["zoho"]
    chiefs(hubspot, 40)
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        assert run(workspace, "backfill").counts["handoffs"] == 40
        [job] = zoho.writes.made.values()
        states = [line[-3] for line in job["lines"]]
        assert len(states) == 30  # all but the first ten, which are tried out by themselves
        assert set(states) == {"ADDED"}
        rows = zoho.all("leads")
        assert {row["Email"] for row in rows} == {f"p{n}@x.example" for n in range(40)}
        assert {(row["First_Name"][:2], row["Last_Name"]) for row in rows} == {("=N", 'R, "z"')}
        assert len(zoho.all("tasks")) == 40
        settled(workspace)
        assert written(run(workspace)) == 0
    assert len(zoho.all("leads")) == 40


def test_a_run_that_dies_in_a_bulk_write_sends_nobody_twice(
    tmp_path: Path, platforms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_write, "FROM", 15)
    hubspot, zoho = platforms["hubspot"], platforms["zoho"]
    chiefs(hubspot, 40)
    project(tmp_path, platforms)

    class Crash(BaseException):
        """The process ends."""

    def crash(*given: Any) -> Any:
        raise Crash

    with Workspace.open(tmp_path) as workspace, monkeypatch.context() as patch:
        patch.setattr(Client, "job", crash)  # the job is made, and nobody looks at it
        with pytest.raises(Crash):
            run(workspace, "backfill")
    assert len(zoho.writes.made) == 1
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        assert written(run(workspace)) == 0
    assert len(zoho.writes.made) == 1
    assert len(zoho.all("leads")) == 40
    assert len(zoho.all("tasks")) == 40


def test_who_answered_a_campaign_is_told_in_the_lead_s_story(tmp_path: Path, platforms: dict[str, Any]) -> None:
    hubspot, zoho = platforms["hubspot"], platforms["zoho"]
    hubspot.put("contacts", {"email": "ana@x.example", "firstname": "Ana"})
    ana = zoho.put("leads", {"Last_Name": "R", "Company": "C", "Email": "ana@x.example"})
    other = zoho.put("leads", {"Last_Name": "O", "Company": "C", "Email": "bob@x.example"})
    fair = zoho.put("campaigns", {"Campaign_Name": "Fair", "Start_Date": "2026-11-02"})
    zoho.member(fair, f"leads/{ana}", "Responded")
    zoho.member(fair, f"leads/{other}", "Invited")
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        settled(workspace)
        with workspace.state.read() as tx:
            told = tx.execute(select(activities).where(activities.c.type == "campaign_response")).all()
        assert [(row.person, row.at[:10]) for row in told] == [(f"leads/{ana}", "2026-11-02")]
        assert written(run(workspace)) == 0
