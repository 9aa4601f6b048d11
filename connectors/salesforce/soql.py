"""Queries as text. Every value goes through the SDK's `format_soql`; names are checked to be names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from simple_salesforce.format import format_soql

from config.errors import Misconfigured

LONGEST_QUERY = 12_000
"""Characters of an encoded query: the platform takes 16,384 bytes of request line and headers together."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,5}")


def names(fields: Sequence[str]) -> list[str]:
    """The fields, without repeats. Raises Misconfigured for what can be no field's name."""
    for field in fields:
        if not _NAME.fullmatch(field):
            fix = "Write the API name of a field, as Account.Name or My_Field__c."
            raise Misconfigured(f"{field!r} is no name of a Salesforce field.", fix=fix, field=field)
    seen: dict[str, str] = {}
    for field in fields:
        seen.setdefault(field.lower(), field)
    return list(seen.values())


def select(fields: Sequence[str], sobject: str, where: str = "", order: str = "") -> str:
    text = " ".join(["SELECT", ", ".join(names(fields)), "FROM", sobject])
    return text + (f" WHERE {where}" if where else "") + (f" ORDER BY {order}" if order else "")


def literal(at: str) -> str:
    """A stamp of ours as a date-time literal; the platform keeps whole seconds."""
    return at[:19] + "Z"


def window(after: tuple[str, str] | None, since: str, until: str) -> str:
    """What changed from `since` (inclusive) until `until` (inclusive) behind the key `after` (stamp, id)."""
    parts = []
    if after is not None:
        at = literal(after[0])
        same = format_soql("SystemModstamp = {at:literal} AND Id > {id}", at=at, id=after[1])
        parts.append(f"(({same}) OR SystemModstamp > {at})")
    elif since:
        parts.append(f"SystemModstamp >= {literal(since)}")
    parts.append(f"SystemModstamp <= {literal(until)}")
    return " AND ".join(parts)


def member(field: str, values: Sequence[str]) -> str:
    [name] = names([field])
    return f"{name} IN " + format_soql("{values}", values=list(values))


def chunks(field: str, values: Sequence[str], room: int, most: int = 200) -> Iterator[list[str]]:
    """`values` in lists whose IN condition fits into `room` encoded characters."""
    chunk: list[str] = []
    length = 0
    for value in values:
        size = len(quote_plus(format_soql("{value},", value=value)))
        if chunk and (length + size > room or len(chunk) >= most):
            yield chunk
            chunk, length = [], 0
        chunk.append(value)
        length += size
    if chunk:
        yield chunk
