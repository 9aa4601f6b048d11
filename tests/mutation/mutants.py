"""Mutants of a module: the same source with one small thing wrong, by its place.

What is changed: comparisons, `and` and `or`, `not`, arithmetic, numbers, texts, `True` and `False`, what is returned,
conditions of comprehensions, the two sides of an `if`, `min` and `max`, `any` and `all`, and statements left out.
None is not returned for False: it says the same to whoever asks whether. Annotations, docstrings and lines marked
`pragma: no cover` stay as they are.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one thing wrong: where, what, and its code."""

    line: int
    what: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of `source`, in the order of its lines."""
    tree = ast.parse(source)
    exempt = {number for number, line in enumerate(source.split("\n"), 1) if "pragma: no cover" in line}
    places = [node for node in _code(tree) if _line(node) not in exempt]
    changes = [(node, what, change) for node in places for what, change in _changes(node)]
    for node, what, change in sorted(changes, key=lambda found: _line(found[0])):
        yield Mutant(_line(node), what, _with(tree, node, change))


def _line(node: ast.AST) -> int:
    place = node.target if isinstance(node, ast.comprehension) else node
    return int(getattr(place, "lineno", 0))


def _with(tree: ast.Module, node: ast.AST, change: Callable[[ast.AST], ast.AST | None]) -> ast.Module:
    """A copy of the tree in which `node` is changed; None stands for leaving it out."""
    memo: dict[int, object] = {}
    mutated = copy.deepcopy(tree, memo)
    twin = memo[id(node)]
    assert isinstance(twin, ast.AST)
    changed = change(twin)
    if changed is not twin:
        _Put(twin, changed).visit(mutated)
    return ast.fix_missing_locations(mutated)


class _Put(ast.NodeTransformer):
    """Puts a node where another stands."""

    def __init__(self, old: ast.AST, new: ast.AST | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST | None:
        if node is not self.old:
            return self.generic_visit(node)
        return ast.copy_location(self.new or ast.Pass(), node)


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run: no annotations, no docstrings, no decorators, no imports."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list") or isinstance(tree, ast.Import | ast.ImportFrom):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text_alone(child):
                yield child
                yield from _code(child)


def _is_text_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


_Change = tuple[str, Callable[[ast.AST], ast.AST | None]]


def _changes(node: ast.AST) -> Iterator[_Change]:
    match node:
        case ast.Compare():
            for number, op in enumerate(node.ops):
                if type(op) in _SWAPS:
                    yield f"{_word(op)} is {_word(_SWAPS[type(op)]())}", _operator("ops", number)
        case ast.BoolOp() | ast.BinOp() if type(node.op) in _SWAPS:
            yield f"{_word(node.op)} is {_word(_SWAPS[type(node.op)]())}", _operator("op", None)
        case ast.UnaryOp(op=ast.Not()):
            yield "not is left out", lambda twin: twin.operand  # type: ignore[attr-defined]
        case ast.Constant(value=bool() as yes):
            yield f"{yes} is {not yes}", _constant(not yes)
        case ast.Constant(value=int() as number):
            yield f"{number} is {number + 1}", _constant(number + 1)
        case ast.Constant(value=str() as text):
            yield "a text is another", _constant(f"{text}_")
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES:
            yield f"{name} is {_NAMES[name]}", _renamed(_NAMES[name])
        case ast.Return(value=value) if value is not None and not _is_no(value):
            yield "returns None", lambda twin: ast.Return(ast.Constant(None))
        case ast.If() | ast.IfExp():
            yield "a condition is turned round", _negated("test")
        case ast.comprehension():
            for number in range(len(node.ifs)):
                yield "a comprehension's condition is left out", _dropped("ifs", number)
        case ast.Continue():
            yield "continue is break", lambda twin: ast.Break()
        case ast.Expr(value=ast.Call()):
            yield "a call is left out", lambda twin: None
        case ast.AugAssign():
            yield "an assignment is left out", lambda twin: None


def _word(op: ast.AST) -> str:
    return type(op).__name__.lower()


def _is_no(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _operator(attribute: str, number: int | None) -> Callable[[ast.AST], ast.AST]:
    def change(twin: ast.AST) -> ast.AST:
        if number is None:
            setattr(twin, attribute, _SWAPS[type(getattr(twin, attribute))]())
        else:
            ops = getattr(twin, attribute)
            ops[number] = _SWAPS[type(ops[number])]()
        return twin

    return change


def _constant(value: object) -> Callable[[ast.AST], ast.AST]:
    return lambda twin: ast.Constant(value)  # type: ignore[arg-type]


def _renamed(name: str) -> Callable[[ast.AST], ast.AST]:
    return lambda twin: ast.Name(name, ast.Load())


def _negated(attribute: str) -> Callable[[ast.AST], ast.AST]:
    def change(twin: ast.AST) -> ast.AST:
        setattr(twin, attribute, ast.UnaryOp(ast.Not(), getattr(twin, attribute)))
        return twin

    return change


def _dropped(attribute: str, number: int) -> Callable[[ast.AST], ast.AST]:
    def change(twin: ast.AST) -> ast.AST:
        del getattr(twin, attribute)[number]
        return twin

    return change
