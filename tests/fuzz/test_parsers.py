"""The files that people and other programs give us: whatever is in them, they are read or refused with a place.

Drawn in two ways: any text at all, and sound files with a piece cut out, doubled or replaced.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import ClosedloopError, Misconfigured
from config.project import load_project
from connectors import registry
from mappings.compiler import load_mapping
from mappings.expressions import Expression
from mappings.model import Kind
from sync import planfile
from tests.engine.conftest import PROJECT

CASES = 400
PIECES = (
    "", " ", "\n", "\t", ":", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: ", "!!python/object:os.system", "|", ">", "'", '"',
    "#", "~", "null", "yes", "0x7f", "1e999", "\x00", "\ufeff", "\u202e", "\U0001f600", "%", "@", "`", "?", "---\n", "...\n",
    "version: 2\n", "connections: []\n", "a" * 3000, "[" * 300, "{a: " * 200,
)  # fmt: skip


def broken(text: str, random: Random) -> str:
    """`text` with one to three things wrong in it."""
    for _ in range(random.randint(1, 3)):
        begin = random.randrange(len(text) + 1)
        end = min(len(text), begin + random.choice([0, 0, 1, 5, 40]))
        text = text[:begin] + random.choice([*PIECES, text[begin:end] * 2]) + text[end:]
    return text


def is_told(error: ClosedloopError, path: Path) -> bool:
    """Whether it says where: in the file, at a line and a column."""
    problems = error.problems if isinstance(error, Misconfigured) else ()
    return all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems) and bool(
        error.what
    )


def read(path: Path, raw: bytes) -> bool:
    """Whether it was read; False when it was refused in words."""
    path.write_bytes(raw)
    try:
        load_project(path)
    except ClosedloopError as error:
        assert is_told(error, path)
        return False
    return True


def test_a_project_file_is_read_or_refused(tmp_path: Path) -> None:
    sound = PROJECT.format(state="sqlite:///x.db")
    random = Random(1)
    told = [read(tmp_path / "closedloop.yaml", broken(sound, random).encode("utf-8", "replace")) for _ in range(CASES)]
    assert True in told
    assert False in told


@pytest.mark.parametrize("platform", sorted(registry.names()))
def test_a_mapping_is_read_or_refused(platform: str, tmp_path: Path) -> None:
    sound = (registry.platform(platform).folder / "mapping.yaml").read_text()
    random = Random(platform)
    told = set()
    for _ in range(60):
        path = tmp_path / "mapping.yaml"
        path.write_text(broken(sound, random), encoding="utf-8", errors="replace")
        try:
            load_mapping(path)
            told.add(True)
        except Misconfigured as error:
            assert is_told(error, path)
            told.add(False)
    assert told == {True, False}


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_no_project(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    assert not read(path, raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)

OPERATION = {
    "connection": "beta",
    "object": "contacts",
    "verb": "update",
    "record": "7",
    "lead": "ld_1",
    "why": "",
    "handoff": False,
    "changes": [{"field": "title", "remote": "title", "old": None, "new": "x", "reason": "r", "at": "", "since": ""}],
    "values": {"title": "x"},
    "match": {},
    "seen": "1",
}
PLAN = {"closedloop_plan": 1, "made_at": "2026-03-01T09:00:00.000Z", "state_id": "s", "operations": [OPERATION]}


@settings(max_examples=400, deadline=None)
@given(junk=JSON, where=st.sampled_from([(), ("operations",), *[("operations", 0, name) for name in OPERATION]]))
def test_a_plan_file_is_read_or_refused(junk: Any, where: tuple[str | int, ...]) -> None:
    content: Any = orjson.loads(orjson.dumps(PLAN))
    if where:
        place = content
        for step in where[:-1]:
            place = place[step]
        place[where[-1]] = junk
    else:
        content = junk
    try:
        plan = planfile.parse(orjson.dumps(content))
    except Misconfigured as error:
        assert error.fix
        return
    assert all(isinstance(operation.record, str) for operation in plan.operations)
    assert planfile.parse(planfile.dump(plan)).operations == plan.operations


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_no_plan(raw: bytes) -> None:
    with pytest.raises(Misconfigured):
        planfile.parse(raw)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=80) | st.text(alphabet="lead.score&|!<>=()[]'\"0123456789 ,?:+-*/%{}in", max_size=60))
def test_a_condition_is_compiled_or_refused(text: str) -> None:
    try:
        condition = Expression(text)
        condition.truth({"lead": {"score": 1, "email": ""}, "activity": {}, "score": 1})
    except Misconfigured as error:
        assert error.what


@pytest.mark.parametrize("platform", sorted(registry.names()))
@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_a_record_is_read_or_its_values_are_refused(platform: str, raw: bytes) -> None:
    """Whatever a platform sends as a record's body, field by field."""
    for mapped in _mapped(platform):
        try:
            decoded = mapped.decode(raw)
        except ValueError:
            continue
        values, problems = mapped.read(decoded)
        assert orjson.dumps(values) is not None
        assert all(problem.code and problem.reason for problem in problems)


@pytest.mark.parametrize("platform", sorted(registry.names()))
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_field_is_read_or_refused(platform: str, data: st.DataObject) -> None:
    for mapped in _mapped(platform):
        names = [name for name in mapped.remote_fields if "." not in name]
        record = orjson.loads(orjson.dumps({name: data.draw(JSON) for name in names[:6]}))
        values, problems = mapped.read(record)
        quick = mapped.quick(orjson.dumps(record))
        assert quick is None or (quick == values and not problems)


_KEPT: dict[str, list[Any]] = {}


def _mapped(platform: str) -> list[Any]:
    if platform not in _KEPT:
        found = load_mapping(registry.platform(platform).folder / "mapping.yaml")
        _KEPT[platform] = [mapped for mapped in found.values() if mapped.kind is not Kind.ASSOCIATION]
    return _KEPT[platform]
