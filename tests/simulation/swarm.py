"""How a side is in a scenario, which faults can strike its calls, and how often each does."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

FAULTS = (
    "login_lost",
    "pull_breaks",
    "left_out",
    "read_breaks",
    "push_breaks",
    "later",
    "refused",
    "lost_after",
    "lost_before",
    "late_commit",
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a side is, all through a scenario."""

    page_size: int = 2
    whole_seconds: bool = False  # its times have no fractions
    echoes: bool = True  # a write's answer holds the record
    lag: float = 0.0  # seconds until the index shows a change
    shuffles: bool = False  # pages come in any order, and rows twice
    shouts: bool = False  # it stores names in capitals
    finds_by_key: bool = True  # a create that meets its key updates


def drawn_habits(rng: Random) -> Habits:
    """Each seed draws its own."""
    lag = rng.choice((0.0, 0.0, 5.0, 60.0))
    return Habits(
        page_size=rng.choice((1, 2, 3, 50)),
        whole_seconds=rng.random() < 0.4,
        echoes=rng.random() < 0.6 or lag > 0,  # of a record written where the index lags, its answer is what is known
        lag=lag,
        shuffles=rng.random() < 0.3,
        shouts=rng.random() < 0.25,
        finds_by_key=rng.random() < 0.7,
    )


def drawn_rates(rng: Random) -> dict[str, float]:
    """Some faults never, some rarely, some all the time (swarm): what is drawn together finds what is not."""
    return {name: rng.choice((0.0, 0.0, 0.02, 0.1, 0.35)) for name in FAULTS}
