"""The loop with Outreach as the side of sales: hand-off into a sequence, opt-outs both ways, outcome back, silence."""

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
from sync.runs import Options, Report, Runner
from sync.state.schema import leads
from sync.workspace import Workspace

TAIL = """
qualification: {qualified_when: "lead.title == 'Chief'"}
handoff: {to: outreach, object: prospects, brief: true}
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in ("hubspot", "outreach")}


def project(folder: Path, platforms: dict[str, Any], sequence: str) -> None:
    """The ready mappings, and one line more: whoever qualified enters the sequence."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=TAIL)
    file = folder / "mappings" / "outreach.yaml"
    text = file.read_text()
    line = "      # - {remote: sequences.7, field: qualified, direction: push}"
    assert line in text
    file.write_text(text.replace(line, line.replace("# - ", "- ").replace("sequences.7", f"sequences.{sequence}")))


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times."""
    assert any(written(run(workspace)) == 0 for _ in range(4))


def consent(workspace: Workspace, email: str) -> str | None:
    with workspace.state.read() as tx:
        bodies = [orjson.loads(body) for body in tx.execute(select(leads.c.body)).scalars()]
    [lead] = [lead for lead in bodies if lead.get("email") == email]
    told: str | None = lead.get("email_consent")
    return told


def test_a_lead_is_handed_off_into_a_sequence_and_its_outcome_comes_back(
    tmp_path: Path, platforms: dict[str, Any]
) -> None:
    hubspot, outreach = platforms["hubspot"], platforms["outreach"]
    sequence = outreach.put("sequences", {"name": "Inbound"})
    rita = hubspot.add_owner("rita.ortega@example.com", "Rita", "Ortega")
    ana = hubspot.put("contacts", {"email": "ana@x.example", "firstname": "Ana", "jobtitle": "Chief"})
    hubspot.put("contacts", {"email": "bob@x.example", "firstname": "Bob", "jobtitle": "Clerk"})
    cara = hubspot.put("contacts", {"email": "cara@x.example", "firstname": "Cara", "hubspot_owner_id": rita})
    hubspot.put("contacts", {"email": "dan@x.example", "firstname": "Dan"})
    known = outreach.put("prospects", {"emails": ["Cara@x.example"], "title": "Buyer", "owner": outreach.user})
    dan = outreach.put("prospects", {"email": "dan@x.example"})
    project(tmp_path, platforms, sequence)
    with Workspace.open(tmp_path) as workspace:
        report = run(workspace, "backfill")
        assert report.counts["handoffs"] == 1
        settled(workspace)

        by_email = {row["email"]: row for row in outreach.all("prospects")}
        assert set(by_email) == {"ana@x.example", "cara@x.example", "dan@x.example"}  # bob is nobody's lead yet
        made = by_email["ana@x.example"]
        assert (made["firstName"], made["title"]) == ("Ana", "Chief")
        assert [(row["prospect"], row["sequence"]) for row in outreach.all("sequence_states")] == [
            (made["id"], sequence)
        ]
        [task] = outreach.all("tasks")
        assert (task["prospect"], task["owner"]) == (made["id"], outreach.user)
        assert "Ana" in task["note"]
        assert by_email["cara@x.example"]["firstName"] == "Cara"
        assert hubspot.get("contacts", cara)["jobtitle"] == "Buyer"

        hubspot.unsubscribe("dan@x.example")
        mail = outreach.mail(known, "Hello")
        outreach.happen(mail, "unsubscribed")
        deal = outreach.deal("Platform", [made["id"]], amount=1200, amountPrecise="1200.50")
        outreach.close(deal, won=True, day="2026-11-20")
        settled(workspace)

        assert outreach.get("prospects", dan)["emailOptedOut"] is True
        # HubSpot's ready mapping only reads this consent; the lead itself has it
        assert consent(workspace, "cara@x.example") == "unsubscribed"
        assert hubspot.get("contacts", ana)["lifecyclestage"] == "customer"
        assert written(run(workspace)) == 0


def test_a_project_of_the_ready_mapping_passes_the_live_check(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms, platforms["outreach"].put("sequences", {"name": "Inbound"}))
    with Workspace.open(tmp_path) as workspace:
        found = check_online(workspace)
    assert found.errors == {}
    assert [str(problem) for problem in found.problems] == []
    assert found.accounts["outreach"].missing_scopes == ()
