"""The loop with Calendly as a source: a booked meeting makes the story, moves and cancellations are told, silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from config.clock import stamp
from connectors import registry
from sync import forget, scaffold
from sync.checkup import check_online
from sync.insight.explain import explain
from sync.runs import Options, Report, Runner
from sync.state.schema import activities, leads
from sync.workspace import Workspace

TAIL = """
qualification: {qualified_when: "activity.meeting > 0"}
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        names = ("calendly", "hubspot", "salesforce")
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in names}


def project(folder: Path, platforms: dict[str, Any]) -> None:
    """The ready mappings, and the question for the company; qualified leads go to Salesforce with their story."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=TAIL)
    file = folder / "mappings" / "calendly.yaml"
    text, line = file.read_text(), "      # - {remote: answers.company_name, field: company}"
    assert line in text
    file.write_text(text.replace(line, line.replace("# - ", "- ")))


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times."""
    assert any(written(run(workspace)) == 0 for _ in range(4))


def lead(workspace: Workspace, email: str) -> Any:
    with workspace.state.read() as tx:
        rows = {
            orjson.loads(row.body).get("email"): row for row in tx.execute(select(leads).where(leads.c.state == "live"))
        }
    return rows[email]


def meetings(workspace: Workspace) -> list[tuple[str, str, str]]:
    """(address, type, start) of every activity."""
    with workspace.state.read() as tx:
        rows = tx.execute(select(activities).order_by(activities.c.email, activities.c.at)).all()
    return [(row.email, row.type, row.at) for row in rows]


def ahead(days: int) -> str:
    return stamp((datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0))


def test_a_booked_meeting_qualifies_and_is_moved_cancelled_and_forgotten(
    tmp_path: Path, platforms: dict[str, Any]
) -> None:
    calendly, hubspot, salesforce = (platforms[name] for name in ("calendly", "hubspot", "salesforce"))
    ana = hubspot.put("contacts", {"email": "ana@x.example", "firstname": "Ana", "jobtitle": "Chief"})
    hubspot.put("contacts", {"email": "bob@x.example", "firstname": "Bob"})
    answers = [
        {"question": "Company name?", "answer": "Acme", "position": 0},
        {"question": "Your number", "answer": "+34 600 123 456", "position": 1},
    ]
    link = {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "spring"}
    start = {days: ahead(days) for days in (3, 4, 5, 6)}
    booked = calendly.book("Ana@X.example", start[3], questions_and_answers=answers, tracking=link)
    calendly.book("cara@y.example", start[4], name="Cara Diaz")
    calendly.cancel(calendly.book("dan@z.example", start[4], name="Dan Eck"))
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        report = run(workspace, "backfill")
        assert report.counts["handoffs"] == 2
        settled(workspace)

        sold = {row["Email"]: row for row in salesforce.all("leads")}
        assert set(sold) == {"ana@x.example", "cara@y.example"}  # bob did not book, dan cancelled
        assert (sold["ana@x.example"]["Company"], sold["ana@x.example"]["Title"]) == ("Acme", "Chief")
        assert (sold["cara@y.example"]["FirstName"], sold["cara@y.example"]["LastName"]) == ("Cara", "Diaz")
        [story] = [row["Description"] for row in salesforce.all("tasks") if row["WhoId"] == sold["ana@x.example"]["Id"]]
        assert f"- {start[3][:16].replace('T', ' ')} meeting: Demo" in story
        assert "spring" in story
        assert hubspot.get("contacts", ana)["phone"] == "+34600123456"
        body = orjson.loads(lead(workspace, "ana@x.example").body)
        assert (body["utm_source"], body["utm_campaign"]) == ("newsletter", "spring")
        assert body["last_activity_at"] == start[3]
        assert meetings(workspace) == [
            ("ana@x.example", "meeting", start[3]),
            ("cara@y.example", "meeting", start[4]),
            ("dan@z.example", "note", start[4]),
        ]

        moved = calendly.move(booked, start[6])
        calendly.book("dan@z.example", start[5], name="Dan Eck")
        assert run(workspace).counts["handoffs"] == 1  # dan's new meeting
        settled(workspace)
        assert ("ana@x.example", "meeting", start[6]) in meetings(workspace)
        assert len(meetings(workspace)) == 4  # ana's is still one
        body = orjson.loads(lead(workspace, "ana@x.example").body)
        assert (body["last_activity_at"], body["utm_source"]) == (start[6], "newsletter")

        calendly.cancel(moved, by="host", reason="ill")
        run(workspace)
        settled(workspace)
        with workspace.state.read() as tx:
            told = explain(tx, workspace, lead(workspace, "ana@x.example").id)
        assert [(a["type"], a["at"], a["title"]) for a in told["activities"] if a["connection"] == "calendly"] == [
            ("note", start[6], "cancelled: Demo")
        ]
        assert len(meetings(workspace)) == 4
        assert written(run(workspace)) == 0

        made = forget.erasure(workspace, "ana@x.example")
        assert {(op.connection, op.object) for op in made.operations} >= {("calendly", "invitees")}
        forget.forget(workspace, made, Runner(workspace))
        assert "ana@x.example" in {email for email, _ in calendly.store.erasures}
        run(workspace)  # Calendly still lists her: it takes days
        assert [email for email, *_ in meetings(workspace)] == ["cara@y.example", "dan@z.example", "dan@z.example"]


def test_a_project_of_the_ready_mapping_passes_the_live_check(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        found = check_online(workspace)
    assert found.errors == {}
    assert [str(problem) for problem in found.problems] == []
    assert found.accounts["calendly"].missing_scopes == ()
