"""Names in any order, beside the story of a seed: those that the engine gives leads and runs, which are random in
truth, and those that a side gives its records. Where each is greater than the one before, the older of two has the
smaller name, and nothing shows what goes by a name where it should go by time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "names"
DESCEND, SHUFFLED = "names descend", "names shuffled"
_ORDERS = ("", DESCEND, SHUFFLED)

Number = Callable[[int, int], int]
"""What the nth is called, by a number of at most so many digits."""


def drawn(seed: int, *, allowed: bool) -> tuple[str, str]:
    """How the names of leads, and of records, are ordered; "" where they ascend, as they do in one of three worlds."""
    rng = Random(f"{seed}-{KIND}")
    leads, records = rng.choice(_ORDERS), rng.choice(_ORDERS)
    return (leads, records) if allowed else ("", "")


def ascending(n: int, digits: int) -> int:
    return n


def number(order: str, of: str) -> Number:
    """The numbers in this order; shuffled ones are others for each `of`."""
    if order == DESCEND:
        return lambda n, digits: 10**digits - n
    if order == SHUFFLED:
        return lambda n, digits: Random(f"{of}-{n}").randrange(10 ** (digits - 4)) * 10_000 + n
    return ascending


def draw(scenario: Scenario) -> Number:
    """Let names come in another order than they are given in, in some worlds; the number of the engine's nth."""
    leads, records = drawn(scenario.seed, allowed=scenario._befalls(KIND))
    for side in scenario.sides.values():
        side.number = number(records, f"{scenario.seed}-{side.name}")
    scenario.met.update(f"beside/{order}" for order in (leads, records) if order)
    return number(leads, f"{scenario.seed}-lead")
