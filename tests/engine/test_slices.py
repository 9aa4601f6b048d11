"""A run that is taken in slices, as the daemon does: what went wrong in one is not forgotten in the next."""

from __future__ import annotations

import threading
from typing import Any

import sqlalchemy as sa

from sync.progress import Silent
from sync.runs import Options, Runner
from sync.state.schema import runs
from tests.engine.conftest import Loop


class Breaking(Silent):
    """Ends a slice when beta's turn comes."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def stage(self, connection: str, what: str) -> None:
        if connection == "beta":
            self.stop.set()


def in_slices(loop: Loop, command: str = "sync", **options: Any) -> tuple[str, str]:
    """Run in two slices, each by an attempt of its own, the first over when alpha was pulled: the state of the run and
    its error."""
    loop.clock.advance(60)
    breaking = Breaking()
    first = Runner(loop.workspace, progress=breaking, stop=breaking.stop)
    run = first.open(command, ("alpha", "beta"), Options(**options))
    assert not first.slice(run, 1000.0)
    assert Runner(loop.workspace).slice(run, 1000.0)
    with loop.workspace.state.read() as tx:
        row = tx.execute(sa.select(runs.c.state, runs.c.error).where(runs.c.id == run)).one()
    return row.state, row.error or ""


def stand(loop: Loop) -> None:
    """Six people on both sides, in step."""
    for n in range(6):
        values = {"email": f"p{n}@x.io", "first": f"P{n}", "title": "Clerk"}
        loop.beta.put("contacts", values)
        loop.alpha.put("contacts", {**values, "consent": "subscribed"})
    loop.settled()
    loop.alpha.writes.clear()
    loop.clock.advance(5)
    loop.beta.edit("contacts", next(iter(loop.beta.rows["contacts"])), {"title": "Boss"})


def test_slices_come_to_the_same_as_a_whole_run(loop: Loop) -> None:
    stand(loop)
    assert in_slices(loop) == ("done", "")
    assert [op.values["title"] for op in loop.alpha.writes] == ["Boss"]


def test_another_account_is_not_written_to_in_a_later_slice(loop: Loop) -> None:
    stand(loop)
    loop.alpha.account_id = "acc-2"
    state, error = in_slices(loop)
    assert (state, loop.alpha.writes) == ("failed", [])
    assert "another account (acc-2)" in error
    assert "[alpha]" in error


def test_what_was_not_read_to_its_end_is_not_written_to_in_a_later_slice(loop: Loop) -> None:
    stand(loop)
    loop.alpha.breaks_after = 0
    state, error = in_slices(loop, "backfill", bulk=True)
    assert (state, loop.alpha.writes) == ("failed", [])
    assert "[alpha" in error


def test_an_emptied_account_is_held_in_a_later_slice_too(loop: Loop) -> None:
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text() + "guards: {emptied: {share: 20%, over: 3}}\n")
    loop.reopen()
    stand(loop)
    loop.alpha.rows["contacts"] = {}
    state, error = in_slices(loop, "backfill", bulk=True)
    assert (state, loop.alpha.writes) == ("held", [])
    assert "brought 0 records, and 6 were known" in error
