"""Every command as a user runs it: a real process, a real project, sandboxes behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.conformance import RULES, promise
from sync import scaffold


def closedloop(folder: Path, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
    code = "from sync.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--project", str(folder), *arguments],
        capture_output=True,
        text=True,
        input=input,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def platforms() -> Iterator[dict[str, Any]]:
    running = {name: registry.platform(name).sandbox(seed=5).start() for name in ("hubspot", "salesforce")}
    yield running
    for sandbox in running.values():
        sandbox.stop()


@pytest.fixture(scope="module")
def project(platforms: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project over two sandboxes with twelve people, one of whom is ready for sales."""
    folder = tmp_path_factory.mktemp("project")
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail="qualification: {qualified_when: \"lead.title == 'Chief'\"}\n")
    for number in range(12):
        title = "Chief" if number == 0 else "Clerk"
        values = {"email": f"p{number}@x.example", "firstname": f"P{number}", "lastname": "X", "jobtitle": title}
        platforms["hubspot"].put("contacts", values)
    platforms["hubspot"].put("contacts", {"email": "bad@x.example", "phone": "call me"})
    return folder


def test_the_way_of_a_first_project(project: Path, platforms: dict[str, Any], tmp_path: Path) -> None:
    checked = closedloop(project, "check", "--online", "--json")
    told = json.loads(checked.stdout)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert set(told["accounts"]) == {"hubspot", "salesforce"}

    first = closedloop(project, "backfill")
    assert first.returncode == 3
    assert "would create 1 leads" in first.stdout
    assert "Waiting for a person: 1 in quarantine (`closedloop quarantine list`).\n" in first.stdout
    assert "--yes" in first.stdout
    assert platforms["salesforce"].all("leads") == []

    plan = tmp_path / "plan.json"
    planned = closedloop(project, "plan", "--out", str(plan))
    assert planned.returncode == 0, planned.stderr
    assert "P0" in planned.stdout
    assert plan.is_file()

    written = closedloop(project, "sync", "--yes", "--json")
    report = json.loads(written.stdout)
    assert report["counts"]["handoffs"] == 1
    assert written.returncode == 0, written.stdout
    [lead] = platforms["salesforce"].all("leads")
    assert (lead["FirstName"], lead["Title"]) == ("P0", "Chief")

    again = closedloop(project, "sync", "--json")
    assert json.loads(again.stdout)["counts"]["write"] == {}

    shown = closedloop(project, "undo", report["run"])
    assert shown.returncode == 3
    assert "archive" in shown.stdout
    assert "Nothing was done" in shown.stdout
    assert closedloop(project, "undo").returncode == closedloop(project, "undo", "run_none").returncode == 2

    stale = closedloop(project, "apply", str(plan))
    assert stale.returncode == 3
    assert "stale" in stale.stdout

    assert "13 leads" in closedloop(project, "status").stdout
    assert json.loads(closedloop(project, "status", "--json").stdout)["leads"]["handed_off"] == 1
    explained = json.loads(closedloop(project, "explain", "P0@x.example", "--json").stdout)
    [title] = [field for field in explained["fields"] if field["field"] == "title"]
    assert (title["value"], title["rule"]) == ("Chief", "most_recent")
    assert "Chief" in closedloop(project, "explain", lead["Id"]).stdout
    assert closedloop(project, "explain", "nobody@x.example").returncode == 2

    total = json.loads(closedloop(project, "report", "--json").stdout)["total"]
    assert (total["leads"], total["qualified"], total["handed_off"]) == (13, 1, 1)
    assert closedloop(project, "report", "--csv").stdout.startswith('"name","leads",')
    assert closedloop(project, "report", "--by", "moon").returncode == 2

    listed = json.loads(closedloop(project, "quarantine", "list", "--json").stdout)
    assert [(row["code"], row["field"]) for row in listed] == [("invalid_phone", "phone")]
    number = str(listed[0]["id"])
    assert "call me" not in closedloop(project, "quarantine", "show", number).stdout
    id = next(row["hs_object_id"] for row in platforms["hubspot"].all("contacts") if row["email"] == "bad@x.example")
    platforms["hubspot"].edit("contacts", id, {"phone": "+4930123456"})
    assert closedloop(project, "quarantine", "replay", number).returncode == 0
    assert json.loads(closedloop(project, "quarantine", "list", "--json").stdout) == []


def test_mistakes_come_all_at_once_with_their_places(tmp_path: Path) -> None:
    closedloop(tmp_path, "init", "-p", "hubspot", "-p", "mailchimp")
    mapping = tmp_path / "mappings" / "hubspot.yaml"
    mapping.write_text(mapping.read_text().replace("field: title", "field: titel").replace("[email]", "[emial]"))
    file = tmp_path / "closedloop.yaml"
    file.write_text(file.read_text().replace("env:HUBSPOT_TOKEN", "pat-na1-secret"))
    done = closedloop(tmp_path, "check")
    assert done.returncode == 2
    assert "titel" in done.stdout
    assert "did you mean 'title'" in done.stdout
    assert "is a secret" in done.stdout
    assert "pat-na1-secret" not in done.stdout + done.stderr
    assert "mistakes." in done.stdout


def test_init_does_not_overwrite(tmp_path: Path) -> None:
    assert closedloop(tmp_path, "init", "-p", "hubspot").returncode == 0
    refused = closedloop(tmp_path, "init", "-p", "hubspot")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert closedloop(tmp_path, "init", "-p", "hubspto").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("sync",), 2, "closedloop init"),
        (("apply", "nothing.json"), 2, "closedloop init"),
        (("nonsense",), 2, "No such command"),
        (("report", "--by"), 2, "requires an argument"),
    ],
)
def test_wrong_usage_is_told_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], code: int, part: str
) -> None:
    done = closedloop(tmp_path, *arguments)
    assert done.returncode == code
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_secret_and_a_dead_platform_are_told(tmp_path: Path) -> None:
    closedloop(tmp_path, "init", "-p", "hubspot")
    done = closedloop(tmp_path, "sync")
    assert done.returncode == 2
    assert "HUBSPOT_TOKEN" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_connectors_lists_what_is_installed(tmp_path: Path) -> None:
    listed = json.loads(closedloop(tmp_path, "connectors", "--json").stdout)
    assert {row["name"] for row in listed} >= {"hubspot", "mailchimp", "salesforce"}
    for row in listed:
        quality = row["quality"]
        assert {*quality["kept"], *quality["exempt"]} == set(RULES)
        assert not set(quality["kept"]) & set(quality["exempt"])
        assert {**quality["exempt"], **quality["besides"]} == row["exemptions"]
    told = closedloop(tmp_path, "connectors", "--rules").stdout
    assert "writes" in told
    assert all(promise(rule) in " ".join(told.split()) for rule in RULES)


def test_help_is_everywhere(tmp_path: Path) -> None:
    for command in ("", "sync", "plan", "quarantine", "sandbox"):
        done = closedloop(tmp_path, *([command] if command else []), "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout
