"""The loop with a tap as a source: its people become leads of the other side, its activities qualify, then silence."""

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
from sync.checkup import check, check_online
from sync.runs import Options, Report, Runner
from sync.state.schema import activities, deal_people, leads, quarantine, streams
from sync.workspace import Workspace

TAIL = """
qualification: {qualified_when: "activity.form > 0"}
handoff: {to: hubspot, object: contacts, brief: false}
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in ("hubspot", "singer")}


def project(folder: Path, platforms: dict[str, Any]) -> None:
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=TAIL)


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times."""
    assert any(written(run(workspace)) == 0 for _ in range(4))


def lead(workspace: Workspace, email: str) -> dict[str, Any]:
    with workspace.state.read() as tx:
        bodies = map(orjson.loads, tx.execute(select(leads.c.body).where(leads.c.state == "live")).scalars())
        return next(body for body in bodies if body.get("email") == email)


def test_a_taps_people_and_activities_come_round(tmp_path: Path, platforms: dict[str, Any]) -> None:
    source, hubspot = platforms["singer"], platforms["hubspot"]
    known = hubspot.put("contacts", {"email": "ana@x.example", "firstname": "Ana"})
    ana = source.put("contacts", {"email": "Ana@X.example", "last_name": "Diaz", "address": {"city": "Oslo"}})
    source.put("contacts", {"email": "bob@x.example", "first_name": "Bob", "title": "Chief"})
    source.put("contacts", {"email": "cara@x.example", "first_name": "Cara"})
    source.put("contacts", {"email": "dan@x.example", "first_name": 7})
    source.put("activities", {"type": "form", "at": "2026-11-01T10:00:00Z", "email": "bob@x.example", "title": "Demo"})
    source.put("owners", {"email": "rep@us.example", "name": "Rep"})
    deal = source.put("deals", {"name": "Big", "stage": "won", "amount": 12.5, "is_closed": True, "is_won": True})
    source.put("deal_contacts", {"deal_id": deal, "person_id": ana})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        report = run(workspace, "backfill")
        assert report.counts["pull"]["singer"]["contacts"]["quarantined"] == 1
        with workspace.state.read() as tx:
            [bad] = tx.execute(select(quarantine).where(quarantine.c.connection == "singer")).all()
            told = tx.execute(select(activities.c.email, activities.c.type)).all()
            [tie] = tx.execute(select(deal_people.c.deal, deal_people.c.person_object, deal_people.c.person)).all()
        assert tuple(tie) == (deal, "contacts", ana)
        assert (bad.object, bad.field, bad.code) == ("contacts", "first_name", "type")
        assert bad.reason == "first_name is no string"
        assert "settings.catalog" in bad.fix
        assert "7" not in bad.reason + bad.fix
        assert ("bob@x.example", "form") in [tuple(row) for row in told]
        settled(workspace)

        held = {row["email"]: row for row in hubspot.all("contacts")}
        assert set(held) == {"ana@x.example", "bob@x.example"}  # bob filled a form in; cara and dan did not
        assert held["bob@x.example"]["jobtitle"] == "Chief"
        assert hubspot.get("contacts", known)["lastname"] == "Diaz"
        assert hubspot.get("contacts", known)["city"] == "Oslo"
        assert lead(workspace, "bob@x.example")["qualified"] is True

        quiet = run(workspace)
        assert written(quiet) == 0
        arrived = quiet.counts["pull"]["singer"]["contacts"]
        assert 0 < arrived["pulled"] == arrived["unchanged"] + arrived["quarantined"]

        source.edit("contacts", ana, {"last_name": "Diez"})
        run(workspace)
        settled(workspace)
        assert hubspot.get("contacts", known)["lastname"] == "Diez"


def test_a_tap_that_dies_stops_its_connection_only_and_goes_on_where_it_was(
    tmp_path: Path, platforms: dict[str, Any]
) -> None:
    source, hubspot = platforms["singer"], platforms["hubspot"]
    source.put("contacts", {"email": "bob@x.example"})
    hubspot.put("contacts", {"email": "ana@x.example"})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        source.put("contacts", {"email": "cara@x.example"})
        source.behave = {"die_after": 1}
        report = Runner(workspace).run("sync", workspace.connections, Options(approve=True))
        [error] = report.errors
        assert (error.connection, error.code) == ("singer", "ended")
        source.behave = {}
        run(workspace)
        assert lead(workspace, "cara@x.example")
        with workspace.state.read() as tx:
            cursors = tx.execute(select(streams.c.cursor).where(streams.c.connection == "singer")).scalars().all()
        assert all(orjson.loads(cursor).get("mark") is None for cursor in cursors)


def test_objects_without_a_stream_start_no_tap(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms)
    file = tmp_path / "closedloop.yaml"
    lines = file.read_text().splitlines(keepends=True)
    [number] = [n for n, line in enumerate(lines) if line.startswith("      streams: {'contacts'")]
    lines[number] = "      streams: {contacts: {stream: people}}\n"
    file.write_text("".join(lines))
    platforms["singer"].put("contacts", {"email": "bob@x.example"})
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        run(workspace)
        assert lead(workspace, "bob@x.example")
    asked = [line.path for line in platforms["singer"].log]
    assert asked.count("/sync") == 2


def test_a_project_of_the_ready_mapping_passes_both_checks(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms)
    assert check(tmp_path).problems == []
    with Workspace.open(tmp_path) as workspace:
        found = check_online(workspace)
    assert found.errors == {}
    assert [problem for problem in found.problems if "singer" in problem.file] == []
    assert found.accounts["singer"].account_name == "sandbox_tap.py"
