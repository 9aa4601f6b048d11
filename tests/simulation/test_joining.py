"""Two people who turn out to be one: what worlds of them found, that they occur, and that the oracle would see more of
one than there is."""

from __future__ import annotations

import pytest

from sync import duplicates
from tests.simulation import joining, seeds
from tests.simulation.scenario import Scenario, run

ARCHIVE: tuple[int, ...] = (
    # an address that a create in doubt had meant, entered at the other's record within the hour: it went back
    *(500421, 615489, 805765),
    # a second lead converted into the contact that a first had made: the contact's old word counted as the newest
    *(611408, 611413),
    # the world and the oracle: a change of an address that nobody had heard of when the two were one, or of a further
    # one; one that the record had before, or that came with the merge; whose record a create confused
    *(500134, 501938, 505821, 604282, 605390, 614427, 614514, 615801, 709700, 715500),
    # of two who are converted into one new record, a planted bug
    *(951432, 951520),
    # a record that goes to the lead that another was until just now, a planted bug, too
    *(971797, 972214),
    # the same: what a platform carries over where the blank was never told, or what it had cut off; roll-ups of one
    # deleted in silence; times by the clocks of a zone
    *(605269, 701004, 706157, 709928, 710232, 950088, 964391, 967483, 968266),
    # the oracle: one who was put away, and told so, before the merge was not told of the merge by that; a value that
    # came over with a merge says not of whom the create speaks that tells it before the merge was heard
    *(510042599, 500009154),
    # the oracle: a value that a conversion carried over, and that an answer left out until the record was changed,
    # looks as if it was given then, whoever gave it
    500003579,
    # the world: a platform filled in a merge what somebody had blanked just then, and been blank before
    4201172,
    # what a platform carried over in a merge, and told before it: written elsewhere, it went over newer values
    970356,
    # who was merged with one who was merged further in the same batch was given to a lead that was gone
    5602444,
    # what the engine gave the record that a conversion made went over newer values, by a clock that is ahead
    510046911,
)
FIRST, BATCH = 940_000, 50


@pytest.fixture(autouse=True)
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "SHARE", 1.0)


@pytest.mark.parametrize("seed", ARCHIVE)
def test_what_failed_once_holds(seed: int) -> None:
    assert run(seed).violation == ""


@pytest.mark.parametrize("first", range(FIRST, FIRST + 600, BATCH))
def test_two_who_become_one_lose_nothing_and_are_not_doubled(first: int) -> None:
    seeds.hold(range(first, first + BATCH))


def test_all_ways_occur_and_none_where_it_is_left_out() -> None:
    met = {name for seed in range(80) for name in run(seed).met}
    assert {f"beside/{name}" for name in joining.NAMES} <= met
    without = {name for seed in range(20) for name in run(seed, without=frozenset({joining.KIND})).met}
    assert not {f"beside/{name}" for name in joining.NAMES} & without


def test_the_oracle_sees_that_two_are_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine is not told of a merge, their records differ."""
    monkeypatch.setattr(duplicates, "link", lambda *of: None)
    assert any(run(seed, without=frozenset({"meddling"})).violation for seed in range(60))


def test_a_world_of_one_person_gets_a_second() -> None:
    scenario = next(one for one in map(Scenario, range(40)) if Scenario(one.seed, without=ALONE).people.number == 1)
    assert scenario.people.number == 2


ALONE = frozenset({joining.KIND})
