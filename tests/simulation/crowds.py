"""Many rows of one instant, over HTTP and beside the story of a seed (S2, S3): some program writes a dozen people at
once, where a page holds one row or two and a search, or paging by number, ends after a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

CROWD = "rows of one instant"
ENDS = {"hubspot": ("sandbox_objects.CAP", 4), "outreach": ("sandbox_list.CAP", 15)}
"""Platforms of which a search, or paging by number, ends: the sandbox's constant of it, and after how many rows it does
here. (Salesforce's queries and Zoho's lists end in pages whose links say how to go on: `narrow.py`. Behind more rows of
one instant than paging by number shows there is no way at Outreach, and its pulls say so.)"""


@dataclass
class Crowd:
    """That of one scenario: `people` of them, who all come, or are all changed, on one platform at one instant."""

    seed: int
    allowed: bool
    people: int = 0
    here: str = ""
    edits: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}-crowd")
        drawn = self.allowed and self.rng.random() < 0.08
        self.people = self.rng.choice((5, 7, 11)) if drawn else 0

    @contextmanager
    def ends(self, scenario: PairScenario) -> Iterator[None]:
        """Inside, searches end early."""
        with ExitStack() as stack:
            for name in scenario.names if self.people else ():
                if name in ENDS:
                    place, end = ENDS[name]
                    module, _, constant = place.rpartition(".")
                    stack.enter_context(patch.object(import_module(f"connectors.{name}.{module}"), constant, end))
            yield

    def act(self, scenario: PairScenario) -> None:
        """They come; or each is given another value, twice at most."""
        if not self.people or scenario.acting or self.edits > 2 or self.rng.random() < 0.4:
            return
        self.edits += 1
        scenario.wire.met[f"beside/{CROWD}"] += 1
        if not self.here:
            self.here = self.rng.choice(sorted(scenario.objects))
            for number in range(self.people):
                scenario._by_hand(partial(scenario._join, self.here, f"crowd{number}@x.example"))
            return
        spoken = [one for one in scenario.pair.spoken if not scenario.beside.lacking.is_gone(self.here, one)]
        one = self.rng.choice(spoken)
        scenario._by_hand(partial(self._edit, scenario, one))

    def _edit(self, scenario: PairScenario, one: str) -> None:
        for target, id, held in list(scenario._people(self.here)):
            if str(held.get("email")).startswith("crowd"):
                scenario._give(self.here, target, id, one, held)
