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
from sync import scaffold
from sync.checkup import check_online
from sync.drift import vanished
from sync.runs import Options, Report, Runner
from sync.state.schema import leads
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
