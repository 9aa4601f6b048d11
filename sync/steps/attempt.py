"""One attempt at a run: the leases it holds, the steps it has taken, what went wrong and what is held; its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from sqlalchemy import bindparam, select

from config.clock import unstamp
from config.errors import ClosedloopError, Misconfigured, StateUnusable
from config.log import Log
from sync import epoch
from sync.ageing import age
from sync.drift import frozen, recall
from sync.fence import ENDLESS
from sync.guards import Held
from sync.ledger import END, Ledger
from sync.parked import asks
from sync.planning import Waiting
from sync.progress import Progress, Report
from sync.pull import restart
from sync.push import close_accounts
from sync.state.leases import Lease, acquire_all, release
from sync.state.schema import runs
from sync.timekeeping import CODE as CLOCK
from sync.workspace import Workspace

log = Log(__name__)

FRESH = 900.0
"""Seconds for which a run that was cut off need not pull again what it had pulled."""
REBASELINE = "rebaseline"
"""The command that reads everything anew into a restored state, and asks about what follows."""

FEW = 25
"""Pages of an object up to which a run's row does not say how many there were."""


def the_beginning(at: str) -> str:
    """How far a run is that has yet to put all that it pulls back to its beginning: as its row keeps it."""
    return orjson.dumps({"done": [], "at": at, "anew": True}).decode()


def begins_anew(stage: str) -> bool:
    """Whether a run may have died before it had done that."""
    return bool(stage) and "anew" in orjson.loads(stage)


_TOLD = ("what", "fix", "connection", "object", "record", "field", "code")
"""What of an error is kept for whoever goes on with the run."""

_MINE = runs.c.id == bindparam("run")
_RUN = select(runs).where(_MINE)


class Attempt:
    """What the steps of a run share. Inside `with` it holds the leases; `report` is the last thing done there."""

    def __init__(self, workspace: Workspace, run: str, progress: Progress, stop: threading.Event) -> None:
        self.workspace = workspace
        self.progress = progress
        self.stop = stop
        self.run = run
        self.cancelled = False
        self.waiting: dict[str, Waiting] = {}
        self._began = self.workspace.clock.now()
        self._leases: list[Lease] = []
        with self.workspace.state.read() as tx:
            row = tx.execute(_RUN, {"run": run}).one()
            self.connections: list[str] = orjson.loads(row.connections)
            recall(tx, workspace, self.connections)
        self.command: str = row.command
        self.workspace.heed_consents(self.connections)
        self._calls_before = dict(self.workspace.calls)
        self.options: dict[str, Any] = orjson.loads(row.options)
        self._noted: dict[str, Any] = orjson.loads(row.stage) if row.stage else {"done": [], "at": self.workspace.now()}
        self._anew = bool(self._noted.pop("anew", None))
        old = (self._began - unstamp(self._noted["at"])).total_seconds() > FRESH
        if old:  # what whoever worked on the run before saw is looked at again
            self._noted |= {"done": [], "failed": [], "held": {}}
        self.done: list[str] = list(self._noted["done"])
        self.errors = [ClosedloopError(**told) for told in self._noted.get("failed", ())]
        self.held = {name: Held(name, **told) for name, told in self._noted.get("held", {}).items()}
        self.ledger = Ledger(run, orjson.loads(row.counts) if row.counts != "{}" else None)
        self.marked = False  # the state's epoch was raised
        self.older: dict[tuple[str, str], set[str]] = {}  # the ids told older than they are known, by object
        self.looked: set[tuple[str, str]] = set()  # objects looked at before a consent that was taken back is believed
        self.unseen: set[str] = set()  # leads of which what was pulled may be what writes in doubt did
        self.news = False  # a webhook told something new

    def __enter__(self) -> Attempt:
        if self.options["push"]:
            self._refuse_restored()
        names = [f"connection:{connection}" for connection in sorted(self.connections)]
        self._leases = acquire_all(self.workspace.state, names, self.run)
        self.ledger.hold(self._leases)
        self.workspace.fence.hold(sorted(self.connections), self._leases)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.cancelled = True
        self.workspace.fence.drop(self.connections)
        release(self.workspace.state, self._leases, last=self.ledger.leave if error is None else None)
        self._leases = []

    def begin_anew(self) -> None:
        """Where the run is to read everything, put all that it pulls back to its beginning: under its leases, where
        nobody else moves it on any more."""
        if not self._anew:
            return
        self._anew = False
        self._note()
        with self.workspace.state.begin() as tx:
            self.ledger.enter(tx)
            for connection in self.connections:
                for object, facts in self.workspace.objects(connection):
                    restart(tx, connection, object, facts.kind)

    def once(self, name: str, steps: Callable[[], Iterator[str]]) -> Iterator[str]:
        """Steps that a run takes once: skipped when it goes on after them."""
        if name in self.done:
            return
        yield from steps()
        self.remember(name)
        yield name

    def remember(self, name: str) -> None:
        """This step is not taken again by whoever goes on with the run."""
        self.done.append(name)
        self._note(done=self.done, at=self.workspace.now())

    def _note(self, **told: Any) -> None:
        self._noted |= told
        self.ledger.remember(orjson.dumps(self._noted).decode())

    def turned(self, connection: str, object: str, pages: int) -> None:
        """So many more pages came and are stored. Raises Misconfigured where the run has had more of the object than
        any account has: something gives ever new ones."""
        read: dict[str, int] = dict(self._noted.get("pages", {}))
        name = f"{connection}:{object}"
        read[name] = read.get(name, 0) + pages
        if read[name] >= FEW:  # a quiet pull has nothing to note
            self._note(pages=read)
        else:
            self._noted["pages"] = read
        bound = self.workspace.project.guards.pages
        if bound and read[name] >= bound:
            raise Misconfigured(
                f"There seems to be no end: {read[name]} pages came in one run.",
                fix=f"What came is kept, and the next run goes on after it. {ENDLESS}",
                connection=connection,
                object=object,
                code="endless",
            )

    def failed(self, connection: str, error: ClosedloopError) -> None:
        """The connection is left alone for the rest of the run, whoever goes on with it; the others go on."""
        error.connection = error.connection or connection
        log.warning("run.connection_failed", connection=connection, error=type(error).__name__, what=error.what)
        self.errors.append(error)
        self._note(failed=[{name: getattr(one, name) for name in _TOLD} for one in self.errors])

    def hold(self, held: Held) -> None:
        """The connection is sent nothing for the rest of the run, whoever goes on with it."""
        self.held[held.connection] = held
        told = {"why": held.why, "planned": held.planned, "told": held.told}
        self._note(held={**self._noted.get("held", {}), held.connection: told})

    def _refuse_restored(self) -> None:
        """A state that was restored writes nothing: the run is over before it began. (It has no leases yet; nobody goes
        on with such a run.)"""
        try:
            epoch.check(self.workspace.state, self.workspace.marks)
        except StateUnusable as error:
            ended = {"run": self.run, "ends": "failed", "at": self.workspace.now(), "told": str(error)}
            with self.workspace.state.begin() as tx:
                tx.execute(END, ended)
            raise

    def _trusts_the_clock(self) -> bool:
        """Whether some platform was reached, and none had another time: what is old is told by our clock."""
        failed = {error.connection for error in self.errors}
        return not failed >= set(self.connections) and all(error.code != CLOCK for error in self.errors)

    def report(self) -> Report:
        """Close the run's row and say what it did. Call it once, after the steps and before the leases are given back:
        whoever goes on with the run then has its accounts."""
        held = self.waiting or self.held
        state = "cancelled" if self.cancelled else "failed" if self.errors else "held" if held else "done"
        told = [*map(str, self.errors), *(f"{name}: held: {hold.why}." for name, hold in self.held.items())]
        with self.workspace.state.begin() as tx:
            self.ledger.look(tx)
            if not self.cancelled:
                close_accounts(tx, self.ledger)
            lost, asked = frozen(tx, self.connections), asks(tx, self.run)
            if self._trusts_the_clock():
                age(tx, self.workspace)
            self.ledger.ended(tx, state, self.workspace.now(), "; ".join(told) or None)
        seconds = (self.workspace.clock.now() - self._began).total_seconds()
        calls = {name: number - self._calls_before.get(name, 0) for name, number in self.workspace.calls.items()}
        return Report(
            self.run,
            self.command,
            state,
            self.ledger.counts,
            self.waiting,
            self.held,
            lost,
            self.errors,
            self.ledger.needs_person or asked or bool(self.held or lost),
            seconds,
            calls,
        )
