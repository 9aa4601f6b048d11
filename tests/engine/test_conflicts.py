"""What only a person decides: two values, two leads, a link that was wrong."""

from __future__ import annotations

from typing import Any

import pytest

from config.errors import Misconfigured
from connectors.api import Verb
from sync.conflicts import Answer, answer, found, listed
from sync.insight.explain import explain, find
from sync.unlink import unlink
from tests.engine.conftest import Loop


@pytest.fixture
def asking(loop: Loop) -> Loop:
    """A project that leaves titles to a person; Ana is in both places, under two of them."""
    loop.rule("title", "ask")
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Clerk"}, id="a1")
    loop.beta.put("contacts", {"email": "ana@x.io", "title": "Buyer"}, id="b1")
    loop.settled()
    return loop


def questions(loop: Loop) -> list[dict[str, Any]]:
    with loop.workspace.state.read() as tx:
        return listed(tx)


def decide(loop: Loop, id: int, **given: Any) -> str:
    with loop.workspace.state.begin() as tx:
        return answer(tx, loop.workspace, id, Answer(**given))


def titles(loop: Loop) -> list[Any]:
    return [memory.rows["contacts"][id].values.get("title") for memory, id in ((loop.alpha, "a1"), (loop.beta, "b1"))]


def test_a_run_that_asks_something_says_that_it_needs_a_person(asking: Loop) -> None:
    """And no later one does by itself; one that asks it again does, until it is answered."""
    assert not asking.sync().needs_person
    asking.alpha.edit("contacts", "a1", {"title": "Boss"})
    assert asking.sync().needs_person
    assert not asking.sync().needs_person
    asking.beta.edit("contacts", "b1", {"title": "Head"})
    [question] = questions(asking)
    decide(asking, question["id"], value="Chief")
    assert asking.sync().needs_person
    [question] = questions(asking)
    decide(asking, question["id"], value="Chief")
    assert not any(report.needs_person for report in asking.settled())


def test_two_values_wait_for_a_person_and_the_answer_is_written(asking: Loop) -> None:
    [question] = questions(asking)
    assert (question["kind"], question["field"]) == ("field", "title")
    assert {o["source"]: o["value"] for o in question["options"]} == {
        "alpha/contacts/a1": "Clerk",
        "beta/contacts/b1": "Buyer",
    }
    assert titles(asking) == ["Clerk", "Buyer"]
    decide(asking, question["id"], take="beta/contacts/b1")
    asking.settled()
    assert titles(asking) == ["Buyer", "Buyer"]
    assert questions(asking) == []
    with asking.workspace.state.read() as tx:
        told = explain(tx, asking.workspace, find(tx, "ana@x.io") or "")
    [field] = [line for line in told["fields"] if line["field"] == "title"]
    assert (field["source"], field["rule"]) == ("a person", "decided")


def test_the_next_different_value_asks_again(asking: Loop) -> None:
    [question] = questions(asking)
    decide(asking, question["id"], value="Head")
    asking.settled()
    assert titles(asking) == ["Head", "Head"]
    asking.clock.advance(60)
    asking.alpha.edit("contacts", "a1", {"title": "Chief of all"})
    asking.settled()
    [again] = questions(asking)
    assert again["id"] == question["id"]
    assert titles(asking) == ["Chief of all", "Head"]


def test_always_holds_for_good(asking: Loop) -> None:
    [question] = questions(asking)
    decide(asking, question["id"], take="beta/contacts/b1", always=True)
    asking.settled()
    asking.clock.advance(60)
    asking.alpha.edit("contacts", "a1", {"title": "Chief of all"})
    asking.settled()
    assert titles(asking) == ["Buyer", "Buyer"]
    asking.beta.edit("contacts", "b1", {"title": "Seller"})
    asking.settled()
    assert titles(asking) == ["Seller", "Seller"]
    assert questions(asking) == []


def test_records_that_come_to_agree_ask_no_more(asking: Loop) -> None:
    [question] = questions(asking)
    asking.clock.advance(60)
    asking.alpha.edit("contacts", "a1", {"title": "Buyer"})
    asking.settled()
    assert questions(asking) == []
    with pytest.raises(Misconfigured, match="agree"):
        decide(asking, question["id"], value="Head")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "No answer is given"),
        ({"same": True}, "another answer"),
        ({"take": "a", "value": "b"}, "another answer"),
        ({"take": "gamma/x/1"}, "no say"),
        ({"value": "x\0y"}, "control characters"),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(asking: Loop, given: dict[str, Any], match: str) -> None:
    [question] = questions(asking)
    with pytest.raises(Misconfigured, match=match):
        decide(asking, question["id"], **given)
    assert questions(asking) == [question]
    with pytest.raises(Misconfigured, match="no question"):
        decide(asking, 99, value="x")


# who is who


@pytest.fixture
def ambiguous(loop: Loop) -> Loop:
    """A record of beta that bears the addresses of two of alpha's people."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="a1")
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"}, id="a2")
    loop.settled()
    mapping = loop.folder / "mappings" / "beta.yaml"
    entry = "      - {remote: others, field: emails}\n"
    mark = "      - {remote: first, field: first_name, direction: both}\n"
    mapping.write_text(mapping.read_text().replace(mark, mark + entry, 1))
    loop.reopen()
    loop.beta.put("contacts", {"email": "ana@x.io", "others": ["bob@x.io"], "title": "Buyer"}, id="b1")
    loop.settled()
    return loop


def lead_of(loop: Loop, record: str) -> str | None:
    with loop.workspace.state.read() as tx:
        return find(tx, record)


def test_a_record_of_two_leads_is_given_to_one(ambiguous: Loop) -> None:
    [question] = questions(ambiguous)
    assert (question["kind"], question["record"]) == ("match", "b1")
    ana, bob = lead_of(ambiguous, "ana@x.io"), lead_of(ambiguous, "bob@x.io")
    assert {option["lead"] for option in question["options"]} == {ana, bob}
    assert lead_of(ambiguous, "beta/contacts/b1") is None
    decide(ambiguous, question["id"], take=ana)
    ambiguous.settled()
    assert lead_of(ambiguous, "beta/contacts/b1") == ana
    assert ambiguous.alpha.rows["contacts"]["a1"].values["title"] == "Buyer"
    assert "title" not in ambiguous.alpha.rows["contacts"]["a2"].values
    assert questions(ambiguous) == []


def test_both_are_one_person(ambiguous: Loop) -> None:
    [question] = questions(ambiguous)
    decide(ambiguous, question["id"], same=True)
    ambiguous.settled()
    assert lead_of(ambiguous, "ana@x.io") == lead_of(ambiguous, "bob@x.io") == lead_of(ambiguous, "beta/contacts/b1")
    assert questions(ambiguous) == []


def test_the_record_is_somebody_else(ambiguous: Loop) -> None:
    [question] = questions(ambiguous)
    with pytest.raises(Misconfigured, match="another answer"):
        decide(ambiguous, question["id"], apart=True)
    decide(ambiguous, question["id"], new=True)
    ambiguous.settled()
    third = lead_of(ambiguous, "beta/contacts/b1")
    assert third not in (None, lead_of(ambiguous, "ana@x.io"), lead_of(ambiguous, "bob@x.io"))
    assert questions(ambiguous) == []


# unlink


@pytest.fixture
def linked(loop: Loop) -> Loop:
    """Two persons behind one shared address, taken for one."""
    loop.alpha.put("contacts", {"email": "office@x.io", "first": "Ana"}, id="a1")
    loop.clock.advance(5)
    loop.beta.put("contacts", {"email": "office@x.io", "title": "Buyer"}, id="b1")
    loop.settled()
    assert loop.alpha.rows["contacts"]["a1"].values["title"] == "Buyer"
    return loop


def cut(loop: Loop, name: str) -> Any:
    with loop.workspace.state.begin() as tx:
        return unlink(tx, loop.workspace, name)


def test_both_sides_come_apart_and_stay_apart(linked: Loop) -> None:
    made = cut(linked, "beta/contacts/b1")
    linked.settled()
    assert lead_of(linked, "beta/contacts/b1") == made.lead != made.left
    assert lead_of(linked, "alpha/contacts/a1") == made.left == lead_of(linked, "office@x.io")
    linked.clock.advance(60)
    linked.beta.edit("contacts", "b1", {"title": "Chief"})
    linked.alpha.edit("contacts", "a1", {"first": "Anne"})
    linked.settled()
    assert linked.alpha.rows["contacts"]["a1"].values["title"] == "Buyer"  # written while they were one; undo takes it
    assert linked.beta.rows["contacts"]["b1"].values.get("first") == "Ana"
    assert questions(linked) == []
    assert [row["title"] for row in linked.beta.all("contacts")] == ["Chief"], "nobody was made anew"


def test_the_lead_forgets_what_it_had_from_the_record(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "office@x.io", "first": "Ana"}, id="a1")
    loop.beta.put("contacts", {"email": "office@x.io", "title": "Buyer"}, id="b1")
    loop.sync(push=False)
    made = cut(loop, "beta/contacts/b1")
    loop.settled()
    assert "title" not in loop.alpha.rows["contacts"]["a1"].values
    with loop.workspace.state.read() as tx:
        assert "title" not in explain(tx, loop.workspace, made.left)["values"]
        assert explain(tx, loop.workspace, made.lead)["values"]["title"] == "Buyer"


def test_a_cut_can_be_taken_back(linked: Loop) -> None:
    made = cut(linked, "beta/contacts/b1")
    linked.settled()
    decide(linked, made.question, same=True)
    linked.settled()
    assert lead_of(linked, "beta/contacts/b1") == lead_of(linked, "alpha/contacts/a1")
    linked.clock.advance(60)
    linked.beta.edit("contacts", "b1", {"title": "Chief"})
    linked.settled()
    assert linked.alpha.rows["contacts"]["a1"].values["title"] == "Chief"


def test_a_hand_off_goes_with_its_record(loop: Loop) -> None:
    person = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"}, id="a1")
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person, "title": "Demo"})
    loop.settled()
    [prospect] = loop.beta.rows["prospects"]
    made = cut(loop, f"beta/prospects/{prospect}")
    with loop.workspace.state.read() as tx:
        assert explain(tx, loop.workspace, made.lead)["handed_off_at"]
        assert explain(tx, loop.workspace, made.left)["handed_off_at"] is None
        [row] = explain(tx, loop.workspace, made.lead)["handoffs"]
        assert row["record"] == prospect
        verbs = {row["verb"] for row in explain(tx, loop.workspace, made.lead)["writes"]}
    assert Verb.CREATE.value in verbs


def test_what_cannot_be_cut_is_said(linked: Loop) -> None:
    with pytest.raises(Misconfigured, match="No lead has"):
        cut(linked, "beta/contacts/nobody")
    made = cut(linked, "beta/contacts/b1")
    with pytest.raises(Misconfigured, match="all there is"):
        cut(linked, "beta/contacts/b1")
    with linked.workspace.state.read() as tx:
        assert found(tx, made.question)["decision"]["apart"]
