"""A side that must have a first name, and fills it in where there is none ("[not provided]", S25): by its mapping that
is no value. The engine writes it where it makes somebody of whom it knows none; it is told to nobody, and replaces
nothing. Drawn beside the story of a seed.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from connectors.api import Verb
from tests.simulation.moments import FILLER, plain
from tests.simulation.oracle import Violation
from tests.simulation.side import Row, Side

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "filler"
FILLED = "names filled in"
SHARE = 0.06
FIELD = "first"


def draw(scenario: Scenario) -> str:
    """Let one side fill first names in, in some worlds whose texts are plain; its name, "" in most."""
    rng = Random(f"{scenario.seed}-{KIND}")
    loses = scenario.drift is not None and scenario.drift.field == FIELD  # a field that is gone is not filled in
    strange = scenario.people.dated or scenario.people.tail or loses
    if rng.random() >= SHARE or strange or not scenario._befalls(KIND):
        return ""
    side = scenario.sides[rng.choice(tuple(scenario.sides))]
    side.fills = True
    side.habits = replace(side.habits, shouts=False, finds_by_key=False)  # a create fills in, and meets nobody
    scenario.met[f"beside/{FILLED}"] += 1
    return side.name


def check(scenario: Scenario) -> None:
    """P20: it stands nowhere else, and was written nowhere else; P19: and over no value. Nobody is made there
    without."""
    for side in scenario.sides.values():
        for verb, over, values in side.writes:
            name = values.get(FIELD)
            if side.fills and verb is Verb.CREATE and over is None and not name:
                raise Violation(f"P20: somebody was made on {side.name} without a name, which it does not take")
            if name == FILLER and (not side.fills or (over is not None and _stood(side, over))):
                raise Violation(f"P19/P20: {FILLER} was written to {side.name} over {over}")
        _check_rows(side)


def _stood(side: Side, over: Row) -> bool:
    """Whether a name stood there that anybody had been shown: it may have been given since it was looked."""
    name = over.values.get(FIELD)
    return bool(plain(name)) and (over.id, FIELD, name) not in side.blind


def _check_rows(side: Side) -> None:
    if not side.fills and any(row.values.get(FIELD) == FILLER for row in side.live().values()):
        raise Violation(f"P20: {FILLER} stands on {side.name}")
