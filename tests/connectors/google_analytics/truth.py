"""Google Analytics against what Google publishes: no answers of a real property were recorded, so its discovery
documents are the measure, for the requests that are sent and for the answers that the sandbox gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jsonschema
import orjson

from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from connectors.sandbox import Answer, Call
from tests.connectors.google_analytics.tour import tour, ways, world
from tests.connectors.truth import Truth
from tests.shared import shared

DOCUMENTS = ("analyticsdata.v1beta", "analyticsadmin.v1beta", "analyticsadmin.v1alpha", "datamanager.v1")
UNDESCRIBED = {"POST /token", "POST /mp/collect", "POST /debug/mp/collect"}
"""No document of Google's describes these for machines."""
EXPLAINED: frozenset[str] = frozenset()
"""Members of the sandbox's answers that are known to differ from the description, and may."""


@dataclass
class Held:
    """What was held against the documents: requests and answers by their operation, and what did not fit."""

    requests: Counter[str] = field(default_factory=Counter)
    invalid: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    differences: set[str] = field(default_factory=set)


def measure() -> Truth:
    """The counts, of a tour of every sort of call."""
    held = hold()
    return Truth(
        bodies=0,
        unread=0,
        operations=len(held.requests),
        invalid=len(held.invalid),
        differences=len(held.differences),
        explained=len(held.differences & EXPLAINED),
    )


@cache
def hold() -> Held:
    """Every call of a tour, and every answer to it, against the description of its method."""
    held = Held()
    for call, answer in exchanged():
        path = re.sub(r"(properties|dataStreams)/[0-9]+", r"\1/{id}", call.path)
        name = f"{call.method} {path}"
        if name in UNDESCRIBED:
            continue
        found = described(call)
        held.requests[name] += 1
        if found is None or not fits(call, *found):
            held.invalid.add(name)
            continue
        if answer.status == 200 and found[1].get("response"):
            held.answers[name] += 1
            schema = schema_of(found[0], found[1]["response"]["$ref"])
            validator = jsonschema.Draft7Validator(schema)
            held.differences |= {
                f"{name} {error.json_path}: {error.validator}"
                for error in validator.iter_errors(orjson.loads(answer.body))
            }
    return held


def exchanged() -> list[tuple[Call, Answer]]:
    """The calls of a tour over a real socket, with their answers."""
    sandbox, clock = world()
    found: list[tuple[Call, Answer]] = []
    honest = sandbox.after

    def after(call: Call, answer: Answer) -> Answer:
        told = honest(call, answer)
        found.append((call, told))
        return told

    sandbox.after = after  # type: ignore[method-assign]
    with sandbox:
        assert isinstance(sandbox, GoogleAnalyticsSandbox)
        protocol, manager = ways(sandbox, clock, sandbox.base_url)
        with closing(protocol), closing(manager):
            tour(protocol, manager, clock)
    return found


@cache
def document(name: str) -> Any:
    return orjson.loads(shared("specs", "google_analytics", f"{name}.json").read_bytes())


def methods(part: Any) -> Iterator[Any]:
    """All methods of a document, however deep."""
    yield from (part.get("methods") or {}).values()
    for inner in (part.get("resources") or {}).values():
        yield from methods(inner)


def described(call: Call) -> tuple[str, Any] | None:
    """The document and the method of a call, by its path."""
    for name in DOCUMENTS:
        for method in methods(document(name)):
            pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(method["flatPath"]))
            if method["httpMethod"] == call.method and re.fullmatch(f"/{pattern}", call.path):
                return name, method
    return None


def fits(call: Call, name: str, method: Any) -> bool:
    """Whether body and query are what the method takes."""
    allowed = {*method.get("parameters", {}), *document(name).get("parameters", {})}
    if not set(call.query) <= allowed or bool(call.body) != bool(method.get("request")):
        return False
    if not call.body:
        return True
    validator = jsonschema.Draft7Validator(schema_of(name, method["request"]["$ref"]))
    return validator.is_valid(orjson.loads(call.body))


@cache
def schema_of(name: str, kind: str) -> Any:
    """A type of a document as JSON Schema, with nothing that it does not name."""
    definitions = {one: _strict(schema) for one, schema in document(name)["schemas"].items()}
    return {"$ref": f"#/definitions/{kind}", "definitions": definitions}


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and isinstance(schema["$ref"], str):
        return {"$ref": f"#/definitions/{schema['$ref']}"}
    kept = {n: _strict(v) for n, v in schema.items() if n in ("type", "items", "enum", "additionalProperties")}
    if isinstance(schema.get("properties"), dict):
        kept["properties"] = {n: _strict(v) for n, v in schema["properties"].items()}
        kept.setdefault("additionalProperties", False)
    if kept.get("type") == "any":
        del kept["type"]
    return kept
