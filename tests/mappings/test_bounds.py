"""A condition is bounded: short, with one macro at most, however it is written, and no wider than a moment."""

from __future__ import annotations

import time

import pytest

from config.errors import Misconfigured
from mappings.expressions import MAX_LENGTH, Expression, sample_context
from mappings.model import LEAD_FIELDS

NESTED = (
    "lead.tags.map(a, lead.tags.map(b, a + b)).size() > 0",
    "lead.tags.map(a, lead.tags. map(b, a + b)).size() > 0",
    "lead.tags.map(a, lead.tags\n.\nmap\n(b, a + b)).size() > 0",
    "lead.tags.map(a, lead.tags.map // why\n (b, a + b)).size() > 0",
    "lead.tags.map//x\n//y\n(a, lead.tags.filter(b, true)).size() > 0",
    "lead.tags.exists(a, lead.tags.exists_one(b, a == b))",
    "lead.tags.all(a, true) && lead.tags.all(a, true)",
)
DEEP = (
    "(" * 480 + "1" + ")" * 480,
    "[" * 480 + "]" * 480,
    "-" * 980 + "1 == 1",
    "!" * 980 + "true",
    "lead" + ".a" * 450,
    "1" + "+1" * 490,
)


def context(tags: int) -> dict[str, object]:
    lead = {**sample_context(LEAD_FIELDS), "tags": [f"tag {number}" for number in range(tags)]}
    return {"lead": lead, "activity": {}, "score": 1}


@pytest.mark.parametrize("text", NESTED)
def test_a_second_macro_is_refused_however_it_is_spelled(text: str) -> None:
    with pytest.raises(Misconfigured, match="one macro"):
        Expression(text)


def test_a_long_condition_is_refused() -> None:
    with pytest.raises(Misconfigured, match="characters"):
        Expression("true || " * (MAX_LENGTH // 8) + "true")


@pytest.mark.parametrize("text", ["lead.stage == 'all'", "lead.title.contains('map')", "'filter' in lead.tags"])
def test_a_word_that_is_called_like_a_macro_is_none(text: str) -> None:
    Expression(text + " || lead.tags.exists(t, t == 'a')")


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting_ends_in_a_value_or_an_error(text: str) -> None:
    try:
        Expression(text).evaluate(context(1))
    except Misconfigured:
        pass  # too deep for the engine; it is told, and nothing dies of it


@pytest.mark.parametrize(
    "text",
    [
        "lead.tags.exists(t, t.contains('zz'))",
        "lead.tags.all(t, t in lead.tags)",
        "lead.tags.map(t, lead.tags).size() > 0",
        "lead.tags.all(t, t.matches('(a+)+$'))",
        "lead.title.matches('((((a{1,99}){1,99}){1,99}){1,99})')",
    ],
)
def test_a_condition_over_a_hundred_tags_takes_a_moment(text: str) -> None:
    one, lead = Expression(text), {**context(100)}
    began = time.process_time()
    try:
        one.evaluate(lead)
    except Misconfigured:
        pass  # a pattern that is too large is refused
    assert time.process_time() - began < 1.0
