"""What befalls a pair of platforms beside the story of a seed: times ahead of all clocks, narrow pages, fields that go
and come back, what no update may take away, leads whose names do not ascend. Each is drawn from a source of its own,
where it is not left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from connectors.api import Operation
from connectors.sandbox import Call
from tests.simulation import further, naming
from tests.simulation.addresses import CHANGED, SHARED, Addresses
from tests.simulation.crowds import CROWD, Crowd
from tests.simulation.further import Further
from tests.simulation.futures import BEYOND, STAMPED, Futures
from tests.simulation.keepsakes import KEPT, Keepsakes
from tests.simulation.lacking import BACK, GONE, Lacking
from tests.simulation.narrow import AGED, NARROW, Narrow
from tests.simulation.pairs import writable

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

KINDS = ("futures", "keepsakes", "narrow", "lacking", "crowd", "addresses", "further", "aimed", naming.KIND)

NAMES = (
    STAMPED,
    BEYOND,
    KEPT,
    AGED,
    NARROW,
    GONE,
    BACK,
    CROWD,
    CHANGED,
    SHARED,
    *further.NAMES,
    naming.DESCEND,
    naming.SHUFFLED,
)
"""What they are told as."""


class Beside:
    """Those of one scenario; each is there, and does nothing where it was not drawn."""

    def __init__(self, scenario: PairScenario) -> None:
        self.scenario = scenario
        seed, names, pair, wire = scenario.seed, scenario.names, scenario.pair, scenario.wire

        def allowed(kind: str) -> bool:
            return scenario.faults and kind not in scenario.without

        def met(what: str) -> None:
            wire.met[f"beside/{what}"] += 1

        self.futures = Futures(seed, allowed("futures"), names, pair.clock, pair.sandboxes, met, scenario.fast)
        self.keepsakes = Keepsakes(seed, allowed("keepsakes"))
        self.narrow = Narrow(seed, allowed("narrow"), names, pair.sandboxes, met)
        self.lacking = Lacking(seed, allowed("lacking"), names, pair.sandboxes, pair.spoken, met)
        self.lacking.open(pair.made)
        known = "google_analytics" not in names  # it tells visitors, of whom it knows three here
        self.crowd = Crowd(seed, allowed("crowd") and known and bool(self.narrow.size))
        # both sides' addresses can be changed, and people see all that stands there
        settled = set(names) <= set(writable()) and not (self.futures.rate or scenario.behind)
        self.addresses = Addresses(scenario, allowed("addresses") and settled)
        self.further = Further(scenario, allowed("further") and settled)
        self.addresses.judged |= self.further.rate > 0
        leads, _ = naming.drawn(seed, allowed=allowed(naming.KIND))
        self.number = naming.number(leads, f"{seed}-lead")
        if leads:
            met(leads)
        wire.taken = self._taken

    @contextmanager
    def during(self) -> Iterator[None]:
        """Inside, the whole scenario is lived through."""
        with self.narrow.pages(), self.crowd.ends(self.scenario):
            yield

    def stamping(self, name: str, operation: Operation) -> AbstractContextManager[None]:
        """Inside, somebody writes to a platform."""
        return self.futures.stamping(name, operation)

    def _taken(self, sandbox: Any, call: Call) -> Call:
        """A call of the engine's, as the platform takes it."""
        if not self.scenario.healed:
            self.narrow.age(sandbox)
            self.lacking.strike(self.scenario.workspace)
        return self.futures.taken(sandbox, call)
