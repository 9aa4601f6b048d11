"""What a platform that tells nothing of it makes of a number or a time: rounded, kept to the day, moved by a time zone.

All is told by the look of the values: a lead's texts are numbers, too, where a platform keeps them in a number field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_WEST, _EAST = timedelta(hours=12), timedelta(hours=14)
"""No time zone is farther behind, or ahead of, the common time."""
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
_QUARTER = timedelta(minutes=15)
"""All zones are whole quarters of an hour apart."""


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def is_stamp(text: str) -> bool:
    """Whether it is a date and time in canonical form."""
    return _STAMP.fullmatch(text) is not None


def is_rounded(sent: str, value: str) -> bool:
    """Whether the second number is the first, as it is, as a floating-point number keeps it, or with fewer decimals:
    rounded to the nearest, or cut off."""
    one, other = Decimal(sent), Decimal(value)
    if float(one) == float(other):
        return True
    unit, off = Decimal(1).scaleb(-_places(value)), abs(one) - abs(other)
    return one * other >= 0 and -unit / 2 <= off < unit  # with no fewer decimals it would be whole units away


def is_rounded_money(sent: Mapping[str, str], value: Mapping[str, str]) -> bool:
    """Whether it is the same amount, perhaps rounded, in the same currency."""
    return sent["currency"] == value["currency"] and is_rounded(sent["amount"], value["amount"])


def is_moved(sent: str, value: str) -> bool:
    """Whether the second time is the first, with no more than its minute, second or day kept, or as another time zone's
    clocks show it. A day may begin at midnight of any zone."""
    one, other = datetime.fromisoformat(sent), datetime.fromisoformat(value)
    apart = other - one
    if not apart % _QUARTER and -_WEST <= apart <= _EAST:
        return True
    whole = next((unit for unit in (_QUARTER, _MINUTE, _SECOND) if not _past(other, unit)), None)
    if whole is _QUARTER and (-_DAY < apart <= timedelta(0) or (not _past(other, _DAY) and _is_its_day(apart))):
        return True
    return whole is not None and abs(apart) < min(whole, _MINUTE)


def _is_its_day(apart: timedelta) -> bool:
    """Whether a midnight of the common time may begin the day that some zone had."""
    return -_DAY - _WEST < apart <= _EAST


def _past(at: datetime, unit: timedelta) -> timedelta:
    """How long ago the last whole `unit` was."""
    return (at - at.replace(hour=0, minute=0, second=0, microsecond=0)) % unit


def _places(number: str) -> int:
    return len(number.partition(".")[2].rstrip("0"))
