"""A death of the process at every boundary of a few scenarios over HTTP: before and after each call and each commit."""

from __future__ import annotations

from tests.simulation import platforms
from tests.simulation.scenario import Outcome

SEEDS = (9, 13, 15, 25)
"""Pairs of which some renew tokens, some keep keys, some are only pulled."""
BOUNDARIES = 300
"""No scenario of these has more."""


def dies(number: int) -> Outcome:
    """One of the scenarios, without faults, dying at one boundary: so many numbers, so many boundaries of them all."""
    seed, boundary = SEEDS[number // BOUNDARIES % len(SEEDS)], number % BOUNDARIES + 1
    outcome = platforms.run(seed, faults=False, die_at=boundary)
    outcome.seed = number
    return outcome
