"""How pages are put together into transactions: many where they come fast, few where they come slowly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from config.clock import ManualClock
from config.errors import QuotaExhausted
from connectors.api import Page, Record
from sync.pull import GROUP, PATIENCE, _groups


def pages(clock: ManualClock, number: int, size: int, seconds: float) -> Iterator[Page]:
    for page in range(number):
        clock.advance(seconds)
        yield Page([Record(f"{page}-{n}", b"{}") for n in range(size)], str(page), more=page < number - 1)


def sizes(number: int, size: int, seconds: float) -> list[int]:
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    return [len(group) for group in _groups(pages(clock, number, size, seconds), clock)]


def test_fast_pages_share_a_transaction() -> None:
    assert sizes(7, GROUP // 3 + 1, 0.001) == [3, 3, 1]


def test_what_came_before_an_error_is_given_before_it() -> None:
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))

    def stopped() -> Iterator[Page]:
        yield from pages(clock, 2, 10, 0.001)
        raise QuotaExhausted("Enough.")

    found: list[list[Page]] = []
    with pytest.raises(QuotaExhausted):
        found.extend(_groups((replace(page, more=True) for page in stopped()), clock))
    assert [[page.cursor for page in group] for group in found] == [["0", "1"]]


def test_slow_pages_do_not_wait_for_each_other() -> None:
    assert sizes(5, 10, PATIENCE / 2) == [2, 2, 1]
    assert sizes(3, 10, PATIENCE * 3) == [1, 1, 1]
