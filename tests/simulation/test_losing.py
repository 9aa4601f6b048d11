"""Who lost the leases of a run stores nothing more, at whatever transaction that was."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.deals import DealScenario
from tests.simulation.losing import Losing
from tests.simulation.rolling import RollingScenario
from tests.simulation.scenario import Scenario

SEEDS = 150
WORLDS = {"port": Scenario, "deals": DealScenario, "rolled": RollingScenario}
MET = {
    "doubt.py date_late",
    "drift.py compare",
    "first_run.py judge",
    "planning.py _plan_batch",
    "pull.py _stream",
    "pull.py pull_object",
    "push.py _recover_object",
    "push.py _send_object",
    "steps/attempt.py begin_anew",
    "steps/attempt.py report",
    "steps/decide.py decide",
    "steps/pull.py bind",
    "steps/push.py _guard_from_now",
    "steps/push.py _raise_epoch",
}
"""Where runs lose their leases here; `tests/house` has every place where one could."""


@pytest.mark.slow
def test_a_run_that_lost_its_leases_stores_nothing_more() -> None:
    lost: Counter[str] = Counter()
    for level, world in WORLDS.items():
        for seed in range(SEEDS):
            losing = Losing(scenario := world(seed))
            assert scenario.run().violation == "", f"{level} {seed}"
            assert not losing.late, f"{level} {seed}"
            lost += losing.lost
    assert not MET - lost.keys()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [195, 962])
def test_so_it_is_at_every_transaction_in_turn(seed: int) -> None:
    number = 1
    while True:
        losing = Losing(scenario := Scenario(seed, faults=False, without=frozenset({"meddling"})), at=number)
        assert scenario.run().violation == "", number
        assert not losing.late, number
        if not losing.lost:
            break
        number += 1
    assert number > 50
