"""A platform whose next page is the same page for ever: a pull ends with an error, whatever connector it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from config.clock import ManualClock
from config.errors import RetryLater
from connectors.api import Page, Record
from connectors.sound import STANDING, Sound
from tests.conftest import START
from tests.engine.memory import Memory, MemoryConnector


class Circle(MemoryConnector):
    """Pages as they are given."""

    pages: Iterator[Page]

    def pull(self, *args: object, **more: object) -> Iterator[Page]:
        yield from self.pages


def read(pages: Iterator[Page]) -> int:
    """How many pages are read, at most so many more than may stand still."""
    one = Circle(Memory(ManualClock(START)))
    one.pages = pages
    with closing(Sound(one, "crm", "CRM")) as sound:
        return sum(1 for _ in sound.pull("contacts", None, []))


def page(first: int, cursor: str) -> Page:
    return Page([Record(str(number), b"{}") for number in range(first, first + 3)], cursor, True)


def circle(cursors: Iterator[str]) -> Iterator[Page]:
    for cursor in cursors:
        yield page(1, cursor)


@pytest.mark.parametrize("moves", [False, True], ids=["the same cursor", "a cursor that counts"])
def test_the_same_page_for_ever_ends_in_an_error(moves: bool) -> None:
    with pytest.raises(RetryLater, match="again and again"):
        read(circle(str(number if moves else 1) for number in range(10**9)))


def test_the_same_empty_page_for_ever_ends_too() -> None:
    with pytest.raises(RetryLater, match="again and again"):
        read(Page([], "a", True) for _ in range(10**9))


def test_a_page_that_is_told_again_some_times_is_read() -> None:
    assert read(circle("a" for _ in range(STANDING))) == STANDING


def test_pages_that_move_are_read_however_many_they_are() -> None:
    assert read(page(number, "a") for number in range(5 * STANDING)) == 5 * STANDING
    assert read(Page([], str(number), True) for number in range(5 * STANDING)) == 5 * STANDING
