"""The quick reading of a record says what the careful one says, or says nothing; and it does say something."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors import registry
from mappings.compiler import Mapped, load_mapping

MAPPING = """
platform: hubspot
objects:
  contacts:
    kind: lead
    match: [email]
    fields:
      - {remote: email, field: email, direction: both, transform: [email]}
      - {remote: phone, field: phone, transform: [{phone: US}]}
      - {remote: name, fields: [first_name, last_name], transform: [split_name]}
      - {remote: company.name, field: company, transform: [trim]}
      - {remote: city, field: city}
      - {remote: country, field: country, transform: [country]}
      - {remote: revenue, field: annual_revenue, transform: [{money: {currency_field: currency}}]}
      - {remote: staff, field: employees, transform: [integer]}
      - {remote: tags, field: tags, transform: [{multi: ";"}]}
      - {remote: created, field: created_at, transform: [datetime]}
      - {remote: stage, field: lifecycle_stage, transform: [{values: {map: {won: customer}, default: other}}]}
      - {remote: language, field: language, default: en}
      - {constant: import, field: original_source}
"""


@pytest.fixture(scope="module")
def contacts(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    path: Path = tmp_path_factory.mktemp("mapping") / "hubspot.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    return load_mapping(path)["contacts"]


words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", " Ana ", "Ruiz, Ana", "ANA@X.IO ", "+4930123456", "1-686-201-1203", "US", "Île", "a;b;a"]
    ),
    st.sampled_from(
        ["2026-02-28T23:59:59.000Z", "2026-02-31T00:00:00.000Z", "2026-01-31T00:00:00.000Z", "1760000000000"]
    ),
)
values = st.one_of(
    words,
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(words, max_size=3),
    st.dictionaries(st.sampled_from(["name", "other"]), words, max_size=2),
)
members = ["email", "phone", "name", "company", "city", "country", "revenue", "currency", "staff", "tags", "created"]
contents = st.dictionaries(st.sampled_from([*members, "stage", "language", "unknown"]), values)


@settings(max_examples=600, deadline=None)
@given(contents)
@example({"city": "São Paulo", "company": {"name": " Acme "}, "language": "", "staff": 12, "revenue": "1.5"})
def test_the_quick_reading_agrees_with_the_careful_one(contacts: Mapped, content: dict[str, object]) -> None:
    raw = orjson.dumps(content)
    careful, problems = contacts.read(contacts.decode(raw))
    quick = contacts.quick(raw)
    if quick is None:
        return
    assert problems == []
    assert quick == careful
    assert list(quick) == sorted(quick)


def test_an_ordinary_record_is_read_quickly(contacts: Mapped) -> None:
    raw = orjson.dumps({"email": "Ana@X.io", "name": "Ana Ruiz", "city": "Zürich", "company": {"name": "Acme"}})
    assert contacts.quick(raw) == {
        "city": "Zürich",
        "company": "Acme",
        "email": "ana@x.io",
        "first_name": "Ana",
        "last_name": "Ruiz",
        "original_source": "import",
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{",
        b'{"city":"a\\u0000b"}',
        b'{"email":"no address"}',
        b'{"city":"' + b"x" * 40_000 + b'"}',
        b'{"city":"\xff"}',
        b'{"company":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_careful_reading(contacts: Mapped, raw: bytes) -> None:
    assert contacts.quick(raw) is None


def test_the_ready_mappings_are_read_quickly_save_those_with_a_filter() -> None:
    for name in registry.names():
        for mapped in load_mapping(registry.platform(name).folder / "mapping.yaml").values():
            expected = None if mapped._filter else mapped.read({})[0]
            assert mapped.quick(b"{}") == expected, (name, mapped.object)
