"""Deals that there are twice: somebody, or another program, makes a second record of a deal of the CRM, which sales
merges in the end, or a second copy of it in marketing's hands, home and all.

Of a second copy the engine is to say that it is one too many, to follow the other, and to count neither. It ends when
one of the two is deleted, or is no copy any more. All of it is drawn from a source of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from connectors.api import Gone
from tests.simulation.desk import FACTS, Desk
from tests.simulation.trade import Trade

KIND = "twins"
"""What is left out by this name in `without`."""
CODE = "second_copy"
"""What quarantine calls a second copy."""


def drawn(seed: int) -> float:
    """How often somebody doubles a deal, or ends it, beside an act of the story of this seed."""
    return Random(f"{seed}-twins").choice((0.0, 0.0, 0.3, 0.6))


@dataclass
class Twins:
    """The people who double deals and copies. `aside()` are the copies that the engine tells to be second ones; `deals`
    the pairs that were made at the CRM, `met` what people did how often."""

    trade: Trade
    rng: Random
    aside: Callable[[], set[str]]
    deals: list[tuple[str, str]] = field(default_factory=list)
    met: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.mail, self.crm, self.say = self.trade.mail, self.trade.crm, self.trade.say

    def act(self) -> None:
        what = self.rng.random()
        copies = sorted(id for id, row in self.mail.standing("deals").items() if row.values.get("home"))
        pairs = [pair for pair in self.deals if set(pair) <= set(self.crm.standing("deals"))]
        twins = [id for id in copies if self._is_one_of_two(id)]
        if twins and what < (0.8 if self.aside() else 0.3):
            self._part(twins)
        elif copies and what < 0.8:
            self._double(self.mail, self.rng.choice(copies), "home")
            self.met["copy doubled"] += 1
        elif pairs and what < 0.95:
            self._merge(self.rng.choice(pairs))
        elif (live := sorted(self.crm.standing("deals"))) and self.rng.random() < 0.5:
            id = self.rng.choice(live)
            self.deals.append((id, self._double(self.crm, id)))
            self.met["deal doubled"] += 1

    def _double(self, side: Desk, id: str, *more: str) -> str:
        values = side.history[id][-1].values
        made = side.put({name: values.get(name) for name in (*FACTS, *more)}, "deals")
        self.say(f"{side.name}/{id} is doubled as {made}")
        if people := side.people_of(id):
            side.tie(made, sorted(people))
        return made

    def _is_one_of_two(self, id: str) -> bool:
        home = self.mail.history[id][-1].values["home"]
        return bool(sum(row.values.get("home") == home for row in self.mail.standing("deals").values()) > 1)

    def _part(self, twins: list[str]) -> None:
        """One of two copies is deleted; or one that waits to be looked at is a deal of marketing's own from now on."""
        id = self.rng.choice(twins)
        if id in self.aside() and self.rng.random() < 0.6:
            self.mail.edit(id, {"home": None})
            self.say(f"{self.mail.name}/{id} is no copy any more")
            self.met["copy on its own"] += 1
        else:
            self.say(f"{self.mail.name}/{id} is deleted, being one of two")
            self.mail.remove(id)
            self.met["copy parted"] += 1

    def _merge(self, pair: tuple[str, str]) -> None:
        keep, lose = pair if self.rng.random() < 0.5 else pair[::-1]
        self.say(f"{self.crm.name}/{lose} is merged into {keep}, being the same")
        self.crm.remove(lose, Gone.MERGED, keep, "deals")
        self.met["deal merged"] += 1
