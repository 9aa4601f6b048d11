"""No pattern of ours takes long over any text: people's own words, and platforms', go through all of them."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mappings import canonical
from mappings.canonical import Unreadable

ROOT = Path(__file__).parents[2]
UNITS = (
    "a",
    "a.",
    "a@",
    "a-",
    "0",
    "1,",
    "0 ",
    " ",
    "\t",
    "-",
    "_a",
    ".",
    "(",
    "[",
    "{",
    "'",
    '"',
    "''",
    "a=",
    "a/",
    "%2F",
)
ENDS = ("", "!", "(", "@")
HEADS = ("", "a@", "indices [")
TIMES = (12, 20, 22, 24, 80)
"""From short to long: what doubles with every unit is seen before it takes for ever."""
FOR_EVER = 0.5
"""Seconds of CPU for one text: a sound pattern takes thousandths, another one has no end."""


def patterns() -> Iterator[tuple[str, str]]:
    """Every pattern that our own code gives to `re` in clear, with its place."""
    for path in sorted(
        path for room in ("config", "mappings", "connectors", "sync") for path in (ROOT / room).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if _is_of_re(node) and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):  # type: ignore[attr-defined]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args[0].value  # type: ignore[attr-defined]


def _is_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and bool(node.args)
    )


def slow(pattern: str) -> str:
    """A text that the pattern takes too long over; '' where there is none among ours."""
    compiled = re.compile(pattern)
    for times in TIMES:
        for text in (head + unit * times + end for head in HEADS for unit in UNITS for end in ENDS):
            if _taken(compiled, text) > FOR_EVER:
                return text
    return ""


def _taken(pattern: re.Pattern[str], text: str) -> float:
    began = time.process_time()
    pattern.search(text)
    pattern.fullmatch(text)
    return time.process_time() - began


def test_every_pattern_of_ours_is_quick_over_every_text() -> None:
    found = dict(patterns())
    assert len(found) > 100
    assert {place: text for place, pattern in found.items() if (text := slow(pattern))} == {}


def test_the_look_at_patterns_knows_a_slow_one() -> None:
    assert slow(r"(a+)+!")


@pytest.mark.parametrize("address", ["a@" + "a." * 120 + "(", "a." * 120 + "@(", "a@" * 120, "a" * 250 + "@"])
def test_no_address_that_somebody_writes_into_a_form_holds_the_sync_up(address: str) -> None:
    began = time.process_time()
    with pytest.raises(Unreadable):
        canonical.email(address)
    assert time.process_time() - began < FOR_EVER
