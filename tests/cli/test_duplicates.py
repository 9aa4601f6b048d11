"""`closedloop duplicates` as a user runs it: listed, kept apart, linked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import registry
from sync import scaffold
from tests.cli.test_commands import closedloop


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project over one account, in which three contacts share a phone number, and two of them a name."""
    with registry.platform("hubspot").sandbox(seed=5) as sandbox:
        for number, name in enumerate(("Ana", "Ana", "Bob")):
            values = {"email": f"p{number}@x.example", "firstname": name, "lastname": "Ruiz", "phone": "+4930123456"}
            sandbox.put("contacts", values)
        scaffold.write(tmp_path, {"hubspot": scaffold.sandbox_connection(tmp_path, "hubspot", sandbox)}, tail="\n")
        yield tmp_path


def test_probable_duplicates_are_listed_and_judged(project: Path) -> None:
    pulled = closedloop(project, "backfill", "--yes")
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    rows = json.loads(closedloop(project, "duplicates", "list", "--json").stdout)
    assert len(rows) == 3
    assert {item["kind"] for item in rows[0]["evidence"]} == {"phone", "name_domain"}
    told = closedloop(project, "duplicates", "list", "--limit", "1")
    assert "3 probable duplicates" in told.stdout
    assert rows[0]["leads"][0] in told.stdout

    linked = closedloop(project, "duplicates", "link", *rows[0]["leads"])
    assert linked.returncode == 0, linked.stderr
    assert min(rows[0]["leads"]) in linked.stdout
    [left] = json.loads(closedloop(project, "duplicates", "list", "--json").stdout)
    dismissed = closedloop(project, "duplicates", "dismiss", *left["leads"])
    assert "stay two leads" in dismissed.stdout
    assert json.loads(closedloop(project, "duplicates", "list", "--json").stdout) == []
    wrong = closedloop(project, "duplicates", "dismiss", "nobody", left["leads"][0])
    assert wrong.returncode == 2
    assert "no lead nobody" in wrong.stderr
