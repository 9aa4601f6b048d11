"""The demo, small: the whole loop in one process without a terminal, and a project to go on with."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_commands import closedloop


def test_the_demo_runs_and_leaves_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = closedloop(tmp_path, "demo", "--people", "100", "--folder", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in (
        "would create",
        "Sync again: nothing left to write",
        "wrote nothing",
        "Funnel by source",
        "Handed off",
    ):
        assert part in done.stdout
    assert "\x1b[" not in done.stdout  # no colours, no bars where nobody watches
    assert {path.name for path in (folder / "sandboxes").iterdir()} == {
        "hubspot.json",
        "mailchimp.json",
        "salesforce.json",
    }
    total = json.loads(closedloop(folder, "report", "--json").stdout)["total"]
    assert total["leads"] == 100
    assert total["customers"] > 0
    assert total["cost"] == "29600"
    assert set(total["lost_reasons"]) <= {"price", "no budget", "went with a competitor", "no answer", "wrong timing"}


def test_the_demo_replaces_only_a_demo(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    (mine / "closedloop.yaml").write_text("version: 1\n")  # a project is somebody's work too
    refused = closedloop(tmp_path, "demo", "--people", "10", "--folder", str(mine))
    assert refused.returncode == 2
    assert (mine / "thesis.txt").read_text() == "years of work"
