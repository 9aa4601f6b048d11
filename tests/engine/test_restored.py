"""A state restored from a backup writes nothing until everything was read anew; then it brings nobody back, doubles
nobody, opts nobody in, and overwrites nothing in silence."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from config.errors import Misconfigured, StateUnusable
from connectors.api import Gone, Health, Verb
from sync import epoch
from sync.conflicts import Answer, answer, listed
from sync.epoch import FileMarks, Mark
from sync.rebaseline import SURE, Rebaselined, rebaseline
from sync.replay import replay
from sync.runs import Options, Runner
from sync.state.schema import conflicts, conversions, handoffs, quarantine, records, runs
from sync.undo import Chosen
from tests.engine.conftest import Loop
from tests.engine.memory import MemoryConnector, rejected, unreachable
from tests.engine.test_conversions import Three, chief, sync, three
from tests.engine.test_deletes import choose, undo
from tests.engine.test_forget import everything, forgotten

__all__ = ["three"]

Backup = Callable[[Loop], Callable[[], None]]
"""Takes a backup of the loop's state; gives what restores it."""


@pytest.fixture
def backup(state_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Backup:
    """Real ones: SQLite's by its backup interface, PostgreSQL's as a copy of the database."""

    def of_sqlite(loop: Loop) -> Callable[[], None]:
        live, kept = Path(state_url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        with sqlite3.connect(live) as one, sqlite3.connect(kept) as other:
            one.backup(other)

        def restore() -> None:
            loop.workspace.close()
            for left in tmp_path.glob(f"{live.name}*"):
                left.unlink()
            shutil.copyfile(kept, live)
            loop.reopen()

        return restore

    def of_postgres(loop: Loop) -> Callable[[], None]:
        server, live = request.getfixturevalue("postgres_server"), state_url.rpartition("/")[2]
        loop.workspace.close()
        kept = server.fresh(live).rpartition("/")[2]
        loop.reopen()

        def restore() -> None:
            loop.workspace.close()
            server.drop(state_url)
            server.run(f'create database "{live}" template "{kept}"')
            loop.reopen()

        return restore

    return of_sqlite if state_url.startswith("sqlite") else of_postgres


def anew(loop: Loop, **more: Any) -> Rebaselined:
    loop.clock.advance(60)
    return rebaseline(loop.workspace, Runner(loop.workspace), **more)


def questions(loop: Loop) -> list[tuple[str, str, str]]:
    with loop.workspace.state.read() as tx:
        return [(row["kind"], row["connection"], row["field"]) for row in listed(tx)]


def decide(loop: Loop, **given: Any) -> str:
    """The answer to the one question that is open."""
    with loop.workspace.state.begin() as tx:
        [question] = listed(tx)
        return answer(tx, loop.workspace, question["id"], Answer(**given))


def number(loop: Loop) -> int:
    return len(loop.alpha.writes) + len(loop.beta.writes)


def titles(loop: Loop) -> list[Any]:
    return [memory.rows["contacts"][id].values.get("title") for memory, id in ((loop.alpha, "a1"), (loop.beta, "b1"))]


def in_step(loop: Loop) -> None:
    """Ana in both places, in step; a run wrote before the backup."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Clerk"}, id="a1")
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana"}, id="b1")
    loop.settled()
    assert titles(loop) == ["Clerk", "Clerk"]


def edit(loop: Loop, side: str, id: str, values: dict[str, Any], object: str = "contacts") -> None:
    loop.clock.advance(60)
    getattr(loop, side).edit(object, id, values)


def qualifies(loop: Loop, email: str = "bob@x.io") -> str:
    """Somebody new, ready for sales: a prospect is made of them at the next sync."""
    person = loop.alpha.put("contacts", {"email": email, "first": "Bob", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person})
    return person


# recognised, refused


def test_a_restored_state_writes_nothing_and_says_what_to_do(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()
    before, pulls = number(loop), loop.alpha.pulls
    for _ in range(2):
        with pytest.raises(StateUnusable, match=r"restored from a backup: it is at epoch 1, .*epoch at 2") as caught:
            loop.sync()
    assert caught.value.code == "restored"
    assert "closedloop rebaseline" in caught.value.fix
    with pytest.raises(StateUnusable, match="restored"):
        undo(loop, Chosen(run="").run or _last_run(loop))
    with pytest.raises(StateUnusable, match="restored"):
        forgotten(loop, "ana@x.io")
    assert (number(loop), loop.alpha.pulls) == (before, pulls)
    assert loop.sync(push=False).state == "done"  # to look is allowed
    assert number(loop) == before


def _last_run(loop: Loop) -> str:
    with loop.workspace.state.read() as tx:
        return str(tx.execute(select(runs.c.id).where(runs.c.command == "sync").order_by(runs.c.started_at)).scalar())


def test_in_step_after_it_nothing_is_asked_or_written(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()
    done = anew(loop)
    assert (done.taken_up, done.questions) == (True, {})
    before = number(loop)
    assert loop.sync().state == "done"
    assert number(loop) == before
    edit(loop, "beta", "b1", {"title": "Boss"})
    loop.settled()
    assert titles(loop) == ["Boss", "Boss"]


def test_a_quiet_sync_leaves_the_epoch_alone_and_one_that_writes_raises_it_once(loop: Loop) -> None:
    in_step(loop)
    file = loop.folder / epoch.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    told = orjson.loads(file.read_bytes())
    assert (told["epoch"], told["forgotten"]) == (1, {})
    stood = file.stat().st_mtime_ns
    loop.sync()
    assert file.stat().st_mtime_ns == stood
    edit(loop, "alpha", "a1", {"title": "Head", "first": "Anna"})
    loop.sync()
    assert orjson.loads(file.read_bytes())["epoch"] == 2


def test_a_death_between_database_and_file_is_no_restore(loop: Loop) -> None:
    in_step(loop)
    with loop.workspace.state.begin() as tx:
        epoch.advance(tx)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    assert titles(loop) == ["Head", "Head"]


def test_another_state_in_its_place_is_refused(loop: Loop) -> None:
    in_step(loop)
    loop.workspace.marks.save(Mark("another", 1))
    with pytest.raises(StateUnusable, match="another one than"):
        loop.sync()
    assert anew(loop).taken_up
    assert loop.sync().state == "done"


def test_without_a_whole_file_nothing_is_written(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    in_step(loop)
    before = number(loop)
    file = loop.folder / epoch.FILE
    kept = file.read_bytes()
    file.write_bytes(kept[:20])
    with pytest.raises(StateUnusable, match="damaged"):
        loop.sync()
    assert file.read_bytes() == kept[:20]
    file.unlink()
    (loop.folder / "blocked").write_text("")
    monkeypatch.setenv(epoch.VARIABLE, str(loop.folder / "blocked" / "epoch"))
    loop.reopen()
    edit(loop, "alpha", "a1", {"title": "Head"})
    with pytest.raises(StateUnusable, match=r"cannot be (read|written)"):
        loop.sync()
    assert number(loop) == before
    monkeypatch.setenv(epoch.VARIABLE, str(loop.folder / "else" / "where"))
    loop.reopen()
    loop.settled()
    assert titles(loop) == ["Head", "Head"]
    assert (loop.folder / "else" / "where").is_file()


# several hosts


def test_hosts_that_share_a_state_raise_it_in_turn(loop: Loop) -> None:
    in_step(loop)
    here = FileMarks(loop.folder / "host2")
    loop.workspace.marks = here
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    assert here.load() == Mark(_id(loop), 2)
    loop.workspace.marks = FileMarks.of(loop.folder)
    edit(loop, "alpha", "a1", {"title": "Boss"})
    loop.settled()
    assert FileMarks.of(loop.folder).load() == Mark(_id(loop), 3)


def _id(loop: Loop) -> str:
    with loop.workspace.state.read() as tx:
        return epoch.identity(tx).id


def test_what_one_host_took_up_the_other_takes_over(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    other = FileMarks(loop.folder / "host2")
    loop.workspace.marks = other
    for title in ("Head", "Boss"):
        edit(loop, "alpha", "a1", {"title": title})
        loop.settled()
    loop.workspace.marks = FileMarks.of(loop.folder)
    edit(loop, "alpha", "a1", {"title": "Chair"})
    loop.settled()
    restore()
    assert anew(loop).taken_up
    assert loop.sync().state == "done"
    loop.workspace.marks = other
    with pytest.raises(StateUnusable, match="taken up anew from another host"):
        loop.sync()
    pulls = loop.alpha.pulls
    assert anew(loop) == Rebaselined(None, True)
    assert loop.alpha.pulls == pulls
    assert loop.sync().state == "done"


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


# stopped half-way


def test_what_stops_half_way_is_not_taken_up(loop: Loop, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()

    def refuse(*_: Any, **__: Any) -> Any:
        raise unreachable()

    monkeypatch.setattr(loop.workspace.connector("beta"), "pull", refuse, raising=False)
    done = anew(loop)
    assert (done.taken_up, done.report and done.report.state) == (False, "failed")
    with pytest.raises(StateUnusable, match="restored"):
        loop.sync()
    monkeypatch.undo()
    assert anew(loop).taken_up
    assert loop.sync().state == "done"


# outcomes


def test_outcomes_told_after_the_backup_are_not_told_twice(three: Three) -> None:
    live = three.workspace.project.state
    if not live.startswith("sqlite"):
        pytest.skip("the copy is made by SQLite's way; the engine is the same")
    person = chief(three)
    with sqlite3.connect(live.removeprefix("sqlite:///")) as one, sqlite3.connect(three.folder / "kept.db") as other:
        one.backup(other)
    sync(three)
    sync(three)
    told = len(three.gamma.rows["outcomes"])
    assert told == 1
    with sqlite3.connect(three.folder / "kept.db") as one, sqlite3.connect(live.removeprefix("sqlite:///")) as other:
        one.backup(other)
    done = rebaseline(three.workspace, Runner(three.workspace))
    assert done.questions == {"written already": 1}
    sync(three)
    assert len(three.gamma.rows["outcomes"]) == told
    with three.workspace.state.read() as tx:
        assert tx.execute(select(conversions.c.state)).scalars().all() == ["unsure"]
        asked = tx.execute(select(quarantine.c.id).where(quarantine.c.connection == "gamma")).scalars().all()
    replay(three.workspace, asked)
    sync(three)
    assert len(three.gamma.rows["outcomes"]) == told + 1
    assert person


def meanwhile(loop: Loop, monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> list[datetime]:
    """Once the first second is slept, `what` happens in the world; the seconds slept, by when."""
    slept: list[datetime] = []
    plain = loop.clock.sleep

    def sleep(seconds: float) -> None:
        plain(seconds)
        slept.append(loop.clock.now())
        if len(slept) == 1:
            what()

    monkeypatch.setattr(loop.clock, "sleep", sleep)
    return slept


def unanswered(*_: object) -> Health:
    raise unreachable()


def test_what_the_lost_state_sent_last_is_waited_for(
    loop: Loop, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look like an edit of afterwards, and replace what a person said after it."""
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Boss"})  # of "Head", which the lost state had sent on
    restore()
    slept = meanwhile(loop, monkeypatch, lambda: loop.beta.edit("contacts", "b1", {"title": "Head"}))
    assert anew(loop).taken_up
    assert len(slept) == SURE
    with loop.workspace.state.read() as tx:
        [question] = listed(tx)
    assert sorted(option["value"] for option in question["options"]) == ["Boss", "Head"]
    loop.settled()
    assert titles(loop) == ["Boss", "Head"]


def test_it_is_waited_for_once_however_often_it_is_tried(
    loop: Loop, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()
    slept = meanwhile(loop, monkeypatch, lambda: None)
    with monkeypatch.context() as broken:
        broken.setattr(MemoryConnector, "check", unanswered)
        assert not anew(loop).taken_up
    assert len(slept) == SURE
    assert anew(loop).taken_up
    assert len(slept) == SURE
    assert anew(loop).taken_up  # asked for by hand, of another state than the one before: it may have written meanwhile
    assert len(slept) == 2 * SURE


def test_whoever_says_stop_does_not_wait(loop: Loop, backup: Backup) -> None:
    in_step(loop)
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.settled()
    restore()
    stop, began = threading.Event(), loop.clock.now()
    stop.set()
    done = rebaseline(loop.workspace, Runner(loop.workspace, stop=stop))
    assert not done.taken_up
    assert loop.clock.now() == began


def test_rebaseline_runs_are_no_syncs(loop: Loop, backup: Backup) -> None:
    """What the older state holds for unfinished is over: nothing of before goes on."""
    in_step(loop)
    loop.workspace.clock.sleep(1)
    Runner(loop.workspace).open("backfill", ("alpha", "beta"), Options())
    restore = backup(loop)
    edit(loop, "alpha", "a1", {"title": "Head"})
    loop.sync()
    restore()
    assert anew(loop).taken_up
    with loop.workspace.state.read() as tx:
        states = tx.execute(select(runs.c.command, runs.c.state)).all()
    assert ("backfill", "failed") in [tuple(row) for row in states]
    assert ("rebaseline", "done") in [tuple(row) for row in states]
