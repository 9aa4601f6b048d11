"""How the sandbox lists: filters, order, page cursors, sparse fields, with Outreach's refusals."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from config.clock import unstamp
from connectors.outreach.sandbox_schema import COUNTED, SCHEMA, Attribute

Row = dict[str, Any]
"""id, type, attributes, relations (name -> [type, id] or None)."""

CAP = 10_000
"""Where paging by offset ends."""


class Refused(Exception):
    """The call is refused with this status, id and detail."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def _bad(detail: str, code: str = "badRequest") -> Refused:
    return Refused(400, code, detail)


# filters


def matching(type: str, rows: Iterable[Row], query: Mapping[str, str]) -> list[Row]:
    """The rows that pass every filter of the query."""
    tests = [_test(type, name, value, query) for name, value in query.items() if name.startswith("filter[")]
    return [row for row in rows if all(test(row) for test in tests)]


def _test(type: str, name: str, value: str, query: Mapping[str, str]) -> Callable[[Row], bool]:
    parts = re.findall(r"\[([^\]]*)\]", name)
    if len(parts) == 2 and parts[1] == "id":
        return _related(type, parts[0], value)
    if len(parts) == 2 and query.get("newFilterSyntax") == "true" and parts[1] == "":
        return _attribute(type, parts[0], [value])
    if len(parts) != 1:
        raise _bad(f"Filter {name} is not supported.")
    if parts[0] == "id":
        wanted = {int(word) for word in _numbers(value)}
        return lambda row: row["id"] in wanted
    return _range(type, parts[0], value) if ".." in value else _attribute(type, parts[0], value.split(","))


def _numbers(value: str) -> list[str]:
    words = value.split(",")
    if not all(word.isdigit() for word in words):
        raise _bad("Ids are integers.")
    return words


def _related(type: str, name: str, value: str) -> Callable[[Row], bool]:
    if name not in SCHEMA[type].one:
        raise _bad(f"{name} is no relationship that can be filtered by.")
    wanted = {int(word) for word in _numbers(value)}
    return lambda row: (row["relations"].get(name) or [None, None])[1] in wanted


def _known(type: str, name: str) -> Attribute:
    known = SCHEMA[type].attributes.get(name)
    if known is None or not known.filterable:
        raise _bad(f"'{name}' is not a filterable attribute.")
    return known


def _attribute(type: str, name: str, values: Sequence[str]) -> Callable[[Row], bool]:
    kind = _known(type, name).kind
    wanted = {value.lower() for value in values}
    if kind == "array":
        return lambda row: bool(wanted & {str(item).lower() for item in row["attributes"][name] or ()})
    return lambda row: _word(row["attributes"][name]) in wanted


def _word(value: Any) -> str:
    return str(value).lower() if value is not None else "__null__"


def _range(type: str, name: str, value: str) -> Callable[[Row], bool]:
    if _known(type, name).kind != "date-time":
        raise _bad(f"'{name}' takes no range.")
    low, _, high = value.partition("..")
    first, last = _instant(low, "neginf"), _instant(high, "inf")

    def within(row: Row) -> bool:
        told = row["attributes"][name]
        return told is not None and (first is None or told >= first) and (last is None or told <= last)

    return within


def _instant(text: str, open: str) -> str | None:
    """A bound as rows are stamped. Microseconds are an error."""
    if text == open:
        return None
    if re.search(r"\.\d{4,}", text):
        raise _bad("Invalid filter value: too many digits in the fraction of a second.")
    try:
        unstamp(text)
    except ValueError:
        raise _bad("Invalid filter value.") from None
    return text


# order and pages


def page(type: str, rows: list[Row], query: Mapping[str, str], base: str, age: int, by_offset: bool) -> Row:
    """One page: data (whole rows), links and meta. Cursors of another `age` are refused."""
    name, descends = _order(type, query.get("sort") or "id")
    rows = sorted(rows, key=lambda row: _key(row, name), reverse=descends)
    size = _size(query)
    total = len(rows)
    start, following = 0, ""
    if "page[offset]" in query or by_offset:
        start = int(query.get("page[offset]") or 0)
        if start >= CAP:
            raise _bad(f"page[offset] must be less than {CAP}.")
        following = str(start + size)  # there is always a next page by offset, also behind the last
    elif after := query.get("page[after]"):
        start = _beyond(rows, after, name, descends, age)
    some = rows[start : start + size]
    links = {}
    kept = {key: value for key, value in query.items() if not key.startswith("page[")}
    if following:
        links["next"] = f"{base}?{urlencode({**kept, 'page[size]': size, 'page[offset]': following})}"
    elif start + size < total:
        cursor = _sealed([age, *_key(some[-1], name)])
        links["next"] = f"{base}?{urlencode({**kept, 'page[size]': size, 'page[after]': cursor})}"
    meta = {"count": total, "count_truncated": False} if query.get("count") == "true" else {}
    return {"data": some, **({"meta": meta} if meta else {}), **({"links": links} if links else {})}


def _order(type: str, told: str) -> tuple[str, bool]:
    name = told.removeprefix("-")
    known = SCHEMA[type].attributes.get(name)
    if name != "id" and (known is None or not known.sortable):
        raise _bad(f"'{name}' is not a sortable attribute.")
    return name, told.startswith("-")


def _key(row: Row, name: str) -> tuple[str, int]:
    return ("" if name == "id" else str(row["attributes"][name] or ""), int(row["id"]))


def _size(query: Mapping[str, str]) -> int:
    size = int(query.get("page[size]") or query.get("page[limit]") or 50)
    if not 1 <= size <= 1000:
        raise _bad("page[size] must be between 1 and 1000.")
    return size


def _sealed(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode()


def _beyond(rows: list[Row], cursor: str, name: str, descends: bool, age: int) -> int:
    """How many rows stand before the cursor's place now: a row that moved to the end is met there again."""
    try:
        made, *key = orjson.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise _bad("Invalid cursor.") from None
    if made != age:
        raise _bad("The cursor has expired.")
    last = (str(key[0]), int(key[1]))
    return sum(_key(row, name) >= last if descends else _key(row, name) <= last for row in rows)


# shape


def sparse(type: str, query: Mapping[str, str]) -> set[str] | None:
    """The names of `fields[type]`; None for all."""
    told = query.get(f"fields[{type}]")
    if told is None:
        return None
    names = {name for name in told.split(",") if name}
    kind = SCHEMA[type]
    for name in sorted(names):
        if name not in kind.attributes and name not in kind.one and name not in kind.many:
            raise _bad(f"'{name}' is not a field of {type}.", "fieldsParameter.unknownResourceField")
    return names


def shown(row: Row, names: set[str] | None, host: str) -> Row:
    """A row as JSON:API tells it, with only `names` of its fields."""
    kind = SCHEMA[row["type"]]
    attributes = {name: value for name, value in row["attributes"].items() if names is None or name in names}
    relations: Row = {}
    for name in kind.one:
        if names is None or name in names:
            tied = row["relations"].get(name)
            relations[name] = {"data": {"type": tied[0], "id": tied[1]} if tied else None}
    for name, path in kind.many.items():
        if names is None or name in names:
            relations[name] = _many(name, path, row, host)
    link = f"{host}/api/v2/{kind.path}/{row['id']}"
    return {
        "type": row["type"],
        "id": row["id"],
        "attributes": attributes,
        "relationships": relations,
        "links": {"self": link},
    }


def _many(name: str, path: str, row: Row, host: str) -> Row:
    asked = urlencode({f"filter[{row['type']}][id]": row["id"]})
    link = {"links": {"related": f"{host}/api/v2/{path}?{asked}"}}
    return {"data": [], **link, "meta": {"count": 0}} if name in COUNTED else link
