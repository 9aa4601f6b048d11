"""Addresses that are somebody else's: nobody's values come over another's record, and what waits goes on by itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from config.errors import InDoubt
from connectors.api import Gone, Operation, Verb
from sync import duplicates
from sync.conflicts import Answer, answer, listed
from sync.insight.explain import find
from sync.replay import replay
from sync.runs import Options, Runner
from sync.state.schema import quarantine
from sync.unlink import unlink
from tests.engine.conftest import Loop


def entries(loop: Loop) -> list[Any]:
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(quarantine).order_by(quarantine.c.id)).all())


def lead(loop: Loop, who: str) -> str:
    with loop.workspace.state.read() as tx:
        return find(tx, who) or ""


def asks(loop: Loop, person: str, at: str = "2026-03-01T08:00:00Z") -> None:
    """The person of this record of alpha asks for contact: they are to be handed to sales, as a prospect of beta."""
    loop.alpha.put("events", {"type": "form", "at": at, "person": person})


@pytest.fixture
def clash(loop: Loop) -> Loop:
    """Bob stands on both sides. Ana, whom sales do not have, comes by his address and is to be handed to them."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="ana")
    for side, object in ((loop.alpha, "contacts"), (loop.beta, "prospects")):
        side.put(object, {"email": "bob@x.io", "first": "Bob"}, id="bob")
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "ana", {"email": "bob@x.io"})
    asks(loop, "ana")
    return loop


def test_a_create_that_would_meet_somebody_else_waits_and_is_told_once(clash: Loop) -> None:
    clash.settled()
    [told] = entries(clash)
    assert (told.connection, told.object, told.field, told.code, told.state) == (
        "beta",
        "prospects",
        "email",
        "taken",
        "open",
    )
    ana, bob = lead(clash, "ana@x.io"), lead(clash, "bob@x.io")
    assert told.lead == ana
    assert bob in told.reason
    assert "bob@x.io" not in told.reason + told.fix
    assert [row["first"] for row in clash.beta.all("prospects")] == ["Bob"]
    clash.sync()
    assert entries(clash) == [told]
    assert clash.alpha.rows["contacts"]["bob"].values["first"] == "Bob"


def test_it_is_made_when_the_person_has_an_address_of_their_own(clash: Loop) -> None:
    clash.settled()
    clash.clock.advance(5)
    clash.alpha.edit("contacts", "ana", {"email": "ana@new.io"})
    clash.settled()
    assert sorted(row["email"] for row in clash.beta.all("prospects")) == ["ana@new.io", "bob@x.io"]
    assert [row.state for row in entries(clash)] == ["resolved"]


def test_it_is_made_when_the_other_has_another_address(clash: Loop) -> None:
    clash.settled()
    clash.clock.advance(5)
    clash.alpha.edit("contacts", "bob", {"email": "bob@new.io"})
    clash.settled()
    assert {(row["email"], row["first"]) for row in clash.beta.all("prospects")} == {
        ("bob@new.io", "Bob"),
        ("bob@x.io", "Ana"),
    }
    assert [row.state for row in entries(clash)] == ["resolved"]


def test_it_is_made_when_the_other_is_gone_there(clash: Loop) -> None:
    clash.settled()
    clash.beta.remove("prospects", "bob")
    clash.settled()
    assert [row["first"] for row in clash.beta.all("prospects")] == ["Ana"]


def test_whom_a_person_calls_one_are_one(clash: Loop) -> None:
    clash.settled()
    with clash.workspace.state.begin() as tx:
        duplicates.link(tx, clash.workspace, lead(clash, "ana@x.io"), lead(clash, "bob@x.io"))
    clash.settled()
    assert len(clash.beta.all("prospects")) == 1
    assert [row.state for row in entries(clash)] == ["resolved"]


def test_what_a_person_lets_go_is_not_told_again_and_what_is_tried_again_is(clash: Loop) -> None:
    clash.settled()
    [told] = entries(clash)
    replay(clash.workspace, [told.id])
    clash.settled()
    [again] = entries(clash)
    assert (again.id, again.state, again.attempts) == (told.id, "open", 2)
    with clash.workspace.state.begin() as tx:
        tx.execute(quarantine.update().values(state="dismissed"))
    clash.settled()
    assert [row.state for row in entries(clash)] == ["dismissed"]
    assert [row["first"] for row in clash.beta.all("prospects")] == ["Bob"]


def test_a_dry_run_shows_what_is_done(clash: Loop) -> None:
    clash.sync(push=False)
    assert [op for op in clash.beta.writes if op.verb is Verb.CREATE] == []
    assert entries(clash) == []


def test_of_two_who_come_by_one_address_one_is_made(loop: Loop) -> None:
    for name in ("ana", "bob"):
        loop.alpha.put("contacts", {"email": f"{name}@x.io", "first": name}, id=name)
    loop.settled()
    loop.clock.advance(5)
    for name in ("ana", "bob"):
        loop.alpha.edit("contacts", name, {"email": "info@x.io"})
        asks(loop, name, at=f"2026-03-01T08:00:0{len(name)}Z")
    loop.settled()
    [made] = loop.beta.all("prospects")
    [told] = entries(loop)
    assert told.code == "taken"
    assert [op.object for op in loop.beta.writes if op.verb is Verb.CREATE].count("prospects") == 1
    loop.clock.advance(5)
    other = "bob" if made["first"] == "ana" else "ana"
    loop.alpha.edit("contacts", other, {"email": "own@x.io"})
    loop.settled()
    assert {row["first"]: row["email"] for row in loop.beta.all("prospects")} == {
        made["first"]: "info@x.io",
        other: "own@x.io",
    }


def test_an_update_gives_no_two_records_one_address(loop: Loop) -> None:
    """The rest of the record is written all the same."""
    for name in ("ana", "bob"):
        for side, object in ((loop.alpha, "contacts"), (loop.beta, "contacts")):
            side.put(object, {"email": f"{name}@x.io"}, id=name)
    loop.settled()
    loop.clock.advance(5)
    loop.beta.edit("contacts", "ana", {"email": "bob@x.io", "first": "Ana"})
    loop.settled()
    assert loop.alpha.rows["contacts"]["ana"].values == {"email": "ana@x.io", "first": "Ana"}
    [told] = entries(loop)
    assert (told.record, told.field, told.code, told.state) == ("ana", "email", "taken", "open")
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "bob", {"email": "bob@new.io"})
    loop.settled()
    assert [row["email"] for row in loop.alpha.all("contacts")] == ["bob@x.io", "bob@new.io"]
    assert [row.state for row in entries(loop)] == ["resolved"]


def test_whom_a_create_met_unforeseen_is_left_alone_from_then_on(loop: Loop) -> None:
    """Between our look and our write somebody there got the address: no engine can know, but it writes no twice."""
    loop.beta.put("prospects", {"email": "bob@x.io", "first": "Bob"}, id="bob")
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="ana")
    loop.settled()
    asks(loop, "ana")

    def meanwhile(operation: Operation) -> None:
        if operation.verb is Verb.CREATE and not loop.beta.writes:
            loop.beta.rows["prospects"]["bob"].values["email"] = "ana@x.io"

    loop.beta.refuse = meanwhile
    loop.settled()
    assert len([op for op in loop.beta.writes if op.verb is Verb.CREATE and op.object == "prospects"]) == 1
    [told] = entries(loop)
    assert (told.lead, told.code) == (lead(loop, "alpha/contacts/ana"), "taken")
    loop.clock.advance(5)
    loop.beta.edit("prospects", "bob", {"email": "bob@new.io", "first": "Bob"})
    loop.settled()
    assert [(row["email"], row["first"]) for row in loop.beta.all("prospects")] == [
        ("bob@new.io", "Bob"),
        ("ana@x.io", "Ana"),
    ]


def test_a_record_that_waits_for_a_person_is_not_taken(loop: Loop) -> None:
    """It may be either's: that it has the address of one does not say that it is theirs."""
    mapping = loop.folder / "mappings" / "beta.yaml"
    mark = "      - {remote: first, field: first_name, direction: both}\n"
    mapping.write_text(mapping.read_text().replace(mark, mark + "      - {remote: others, field: emails}\n"))
    loop.reopen()
    for name in ("ana", "bob"):
        loop.alpha.put("contacts", {"email": f"{name}@x.io", "first": name}, id=name)
    loop.settled()
    loop.beta.put("prospects", {"email": "ana@x.io", "others": ["bob@x.io"], "first": "Somebody"}, id="whose")
    asks(loop, "ana")
    loop.settled()
    assert [row["first"] for row in loop.beta.all("prospects")] == ["Somebody"]
    [told] = entries(loop)
    assert "beta/prospects/whose" in told.reason
    with loop.workspace.state.begin() as tx:
        [question] = listed(tx)
        answer(tx, loop.workspace, question["id"], Answer(take=lead(loop, "bob@x.io")))
    loop.beta.edit("prospects", "whose", {"email": "bob@x.io", "others": []})
    loop.settled()
    assert sorted(row["email"] for row in loop.beta.all("prospects")) == ["ana@x.io", "bob@x.io"]
    assert [row.state for row in entries(loop)] == ["resolved"]


def test_a_link_that_was_cut_brings_nobodys_values_back(loop: Loop) -> None:
    """Both parts have the address: neither is written over the other."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="ana")
    loop.beta.put("prospects", {"email": "ana@x.io", "title": "Chief"}, id="other")
    loop.settled()
    with loop.workspace.state.begin() as tx:
        unlink(tx, loop.workspace, "beta/prospects/other")
    asks(loop, "ana")
    writes = len(loop.beta.writes)
    loop.settled()
    assert len(loop.beta.writes) == writes
    assert [(row.lead, row.code) for row in entries(loop)] == [(lead(loop, "alpha/contacts/ana"), "taken")]


def test_nor_at_whoever_joined_with_the_address_that_is_theirs(loop: Loop) -> None:
    """They bear nobody's name yet, and the address is another lead's than the one that was to be made."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="ana")
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"}, id="bob")
    loop.settled()
    asks(loop, "ana")
    loop.alpha.edit("contacts", "ana", {"email": "bob@x.io"})
    loop.beta.refuse = lambda operation: InDoubt("No answer.") if operation.verb is Verb.CREATE else None
    loop.sync()
    loop.beta.refuse = lambda operation: None
    loop.beta.put("prospects", {"email": "bob@x.io", "first": "Bobby"}, id="bob")
    loop.settled()
    assert [row["first"] for row in loop.beta.all("prospects")] == ["Bobby"]
    assert loop.alpha.rows["contacts"]["ana"].values["first"] == "Ana"


def test_nor_at_a_record_that_bears_an_address_of_theirs_beside_one_of_somebody_elses(loop: Loop) -> None:
    """A create gives one address. Whose the record is, if not both's, a person decides."""
    mapping = loop.folder / "mappings" / "beta.yaml"
    mark = "      - {remote: first, field: first_name, direction: both}\n"
    mapping.write_text(mapping.read_text().replace(mark, mark + "      - {remote: others, field: emails}\n"))
    loop.reopen()
    for name in ("Ana", "Bob"):
        loop.alpha.put("contacts", {"email": f"{name.lower()}@x.io", "first": name}, id=name.lower())
    loop.settled()
    asks(loop, "ana")
    loop.beta.refuse = lambda operation: InDoubt("No answer.") if operation.verb is Verb.CREATE else None
    loop.sync()
    loop.beta.refuse = lambda operation: None
    loop.beta.put("prospects", {"email": "ana@x.io", "others": ["bob@x.io"], "first": "Bobby"}, id="whose")
    loop.settled()
    assert {id: row.values["first"] for id, row in loop.alpha.rows["contacts"].items()} == {"ana": "Ana", "bob": "Bob"}
    with loop.workspace.state.read() as tx:
        assert [(question["kind"], question["record"]) for question in listed(tx)] == [("match", "whose")]


def bob_asks_with_anas_address(loop: Loop, *, ana: str | None = None, bob: str | None = None) -> None:
    """Both stand in marketing, with these titles. Ana gives up her address; Bob gets it, and is to be made in sales."""
    for name, title in (("Ana", ana), ("Bob", bob)):
        values = {"email": f"{name.lower()}@x.io", "first": name, **({"title": title} if title else {})}
        loop.alpha.put("contacts", values, id=name.lower())
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "ana", {"email": "ana@new.io"})
    loop.alpha.edit("contacts", "bob", {"email": "ana@x.io"})
    asks(loop, "bob")


def test_a_create_whose_answer_was_lost_is_found_by_an_address_that_was_anothers(loop: Loop) -> None:
    """Ana has another address by now, and is known by this one still; what was made with it is Bob all the same."""
    bob_asks_with_anas_address(loop)
    loop.beta.lose_answers = 1
    loop.settled()
    assert loop.alpha.rows["contacts"]["ana"].values["first"] == "Ana"
    assert loop.alpha.rows["contacts"]["bob"].values["email"] == "ana@x.io"
    [made] = loop.beta.rows["prospects"].values()
    assert made.values["first"] == "Bob"
    assert lead(loop, f"beta/prospects/{made.id}") == lead(loop, "alpha/contacts/bob")


def test_so_is_one_that_was_not_done_as_a_whole_yet(loop: Loop) -> None:
    """It is looked up before it must have come: what stands there is Bob's from the first, and not Ana's until then."""
    bob_asks_with_anas_address(loop, bob="Chief")
    loop.beta.lose_answers = 1
    loop.beta.rewrite = lambda values: {name: value for name, value in values.items() if name != "title"}
    loop.sync()
    loop.beta.rewrite = lambda values: values
    Runner(loop.workspace).run("sync", ("alpha", "beta"), Options())
    loop.settled()
    [made] = loop.beta.rows["prospects"].values()
    assert lead(loop, f"beta/prospects/{made.id}") == lead(loop, "alpha/contacts/bob")
    assert loop.alpha.rows["contacts"]["ana"].values == {"email": "ana@new.io", "first": "Ana"}
    assert made.values == {"email": "ana@x.io", "first": "Bob", "title": "Chief"}


def bobs_answer_is_lost(loop: Loop) -> str:
    """Ana gave up her address, which Bob has by now, and was made in sales with; the id of what was made."""
    bob_asks_with_anas_address(loop, ana="Head", bob="Chief")
    loop.beta.lose_answers = 1
    loop.sync()
    [made] = loop.beta.rows["prospects"]
    return made


def is_bobs(loop: Loop, made: str, values: dict[str, Any]) -> None:
    """There is one record of Bob's in sales, marketing has what it says, and nothing of it went to Ana."""
    assert list(loop.beta.rows["prospects"]) == [made]
    assert lead(loop, f"beta/prospects/{made}") == lead(loop, "alpha/contacts/bob")
    assert loop.alpha.rows["contacts"]["ana"].values == {"email": "ana@new.io", "first": "Ana", "title": "Head"}
    assert loop.beta.rows["prospects"][made].values == {"email": "ana@x.io", **values}
    bob = loop.alpha.rows["contacts"]["bob"].values
    assert {name: bob[name] for name in values} == values


@pytest.mark.parametrize("edit", [{"first": "Bobby"}, {"title": "Boss"}])
def test_so_is_one_that_somebody_edited_since(loop: Loop, edit: dict[str, str]) -> None:
    """What is left of its words is what Bob's create gave, and nothing of Ana's."""
    made = bobs_answer_is_lost(loop)
    loop.clock.advance(5)
    loop.beta.edit("prospects", made, edit)
    loop.settled()
    is_bobs(loop, made, {"first": "Bob", "title": "Chief"} | edit)


@pytest.mark.parametrize("seconds", [10, 60])
@pytest.mark.parametrize("edit", [{}, {"first": "Bobby"}])
def test_so_is_one_that_a_pull_brings_first(loop: Loop, seconds: int, edit: dict[str, str]) -> None:
    """Looked up it was not there, and may come still, or was taken for undone; the pull of the same run brings it."""
    made = bobs_answer_is_lost(loop)
    loop.clock.advance(5)
    loop.beta.edit("prospects", made, edit)
    loop.beta.blind = True
    loop.clock.advance(seconds)
    Runner(loop.workspace).run("sync", ("alpha", "beta"), Options())
    loop.beta.blind = False
    loop.settled()
    is_bobs(loop, made, {"first": "Bob", "title": "Chief"} | edit)


def test_whoever_shares_a_word_with_both_is_whose_address_it_is(loop: Loop) -> None:
    """Ana joins by the address that she had: that Bob is a chief, too, does not make her him."""
    bob_asks_with_anas_address(loop, ana="Chief", bob="Chief")
    loop.beta.refuse = lambda operation: InDoubt("No answer.") if operation.verb is Verb.CREATE else None
    loop.sync()
    loop.beta.refuse = lambda operation: None
    her = loop.beta.put("prospects", {"email": "ana@x.io", "first": "Ana", "title": "Chief"})
    loop.settled()
    assert lead(loop, f"beta/prospects/{her}") == lead(loop, "alpha/contacts/ana")
    assert loop.alpha.rows["contacts"]["bob"].values["first"] == "Bob"


def ana_and_bob(loop: Loop) -> None:
    """Ana is a contact in marketing, Bob that and a prospect of sales."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="ana")
    loop.clock.advance(5)
    for side, object in ((loop.alpha, "contacts"), (loop.beta, "prospects")):
        side.put(object, {"email": "bob@x.io", "first": "Bob"}, id="bob")
    loop.settled()


def test_a_create_of_unknown_fate_is_not_found_done_at_somebody_else(loop: Loop) -> None:
    """What they came by meanwhile stays theirs, and is no write of ours that came late."""
    ana_and_bob(loop)
    asks(loop, "ana")
    loop.beta.refuse = lambda operation: InDoubt("No answer.") if operation.verb is Verb.CREATE else None
    loop.sync()
    loop.beta.refuse = lambda operation: None
    loop.beta.edit("prospects", "bob", {"email": "ana@x.io"})
    loop.settled()
    assert loop.beta.all("prospects") == [{"email": "ana@x.io", "first": "Bob"}]
    told = {(row.connection, row.lead, row.code) for row in entries(loop)}
    ana, bob = lead(loop, "alpha/contacts/ana"), lead(loop, "alpha/contacts/bob")
    assert told == {("beta", ana, "taken"), ("alpha", bob, "taken")}


def test_a_create_of_unknown_fate_is_found_by_an_address_that_another_had_before(loop: Loop) -> None:
    """What it made is nobody else's, who would have two records then, and is not made once more."""
    ana_and_bob(loop)
    loop.clock.advance(5)
    loop.beta.edit("prospects", "bob", {"email": "new@x.io"})
    loop.alpha.edit("contacts", "bob", {"email": "new@x.io"})
    loop.settled()
    asks(loop, "ana")
    loop.alpha.edit("contacts", "ana", {"email": "bob@x.io"})
    loop.beta.lose_answers = 1
    loop.sync()
    loop.alpha.edit("contacts", "ana", {"email": "ana2@x.io"})
    loop.settled()
    here = sorted((row["email"], row["first"]) for row in loop.beta.all("prospects"))
    assert here == [("ana2@x.io", "Ana"), ("new@x.io", "Bob")]


@pytest.mark.parametrize("between", [(), ("once",)])
def test_what_somebody_lives_on_as_is_theirs_whoever_had_its_address_before(
    loop: Loop, between: tuple[str, ...]
) -> None:
    """Bob has the address that Ana had, and was merged there with a record that nobody had seen; twice, perhaps."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="ana")
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"}, id="bob")
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "ana", {"email": "ana@new.io"})
    loop.alpha.edit("contacts", "bob", {"email": "ana@x.io"})
    loop.settled()
    ana, bob = lead(loop, "alpha/contacts/ana"), lead(loop, "alpha/contacts/bob")
    loop.clock.advance(5)
    for old, new in pairwise(("bob", *between, "both")):
        loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Bob"}, id=new)
        loop.alpha.remove("contacts", old, Gone.MERGED, into=new)
    loop.settled()
    assert (lead(loop, "alpha/contacts/ana"), lead(loop, "alpha/contacts/both")) == (ana, bob)
    assert loop.alpha.rows["contacts"]["ana"].values == {"email": "ana@new.io", "first": "Ana"}
