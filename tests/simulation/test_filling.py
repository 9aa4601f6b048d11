"""First names that a platform fills in: that they are told to nobody, and that the oracle would see it."""

from __future__ import annotations

import pytest

from tests.simulation import filling, world
from tests.simulation.scenario import run

FILLED = 171000158
"""A world where somebody is made on a side that fills names in, and no name is known."""


def test_what_a_platform_fills_in_is_told_to_nobody() -> None:
    outcome = run(FILLED)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{filling.FILLED}"]


def test_the_oracle_sees_what_was_filled_in_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the mapping does not know it, it passes for a name."""
    monkeypatch.setattr(world, "_FILLED", world._FIRST)
    world.project_of.cache_clear()
    try:
        assert run(FILLED).violation
    finally:
        world.project_of.cache_clear()
