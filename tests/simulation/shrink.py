"""Make a failing scenario small: take away what it fails without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.scenario import BESIDE, Outcome, Scenario
from tests.simulation.swarm import FAULTS

OF_DEALS = ("aims", "inboxes", "conditions", "briefs", "twins", "rounds", "hand-offs")
"""What befalls worlds with deals only."""
AT_MOST = 400
"""Tries."""


def shrunk(seed: int, failing: Outcome, world: type[Scenario] = Scenario) -> tuple[dict[str, Any], Outcome]:
    """The options under which the seed fails in the same way with the least of it, and what it came to then."""
    best, options = failing, _whole(seed, world)
    tries = 0
    improved = True
    while improved and tries < AT_MOST:
        improved = False
        for smaller in _smaller(options):
            tries += 1
            outcome = world(seed, **smaller).run()
            if _property(outcome) == _property(failing):
                best, options, improved = outcome, smaller, True
                break
    return options, best


def _whole(seed: int, world: type[Scenario]) -> dict[str, Any]:
    return {"until": world(seed).planned, "without": frozenset(), "idle": frozenset()}


def _property(outcome: Outcome) -> str:
    """What was violated, as "P4"."""
    return outcome.violation.partition(": ")[2].partition(":")[0]


def _smaller(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each option a little less, the largest cuts first."""
    for until in range(1, options["until"]):
        yield options | {"until": until}
    for kind in ("crash", "takeover", "meddling", *BESIDE, *OF_DEALS, *FAULTS):
        if kind not in options["without"]:
            yield options | {"without": options["without"] | {kind}}
    for number in range(options["until"]):
        if number not in options["idle"]:
            yield options | {"idle": options["idle"] | {number}}
