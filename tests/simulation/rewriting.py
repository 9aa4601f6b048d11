"""A side that cuts long texts off, and what that must not come to (S25): what it cut is a rewriting of the engine's own
word, and never goes back to where the whole of it stands (P10, P20). Drawn beside the story of a seed; every value that
people give in such a world is long. In others every value is odd (D5): no comparison of the engine may take it for
another than it is.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.moments import TAIL
from tests.simulation.oracle import Violation, whole
from tests.simulation.people import FIELDS
from tests.simulation.side import Side

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "cuts"
CUT = "texts cut off"
ODD = "odd values"
SHARE = 0.08
LONG = TAIL + "and-so-on-" * 5
LENGTHS = (36, 44)
"""Letters after which a text is cut. What says nothing of itself is known as a rewriting from twenty on."""
ODDITIES = (
    "\u0141ukasz Stra\u00dfe \ufb01n \u0130stanbul \u01c5",  # letters that change their number with their case
    "Zoe\u0308 \u1ea1\u0302 a\u0316\u0301",  # letters put together, in two orders
    "\u202e\u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627\u202c",  # from right to left, and turned round
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u200b\ufeff.",  # joined, and of no width
    "=1+1 @SUM(A1) 0012 1e9 NaN null",
    "'; DROP TABLE leads;-- {{7*7}} ${x} <b>%00 \\ \"",
    "x" * 3_000,
)
"""What is behind each value of a world: one of these."""


def draw(scenario: Scenario) -> None:
    """Let one side cut texts off, in some worlds; in others let all values be odd."""
    rng = Random(f"{scenario.seed}-cuts")
    drawn = rng.random() if scenario._befalls(KIND) and scenario.people.dated is None else 1.0
    if drawn >= SHARE:
        if drawn < 2 * SHARE:
            scenario.people.tail = TAIL + rng.choice(ODDITIES)
            scenario.met[f"beside/{ODD}"] += 1
        return
    side = scenario.sides[rng.choice(tuple(scenario.sides))]
    side.cuts = rng.choice(LENGTHS)
    scenario.people.tail = LONG
    scenario.met[f"beside/{CUT}"] += 1


def check(scenario: Scenario) -> None:
    """P20: what stands where nothing is cut, and what was written there, is as somebody gave it. Where people came to
    share an address a look-up may have shown the record of another: there it is not judged. Nor where the record that
    had the whole was merged into another's: what was cut off may be all that is left."""
    merged = scenario.joining and scenario.joining.ended
    if not scenario.people.tail or scenario.people.shared or merged:
        return
    given = {whole(edit.value) for edit in scenario.people.edits} | {""}
    for side in scenario.sides.values():
        if side.cuts:
            continue
        for values in _ever(side):
            for name in FIELDS:
                if (value := whole(values.get(name))) not in given:
                    raise Violation(f"P20: {name} came back to {side.name} as {value!r}")


def _ever(side: Side) -> list[dict[str, object]]:
    return [*(row.values for row in side.live().values()), *(values for _, _, values in side.writes)]
