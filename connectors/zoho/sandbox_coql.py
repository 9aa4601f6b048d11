"""The sandbox's COQL: one module, conditions in nested pairs, an order and a limit. Anything else is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.clock import unstamp
from connectors.zoho.sandbox_schema import MODULES, Field

Row = dict[str, Any]
Test = Callable[[Row], bool]
_QUERY = re.compile(
    r"select\s+(?P<columns>.+?)\s+from\s+(?P<module>\w+)\s+where\s+(?P<where>.+?)"
    r"(?:\s+order\s+by\s+(?P<order>[\w., ]+?))?(?:\s+limit\s+(?P<limit>\d+))?(?:\s+offset\s+(?P<offset>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(<=|>=|!=|[()=<>,])|([\w.$]+))")
CRITERIA = 25
RESERVED = {"select", "from", "where", "order", "group", "limit", "external", "in", "is", "like", "and", "or", "not"}


class Refused(Exception):
    """A refusal: its code and details."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code, self.details = code, details


@dataclass(frozen=True, slots=True)
class Query:
    module: str
    columns: tuple[str, ...]
    test: Test
    order: tuple[tuple[str, bool], ...]
    limit: int
    offset: int

    @property
    def credits(self) -> int:
        return 1 if self.limit <= 200 else 2 if self.limit <= 1000 else 3


def parse(text: str) -> Query:
    found = _QUERY.fullmatch(text)
    if found is None:
        raise Refused("SYNTAX_ERROR", clause="select")
    module = found["module"]
    if module not in MODULES or module == "Notes":
        raise Refused("INVALID_QUERY", module=module)
    columns = tuple(part.strip() for part in found["columns"].split(","))
    if len(columns) > 50:
        raise Refused("LIMIT_EXCEEDED", clause="select", limit=50)
    if any(column.lower() in RESERVED for column in columns):
        raise Refused("SYNTAX_ERROR", clause="select")
    for column in columns:
        _field(module, column)
    limit = int(found["limit"] or 200)
    if limit > 2000:
        raise Refused("INVALID_QUERY", limit="2000")
    return Query(
        module,
        columns,
        _Where(module, found["where"]).test(),
        _order(module, found["order"]),
        limit,
        int(found["offset"] or 0),
    )


def _order(module: str, text: str | None) -> tuple[tuple[str, bool], ...]:
    order = []
    for part in (text or "id").split(","):
        name, _, way = part.strip().partition(" ")
        _field(module, name)
        order.append((name, way.strip().lower() == "desc"))
    if len({name for name, _ in order}) < len(order):
        raise Refused("DUPLICATE_DATA", clause="order by")
    return tuple(order)


def _field(module: str, column: str) -> Field:
    """The field of a column; a member of a lookup is a field of the module that it points at."""
    head, _, member = column.partition(".")
    if head == "id" and not member:
        return Field("bigint")
    field = MODULES[module].get(head)
    if field is None or head == "Tag":
        raise Refused("INVALID_QUERY", column_name=column)
    if not member:
        return field
    if field.to in MODULES and member in MODULES[field.to]:
        return MODULES[field.to][member]
    raise Refused("INVALID_QUERY", column_name=column)


class _Where:
    """A recursive descent over the condition."""

    def __init__(self, module: str, text: str) -> None:
        self.module, self.criteria = module, 0
        self.tokens: list[str] = []
        place = 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            if found is None:
                raise Refused("SYNTAX_ERROR", near=text[place : place + 20])
            self.tokens.append(found[0].strip())
            place = found.end()
        self.place = 0

    def test(self) -> Test:
        made = self._pair()
        if self.place < len(self.tokens):
            raise Refused("SYNTAX_ERROR", near=self.tokens[self.place])
        if self.criteria > CRITERIA:
            raise Refused("LIMIT_EXCEEDED", clause="where", limit=CRITERIA)
        return made

    def _next(self) -> str:
        if self.place >= len(self.tokens):
            raise Refused("SYNTAX_ERROR", clause="where")
        self.place += 1
        return self.tokens[self.place - 1]

    def _peek(self) -> str:
        return self.tokens[self.place].lower() if self.place < len(self.tokens) else ""

    def _pair(self) -> Test:
        """One condition, or two joined: a third one needs brackets."""
        one = self._term()
        if self._peek() not in ("and", "or"):
            return one
        word, other = self._next().lower(), self._term()
        if word == "and":
            return lambda row: one(row) and other(row)
        return lambda row: one(row) or other(row)

    def _term(self) -> Test:
        if self._peek() == "(":
            self._next()
            made = self._pair()
            if self._next() != ")":
                raise Refused("SYNTAX_ERROR", near=")")
            return made
        return self._criterion()

    def _criterion(self) -> Test:
        self.criteria += 1
        name = self._next()
        field = _field(self.module, name)
        if field.type == "textarea":
            raise Refused("INVALID_QUERY", column_name=name, operator="=", reason="not supported in criteria")
        word = self._next().lower()
        if word == "is":
            negated = self._peek() == "not"
            if negated:
                self._next()
            if self._next().lower() != "null":
                raise Refused("SYNTAX_ERROR", operator="is")
            return lambda row: (row.get(name) in (None, "")) is not negated
        if word == "in":
            values = [_typed(field, value) for value in self._values(name)]
            return lambda row: _typed(field, row.get(name)) in values
        literal = _typed(field, _literal(self._next()))
        return _compared(name, field, word, literal)

    def _values(self, name: str) -> list[str]:
        if self._next() != "(":
            raise Refused("SYNTAX_ERROR", near="in")
        values = [_literal(self._next())]
        while (token := self._next()) == ",":
            values.append(_literal(self._next()))
        if token != ")":
            raise Refused("SYNTAX_ERROR", near=token)
        if len(values) > 50:
            raise Refused("LIMIT_EXCEEDED", column_name=name, limit=50)
        return values


def _literal(token: str) -> str:
    return token[1:-1].replace("''", "'") if token.startswith("'") else token


def _typed(field: Field, value: Any) -> Any:
    if value is None or value == "null":
        return None
    if field.type == "datetime":
        try:
            return unstamp(str(value))
        except ValueError:
            raise Refused("INVALID_QUERY", column_name="", operator="=", reason="not a date time") from None
    if field.type in ("bigint", "integer", "currency"):
        return float(value) if field.type == "currency" else int(value)
    return str(value).casefold()


def _compared(name: str, field: Field, word: str, literal: Any) -> Test:
    tests: Mapping[str, Callable[[Any, Any], bool]] = {
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        ">": lambda a, b: a is not None and a > b,
        ">=": lambda a, b: a is not None and a >= b,
        "<": lambda a, b: a is not None and a < b,
        "<=": lambda a, b: a is not None and a <= b,
    }
    if word not in tests:
        raise Refused("SYNTAX_ERROR", operator=word)
    test = tests[word]
    return lambda row: test(_typed(field, row.get(name)), literal)


def ordered(rows: list[Row], query: Query) -> list[Row]:
    for name, down in reversed(query.order):
        field = _field(query.module, name)

        def key(row: Row, name: str = name, field: Field = field) -> tuple[bool, Any]:
            value = _typed(field, row.get(name))
            return value is not None, value if value is not None else 0

        rows = sorted(rows, key=key, reverse=down)
    return rows


def shown(row: Row, query: Query, look: Callable[[str, str], Row]) -> Row:
    """The asked columns: of a lookup its id alone, of its members what the record there holds. `look` is
    (module, id) -> row."""
    told: Row = {}
    for column in query.columns:
        head, _, member = column.partition(".")
        field = MODULES[query.module].get(head)
        value = row.get(head)
        if member and field is not None:
            told[column] = look(field.to, value).get(member) if value else None
        elif field is not None and field.to:
            told[column] = {"id": value} if value else None
        else:
            told[column] = value
    return {**told, "id": row["id"]}
