"""From a mapping file to code: one generated function reads a whole record, so that a million cost seconds.

The generated source is made of fixed lines of ours; names, paths and transforms of the user's enter only as constants
of its namespace, never as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson
import xxhash
from pydantic import ValidationError

from config import yaml
from config.errors import Misconfigured, Problem
from config.project import Project
from mappings.canonical import MAX_TEXT, Unreadable, form, text
from mappings.expressions import Expression, lead_context
from mappings.language import Entry, MappingFile, ObjectMapping
from mappings.model import FIELDS, LEAD_FIELDS, Field, FieldType, Kind, Rule, Values
from mappings.transforms import Context, Defaults, Lookup, Transform, make

__all__ = [
    "Defaults",
    "LeadFields",
    "Lookup",
    "Mapped",
    "ValueProblem",
    "compile_mapping",
    "compile_object",
    "lead_fields",
    "load_mapping",
    "read_mapping",
]


@dataclass(frozen=True, slots=True)
class ValueProblem:
    """A value that could not be read or written: which unified field, what sort of mistake, why (never the value), and
    what to do where that is not the usual."""

    field: str
    code: str
    reason: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class LeadFields:
    """The lead's fields in this project, its own included, and the connections its `prefer` rules name, by field."""

    fields: Mapping[str, Field] = field(default_factory=lambda: LEAD_FIELDS)
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def lead_fields(project: Project) -> LeadFields:
    """The model's lead fields with the project's own fields and rules. Raises Misconfigured naming all mistakes."""
    fields = dict(LEAD_FIELDS)
    order: dict[str, tuple[str, ...]] = {}
    wrong: list[str] = []
    for name, custom in project.lead.fields.items():
        if name in LEAD_FIELDS:
            wrong.append(f"lead.fields.{name}: the unified lead has this field already")
            continue
        options = tuple(custom.options)
        fields[name] = Field(name, FieldType(custom.type), custom.about, Rule(custom.rule), options)
        order[name] = tuple(custom.order)
    for name, chosen in project.lead.survivorship.items():
        if name not in fields:
            wrong.append(f"lead.survivorship.{name}: there is no such field on the lead")
            continue
        known = fields[name]
        if known.derived:
            wrong.append(f"lead.survivorship.{name}: the engine computes this field")
            continue
        fields[name] = Field(known.name, known.type, known.about, Rule(chosen.rule), known.options, known.key)
        order[name] = tuple(chosen.order)
    if wrong:
        raise Misconfigured("The project's lead is wrong. " + "; ".join(wrong) + ".")
    return LeadFields(fields, order)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """An entry ready to run: its unified fields, its path, what reads and what writes it."""

    entry: Entry
    fields: tuple[Field, ...]
    steps: tuple[Transform, ...]

    @property
    def sibling(self) -> str:
        return next((step.sibling for step in self.steps if step.sibling), "")

    @property
    def fills(self) -> Any:
        return next((step.fills for step in self.steps if step.fills is not None), None)

    @property
    def pushes(self) -> bool:
        return self.entry.direction != "pull" and self.entry.constant is None

    def write(self, value: Any) -> Any:
        """A canonical value (a tuple of them for several fields) in the platform's form."""
        for step in reversed(self.steps):
            value = step.write(value)
        return value


@dataclass(frozen=True, slots=True)
class Mapped:
    """The compiled mapping of one object."""

    object: str
    kind: Kind
    platform: str
    fingerprint: str
    remote_fields: tuple[str, ...]
    entries: Mapping[str, Entry]
    pulled: frozenset[str]
    pushed: frozenset[str]
    match: tuple[str, ...]
    on_blank: Mapping[str, str]
    _read: Callable[[dict[str, Any], list[ValueProblem]], Values]
    _quick: Callable[[bytes], Values]
    _dense: Callable[[bytes], Values]
    _filter: Expression | None
    _create_when: Expression | None
    _compiled: tuple[_Compiled, ...]
    _constants: Mapping[str, Any]
    _lead: Mapping[str, Field]

    def decode(self, raw: bytes) -> dict[str, Any]:
        """The record's JSON object; ValueError when it is none."""
        record = orjson.loads(raw)
        if not isinstance(record, dict):
            raise ValueError("is no JSON object")  # noqa: TRY004 - a wrong value, not a wrong type of ours
        return record

    def quick(self, raw: bytes) -> Values | None:
        """The unified values, by name in order, of a record with nothing out of the ordinary.

        None where `decode`, `accepts` and `read` have to look: a filter, an escape, great length, a bad value.
        """
        # numbers, not bytes: `b"x" in raw` first takes b"x" for a number, and makes an exception of the failure
        if self._filter is not None or _ESCAPE in raw or _DELETE in raw or len(raw) > MAX_TEXT:
            return None
        try:
            return self._dense(raw)
        except (LookupError, TypeError, msgspec.ValidationError):
            pass  # a member is not there, or no text: what reads those looks again
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None
        try:
            return self._quick(raw)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None

    def accepts(self, record: dict[str, Any]) -> bool:
        """Whether the record takes part, by the mapping's `filter`."""
        return self._filter is None or self._filter.truth({"record": record})

    def read(self, record: dict[str, Any]) -> tuple[Values, list[ValueProblem]]:
        """The unified values of a record. Absent members stay absent, blank ones are None, bad ones are problems."""
        problems: list[ValueProblem] = []
        return self._read(record, problems), problems

    def write(self, values: Values, *, creating: bool = False) -> tuple[dict[str, Any], list[ValueProblem]]:
        """The remote values (by dotted path) of those of `values` that this mapping pushes; None where they are blank.

        Creating adds the constants and fills what must not be blank.
        """
        remote: dict[str, Any] = dict(self._constants) if creating else {}
        problems: list[ValueProblem] = []
        for compiled in self._compiled:
            if compiled.pushes:
                _write_entry(compiled, values, creating, remote, problems)
        return remote, problems

    def without(self, gone: Iterable[str]) -> Mapped:
        """The same mapping without these remote fields: not asked for and not written; what was read stays known."""
        lost = set(gone)
        fields = {name for name, entry in self.entries.items() if entry.remote in lost}
        return replace(
            self,
            remote_fields=tuple(name for name in self.remote_fields if name not in lost),
            pushed=self.pushed - fields,
            _compiled=tuple(one for one in self._compiled if one.entry.remote not in lost),
            _constants={name: value for name, value in self._constants.items() if name not in lost},
        )

    def creates(self, lead: Values) -> bool:
        """Whether a lead without a record here gets one, by the mapping's `create_when`."""
        if self._create_when is None:
            return False
        return self._create_when.truth({"lead": lead_context(lead, self._lead)})


def _write_entry(
    compiled: _Compiled, values: Values, creating: bool, remote: dict[str, Any], problems: list[ValueProblem]
) -> None:
    entry = compiled.entry
    names = entry.names
    given = [name for name in names if name in values]
    parts = tuple(values.get(name) for name in names)
    blank = all(part is None or part == [] for part in parts)
    if not given or blank:
        if (given or creating) and compiled.fills is not None:
            remote[entry.remote] = compiled.fills
        elif given:
            remote[entry.remote] = None
        return
    try:
        written = compiled.write(parts if len(names) > 1 else parts[0])
    except Unreadable as error:
        problems.append(ValueProblem(names[0], error.code, error.reason))
        return
    if compiled.sibling:
        remote[entry.remote], remote[compiled.sibling] = written
    else:
        remote[entry.remote] = written


# reading: code generation
#
# Two functions come of it. The quick one reads records of which the bytes already tell that no text in them needs to be
# looked into; it decodes only what is mapped, and gives up at the first value that is a problem. The careful one reads
# everything, and names the problems. Where the quick one answers, both say the same: a property holds it.

_MISSING = object()
_ESCAPE, _DELETE = ord("\\"), 0x7F


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


def _made(lines: list[str], space: dict[str, Any]) -> Any:
    exec(compile("\n".join(lines), "<mapping>", "exec"), space)
    return space["read"]


def _generate(compiled: tuple[_Compiled, ...]) -> Callable[[dict[str, Any], list[ValueProblem]], Values]:
    space = _space()
    lines = ["def read(record, problems):", "    out = {}", "    get = record.get"]
    for number, one in enumerate(compiled):
        lines.extend(_careful(number, one, space))
    read: Callable[[dict[str, Any], list[ValueProblem]], Values] = _made([*lines, "    return out"], space)
    return read


def _generate_quick(compiled: tuple[_Compiled, ...]) -> Callable[[bytes], Values]:
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


def _generate_dense(compiled: tuple[_Compiled, ...]) -> Callable[[bytes], Values]:
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


def _dense(number: int, one: _Compiled, space: dict[str, Any]) -> tuple[str, bool]:
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


def _careful(number: int, one: _Compiled, space: dict[str, Any]) -> list[str]:
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


def _quick(number: int, one: _Compiled, members: Mapping[str, str], space: dict[str, Any]) -> list[str]:
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


def _constant(number: int, one: _Compiled, space: dict[str, Any]) -> list[str]:
    space[f"name{number}"] = one.entry.names[0]
    space[f"value{number}"] = form(one.fields[0])(one.entry.constant)
    return [f"    out[name{number}] = value{number}"]


def _constants(number: int, one: _Compiled, space: dict[str, Any]) -> bool:
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


def _blank(number: int, one: _Compiled) -> str:
    if len(one.entry.names) > 1:
        return f"out.update(dict.fromkeys(names{number}))"
    return f"out[name{number}] = default{number}"


_REPEATING = frozenset({FieldType.TEXT, FieldType.CHOICE, FieldType.COUNTRY, FieldType.BOOLEAN})
"""Types whose values come again and again, and are read into what nobody can change."""


def _single(number: int, one: _Compiled, space: dict[str, Any]) -> tuple[str, str]:
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


def _several(one: _Compiled) -> Callable[[Any, Any, Values], None]:
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


# compiling


def read_mapping(path: Path, name: str = "") -> tuple[MappingFile, yaml.Document]:
    """The mapping file as data, and where everything in it stands. Raises Misconfigured with all problems."""
    document = yaml.load(path, name=name or f"{path.parent.name}/{path.name}")
    if not isinstance(document.data, dict):
        raise Misconfigured(
            f"{document.file} has mistakes.", problems=[Problem(document.file, 1, 1, "The mapping is empty.")]
        )
    try:
        return MappingFile.model_validate(document.data), document
    except ValidationError as error:
        problems = yaml.problems_of(error, document, MappingFile)
        raise Misconfigured(f"{document.file} has mistakes.", problems=problems) from error


def load_mapping(
    path: Path, *, lead: LeadFields | None = None, lookup: Lookup | None = None, defaults: Defaults | None = None
) -> dict[str, Mapped]:
    """The mapping in `path`, compiled, by object. Raises Misconfigured with every mistake at its place."""
    from mappings.check import check_document

    mapping, document = read_mapping(path)
    chosen = lead or LeadFields()
    context = Context(defaults or Defaults(), lookup)
    problems = check_document(mapping, document, chosen, context)
    if problems:
        raise Misconfigured(f"{document.file} has mistakes.", problems=problems)
    return compile_mapping(mapping, lead=chosen, context=context)


def compile_mapping(mapping: MappingFile, *, lead: LeadFields, context: Context) -> dict[str, Mapped]:
    """Every object of a checked mapping."""
    return {
        name: compile_object(name, object, mapping.platform, lead, context) for name, object in mapping.objects.items()
    }


def fields_of(kind: Kind, lead: LeadFields) -> Mapping[str, Field]:
    """The unified fields of a kind in this project."""
    if kind is Kind.CONVERSION:
        return {**lead.fields, **FIELDS[kind]}
    return lead.fields if kind is Kind.LEAD else FIELDS[kind]


def compile_object(name: str, object: ObjectMapping, platform: str, lead: LeadFields, context: Context) -> Mapped:
    """One object of a checked mapping."""
    known = fields_of(object.kind, lead)
    compiled = tuple(
        _Compiled(entry, tuple(known[n] for n in entry.names), tuple(make(spec, context) for spec in entry.transform))
        for entry in object.fields
    )
    shape = [object.model_dump(mode="json"), context.defaults.country, context.defaults.currency, context.defaults.zone]
    remote = [one.entry.remote for one in compiled if one.entry.remote] + [
        one.sibling for one in compiled if one.sibling
    ]
    return Mapped(
        object=name,
        kind=object.kind,
        platform=platform,
        fingerprint=xxhash.xxh3_128_hexdigest(orjson.dumps(shape, option=orjson.OPT_SORT_KEYS)),
        remote_fields=tuple(dict.fromkeys(remote)),
        entries={n: one.entry for one in compiled for n in one.entry.names},
        pulled=frozenset(n for one in compiled if one.entry.direction != "push" for n in one.entry.names),
        pushed=frozenset(n for one in compiled if one.pushes for n in one.entry.names),
        match=tuple(object.match),
        on_blank={n: one.entry.on_blank for one in compiled for n in one.entry.names},
        _read=_generate(compiled),
        _quick=_generate_quick(compiled),
        _dense=_generate_dense(compiled),
        _filter=Expression(object.filter) if object.filter else None,
        _create_when=Expression(object.create_when) if object.create_when != "false" else None,
        _compiled=compiled,
        _constants=object.constants,
        _lead=known if object.kind is Kind.CONVERSION else lead.fields,
    )
