"""What a deletion means elsewhere: nothing by itself, else what the project says; and never its own echo."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from connectors.api import Gone, Verb
from sync import planfile
from sync.runs import Options, Report, Runner
from sync.state.schema import journal, meta, quarantine
from sync.undo import Chosen, reverse
from tests.engine.conftest import Loop


def choose(loop: Loop, more: str = "", **policies: str) -> None:
    """The project says this of deletions from now on; the first writes are behind it."""
    project = loop.folder / "closedloop.yaml"
    text = project.read_text()
    for name, policy in policies.items():
        line = f"  {name}: {{auth: {{mode: none}}}}"
        assert line in text
        text = text.replace(line, f"  {name}: {{auth: {{mode: none}}, on_delete: {policy}}}")
    project.write_text(text + more)
    loop.reopen()
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])


def pair(loop: Loop) -> None:
    """Ana on both sides, in step."""
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="b1")
    loop.clock.advance(5)
    loop.alpha.put(
        "contacts", {"email": "ana@x.io", "first": "Ana", "title": "Clerk", "consent": "subscribed"}, id="a1"
    )
    loop.settled()


def verbs(loop: Loop) -> list[str]:
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(journal.c.verb).order_by(journal.c.id)).scalars())


def writes(loop: Loop) -> int:
    return len(loop.alpha.writes) + len(loop.beta.writes)


def contact(loop: Loop) -> Any:
    return loop.beta.rows["contacts"]["b1"]


def test_by_itself_a_deletion_means_nothing_elsewhere(loop: Loop) -> None:
    pair(loop)
    before = writes(loop)
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    assert writes(loop) == before
    assert contact(loop).gone is None


@pytest.mark.parametrize("gone", [Gone.DELETED, Gone.ARCHIVED])
def test_archived_elsewhere_once_and_nobody_comes_back(loop: Loop, gone: Gone) -> None:
    choose(loop, alpha="archive", beta="archive")
    pair(loop)
    loop.alpha.remove("contacts", "a1", gone)
    loop.settled()
    assert contact(loop).gone is Gone.ARCHIVED
    with loop.workspace.state.read() as tx:
        told = tx.execute(select(journal.c.reasons).where(journal.c.verb == Verb.ARCHIVE)).scalar_one()
    assert f"alpha/contacts/a1 was {gone.value} there" in told
    before = writes(loop)
    assert loop.sync().counts["write"] == {}
    loop.clock.advance(3600)
    Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options())
    assert writes(loop) == before
    assert (loop.alpha.all("contacts"), loop.beta.all("contacts")) == ([], [])


def test_whoever_is_brought_back_by_a_person_stays(loop: Loop) -> None:
    choose(loop, alpha="archive")
    pair(loop)
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    contact(loop).gone = None
    loop.clock.advance(60)
    loop.beta.edit("contacts", "b1", {"title": "Chief"})
    loop.settled()
    assert contact(loop).gone is None
    assert verbs(loop).count("archive") == 1


def test_our_own_putting_away_means_nothing_elsewhere(loop: Loop) -> None:
    choose(loop, alpha="archive", beta="archive")
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief"}, id="a1")
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    run = loop.sync().run
    assert len(loop.beta.all("prospects")) == 1
    undone = undo(loop, run)
    assert undone.state == "done"
    assert loop.beta.all("prospects") == []
    loop.settled()
    assert len(loop.alpha.all("contacts")) == 1
    assert loop.beta.all("prospects") == []


def undo(loop: Loop, run: str) -> Report:
    with loop.workspace.state.read() as tx:
        made = reverse(tx, loop.workspace, Chosen(run=run))
        plan = planfile.Plan(loop.workspace.now(), planfile.state_id(tx), made.operations)
    return planfile.apply(loop.workspace, plan, Runner(loop.workspace), command="undo", choice=run).report


def test_an_archiving_can_be_taken_back(loop: Loop) -> None:
    choose(loop, alpha="archive")
    pair(loop)
    loop.alpha.remove("contacts", "a1")
    run = loop.sync().run
    assert loop.beta.all("contacts") == []
    assert undo(loop, run).state == "done"
    [again] = loop.beta.all("contacts")
    assert (again["email"], again["title"]) == ("ana@x.io", "Clerk")
    loop.settled()
    assert len(loop.beta.all("contacts")) == 1
    assert loop.alpha.all("contacts") == []


def test_a_guard_counts_what_would_be_put_away(loop: Loop) -> None:
    limits = "\nguards: {deleted: {share: 0%, over: 1}}\n"
    choose(loop, limits, alpha="archive")
    for number in range(3):
        person = {"email": f"p{number}@x.io"}
        loop.alpha.put("contacts", dict(person), id=f"a{number}")
        loop.beta.put("contacts", dict(person), id=f"b{number}")
    loop.settled()
    for number in range(2):
        loop.alpha.remove("contacts", f"a{number}")
    report = loop.sync()
    assert len(loop.beta.all("contacts")) == 3
    assert report.state == "held"
    assert "put away" in report.held["beta"].why


@pytest.mark.parametrize(
    ("gone", "into"), [(Gone.MERGED, "a2"), (Gone.CONVERTED, "a2"), (Gone.ERASED, "")], ids=lambda one: str(one)
)
def test_what_lives_on_or_was_forgotten_is_no_deletion(loop: Loop, gone: Gone, into: str) -> None:
    choose(loop, alpha="archive")
    pair(loop)
    if into:
        loop.alpha.put("contacts", {"email": "anna@x.io"}, id="a2")
    loop.alpha.remove("contacts", "a1", gone, into, "contacts" if into else "")
    loop.settled()
    assert contact(loop).gone is None


def test_not_to_be_in_a_listing_is_no_evidence(loop: Loop) -> None:
    choose(loop, alpha="archive")
    pair(loop)
    del loop.alpha.rows["contacts"]["a1"]
    loop.clock.advance(3600)
    Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options())
    loop.settled()
    assert contact(loop).gone is None


def test_who_lives_there_as_another_record_is_not_deleted(loop: Loop) -> None:
    choose(loop, alpha="archive")
    pair(loop)
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="a2")
    loop.settled()
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    assert contact(loop).gone is None


def test_who_is_in_a_deal_is_left_to_a_person(loop: Loop) -> None:
    choose(loop, alpha="archive")
    pair(loop)
    loop.beta.put("deals", {"name": "Big", "stage": "New", "closed": False, "won": False}, id="d1")
    tie = {"from_object": "deals", "from_id": "d1", "to_object": "contacts", "to_ids": ["b1"]}
    loop.beta.put("deal_contacts", tie, id="t1")
    loop.settled()
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    assert contact(loop).gone is None
    with loop.workspace.state.read() as tx:
        mine = (quarantine.c.connection == "beta") & (quarantine.c.record == "b1")
        [row] = tx.execute(select(quarantine.c.reason, quarantine.c.fix).where(mine, quarantine.c.field == "")).all()
    assert "in a deal" in row.reason
    assert "by hand" in row.fix


def test_an_opt_out_elsewhere_that_a_return_does_not_take_back(loop: Loop) -> None:
    choose(loop, alpha="opt_out")
    pair(loop)
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    assert contact(loop).gone is None
    assert contact(loop).values["opted_out"] == "true"
    row = loop.alpha.rows["contacts"]["a1"]
    row.gone = None
    loop.clock.advance(60)
    loop.alpha.edit("contacts", "a1", {"first": "Anna"})
    loop.settled()
    assert contact(loop).values["opted_out"] == "true"
    assert contact(loop).values["first"] == "Anna"


def test_unlinked_means_that_nothing_more_is_written(loop: Loop) -> None:
    choose(loop, alpha="unlink")
    pair(loop)
    loop.beta.put("prospects", {"email": "ana@x.io", "first": "Ana"}, id="p1")
    loop.settled()
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    before = writes(loop)
    loop.clock.advance(60)
    loop.beta.edit("contacts", "b1", {"title": "Chief"})
    loop.settled()
    assert writes(loop) == before
    assert loop.beta.rows["prospects"]["p1"].values["title"] == "Clerk"
    loop.alpha.rows["contacts"]["a1"].gone = None
    loop.clock.advance(60)
    loop.alpha.edit("contacts", "a1", {"first": "Anna"})
    loop.settled()
    assert loop.beta.rows["prospects"]["p1"].values["title"] == "Chief"
