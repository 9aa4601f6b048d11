"""What came beside the stories of the seeds: that it strikes, and that the oracle sees what it is there for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation import futures, keepsakes, narrow, platforms, quirks
from tests.simulation.scenario import Scenario, run
from tests.simulation.seeds import NEWEST
from tests.simulation.side import Seat

AHEAD = 94000551
"""A pair where somebody edits after an edit of theirs was stamped far ahead."""
LINKS = 94000218
"""One where links to further pages grow too old."""
MARKED = 94003512
"""One where the engine puts a tag beside those that a person gave."""
ROLLED, EMPTIED, PICKY, AGED = 94001211, 94000407, 94000394, 94000260
"""Worlds where a roll-up moves, a listing is cut short, a value is not in the list, a cursor is too old."""


def test_a_time_of_the_future_moves_no_place_where_a_pull_begins() -> None:
    outcome = platforms.run(AHEAD, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{futures.STAMPED}"]


def test_a_link_to_the_next_page_that_is_too_old_ends_no_pull() -> None:
    outcome = platforms.run(LINKS, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{narrow.AGED}"]


def test_no_update_takes_away_what_a_person_put_on_a_record() -> None:
    outcome = platforms.run(MARKED, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{keepsakes.KEPT}"]


def test_the_oracle_sees_what_was_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {name: tuple(_lost(place) for place in places) for name, places in keepsakes.PLACES.items()}
    monkeypatch.setattr(keepsakes, "PLACES", nothing)
    assert "P16b: ['Kept" in platforms.run(MARKED, without=NEWEST).violation


def _lost(place: keepsakes.Place) -> keepsakes.Place:
    return keepsakes.Place(place.put, lambda sandbox, id, word: False, place.one)


def test_a_roll_up_that_moves_no_time_is_heard_by_a_full_read() -> None:
    outcome = run(ROLLED, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{quirks.ROLLED}"]


def test_the_oracle_sees_a_roll_up_that_was_not_heard() -> None:
    scenario = Scenario(ROLLED, without=NEWEST)
    check = scenario.quirks.check

    def moved() -> None:
        scenario.quirks.totals = dict.fromkeys(scenario.sides[quirks.ROLLING].live(), 1000)
        check()

    scenario.quirks.check = moved  # type: ignore[method-assign]
    assert "comes to {'Sum 1000'}" in scenario.run().violation


@pytest.mark.parametrize(
    ("seed", "met"),
    [(EMPTIED, f"pull/{quirks.EMPTIED}"), (PICKY, f"update/{quirks.PICKY}"), (AGED, f"beside/{quirks.AGED}")],
)
def test_what_a_platform_does_to_its_readers_and_writers_changes_nothing(seed: int, met: str) -> None:
    outcome = run(seed, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[met]


def test_a_world_without_any_is_seated_as_before() -> None:
    options: dict[str, Any] = {"without": frozenset(quirks.KINDS)}
    assert Scenario(ROLLED, **options).quirks.seated is Seat
