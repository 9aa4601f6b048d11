"""Dates, times and numbers by which the nth is known again, however a side writes or rounds them.

They are those at which clocks and calendars stumble: the nights when clocks change in three parts of the world, leap
days, ends of years, the first days of 1970, centuries past. No two are of one day, or of one the day after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from config.clock import stamp

_FIXED = (
    *("1970-01-01T00:00:00", "1970-01-04T00:00:01.5", "1970-01-20T10:11:12", "1970-06-01T00:00:00"),
    *("1969-12-28T23:59:59.999", "1973-03-03T09:00", "1582-10-15T12:00", "1000-01-01T00:00", "1893-03-31T23:30"),
    *("1911-03-10T23:50:39", "1900-02-28T00:00", "2000-02-29T23:59:59.999", "2038-01-19T03:14:08", "9999-12-30T00:00"),
)
_NIGHTS = ((3, 25, "00:59:59.999"), (10, 25, "01:30:00.250"), (3, 8, "07:00:00"), (11, 1, "06:30:00.001"))
"""Clocks change on the first Sunday from this day of this month on, at this hour of the common time: in Europe, in
North America; on the other side of the earth in April and October."""
_APART = timedelta(days=3)


@cache
def moments() -> tuple[datetime, ...]:
    """All of them, at least three days apart, in a fixed order that goes to and fro."""
    found: list[datetime] = []
    for text in (*_FIXED, *_drawn()):
        at = datetime.fromisoformat(text).replace(tzinfo=UTC)
        if all(abs(at - other) >= _APART for other in found):
            found.append(at)
    Random("moments").shuffle(found)
    return tuple(found)


def _drawn() -> Iterator[str]:
    """Of each year its leap day, or its end, and the nights when clocks change."""
    for year in range(2016, 2040):
        yield f"{year}-02-29T12:00:00.001" if year % 4 == 0 else f"{year}-12-31T23:59:59.999"
        yield f"{_sunday(year, 4, 1)}T14:45:00"
        yield from (f"{_sunday(year, month, first)}T{hour}" for month, first, hour in _NIGHTS)


def _sunday(year: int, month: int, first: int) -> date:
    """The first Sunday from this day on."""
    day = date(year, month, first)
    return day + timedelta(days=(6 - day.weekday()) % 7)


@cache
def _days() -> Mapping[date, int]:
    """Whose each day is: that of a moment, the one before and the one after, which a zone or a rounding may make it."""
    return {(at + timedelta(days=by)).date(): n for n, at in enumerate(moments()) for by in (-1, 0, 1)}


def _of_day(day: date) -> int | None:
    """Whose it is. A day that was written where it is kept by another zone's clocks has been moved twice."""
    near = (day, day + timedelta(days=1), day - timedelta(days=1))
    return next((_days()[one] for one in near if one in _days()), None)


def number(n: int) -> Decimal:
    """The number that is the nth value: rounded to whole ones it is no other."""
    return (Decimal("7.4567") + 1000 * n) * (-1 if n % 2 else 1)


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DOTTED = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})")


@lru_cache(4096)
def number_of(value: Any) -> int | None:
    """Which value it is, however it is written, rounded or moved: the nth. None for a blank, and for other texts."""
    text = str("" if value is None else value)
    if text[:6].casefold() == "value ":
        return int(text.split()[1])
    if _NUMBER.fullmatch(text):
        amount = Decimal(text)
        thousands, rest = divmod(int(abs(amount)), 1000)
        if rest == 7:  # no time in milliseconds is at the seventh
            return thousands
        return _of_day((EPOCH + timedelta(milliseconds=int(amount))).date())
    if found := _DAY.match(text):
        return _of_day(date(*map(int, found.groups())))
    if found := _DOTTED.fullmatch(text):
        return _of_day(date(*map(int, reversed(found.groups()))))
    return None


FILLER = "[not provided]"
TAIL = " ~ "
"""What comes behind it says nothing: of a long value that was cut off this much stands."""


def plain(value: Any) -> str:
    """A value as it is compared: whatever its case, cut off or whole, and however a date or a number is written."""
    if value.__class__ is not str or value[:1].isdecimal() or value[:1] == "-":
        number = number_of(value)
        return "" if number is None else f"value {number}"
    return "" if value == FILLER else str(value or "").casefold().partition(TAIL)[0]


# how sides write them


@dataclass(frozen=True, slots=True)
class Style:
    """How a side writes the values of a type: the transform of its mapping, and the two ways between what stands there
    and the value itself. `whole`: what is written so is all of the value."""

    transform: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    whole: bool = True


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(raw: Any) -> datetime:
    at = datetime.fromisoformat(str(raw))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _since(at: datetime) -> str:
    return str((at - EPOCH) // timedelta(milliseconds=1))


def _local(zone: str) -> Style:
    """By the clocks of a zone: no offset tells which of two hours it is."""
    here = ZoneInfo(zone)
    return Style(
        f"[{{datetime: {{zone: {zone}, write: local}}}}]",
        lambda at: at.astimezone(here).replace(tzinfo=None).isoformat(" ", "seconds"),
        lambda raw: datetime.fromisoformat(raw).replace(tzinfo=here).astimezone(UTC),
        whole=False,
    )


def _day(raw: Any) -> date:
    return date.fromisoformat(str(raw)[:10])


def _since_day(day: date) -> str:
    return _since(datetime.combine(day, time(), UTC))


def _day_since(raw: Any) -> date:
    return (EPOCH + timedelta(milliseconds=int(raw))).date()


STYLES: Mapping[str, tuple[Style, ...]] = {
    "datetime": (
        Style("[datetime]", stamp, _instant),
        _local("Europe/Berlin"),
        Style("[{datetime: epoch_ms}]", _since, lambda raw: EPOCH + timedelta(milliseconds=int(raw))),
        _local("Australia/Lord_Howe"),
        Style("[{datetime: seconds}]", lambda at: at.isoformat(timespec="seconds"), _instant, whole=False),
    ),
    "date": (
        Style("[date]", date.isoformat, _day),
        Style("[{date: epoch_ms}]", _since_day, _day_since),
        Style("[date]", lambda day: f"{day}T00:00:00.000Z", _day),
        Style('[{date: "%d.%m.%Y"}]', lambda day: f"{day:%d.%m.%Y}", lambda raw: date(*map(int, raw.split(".")[::-1]))),
    ),
    "decimal": (
        Style("[decimal]", str, lambda raw: Decimal(str(raw))),
        Style("[decimal]", float, lambda raw: Decimal(str(raw))),
    ),
}


def style_of(world: str, place: int) -> Style:
    """How the side in this place writes them, in a world of `type/number`."""
    type, _, number = world.partition("/")
    return STYLES[type][(int(number) + place) % len(STYLES[type])]
