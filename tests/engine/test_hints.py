"""What webhooks said to read: kept once, read by id, written on at once, gone when it was absorbed and not before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from config.errors import ClosedloopError, RetryLater
from connectors.api import Gone, Notice, Record
from sync import hints
from sync.daemon import Daemon
from sync.engine.inline import InlineEngine
from sync.runs import Options, Runner
from sync.state.schema import quarantine
from tests.engine.conftest import Loop, open_loop
from tests.engine.memory import MemoryConnector, rejected


@pytest.fixture
def synced(loop: Loop) -> Loop:
    """Ana stands on both sides, and each side has been synced by itself, an hour from being due again."""
    file = loop.folder / "closedloop.yaml"
    text = file.read_text().replace("{mode: none}}", "{mode: none}, every: 1h}")
    file.write_text(text)
    loop.reopen()
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"}, "a1")
    loop.beta.put("contacts", {"email": "ana@x.io", "title": "Chief"}, "b1")
    loop.settled()
    for name in loop.workspace.connections:
        Runner(loop.workspace).run("sync", [name], Options())
    loop.alpha.pulls = loop.beta.pulls = 0
    loop.beta.writes.clear()
    return loop


def daemon_of(loop: Loop) -> Daemon:
    loop.workspace.close()
    daemon = Daemon(loop.folder, lambda where: open_loop(where, loop.clock, loop.alpha, loop.beta), InlineEngine)
    loop.workspace = daemon.workspace
    return daemon


def tell(loop: Loop, connection: str, *ids: str, object: str = "contacts") -> None:
    """A webhook said to read these."""
    with loop.workspace.state.begin() as tx:
        hints.keep(tx, connection, [Notice(object, id) for id in ids], loop.workspace.now())


def pending(loop: Loop) -> dict[str, int]:
    with loop.workspace.state.read() as tx:
        return dict(hints.pending_of_all(tx))


def ticks(daemon: Daemon, loop: Loop, number: int) -> int:
    """So many ticks, a few seconds apart; how many runs they submitted."""
    runs = 0
    for _ in range(number):
        loop.clock.advance(3)
        runs += len(daemon.tick())
    return runs


def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The ids of each read by id from now on."""
    asked: list[list[str]] = []
    read = MemoryConnector.read

    def noted(self: Any, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        asked.append(list(values))
        return read(self, object, key, values, fields)

    monkeypatch.setattr(MemoryConnector, "read", noted)
    return asked


def test_a_hint_is_read_by_id_and_what_it_brought_is_written_on_without_a_pull(
    synced: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = daemon_of(synced)
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    tell(synced, "alpha", "a1")
    asked = reads(monkeypatch)
    assert daemon.tick() == []  # more may come
    assert ticks(daemon, synced, 4) == 2  # one for alpha, and one for what beta is to be told
    assert synced.beta.rows["contacts"]["b1"].values["title"] == "Boss"
    assert asked == [["a1"], ["b1"]]
    assert (synced.alpha.pulls, synced.beta.pulls) == (0, 0)
    assert pending(synced) == {}
    assert ticks(daemon, synced, 3) == 0


@pytest.mark.parametrize("again", ["Chief", "Head"])
def test_what_is_given_again_after_a_merge_that_a_hint_brought_was_not_carried_over(synced: Loop, again: str) -> None:
    """The hint was of the one merged away, and the other answered for it: the pull that tells of the end comes later,
    when somebody has given the other one what the first had."""
    daemon = daemon_of(synced)
    synced.clock.advance(5)
    synced.alpha.put("contacts", {"email": "ana@x.io", "title": "Boss"}, "a2")
    synced.alpha.remove("contacts", "a1", Gone.MERGED, into="a2")
    synced.alpha.refuse = lambda operation: rejected(code="merged_away") if operation.id == "a1" else None
    tell(synced, "alpha", "a1")
    ticks(daemon, synced, 6)
    assert synced.beta.rows["contacts"]["b1"].values["title"] == "Boss"
    assert (synced.alpha.pulls, pending(synced)) == (0, {})
    synced.clock.advance(5)
    synced.alpha.edit("contacts", "a2", {"title": again})
    synced.settled()
    assert synced.alpha.rows["contacts"]["a2"].values["title"] == again
    assert synced.beta.rows["contacts"]["b1"].values["title"] == again
    with synced.workspace.state.read() as tx:
        assert tx.execute(select(quarantine)).all() == []  # nothing was written to who is merged away


def test_the_other_side_is_read_before_it_is_written(synced: Loop) -> None:
    """An edit there that nobody told us of is newer: it wins, and is not written over."""
    daemon = daemon_of(synced)
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    synced.clock.advance(5)
    synced.beta.edit("contacts", "b1", {"title": "Captain"})
    tell(synced, "alpha", "a1")
    ticks(daemon, synced, 6)
    assert synced.beta.rows["contacts"]["b1"].values["title"] == "Captain"
    assert synced.beta.writes == []
    assert synced.alpha.rows["contacts"]["a1"].values["title"] == "Captain"


def test_a_thousand_tellings_of_one_record_are_one_read(synced: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = daemon_of(synced)
    asked = reads(monkeypatch)
    for _ in range(1000):
        tell(synced, "alpha", "a1")
    assert pending(synced) == {"alpha": 1}
    ticks(daemon, synced, 3)
    assert asked == [["a1"]]


def test_a_burst_is_waited_for_but_not_for_ever(synced: Loop) -> None:
    tell(synced, "alpha", "a1")
    told = 0.0
    with synced.workspace.state.read() as tx:
        assert hints.due_in(tx, synced.clock.now())["alpha"] == pytest.approx(hints.QUIET)
    while told < hints.LONGEST:
        synced.clock.advance(1)
        told += 1
        tell(synced, "alpha", "a1")
    with synced.workspace.state.read() as tx:
        assert hints.due_in(tx, synced.clock.now())["alpha"] == 0


def test_what_is_told_while_it_is_read_is_read_again(synced: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record changes again after it was read, and before it is absorbed: the second telling must not be lost."""
    daemon = daemon_of(synced)
    read = MemoryConnector.read

    def changed_after(self: Any, object: str, key: str, values: Any, fields: Any) -> dict[str, Record]:
        found = read(self, object, key, values, fields)
        if values == ["a1"] and synced.alpha.rows["contacts"]["a1"].values["title"] == "Boss":
            synced.clock.advance(1)
            synced.alpha.edit("contacts", "a1", {"title": "Owner"})
            tell(synced, "alpha", "a1")
        return found

    monkeypatch.setattr(MemoryConnector, "read", changed_after)
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    tell(synced, "alpha", "a1")
    ticks(daemon, synced, 8)
    assert synced.beta.rows["contacts"]["b1"].values["title"] == "Owner"
    assert synced.alpha.pulls == 0


def test_a_record_that_is_not_there_has_its_object_pulled(synced: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletions are told by webhooks too, and only a pull tells what became of the record."""
    daemon = daemon_of(synced)
    monkeypatch.setattr(MemoryConnector, "read", lambda self, object, key, values, fields: {})
    synced.alpha.remove("contacts", "a1")
    tell(synced, "alpha", "a1")
    ticks(daemon, synced, 2)
    assert synced.alpha.pulls == 1
    assert pending(synced) == {}
    with synced.workspace.state.read() as tx:
        gone = tx.exec_driver_sql("select gone from records where id = 'a1'").scalar()
    assert gone == "deleted"


def test_a_sync_by_hand_reads_what_is_pending_and_pulls(synced: Loop) -> None:
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    tell(synced, "alpha", "a1", "a2")  # the second is not there, and pulled for
    report = Runner(synced.workspace).run("sync", ["alpha", "beta"], Options())
    assert report.state == "done"
    assert pending(synced) == {}
    assert report.counts["pull"]["alpha"]["contacts"]["applied"] == 1
    assert synced.beta.rows["contacts"]["b1"].values["title"] == "Boss"


class Died(BaseException):
    """The process is gone."""


def test_a_crash_while_a_record_is_absorbed_leaves_its_hint(synced: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = daemon_of(synced)
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    tell(synced, "alpha", "a1")
    drop = hints.drop
    with monkeypatch.context() as patched:

        def dies(tx: Any, connection: str, followed: Sequence[hints.Hint]) -> None:
            drop(tx, connection, followed)
            raise Died

        patched.setattr(hints, "drop", dies)
        synced.clock.advance(3)
        with pytest.raises(Died):
            daemon.tick()
    assert pending(synced) == {"alpha": 1}
    ticks(daemon, synced, 4)  # the run that was cut off goes on
    assert pending(synced) == {}
    assert synced.beta.rows["contacts"]["b1"].values["title"] == "Boss"


def test_where_the_platform_cannot_be_reached_hints_wait_for_the_schedule(
    synced: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = daemon_of(synced)

    def unreachable(self: Any) -> Any:
        raise RetryLater("No answer.")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryConnector, "check", unreachable)
        tell(synced, "alpha", "a1")
        assert ticks(daemon, synced, 5) == 1
    assert pending(synced) == {"alpha": 1}
    synced.clock.advance(3600)
    daemon.tick()
    assert pending(synced) == {}


def test_a_connection_that_was_never_synced_is_not_begun_by_a_webhook(loop: Loop) -> None:
    tell(loop, "alpha", "a1")
    loop.clock.advance(60)
    with loop.workspace.state.read() as tx:
        assert hints.due_in(tx, loop.clock.now()) == {}


def test_hints_of_what_is_not_mapped_are_dropped(synced: Loop) -> None:
    tell(synced, "alpha", "d1", object="deals")  # alpha's mapping has none
    Runner(synced.workspace).run("sync", ["alpha"], Options())
    assert pending(synced) == {}


def test_too_many_hints_become_one_for_their_object(synced: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = daemon_of(synced)
    monkeypatch.setattr(hints, "MOST", 2)
    tell(synced, "alpha", "a1", "a2")
    tell(synced, "alpha", "a3")
    with synced.workspace.state.read() as tx:
        assert {one.record for one in hints.pending(tx, "alpha")["contacts"]} == {"a1", "a2", ""}
    synced.alpha.put("contacts", {"email": "new@x.io"}, "a3")
    ticks(daemon, synced, 2)
    assert pending(synced) == {}
    with synced.workspace.state.read() as tx:
        assert tx.exec_driver_sql("select count(*) from records where id = 'a3'").scalar() == 1


def test_a_write_that_a_guard_holds_is_not_tried_again_and_again(synced: Loop) -> None:
    """Two connections that owe each other a write which fails must not call each other for ever."""
    daemon = daemon_of(synced)

    def refuses(operation: Any) -> ClosedloopError | None:
        return RetryLater("Not now.")

    synced.beta.refuse = refuses
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    tell(synced, "alpha", "a1")
    assert ticks(daemon, synced, 10) == 2


def test_runs_that_only_looked_are_not_kept_for_ever(synced: Loop) -> None:
    daemon = daemon_of(synced)
    tell(synced, "alpha", "a1")
    ticks(daemon, synced, 2)
    synced.alpha.edit("contacts", "a1", {"title": "Boss"})
    tell(synced, "alpha", "a1")
    ticks(daemon, synced, 4)
    query = "select id from runs where command = 'hints' order by started_at, id"
    with synced.workspace.state.read() as tx:
        before = list(tx.exec_driver_sql(query).scalars())
        wrote = set(tx.exec_driver_sql("select distinct run from journal").scalars()) & set(before)
    assert len(before) == 3
    assert len(wrote) == 1
    synced.clock.advance(8 * 86_400)
    Runner(synced.workspace).run("sync", ["alpha"], Options())
    with synced.workspace.state.read() as tx:
        assert set(tx.exec_driver_sql(query).scalars()) == wrote
