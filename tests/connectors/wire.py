"""Cassettes of SDK traffic with our own sandboxes, and request bodies against the platforms' descriptions."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import vcr

from connectors.api import Record, Result
from connectors.sandbox import Logged

RECORDING = bool(os.environ.get("CLOSEDLOOP_RECORD"))
KEPT = ("content-type", "x-restli-id")
"""Headers of answers that say something: LinkedIn names what it made in one."""


def recorder(folder: Path) -> Any:
    """Plays `folder`'s cassettes; records them anew with CLOSEDLOOP_RECORD=1. No headers, no port, no secrets."""

    def request(asked: Any) -> Any:
        asked.uri = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", asked.uri)
        asked.uri = re.sub(r"api_secret=[^&]*", "api_secret=x", asked.uri)
        asked.headers = {}
        if asked.body:
            asked.body = re.sub(rb"(client_secret|refresh_token)=[^&]*", rb"\1=x", asked.body)
        return asked

    def response(answered: Any) -> Any:
        kept = {name: value for name, value in answered["headers"].items() if name.lower() in KEPT}
        body = re.sub(rb"127\.0\.0\.1:\d+", b"127.0.0.1", answered["body"]["string"])
        body = re.sub(rb'"(access_token|refresh_token)":"[^"]*"', rb'"\1":"x"', body)
        return {**answered, "headers": kept, "body": {"string": body}}

    return vcr.VCR(
        cassette_library_dir=str(folder),
        record_mode="all" if RECORDING else "none",
        match_on=("method", "path", "query", "body"),
        before_record_request=request,
        before_record_response=response,
    )


def shown(record: Record) -> list[Any]:
    """A record as plain values."""
    return [record.id, record.version, record.gone and record.gone.value, record.into, orjson.loads(record.raw)]


def told(result: Result) -> list[Any]:
    """A result as plain values."""
    return [result.key, result.id, result.created, result.error.code if result.error else None]


def play(folder: Path, tour: Callable[[], Any]) -> None:
    """Run `tour` over its cassette; what came of it must be what came of it when it was recorded."""
    outcome = folder / "tour.json"
    if RECORDING:
        (folder / "tour.yaml").unlink(missing_ok=True)
    with recorder(folder).use_cassette("tour.yaml") as cassette:
        out = orjson.loads(orjson.dumps(tour()))
        if not RECORDING:
            assert cassette.all_played, "a call that was made before is not made any more"
    if RECORDING:
        outcome.write_bytes(orjson.dumps(out, option=orjson.OPT_INDENT_2) + b"\n")
    assert out == orjson.loads(outcome.read_bytes())


def judged(log: Iterable[Logged], find: Callable[[Logged], tuple[str, Any] | None]) -> tuple[set[str], set[str]]:
    """The kinds of requests that `find` knows a schema of, and those of them of which a body does not fit."""
    operations: set[str] = set()
    invalid: set[str] = set()
    for line in log:
        found = find(line) if line.body else None
        if found is None:
            continue
        operations.add(found[0])
        if not jsonschema.Draft202012Validator(found[1]).is_valid(orjson.loads(line.body)):
            invalid.add(found[0])
    return operations, invalid


def validate(log: Iterable[Logged], find: Callable[[Logged], tuple[str, Any] | None]) -> Counter[str]:
    """Check each sent body against the schema that `find` gives as (operation, schema); operations by number."""
    checked: Counter[str] = Counter()
    for line in log:
        found = find(line) if line.body else None
        if found is not None:
            jsonschema.validate(orjson.loads(line.body), found[1])
            checked[found[0]] += 1
    return checked
