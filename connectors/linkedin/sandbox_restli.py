"""The sandbox's reading of Rest.li addresses, as strict as LinkedIn's: structure raw, values percent-encoded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

Row = dict[str, Any]


class BadSyntax(Exception):
    """An address that is no Rest.li."""


def members(raw_query: str) -> Row:
    """The members of a query; `fields` stays as it is written."""
    found: Row = {}
    for part in raw_query.split("&") if raw_query else ():
        name, _, value = part.partition("=")
        found[unquote(name)] = unquote(value) if name == "fields" else parsed(value)
    return found


def parsed(text: str) -> Any:
    """The value of an address's text: str, dict or list. Raises BadSyntax."""
    value, rest = _value(text)
    if rest:
        raise BadSyntax(text)
    return value


def _value(text: str) -> tuple[Any, str]:
    if text.startswith("List("):
        return _list(text[5:])
    if text.startswith("("):
        return _record(text[1:])
    if text.lower().startswith("%28"):
        raise BadSyntax(text)
    word = re.match(r"(?:[\w.~$!*+;@/-]|%[0-9A-Fa-f]{2})*|''", text, re.ASCII)
    assert word is not None
    return unquote(word[0]).strip("'"), text[word.end() :]


def _list(text: str) -> tuple[list[Any], str]:
    found: list[Any] = []
    while not text.startswith(")"):
        value, text = _value(text)
        found.append(value)
        text = _past(text)
    return found, text[1:]


def _record(text: str) -> tuple[Row, str]:
    found: Row = {}
    while not text.startswith(")"):
        name, text = _value(text)
        if not isinstance(name, str) or not text.startswith(":"):
            raise BadSyntax(text)
        found[name], text = _value(text[1:])
        text = _past(text)
    return found, text[1:]


def _past(text: str) -> str:
    """The text behind a comma, or at the closing bracket."""
    if text.startswith(","):
        return text[1:]
    if not text.startswith(")"):
        raise BadSyntax(text)
    return text


def projected(row: Mapping[str, Any], fields: str) -> Row:
    """The members of `row` that a projection like `id,form:(name)` names; all where there is none."""
    if not fields:
        return dict(row)
    found: Row = {}
    for name, inner in re.findall(r"(\w+)(?::\(([^()]*)\))?", fields):
        if name in row:
            value = row[name]
            found[name] = projected(value, inner) if inner and isinstance(value, Mapping) else value
    return found


def page(rows: Sequence[Row], query: Row) -> Row:
    """A page by `start` and `count`."""
    start, count = int(query.get("start") or 0), int(query.get("count") or 10)
    return {
        "paging": {"start": start, "count": count, "links": [], "total": len(rows)},
        "elements": rows[start:][:count],
    }
