"""What must hold of deals, and copies of deals, that there are twice: see `twins.py`."""

from __future__ import annotations

import pytest

from tests.simulation.deals import run
from tests.simulation.seeds import hold
from tests.simulation.twins import drawn

SEEDS, BATCH, FIRST = 24, 12, 124_000_010


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_a_deal_that_there_is_twice_is_followed_once(first: int) -> None:
    hold([seed for seed in range(first, first + BATCH) if drawn(seed)], run)
