"""The functions that read a record, generated: one for each mapping, so that a million records cost seconds.

The source is made of fixed lines of ours; names, paths and transforms of the user's enter only as constants of its
namespace, never as text. Three functions come of a mapping. The careful one reads everything, and names the problems.
The quick one reads records of which the bytes already tell that no text in them needs to be looked into; it decodes
only what is mapped, and gives up at the first value that is a problem. The dense one is quicker still, for records that
tell every member. Where they answer, all say the same: a property holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any

import msgspec

from mappings.canonical import MAX_TEXT, Unreadable, form, text
from mappings.language import Entry
from mappings.model import Field, FieldType, Values
from mappings.transforms import Transform


@dataclass(frozen=True, slots=True)
class ValueProblem:
    """A value that could not be read or written: which unified field, what sort of mistake, why (never the value), and
    what to do where that is not the usual."""

    field: str
    code: str
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Compiled:
    """An entry ready to run: its unified fields, its path, what reads and what writes it. (Without slots: what follows
    from its steps is looked for once, and asked for with each record that is written.)"""

    entry: Entry
    fields: tuple[Field, ...]
    steps: tuple[Transform, ...]

    @cached_property
    def sibling(self) -> str:
        return next((step.sibling for step in self.steps if step.sibling), "")

    @cached_property
    def fills(self) -> Any:
        return next((step.fills for step in self.steps if step.fills is not None), None)

    @cached_property
    def pushes(self) -> bool:
        return self.entry.direction != "pull" and self.entry.constant is None

    def write(self, value: Any) -> Any:
        """A canonical value (a tuple of them for several fields) in the platform's form."""
        for step in reversed(self.steps):
            value = step.write(value)
        return value


_MISSING = object()


def _walk(record: Any, path: tuple[str, ...]) -> Any:
    """The member at `path`, or _MISSING."""
    for step in path:
        if not isinstance(record, dict) or step not in record:
            return _MISSING
        record = record[step]
    return record


def _space() -> dict[str, Any]:
    return {
        "MISSING": _MISSING,
        "UNSET": msgspec.UNSET,
        "LONGEST": MAX_TEXT,
        "walk": _walk,
        "text": text,
        "Unreadable": Unreadable,
        "Problem": ValueProblem,
    }


@lru_cache(maxsize=256)
def _code(source: str) -> CodeType:
    """Many mappings come to the same lines; what differs is in the space they run in."""
    return compile(source, "<mapping>", "exec")


def _made(lines: list[str], space: dict[str, Any]) -> Any:
    exec(_code("\n".join(lines)), space)
    return space["read"]


def careful_reading(compiled: tuple[Compiled, ...]) -> Callable[[dict[str, Any], list[ValueProblem]], Values]:
    space = _space()
    lines = ["def read(record, problems):", "    out = {}", "    get = record.get"]
    for number, one in enumerate(compiled):
        lines.extend(_careful(number, one, space))
    read: Callable[[dict[str, Any], list[ValueProblem]], Values] = _made([*lines, "    return out"], space)
    return read


def quick_reading(compiled: tuple[Compiled, ...]) -> Callable[[bytes], Values]:
    space = _space()
    heads = {path.split(".")[0] for one in compiled for path in (one.entry.remote, one.sibling) if path}
    members = {head: f"m{number}" for number, head in enumerate(sorted(heads))}
    given = [(name, Any, msgspec.UNSET) for name in members.values()]
    renamed = {name: head for head, name in members.items()}
    record = msgspec.defstruct("Record", given, rename=renamed, gc=False)
    space["decode"] = msgspec.json.Decoder(record).decode
    space["blank"] = {}
    space["texts"] = _Known(text)  # names of people and places come again
    lines = ["def read(raw):", "    r = decode(raw)", "    out = blank.copy()"]
    for number, one in enumerate(compiled):
        lines.extend(_quick(number, one, members, space))
    space["blank"] = dict(sorted(space["blank"].items()))
    read: Callable[[bytes], Values] = _made([*lines, "    return out"], space)
    return read


def dense_reading(compiled: tuple[Compiled, ...]) -> Callable[[bytes], Values]:
    """The quick reading of records that tell every member, as most platforms do: one expression for each field, and no
    look at what is not there. Raises LookupError or TypeError for any other record."""
    if any(len(one.entry.names) > 1 or one.sibling or "." in one.entry.remote for one in compiled):
        return _no_dense
    space = _space()
    space["texts"] = _Known(text)
    members: list[tuple[str, Any, Any]] = []
    renamed: dict[str, str] = {}
    parts: dict[str, str] = {}
    heads: dict[str, str] = {}
    for number, one in enumerate(compiled):
        name = one.entry.names[0]
        if one.entry.constant is not None:
            space[f"value{number}"] = form(one.fields[0])(one.entry.constant)
            parts[name] = f"value{number}"
            continue
        parts[name], only_text = _dense(number, one, space)
        heads.setdefault(one.entry.remote, f"m{number}")
        parts[name] = parts[name].replace("MEMBER", f"r.{heads[one.entry.remote]}")
        if heads[one.entry.remote] == f"m{number}":
            members.append((f"m{number}", _TEXT if only_text else Any, msgspec.UNSET))
            renamed[f"m{number}"] = one.entry.remote
    members.sort(key=lambda member: renamed[member[0]])
    record = msgspec.defstruct("Record", members, rename=renamed, gc=False)
    space["decode"] = msgspec.json.Decoder(record).decode
    fields = ", ".join(f"{name!r}: {parts[name]}" for name in sorted(parts))
    read: Callable[[bytes], Values] = _made(
        ["def read(raw):", "    r = decode(raw)", f"    return {{{fields}}}"], space
    )
    return read


_TEXT = str | None | msgspec.UnsetType


def _no_dense(raw: bytes) -> Values:
    raise LookupError("members are nested, or several make one field")


def _dense(number: int, one: Compiled, space: dict[str, Any]) -> tuple[str, bool]:
    """The expression of one field, and whether its member may be text only."""
    default = None if one.entry.default is None else form(one.fields[0])(one.entry.default)
    space[f"blank{number}"] = {None: default, "": default}
    field, bring = one.fields[0], reader(one.steps, one.fields[0])
    blank = f"if (v := MEMBER) else blank{number}[v]"
    if bring is text:
        return f"((v.strip() or None) if v.isascii() else texts[v]) {blank}", True
    if field.type in _REPEATING and all(step.pure for step in one.steps):
        space[f"known{number}"] = _Known(bring)
        return f"known{number}[v] {blank}", True
    space[f"read{number}"] = bring
    return f"read{number}(v) {blank}", False


def _careful(number: int, one: Compiled, space: dict[str, Any]) -> list[str]:
    """The lines that read one entry; numbers keep the entries' constants apart.

    Nearly all values are text that is not empty: that branch comes first, and there is little in it.
    """
    if one.entry.constant is not None:
        return _constant(number, one, space)
    whole = _constants(number, one, space)
    path, beside = (f"walk(record, path{number})", f"walk(record, beside{number})")
    if "." not in one.entry.remote:
        path = f"get(key{number}, MISSING)"
    quick, read = _pair(number, beside) if whole else _single(number, one, space)
    caught = ["except Unreadable as error:", f"    problems.append(Problem(name{number}, error.code, error.reason))"]
    return [
        f"    v = {path}",
        "    if v.__class__ is str and v:",
        "        try:",
        f"            {quick}",
        *(" " * 8 + line for line in caught),
        "    elif v is not MISSING:",
        "        if v is None or v == '' or v == []:",
        f"            {_blank(number, one)}",
        "        else:",
        "            try:",
        f"                {read}",
        *(" " * 12 + line for line in caught),
    ]


def _quick(number: int, one: Compiled, members: Mapping[str, str], space: dict[str, Any]) -> list[str]:
    """The same without a look at what the bytes have told already. Unreadable ends the whole reading.

    `out` starts as a copy of the record in which all is blank: a dict of its full size from the start.
    """
    if one.entry.constant is not None:
        space["blank"][one.entry.names[0]] = form(one.fields[0])(one.entry.constant)
        return []
    whole = _constants(number, one, space)
    space["blank"].update(dict.fromkeys(one.entry.names, space[f"default{number}"]))
    path = _member(one.entry.remote, members, f"path{number}")
    beside = _member(one.sibling, members, f"beside{number}") if one.sibling else "MISSING"
    quick, read = _pair(number, beside) if whole else _single(number, one, space)
    if not whole and space[f"read{number}"] is text:
        quick = f"out[name{number}] = (v.strip() or None) if v.isascii() else texts[v]"
    return [
        f"    v = {path}",
        "    if v.__class__ is str and v:",
        f"        {quick}",
        "    elif v is UNSET or v is MISSING:",
        f"        for name in names{number}:",
        "            del out[name]",
        "    elif v is not None and v != '' and v != []:",
        f"        {read}",
    ]


def _member(remote: str, members: Mapping[str, str], path: str) -> str:
    head, _, rest = remote.partition(".")
    return f"walk(r.{members[head]}, {path}[1:])" if rest else f"r.{members[head]}"


def _constant(number: int, one: Compiled, space: dict[str, Any]) -> list[str]:
    space[f"name{number}"] = one.entry.names[0]
    space[f"value{number}"] = form(one.fields[0])(one.entry.constant)
    return [f"    out[name{number}] = value{number}"]


def _constants(number: int, one: Compiled, space: dict[str, Any]) -> bool:
    """What the lines of an entry refer to. Returns whether it reads several fields, or a second remote one."""
    entry, names = one.entry, one.entry.names
    space[f"names{number}"], space[f"name{number}"] = names, names[0]
    path = tuple(entry.remote.split("."))
    space[f"path{number}"], space[f"key{number}"] = path, path[0]
    space[f"beside{number}"] = tuple(one.sibling.split("."))
    space[f"default{number}"] = None if entry.default is None else form(one.fields[0])(entry.default)
    whole = len(names) > 1 or bool(one.sibling)
    if whole:
        space[f"read{number}"] = _several(one)
    return whole


def _blank(number: int, one: Compiled) -> str:
    if len(one.entry.names) > 1:
        return f"out.update(dict.fromkeys(names{number}))"
    return f"out[name{number}] = default{number}"


_REPEATING = frozenset({FieldType.TEXT, FieldType.CHOICE, FieldType.COUNTRY, FieldType.BOOLEAN})
"""Types whose values come again and again, and are read into what nobody can change."""


def _single(number: int, one: Compiled, space: dict[str, Any]) -> tuple[str, str]:
    """The statements that read one remote field into one of ours: of a text that is not empty, and of anything."""
    field = one.fields[0]
    reading = reader(one.steps, field)
    space[f"read{number}"] = reading
    careful = f"out[name{number}] = read{number}(v)"
    if reading is text:
        plain = "v.isascii() and v.isprintable() and len(v) <= LONGEST and v.strip()"
        return f"out[name{number}] = ({plain}) or text(v)", careful
    if field.type in _REPEATING and all(step.pure for step in one.steps):
        space[f"known{number}"] = _Known(reading)
        return f"out[name{number}] = known{number}[v]", careful
    return careful, careful


def reader(steps: tuple[Transform, ...], field: Field) -> Callable[[Any], Any]:
    """What brings a remote value into the field's canonical form."""
    bring = form(field)
    if not steps:
        return bring
    if len(steps) == 1 and steps[0].gives is field.type:
        return steps[0].read

    def read(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = step.read(value)
        return None if value is None else bring(value)

    return read


class _Known(dict[str, Any]):
    """The values read so far, as many as are worth keeping."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, value: str) -> Any:
        found = self._read(value)
        if len(self) < 2048 and len(value) < 100:
            self[value] = found
        return found


def _pair(number: int, beside: str) -> tuple[str, str]:
    """The same where several fields are read, or a second remote field has a say."""
    statement = f"read{number}(v, {beside}, out)"
    return statement, statement


def _several(one: Compiled) -> Callable[[Any, Any, Values], None]:
    """What reads a remote value, and the one beside it, into one or several fields of `out`."""
    names, forms, steps = one.entry.names, tuple(form(field) for field in one.fields), one.steps

    def read(value: Any, beside: Any, out: Values) -> None:
        for step in steps:
            if value is None:
                break
            if step.sibling:
                value = (value, None if beside is _MISSING or beside is msgspec.UNSET else beside)
            value = step.read(value)
        if value is None:
            out.update(dict.fromkeys(names))
            return
        for name, bring, part in zip(names, forms, value if len(names) > 1 else (value,), strict=True):
            out[name] = None if part is None else bring(part)

    return read
