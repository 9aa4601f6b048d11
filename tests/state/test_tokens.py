"""Tokens lie encrypted, open only with the key, and only for the connection they belong to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.clock import SystemClock
from config.errors import ClosedloopError
from sync.state.database import State
from sync.state.keys import KEY_FILE
from sync.state.schema import tokens
from sync.state.tokens import StateTokens


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)


def test_a_token_comes_back_and_is_not_in_the_database(state: State, tmp_path: Path) -> None:
    store = StateTokens(state, "crm", folder=tmp_path)
    assert store.get("access") is None
    store.put("access", "first")
    store.put("access", "s3cret-token")
    assert StateTokens(state, "crm", folder=tmp_path).get("access") == "s3cret-token"
    with state.read() as tx:
        [row] = tx.execute(sa.select(tokens)).all()
    assert "s3cret-token" not in str(tuple(row))
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_row_moved_to_another_connection_is_refused(state: State, tmp_path: Path) -> None:
    StateTokens(state, "crm", folder=tmp_path).put("access", "s3cret")
    with state.begin() as tx:
        tx.execute(sa.update(tokens).values(connection="mail"))
    with pytest.raises(ClosedloopError) as refused:
        StateTokens(state, "mail", folder=tmp_path).get("access")
    assert "s3cret" not in str(refused.value)


def test_without_the_key_nothing_opens(state: State, tmp_path: Path) -> None:
    StateTokens(state, "crm", folder=tmp_path).put("access", "s3cret")
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(ClosedloopError, match="key"):
        StateTokens(state, "crm", folder=tmp_path).get("access")


def test_a_key_that_is_none_is_named(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSEDLOOP_KEY", "short")
    with pytest.raises(ClosedloopError) as refused:
        StateTokens(state, "crm", folder=tmp_path).put("access", "s3cret")
    assert "short" not in str(refused.value)


def test_only_one_renews_a_token_at_a_time(state: State, tmp_path: Path) -> None:
    waits = State(state.engine, SystemClock())  # a clock that stands still makes no pause between two looks
    ours, theirs = (StateTokens(one, "crm", folder=tmp_path) for one in (state, waits))
    order: list[str] = []

    def renew() -> None:
        with theirs.alone("oauth"):
            order.append("theirs")

    with ours.alone("oauth"):
        waiting = threading.Thread(target=renew)
        waiting.start()
        waiting.join(0.1)
        order.append("ours")
    waiting.join(30)
    assert order == ["ours", "theirs"]
