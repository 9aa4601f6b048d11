"""What a platform that tells nothing of it may make of a number or a time, and where an edit begins: what is taken for
rounding is undone by nobody, and what is taken for an edit goes everywhere."""

from __future__ import annotations

import pytest

from sync.core.rounding import is_moved, is_rounded


@pytest.mark.parametrize(
    ("sent", "value", "rounded"),
    [
        # a half goes up or down, by whichever rule, and no more than a half goes up
        ("12.5", "13", True),
        ("-12.5", "-13", True),
        ("12.5", "12", True),
        ("12.49", "13", False),
        # what is cut off is less than one of the last place
        ("12.99", "12", True),
        ("13", "12", False),
        ("12.75", "12.65", False),
        # more decimals than were sent are nobody's rounding
        ("12", "12.4", False),
        ("12.5", "12.46", False),
        # rounded, and filled up with noughts to the places that the platform shows
        ("12.46", "12.50", True),
        ("1234.56", "1235.00", True),
        ("12.44", "12.50", False),
    ],
)
def test_a_number_is_rounded_within_its_last_place_and_edited_beyond(sent: str, value: str, rounded: bool) -> None:
    assert is_rounded(sent, value) is rounded


SENT = "2026-03-01T10:20:30.400Z"


@pytest.mark.parametrize(
    ("sent", "value", "moved"),
    [
        # clocks are at most twelve hours behind the common time, and fourteen ahead of it
        (SENT, "2026-02-28T22:20:30.400Z", True),
        (SENT, "2026-02-28T22:05:30.400Z", False),
        (SENT, "2026-03-02T00:20:30.400Z", True),
        (SENT, "2026-03-02T00:35:30.400Z", False),
    ],
)
def test_a_time_is_moved_no_farther_than_any_zone_is(sent: str, value: str, moved: bool) -> None:
    assert is_moved(sent, value) is moved


@pytest.mark.parametrize(
    ("sent", "value", "kept"),
    [
        # to the second: apart by less than one
        ("2026-03-01T10:20:30.999Z", "2026-03-01T10:20:30.000Z", True),
        ("2026-03-01T10:20:31.000Z", "2026-03-01T10:20:30.000Z", False),
        (SENT, "2026-03-01T10:20:10.000Z", False),
        # to the minute: by less than one, also where the minute is a whole quarter
        ("2026-03-01T10:20:59.999Z", "2026-03-01T10:20:00.000Z", True),
        ("2026-03-01T10:21:00.000Z", "2026-03-01T10:20:00.000Z", False),
        ("2026-03-01T10:29:30.400Z", "2026-03-01T10:30:00.000Z", True),
        (SENT, "2026-03-01T10:30:00.000Z", False),
    ],
)
def test_a_time_that_is_kept_to_a_second_or_a_minute_is_nearer_than_that(sent: str, value: str, kept: bool) -> None:
    assert is_moved(sent, value) is kept


@pytest.mark.parametrize(
    ("sent", "value", "its_day"),
    [
        # the midnight that began the day in some zone: a whole quarter, and less than a day before
        (SENT, "2026-02-28T10:30:00.000Z", True),
        (SENT, "2026-02-28T10:15:00.000Z", False),
        (SENT, "2026-03-01T08:21:00.000Z", False),
        (SENT, "2026-03-01T12:00:00.000Z", False),
        # the day of some zone, told as that day's midnight by the common time
        ("2026-03-02T08:20:30.400Z", "2026-03-01T00:00:00.000Z", True),
        ("2026-03-02T11:59:59.999Z", "2026-03-01T00:00:00.000Z", True),
        ("2026-03-02T12:00:00.000Z", "2026-03-01T00:00:00.000Z", False),
        ("2026-03-01T10:00:00.001Z", "2026-03-02T00:00:00.000Z", True),
        ("2026-03-01T09:59:59.999Z", "2026-03-02T00:00:00.000Z", False),
    ],
)
def test_a_day_is_that_of_some_zone(sent: str, value: str, its_day: bool) -> None:
    assert is_moved(sent, value) is its_day
