"""The subset of SOQL that clients of the sandbox speak.

SELECT fields (parent dots, COUNT()) FROM object [WHERE ...] [ORDER BY ...] [LIMIT n] [OFFSET n], with =, !=, <>, <, >,
<=, >=, IN, NOT IN, LIKE, AND, OR, NOT, parentheses and null. Text compares without case; ids with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:\\.|[^'\\])*')|(?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))|(?P<day>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)|(?P<sign><=|>=|!=|<>|[=<>(),]))"
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class Malformed(Exception):
    """The query is no query: MALFORMED_QUERY."""


class Unknown(Exception):
    """A name that the object has not, or may not be filtered by: `code` is INVALID_FIELD or INVALID_TYPE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Query:
    """A parsed query. `lookups` are the fields of which one of a few values is required (index use)."""

    fields: list[str]
    object: str
    test: Test | None = None
    order: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    lookups: dict[str, list[Any]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    filtered: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        return bool(self.fields) and self.fields[0].lower() in ("count()", "count(id)")


@dataclass(frozen=True, slots=True)
class _Literal:
    kind: str
    value: Any


def parse(text: str) -> Query:
    """The query in `text`; Malformed when it is none."""
    return _Parser(text).query()


def is_id(name: str) -> bool:
    return name == "Id" or name.endswith("Id")


def stamp_text(value: str) -> str:
    """A date-time literal in the form in which values are kept."""
    try:
        at = datetime.fromisoformat(value).astimezone(UTC)
    except ValueError as error:
        raise Malformed(f"unexpected token: '{value}'") from error
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.filtered: list[str] = []

    def query(self) -> Query:
        self.word("SELECT")
        fields = [self.column()]
        while self.sign(","):
            fields.append(self.column())
        self.word("FROM")
        query = Query(fields, self.name())
        if self.maybe("WHERE"):
            query.test, query.lookups = self.either()
            query.filtered = self.filtered
        if self.maybe("ORDER"):
            self.word("BY")
            query.order.append(self.ordering())
            while self.sign(","):
                query.order.append(self.ordering())
        if self.maybe("LIMIT"):
            query.limit = int(self.take().value)
        if self.maybe("OFFSET"):
            query.offset = int(self.take().value)
        if self.at < len(self.tokens):
            raise Malformed(f"unexpected token: '{self.tokens[self.at].value}'")
        query.used = [*fields, *self.filtered, *(name for name, _ in query.order)]
        return query

    def column(self) -> str:
        name = self.name()
        if name.lower() != "count" or not self.sign("("):
            return name
        inner = "" if self.peek() == ")" else self.name()
        self.need(")")
        return f"count({inner})"

    def ordering(self) -> tuple[str, bool]:
        name = self.name()
        down = self.maybe("DESC")
        if not down:
            self.maybe("ASC")
        if self.maybe("NULLS") and not self.maybe("FIRST"):
            self.word("LAST")
        return name, down

    def either(self) -> tuple[Test, dict[str, list[Any]]]:
        parts = [self.both()]
        while self.maybe("OR"):
            parts.append(self.both())
        if len(parts) == 1:
            return parts[0]
        tests = [test for test, _ in parts]
        return lambda row: any(test(row) for test in tests), {}

    def both(self) -> tuple[Test, dict[str, list[Any]]]:
        parts = [self.one()]
        while self.maybe("AND"):
            parts.append(self.one())
        tests = [test for test, _ in parts]
        lookups = {name: values for _, found in parts for name, values in found.items()}
        return (tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)), lookups

    def one(self) -> tuple[Test, dict[str, list[Any]]]:
        if self.maybe("NOT"):
            test, _ = self.one()
            return lambda row: not test(row), {}
        if self.sign("("):
            found = self.either()
            self.need(")")
            return found
        return self.comparison()

    def comparison(self) -> tuple[Test, dict[str, list[Any]]]:
        name = self.name()
        self.filtered.append(name)
        if self.maybe("IN"):
            values = [self.form(name, value) for value in self.listed()]
            return _member(name, values), {name: values}
        if self.maybe("NOT"):
            self.word("IN")
            test = _member(name, [self.form(name, value) for value in self.listed()])
            return lambda row: not test(row), {}
        if self.maybe("LIKE"):
            return _like(name, str(self.literal().value)), {}
        sign = self.take()
        if sign.kind != "sign" or sign.value not in ("=", "!=", "<>", "<", ">", "<=", ">="):
            raise Malformed(f"unexpected token: '{sign.value}'")
        literal = self.literal()
        value = self.form(name, literal)
        test = _compare(name, sign.value, value)
        return test, ({name: [value]} if sign.value == "=" and value is not None else {})

    def form(self, name: str, literal: _Literal) -> Any:
        return folded(name, literal.value)

    def listed(self) -> list[_Literal]:
        self.need("(")
        values = [self.literal()]
        while self.sign(","):
            values.append(self.literal())
        self.need(")")
        return values

    def literal(self) -> _Literal:
        token = self.take()
        if token.kind == "word":
            word = str(token.value).lower()
            if word not in ("null", "true", "false"):
                raise Malformed(f"unexpected token: '{token.value}'")
            return _Literal("word", {"null": None, "true": True, "false": False}[word])
        if token.kind == "sign":
            raise Malformed(f"unexpected token: '{token.value}'")
        return token

    # tokens

    def peek(self) -> Any:
        return self.tokens[self.at].value if self.at < len(self.tokens) else None

    def take(self) -> _Literal:
        if self.at >= len(self.tokens):
            raise Malformed("unexpected token: '<EOF>'")
        self.at += 1
        return self.tokens[self.at - 1]

    def name(self) -> str:
        token = self.take()
        if token.kind != "word":
            raise Malformed(f"unexpected token: '{token.value}'")
        return str(token.value)

    def maybe(self, word: str) -> bool:
        at = self.at
        if at < len(self.tokens) and self.tokens[at].kind == "word" and str(self.tokens[at].value).upper() == word:
            self.at += 1
            return True
        return False

    def word(self, word: str) -> None:
        if not self.maybe(word):
            raise Malformed(f"unexpected token: '{self.peek() or '<EOF>'}'")

    def sign(self, sign: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == _Literal("sign", sign):
            self.at += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.sign(sign):
            raise Malformed(f"expecting '{sign}', found '{self.peek() or '<EOF>'}'")


def _tokens(text: str) -> list[_Literal]:
    tokens: list[_Literal] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Malformed(f"unexpected token: '{text[at : at + 20].strip()}'")
        kind = str(found.lastgroup)
        value: Any = found.group(kind)
        if kind == "text":
            value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), value[1:-1], flags=re.DOTALL)
        elif kind == "stamp":
            value = stamp_text(value)
        elif kind == "number":
            value = float(value) if "." in value else int(value)
        tokens.append(_Literal(kind, value))
        at = found.end()
    return tokens


def folded(name: str, value: Any) -> Any:
    """A value as it is compared: ids by their first 15 characters, other text without case."""
    if not isinstance(value, str):
        return value
    return value[:15] if is_id(name.rpartition(".")[2]) else value.lower()


def reach(row: Row, name: str) -> Any:
    """The member at a dotted name of a row that carries its parents."""
    value: Any = row
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _getter(name: str) -> Callable[[Row], Any]:
    if "." in name:
        return lambda row: reach(row, name)
    return lambda row: row.get(name)


def _member(name: str, values: list[Any]) -> Test:
    wanted, get = set(values), _getter(name)
    return lambda row: folded(name, get(row)) in wanted


def _like(name: str, pattern: str) -> Test:
    # the tokenizer took the backslashes away: the sandbox cannot tell an escaped % from a bare one
    body = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern.lower())
    found, get = re.compile(body, re.DOTALL), _getter(name)
    return lambda row: found.fullmatch(str(get(row) or "").lower()) is not None


def _compare(name: str, sign: str, value: Any) -> Test:
    get = _getter(name)
    if sign == "=":
        return lambda row: folded(name, get(row)) == value
    if sign in ("!=", "<>"):
        return lambda row: folded(name, get(row)) != value
    order: Callable[[Any], bool] = {
        "<": lambda held: held < value,
        ">": lambda held: held > value,
        "<=": lambda held: held <= value,
        ">=": lambda held: held >= value,
    }[sign]

    def test(row: Row) -> bool:
        held = folded(name, get(row))
        return held is not None and value is not None and order(held)

    return test
