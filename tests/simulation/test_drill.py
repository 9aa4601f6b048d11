"""A short crash drill: the real command killed some times on each database. `make drill` does it hundreds of times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.drill import drilled

KILLS = 5


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on_where_it_was(tmp_path: Path, state_url: str) -> None:
    with drilled(tmp_path, state_url.replace(f"{tmp_path}/", ""), seed=3) as drill:
        for way in ("backfill", "undo", "sync", "apply"):
            drill.round(way)
            if drill.kills.total() >= KILLS:
                break
    assert drill.kills.total() >= KILLS
