"""`closedloop linkedin`: lists out, people in, profiles; in this process, and one command in its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from connectors import registry
from connectors.linkedin.sandbox import INSTANCE
from sync import scaffold
from sync.cli import linkedin as _commands  # noqa: F401 - registers them
from sync.cli.app import Exit, app, exit_code, options
from sync.state.schema import quarantine
from sync.workspace import Workspace
from tests.cli.test_commands import closedloop
from tests.connectors.linkedin.test_loop import known, project, run

PEOPLE = """Email Address,First Name,Job Title,Phone,Country
ana@x.example,Ana,Chief,'+49 30 1234567,Germany
,Nobody,,,
bob@x.example,Bob,Clerk,call me,Germany
eve@x.example,Eve
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        names = ("hubspot", "linkedin", "salesforce")
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in names}


def ended(folder: Path, *arguments: str) -> Result:
    """How the command ended, without a process of its own; its log ends with it."""
    before, project = structlog.get_config(), options.folder
    try:
        return CliRunner().invoke(app, ["--project", str(folder), "linkedin", *arguments])
    finally:
        structlog.configure(**before)
        options.folder = project


def told(folder: Path, *arguments: str, code: int = 0) -> Any:
    """The command's JSON, after it ended with `code`."""
    found = ended(folder, *arguments, "--json")
    assert found.exit_code == code, found.output
    return json.loads(found.stdout)


def refused(folder: Path, *arguments: str) -> str:
    """What the command was refused with, as wrong usage."""
    error = ended(folder, *arguments).exception
    assert error is not None
    assert exit_code(error) is Exit.USAGE
    return str(error)


def test_people_out_of_a_file_become_leads_and_no_row_is_lost(tmp_path: Path, platforms: dict[str, Any]) -> None:
    hubspot = platforms["hubspot"]
    contact = hubspot.put("contacts", {"email": "ana@x.example"})
    project(tmp_path, platforms)
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    first = told(tmp_path, "import", str(file), code=3)
    assert [one["line"] for one in first.pop("left_out")] == [3, 5]
    assert first == {"new": 1, "changed": 0, "unchanged": 0, "filtered": 0, "quarantined": 1, "suppressed": 0}
    with Workspace.open(tmp_path) as workspace:
        with workspace.state.read() as tx:
            [bad] = tx.execute(quarantine.select()).all()
        assert (bad.object, bad.field) == ("csv_leads", "phone")
        run(workspace, "backfill")
        ana, bob = (known(workspace)[email] for email in ("ana@x.example", "bob@x.example"))
        assert (ana["phone"], ana["country"], ana["title"]) == ("+49301234567", "DE", "Chief")
        assert "phone" not in bob
        assert hubspot.get("contacts", contact)["jobtitle"] == "Chief"
        file.write_text(PEOPLE.replace("call me", "'+49 30 7654321"))
        again = told(tmp_path, "import", str(file), code=3)
        assert (again["changed"], again["unchanged"], again["quarantined"]) == (1, 1, 0)
        with workspace.state.read() as tx:
            assert tx.execute(quarantine.select()).one().state == "resolved"


def test_account_lists_are_written_for_the_upload(tmp_path: Path, platforms: dict[str, Any]) -> None:
    salesforce = platforms["salesforce"]
    for name, country in (("Alpha GmbH", "Germany"), ("=HYPERLINK(1)", ""), ("Alpha GmbH", "Germany")):
        salesforce.put("accounts", {"Name": name, "BillingCountry": country})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
    made = told(tmp_path, "export", str(tmp_path / "out"), code=3)
    assert [one["why"] for one in made["left_out"]] == ["says the same as another"]
    assert made["altered"] == 1
    [path] = made["files"]
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["Account Name", "Website", "Country", "LinkedIn URL"],
        ["Alpha GmbH", "", "Germany", ""],
        ["'=HYPERLINK(1)", "", "", ""],
    ]
    back = told(tmp_path, "import", path, "--as", "accounts")
    assert (back["new"], back["left_out"]) == (2, [])
    assert told(tmp_path, "export", str(tmp_path / "none"), "--of", "qualified") == {
        "files": [],
        "left_out": [],
        "altered": 0,
    }
    assert not (tmp_path / "none").exists()


def test_a_partner_takes_in_whom_the_crm_s_people_are(tmp_path: Path, platforms: dict[str, Any]) -> None:
    linkedin, salesforce = platforms["linkedin"], platforms["salesforce"]
    contact = salesforce.put("contacts", {"LastName": "Ruiz", "Email": "ana@x.example"})
    salesforce.put("contacts", {"LastName": "Out", "Email": "eve@x.example"})
    linkedin.match(contact, "ACoAna")
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
    assert "settings.crm_instance" in refused(tmp_path, "profiles")
    settings = tmp_path / "closedloop.yaml"
    more = f"sales_navigator_partner: true\n      crm_instance: {INSTANCE}\n      ad_accounts:"
    settings.write_text(settings.read_text().replace("ad_accounts:", more, 1))
    assert told(tmp_path, "profiles")["matched"] == 1
    with Workspace.open(tmp_path) as workspace:
        run(workspace)
        people = known(workspace)
    assert people["ana@x.example"]["linkedin_url"] == "https://www.linkedin.com/sales/people/ACoAna"
    assert "linkedin_url" not in people["eve@x.example"]
    linkedin.partner = False
    assert "r_sales_nav_profiles" in refused(tmp_path, "profiles")


def test_people_are_written_for_their_owners_eyes(tmp_path: Path, platforms: dict[str, Any]) -> None:
    platforms["hubspot"].put("contacts", {"email": "ana@x.example", "firstname": "Ana", "phone": "+49 30 1234567"})
    platforms["hubspot"].put("contacts", {"email": "eve@x.example"})
    platforms["hubspot"].unsubscribe("eve@x.example")
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
    made = told(tmp_path, "export", str(tmp_path / "out"), "--of", "people", code=3)
    assert [one["why"] for one in made["left_out"]] == ["opted out"]
    [path] = made["files"]
    assert Path(path).stat().st_mode & 0o077 == 0
    assert "'+4930" in Path(path).read_text()
    assert "no lists of 'deals'" in refused(tmp_path, "export", str(tmp_path / "out"), "--of", "deals")


def test_a_usage_report_is_shown(tmp_path: Path, platforms: dict[str, Any]) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("Seat holder,Logins\nAna,3\n")
    assert told(tmp_path, "usage", str(file)) == [{"Seat holder": "Ana", "Logins": "3"}]
    assert "Seat holder" in closedloop(tmp_path, "linkedin", "usage", str(file)).stdout
    assert "cannot be read" in refused(tmp_path, "usage", str(tmp_path / "none.csv"))


def test_a_connection_is_named_where_there_is_none_or_several(tmp_path: Path, platforms: dict[str, Any]) -> None:
    hubspot = platforms["hubspot"]
    scaffold.write(tmp_path, {"hubspot": scaffold.sandbox_connection(tmp_path, "hubspot", hubspot)}, tail="")
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    assert "There are 0 connections to linkedin" in refused(tmp_path, "import", str(file))
