"""The faults of a side's calls, and how often each strikes in a scenario."""

from __future__ import annotations

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


def drawn_rates(rng: Random) -> dict[str, float]:
    """Some faults never, some rarely, some all the time (swarm): what is drawn together finds what is not."""
    return {name: rng.choice((0.0, 0.0, 0.02, 0.1, 0.35)) for name in FAULTS}
