"""What is a person's news, and what our own word come back."""

from __future__ import annotations

from typing import Any

import pytest

from sync.core.echo import came_of, is_rewrite, revise


@pytest.mark.parametrize(
    ("sent", "value", "ours"),
    [
        ("Head of Sales", "Head of Sales", True),
        ("Head of Sales", "HEAD OF SALES", True),
        ("+49 30 901820", "+4930901820", True),
        ("A very long title of somebody", "A very long title of some", True),
        ("Head of Sales", "Head", False),  # too short to say where it was cut
        ("Head", "Chief", False),
        ("5", 5, False),
        (None, None, True),
        (None, "Chief", False),
        # numbers: rounded, with fewer or other zeros, as a floating-point number keeps them
        ("12.75", "13", True),
        ("12.75", "12.7", True),
        ("12.75", "12", True),
        ("99.996", "100", True),
        ("-12.75", "-13", True),
        ("12.75", "14", False),
        ("12.25", "13", False),  # nobody rounds it up so
        ("0.4", "0", True),
        ("-0.4", "0", True),
        ("12.75", "12.85", False),  # as many decimals: nothing was rounded
        ("12.75", "-12.75", False),
        ("1.25", "12.5", False),
        ("12", "12.5", False),
        ("12.50", "12.5", True),
        ("0012", "12", True),
        ("0.1", "0.10000000000000001", True),
        ("1234567890123456789", "1234567890123456800", True),
        ("1" * 40, "1" * 20, True),
        ("12", "\u0661\u0662", False),
        ({"amount": "1234.56", "currency": "EUR"}, {"amount": "1235", "currency": "EUR"}, True),
        ({"amount": "1234.56", "currency": "EUR"}, {"amount": "1235", "currency": "USD"}, False),
        ({"amount": "1234.56", "currency": "EUR"}, {"amount": "1236", "currency": "EUR"}, False),
        ({"amount": "1234.56", "currency": "EUR"}, None, False),
        (1250, 1300, False),
        # times: with the seconds, the minute or the day only, of another zone, or of another zone's day
        ("2026-03-01T10:20:30.400Z", "2026-03-01T10:20:30.000Z", True),
        ("2026-03-01T10:20:30.600Z", "2026-03-01T10:20:31.000Z", True),
        ("2026-03-01T10:20:30.400Z", "2026-03-01T10:20:00.000Z", True),
        ("2026-03-01T10:20:30.400Z", "2026-03-01T10:22:00.000Z", False),
        ("2026-03-01T10:20:30.400Z", "2026-03-01T00:00:00.000Z", True),
        ("2026-03-01T23:20:30.400Z", "2026-03-02T00:00:00.000Z", True),
        ("2026-03-01T23:20:30.400Z", "2026-02-28T23:00:00.000Z", False),
        ("2026-03-01T22:20:30.400Z", "2026-02-28T23:00:00.000Z", True),
        ("2026-03-01T10:20:30.400Z", "2026-03-03T00:00:00.000Z", False),
        ("2026-03-01T14:45:00.000Z", "2026-03-01T00:00:00.000Z", True),
        ("2026-03-01T23:30:00.000Z", "2026-03-01T00:00:00.000Z", True),
        ("2026-03-01T14:45:00.000Z", "2026-02-28T14:45:00.000Z", False),
        ("2026-03-01T10:20:30.400Z", "2026-03-01T12:20:30.400Z", True),
        ("2026-03-01T10:20:30.400Z", "2026-03-01T04:50:30.400Z", True),
        ("2026-03-01T10:20:30.400Z", "2026-03-02T10:20:30.400Z", False),
        ("2026-03-01T10:20:30.400Z", "2026-03-01T12:20:31.400Z", False),
        # a day is a day: whoever writes another one means it
        ("2026-03-01", "2026-02-28", False),
    ],
)
def test_what_came_of_a_value_sent(sent: Any, value: Any, ours: bool) -> None:
    assert came_of(sent, value) is ours


def test_a_rewriting_that_was_told_is_that_and_nothing_else() -> None:
    assert is_rewrite(["Germany", "DE"], "DE")
    assert not is_rewrite(["Germany", "DE"], "Germany")


def test_what_changed_is_dated_and_a_blank_of_nothing_is_no_change() -> None:
    old = {"title": "Head", "city": "Rome", "phone": "+49"}
    new = {"title": "Chief", "city": "Rome", "zip": None, "company": "Granit"}
    assert revise({"city": "t1"}, {}, old, new, "t2") == ({"city": "t1", "title": "t2", "company": "t2"}, {})


def test_an_echo_keeps_its_date_and_is_remembered_and_an_edit_over_it_is_not() -> None:
    held: dict[str, list[Any]] = {"title": ["Head of Sales", None], "city": ["Rome", "ROME"]}
    told = revise(
        {}, held, {"title": "Head of Sales", "city": "ROME"}, {"title": "HEAD OF SALES", "city": "Oslo"}, "t2"
    )
    assert told == ({"city": "t2"}, {"title": ["Head of Sales", "HEAD OF SALES"]})
    assert held["title"] == ["Head of Sales", None]


def test_whoever_replaces_a_value_spoke_after_it_by_whatever_clock() -> None:
    by_a_clock_ahead = {"title": "2026-03-01T12:00:00.999Z", "city": "2026-03-01T12:00:00.000Z"}
    old, new = {"title": "Head", "city": "Rome"}, {"title": "Chief", "city": "Oslo"}
    changed, _ = revise(by_a_clock_ahead, {}, old, new, "2026-03-01T12:00:00.500Z")
    assert changed == {"title": "2026-03-01T12:00:01.000Z", "city": "2026-03-01T12:00:00.500Z"}


def test_whoever_replaces_what_their_lead_says_spoke_after_it() -> None:
    edit: tuple[Any, Any, Any, Any, Any] = ({}, {}, {"title": "Head"}, {"title": "Chief"}, "2026-03-01T12:00:00.500Z")
    assert revise(*edit, {"title": "2026-03-01T12:00:02.000Z"})[0] == {"title": "2026-03-01T12:00:02.001Z"}
    assert revise(*edit, {"city": "2026-03-01T12:00:02.000Z"})[0] == {"title": "2026-03-01T12:00:00.500Z"}


def test_whoever_replaces_what_stood_from_the_first_spoke_after_it() -> None:
    first, edited = "2026-03-01T12:00:02.000Z", "2026-03-01T12:00:00.500Z"
    changed, _ = revise({}, {}, {"title": "Head"}, {"title": "Chief", "city": "Oslo"}, edited, first_at=first)
    assert changed == {"title": "2026-03-01T12:00:02.001Z", "city": edited}
