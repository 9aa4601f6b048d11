"""A state restored from a backup brings nobody back, doubles nobody, opts nobody in, overwrites nothing in silence."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from config.errors import Misconfigured
from connectors.api import Gone, Verb
from sync.conflicts import Answer, answer, listed
from sync.replay import replay
from sync.state.schema import conflicts, handoffs, quarantine, records
from tests.engine.conftest import Loop
from tests.engine.memory import rejected, unreachable
from tests.engine.restored import Backup, anew, backup, edit, in_step, titles
from tests.engine.test_deletes import choose
from tests.engine.test_forget import everything, forgotten

__all__ = ["backup"]


def questions(loop: Loop) -> list[tuple[str, str, str]]:
    with loop.workspace.state.read() as tx:
        return [(row["kind"], row["connection"], row["field"]) for row in listed(tx)]


def decide(loop: Loop, **given: Any) -> str:
    """The answer to the one question that is open."""
    with loop.workspace.state.begin() as tx:
        [question] = listed(tx)
        return answer(tx, loop.workspace, question["id"], Answer(**given))


def qualifies(loop: Loop, email: str = "bob@x.io") -> str:
    """Somebody new, ready for sales: a prospect is made of them at the next sync."""
    person = loop.alpha.put("contacts", {"email": email, "first": "Bob", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person})
    return person


# what is asked


def test_a_difference_is_asked_and_then_the_rule_holds_again(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    edit(loop, "beta", "b1", {"title": "Boss"})
    restore()
    done = anew(loop)
    assert done.questions == {"field": 1}
    assert questions(loop) == [("field", "", "title")]
    for _ in range(2):
        loop.sync()
    assert titles(loop) == ["Head", "Boss"]
    assert "title is decided" in decide(loop, take="alpha/contacts/a1")
    loop.settled()
    assert titles(loop) == ["Head", "Head"]
    edit(loop, "beta", "b1", {"title": "Chair"})
    loop.settled()
    assert titles(loop) == ["Chair", "Chair"]
    assert questions(loop) == []


def test_a_blank_that_somebody_made_is_asked_about(loop: Loop, backup: Backup) -> None:
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": None}, id="a1")
    loop.beta.put("contacts", {"email": "ana@x.io", "title": None, "first": "Ana"}, id="b1")
    loop.settled()
    restore = backup(loop)
    edit(loop, "beta", "b1", {"title": "Boss"})
    loop.settled()
    edit(loop, "alpha", "a1", {"title": None})
    restore()
    assert anew(loop).questions == {"field": 1}
    loop.sync()
    assert titles(loop) == [None, "Boss"]
    decide(loop, take="alpha/contacts/a1")
    loop.settled()
    assert titles(loop) == [None, None]


def test_records_that_come_to_agree_ask_no_more(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    edit(loop, "beta", "b1", {"title": "Boss"})
    restore()
    anew(loop)
    edit(loop, "alpha", "a1", {"title": "Boss"})
    loop.settled()
    assert questions(loop) == []
    edit(loop, "alpha", "a1", {"title": "Chair"})
    loop.settled()
    assert titles(loop) == ["Chair", "Chair"]


# nobody doubled, nobody brought back


def test_whoever_was_made_after_the_backup_is_linked(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    qualifies(loop)
    loop.settled()
    assert len(loop.beta.all("prospects")) == 1
    briefs = len(loop.beta.all("tasks"))
    restore()
    done = anew(loop)
    assert done.questions == {"written already": 1}  # the brief of the hand-off, which stands there
    loop.settled()
    assert len(loop.beta.all("prospects")) == 1
    assert len(loop.beta.all("tasks")) == briefs == 1
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(handoffs.c.object)).scalars().all() == ["prospects"]


@pytest.mark.parametrize("then", ["renamed", "converted", "away"])
def test_a_brief_that_stands_there_is_not_written_again_whatever_becomes_of_its_person(
    loop: Loop, backup: Backup, then: str
) -> None:
    in_step(loop)
    qualifies(loop)
    loop.beta.refuse = lambda operation: unreachable() if operation.object == "tasks" else None
    loop.sync()
    restore = backup(loop)
    loop.beta.refuse = lambda operation: None
    loop.settled()
    [(id, row)] = loop.beta.rows["prospects"].items()
    if then == "away":
        loop.beta.remove("prospects", id, Gone.ARCHIVED)
    restore()
    anew(loop)
    loop.settled()
    if then == "converted":
        loop.beta.remove("prospects", id, Gone.CONVERTED, loop.beta.put("contacts", dict(row.values)), "contacts")
    elif then == "away":
        loop.beta.put("prospects", dict(row.values), id)
    else:
        loop.beta.edit("prospects", id, {"first": "Anna"})
    loop.settled()
    assert [operation.object for operation in loop.beta.writes].count("tasks") == 1


def test_whoever_was_deleted_after_the_backup_stays_deleted(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    qualifies(loop)
    loop.settled()
    [prospect] = loop.beta.rows["prospects"]
    loop.beta.remove("prospects", prospect)
    loop.alpha.remove("contacts", "a1")
    restore()
    assert "write" not in anew(loop).questions  # it is told: nobody need be asked
    loop.settled()
    assert loop.beta.all("prospects") == []
    assert [row["first"] for row in loop.alpha.all("contacts")] == ["Bob"]


def test_whoever_is_missing_is_made_only_when_a_person_says_so(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    qualifies(loop)
    loop.settled()
    loop.beta.rows["prospects"].clear()  # deleted, and the platform tells nothing of it
    restore()
    assert anew(loop).questions == {"write": 1}
    loop.settled()
    assert loop.beta.all("prospects") == []
    with pytest.raises(Misconfigured, match="another answer"):
        decide(loop, take="x")
    decide(loop, leave=True)
    loop.settled()
    assert loop.beta.all("prospects") == []
    with loop.workspace.state.begin() as tx:
        tx.execute(conflicts.update().values(state="open"))
    assert "sync" in decide(loop, write=True)
    loop.settled()
    assert len(loop.beta.all("prospects")) == 1


def test_whoever_was_refused_before_the_backup_and_made_and_deleted_after_it_is_asked_about(
    loop: Loop, backup: Backup
) -> None:
    in_step(loop)
    loop.beta.refuse = lambda operation: rejected() if operation.verb is Verb.CREATE else None
    qualifies(loop)
    loop.settled()
    restore = backup(loop)
    loop.beta.refuse = lambda operation: None
    _let_through(loop)
    loop.settled()
    loop.beta.rows["prospects"].clear()  # deleted, and the platform tells nothing of it
    restore()
    assert anew(loop).questions == {"write": 1}
    _let_through(loop)
    loop.settled()
    assert loop.beta.all("prospects") == []
    decide(loop, write=True)
    loop.settled()
    assert [row["first"] for row in loop.beta.all("prospects")] == ["Bob"]


def _let_through(loop: Loop) -> None:
    with loop.workspace.state.read() as tx:
        held = list(tx.execute(select(quarantine.c.id).where(quarantine.c.state == "open")).scalars())
    assert len(held) == 1
    replay(loop.workspace, held)


def test_whoever_comes_back_by_themselves_is_asked_about_no_more(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    qualifies(loop)
    loop.settled()
    loop.beta.rows["prospects"].clear()
    restore()
    anew(loop)
    loop.beta.put("prospects", {"email": "bob@x.io", "first": "Bob"})
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    assert questions(loop) == []
    assert len(loop.beta.all("prospects")) == 1


def test_all_who_are_missing_may_be_made_without_asking(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()
    qualifies(loop)
    assert anew(loop, create_missing=True).questions == {}
    loop.settled()
    assert len(loop.beta.all("prospects")) == 1


def test_nobody_is_put_away_for_what_was_deleted_since(loop: Loop, backup: Backup) -> None:
    choose(loop, alpha="archive")
    in_step(loop)
    restore = backup(loop)
    loop.clock.advance(60)
    loop.alpha.remove("contacts", "a1")
    loop.settled()
    loop.beta.rows["contacts"]["b1"].gone = None  # brought back by hand
    edit(loop, "beta", "b1", {"title": "Boss"})
    restore()
    assert anew(loop).questions == {"write": 1}
    loop.settled()
    assert loop.beta.rows["contacts"]["b1"].gone is None
    decide(loop, write=True)
    loop.settled()
    assert loop.beta.rows["contacts"]["b1"].gone is Gone.ARCHIVED


def test_merges_after_the_backup_are_followed(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    loop.alpha.put("contacts", {"email": "anna@x.io", "first": "Anna"}, id="a2")
    loop.settled()
    restore = backup(loop)
    loop.clock.advance(60)
    loop.alpha.remove("contacts", "a2", Gone.MERGED, "a1", "contacts")
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()
    anew(loop)
    loop.settled()
    with loop.workspace.state.read() as tx:
        assert len(set(tx.execute(select(records.c.lead).where(records.c.id.in_(["a1", "a2", "b1"]))).scalars())) == 1
    assert titles(loop) == ["Head", "Head"]


# consent, erasure


def test_no_opt_out_is_undone_and_one_not_yet_passed_on_is(loop: Loop, backup: Backup) -> None:
    for name, consent in (("ana", "subscribed"), ("bob", "subscribed")):
        loop.alpha.put("contacts", {"email": f"{name}@x.io", "consent": consent}, id=f"a-{name}")
        loop.beta.put("contacts", {"email": f"{name}@x.io", "first": name}, id=f"b-{name}")
    loop.settled()
    restore = backup(loop)
    edit(loop, "beta", "b-ana", {"opted_out": "true"})
    loop.settled()
    assert loop.alpha.rows["contacts"]["a-ana"].values["consent"] == "unsubscribed"
    edit(loop, "beta", "b-bob", {"opted_out": "true"})
    restore()
    assert anew(loop).questions == {}
    loop.settled()
    for name in ("ana", "bob"):
        assert loop.alpha.rows["contacts"][f"a-{name}"].values["consent"] == "unsubscribed"
        assert loop.beta.rows["contacts"][f"b-{name}"].values["opted_out"] == "true"


def test_whoever_was_forgotten_after_the_backup_is_forgotten_again(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    assert forgotten(loop, "ana@x.io") is not None
    restore()
    assert "ana@x.io" in everything(loop)
    done = anew(loop)
    assert (done.taken_up, done.forgotten) == (True, 1)
    assert "ana@x.io" not in everything(loop)
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"})  # an old list is imported over there
    report = loop.sync()
    assert report.counts["pull"]["alpha"]["contacts"]["suppressed"] == 1
    assert "ana@x.io" not in everything(loop)


def test_another_key_forgets_nobody_again_and_says_so(
    loop: Loop, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_step(loop)
    restore = backup(loop)
    forgotten(loop, "ana@x.io")
    restore()
    monkeypatch.setenv("CLOSEDLOOP_KEY", "A" * 43 + "=")
    loop.reopen()
    with pytest.raises(Misconfigured, match="not the one under which people were forgotten"):
        anew(loop)
