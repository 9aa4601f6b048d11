"""Light checks of values against JSON Schema: types and members, at any depth.

JSON Schema has much more (formats, patterns, bounds). What of it matters to us the mapping checks for each unified
field, so that a library for the rest is not asked for. null passes everywhere: it means blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from connectors.api import FieldSchema

_CLASSES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean", "object": "object", "array": "object"}
_FORMATS = {"date-time": "datetime", "date": "date", "email": "email"}


class Wrong(NamedTuple):
    """What a schema does not allow: the place in dots ("" is the record itself), and why. Never shows a value."""

    place: str
    reason: str


def wrong(value: Any, schema: Any, place: str = "") -> Wrong | None:
    """The first thing in `value` that its schema does not allow; None where all is well."""
    if value is None or not isinstance(schema, dict):
        return None
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        if isinstance(options, list) and options and all(wrong(value, option, place) for option in options):
            return Wrong(place, "is of none of the types that its schema names")
    types = _types(schema)
    if types and not any(_is(value, name) for name in types):
        return Wrong(place, f"is no {' or '.join(name for name in types if name != 'null') or 'null'}")
    return next(
        filter(None, (wrong(member, below, name) for member, below, name in _members(value, schema, place))), None
    )


def _types(schema: Mapping[str, Any]) -> list[str]:
    """The types it names; none where one is unknown."""
    told = schema.get("type")
    names = [told] if isinstance(told, str) else told if isinstance(told, list) else []
    return names if all(name in _CLASSES for name in names) else []


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _CLASSES[name])


def _members(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[tuple[Any, Any, str]]:
    if isinstance(value, dict) and isinstance(properties := schema.get("properties"), dict):
        for name, below in properties.items():
            if name in value:
                yield value[name], below, f"{place}.{name}" if place else str(name)
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for item in value:
            yield item, items, f"{place}[]"


def fields(schema: Any, prefix: str = "") -> dict[str, FieldSchema]:
    """The fields of a stream's schema, nested ones by dots."""
    found: dict[str, FieldSchema] = {}
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for name, below in (properties if isinstance(properties, dict) else {}).items():
        options = _options(below)
        found[prefix + name] = FieldSchema(prefix + name, _type(options), writable=False)
        for option in options:
            found.update(fields(option, f"{prefix}{name}."))
    return found


def _options(schema: Any) -> list[dict[str, Any]]:
    if not isinstance(schema, dict):
        return []
    inner = [option for word in ("anyOf", "oneOf") for option in schema.get(word) or () if isinstance(option, dict)]
    return [schema, *inner]


def _type(options: list[dict[str, Any]]) -> str:
    formats = [_FORMATS[told] for option in options if (told := option.get("format")) in _FORMATS]
    types = [_TYPES[name] for option in options for name in _types(option) if name in _TYPES]
    return (formats or types or ["text"])[0]
