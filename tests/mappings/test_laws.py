"""The laws of mapping: what is written reads back as the canonical value, and a second round changes nothing.

Over every ready mapping of every installed platform, and over chains of transforms as a user might string together.
"""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from config.clock import stamp
from config.yaml import Document
from connectors import registry
from mappings import canonical
from mappings.canonical import Unreadable
from mappings.check import check_document
from mappings.compiler import Defaults, LeadFields, Mapped, compile_object, fields_of, load_mapping
from mappings.language import Entry, MappingFile, ObjectMapping
from mappings.model import LEAD_FIELDS, Field, FieldType, Kind
from mappings.transforms import Context
from sync.targets import nest

DEFAULTS = Defaults("DE", "EUR", "Europe/Berlin")
OWNERS = {"7": "rita@x.io", "8": "otto@x.io"}


class Owners:
    def owner_email(self, id: str) -> str | None:
        return OWNERS.get(id)

    def owner_id(self, email: str) -> str | None:
        return {address: id for id, address in OWNERS.items()}.get(email)


CONTEXT = Context(DEFAULTS, Owners())

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
texts = st.one_of(
    st.sampled_from(["Ana", "O'Neil", "Ruiz, Jr.", "van der Berg", "a;b", "x,y", "Straße", "İnci", "ŉ", "é", "[none]"]),
    st.lists(words, min_size=1, max_size=4).map(" ".join),
    st.text("ab ", min_size=200, max_size=300),
)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.TEXT: texts,
    FieldType.EMAIL: st.one_of(st.emails(), st.sampled_from([*OWNERS.values(), "Ana+tag@BÜCHER.example"])),
    FieldType.PHONE: st.sampled_from(["+4930123456", "+12125550123", "+442071838750"]),
    FieldType.INTEGER: st.integers(-(2**53) + 1, 2**53 - 1),
    FieldType.DECIMAL: st.decimals(-(10**12), 10**12, places=4),
    FieldType.MONEY: st.builds(
        lambda amount, currency: {"amount": amount, "currency": currency},
        st.decimals(0, 10**9, places=2),
        st.sampled_from(["EUR", "USD"]),
    ),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.DATE: st.dates().map(str),
    FieldType.DATETIME: st.datetimes().map(lambda at: stamp(at.replace(tzinfo=UTC, microsecond=0))),
    FieldType.COUNTRY: st.sampled_from(["DE", "US", "GB", "NO", "BR", "JP", "CI", "TR"]),
    FieldType.LIST: st.lists(texts, max_size=4),
}


def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Canonical values of a field, now and then a blank."""
    if field.options:
        return st.one_of(st.none(), st.sampled_from(field.options))
    if field.name == "state":
        return st.sampled_from(["CA", "NY", "QC", "NSW", "Bayern"])
    return st.one_of(st.none(), VALUES[field.type].map(lambda value: brought(field, value)))


def brought(field: Field, value: Any) -> Any:
    """The value in canonical form; None where it is no value of the field."""
    try:
        return canonical.canonical(field, value)
    except Unreadable:
        return None


def round_trip(mapped: Mapped, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is written of the values, and what that reads back as; without the fields that cannot be said."""
    remote, problems = mapped.write(values)
    back, unread = mapped.read(nest(remote))
    wrong = {problem.field for problem in (*problems, *unread)}
    return remote, {name: value for name, value in back.items() if name in values and name not in wrong}


def may_shorten(entry: Entry) -> bool:
    """Whether a chain may keep less of a value than it was given: by its length, its table, or its blank."""
    names = {spec if isinstance(spec, str) else next(iter(spec)) for spec in entry.transform}
    return bool(names & {"truncate", "values", "default", "drop", "split_name", "multi", "lower", "upper", "title"})


# the ready mappings


@cache
def ready(platform: str) -> dict[str, Mapped]:
    path = registry.platform(platform).folder / "mapping.yaml"
    return load_mapping(path, lookup=Owners(), defaults=DEFAULTS)


PUSHED = [
    (platform, object) for platform in registry.names() for object, mapped in ready(platform).items() if mapped.pushed
]


def test_the_ready_mappings_push_on_every_platform_that_takes_leads() -> None:
    assert {"hubspot", "salesforce", "mailchimp"} <= {platform for platform, _ in PUSHED}


@pytest.mark.parametrize(("platform", "object"), PUSHED)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_what_a_ready_mapping_writes_reads_back(platform: str, object: str, data: st.DataObject) -> None:
    mapped = ready(platform)[object]
    known = fields_of(mapped.kind, LeadFields())
    names = data.draw(st.sets(st.sampled_from(sorted(mapped.pushed)), min_size=1, max_size=6))
    values = {name: data.draw(values_of(known[name]), label=name) for name in sorted(names)}
    sent, once = round_trip(mapped, values)
    again, twice = round_trip(mapped, once)
    assert twice == once
    told = {mapped.entries[name].remote for name, value in once.items() if value is not None}
    assert {path: again[path] for path in told} == {path: sent[path] for path in told}
    for name, value in once.items():
        if not may_shorten(mapped.entries[name]):
            assert value == (None if values[name] == [] else values[name]), name


# chains of a user's own


def chain(name: str, *steps: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, list[Any]]]:
    """A field and some of these transforms, in any order, each kind once."""
    kinds = st.lists(st.one_of(*steps), max_size=3, unique_by=lambda s: s if isinstance(s, str) else next(iter(s)))
    return st.tuples(st.just(name), kinds)


_MAP = {"Low": "a", "High": "b", "Top": "b", "None": "-"}
CHAINS = st.one_of(
    chain(
        "title",
        st.sampled_from(["trim", "collapse", "lower", "upper", "title"]),
        st.builds(lambda n: {"truncate": n}, st.integers(1, 30)),
        st.builds(lambda p: {"prefix": p}, st.sampled_from(["tel:", "Q-", "é", "a", "x y "])),
        st.builds(lambda d: {"default": d}, st.sampled_from(["[none]", "-", "Ana"])),
        st.builds(lambda d: {"drop": d}, st.sampled_from(["n/a", "Ana", ["a", "b"]])),
        st.just({"values": {"map": _MAP, "default": "a", "write_default": "Low"}}),
        st.just({"values": {"map": _MAP, "write": {"b": "Top"}}}),
    ),
    chain("email", st.sampled_from(["trim", "email", "lower"]), st.just({"prefix": "mailto:"})),
    chain("phone", st.sampled_from(["trim", "phone", {"phone": "US"}]), st.just({"prefix": "tel:"})),
    chain("country", st.sampled_from(["trim", "country", {"country": "name"}, {"country": "alpha3"}])),
    chain("state", st.sampled_from(["trim", "state", {"state": "name"}])),
    chain("first_contact_at", st.sampled_from(["date", {"date": "epoch_ms"}, {"date": ["%d.%m.%Y", "%m/%d/%Y"]}])),
    chain(
        "created_at",
        st.builds(
            lambda write, zone: {"datetime": {"write": write, "zone": zone}},
            st.sampled_from(["iso", "epoch_ms", "seconds", "salesforce"]),
            st.sampled_from(["UTC", "Europe/Berlin"]),
        ),
    ),
    chain("vip", st.sampled_from(["boolean", {"boolean": "text"}, {"boolean": {"true": "Y", "false": "N"}}])),
    chain("employees", st.sampled_from(["integer", "decimal", "trim", {"default": 0}])),
    chain("tags", st.sampled_from([{"multi": ";"}, {"multi": ","}, "multi"])),
    chain("annual_revenue", st.sampled_from(["money", {"money": "USD"}, {"money": {"currency_field": "c"}}])),
    chain("owner", st.sampled_from(["owner", "trim"])),
    chain("lifecycle_stage", st.just({"values": {"map": {"L": "lead", "C": "customer", "S": "lead"}}})),
)


def compiled(entry: dict[str, Any]) -> Mapped | None:
    """The mapping of this one entry; None when `check` refuses it."""
    object = {"kind": "lead", "fields": [{"remote": "r", "direction": "both", **entry}]}
    mapping = MappingFile.model_validate({"platform": "test", "objects": {"contacts": object}})
    if check_document(mapping, Document("test", {}), LeadFields(), CONTEXT):
        return None
    return compile_object("contacts", mapping.objects["contacts"], "test", LeadFields(), CONTEXT)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(CHAINS, st.data())
def test_any_chain_that_may_push_comes_to_rest_after_one_round(
    made: tuple[str, list[Any]], data: st.DataObject
) -> None:
    name, steps = made
    mapped = compiled({"field": name, "transform": steps})
    assume(mapped is not None)
    assert mapped is not None
    value = data.draw(values_of(LEAD_FIELDS[name]))
    _, once = round_trip(mapped, {name: value})
    _, twice = round_trip(mapped, once)
    assert twice == once
    if once and not may_shorten(mapped.entries[name]):
        assert once[name] == (None if value == [] else value)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(CHAINS, st.data())
def test_what_any_chain_reads_it_writes_so_that_it_reads_the_same(
    made: tuple[str, list[Any]], data: st.DataObject
) -> None:
    name, steps = made
    mapped = compiled({"field": name, "transform": steps})
    assume(mapped is not None and not any("truncate" in step for step in steps))
    assert mapped is not None
    raw = data.draw(st.one_of(texts, values_of(LEAD_FIELDS[name]), st.integers(0, 10**6)))
    read, problems = mapped.read({"r": raw, "c": "EUR"})
    assume(not problems and not (name == "tags" and any(mark in item for item in read[name] or () for mark in ";,")))
    remote, unsaid = mapped.write(read)
    if unsaid:  # a table that reads what it cannot write: told, not garbled
        return
    back, unread = mapped.read(nest(remote))
    assert (back, unread) == (read if read.get(name) != [] else {name: None}, [])


@settings(max_examples=100, deadline=None)
@given(st.one_of(texts, st.builds("{}, {}".format, words, words)))
def test_a_split_name_comes_to_rest_after_one_round(name: str) -> None:
    object = ObjectMapping(
        kind=Kind.LEAD,
        fields=[
            Entry(remote="r", fields=["first_name", "last_name"], direction="both", transform=["split_name"]),
        ],
    )
    mapped = compile_object("contacts", object, "test", LeadFields(), CONTEXT)
    read, problems = mapped.read({"r": name})
    assume(not problems)
    _, once = round_trip(mapped, read)
    _, twice = round_trip(mapped, once)
    assert twice == once
