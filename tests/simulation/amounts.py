"""A side with deals that rounds the amounts it is given, and keeps them as numbers of its own (S25): what it rounded is
a rewriting of the engine's own word, which is neither written again nor told to anybody (P9, P10, P20). Drawn beside
the story of a seed; every amount that people give in such a world has cents.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario

KIND = "rounds"
ROUNDED = "amounts rounded"
SHARE = 0.25
CENTS = ".37"
"""Behind every amount. Rounded it is no other amount that somebody gives."""
AMOUNTS = ("worth", "earned", "hopes")
"""The fields that hold one, by their remote names."""


def draw(scenario: DealScenario) -> None:
    """Let one side that holds no homes round amounts, in some worlds: to whole ones, or to one decimal."""
    rng = Random(f"{scenario.seed}-rounds")
    if KIND in scenario.without or not scenario.faults or rng.random() >= SHARE:
        return
    side = scenario.desks[rng.choice([name for name in scenario.desks if name != "beta"])]
    side.places = rng.choice((0, 1))
    scenario.trade.cents = CENTS
    scenario.met[f"beside/{ROUNDED}"] += 1


def kept(value: Any, places: int | None) -> Any:
    """What a side that rounds to so many places (None: it does not) keeps of an amount."""
    if places is None or value is None:
        return value
    rounded = round(Decimal(str(value)), places)
    return float(rounded) if places else int(rounded)
