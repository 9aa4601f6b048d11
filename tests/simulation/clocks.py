"""Clocks that differ: each side has its own, and the engine's may be set forward or back in the middle of anything.

A side stamps its records with its own time, and every offset is drawn beside the story of a seed: what people do and
what strikes stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from config.clock import ManualClock

OFF = (0.0, 0.0, 3.0, -3.0, 200.0, -200.0, 5_000.0, -5_000.0, 14_400.0, -14_400.0)
"""Seconds by which a clock may be off."""
SET = (-7_200.0, -600.0, -45.0, 45.0, 600.0, 7_200.0)
"""Seconds by which the engine's clock may be set forward or back at once."""


class Watch:
    """A clock that shows `by` seconds more than the world's; sleeping on it passes the world's time."""

    def __init__(self, world: ManualClock, by: float = 0.0) -> None:
        self.world, self.by = world, by
        self.advance = self.sleep = world.advance

    def now(self) -> datetime:
        return self.world.now() + timedelta(seconds=self.by)


@dataclass(slots=True)
class Clocks:
    """The clocks of a scenario, as `seed` has them. `differ` tells whether any is another than the world's."""

    world: ManualClock
    differ: bool
    rng: Random
    rate: float = 0.0
    furthest: float = 0.0  # what the engine's clock showed at most more than the world's
    of_side: dict[str, ManualClock | Watch] = field(default_factory=dict)
    engine: ManualClock | Watch = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Watch(self.world) if self.differ else self.world

    @property
    def behind(self) -> float:
        """Seconds until the engine's clock shows again what it has shown before."""
        return self.furthest - self.engine.by if isinstance(self.engine, Watch) else 0.0

    def moved(self, *, held: bool = False) -> float:
        """Set the engine's clock, if it is time to and nothing holds it; by how many seconds."""
        if not isinstance(self.engine, Watch) or self.rng.random() >= self.rate:
            return 0.0
        by = self.rng.choice(SET)
        if held:
            return 0.0
        self.engine.by += by
        self.furthest = max(self.furthest, self.engine.by)
        return by


def drawn(seed: int, world: ManualClock, sides: Sequence[str], *, allowed: bool) -> Clocks:
    """The clocks of this seed: in one of four scenarios they differ."""
    rng = Random(f"{seed}-clocks")
    if not allowed or rng.random() >= 0.25:
        return Clocks(world, False, rng, of_side=dict.fromkeys(sides, world))
    clocks = Clocks(world, True, rng, rate=rng.choice((0.0, 0.0, 0.01, 0.05)))
    clocks.of_side = {name: Watch(world, rng.choice(OFF)) for name in sides}
    return clocks


def off(seed: int, world: ManualClock) -> ManualClock | Watch:
    """The clock of the engine's host, and of whoever connects accounts there, over HTTP: in one of four scenarios it is
    another than the platforms'. Log-ins and their ends are judged by it."""
    rng = Random(f"{seed}-clock off")
    return Watch(world, rng.choice((*SET, *OFF[-2:]))) if rng.random() < 0.25 else world
