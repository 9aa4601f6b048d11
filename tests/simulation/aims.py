"""Deaths, and takings-over, in the wake of what is rare: a look-up or a write of anything but a person, a call that was
struck. Drawn at every boundary alike (`scenario.py`) they hardly ever come there: of a hundred calls one or two are
writes of a deal, an outcome, a brief. Drawn beside the story of a seed.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario
    from tests.simulation.side import Side

KIND = "aims"
"""What is left out by this name in `without`."""
RATES = (0.0, 0.0, 0.0, 0.08, 0.3)
SELDOM = 1e-9
"""How often another process takes over at other boundaries, where nothing of that was drawn."""


class Aims:
    """Those of one scenario."""

    def __init__(self, scenario: DealScenario) -> None:
        self.scenario = scenario
        self.rng = Random(f"{scenario.seed}-{KIND}")
        rate = self.rng.choice(RATES)
        self.rate = rate if scenario._befalls(KIND) else 0.0
        self.takes_over = bool(self.rate) and self.rng.random() < 0.5

    def strike(self, side: Side | None, name: str) -> None:
        """Perhaps the process dies at this boundary, or another takes over where one does in such a world."""
        scenario = self.scenario
        if not self.rate or scenario.healed or not is_rare(side) or self.rng.random() >= self.rate:
            return
        if scenario.takeover_rate and self.rng.random() < 0.5:
            if not (scenario._taken or scenario._acting or name.endswith("before")):
                scenario._taken_over(side, name)
        elif "crash" not in scenario.without:
            scenario._die(side, name)


def is_rare(side: Side | None) -> bool:
    """Whether the call under way or last is of the rare ones."""
    if side is None or "." not in side.doing:
        return False
    object, _, what = side.doing.rpartition(".")
    return bool(side.struck) or (what != "pull" and object != "contacts")
