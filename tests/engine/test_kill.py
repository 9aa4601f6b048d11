"""kill -9 at random moments through pull, decide and push: nothing lost, nothing repeated visibly.

A real process runs the loop against two sandboxes that live on in this one; it is killed again and again until a run
gets through. Then the platforms must hold exactly what an undisturbed run gives.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from sync import scaffold

PEOPLE = 260
HURRIED = 25
"""Processes that are killed at most: on a busy machine none of them may get through in its time."""
WORKER = """
import sys
from pathlib import Path
from sync import push
from sync.runs import Options, Runner
from sync.workspace import Workspace
push.DOUBT = 1.0  # what was sent before the last kill is old enough to be told done or not done
with Workspace.open(Path(sys.argv[1])) as workspace:
    for _ in range(2):
        report = Runner(workspace).run("sync", workspace.connections, Options(approve=True))
        assert not report.errors, report.errors
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(registry.platform(name).sandbox(seed=9)) for name in ("hubspot", "salesforce")
        }
        for sandbox in found.values():
            sandbox.latency = 0.02  # so that kills strike requests under way
        for number in range(PEOPLE):
            values = {"email": f"p{number}@x.example", "firstname": f"P{number}", "lastname": "X", "jobtitle": "Chief"}
            found["hubspot"].put("contacts", values)
        yield found


def project(folder: Path, platforms: dict[str, Any], state: str) -> None:
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail="qualification: {qualified_when: \"lead.title == 'Chief'\"}\n")
    file = folder / "closedloop.yaml"
    file.write_text(file.read_text().replace("sqlite:///closedloop.db", state))


@pytest.mark.slow
def test_killed_again_and_again_and_still_exact(tmp_path: Path, state_url: str, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms, state_url)
    rng = random.Random(4)
    kills = 0
    for _ in range(HURRIED + 1):
        process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stderr=subprocess.PIPE)
        # the first second is imports; later kills come later, and the last process has the time that it needs
        deadline = time.monotonic() + 1.2 + rng.random() * (1.0 + kills * 0.35)
        while process.poll() is None and (kills == HURRIED or time.monotonic() < deadline):
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        told = process.communicate()[1]
        assert process.returncode == 0, told.decode()[-2000:]
        break
    assert kills >= 3
    leads = platforms["salesforce"].all("leads")
    assert len(leads) == PEOPLE
    assert len({lead["Email"] for lead in leads}) == PEOPLE
    assert len({lead["Closedloop_Id__c"] for lead in leads}) == PEOPLE
    tasks = platforms["salesforce"].all("tasks")
    assert len(tasks) == len({task["WhoId"] for task in tasks}) == PEOPLE
    stages = [row.get("lifecyclestage") for row in platforms["hubspot"].all("contacts")]
    assert stages == ["salesqualifiedlead"] * PEOPLE
