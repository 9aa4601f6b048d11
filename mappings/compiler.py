"""From a mapping file to what reads and writes records: every object of it, compiled."""

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
from mappings.canonical import MAX_TEXT, Unreadable
from mappings.expressions import Expression, lead_context
from mappings.language import Entry, MappingFile, ObjectMapping
from mappings.model import DEAL_FIELDS, FIELDS, LEAD_FIELDS, Field, FieldType, Kind, Rule, Values
from mappings.reading import Compiled, ValueProblem, careful_reading, dense_reading, quick_reading
from mappings.transforms import Context, Defaults, Lookup, make

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

_ESCAPE, _DELETE = ord("\\"), 0x7F


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
    _compiled: tuple[Compiled, ...]
    _constants: Mapping[str, Any]
    _lead: Mapping[str, Field]
    doubted: frozenset[str] = frozenset()  # fields of which a blank tells nothing: the account had them not for a while
    anew: Mapping[str, str] = field(default_factory=dict)  # fields that are back, or read by another entry: since when

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

    @property
    def consents(self) -> dict[str, tuple[str, ...]]:
        """The consents that this mapping reads, by field: their options, from open to closed."""
        found = self._lead.items() if self.kind is Kind.LEAD else ()
        return {n: f.options for n, f in found if f.rule is Rule.MOST_RESTRICTIVE and n in self.pulled}

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

    def doubting(self, back: Iterable[str], anew: Mapping[str, str]) -> Mapped:
        """The same mapping, by which a blank in these remote fields tells nothing; nor does it in those that are read
        `anew` since a moment, on a record that nothing told of since."""
        some = set(back)
        return replace(
            self,
            doubted=frozenset(name for name, entry in self.entries.items() if entry.remote in some),
            anew={name: anew[entry.remote] for name, entry in self.entries.items() if entry.remote in anew},
        )

    def anew_since(self, at: str) -> frozenset[str]:
        """The fields that came back, or are read by another entry, after `at`."""
        return frozenset(name for name, since in self.anew.items() if at < since)

    def silent_since(self, at: str) -> frozenset[str]:
        """The fields of which a blank tells nothing of what was done until `at`: the account had them not, or nobody
        read them, for a while since."""
        return self.doubted | self.anew_since(at)

    def creates(self, lead: Values) -> bool:
        """Whether a lead without a record here gets one, by the mapping's `create_when`."""
        if self._create_when is None:
            return False
        if self._create_when.constant is not None:
            return self._create_when.constant
        return self._create_when.truth({"lead": lead_context(lead, self._lead)})

    def copies(self, deal: Values, lead: Values) -> bool:
        """Whether a deal of another platform gets a copy here, by the mapping's `create_when`."""
        if self._create_when is None:
            return False
        context = {"deal": lead_context(deal, DEAL_FIELDS), "lead": lead_context(lead, self._lead)}
        return self._create_when.truth(context)


def _write_entry(
    compiled: Compiled, values: Values, creating: bool, remote: dict[str, Any], problems: list[ValueProblem]
) -> None:
    entry, names = compiled.entry, compiled.entry.names
    parts = [values.get(name) for name in names]
    if not [part for part in parts if part is not None and part != []]:
        given = not values.keys().isdisjoint(names)
        if (given or creating) and compiled.fills is not None:
            remote[entry.remote] = compiled.fills
        elif given:
            remote[entry.remote] = None
        return
    try:
        written = compiled.write(tuple(parts) if len(names) > 1 else parts[0])
    except Unreadable as error:
        problems.append(ValueProblem(names[0], error.code, error.reason))
        return
    if compiled.sibling:
        remote[entry.remote], remote[compiled.sibling] = written
    else:
        remote[entry.remote] = written


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
        Compiled(entry, tuple(known[n] for n in entry.names), tuple(make(spec, context) for spec in entry.transform))
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
        _read=careful_reading(compiled),
        _quick=quick_reading(compiled),
        _dense=dense_reading(compiled),
        _filter=Expression(object.filter) if object.filter else None,
        _create_when=Expression(object.create_when) if object.create_when != "false" else None,
        _compiled=compiled,
        _constants=object.constants,
        _lead=known if object.kind is Kind.CONVERSION else lead.fields,
    )
