"""The seeds that every test run goes through, in two halves: a file of tests is one process' work, and there are two.

What the tests of both halves do is here; `test_simulation.py` and `test_simulation_too.py` are the halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation import (
    aims,
    backups,
    briefs,
    conditions,
    dates,
    filling,
    inboxes,
    joining,
    naming,
    remapping,
    undecided,
)
from tests.simulation.scenario import Outcome, run

SEEDS = 5000
FIRST = 10_000
BATCH = 50
"""Seeds of a test."""

NEWEST = frozenset(
    {naming.KIND, dates.KIND, remapping.KIND, filling.KIND, undecided.KIND, backups.KIND}
    | {aims.KIND, inboxes.KIND, joining.KIND, conditions.KIND, briefs.KIND}
)
"""What came last beside the stories: seeds found before it are told without."""

EXHAUSTED = (790, 678, 687, 1007, 195, 962, 192, 1946, 2578, 2566)
"""Seeds whose scenarios die at every boundary in turn: before and after each commit, before and after each call."""
SHORT: dict[str, Any] = {"steps": 9, "faults": False, "without": frozenset({"meddling"})}
"""Of those: each has some two hundred boundaries."""


def firsts(half: int) -> range:
    """The first seed of each batch of a half (0 or 1)."""
    begins = FIRST + half * SEEDS // 2
    return range(begins, begins + SEEDS // 2, BATCH)


def hold(seeds: Sequence[int], live: Callable[[int], Outcome] = run) -> None:
    """Nothing is lost, doubled or brought back in any of these scenarios, and the last goes the same way again."""
    for seed in seeds:
        outcome = live(seed)
        assert outcome.violation == "", f"seed {seed}"
    assert live(seeds[-1]).trace == outcome.trace


def dies_everywhere(seed: int) -> None:
    """A death at any boundary changes nothing in the end."""
    whole = run(seed, **SHORT)
    assert whole.violation == ""
    for boundary in range(1, whole.boundaries + 1):
        outcome = run(seed, die_at=boundary, **SHORT)
        assert outcome.violation == "", f"dies at boundary {boundary}"
        assert outcome.crashes == 1
