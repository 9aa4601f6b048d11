"""Dates, times and numbers as values: that they come back as they were given, and that the oracle would see others."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from config.clock import stamp
from mappings import transforms
from sync.core import echo
from tests.simulation import dates, moments
from tests.simulation.scenario import run

LOST = 173_000_375
"""An answer is lost by a side that keeps times by its clocks: what is found there does not replace the whole."""
MOVED, ROUNDED, COUNTED = 161001214, 161000008, 161001908
"""Worlds where a side takes its own clocks' time for the common one, where one rounds numbers, and no answer tells
either; where one keeps dates in epoch milliseconds."""
TWICE = 300_003_433
"""One of the first kind, where a person has two records on that side."""
UNZONED = 510_029_958
"""A side keeps the day of a time just after its zone began: its midnight was before."""


@pytest.mark.parametrize(
    ("seed", "met"), [(MOVED, dates.REWRITTEN), (ROUNDED, dates.REWRITTEN), (COUNTED, "values of type date")]
)
def test_dates_and_numbers_come_back_as_they_were_given(seed: int, met: str) -> None:
    outcome = run(seed)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{met}"]


def test_a_day_that_two_records_of_a_person_have_moved_twice_is_known_again() -> None:
    assert run(TWICE).violation == ""


def test_a_day_that_began_before_there_were_zones_is_known_again() -> None:
    assert run(UNZONED).violation == ""


def test_what_a_side_cannot_hold_stands_elsewhere() -> None:
    assert run(LOST).violation == ""


@pytest.mark.parametrize(("seed", "name"), [(MOVED, "is_moved"), (ROUNDED, "is_rounded")])
def test_the_oracle_sees_what_a_side_rewrote_come_back(seed: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, name, lambda sent, value: False)
    assert "P20: title came back" in run(seed).violation


def test_the_oracle_sees_a_day_that_is_read_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "_from_epoch", lambda count: "2026-03-01T00:00:00.000Z")
    assert run(COUNTED).violation


@pytest.mark.parametrize("type", sorted(moments.STYLES))
def test_each_value_is_known_again_however_it_is_written_or_rewritten(type: str) -> None:
    names = ("alpha", "beta")
    for place in range(len(moments.STYLES[type])):
        for rewriting in (None, *dates.REWRITINGS[type]):
            dated = dates.Dated(f"{type}/{place}", names, 5, "alpha", rewriting)
            for n in range(len(moments.moments())):
                assert dated.nth(dated.given("alpha", n)) == n


@pytest.mark.parametrize("place", range(len(moments.STYLES["datetime"])))
def test_what_a_side_makes_of_a_time_is_what_a_platform_may_make_of_it(place: int) -> None:
    style = moments.STYLES["datetime"][place]
    for rewriting in dates.REWRITINGS["datetime"]:
        for at in moments.moments():
            sent = style.write(at)
            told = [stamp(style.read(raw)) for raw in (sent, rewriting(style, sent))]
            assert echo.came_of(*told)


def test_no_two_moments_are_near() -> None:
    found = sorted(moments.moments())
    assert all(after - before >= timedelta(days=3) for before, after in pairwise(found))
    assert len({moments.number(n) for n in range(len(found))}) == len(found)


@pytest.mark.parametrize("told", ["p3+1@x.example", "customer", "subscribed", "2026-03-01", "", None, "Sum 3"])
def test_what_is_none_of_them_is_none(told: Any) -> None:
    assert moments.number_of(told) is None
