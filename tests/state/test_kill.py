"""Killed at any moment, a pull has each page whole with its cursor or not at all, and goes on where it was."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from sync.state.database import State
from sync.state.schema import records, streams
from tests.conftest import MakeState
from tests.state.absorbing import expected

PAGES, SIZE, KILLS = 900, 3, 4


def _start(url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.state.absorbing", url, str(PAGES), str(SIZE)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _finish(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    process.stdout.close()
    return process.wait(timeout=120)


def _held(state: State) -> tuple[int, bool, dict[str, str]]:
    with state.read() as tx:
        stream = tx.execute(sa.select(streams)).one()
        rows = tx.execute(sa.select(records.c.id, records.c.body)).all()
    return int(stream.cursor or 0), bool(stream.complete), {id: orjson.loads(body)["first_name"] for id, body in rows}


@pytest.mark.slow
def test_kill_at_any_moment_and_go_on(make_state: MakeState, state_url: str) -> None:
    chance = random.Random(7)
    reached = []
    for _ in range(KILLS):
        process = _start(state_url)
        time.sleep(chance.uniform(0.01, 0.25))
        process.kill()
        _finish(process)
        state = make_state()
        cursor, _, held = _held(state)
        assert held == expected(cursor)
        assert cursor % SIZE == 0
        reached.append(cursor)
        state.close()
    assert reached == sorted(reached)
    assert reached[-1] > reached[0], "no kill came in the middle: the test proves nothing"
    assert _finish(_start(state_url)) == 0
    assert _held(make_state()) == (PAGES, True, expected(PAGES))
