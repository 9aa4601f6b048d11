"""YAML with positions, and without YAML's surprises.

Only `true` and `false` are booleans (a country `NO` stays a country), numbers are decimal, dates are text. Anchors,
tags, duplicate keys, deep nesting and files over 250 kB are refused: a project file needs none, and each has hurt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from config.errors import Misconfigured, Problem

MAX_BYTES = 250_000
MAX_DEPTH = 40

Where = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """A SafeLoader with fewer implicit types."""


_Loader.yaml_implicit_resolvers = {}
for _first in "tf":
    _Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), [_first])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$"), list("-0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])

if yaml.__with_libyaml__:

    class _Quick(yaml.CSafeLoader):
        """The same on libyaml, some ten times as fast."""

        yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    _QUICK: Any = _Quick
else:
    _QUICK = None
_DISPUTED = re.compile(r"[\t\r?\x85\u2028\u2029\ufeff]|(?<![0-9])%|[|>][-+0-9]*#|^(?:---|\.\.\.)", re.MULTILINE)
"""What libyaml and PyYAML do not read alike (a percent sign behind a digit they do). Where any of it stands, and for
every mistake, PyYAML has the say."""


@dataclass(slots=True)
class Document:
    """What a file says, and where: the 1-based (line, column) of every key and value, by its path."""

    file: str
    data: Any
    places: dict[Where, tuple[int, int]] = field(default_factory=dict)

    def place(self, where: Where) -> tuple[int, int]:
        """The position of `where`, or of the nearest parent that has one."""
        for end in range(len(where), -1, -1):
            if where[:end] in self.places:
                return self.places[where[:end]]
        return (1, 1)

    def problem(self, where: Where, message: str, hint: str = "") -> Problem:
        line, column = self.place(where)
        return Problem(self.file, line, column, message, hint)


def load(path: Path, *, name: str = "") -> Document:
    """The document in `path`; Misconfigured with file, line and column when it is no YAML we take."""
    shown = name or path.name
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"{shown} cannot be read: {error.strerror}.", fix="Check the path, or make one with `closedloop init`."
        ) from error
    return parse(raw, shown)


def parse(raw: bytes, name: str) -> Document:
    """The same for bytes at hand."""
    if len(raw) > MAX_BYTES:
        raise _wrong(name, 1, 1, f"The file is larger than {MAX_BYTES} bytes.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _wrong(name, line, 1, "The file is not UTF-8.", "save it as UTF-8") from error
    try:
        node = _composed(text, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _wrong(name, line, column, f"This is not YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _wrong(
            name, 1, 1, "This is not YAML: it holds characters or nesting that YAML does not allow."
        ) from error
    document = Document(name, None)
    if node is not None:
        document.data = _value(node, (), document)
    return document


def _composed(text: str, name: str) -> yaml.Node | None:
    if _QUICK is not None and not _DISPUTED.search(text):
        try:
            return _sound(text, name, _QUICK)
        except (yaml.YAMLError, RecursionError, ValueError, Misconfigured):
            pass  # is read again, to be told in the same words everywhere
    return _sound(text, name, _Loader)


def _sound(text: str, name: str, loader: Any) -> yaml.Node | None:
    _no_aliases(text, name, loader)
    return yaml.compose(text, Loader=loader)


def _no_aliases(text: str, name: str, loader: Any) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            mark = _mark(event)
            raise _wrong(name, mark.line + 1, mark.column + 1, "Anchors and aliases are not taken.", "write it out")
        if getattr(event, "tag", None):
            mark = _mark(event)
            raise _wrong(name, mark.line + 1, mark.column + 1, "Tags are not taken.", "write the value alone")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark = _mark(event)
            raise _wrong(name, mark.line + 1, mark.column + 1, f"Nested deeper than {MAX_DEPTH} levels.")


def _mark(event: yaml.Event) -> Any:
    return event.start_mark


def _wrong(file: str, line: int, column: int, message: str, hint: str = "") -> Misconfigured:
    return Misconfigured(f"{file} has a mistake.", problems=[Problem(file, line, column, message, hint)])


def _value(node: yaml.Node, where: Where, document: Document) -> Any:
    document.places.setdefault(where, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where, document)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*where, number), document) for number, child in enumerate(node.value)]
    return _scalar(node, document.file)


def _mapping(node: yaml.MappingNode, where: Where, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise _wrong(document.file, line, column, "A key must be a word.")
        key = str(key_node.value)
        if key in found:
            raise _wrong(document.file, line, column, f"The key {key!r} stands here twice.", "keep one of them")
        document.places[(*where, key)] = (line, column)
        found[key] = _value(value_node, (*where, key), document)
    return found


def _scalar(node: yaml.Node, file: str) -> Any:
    try:
        return SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = node.start_mark
        raise _wrong(file, mark.line + 1, mark.column + 1, "This value is not one we take.") from error


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """pydantic's errors at their places in the file, with the nearest known key for an unknown one."""
    names = sorted(_keys(model.model_json_schema()))
    found = []
    for item in error.errors(include_url=False):
        where = tuple(item["loc"])
        if item["type"] == "extra_forbidden":
            key = str(where[-1])
            near = get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "remove it"
            found.append(document.problem(where, f"Unknown key {key!r}.", hint))
        elif item["type"] == "missing":
            found.append(document.problem(where[:-1], f"The key {where[-1]!r} is missing."))
        elif item["type"] == "string_type" and isinstance(item["input"], int | float):
            found.append(document.problem(where, "This must be text, and reads as a number.", "put it in quotes"))
        else:
            message = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
            found.append(document.problem(where, message[:1].upper() + message[1:] + "."))
    return found


def _keys(schema: Any) -> set[str]:
    """Every property name in a JSON Schema."""
    if isinstance(schema, list):
        return {key for item in schema for key in _keys(item)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {}))
    return own | {key for value in schema.values() for key in _keys(value)}
