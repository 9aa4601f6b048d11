"""The daemon: starts a run of each connection when it is due, and keeps them apart.

One tick decides what is due (no thread per schedule). The runs themselves are slices on the durable engine. SIGTERM
ends the slices at their next step, which loses and repeats nothing; SIGHUP reads the project anew between two slices.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import orjson
from croniter import croniter
from sqlalchemy import func, select

from config.clock import stamp, unstamp
from config.errors import ClosedloopError, Fenced, StateUnusable
from config.log import Log
from config.project import ConnectionConfig
from sync.engine.api import Engine
from sync.hints import COMMAND as HINTS
from sync.hints import due_in, standing_run
from sync.hooks import Door, open_door
from sync.metrics import Metrics
from sync.runs import Options, Runner
from sync.state.leases import SECONDS, Lease, acquire
from sync.state.schema import runs
from sync.workspace import Workspace

log = Log(__name__)

SLICE_SECONDS = 20.0
LEASE = "daemon"
STOP_SECONDS = 60.0


def next_due(settings: ConnectionConfig, last: datetime | None, now: datetime, jitter: float) -> datetime:
    """When the connection is to run next: at once when it never ran, else by its interval or cron, `jitter` (0 to 1)
    of the configured jitter later. A time missed while the daemon was down counts once."""
    if last is None:
        return now
    if settings.cron:
        due: datetime = croniter(settings.cron, last).get_next(datetime)
    else:
        due = last + timedelta(seconds=settings.every)
    return due + timedelta(seconds=settings.jitter * jitter)


class Daemon:
    """The loop around one workspace. `make_engine(slice)` opens the engine; tests give the inline one."""

    def __init__(
        self,
        folder: Path,
        open_workspace: Callable[[Path], Workspace],
        make_engine: Callable[[Callable[[str], bool]], Engine],
        metrics: Metrics | None = None,
    ) -> None:
        self._folder = folder
        self._open_workspace = open_workspace
        self._make_engine = make_engine
        self.stop = threading.Event()
        self._reload = threading.Event()
        self._wake = threading.Event()
        self._jitter = random.Random()
        self.metrics = metrics or Metrics()
        self._lease: Lease | None = None
        self.door: Door | None = None
        self.workspace = open_workspace(folder)
        self._runner = Runner(self.workspace, stop=self.stop)
        self.engine = make_engine(self.slice)

    def slice(self, run: str) -> bool:
        """One slice of `run`, for the engine. An error ends the run, not the daemon."""
        try:
            report = self._runner.slice(run, SLICE_SECONDS)
        except Fenced:
            log.warning("run.fenced", run=run)
            return True
        except ClosedloopError as error:
            log.error("run.failed", run=run, error=type(error).__name__, what=error.what)
            self._runner.fail(run, error)
            return True
        if report is None:
            return False
        self.metrics.finished(self.workspace, run)
        self._wake.set()  # webhooks may have come meanwhile
        return True

    def signal(self, number: int, _: FrameType | None) -> None:
        """SIGTERM and SIGINT stop, SIGHUP reads the project anew."""
        if number == getattr(signal, "SIGHUP", None):
            self._reload.set()
        else:
            self.stop.set()
        self._wake.set()

    def serve(self) -> None:
        """Until told to stop: look what is due, hand it to the engine, sleep a tick.

        One daemon at a time serves a state. Raises StateUnusable when another does; a second one that is started again
        and again (by systemd) takes over where the first one dies.
        """
        self._lease = self._sole(self.workspace)
        try:
            self.door = open_door(self.workspace, self.metrics, self._wake.set)
            self.engine.serve()
            log.info("daemon.started", connections=list(self.workspace.connections))
            while not self.stop.is_set():
                if self._reload.is_set():
                    self._read_anew()
                self._stay()
                self.tick()
                self._rest()
        finally:
            self.stop.set()
            self._shut()
            self.engine.stop(STOP_SECONDS)
            self._lease.release(self.workspace.state)
            self.workspace.close()
            log.info("daemon.stopped")

    def _rest(self) -> None:
        """Sleep a tick, or until what webhooks told is to be followed."""
        ends = time.monotonic() + self.workspace.project.daemon.tick
        while not (self.stop.is_set() or self._reload.is_set()):
            left = min(ends - time.monotonic(), self._hints_due_in())
            if left <= 0:
                return
            self._wake.wait(left)
            self._wake.clear()

    def _hints_due_in(self) -> float:
        try:
            with self.workspace.state.read() as tx:
                due = due_in(tx, self.workspace.clock.now())
        except StateUnusable as error:
            log.error("tick.failed", what=error.what)
            return float("inf")
        return min((due[name] for name in due if name in self.workspace.connections), default=float("inf"))

    def _shut(self) -> None:
        """Take no webhooks any more."""
        if self.door is not None:
            self.door.close()
            self.door = None

    def _stay(self) -> None:
        """Renew the right to be the daemon. Raises Fenced when another one has it by now."""
        if self._lease is not None:
            with self.workspace.state.begin(durable=False) as tx:
                self._lease.check(tx)

    def _sole(self, workspace: Workspace) -> Lease:
        seconds = max(SECONDS, 4.0 * workspace.project.daemon.tick)
        return acquire(workspace.state, LEASE, uuid4().hex, seconds=seconds)

    def tick(self) -> list[str]:
        """Submit the runs that are due, and again those whose submission a crash may have lost; their ids."""
        submitted = []
        for connection in self.workspace.connections:
            for find in (self._due_run, self._hinted_run):
                try:
                    run = find(connection)
                except StateUnusable as error:
                    log.error("tick.failed", connection=connection, what=error.what)
                    break
                if run:
                    self.engine.submit(run, connection)
                    submitted.append(run)
        self.metrics.ticked(self.workspace)
        return submitted

    def _due_run(self, connection: str) -> str | None:
        names = orjson.dumps([connection]).decode()
        mine = (runs.c.command == "sync") & (runs.c.connections == names)
        with self.workspace.state.read() as tx:
            open_run = tx.execute(select(runs.c.id).where(mine, runs.c.state.in_(["running", "cancelled"]))).scalar()
            last = tx.execute(select(func.max(runs.c.started_at)).where(mine)).scalar()
        if open_run:
            return str(open_run)
        now = self.workspace.clock.now()
        settings = self.workspace.project.connections[connection]
        due = next_due(settings, unstamp(last) if last else None, now, self._jitter.random())
        if due > now:
            return None
        return self._runner.open("sync", [connection], Options(), due=stamp(due))

    def _hinted_run(self, connection: str) -> str | None:
        """The run that reads what webhooks told of the connection, where it is time for one."""
        with self.workspace.state.read() as tx:
            standing = standing_run(tx, connection)
            due = due_in(tx, self.workspace.clock.now()).get(connection, 1.0) <= 0
        if standing or not due:
            return standing
        return self._runner.open(HINTS, [connection], Options())

    def _read_anew(self) -> None:
        """Take up the changed project; keep the old one when the new has mistakes."""
        self._reload.clear()
        try:
            fresh = self._open_workspace(self._folder)
        except ClosedloopError as error:
            log.error("daemon.reload_refused", error=str(error))
            return
        self.stop.set()
        self.engine.stop(STOP_SECONDS)
        if self._lease is not None:  # the state may be another one now
            self._lease.release(self.workspace.state)
            self._lease = self._sole(fresh)
        self._shut()
        self.workspace.close()
        self.stop.clear()
        self.workspace = fresh
        self._runner = Runner(fresh, stop=self.stop)
        self._open_again()
        self.engine = self._make_engine(self.slice)
        self.engine.serve()
        log.info("daemon.reloaded", connections=list(fresh.connections))

    def _open_again(self) -> None:
        """Take webhooks as the changed project says; where the port cannot be had, the schedule brings all the same."""
        try:
            self.door = open_door(self.workspace, self.metrics, self._wake.set)
        except ClosedloopError as error:
            log.error("hooks.closed", what=error.what)


def serve(folder: Path) -> None:
    """Run the daemon of the project in `folder` until SIGTERM or SIGINT."""
    from sync.engine.durable import DurableEngine
    from sync.metrics import listen

    def make_engine(slice: Callable[[str], bool]) -> Engine:
        return DurableEngine(slice, folder / "engine.db")

    daemon = Daemon(folder, lambda where: Workspace.open(where), make_engine)
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), daemon.signal)
    server: Any = None
    if daemon.workspace.project.daemon.metrics:
        server = listen(daemon.workspace.project.daemon.metrics, daemon.metrics)
    try:
        daemon.serve()
    finally:
        if server is not None:
            server.shutdown()
