"""Every mistake of a mapping at once: against the model and the language, and against the platform's live schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from config.errors import Misconfigured, Problem
from config.yaml import Document, Where
from mappings.canonical import Unreadable, form
from mappings.compiler import LeadFields, fields_of
from mappings.expressions import Expression, lead_context
from mappings.language import Entry, MappingFile, ObjectMapping
from mappings.model import Field, FieldType, Kind
from mappings.reading import reader
from mappings.transforms import TRANSFORMS, Context, Transform, make


def check_document(mapping: MappingFile, document: Document, lead: LeadFields, context: Context) -> list[Problem]:
    """What is wrong with a mapping in itself."""
    problems: list[Problem] = []
    for name, object in mapping.objects.items():
        problems.extend(_check_object(("objects", name), object, document, lead, context))
    return problems


def _check_object(
    where: Where, object: ObjectMapping, document: Document, lead: LeadFields, context: Context
) -> Iterator[Problem]:
    known = fields_of(object.kind, lead)
    pushed: dict[str, int] = {}
    seen: dict[str, int] = {}
    for number, entry in enumerate(object.fields):
        place = (*where, "fields", number)
        yield from _check_entry(place, entry, known, document, context)
        for field in entry.names:
            if field in seen:
                yield document.problem(place, f"The field {field!r} stands here twice.", "keep one entry")
            seen[field] = number
        if entry.direction != "pull" and entry.remote in pushed:
            yield document.problem(
                (*place, "remote"), f"Two entries push to {entry.remote!r}.", "let one of them only pull"
            )
        if entry.direction != "pull":
            pushed[entry.remote] = number
    for number, field in enumerate(object.match):
        if field not in known:
            yield document.problem(
                (*where, "match", number), f"There is no unified field {field!r}.", _near(field, known)
            )
        elif field not in seen:
            yield document.problem(
                (*where, "match", number), f"{field!r} is matched by but not mapped.", "add an entry"
            )
    if object.kind is Kind.CONVERSION:
        yield from _check_conversion(where, object, document)
    yield from check_condition((*where, "filter"), object.filter, document, {"record": {}}, run=False)
    if object.kind in (Kind.LEAD, Kind.CONVERSION):
        sample = {"lead": lead_context({}, known)}
        yield from check_condition((*where, "create_when"), object.create_when, document, sample, run=True)
    if object.kind is Kind.DEAL:
        sample = {"deal": lead_context({}, known), "lead": lead_context({}, lead.fields)}
        yield from check_condition((*where, "create_when"), object.create_when, document, sample, run=True)
        yield from _check_deals(where, object, document)


def _check_deals(where: Where, object: ObjectMapping, document: Document) -> Iterator[Problem]:
    """A deal's home alone says how it stands: with two voices, two pipelines would have to agree on every step. And
    a copy that does not bear its home's name would count as a second deal."""
    for number, entry in enumerate(object.fields):
        if entry.direction == "both":
            yield document.problem(
                (*where, "fields", number, "direction"),
                "A deal's field does not travel both ways: the deal's home alone says how it stands.",
                "direction: push writes it to copies of deals, direction: pull reads it",
            )
    pushed = {name for entry in object.fields if entry.direction != "pull" for name in entry.names}
    if (pushed or object.create_when != "false") and ("home" not in pushed or object.match != ["home"]):
        yield document.problem(
            where,
            "Copies of deals have to bear the name of their home.",
            "add {remote: a text field of your own, field: home, direction: push} and match: [home]",
        )


def _check_conversion(where: Where, object: ObjectMapping, document: Document) -> Iterator[Problem]:
    """An outcome without its name is none, and without its id it would be told again and again."""
    places = {name: entry.remote for entry in object.fields for name in entry.names if entry.direction != "pull"}
    if "event" not in places or places.get("event_id") != "event_id":
        yield document.problem(
            where,
            "A conversion has to push `event`, and `event_id` as event_id.",
            "add {remote: event_id, field: event_id, direction: push}",
        )


def _check_entry(
    where: Where, entry: Entry, known: Mapping[str, Field], document: Document, context: Context
) -> Iterator[Problem]:
    good = True
    for name in entry.names:
        if name not in known:
            good = False
            yield document.problem((*where, "field"), f"There is no unified field {name!r}.", _near(name, known))
        elif known[name].derived and entry.direction != "push":
            yield document.problem((*where, "field"), f"The engine computes {name!r}: it can be pushed, not pulled.")
    steps: list[Transform] = []
    for number, spec in enumerate(entry.transform):
        try:
            steps.append(make(spec, context))
        except LookupError as error:
            good = False
            name = str(error.args[0])
            yield document.problem(
                (*where, "transform", number), f"There is no transform {name!r}.", _near(name, TRANSFORMS)
            )
        except ValueError as error:
            good = False
            shown = spec if isinstance(spec, str) else next(iter(spec), "")
            yield document.problem((*where, "transform", number), f"The transform {shown!r} {error}.")
    for name in filter(_UNNAMEABLE.search, (entry.remote, *(step.sibling for step in steps))):
        good = False
        yield document.problem(
            where, f"No platform has a field of the name {name!r}.", "correct remote: or the transform"
        )
    if good:
        yield from _check_chain(where, entry, known, steps, document)


_MEMBER = re.compile(r"(?<![\w.])(\w+)\.(\w+)(?!\w*\()")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_UNNAMEABLE = re.compile(r'[\\"\x00-\x1f]')
"""What the reader of records cannot have in a name, and no platform has in one."""


def _check_chain(
    where: Where, entry: Entry, known: Mapping[str, Field], steps: Sequence[Transform], document: Document
) -> Iterator[Problem]:
    parts = max((step.parts for step in steps), default=1)
    if parts != len(entry.names):
        yield document.problem(
            where,
            f"The transforms read {parts} fields, the entry names {len(entry.names)}.",
            "use split_name with fields:",
        )
    if entry.direction != "pull" and any(step.lossy for step in steps):
        yield document.problem((*where, "transform"), "These transforms cannot be undone.", "direction: pull")
    elif entry.direction != "pull" and parts == len(entry.names) == 1 and (why := _restless(steps, known[entry.field])):
        yield document.problem((*where, "transform"), f"In this order the transforms {why}.", "change their order")
    for name, value in (("default", entry.default), ("constant", entry.constant)):
        if value is not None and entry.field in known:
            try:
                form(known[entry.field])(value)
            except Unreadable as error:
                yield document.problem((*where, name), f"This value {error.reason}.")


_SAMPLES = ("Ab c", "ab@x.io", "+4930123456", "DE", "2026-01-31", "7")
_FAILED = object()


def _restless(steps: Sequence[Transform], field: Field) -> str:
    """What would make a chain write something else every time: what it fills a blank with, or a value, reads back as
    another. "" when it comes to rest."""
    if len(steps) < 2 or any(step.sibling or not step.pure for step in steps):
        return ""
    read = reader(tuple(steps), field)

    def write(value: Any) -> Any:
        for step in reversed(steps):
            value = step.write(value)
        return value

    for step in steps:
        if step.fills is not None and _tried(read, step.fills) is not None:
            return "read what they write for a blank as a value"
    for sample in _SAMPLES:
        written = _tried(write, _tried(form(field), sample))
        once = _tried(read, written)
        if written not in (None, _FAILED) and (once is _FAILED or _tried(read, _tried(write, once)) != once):
            return "read what they have written as something else"
    return ""


def _tried(call: Callable[[Any], Any], value: Any) -> Any:
    """What `call` makes of the value; _FAILED where it cannot."""
    try:
        return value if value is None or value is _FAILED else call(value)
    except (ValueError, TypeError, AttributeError):  # a sample of another type than the chain's
        return _FAILED


def check_condition(
    where: Where, text: str, document: Document, sample: Mapping[str, Any], *, run: bool = True
) -> Iterator[Problem]:
    """What is wrong with a condition over names like those of `sample`; unless `run`, what these hold is not known."""
    if not text:
        return
    named = _MEMBER.findall(_QUOTED.sub("''", text))
    unknown = [(root, name) for root, name in named if run and name not in sample.get(root, {name: 0})]
    for root, name in unknown:
        yield document.problem(where, f"`{text}`: {root} has no {name!r}.", _near(name, sample[root]))
    if unknown:
        return
    try:
        expression = Expression(text)
        if run:
            expression.truth(sample)
    except Misconfigured as error:
        yield document.problem(where, error.what)


def check_facts(mapping: MappingFile, document: Document, objects: Mapping[str, Kind]) -> list[Problem]:
    """What does not fit the platform: objects it has not, kinds they are not."""
    problems = []
    for name, object in mapping.objects.items():
        if name not in objects:
            problems.append(
                document.problem(("objects", name), f"The platform has no object {name!r}.", _near(name, objects))
            )
        elif objects[name] is not object.kind:
            problems.append(
                document.problem(
                    ("objects", name, "kind"), f"{name} are of kind {objects[name].value}.", "correct kind:"
                )
            )
    return problems


@dataclass(frozen=True, slots=True)
class LiveField:
    """What the platform says of one field now."""

    type: str
    writable: bool = True
    required: bool = False
    length: int = 0
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What the leads hold in one unified field: its type, and the characters of its longest text."""

    type: FieldType
    longest: int = 0


def check_live(
    name: str,
    object: ObjectMapping,
    document: Document,
    live: Mapping[str, LiveField],
    open_ended: Iterable[str] = (),
    creates: bool = False,
    held: Mapping[str, Held] = MappingProxyType({}),
) -> list[Problem]:
    """What does not fit the account as it is: missing, read-only, required and unmapped, of a type that cannot hold the
    field, unknown picklist values, too short for what the leads hold (`held`, by unified field)."""
    problems: list[Problem] = []
    prefixes = tuple(open_ended)
    for number, entry in enumerate(object.fields):
        where: Where = ("objects", name, "fields", number)
        if not entry.remote or (prefixes and entry.remote.startswith(prefixes)):
            continue
        found = live.get(entry.remote) or live.get(entry.remote.split(".", 1)[0])
        if found is None:
            message = f"The account has no field {entry.remote!r} on {name}."
            problems.append(document.problem((*where, "remote"), message, _near(entry.remote, live)))
            continue
        problems.extend(_check_live_entry(where, entry, found, document))
        if entry.direction != "pull" and len(entry.names) == 1:
            problems.extend(_check_fit(where, entry, found, document, held.get(entry.names[0])))
    if creates:
        mapped = {entry.remote for entry in object.fields if entry.direction != "pull"} | set(object.constants)
        for remote, found in live.items():
            if found.required and found.writable and remote not in mapped:
                message = f"{name} need {remote!r} on create, and nothing is mapped to it."
                problems.append(document.problem(("objects", name), message, "add an entry or a constant"))
    return problems


def _check_live_entry(where: Where, entry: Entry, found: LiveField, document: Document) -> Iterator[Problem]:
    pushes = entry.direction != "pull"
    if pushes and not found.writable:
        yield document.problem((*where, "direction"), f"{entry.remote!r} is read-only there.", "direction: pull")
    if pushes and found.options:
        for value in _written_values(entry):
            if str(value) not in found.options:
                message = f"{entry.remote!r} does not take the value {str(value)!r}."
                yield document.problem((*where, "transform"), message, _near(str(value), found.options))
    for spec in entry.transform:
        if isinstance(spec, dict) and "truncate" in spec and found.length and spec["truncate"] > found.length:
            yield document.problem((*where, "transform"), f"{entry.remote!r} holds {found.length} characters.")
    if pushes and found.type in ("boolean", "number", "integer") and not _suits(entry, found.type):
        yield document.problem(
            where, f"{entry.remote!r} is of type {found.type} there.", "use a transform that writes it"
        )


_PLAIN = {FieldType.TEXT, FieldType.EMAIL, FieldType.PHONE, FieldType.COUNTRY, FieldType.CHOICE}
_NUMBERS = {FieldType.INTEGER, FieldType.DECIMAL}
_DAYS = {FieldType.DATE, FieldType.DATETIME}

_HOLDS: Mapping[str, set[FieldType]] = {
    "boolean": {FieldType.BOOLEAN},
    "number": _NUMBERS,
    "integer": _NUMBERS,
    "date": _DAYS,
    "datetime": _DAYS,
    "email": _PLAIN,
    "phone": _PLAIN,
}
"""Types of remote fields that do not take anything, and what they hold when no transform brings it into their form."""


def _check_fit(
    where: Where, entry: Entry, found: LiveField, document: Document, held: Held | None
) -> Iterator[Problem]:
    """Whether the remote field can hold what is pushed into it. A transform may bring it into any form."""
    if held is None or entry.transform:
        return
    if held.type not in _HOLDS.get(found.type, {held.type}):
        message = (
            f"{entry.remote!r} is of type {found.type} there and cannot hold {entry.names[0]} ({held.type.value})."
        )
        yield document.problem((*where, "remote"), message, "use a transform that writes it, or another field")
    elif held.type in _PLAIN and 0 < found.length < held.longest:
        message = (
            f"{entry.remote!r} holds {found.length} characters; the longest {entry.names[0]} now has {held.longest}."
        )
        yield document.problem((*where, "remote"), message, f"add transform: [{{truncate: {found.length}}}]")


def _written_values(entry: Entry) -> Iterable[object]:
    for spec in entry.transform:
        if isinstance(spec, dict) and "values" in spec:
            arguments = spec["values"]
            back: dict[str, object] = {}
            for remote, unified in arguments.get("map", {}).items():
                back.setdefault(str(unified), remote)
            back.update(arguments.get("write") or {})
            yield from back.values()


def _suits(entry: Entry, kind: str) -> bool:
    names = {spec if isinstance(spec, str) else next(iter(spec), "") for spec in entry.transform}
    textual = {"email", "phone", "country", "state", "split_name", "title", "lower", "upper", "multi"}
    return not names & textual


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else ""
