"""Renewing an access token: alone among threads and processes, and what a killed process leaves."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost
from connectors import oauth
from sync.connect import connect
from sync.state.tokens import ALONE
from sync.workspace import Workspace
from tests.connect.surroundings import RENEWED, agree, all_opened, asked_for, consents, door, opened

TOKEN = "/oauth/token"
MINUTE = 61.0
"""Seconds after which every platform gives another token."""


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)


def worn(workspace: Workspace, name: str) -> None:
    """The access token has run out by its own word; the refresh token lives."""
    store = workspace.tokens(name)
    pair = orjson.loads(store.get(oauth.KEPT) or "")
    store.put(oauth.KEPT, orjson.dumps({**pair, "expires": "2020-01-01T00:00:00.000Z"}).decode())


def test_threads_that_find_a_token_worn_renew_it_once(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly", "oauth") as (sandbox, workspace):
        connect(workspace, "calendly", door(sandbox))
        worn(workspace, "calendly")
        told: list[str] = []

        def ask() -> None:
            with Workspace.open(tmp_path) as own:
                told.append(own.connector("calendly").check().account_id)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(told) == 3
        assert asked_for(sandbox, "refresh_token") == 1


_CHECK = """
import sys
from pathlib import Path
from sync.workspace import Workspace
with Workspace.open(Path(sys.argv[1])) as workspace:
    for name in workspace.connections:
        print("the account of", name, "is", workspace.connector(name).check().account_id)
"""
_KILL = """
import os, signal, sys
from pathlib import Path
from sync.state.tokens import StateTokens
from sync.workspace import Workspace
StateTokens.put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with Workspace.open(Path(sys.argv[1])) as workspace:
    workspace.connector(sys.argv[2]).check()
"""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that meets the accounts by itself."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_find_tokens_refused_renew_each_once(tmp_path: Path) -> None:
    """Of two processes one renews, on every platform, while the other waits for what it gets."""
    clock = ManualClock(datetime.now(UTC))  # the platforms'; the processes have the machine's
    with all_opened(tmp_path, RENEWED, clock) as (sandboxes, workspace):
        before = {}
        for key, sandbox in sandboxes.items():
            agree(workspace, sandbox, key)
            workspace.connector(key).check()
            before[key] = asked_for(sandbox, "refresh_token")
            consents(sandbox).ends()
            sandbox.inject("slow", "POST .*[tT]oken", seconds=0.5)  # the first is at it while the second comes
        clock.advance(MINUTE)
        both = [started(_CHECK, str(tmp_path)) for _ in range(2)]
        told = [re.findall("the account of .*", process.communicate(timeout=120)[0]) for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert told[0] == told[1]
        assert len(told[0]) == len(RENEWED)
        renewals = {key: asked_for(sandbox, "refresh_token") - before[key] for key, sandbox in sandboxes.items()}
        assert renewals == dict.fromkeys(RENEWED, 1)


@pytest.mark.parametrize("rotates", [True, False])
def test_a_process_killed_before_it_stored_the_pair(rotates: bool, tmp_path: Path) -> None:
    """What it held is free after a minute. A token that works once is dead then, and a person is asked for; one that
    lasts is used again."""
    key, clock = "constant_contact-oauth", ManualClock(datetime.now(UTC))
    with all_opened(tmp_path, [key], clock) as (sandboxes, workspace):
        sandbox = sandboxes[key]
        sandbox.login.rotates = rotates
        agree(workspace, sandbox, key)
        consents(sandbox).ends()
        clock.advance(MINUTE)
        killed = started(_KILL, str(tmp_path), key)
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL
        assert asked_for(sandbox, "refresh_token") == 1
        clock.advance(ALONE)
        with Workspace.open(tmp_path, clock=clock) as own:
            if not rotates:
                assert own.connector(key).check().account_id
                return
            with pytest.raises(AuthorizationLost, match=f"closedloop connect {key}"):
                own.connector(key).check()
        clock.advance(MINUTE)
        agree(workspace, sandbox, key)
        with Workspace.open(tmp_path, clock=clock) as own:
            assert own.connector(key).check().account_id


def test_a_crash_before_the_answer_costs_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path, "calendly", "oauth", clock=clock) as (sandbox, workspace):
        connect(workspace, "calendly", door(sandbox))
        worn(workspace, "calendly")
        sandbox.inject("no_answer", f"POST {TOKEN}", times=1)
        with Workspace.open(tmp_path, clock=clock) as own:
            assert own.connector("calendly").check().account_id  # asked again: the first question was never answered
        assert asked_for(sandbox, "refresh_token") == 1
