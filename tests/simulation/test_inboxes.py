"""Addresses in worlds with deals, and conditions on what is copied: that they come, and that the oracle sees wrongs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sync.clashes import Claims
from tests.simulation import conditions, inboxes
from tests.simulation.deals import DealScenario, run
from tests.simulation.seeds import hold

SEEDS, BATCH, FIRST = 60, 20, 134_000_000


def _has(seed: int) -> bool:
    scenario = DealScenario(seed)
    return bool(scenario.inboxes.rate or scenario.condition)


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_whose_a_deal_is_does_not_hang_on_an_address(first: int) -> None:
    hold([seed for seed in range(first, first + BATCH) if _has(seed)], run)


def test_addresses_change_and_are_shared_and_go_to_the_next() -> None:
    met: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        met.update(run(seed).met)
    assert all(met[f"beside/{what}"] for what in (inboxes.CHANGED, inboxes.SHARED, conditions.NAME))


def _first(seeds: range, **options: Any) -> str:
    return next((told for seed in seeds if (told := run(seed, **options).violation)), "")


def test_the_oracle_sees_two_people_under_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Claims, "clashes", lambda *_: [])
    assert "Violation: P" in _first(range(FIRST, FIRST + 3 * SEEDS), faults=True)


def test_the_oracle_sees_an_address_that_differs() -> None:
    scenario = DealScenario(4, faults=False)
    check = scenario._check

    def spoiled() -> None:
        mail = scenario.desks["alpha"]
        mail.edit(min(mail.standing("contacts")), {"email": "another@x.example"})
        check()

    scenario._check = spoiled  # type: ignore[method-assign]
    assert "P1: the address of " in scenario.run().violation
