"""A value never becomes a part of a query: what was put in is read back out of it, by a reader that is not ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.errors import Misconfigured
from connectors.salesforce import soql
from connectors.zoho import coql
from tests.fuzz.naughty import ADDRESSES, TEXTS

VALUES = [
    *TEXTS,
    *ADDRESSES,
    "'already quoted'",
    "\\' OR Name != \\'",
    "x') OR (Id != '",
    "2026-01-01T00:00:00Z",
    "a\\",
    "') LIMIT 1 --",
]


def backslashed(text: str) -> Iterator[str]:
    """The literals of SOQL in a text: in single quotes, a backslash before what is meant as itself."""
    signs, inside, value = iter(text), False, ""
    for sign in signs:
        if not inside and sign == "'":
            inside, value = True, ""
        elif inside and sign == "'":
            inside = False
            yield value
        elif inside and sign == "\\":
            following = next(signs)
            value += {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}.get(following, following)
        elif inside:
            value += sign
        else:
            assert sign in " (),INEmail", f"outside of a literal: {sign!r}"
    assert not inside


def doubled(text: str) -> Iterator[str]:
    """The literals of COQL: in single quotes, of which two mean one."""
    place = 0
    while (place := text.find("'", place)) >= 0:
        value, place = "", place + 1
        while text[place : place + 2] == "''" or text[place] != "'":
            value += text[place]
            place += 2 if text[place] == "'" else 1
        yield value
        place += 1


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_read_back_out_of_soql(value: str) -> None:
    assert list(backslashed(soql.member("Email", [value, "plain", value]))) == [value, "plain", value]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_read_back_out_of_coql(value: str) -> None:
    assert list(doubled(coql.member("Email", [value, "plain", value]))) == [value, "plain", value]


NAMES = ("Email FROM User", "Email,Id", "Email'", "1=1", "", "Email)", "a" * 200 + "-", "Email\n", "É", "a..b", "*")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name_of_a_field_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured):
        soql.member(name, ["a"])
    with pytest.raises(Misconfigured):
        soql.select([name], "Lead")
    with pytest.raises(Misconfigured):
        coql.member(name, ["a"])
