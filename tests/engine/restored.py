"""What the tests of restored states share: taking the state up anew, people on both sides, questions."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sync.rebaseline import Rebaselined, rebaseline
from sync.runs import Runner
from tests.engine.conftest import Loop

Backup = Callable[[Loop], Callable[[], None]]
"""Takes a backup of the loop's state; gives what restores it."""


def anew(loop: Loop, **more: Any) -> Rebaselined:
    loop.clock.advance(60)
    return rebaseline(loop.workspace, Runner(loop.workspace), **more)


def titles(loop: Loop) -> list[Any]:
    return [memory.rows["contacts"][id].values.get("title") for memory, id in ((loop.alpha, "a1"), (loop.beta, "b1"))]


def in_step(loop: Loop) -> None:
    """Ana in both places, in step; a run wrote before the backup."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Clerk"}, id="a1")
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="b1")
    loop.settled()
    assert titles(loop) == ["Clerk", "Clerk"]


def edit(loop: Loop, side: str, id: str, values: dict[str, Any], object: str = "contacts") -> None:
    loop.clock.advance(60)
    getattr(loop, side).edit(object, id, values)


@pytest.fixture
def backup(state_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Backup:
    """Real ones: SQLite's by its backup interface, PostgreSQL's as a copy of the database."""

    def of_sqlite(loop: Loop) -> Callable[[], None]:
        live, kept = Path(state_url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        with sqlite3.connect(live) as one, sqlite3.connect(kept) as other:
            one.backup(other)

        def restore() -> None:
            loop.workspace.close()
            for left in tmp_path.glob(f"{live.name}*"):
                left.unlink()
            shutil.copyfile(kept, live)
            loop.reopen()

        return restore

    def of_postgres(loop: Loop) -> Callable[[], None]:
        server, live = request.getfixturevalue("postgres_server"), state_url.rpartition("/")[2]
        loop.workspace.close()
        kept = server.fresh(live).rpartition("/")[2]
        loop.reopen()

        def restore() -> None:
            loop.workspace.close()
            server.drop(state_url)
            server.run(f'create database "{live}" template "{kept}"')
            loop.reopen()

        return restore

    return of_sqlite if state_url.startswith("sqlite") else of_postgres
