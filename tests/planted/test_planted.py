"""The planted bugs can be planted: their places are there, and what they put there is Python.

That the suite sees each of them is shown by `make planted`, which takes minutes.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.planted.bug import Bug
from tests.planted.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_can_be_planted(bug: Bug) -> None:
    text = (ROOT / bug.file).read_text()
    assert text.count(bug.old) == 1
    planted = text.replace(bug.old, bug.new)
    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(text))


def test_there_are_enough_of_them() -> None:
    assert len(BUGS) >= 25
    assert len({bug.name for bug in BUGS}) == len(BUGS)
