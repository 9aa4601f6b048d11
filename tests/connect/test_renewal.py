"""Renewing a token that works once: alone among threads and processes, and what a crash leaves."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost
from connectors import oauth
from connectors.consent import Asked
from sync.connect import Door, connect
from sync.state.tokens import StateTokens
from sync.workspace import Workspace
from tests.connect.surroundings import door, follow, opened

TOKEN = "/oauth/(2026-09/)?token"


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)


def renewals(sandbox: Any) -> int:
    return sum(
        bool(re.fullmatch(TOKEN, line.path)) and b"grant_type=refresh_token" in line.body for line in sandbox.log
    )


def worn(workspace: Workspace, name: str) -> None:
    """The access token has run out; the refresh token lives."""
    import orjson

    store = workspace.tokens(name)
    pair = orjson.loads(store.get(oauth.KEPT) or "")
    store.put(oauth.KEPT, orjson.dumps({**pair, "expires": "2020-01-01T00:00:00.000Z"}).decode())


def agree(workspace: Workspace, sandbox: Any, name: str) -> None:
    """A consent whose answer is pasted."""
    asked: list[Asked] = []
    connect(workspace, name, Door(asked.append, lambda: follow(asked[0].address, sandbox)))


def connected(workspace: Workspace, sandbox: Any, name: str) -> None:
    """Connected, and used until the access token had run out."""
    connect(workspace, name, door(sandbox))
    workspace.connector(name).check()
    worn(workspace, name)
    sandbox.log.clear()


@pytest.mark.parametrize("name", ["calendly", "hubspot"])
def test_threads_that_find_a_token_worn_renew_it_once(name: str, tmp_path: Path) -> None:
    with opened(tmp_path, name) as (sandbox, workspace):
        connected(workspace, sandbox, name)
        told: list[str] = []

        def ask() -> None:
            with Workspace.open(tmp_path) as own:
                told.append(own.connector(name).check().account_id)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(told) == 3
        assert renewals(sandbox) == 1


_CHECK = """
import sys
from pathlib import Path
from sync.workspace import Workspace
with Workspace.open(Path(sys.argv[1])) as workspace:
    print(workspace.connector(sys.argv[2]).check().account_id)
"""


@pytest.mark.parametrize("name", ["calendly", "hubspot"])
def test_processes_that_find_a_token_worn_renew_it_once(name: str, tmp_path: Path) -> None:
    with opened(tmp_path, name) as (sandbox, workspace):
        connected(workspace, sandbox, name)
        sandbox.inject("slow", f"POST {TOKEN}", seconds=1.5)  # the first is at it while the second comes
        both = [
            subprocess.Popen([sys.executable, "-c", _CHECK, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        told = [process.communicate(timeout=90)[0].strip() for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert told[0] == told[1] != ""
        assert renewals(sandbox) == 1


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("name", ["calendly", "outreach"])
def test_a_crash_between_the_answer_and_its_storing_is_told_and_mended(
    name: str, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = {"redirect_uri": "https://127.0.0.1/callback"}
    with opened(tmp_path, name, auth=app, clock=clock) as (sandbox, workspace):
        agree(workspace, sandbox, name)
        clock.advance(60)  # where there is one token a minute
        worn(workspace, name)
        put = StateTokens.put

        def dies(store: StateTokens, token: str, value: str) -> None:
            if token == oauth.KEPT:
                raise Died
            put(store, token, value)

        with monkeypatch.context() as patched, Workspace.open(tmp_path, clock=clock) as own:
            patched.setattr(StateTokens, "put", dies)
            with pytest.raises(Died):
                own.connector(name).check()
        assert renewals(sandbox) == 1

        clock.advance(60)
        with (
            Workspace.open(tmp_path, clock=clock) as own,
            pytest.raises(AuthorizationLost, match=f"closedloop connect {name}"),
        ):
            own.connector(name).check()

        clock.advance(60)
        agree(workspace, sandbox, name)
        with Workspace.open(tmp_path, clock=clock) as own:
            assert own.connector(name).check().account_id


def test_a_crash_before_the_answer_costs_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path, "calendly", clock=clock) as (sandbox, workspace):
        connect(workspace, "calendly", door(sandbox))
        worn(workspace, "calendly")
        sandbox.inject("no_answer", f"POST {TOKEN}", times=1)
        with Workspace.open(tmp_path, clock=clock) as own:
            assert own.connector("calendly").check().account_id  # asked again: the first question was never answered
        assert renewals(sandbox) == 1
