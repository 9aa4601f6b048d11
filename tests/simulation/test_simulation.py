"""What must hold of the engine whatever goes wrong: some hundred scenarios here, thousands by `make campaign`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.campaign import quietly
from tests.simulation.scenario import Scenario, run

SEEDS = 60
ARCHIVE = (0, 21, 23, 34, 43, 47, 48, 112, 1045, 1078)
"""Seeds that found something once, in the engine or in the simulation itself."""
EXHAUSTED = (3, 8)
"""Seeds whose scenarios die at every boundary in turn."""
SHORT = 5
"""Steps of those: each has a few hundred boundaries."""


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    before = structlog.get_config()
    quietly()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("seed", ARCHIVE)
def test_what_failed_once_holds(seed: int) -> None:
    assert run(seed).violation == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_000 + SEEDS, 10))
def test_nothing_is_lost_doubled_or_brought_back(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = run(seed)
        assert outcome.violation == "", f"seed {seed}"


def test_a_seed_decides_everything() -> None:
    assert run(7) == run(7)
    assert run(7).trace != run(9).trace


@pytest.mark.slow
@pytest.mark.parametrize("seed", EXHAUSTED)
def test_a_death_at_any_boundary_changes_nothing_in_the_end(seed: int) -> None:
    whole = run(seed, steps=SHORT, faults=False)
    assert whole.violation == ""
    for boundary in range(1, whole.boundaries + 1, 2):
        outcome = run(seed, steps=SHORT, faults=False, die_at=boundary)
        assert outcome.violation == "", f"dies at boundary {boundary}"
        assert outcome.crashes == 1


def test_the_oracle_sees_a_value_that_nobody_said() -> None:
    scenario = Scenario(11)
    check = scenario._check

    def meddled() -> None:
        for side in scenario.sides.values():
            for id in side.live():
                side.edit(id, {"title": "Value 999999"})
        check()

    scenario._check = meddled  # type: ignore[method-assign]
    assert "999999', which nobody said" in scenario.run().violation
