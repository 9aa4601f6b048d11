"""What must hold of a few records that are restored on a platform, whatever else goes wrong: see `older.py`."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Tally
from tests.simulation.coverage import Coverage
from tests.simulation.older import OlderScenario, run
from tests.simulation.seeds import NEWEST
from tests.simulation.undecided import KIND

FIRST, SEEDS = 45_000, 30
ARCHIVE = (
    # an opt-out that was stored, and not decided upon yet when its record was restored, was forgotten
    1907,
    # so was one that was stored of a record that was nobody's yet
    400_000_073,
    # a value that was lost before any other record was sent it: the others agreed on an older one, and nobody was asked
    700_003_261,
    # a planted bug: an opt-out of which nothing was decided yet, forgotten with what a record lost
    50_000_482,
    # the same of a stage, where no record had any: it was kept, and nobody listened to that
    50_000_317,
    # left out for good, the sides differed; with an opt-out, too
    *(23, 24, 61, 105),
)
"""Scenarios that found something once."""
UNDECIDED = (
    # a value that was lost, and the blank that came for it was taken for its end
    400_000_023,
    # accepted, and tried again: the listing did not show yet what the first try had written, and that was accepted, too
    810_000_894,
    # a stage that was kept fell to an earlier one that somebody gave where none had been
    920_003_396,
)
"""Those in which something was stored, and nothing decided of it yet, when its record was restored."""


@pytest.mark.parametrize("seed", ARCHIVE)
def test_what_failed_once_holds(seed: int) -> None:
    assert run(seed, without=NEWEST).violation == ""


@pytest.mark.parametrize("seed", UNDECIDED)
def test_what_nothing_was_decided_of_is_not_forgotten(seed: int) -> None:
    assert run(seed, without=NEWEST - {KIND}).violation == ""


@pytest.mark.slow
def test_whatever_differs_is_asked_about_or_put_back() -> None:
    """And the last goes the same way again. Some are restored, and some of those are asked about."""
    tally, restored, asked = Tally(), 0, 0
    for seed in range(FIRST, FIRST + SEEDS):
        scenario = OlderScenario(seed)
        outcome = scenario.run()
        assert outcome.violation == "", f"seed {seed}"
        tally.add(outcome)
        restored += bool(scenario.rolling.back)
        asked += any("title of" in line or "first of" in line for line in outcome.told)
    assert run(seed).trace == outcome.trace
    assert Coverage.of("older", tally.met).strange == ()
    assert restored > 2
    assert asked > 0
