"""The engine on DBOS: durable queues and recovery, embedded on a SQLite file of its own.

A workflow is one run; a step is one slice and returns only whether it was the last, never contact data (DBOS stores
what steps return). The workflow's code never changes and its version is pinned: DBOS would otherwise leave open runs
hanging after every edit or upgrade, since its default version is a hash of the source. After `SLICES` slices a run goes
on in a continuation, so that history and replay stay short.

DBOS is one per process: open one `DurableEngine` at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID
from dbos import _error as dbos_error

from config.log import Log
from sync.engine.api import Slice

log = Log(__name__)

VERSION = "sync-1"
"""Change it only with the workflow below: open runs of another version are not taken up."""
QUEUE = "sync"
SLICES = 200

_OPEN: dict[str, Slice] = {}
"""The slice function of the open engine, under "slice": DBOS wants its functions at module level."""


@DBOS.step(name="slice")
def _one_slice(run: str) -> bool:
    return _OPEN["slice"](run)


@DBOS.workflow(name="sync_run", max_recovery_attempts=1_000_000)
def _sync_run(run: str, lane: str, part: int) -> str:
    for _ in range(SLICES):
        if _one_slice(run):
            return "done"
    _enqueue(run, lane, part + 1)
    return "continued"


def _enqueue(run: str, lane: str, part: int) -> None:
    with SetWorkflowID(f"{run}#{part}"), SetEnqueueOptions(queue_partition_key=lane):
        DBOS.enqueue_workflow(QUEUE, _sync_run, run, lane, part)


class _Stopping(BaseException):
    """Leaves a workflow without ending it: DBOS records every Exception as the workflow's end, this not, so the run
    stays open and the next process recovers it."""


class DurableEngine:
    """Runs survive the process: a run that was open when it died goes on at `serve`.

    `file` is the engine's own database, beside the state and apart from it. `executor` names this worker; a daemon
    that is the only one on its file keeps one fixed name, so that it recovers what it left.
    """

    def __init__(self, slice: Slice, file: Path, *, executor: str = "daemon", threads: int = 4) -> None:
        self._slice = slice
        self._file = file
        self._executor = executor
        self._threads = threads
        self._idle = threading.Condition()
        self._running = 0
        self._stopping = False

    def serve(self) -> None:
        self._stopping = False
        _OPEN["slice"] = self._counted
        DBOS(config=self._config())
        DBOS.launch()
        DBOS.register_queue(QUEUE, partition_concurrency=1, worker_concurrency=self._threads, polling_interval_sec=0.25)

    def _config(self) -> DBOSConfig:
        # WAL: the default journal costs three to four times as much per step on a busy disk
        engine = sa.create_engine(f"sqlite:///{self._file}", connect_args={"timeout": 30})
        sa.event.listen(engine, "connect", _write_ahead)
        return {
            "name": "closedloop",
            "system_database_url": f"sqlite:///{self._file}",
            "system_database_engine": engine,
            "application_version": VERSION,
            "executor_id": self._executor,
            "log_level": "ERROR",
            "enable_otlp": False,
            "serializer": DBOSPortableJSONSerializer(),
        }

    def _counted(self, run: str) -> bool:
        """One slice, unless the engine is stopping: then the workflow ends here and the next process takes it up."""
        with self._idle:
            if self._stopping:
                raise _Stopping
            self._running += 1
        try:
            return self._slice(run)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def submit(self, run: str, lane: str) -> None:
        _enqueue(run, lane, 0)

    def cancel(self, run: str) -> None:
        for workflow in self._parts(run):
            DBOS.cancel_workflow(workflow)

    def resume(self, run: str, lane: str) -> None:
        parts = self._parts(run)
        if not parts:
            self.submit(run, lane)
            return
        # without the queue's name DBOS would move the run to a queue without our limits
        DBOS.resume_workflows(parts[-1:], queue_name=QUEUE)

    def _parts(self, run: str) -> list[str]:
        found: list[Any] = DBOS.list_workflows(workflow_id_prefix=f"{run}#")
        return sorted((status.workflow_id for status in found), key=lambda name: int(name.rpartition("#")[2]))

    def stop(self, seconds: float) -> None:
        with self._idle:
            self._stopping = True
            self._idle.wait_for(lambda: self._running == 0, timeout=seconds)
        try:
            DBOS.destroy()
        except dbos_error.DBOSException as error:
            log.warning("engine.stop", error=type(error).__name__)
        _OPEN.clear()

    def workers(self) -> Sequence[str]:
        return (self._executor,)


def _write_ahead(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
