"""The second half of the seeds: see `seeds.py`."""

from __future__ import annotations

import pytest

from tests.simulation import seeds


@pytest.mark.slow
@pytest.mark.parametrize("first", seeds.firsts(1))
def test_nothing_is_lost_doubled_or_brought_back(first: int) -> None:
    seeds.hold(range(first, first + seeds.BATCH))


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds.EXHAUSTED[1::2])
def test_a_death_at_any_boundary_changes_nothing_in_the_end(seed: int) -> None:
    seeds.dies_everywhere(seed)
