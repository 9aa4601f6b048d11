"""Every chain that pushes reads back what it wrote; every bad value is a named problem."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.clock import stamp
from mappings import canonical
from mappings.canonical import Unreadable
from mappings.compiler import LeadFields, compile_object
from mappings.language import ObjectMapping
from mappings.model import LEAD_FIELDS
from mappings.transforms import TRANSFORMS, Context, Defaults, make


class Owners:
    def owner_email(self, id: str) -> str | None:
        return {"7": "rita@x.io"}.get(id)

    def owner_id(self, email: str) -> str | None:
        return {"rita@x.io": "7"}.get(email)


CONTEXT = Context(Defaults("DE", "EUR", "Europe/Berlin"), Owners())


@pytest.mark.parametrize(
    ("spec", "raw", "value", "back"),
    [
        ("trim", "  a b ", "a b", "a b"),
        ("lower", "AbC", "abc", "abc"),
        ("upper", "AbC", "ABC", "ABC"),
        ("title", "ana maria", "Ana Maria", "Ana Maria"),
        ("collapse", " a   b\tc ", "a b c", "a b c"),
        ("email", " Ana@X.IO ", "ana@x.io", "ana@x.io"),
        ("email", "ana@bücher.example", "ana@xn--bcher-kva.example", "ana@xn--bcher-kva.example"),
        ("phone", "030 / 12 34 56", "+4930123456", "+4930123456"),
        ({"phone": "US"}, "(212) 555-0123", "+12125550123", "+12125550123"),
        ("country", "Deutschland", "DE", "DE"),
        ({"country": "name"}, "de", "DE", "Germany"),
        ({"country": "alpha3"}, "USA", "US", "USA"),
        ("country", "NO", "NO", "NO"),
        ("state", "California", "CA", "CA"),
        ({"state": "name"}, "NY", "NY", "New York"),
        ("date", "2026-01-31", "2026-01-31", "2026-01-31"),
        ({"date": "epoch_ms"}, "1767139200000", "2025-12-31", "1767139200000"),
        ({"date": ["%d.%m.%Y", "%m/%d/%Y"]}, "31.01.2026", "2026-01-31", "31.01.2026"),
        ({"date": ["%d.%m.%Y", "%m/%d/%Y"]}, "12/31/2026", "2026-12-31", "31.12.2026"),
        ("datetime", "2026-07-01T12:00:00", "2026-07-01T10:00:00.000Z", "2026-07-01T10:00:00.000Z"),
        ({"date": "epoch_ms"}, "0", "1970-01-01", "0"),
        ({"date": "%d.%m.%Y"}, "01.02.0033", "0033-02-01", "01.02.0033"),
        ({"datetime": "epoch_ms"}, "1767225600000", "2026-01-01T00:00:00.000Z", "1767225600000"),
        ({"datetime": "epoch_ms"}, "1672932000", "1970-01-20T08:42:12.000Z", "1672932000"),
        ("datetime", "253402128000000", "9999-12-30T00:00:00.000Z", "9999-12-30T00:00:00.000Z"),
        (
            {"datetime": "salesforce"},
            "2026-01-01T00:00:00.000+0000",
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:00.000+0000",
        ),
        ({"values": {"map": {"MQL": "marketing_qualified"}}}, "mql", "marketing_qualified", "MQL"),
        ({"multi": ","}, "b, a ,b", ["b", "a", "b"], "a,b"),
        ("money", "12.50", {"amount": "12.5", "currency": "EUR"}, "12.5"),
        ({"boolean": "text"}, "Yes", True, "true"),
        ({"boolean": {"true": "Y", "false": "N"}}, "n", False, "N"),
        ("integer", "1,200", 1200, 1200),
        ("decimal", "0.50", "0.5", "0.5"),
        ("owner", "7", "rita@x.io", "7"),
        ({"prefix": "tel:"}, "tel:123", "123", "tel:123"),
    ],
)
def test_what_a_transform_reads_and_writes(spec: Any, raw: Any, value: Any, back: Any) -> None:
    transform = make(spec, CONTEXT)
    assert transform.read(raw) == value
    stored = sorted(set(value)) if isinstance(value, list) else value
    assert transform.write(stored) == back


@pytest.mark.parametrize(
    ("spec", "raw", "code"),
    [
        ("email", "no address", "invalid_email"),
        ("email", "a@b", "invalid_email"),
        ("email", "a..b@x.io", "invalid_email"),
        ("email", "a@x.io\x00", "control_characters"),
        ("email", "x" * 300 + "@x.io", "invalid_email"),
        ("phone", "call me", "invalid_phone"),
        ("phone", "0" * 30, "invalid_phone"),
        ("country", "Atlantis", "unknown_country"),
        ("country", "XQ", "unknown_country"),
        ("date", "2026-02-30", "invalid_date"),
        ("date", "yesterday", "invalid_date"),
        ({"date": "%d.%m.%Y"}, "2026-01-01", "invalid_date"),
        ({"date": "epoch_ms"}, "999999999999999", "invalid_datetime"),
        ("datetime", "0000-00-00", "invalid_datetime"),
        ("datetime", "2026-02-30T00:00:00.000Z", "invalid_datetime"),
        ("datetime", "9999-12-31T23:59:59-23:00", "invalid_datetime"),
        ({"values": {"map": {"a": "lead"}}}, "b", "unknown_value"),
        ("boolean", "maybe", "invalid_boolean"),
        ("integer", "12.5", "invalid_number"),
        ("decimal", "NaN", "invalid_number"),
        ("decimal", "1e99999", "invalid_number"),
        ("owner", "8", "unknown_owner"),
        ("trim", "x" * 40_000, "too_long"),
        ("trim", "a\x00b", "control_characters"),
    ],
)
def test_a_bad_value_has_a_name_and_is_not_repeated(spec: Any, raw: str, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        make(spec, CONTEXT).read(raw)
    assert caught.value.code == code
    assert len(raw) < 3 or raw not in caught.value.reason


@pytest.mark.parametrize(
    ("zone", "at"), [("America/New_York", "0001-01-01T00:00:00.000Z"), ("Asia/Tokyo", "9999-12-31T23:59:59.000Z")]
)
def test_a_time_that_no_calendar_of_its_zone_has_is_a_named_problem(zone: str, at: str) -> None:
    with pytest.raises(Unreadable) as caught:
        make({"datetime": {"zone": zone, "write": "local"}}, CONTEXT).write(at)
    assert caught.value.code == "invalid_datetime"


def test_an_amount_of_another_currency_is_not_written() -> None:
    dollars = {"amount": "5", "currency": "USD"}
    with pytest.raises(Unreadable, match="EUR") as caught:
        make("money", CONTEXT).write(dollars)
    assert caught.value.code == "other_currency"
    assert make({"money": "USD"}, CONTEXT).write(dollars) == "5"
    assert make({"money": {"currency_field": "c"}}, CONTEXT).write(dollars) == ("5", "USD")


@pytest.mark.parametrize(
    "spec",
    [
        {"values": {}},
        {"values": {"map": {"a": "b"}, "mpa": {}}},
        {"country": "alpha9"},
        {"datetime": {"zone": "Mars"}},
        {"money": {"currency": "euro"}},
        {"truncate": 0},
        {"prefix": ""},
        {"boolean": {"true": 1}},
        {"trim": 3},
        {"date": "not a format"},
        {"trim": None, "lower": None},
    ],
)
def test_wrong_arguments_are_told(spec: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        make(spec, CONTEXT)


def mapped(entry: dict[str, Any]) -> Any:
    object = ObjectMapping.model_validate({"kind": "lead", "fields": [{"direction": "both", **entry}]})
    return compile_object("contacts", object, "test", LeadFields(), CONTEXT)


CHAINS: list[tuple[dict[str, Any], st.SearchStrategy[Any]]] = [
    (
        {"remote": "r", "field": "title", "transform": ["trim", "collapse"]},
        st.text(max_size=60).map(lambda t: " ".join(t.split())),
    ),
    ({"remote": "r", "field": "email", "transform": ["email"]}, st.emails()),
    ({"remote": "r", "field": "phone", "transform": ["phone"]}, st.from_regex(r"\+4930[1-9]\d{5,7}", fullmatch=True)),
    (
        {"remote": "r", "field": "country", "transform": [{"country": "name"}]},
        st.sampled_from(["DE", "US", "GB", "NO", "BR", "JP"]),
    ),
    ({"remote": "r", "field": "state", "transform": [{"state": "name"}]}, st.sampled_from(["CA", "NY", "QC", "NSW"])),
    (
        {"remote": "r", "field": "first_contact_at", "transform": [{"date": "epoch_ms"}]},
        st.dates().map(str),
    ),
    (
        {"remote": "r", "field": "first_contact_at", "transform": [{"date": ["%d.%m.%Y"]}]},
        st.dates().map(str),
    ),
    (
        {"remote": "r", "field": "created_at", "transform": [{"datetime": "epoch_ms"}]},
        st.datetimes().map(lambda at: stamp(at.replace(tzinfo=UTC))),
    ),
    (
        {"remote": "r", "field": "created_at", "transform": [{"datetime": "salesforce"}]},
        st.datetimes().map(lambda at: stamp(at.replace(tzinfo=UTC))),
    ),
    ({"remote": "r", "field": "vip", "transform": [{"boolean": "text"}]}, st.booleans()),
    ({"remote": "r", "field": "employees", "transform": ["integer"]}, st.integers(-(10**12), 10**12)),
    (
        {"remote": "r", "field": "tags", "transform": [{"multi": ";"}]},
        st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1),
    ),
    (
        {"remote": "r", "field": "annual_revenue", "transform": [{"money": {"currency_field": "c"}}]},
        st.decimals(0, 10**9, places=2).map(lambda a: {"amount": canonical.decimal(a), "currency": "EUR"}),
    ),
    (
        {"remote": "r", "field": "lifecycle_stage", "transform": [{"values": {"map": {"L": "lead", "C": "customer"}}}]},
        st.sampled_from(["lead", "customer"]),
    ),
]


@pytest.mark.parametrize(("entry", "values"), CHAINS, ids=lambda chain: str(chain)[:60])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_reading_what_was_written_gives_the_canonical_value(entry: Any, values: Any, data: Any) -> None:
    object = mapped(entry)
    name = entry["field"]
    field = LEAD_FIELDS[name]
    try:
        value = canonical.canonical(field, data.draw(values))
    except Unreadable:
        return
    remote, problems = object.write({name: value})
    assert problems == []
    once, unread = object.read(remote)
    assert unread == []
    expected = None if value == [] else value
    assert once[name] == expected
    again, _ = object.read(object.write(once)[0])
    assert again == once


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(set(TRANSFORMS) - {"values", "prefix", "truncate", "default", "drop"})), st.text(max_size=80)
)
def test_no_text_makes_a_transform_crash(name: str, text: str) -> None:
    transform = make(name, CONTEXT)
    try:
        transform.read((text, "EUR") if transform.sibling else text)
    except Unreadable as error:
        assert error.code


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_canonical_forms_are_idempotent(text: str) -> None:
    for field in LEAD_FIELDS.values():
        try:
            once = canonical.canonical(field, text)
        except Unreadable:
            continue
        assert canonical.canonical(field, once) == once
