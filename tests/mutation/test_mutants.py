"""The mutants are what they say: each is Python, each differs from its source in one place, and there are enough."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutation.__main__ import MODULES
from tests.mutation.mutants import mutants

CORE = Path(__file__).resolve().parents[2] / "sync" / "core"


@pytest.mark.parametrize("module", MODULES)
def test_every_mutant_differs_from_its_source_and_from_the_others(module: str) -> None:
    source = (CORE / f"{module}.py").read_text()
    made = [ast.unparse(mutant.tree) for mutant in mutants(source)]
    assert len(made) > 20
    assert ast.unparse(ast.parse(source)) not in made
    assert len(set(made)) == len(made)
    for text in made:
        compile(text, module, "exec")


def test_what_is_changed_and_what_is_not() -> None:
    source = '''
"""A text about it."""
WORD = "a"

def first(items: "list[int]", least: int = 1) -> int:
    """Another."""
    if least > 2 and items:
        items.clear()
    return min(item for item in items if item)  # one
    return 5  # pragma: no cover

def none() -> bool:
    return False
'''
    told = [(mutant.line, mutant.what) for mutant in mutants(source)]
    assert (3, "a text is another") in told
    assert (5, "1 is 2") in told
    assert {what for line, what in told if line == 7} == {
        "and is or",
        "gt is gte",
        "2 is 3",
        "a condition is turned round",
    }
    assert (8, "a call is left out") in told
    assert {what for line, what in told if line == 9} >= {"min is max", "returns None"}
    assert not [line for line, _ in told if line in (2, 6, 10)]
    assert {what for line, what in told if line == 13} == {"False is True"}
