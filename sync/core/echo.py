"""Echoes: which of a record's values are a person's news, and which only our own words come back, perhaps rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from mappings.model import Values
from sync.core.rounding import is_moved, is_number, is_rounded, is_rounded_money, is_stamp

APART = timedelta(days=1)
"""No two clocks differ by more."""


def revise(
    changed: dict[str, str],
    held: dict[str, list[Any]],
    old: Values,
    new: Values,
    since: str,
    agreed: Mapping[str, str] = MappingProxyType({}),
    first_at: str = "",
) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """Which fields changed and when, and which still hold what the platform made of a value of ours.

    A blank where nothing was known is unset, not cleared: no change. What the platform rewrote is no person's change.
    Whoever replaces a value spoke after it, whatever their clock says: where the value came from a platform whose clock
    is ahead, the new one counts from just after it. `agreed` has, by field, since when an old value counts that the
    record's lead has as well; `first_at` is since when the values count that are not in `changed`.
    """
    changed, held = dict(changed), dict(held)
    for name, value in new.items():
        if (name in old and old[name] == value) or (name not in old and value is None):
            continue
        if name in held and is_rewrite(held[name], value):
            held[name] = [held[name][0], value]
            continue
        held.pop(name, None)
        changed[name] = later(since, stood_since(name, old, changed, agreed, first_at))
    return changed, held


def stood_since(name: str, old: Values, changed: Mapping[str, str], agreed: Mapping[str, str], first_at: str) -> str:
    """Since when the value counts that a field had in `old`; "" where it never had any."""
    from_the_first = first_at if old.get(name) is not None else ""
    return max(changed.get(name, from_the_first), agreed.get(name, ""))


def later(since: str, replaced: str) -> str:
    """When a value counts from that was given at `since`, by its platform's clock, over one that counts from
    `replaced`, perhaps by another's: a millisecond after that one at least."""
    if since > replaced:
        return since
    after = datetime.fromisoformat(replaced) + timedelta(milliseconds=1)
    return f"{after.isoformat(timespec='milliseconds')[:23]}Z"


def is_rewrite(held: list[Any], value: Any) -> bool:
    """Whether `value` is what the platform made of the value we sent: what it returned then, or, where it returned
    nothing, what differs from it only in case, space, punctuation, by being cut off, or as rounded numbers and times
    of other zones do."""
    sent, returned = held
    if returned is not None:
        return bool(returned == value)
    if isinstance(sent, dict) and isinstance(value, dict):
        return is_rounded_money(sent, value)
    if not isinstance(sent, str) or not isinstance(value, str):
        return False
    one, other = _bare(sent), _bare(value)
    if len(other) >= 20 and one.startswith(other):
        return True
    if is_number(sent) and is_number(value):  # 1.25 is not 12.5
        return is_rounded(sent, value)
    return one == other or (is_stamp(sent) and is_stamp(value) and is_moved(sent, value))


def came_of(sent: Any, value: Any) -> bool:
    """Whether `value` is what was sent, or what a platform made of it without telling."""
    return bool(value == sent) or is_rewrite([sent, None], value)


def _bare(value: str) -> str:
    return "".join(letter for letter in value.casefold() if letter.isalnum())
