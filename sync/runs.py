"""A run: pull, decide, push, for some connections, in steps that can stop after any and go on from there.

What a run has done is in the state, never in its memory: cursors say how far it pulled, dirty marks what is to be
decided, the plan is derived afresh, the journal says what was sent. So a run that was stopped, killed or taken over
goes on by simply being run again, and `steps` may be called by any engine in slices of any length.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, insert, select, update

from config.errors import ClosedloopError, Misconfigured
from sync.core.plan import Planned
from sync.first_run import approve
from sync.planning import approved
from sync.progress import Progress, Report, Silent
from sync.state.schema import runs
from sync.steps.attempt import REBASELINE, Attempt, begins_anew, the_beginning
from sync.steps.push import LOOKED, write
from sync.work import steps
from sync.workspace import Workspace

__all__ = ["REBASELINE", "Options", "Progress", "Report", "Runner", "Silent"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `since` (a stamp) and `bulk` are for backfills; without `push` nothing is written anywhere;
    `approve` lets the first writes of every connection through, `shown` those of a connection whose digest it has (what
    a person saw and said yes to), `large` what the guards would hold; `choice` is what an undo takes back."""

    since: str = ""
    bulk: bool = False
    push: bool = True
    approve: bool = False
    large: bool = False
    choice: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)

    def stored(self) -> str:
        """What of it an interrupted run goes on with."""
        kept: dict[str, object] = {"since": self.since, "bulk": self.bulk, "push": self.push, "large": self.large}
        kept |= {"choice": self.choice} if self.choice else {}
        return orjson.dumps(kept | ({"shown": dict(self.shown)} if self.shown else {})).decode()


_STANDS = (
    select(runs.c.id, runs.c.stage)
    .where(runs.c.command == bindparam("command"), runs.c.connections == bindparam("names"))
    .where(runs.c.state.in_(["running", "cancelled"]))
)
_LATEST = runs.c.started_at.desc()
_UNFINISHED = _STANDS.order_by(_LATEST).limit(1)
_UNFINISHED_CHOICE = _STANDS.where(runs.c.options == bindparam("chosen")).order_by(_LATEST).limit(1)
_BEGIN = insert(runs)
_MINE = runs.c.id == bindparam("run")
_AGAIN = update(runs).where(_MINE).values(state="running", finished_at=None, stage=bindparam("kept"))


class Runner:
    """Runs of one workspace. `stop` ends a run after its current step: nothing is lost, nothing repeated."""

    def __init__(
        self, workspace: Workspace, *, progress: Progress | None = None, stop: threading.Event | None = None
    ) -> None:
        self.workspace = workspace
        self.progress = progress or Silent()
        self.stop = stop or threading.Event()

    def run(self, command: str, connections: Sequence[str], options: Options) -> Report:
        """Run to the end, or to where `stop`, an approval or an error ends it."""
        return self.finish(self.open(command, connections, options))

    def approve(self, connections: Sequence[str]) -> None:
        """Let the first writes to `connections` through."""
        with self.workspace.state.begin() as tx:
            for name in connections:
                approve(tx, name, self.workspace.now())

    def open(self, command: str, connections: Sequence[str], options: Options, due: str = "") -> str:
        """The id of a new run, or of the unfinished one of the same command on the same connections, to go on with.

        A run with a `choice` goes on only with one of the same.
        """
        unknown = [name for name in connections if name not in self.workspace.connections]
        if unknown:
            raise Misconfigured(
                f"There is no connection {unknown[0]!r}.",
                fix=f"Configured are: {', '.join(self.workspace.connections)}.",
            )
        names = orjson.dumps(sorted(connections)).decode()
        with self.workspace.state.begin() as tx:
            same = {"command": command, "names": names} | ({"chosen": options.stored()} if options.choice else {})
            standing = tx.execute(_UNFINISHED_CHOICE if options.choice else _UNFINISHED, same).one_or_none()
            if standing is not None:
                run, anew = str(standing.id), begins_anew(standing.stage)
                self._go_on(tx, run, options, standing.stage if anew else "")
            else:
                run, anew = "run_" + self.workspace.new_id()[3:], command in ("backfill", REBASELINE)
                self._begin(
                    tx, {"id": run, "command": command, "connections": names, "due": due or None}, options, anew
                )
                if options.approve:
                    self._approve(tx, connections)
        return run

    def _go_on(self, tx: Connection, run: str, options: Options, kept: str) -> None:
        """What was pulled may be old by now: with nothing `kept` of how far it came all is looked at again, which costs
        little, as cursors stand where they stood. A yes given now counts for what is left of the run."""
        again = _AGAIN.values(options=options.stored()) if options.large or options.shown else _AGAIN
        tx.execute(again, {"run": run, "kept": kept})

    def _begin(self, tx: Connection, row: dict[str, Any], options: Options, anew: bool) -> None:
        now = self.workspace.now()
        told = {"options": options.stored(), "state": "running", "started_at": now}
        tx.execute(_BEGIN, [{**row, **told, "stage": the_beginning(now) if anew else ""}])

    def _approve(self, tx: Connection, connections: Sequence[str]) -> None:
        known = approved(tx)
        for name in connections:
            if name not in known:
                approve(tx, name, self.workspace.now())

    def _attempt(self, run: str) -> Attempt:
        return Attempt(self.workspace, run, self.progress, self.stop)

    def finish(self, run: str) -> Report:
        """Take all remaining steps of `run`."""
        attempt = self._attempt(run)
        with attempt:
            for _ in steps(attempt):
                if self.stop.is_set():
                    attempt.cancelled = True
                    break
            return attempt.report()

    def slice(self, run: str, seconds: float) -> Report | None:
        """Take steps of `run` for about `seconds`, and so many that the next slice is not to take them all again; the
        report when nothing is left to do."""
        began = self.workspace.clock.now()
        attempt = self._attempt(run)
        with attempt:
            for step in steps(attempt):
                if self.stop.is_set():
                    return None
                if step != LOOKED and (self.workspace.clock.now() - began).total_seconds() >= seconds:
                    return None
            return attempt.report()

    def send(
        self,
        command: str,
        connections: Sequence[str],
        operations: list[Planned],
        stale: list[Planned],
        options: Options,
    ) -> Report:
        """A run that writes just `operations` and counts `stale` as parked: what `apply` does."""
        attempt = self._attempt(self.open(command, connections, options))
        with attempt:
            write(attempt, operations, stale)
            return attempt.report()

    def fail(self, run: str, error: ClosedloopError) -> None:
        """Close a run that could not even take its steps, unless whoever went on with it has closed it."""
        with self.workspace.state.begin() as tx:
            values = {"state": "failed", "finished_at": self.workspace.now(), "error": str(error)}
            open_ = runs.c.state.in_(["running", "cancelled"])
            tx.execute(update(runs).where(runs.c.id == run, open_).values(**values))
