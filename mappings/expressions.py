"""Conditions in CEL, bounded: the one place where a user writes logic.

CEL cannot loop for ever, but it can nest macros into very long loops, and its engine cannot be interrupted. So a
condition is short (1,000 characters) and has no macro inside a macro.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from config.errors import Misconfigured
from mappings.model import Field, FieldType, Values

MAX_LENGTH = 1000

_MACRO = re.compile(r"\b(?:all|exists|exists_one|map|filter)\b(?:\s|//[^\n]*\n)*\(")
"""A macro's name, however far from its dot and its bracket."""


class Expression:
    """A compiled condition. Raises Misconfigured when `text` is no CEL, or more than is allowed."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise Misconfigured(f"A condition is at most {MAX_LENGTH} characters long.")
        if len(_MACRO.findall(text)) > 1:
            raise Misconfigured("A condition has at most one macro (all, exists, map, filter).")
        try:
            self._program = _compile(text)
        except (ValueError, TypeError, RuntimeError) as error:
            raise Misconfigured(f"This is not CEL: {_first_line(error)}.") from error
        self.constant = _CONSTANTS[text].value if text in _CONSTANTS else None
        """What it always is; None for what hangs on its context."""

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """The value over `context`. Raises Misconfigured for a condition that cannot be evaluated there."""
        try:
            return self._program.execute(dict(context))
        except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError, AttributeError) as error:
            raise Misconfigured(
                f"The condition `{self.text}` cannot be evaluated: {_first_line(error)}.",
                fix="Check the names and types in it with `closedloop check`.",
            ) from error

    def truth(self, context: Mapping[str, Any]) -> bool:
        """Whether it holds. Raises Misconfigured when its value is neither true nor false."""
        value = self.evaluate(context)
        if not isinstance(value, bool):
            raise Misconfigured(f"The condition `{self.text}` gives neither true nor false.")
        return value


class _Always:
    """The program of a condition that is a constant, as most are."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def execute(self, _: Mapping[str, Any]) -> bool:
        return self.value


_CONSTANTS = {"true": _Always(True), "false": _Always(False)}


def _compile(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    import cel  # late: it brings its command line along, which takes as long to load as the rest of us

    return cel.compile(text)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")


_BLANK: Mapping[FieldType, Any] = {
    FieldType.INTEGER: 0,
    FieldType.DECIMAL: 0.0,
    FieldType.BOOLEAN: False,
    FieldType.LIST: [],
    FieldType.MONEY: {"amount": 0.0, "currency": ""},
}


def lead_context(values: Values, fields: Mapping[str, Field]) -> dict[str, Any]:
    """What `lead` is in a condition: every field, blanks as '' / 0 / false / [], decimals as numbers."""
    return {field.name: _plain(field, values.get(field.name)) for field in fields.values()}


def _plain(field: Field, value: Any) -> Any:
    if value is None:
        return _BLANK.get(field.type, "")
    if field.type is FieldType.DECIMAL:
        return float(value)
    if field.type is FieldType.MONEY:
        return {"amount": float(value["amount"]), "currency": value["currency"]}
    return value


def sample_context(fields: Mapping[str, Field]) -> dict[str, Any]:
    """A context of blanks, to try a condition on before any lead is there."""
    return lead_context({}, fields)
