"""A state restored from a backup writes nothing until everything was read anew, however that is interrupted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from config.errors import StateUnusable
from connectors.api import Health
from sync import epoch
from sync.conflicts import listed
from sync.epoch import FileMarks, Mark
from sync.rebaseline import SURE, Rebaselined, rebaseline
from sync.replay import replay
from sync.runs import Options, Runner
from sync.state.schema import conversions, quarantine, runs
from sync.undo import Chosen
from tests.engine.conftest import Loop
from tests.engine.memory import MemoryConnector, unreachable
from tests.engine.restored import Backup, anew, backup, edit, in_step, titles
from tests.engine.test_conversions import Three, chief, sync, three
from tests.engine.test_deletes import undo
from tests.engine.test_forget import forgotten

__all__ = ["backup", "three"]


def number(loop: Loop) -> int:
    return len(loop.alpha.writes) + len(loop.beta.writes)


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
