"""COQL, the query language: the few forms that we ask in.

More than two conditions must stand in nested brackets of two each. Times are told in whole seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from config.clock import unstamp
from config.errors import Misconfigured

MOST = 2000
"""Rows of one answer (3 credits); up to 200 cost 1."""
FEW = 200
COLUMNS = 50
VALUES = 50
"""Values in one `in`."""


def select(columns: Sequence[str], module: str, where: str, order: str, limit: int) -> str:
    parts = ("select", ", ".join(columns), "from", module, "where", where, "order by", order, "limit", str(limit))
    return " ".join(parts)


def text(value: str) -> str:
    """A literal. A quote is doubled; there is no other escape."""
    return "'" + value.replace("'", "''") + "'"


def time(stamp: str) -> str:
    """A stamp as a literal of whole seconds."""
    return f"'{unstamp(stamp):%Y-%m-%dT%H:%M:%S}+00:00'"


def both(one: str, other: str) -> str:
    return f"({one} and {other})"


def either(one: str, other: str) -> str:
    return f"({one} or {other})"


def window(since: str, until: str, at: str, id: str) -> str:
    """What changed in [since, until], behind the key (at, id) where one is set."""
    upper = f"Modified_Time <= {time(until)}"
    if at:
        same = both(f"Modified_Time = {time(at)}", f"id > {id}")
        return both(either(f"Modified_Time > {time(at)}", same), upper)
    return both(f"Modified_Time >= {time(since)}", upper) if since else f"({upper})"


def member(column: str, values: Sequence[str]) -> str:
    return f"({name(column)} in ({', '.join(text(value) for value in values)}))"


def name(column: str) -> str:
    """The column, made sure to be a name. Raises Misconfigured for anything else."""
    if not re.fullmatch(r"[A-Za-z]\w{0,99}", column):
        raise Misconfigured(f"{column!r} cannot be searched in Zoho.", fix="Match by Email or a unique field.")
    return column
