"""Every platform may answer anything: a connector gives records or one of our errors, and never a traceback.

The platform's sandbox answers as it would, and then one place of the answer's JSON, or its bytes, is changed. What is
drawn follows from the number of the case alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from random import Random
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import ClosedloopError
from connectors import registry
from connectors.api import Connector, Operation, Verb
from connectors.manifest import load as manifest_of
from connectors.sandbox import Answer, Call, Sandbox
from connectors.sound import Sound
from mappings.compiler import read_mapping
from mappings.language import MappingFile
from tests.connectors.surroundings import connect

CASES = 120
"""Changed answers per platform. Raise it for a longer look: CASES=5000 takes minutes."""

PAGES = 20
"""An answer may promise pages without end; the engine stores each, so that is no fault of the reader's."""

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**53, 2**63, -(2**70) * 1.0, 1e308, "", " ", "x", "0", "null", "\x00", "\ud7ff", "é" * 300,
    "1969-12-31T23:59:59.999Z", "9999-99-99", "2026-02-30", [], {}, [[]], [None], [{}], {"": None}, {"id": {}}, ["x"] * 3,
)  # fmt: skip


@pytest.fixture(scope="module", params=sorted(registry.names()))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    with registry.platform(request.param).sandbox(seed=5, clock=clock) as sandbox:
        yield sandbox


def test_no_answer_is_a_traceback(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    whole, sound, refused = sandbox.snapshot(), 0, 0
    honest = sandbox.after
    for number in range(CASES):
        random = Random(f"{sandbox.name}/{number}")
        sandbox.restore(whole)
        at = random.randrange(6)
        count = iter(range(10**9))

        def after(call: Call, answer: Answer, random: Random = random, at: int = at, count: Any = count) -> Answer:
            told = honest(call, answer)
            return changed(told, random) if next(count) % 6 == at else told

        sandbox.after = after  # type: ignore[method-assign]
        connector = connect(sandbox, sandbox.clock)  # type: ignore[arg-type]
        try:
            used(Sound(connector, sandbox.name, sandbox.name), sandbox.name, random)
            sound += 1
        except ClosedloopError:
            refused += 1
        finally:
            connector.close()
            sandbox.after = honest  # type: ignore[method-assign]
    with capsys.disabled():
        print(f"\n{sandbox.name}: {CASES} changed answers, {sound} read through, {refused} named errors", end=" ")
    assert sound + refused == CASES
    assert refused


def used(connector: Connector, platform: str, random: Random) -> None:
    """One thing that the engine asks of a connector."""
    mapping, facts = mapped(platform), manifest_of(registry.platform(platform).folder).objects
    name = random.choice([name for name in facts if name in mapping.objects])
    fields = [entry.remote for entry in mapping.objects[name].fields if entry.remote]
    deed = random.choice(["check", "describe", "pull", "pull", "pull", "read", "push"])
    if deed == "check":
        connector.check()
    elif deed == "describe":
        connector.describe(name)
    elif deed == "pull" and facts[name].pull:
        for page in islice(connector.pull(name, None, fields), PAGES):
            assert orjson.loads(page.cursor) is not ...
            assert all(isinstance(record.id, str) and isinstance(record.raw, bytes) for record in page.records)
    elif deed == "read" and facts[name].pull:
        connector.read(name, "id", ["1", "2"], fields)
    elif deed == "push" and "create" in facts[name].push and facts[name].unique:
        key = facts[name].unique[0]
        operations = [
            Operation(f"op{n}", Verb.CREATE, name, {key: f"p{n}@x.example"}, match={key: f"p{n}@x.example"})
            for n in range(3)
        ]
        results = list(connector.push(operations, fields))
        assert sorted(result.key for result in results) == ["op0", "op1", "op2"]


@cache
def mapped(platform: str) -> MappingFile:
    return read_mapping(registry.platform(platform).folder / "mapping.yaml")[0]


def changed(answer: Answer, random: Random) -> Answer:
    """The answer with one thing wrong in it."""
    if random.random() < 0.2 or not answer.body:
        cut = random.randrange(len(answer.body) + 1)
        body = random.choice(
            [answer.body[:cut], bytes(random.randrange(256) for _ in range(cut % 200)), b"[]", b"null"]
        )
        return Answer(answer.status, body, answer.headers)
    try:
        told = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
    return Answer(answer.status, orjson.dumps(_replaced(told, random)), answer.headers)


def _replaced(value: Any, random: Random) -> Any:
    """`value` with one member, at any depth, replaced, left out or given twice."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        name = random.choice(list(value))
        if random.random() < 0.25:
            return {other: kept for other, kept in value.items() if other != name}
        return {**value, name: _replaced(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        place = random.randrange(len(value))
        if random.random() < 0.2:
            return [*value, value[place]]
        return [*value[:place], _replaced(value[place], random), *value[place + 1 :]]
    return random.choice(JUNK)
