"""Which leads are probably one person: the evidence for each pair, and what is none."""

from __future__ import annotations

import pytest
from rapidfuzz.fuzz import token_sort_ratio

from sync.core.duplicates import SHARED, WIDE, Pair, Person, pairs, person, plain


def alike(one: str, other: str) -> float:
    return float(token_sort_ratio(one, other))


def who(lead: str, name: str = "", **more: object) -> Person:
    first, _, last = name.partition(" ")
    return person(lead, {"first_name": first, "last_name": last, **more})


def kinds(found: list[Pair]) -> list[tuple[str, str, list[str]]]:
    return [(pair.one, pair.other, [kind for kind, _ in pair.evidence]) for pair in found]


def test_a_lead_is_compared_without_accents_case_and_marks() -> None:
    made = person(
        "ld_1",
        {
            "first_name": "José",
            "last_name": " O'Neil-Šmíd ",
            "email": "jose.oneil+news@acme.example",
            "phone": "+491",
            "mobile_phone": "+491",
            "company": "ACME, Inc.",
        },
    )
    assert made == Person("ld_1", "jose oneilsmid", ("+491",), "joseoneil@acme.example", "acme inc", "acme.example")
    assert person("ld_2", {}) == Person("ld_2", "", (), "", "", "")
    assert plain("ß  Straße") == "ss strasse"


@pytest.mark.parametrize(
    ("one", "other", "evidence"),
    [
        ({"phone": "+491"}, {"mobile_phone": "+491"}, ["phone"]),
        ({"email": "a.na@x.io"}, {"email": "ana+1@x.io"}, ["mailbox"]),
        ({"name": "Ana Ruiz", "company": "Acme"}, {"name": "ANA RUIZ", "company": "acme"}, ["name_company"]),
        ({"name": "Ana Ruiz", "email": "a@x.io"}, {"name": "Ana Ruiz", "email": "b@x.io"}, ["name_domain"]),
        ({"name": "Ana Ruiz", "company": "Acme"}, {"name": "Anna Ruiz", "company": "Acme"}, ["similar_name"]),
        ({"name": "Ana Ruiz", "company": "Acme"}, {"name": "Ruiz Ana", "company": "Acme"}, ["similar_name"]),
        ({"name": "Ana Ruiz", "phone": "+491"}, {"name": "Anna Ruiz", "phone": "+491"}, ["phone", "similar_name"]),
        ({"name": "Ana Ruiz", "company": "Acme"}, {"name": "Bob Hill", "company": "Acme"}, None),
        ({"name": "Ana Ruiz"}, {"name": "Ana Ruiz"}, None),
        ({"name": "Ana Ruiz", "email": "a@gmail.com"}, {"name": "Ana Ruiz", "email": "b@gmail.com"}, None),
        ({"company": "Acme"}, {"company": "Acme"}, None),
    ],
)
def test_the_evidence(one: dict[str, str], other: dict[str, str], evidence: list[str] | None) -> None:
    people = [who("ld_2", **one), who("ld_1", **other)]
    assert kinds(pairs(people, alike)) == ([("ld_1", "ld_2", evidence)] if evidence else [])


def test_the_more_evidence_the_further_up() -> None:
    people = [
        who("ld_1", "Ana Ruiz", company="Acme", phone="+491"),
        who("ld_2", "Ana Ruiz", company="Acme", phone="+491"),
        who("ld_3", "Anna Ruiz", company="Acme"),
    ]
    found = pairs(people, alike)
    assert kinds(found) == [
        ("ld_1", "ld_2", ["name_company", "phone"]),
        ("ld_1", "ld_3", ["similar_name"]),
        ("ld_2", "ld_3", ["similar_name"]),
    ]
    assert [pair.score for pair in found] == [70, 20, 20]
    assert found[0].evidence == (("name_company", "ana ruiz, acme"), ("phone", "+491"))
    assert found[1].evidence[0][1] in ("ana ruiz / anna ruiz", "anna ruiz / ana ruiz")


def test_without_a_measure_only_the_same_names_count() -> None:
    people = [who(f"ld_{name}", name, company="Acme") for name in ("Ana Ruiz", "Anna Ruiz")]
    assert pairs(people, None) == []


def test_a_switchboard_is_nobodys_phone() -> None:
    people = [who(f"ld_{number}", phone="+491") for number in range(SHARED)]
    assert pairs(people, alike) == []
    assert len(pairs(people[1:], alike)) == 10


def test_in_a_wide_block_neighbours_are_compared() -> None:
    people = [
        who(f"ld_{number:04}", f"{chr(97 + number % 26)}{number} x", company="Big") for number in range(40 * WIDE)
    ]
    twins = [who("ld_a", "Zoe Zander", company="Big"), who("ld_b", "Zoe Zander", company="Big")]
    measured = 0

    def counting(one: str, other: str) -> float:
        nonlocal measured
        measured += 1
        return 0.0

    assert kinds(pairs([*people, *twins], counting)) == [("ld_a", "ld_b", ["name_company"])]
    assert measured < 10 * len(people)
