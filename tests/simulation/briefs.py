"""Briefs that somebody closes, puts away or deletes, in some worlds where people are handed to sales: whoever was
handed over stays so, and sales is told nothing again. Drawn beside the story of a seed.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from connectors.api import Gone

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario

KIND = "briefs"
"""What is left out by this name in `without`."""
CLOSED, PUT_AWAY, DELETED = "brief closed", "brief put away", "brief deleted"
NAMES = (CLOSED, PUT_AWAY, DELETED)


class Briefs:
    """What sales does with the briefs of one scenario."""

    def __init__(self, scenario: DealScenario) -> None:
        self.scenario = scenario
        self.rng = Random(f"{scenario.seed}-{KIND}")
        rate = self.rng.choice((0.0, 0.0, 0.3))
        self.rate = rate if scenario.handed and KIND not in scenario.without else 0.0

    def act(self) -> None:
        crm = self.scenario.trade.crm
        here = sorted(crm.standing("tasks")) if self.rate else []
        if not here or self.rng.random() >= self.rate:
            return
        id, what = self.rng.choice(here), self.rng.choice(NAMES)
        if what == CLOSED:
            crm.edit(id, {"status": "closed"})
        else:
            crm.remove(id, Gone.ARCHIVED if what == PUT_AWAY else Gone.DELETED)
        self.scenario.met[f"beside/{what}"] += 1
        self.scenario._say(f"{crm.name}/{id}: {what}")
