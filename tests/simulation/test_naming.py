"""Names in any order: that they come so, each once, and in every kind of world that has leads."""

from __future__ import annotations

import pytest

from tests.simulation import naming
from tests.simulation.campaign import LEVELS

NUMBERS = range(1, 300)


@pytest.mark.parametrize("order", ["", naming.DESCEND, naming.SHUFFLED])
@pytest.mark.parametrize("digits", [9, 25])
def test_every_name_is_given_once_and_in_its_order(order: str, digits: int) -> None:
    number = naming.number(order, "seed")
    given = [f"{number(n, digits):0{digits}d}" for n in NUMBERS]
    assert len(set(given)) == len(given)
    assert {len(name) for name in given} == {digits}
    found = {"": given == sorted(given), naming.DESCEND: given == sorted(given, reverse=True)}
    assert [name for name, holds in found.items() if holds] == ([order] if order in found else [])


@pytest.mark.parametrize("level", ["port", "deals", "restored", "rolled", "http"])
def test_worlds_of_each_kind_have_them(level: str) -> None:
    seed = next(seed for seed in range(100) if naming.drawn(seed, allowed=True)[0] == naming.SHUFFLED)
    assert LEVELS[level](seed).met[f"beside/{naming.SHUFFLED}"]
