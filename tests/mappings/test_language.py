"""The mapping language: blanks, names, checks with places and suggestions, conditions within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.errors import Misconfigured
from connectors import registry
from mappings.check import Held, LiveField, check_live
from mappings.compiler import load_mapping, read_mapping
from mappings.expressions import Expression, lead_context
from mappings.model import LEAD_FIELDS


def written(folder: Path, fields: list[dict[str, Any]], **more: Any) -> Path:
    path = folder / "m.yaml"
    path.write_text(yaml.safe_dump({"objects": {"contacts": {"kind": "lead", "fields": fields, **more}}}))
    return path


def test_absent_blank_and_value_are_three_things(tmp_path: Path) -> None:
    path = written(
        tmp_path, [{"remote": "a", "field": "title"}, {"remote": "b.c", "field": "city", "default": "Berlin"}]
    )
    mapped = load_mapping(path)["contacts"]
    assert mapped.read({})[0] == {}
    assert mapped.read({"a": None, "b": {}})[0] == {"title": None}
    assert mapped.read({"a": " ", "b": {"c": ""}})[0] == {"title": None, "city": "Berlin"}
    assert mapped.read({"a": "x", "b": {"c": "y"}})[0] == {"title": "x", "city": "y"}


def test_a_bad_value_leaves_the_others_alone(tmp_path: Path) -> None:
    path = written(tmp_path, [{"remote": "e", "field": "email"}, {"remote": "a", "field": "title"}])
    values, problems = load_mapping(path)["contacts"].read({"e": "nope", "a": "Chief"})
    assert values == {"title": "Chief"}
    assert [(p.field, p.code) for p in problems] == [("email", "invalid_email")]
    assert "nope" not in problems[0].reason


def test_one_remote_name_is_two_fields(tmp_path: Path) -> None:
    entry = {"remote": "name", "fields": ["first_name", "last_name"], "transform": ["split_name"], "direction": "both"}
    mapped = load_mapping(written(tmp_path, [entry]))["contacts"]
    for raw, first, last in (
        ("Ana Maria Ruiz", "Ana Maria", "Ruiz"),
        ("Ruiz, Ana", "Ana", "Ruiz"),
        ("Ruiz", None, "Ruiz"),
    ):
        assert mapped.read({"name": raw})[0] == {"first_name": first, "last_name": last}
    assert mapped.write({"first_name": "Ana", "last_name": "Ruiz"})[0] == {"name": "Ana Ruiz"}


def test_constants_and_fill_ins_are_written_on_create_only(tmp_path: Path) -> None:
    fields = [{"remote": "Last", "field": "last_name", "direction": "both", "transform": [{"default": "[none]"}]}]
    mapped = load_mapping(written(tmp_path, fields, constants={"Source": "Closedloop"}))["contacts"]
    assert mapped.write({}, creating=True)[0] == {"Source": "Closedloop", "Last": "[none]"}
    assert mapped.write({"last_name": "Ruiz"})[0] == {"Last": "Ruiz"}
    assert mapped.read({"Last": "[none]"})[0] == {"last_name": None}


def problems(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(Misconfigured) as caught:
        load_mapping(path)
    return [(p.line, p.message, p.hint) for p in caught.value.problems]


def test_every_mistake_is_told_at_its_place_with_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "objects:\n"
        "  contacts:\n"
        "    kind: lead\n"
        "    match: [emial]\n"
        "    create_when: 'lead.titel == 1'\n"
        "    fields:\n"
        "      - {remote: a, field: titel}\n"
        "      - {remote: b, field: city, transform: [trimm]}\n"
        "      - {remote: c, field: phone, direction: both, transform: [digits]}\n"
        "      - {remote: d, field: score}\n"
        "      - {remote: e, field: state, direction: both}\n"
        "      - {remote: e, field: street, direction: both}\n"
        "      - {remote: f, field: company, transform: [split_name]}\n"
        "      - {remote: g, field: first_contact_at, default: soon}\n"
    )
    told = problems(path)
    assert (4, "There is no unified field 'emial'.", "did you mean 'email'?") in told
    assert (7, "There is no unified field 'titel'.", "did you mean 'title'?") in told
    assert (8, "There is no transform 'trimm'.", "did you mean 'trim'?") in told
    lines = {line for line, _, _ in told}
    assert lines == {4, 5, 7, 8, 9, 10, 12, 13, 14}


def test_a_misspelt_key_is_told(tmp_path: Path) -> None:
    told = problems(written(tmp_path, [{"remote": "a", "field": "title", "direktion": "both"}]))
    assert told[0][1:] == ("Unknown key 'direktion'.", "did you mean 'direction'?")


@pytest.mark.parametrize("name", ["hubspot", "mailchimp", "salesforce"])
def test_the_ready_mappings_compile_and_cover_the_standard_fields(name: str) -> None:
    mapped = load_mapping(registry.platform(name).folder / "mapping.yaml")
    facts = registry.facts(name)
    assert set(mapped) <= set(facts.objects)
    for object, compiled in mapped.items():
        assert compiled.kind is facts.objects[object].kind
    people = [compiled for compiled in mapped.values() if compiled.kind.value == "lead"]
    assert all({"email", "first_name", "last_name", "phone"} <= compiled.pushed for compiled in people)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["upper", {"prefix": "tel:"}], "something else"),
        (["email", {"prefix": "mailto:"}], "something else"),
        (["upper", {"default": "[none]"}], "for a blank"),
        ([{"values": {"map": {"A": "a"}}}, {"default": "-"}], "for a blank"),
        ([{"prefix": "tel:"}, "upper"], ""),
        ([{"default": "[none]"}, "upper"], ""),
        ([{"truncate": 3}, {"default": "-"}], ""),
    ],
)
def test_transforms_that_would_never_come_to_rest_are_refused(tmp_path: Path, steps: list[Any], message: str) -> None:
    field = "email" if "email" in steps else "title"
    entry = {"remote": "r", "field": field, "direction": "both", "transform": steps}
    path = written(tmp_path, [entry])
    if not message:
        load_mapping(path)
        return
    with pytest.raises(Misconfigured, match="mistakes") as caught:
        load_mapping(path)
    [problem] = caught.value.problems
    assert message in problem.message
    load_mapping(written(tmp_path, [{**entry, "direction": "pull"}]))


def test_live_fields_are_compared(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [
            {"remote": "jobtitel", "field": "title"},
            {
                "remote": "stage",
                "field": "lifecycle_stage",
                "direction": "both",
                "transform": [{"values": {"map": {"old": "lead"}}}],
            },
            {"remote": "optout", "field": "vip", "direction": "both"},
            {"remote": "tags.x", "field": "qualified", "direction": "push"},
        ],
    )
    mapping, document = read_mapping(path)
    live = {
        "jobtitle": LiveField("text"),
        "stage": LiveField("choice", options=("new",)),
        "optout": LiveField("boolean", writable=False),
        "must": LiveField("text", required=True),
    }
    told = [
        p.message for p in check_live("contacts", mapping.objects["contacts"], document, live, ["tags."], creates=True)
    ]
    assert len(told) == 4
    assert any("no field 'jobtitel'" in line for line in told)
    assert any("does not take the value 'old'" in line for line in told)
    assert any("read-only" in line for line in told)
    assert any("need 'must' on create" in line for line in told)


def test_live_fields_that_cannot_hold_a_value_are_told(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [
            {"remote": "born", "field": "title", "direction": "push"},
            {"remote": "short", "field": "company", "direction": "both"},
            {"remote": "cut", "field": "city", "direction": "both", "transform": [{"truncate": 10}]},
            {"remote": "long", "field": "street", "direction": "both"},
            {"remote": "size", "field": "employees", "direction": "both"},
            {"remote": "seen", "field": "last_name", "direction": "pull"},
        ],
    )
    mapping, document = read_mapping(path)
    live = {
        "born": LiveField("date"),
        "short": LiveField("text", length=20),
        "cut": LiveField("text", length=10),
        "long": LiveField("text", length=255),
        "size": LiveField("number"),
        "seen": LiveField("date"),
    }
    held = {name: Held(LEAD_FIELDS[name].type, 30) for name in ("title", "company", "city", "street", "employees")}
    told = check_live("contacts", mapping.objects["contacts"], document, live, held=held)
    assert [problem.message for problem in told] == [
        "'born' is of type date there and cannot hold title (text).",
        "'short' holds 20 characters; the longest company now has 30.",
    ]
    assert told[1].hint == "add transform: [{truncate: 20}]"
    assert told[0].line > 0


@pytest.mark.parametrize(
    "text",
    ["lead.", "1 +", "lead.tags.all(t, lead.tags.exists(u, u == t))", "true " + "|| true " * 300, "", "'a' + "],
)
def test_conditions_out_of_bounds_are_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        Expression(text).truth({"lead": {}})


def test_conditions_see_blanks_as_blanks() -> None:
    context = {
        "lead": lead_context({"title": "Chief", "annual_revenue": {"amount": "5", "currency": "EUR"}}, LEAD_FIELDS)
    }
    assert Expression("lead.title.contains('Chief') && lead.city == '' && lead.score == 0").truth(context)
    assert Expression("lead.annual_revenue.amount > 4.0 && !lead.is_customer && size(lead.tags) == 0").truth(context)
    with pytest.raises(Misconfigured, match="neither true nor false"):
        Expression("lead.title").truth(context)
    with pytest.raises(Misconfigured, match="cannot be evaluated"):
        Expression("lead.nope == 1").truth(context)
