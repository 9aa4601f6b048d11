"""`closedloop rebaseline` as a user meets it: refused, told what to do, taken up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import registry
from sync import scaffold
from sync.epoch import FILE, FileMarks, Mark
from tests.cli.test_commands import closedloop


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project over one account, whose state is another than the one that wrote last."""
    with registry.platform("hubspot").sandbox(seed=5) as sandbox:
        sandbox.put("contacts", {"email": "ana@x.example", "firstname": "Ana"})
        scaffold.write(tmp_path, {"hubspot": scaffold.sandbox_connection(tmp_path, "hubspot", sandbox)}, tail="\n")
        FileMarks.of(tmp_path).save(Mark("of-another-state", 7))
        yield tmp_path


def at_once(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, without the minutes that it waits first."""
    code = "from sync import rebaseline; rebaseline.SURE = 0; from sync.cli.app import main; main()"
    whole = [sys.executable, "-c", code, "--project", str(folder), *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False)


def test_it_is_refused_until_it_is_taken_up(project: Path) -> None:
    refused = closedloop(project, "sync", "--yes")
    assert refused.returncode == 5
    assert "closedloop rebaseline" in refused.stderr
    asked = closedloop(project, "rebaseline")
    assert asked.returncode == 3
    assert FILE in asked.stdout
    assert ": 7." in asked.stdout
    assert "Nothing was done" in asked.stdout
    assert "waits 5 minutes" in asked.stdout
    done = at_once(project, "rebaseline", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may write again" in done.stdout
    assert closedloop(project, "sync", "--yes").returncode == 0
    told = json.loads(at_once(project, "rebaseline", "--json").stdout)
    assert (told["taken_up"], told["forgotten"], told["questions"], told["command"]) == (True, 0, {}, "rebaseline")
