"""What platforms do by themselves, beside the story of a seed.

They delete in silence, stamp an edit with a time months ahead, and their workflows set other fields after a write. Each
kind is drawn from a source of its own, as long as `allowed` has it, and a scenario in which none is drawn stays what it
was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from connectors.api import Gone
from tests.simulation.people import FIELDS, STAGES, People
from tests.simulation.side import Row, Side

KINDS = ("silence", "future", "workflows")
RATES = {
    "silence": (0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3),
    "future": (0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3),
    "workflows": (0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.4),
}
"""How likely each is where it can come: at an act, between two calls, after a write."""
AHEAD = (timedelta(days=2), timedelta(days=40), timedelta(days=400))
SILENT, AHEAD_OF, FLOWED = "deleted in silence", "time ahead", "workflow"


@dataclass
class Oddities:
    """Those of one scenario. `stored()` tells, by (side, record), the consent that the engine has stored of each record
    whose person it knows."""

    seed: int
    people: People
    allowed: Callable[[str], bool]
    stored: Callable[[], dict[tuple[str, str], str]]
    met: Counter[str]
    struck: int = 0
    unmoved: bool = False  # something is to be heard by a full read only
    rngs: dict[str, Random] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    ahead: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        for kind in KINDS:
            self.rngs[kind] = Random(f"{self.seed}-{kind}")
            drawn = self.rngs[kind].choice(RATES[kind])
            self.rates[kind] = drawn if self.allowed(kind) else 0.0
        self.ahead = self.rngs["future"].choice(AHEAD)
        if self.rates["workflows"]:
            for side in self.people.sides.values():
                side.then = self._flows

    @property
    def any(self) -> bool:
        """Whether anything is to come between acts and calls."""
        return bool(self.rates["silence"] or self.rates["future"])

    def strike(self, place: str) -> None:
        """Each that is due comes now: before the call that is under way at `place`, or between runs ("")."""
        for kind, strikes, name in (("silence", self._delete, SILENT), ("future", self._stamp, AHEAD_OF)):
            if self.rates[kind] and self.rngs[kind].random() < self.rates[kind] and strikes(self.rngs[kind]):
                self._count(name, place)

    def _count(self, name: str, place: str) -> None:
        self.struck += 1
        self.met[f"beside/{name}"] += 1
        if place:
            self.met[f"{place}/{name}"] += 1

    def _delete(self, rng: Random) -> bool:
        """A record that the engine knows is deleted and its modified time stays: either nothing lists it any more, or
        only a full read does. Nobody whose opt-out the engine has not stored: nothing would ever tell of it."""
        side = self.people.sides[rng.choice(tuple(self.people.sides))]
        stored = self.stored()
        here = [
            id
            for id, row in sorted(side.live().items())
            if (side.name, id) in stored and row.values.get("consent") in (stored[(side.name, id)], "subscribed")
        ]
        if not here:
            return False
        id = rng.choice(here)
        version = side.history[id][-1].version
        side.remove(id, Gone.DELETED)
        side.history[id][-1].version = version
        listed = rng.random() < 0.3
        self.unmoved |= listed
        if not listed:
            side.purged.add(id)
            side.unlisted.add(id)
            if rng.random() < 0.6:
                side.erased.add(id)
        self.people.say(f"{side.name}/{id} is deleted in silence ({'listed' if listed else 'not listed'})")
        return True

    def _stamp(self, rng: Random) -> bool:
        """Somebody edits a record, and it says that it was edited days or months from now; so will all its later edits,
        or not. Where an index lags nobody does: nothing would tell an older state from an edit with a true time."""
        side = self.people.sides[rng.choice(tuple(self.people.sides))]
        live = sorted(side.live())
        if not live or side.habits.lag:
            return False
        id = rng.choice(live)
        side.ahead[id] = self.ahead
        self.people._give(side, id, rng.choice(FIELDS))
        self.people.say(f"{side.name}/{id} says that this was in {self.ahead}")
        if rng.random() < 0.7:
            del side.ahead[id]
        return True

    def _flows(self, side: Side, row: Row, written: frozenset[str]) -> Row:
        """A workflow sets a field; the answer tells of it, or the next read. What an answer tells instead of a value
        that was sent would be what the platform made of it: a workflow that changes what was written comes later."""
        rng = self.rngs["workflows"]
        if side.healed or rng.random() >= self.rates["workflows"]:
            return row
        name, soon = rng.choice((*FIELDS, "stage")), rng.random() < 0.5
        if name == "stage":
            stage = rng.choice(STAGES)
            self.people.staged.setdefault((side.name, row.id), []).append(stage)
            side.edit(row.id, {"stage": stage})
        else:
            self.people._give(side, row.id, name)
        self.people.say(f"{side.name}/{row.id}: a workflow sets {name}")
        side.struck = FLOWED
        self.struck += 1
        self.met[f"{side.doing}/{FLOWED}"] += 1
        return side.history[row.id][-1] if soon and name not in written else row
