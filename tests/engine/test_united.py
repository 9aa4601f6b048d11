"""Two leads become one: what quarantine tells of the one that went is told of the one that stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from config.clock import stamp
from config.errors import RetryLater
from connectors.api import Gone, Operation
from sync import duplicates
from sync.conflicts import Answer, answer
from sync.insight.explain import explain, find
from sync.parked import RESTORED, park
from sync.replay import replay
from sync.runs import Options, Runner
from sync.state.schema import conflicts, meta, quarantine
from sync.withheld import WRITE, note
from tests.engine.conftest import Loop
from tests.engine.memory import MemoryConnector, rejected


@pytest.fixture
def two(loop: Loop) -> Loop:
    """Ana and Anna, two leads, each on both platforms; Anna is the second. What is given to Anna in beta is refused."""
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])
    for number, email in enumerate(("ana@x.io", "anna@y.io")):
        loop.alpha.put("contacts", {"email": email, "first": email[:4]}, f"a{number}")
        loop.beta.put("contacts", {"email": email, "first": email[:4]}, f"b{number}")
        loop.settled()
    loop.beta.refuse = _refused
    return loop


def _refused(operation: Operation) -> Any:
    return rejected("title", "too_long") if operation.id == "b1" and "title" in operation.values else None


def entries(loop: Loop) -> list[Any]:
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(quarantine).order_by(quarantine.c.id)))


def lead(loop: Loop, who: str) -> str:
    with loop.workspace.state.read() as tx:
        return find(tx, who) or ""


def link(loop: Loop) -> str:
    with loop.workspace.state.begin() as tx:
        return duplicates.link(tx, loop.workspace, "ana@x.io", "anna@y.io")


def refuse_annas_title(loop: Loop) -> None:
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "a1", {"title": "Chief"})
    loop.settled()
    [entry] = entries(loop)
    assert (entry.record, entry.field, entry.lead) == ("b1", "title", lead(loop, "anna@y.io"))


def test_what_was_refused_of_the_one_is_shown_of_the_other_and_not_sent_again(two: Loop) -> None:
    refuse_annas_title(two)
    keep = link(two)
    two.settled()
    [entry] = entries(two)
    assert (entry.lead, entry.state, entry.attempts) == (keep, "open", 1)
    with two.workspace.state.read() as tx:
        [shown] = explain(tx, two.workspace, keep)["quarantine"]
    assert (shown["record"], shown["field"]) == ("b1", "title")


def test_replayed_it_is_written_for_the_other_and_over(two: Loop) -> None:
    refuse_annas_title(two)
    link(two)
    two.settled()
    two.beta.refuse = lambda operation: None
    replay(two.workspace, [entry.id for entry in entries(two)])
    two.settled()
    assert two.beta.rows["contacts"]["b1"].values["title"] == "Chief"
    assert [entry.state for entry in entries(two)] == ["resolved"]


def test_a_platforms_merge_passes_it_on_as_well(two: Loop) -> None:
    refuse_annas_title(two)
    two.clock.advance(5)
    two.alpha.remove("contacts", "a1", Gone.MERGED, into="a0")
    two.settled()
    [entry] = entries(two)
    assert (entry.lead, entry.state) == (lead(two, "ana@x.io"), "open")


def made_in_vain(loop: Loop, email: str) -> str:
    """Somebody new at alpha, qualified, of whom beta takes no record; their lead."""
    loop.beta.refuse = lambda operation: rejected("", "full") if not operation.id else None
    person = loop.alpha.put("contacts", {"email": email, "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person})
    loop.settled()
    return lead(loop, email)


def test_nobody_is_to_be_made_where_they_stand_by_now(two: Loop) -> None:
    two.beta.put("prospects", {"email": "ana@x.io"})
    two.settled()
    new = made_in_vain(two, "annie@z.io")
    assert [(entry.lead, entry.record, entry.state) for entry in entries(two)] == [(new, "", "open")]
    with two.workspace.state.begin() as tx:
        keep = duplicates.link(tx, two.workspace, "ana@x.io", "annie@z.io")
    assert [(entry.lead, entry.state) for entry in entries(two)] == [(keep, "resolved")]


def test_of_two_who_were_to_be_made_one_is_and_one_entry_says_so(two: Loop) -> None:
    one, other = made_in_vain(two, "annie@z.io"), made_in_vain(two, "annette@z.io")
    with two.workspace.state.begin() as tx:
        keep = duplicates.link(tx, two.workspace, one, other)
    [lose] = {one, other} - {keep}
    assert {(entry.lead, entry.state) for entry in entries(two)} == {(keep, "open"), (lose, "resolved")}
    two.settled()
    two.beta.refuse = lambda operation: None
    replay(two.workspace, [entry.id for entry in entries(two)])
    two.settled()
    assert len(two.beta.rows["prospects"]) == 1
    assert [entry.state for entry in entries(two)] == ["resolved", "resolved"]


def test_what_a_person_let_go_of_the_one_is_open_where_it_is_of_the_other(two: Loop) -> None:
    keep, lose = sorted((made_in_vain(two, "annie@z.io"), made_in_vain(two, "annette@z.io")))
    with two.workspace.state.begin() as tx:
        tx.execute(quarantine.update().where(quarantine.c.lead == keep).values(state="dismissed"))
        assert duplicates.link(tx, two.workspace, keep, lose) == keep
    assert [(entry.lead, entry.state) for entry in entries(two)] == [(keep, "open")]


def questions(loop: Loop) -> list[str]:
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(conflicts.c.state).order_by(conflicts.c.id)).scalars())


def test_who_is_who_is_not_asked_of_two_who_are_one_by_now(loop: Loop) -> None:
    """And is asked again of the next one."""
    for id, email in (("ana", "ana@x.io"), ("bob", "bob@x.io"), ("zoe", "zoe@x.io")):
        loop.alpha.put("contacts", {"email": email}, id)
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "bob", {"email": "ana@x.io"})
    loop.settled()
    assert questions(loop) == ["open"]
    loop.clock.advance(5)
    loop.alpha.remove("contacts", "ana", Gone.MERGED, into="bob")
    loop.settled()
    assert questions(loop) == ["closed"]
    loop.clock.advance(5)
    loop.alpha.edit("contacts", "bob", {"email": "zoe@x.io"})
    loop.settled()
    assert questions(loop) == ["open"]


def test_whose_record_it_is_is_not_asked_where_all_it_may_be_are_one_by_now(loop: Loop) -> None:
    """Three of them, in two steps: it is theirs then."""
    hub = "      - {remote: hub, field: hubspot_id}\n      - {remote: sales, field: salesforce_id}\n"
    for name in ("alpha", "beta"):
        mapping = loop.folder / "mappings" / f"{name}.yaml"
        first = "      - {remote: first, field: first_name, direction: both}\n"
        mapping.write_text(mapping.read_text().replace(first, first + hub))
    loop.reopen()
    loop.alpha.put("contacts", {"email": "ana@x.io"}, "ana")
    loop.alpha.put("contacts", {"email": "bob@x.io", "hub": "7"}, "bob")
    loop.alpha.put("contacts", {"email": "zoe@x.io", "sales": "8"}, "zoe")
    loop.settled()
    loop.beta.put("contacts", {"email": "ana@x.io", "hub": "7", "sales": "8"}, "it")
    loop.settled()
    assert questions(loop) == ["open"]
    for gone, into, state in (("bob", "ana", "open"), ("zoe", "ana", "closed")):
        loop.clock.advance(5)
        loop.alpha.remove("contacts", gone, Gone.MERGED, into=into)
        loop.settled()
        assert questions(loop) == [state]
    with loop.workspace.state.read() as tx:
        assert find(tx, "beta/contacts/it") == find(tx, "ana@x.io")


# what a person decided


@pytest.fixture
def asking(loop: Loop) -> Loop:
    """Titles are left to a person: Ana has two, and so has Anna."""
    loop.rule("title", "ask")
    for number, email in enumerate(("ana@x.io", "anna@y.io")):
        loop.alpha.put("contacts", {"email": email, "title": "Clerk"}, f"a{number}")
        loop.beta.put("contacts", {"email": email, "title": "Buyer"}, f"b{number}")
    loop.settled()
    return loop


def decide(loop: Loop, who: str, **given: Any) -> None:
    with loop.workspace.state.begin() as tx:
        mine = (conflicts.c.lead == find(tx, who)) & (conflicts.c.state == "open")
        answer(tx, loop.workspace, tx.execute(select(conflicts.c.id).where(mine)).scalar_one(), Answer(**given))


def titles(loop: Loop) -> list[Any]:
    return [row.values["title"] for memory in (loop.alpha, loop.beta) for row in memory.rows["contacts"].values()]


def asked(loop: Loop) -> list[str]:
    """The fields that the one of the two is asked about."""
    mine = (conflicts.c.state == "open") & (conflicts.c.lead == lead(loop, "ana@x.io"))
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(conflicts.c.field).where(mine)).scalars())


def goes(loop: Loop) -> tuple[str, str]:
    """Who stays where the two become one, and who goes."""
    stays, other = sorted(("ana@x.io", "anna@y.io"), key=lambda who: lead(loop, who))
    return stays, other


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("first", [True, False])
def test_what_was_decided_for_good_of_either_holds_of_both(asking: Loop, which: int, first: bool) -> None:
    """Whether the other was asked and answered for now, or not at all by then."""
    both = goes(asking)
    decide(asking, both[which], value="Chief", always=True)
    if first:
        decide(asking, both[1 - which], value="Head")
    asking.settled()
    link(asking)
    asking.settled()
    assert titles(asking) == ["Chief"] * 4
    asking.clock.advance(60)
    asking.alpha.edit("contacts", "a0", {"title": "Boss"})
    asking.settled()
    assert titles(asking) == ["Chief"] * 4
    assert asked(asking) == []


@pytest.mark.parametrize("which", [0, 1])
def test_it_holds_where_the_other_was_never_asked(loop: Loop, asking: Loop, which: int) -> None:
    both = goes(asking)
    decide(asking, both[which], value="Chief", always=True)
    with asking.workspace.state.begin() as tx:
        tx.execute(conflicts.delete().where(conflicts.c.lead == lead(asking, both[1 - which])))
    link(asking)
    asking.settled()
    assert titles(asking) == ["Chief"] * 4
    assert asked(asking) == []


def test_two_answers_for_good_that_differ_are_asked_about(asking: Loop) -> None:
    """And the answer holds of both."""
    decide(asking, "ana@x.io", value="Chief", always=True)
    decide(asking, "anna@y.io", value="Head", always=True)
    asking.settled()
    link(asking)
    asking.settled()
    assert sorted(titles(asking)) == ["Chief", "Chief", "Head", "Head"]
    assert asked(asking) == ["title"]
    decide(asking, "ana@x.io", value="Boss", always=True)
    asking.settled()
    assert titles(asking) == ["Boss"] * 4
    assert asked(asking) == []


def test_two_answers_that_say_the_same_hold_as_one(asking: Loop) -> None:
    """What was heard of either then is nothing new."""
    asking.beta.refuse = lambda operation: rejected("title", "read_only") if "title" in operation.values else None
    for who in ("ana@x.io", "anna@y.io"):
        decide(asking, who, value="Chief")
    asking.settled()
    link(asking)
    asking.settled()
    assert titles(asking) == ["Chief", "Chief", "Buyer", "Buyer"]
    assert asked(asking) == []


@pytest.mark.parametrize("which", [0, 1])
def test_an_answer_for_now_holds_as_long_as_the_records_say_nothing_new(asking: Loop, which: int) -> None:
    """Of the other they do, unless they say the same."""
    both = goes(asking)
    decide(asking, both[which], value="Clerk")
    link(asking)
    asking.settled()
    assert asked(asking) == ["title"]
    asking.clock.advance(60)
    asking.beta.edit("contacts", f"b{('ana@x.io', 'anna@y.io').index(both[1 - which])}", {"title": "Clerk"})
    asking.settled()
    assert titles(asking) == ["Clerk"] * 4
    assert asked(asking) == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_write_that_a_person_left_undone_stays_undone(loop: Loop, which: int) -> None:
    for number, email in enumerate(("ana@x.io", "anna@y.io")):
        loop.alpha.put("contacts", {"email": email, "title": "Clerk"}, f"a{number}")
    loop.settled()
    who = goes(loop)[which]
    with loop.workspace.state.begin() as tx:
        note(tx, loop.workspace.now())
        place = {"connection": "beta", "lead": lead(loop, who), "field": "create"}
        park(tx, kind=WRITE, options=[], at=loop.workspace.now(), why=RESTORED, **place)
    decide(loop, who, leave=True)
    link(loop)
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": "a0"})
    loop.settled()
    assert not loop.beta.rows.get("prospects")


@pytest.mark.parametrize("which", [0, 1])
def test_what_was_told_by_a_record_that_is_gone_is_known_of_both(two: Loop, which: int) -> None:
    """A second record of the person at alpha had said it, and no other takes it."""
    who = goes(two)[which]
    two.alpha.refuse = two.beta.refuse = lambda one: rejected("phone", "no") if "phone" in one.values else None
    two.alpha.put("contacts", {"email": who, "phone": "+49301234567"}, "second")
    two.settled()
    two.alpha.remove("contacts", "second", Gone.DELETED)
    two.settled()
    link(two)
    two.settled()
    with two.workspace.state.read() as tx:
        told = explain(tx, two.workspace, lead(two, "ana@x.io"))
    assert [line["value"] for line in told["fields"] if line["field"] == "phone"] == ["+49301234567"]


@pytest.mark.parametrize("answer", ["given", "lost", "unknown"])
@pytest.mark.parametrize("end", ["then", "before"])
def test_what_a_merge_carried_over_is_as_old_everywhere_where_its_end_is_told_late(
    two: Loop, end: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written to the other's records as if it had been given when the merge was. What the record had before the
    end is its own, though the other had the same."""
    two.alpha.edit("contacts", "a0", {"title": "Chief"})
    two.settled()
    two.clock.advance(5)
    two.alpha.edit("contacts", "a0", {"title": "Boss"})
    two.clock.advance(5)
    two.beta.edit("contacts", "b1", {"title": "Chief"})  # by the merge with b0, or by hand
    merged = stamp(two.clock.now() + timedelta(hours=end == "before"))
    two.beta.refuse = lambda operation: rejected("", "gone") if operation.id == "b0" else None
    two.alpha.lose_answers = answer != "given"
    two.sync()
    assert two.alpha.rows["contacts"]["a1"].values["title"] == "Chief"
    two.beta.remove("contacts", "b0", Gone.MERGED, into="b1")
    two.beta.rows["contacts"]["b0"].version = merged
    with monkeypatch.context() as patch:
        if answer == "unknown":  # nor can the write be looked up yet
            patch.setattr(MemoryConnector, "read", _unreachable)
        Runner(two.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    two.settled()
    told = [values["title"] for side in (two.alpha, two.beta) for values in side.all("contacts")]
    assert told == ["Chief" if end == "before" else "Boss"] * 3


def _unreachable(*of: Any) -> Any:
    raise RetryLater("No answer.", after=1)
