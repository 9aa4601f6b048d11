"""One attempt at a run: it holds the leases, takes the steps (pull, decide, push), and closes the accounts.

Each step ends with everything it did in the state, so that whoever comes next goes on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import orjson
from sqlalchemy import bindparam, select, update

from config.clock import unstamp
from config.errors import ClosedloopError, Fenced, Misconfigured, PermissionMissing, StateUnusable
from config.log import Log
from connectors.api import Health
from sync import epoch
from sync.absorb import Absorbed
from sync.ageing import age
from sync.core.plan import Planned
from sync.deals import newly_copied
from sync.decide import decide_some
from sync.doubt import date_late, watched
from sync.drift import Frozen, compare, frozen, is_known, thaw
from sync.first_run import Canary
from sync.guards import Held, emptied, guard, guarded, judge, known_records
from sync.hints import COMMAND as HINTS
from sync.hints import Hint, drop, drop_others, follow, pass_on, pending
from sync.ledger import Ledger, Written
from sync.outset import Outset, known_connection, outset
from sync.planning import Waiting, approved, beside_leads, count_operation, outcomes_due, plan_batches, waiting_for
from sync.pull import pull_object, restart
from sync.push import close_accounts, in_doubt, recover, send
from sync.resolve import is_decided
from sync.restored import look_up, question
from sync.state.database import upsert
from sync.state.leases import Lease, acquire_all, release
from sync.state.schema import connections as connections_table
from sync.state.schema import runs
from sync.workspace import Workspace

log = Log(__name__)

PUSH_CHUNK = 10_000
"""Operations handed to the connectors at once: enough for their bulk interfaces to pay."""
FRESH = 900.0
"""Seconds for which a run that was cut off need not pull again what it had pulled."""
REBASELINE = "rebaseline"
"""The command that reads everything anew into a restored state, and asks about what follows."""
ROUNDS = 6
"""How often a run plans anew after pushing, before it leaves the rest to the next run."""


class Progress(Protocol):
    """What somebody watching a run is told."""

    def stage(self, connection: str, name: str) -> None: ...
    def pulled(self, connection: str, object: str, records: int, total: int | None) -> None: ...
    def decided(self, leads: int) -> None: ...
    def pushed(self, connection: str, object: str, done: int, total: int) -> None: ...


class Silent:
    """Tells nobody."""

    def stage(self, connection: str, name: str) -> None: ...
    def pulled(self, connection: str, object: str, records: int, total: int | None) -> None: ...
    def decided(self, leads: int) -> None: ...
    def pushed(self, connection: str, object: str, done: int, total: int) -> None: ...


@dataclass(slots=True)
class Report:
    """What a run did. `state` is done, held (first writes wait for a yes, see `waiting`, or a guard holds, see `held`),
    failed or cancelled. `frozen` are the mapped fields that an account has no longer: the run was partial."""

    run: str
    command: str
    state: str
    counts: dict[str, Any]
    waiting: dict[str, Waiting] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    frozen: dict[str, Frozen] = field(default_factory=dict)
    errors: list[ClosedloopError] = field(default_factory=list)
    needs_person: bool = False
    seconds: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def error(self) -> ClosedloopError | None:
        """The first error, None when all went well."""
        return self.errors[0] if self.errors else None


_MINE = runs.c.id == bindparam("run")
_RUN = select(runs).where(_MINE)
_END = update(runs).where(_MINE).values(state=bindparam("ends"), finished_at=bindparam("at"), error=bindparam("told"))


_TOLD = ("platform", "account_id", "account_name")


class Work:
    """One attempt at a run: holds its leases, takes its steps, closes its accounts."""

    def __init__(self, workspace: Workspace, run: str, progress: Progress, stop: threading.Event) -> None:
        self.workspace = workspace
        self.progress = progress
        self.stop = stop
        self.run = run
        self.cancelled = False
        self.errors: list[ClosedloopError] = []
        self.waiting: dict[str, Waiting] = {}
        self.held: dict[str, Held] = {}
        self._began = self.workspace.clock.now()
        self._leases: list[Lease] = []
        with self.workspace.state.read() as tx:
            row = tx.execute(_RUN, {"run": run}).one()
        self.command: str = row.command
        self.connections: list[str] = orjson.loads(row.connections)
        for connection in self.connections:
            self.workspace.heed_consent(connection)
        self._calls_before = dict(self.workspace.calls)
        self.options: dict[str, Any] = orjson.loads(row.options)
        self.done = self._still_done(row.stage)
        self.ledger = Ledger(run, orjson.loads(row.counts) if row.counts != "{}" else None)
        self._fenced = False
        self._marked = False
        self._news = False

    def _still_done(self, stage: str | None) -> list[str]:
        """The steps taken by whoever worked on the run before, unless what they saw has become old."""
        told: dict[str, Any] = orjson.loads(stage) if stage else {"done": [], "at": self.workspace.now()}
        old = (self._began - unstamp(told["at"])).total_seconds() > FRESH
        return [] if old else list(told["done"])

    def __enter__(self) -> Work:
        if self.options["push"]:
            self._refuse_restored()
        names = [f"connection:{connection}" for connection in sorted(self.connections)]
        self._leases = acquire_all(self.workspace.state, names, self.run)
        self.ledger.hold(self._leases)
        self.workspace.fence.hold(sorted(self.connections), self._leases)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._fenced = isinstance(error, Fenced)
        if isinstance(error, KeyboardInterrupt):
            self.cancelled = True
        self.workspace.fence.drop(self.connections)
        release(self.workspace.state, self._leases, last=self.ledger.leave if error is None else None)
        self._leases = []

    # steps

    def steps(self) -> Iterator[str]:
        """The run, one transaction or one chunk of writes at a time; yields the name of the step just taken."""
        for connection in self.connections:
            yield from self._once(f"pull:{connection}", partial(self._pull, connection))
        self.progress.stage("", "decide")
        yield from self._decide()
        if self.options["push"]:
            yield from self._push()
            self._pass_on()
        if self.command == REBASELINE and not (self.errors or self.held):
            yield from self._ask()

    def _once(self, name: str, steps: Callable[[], Iterator[str]]) -> Iterator[str]:
        """Steps that a run takes once: skipped when it goes on after them."""
        if name in self.done:
            return
        yield from steps()
        self._remember(name)

    def _remember(self, name: str) -> None:
        self.done.append(name)
        self.ledger.remember(orjson.dumps({"done": self.done, "at": self.workspace.now()}).decode())

    def _pull(self, connection: str) -> Iterator[str]:
        self.progress.stage(connection, "pull")
        try:
            calm = self._bind(connection)
            if not calm:  # before its echoes are read and look like people's edits
                recover(self.workspace, connection, self.ledger)
            for object in self._objects(connection, calm):
                steps = partial(self._pull_object, connection, object)
                yield from self._once(f"pull:{connection}:{object}", steps)
        except Fenced:
            raise
        except ClosedloopError as error:
            self._failed(connection, error)

    def _objects(self, connection: str, calm: bool) -> list[str]:
        """The objects to pull: of a run that follows hints, those that have any (none where it is `calm`)."""
        names = [object for object, _ in self.workspace.objects(connection)]
        if calm:
            return [] if self.command == HINTS else names
        with self.workspace.state.read() as tx:
            told = pending(tx, connection)
        if set(told) - set(names):
            with self.workspace.state.begin() as tx:
                self.ledger.enter(tx)
                drop_others(tx, connection, names)
        return [name for name in names if name in told] if self.command == HINTS else names

    def _bind(self, connection: str) -> bool:
        """Check that the credentials still open the account that the links were made with (never another's); whether
        it is known that no write there is in doubt and no hint waits."""
        health = self.workspace.connector(connection).check()
        with self.workspace.state.read() as tx:
            known = known_connection(tx, connection)
        if known is not None and known.account_id not in ("", health.account_id):
            raise Misconfigured(
                f"The credentials open another account ({health.account_id}) than before ({known.account_id}).",
                fix="Restore the old credentials, or give the other account a connection of its own.",
                connection=connection,
            )
        row = _connection_row(connection, self.workspace, health)
        if known is not None and all(getattr(known, name) == row[name] for name in _TOLD):
            return not known.stirred
        with self.workspace.state.begin() as tx:
            self.ledger.enter(tx)
            tx.execute(upsert(connections_table, tx, update=_TOLD), [row])
        return False

    def _pull_object(self, connection: str, object: str) -> Iterator[str]:
        finished = False
        seen = self._look(connection, object)
        if seen is None or not is_known(self.workspace, connection, object, seen.described, seen.frozen):
            if compare(self.workspace, connection, object):
                thaw(self.workspace, connection, object)
            seen = self._look(connection, object) if seen else None
        mapped = self.workspace.mapped(connection)[object]
        try:
            left: list[Hint] = []
            if seen is None or seen.hinted:
                left = yield from self._follow(connection, object)
                seen = self._look(connection, object) if seen else None
            finished = self.command == HINTS and not left
            known = 0 if finished else self._known_before(connection, object, seen)
            while not finished:
                pulled = pull_object(
                    self.workspace.state,
                    self.workspace.connector(connection),
                    mapped,
                    connection,
                    run=self.run,
                    now=self.workspace.now,
                    since=self.options["since"],
                    bulk=self.options["bulk"],
                    forgotten=self.workspace.suppression,
                    keep_gone=self.command == REBASELINE,
                    stop=self.stop.is_set,
                    page_limit=25,
                    known=seen.stream if seen else None,
                    inside=lambda tx, counts: self._account(tx, connection, object, counts),
                    on_group=lambda counts, total: self.progress.pulled(connection, object, counts.pulled, total),
                )
                finished, seen = pulled.finished, None
                yield f"pull:{connection}:{object}"
            self._guard_empty(connection, object, known)
            self._answered(connection, left)
        except PermissionMissing as error:
            self._failed(connection, error)
        self.workspace.refresh_owners(connection)

    def _look(self, connection: str, object: str) -> Outset | None:
        with self.workspace.state.read() as tx:
            return outset(tx, connection, object)

    def _follow(self, connection: str, object: str) -> Generator[str, None, list[Hint]]:
        """Read what webhooks said to read; what only a pull can answer."""

        def inside(tx: Any, counts: Absorbed) -> None:
            self._account(tx, connection, object, counts)
            self._news = self._news or bool(counts.new + counts.changed + counts.gone)

        return follow(self.workspace, connection, object, run=self.run, inside=inside)

    def _answered(self, connection: str, left: list[Hint]) -> None:
        """The object was pulled since these were kept."""
        if left:
            with self.workspace.state.begin() as tx:
                self.ledger.enter(tx)
                drop(tx, connection, left)

    def _pass_on(self) -> None:
        """What a webhook brought need not wait for the schedule of the connections that it is to be written to."""
        if self._news or (self.command == HINTS and self.ledger.total("pull", "applied")):
            pass_on(self.workspace, self.run, self.connections)

    def _known_before(self, connection: str, object: str, seen: Outset | None) -> int:
        """How many records were known when a full pull of the object began in this run; 0 when it pulls only news."""
        mark = f"full:{connection}:{object}:"
        if noted := next((name for name in self.done if name.startswith(mark)), ""):
            return int(noted.removeprefix(mark))
        if seen is None or seen.stream.cursor is not None or self.options["since"]:
            return 0
        with self.workspace.state.read() as tx:
            known = known_records(tx, connection, object)
        if known:
            self._remember(f"{mark}{known}")
        return known

    def _guard_empty(self, connection: str, object: str, known: int) -> None:
        """Hold the connection when its full pull brought next to nothing, and look again with the next run."""
        arrived = self.ledger.counts["pull"].get(connection, {}).get(object, {}).get("pulled", 0)
        held = emptied(self.workspace.project.guards.emptied, known, arrived, connection, object)
        if held is None or self.options.get("large"):
            return
        log.error("guard.emptied", connection=connection, object=object, known=known, arrived=arrived)
        restart(self.workspace.state, connection, object, self.workspace.mapped(connection)[object].kind)
        self.held[connection] = held

    def _account(self, tx: Any, connection: str, object: str, counts: Absorbed) -> None:
        self.ledger.pulled(tx, connection, object, counts)
        self.ledger.enter(tx)

    def _failed(self, connection: str, error: ClosedloopError) -> None:
        error.connection = error.connection or connection
        log.warning("run.connection_failed", connection=connection, error=type(error).__name__, what=error.what)
        self.errors.append(error)

    def _decide(self) -> Iterator[str]:
        more = not self._is_decided()
        while more:
            with self.workspace.state.begin() as tx:
                self.ledger.enter(tx)
                decided, more = decide_some(tx, self.workspace)
                for (connection, object), number in decided.parked.items():
                    self.ledger.parked(tx, connection, object, number)
            if decided.leads:
                self.progress.decided(decided.leads)
            yield "decide"
            more = more and not self._is_decided()

    def _is_decided(self) -> bool:
        """Most runs have nothing to decide, most of the time: to see that takes no writer's turn."""
        with self.workspace.state.read() as tx:
            return is_decided(tx) and not newly_copied(tx, self.workspace)

    def _push(self) -> Iterator[str]:
        with self.workspace.state.read() as tx:
            unsettled = watched(tx, self.connections)
        for name in unsettled:
            date_late(self.workspace, name)
        broken = {error.connection for error in self.errors} | set(self.held)
        names = [
            name for name in self.connections if name not in broken and self.workspace.project.connections[name].push
        ]
        with self.workspace.state.read() as tx:
            unsure = in_doubt(tx)
        looked_up = [name for name in names if name in unsure]
        for name in looked_up:
            try:
                recover(self.workspace, name, self.ledger)
            except Fenced:
                raise
            except ClosedloopError as error:
                self._failed(name, error)
                broken.add(name)
        yield "recover"
        if unsettled or looked_up:  # that may be newer than what the leads were made of
            yield from self._decide()
        yield from self._push_rounds([name for name in names if name not in broken])

    def _push_rounds(self, names: list[str]) -> Iterator[str]:
        with self.workspace.state.read() as tx:
            yes = approved(tx)
            open_ = [name for name in names if name in yes]
            self.waiting = {name: waiting_for(tx, self.workspace, name) for name in names if name not in open_}
        canary = Canary(self.workspace, self.ledger)
        for number in range(ROUNDS):
            sent = 0
            open_ = self._guarded(open_)
            for chunk in self._chunks(open_, canary, count_waiting=number == 0):
                for name, error in self._send(chunk, canary).items():
                    self._failed(name, error)
                    open_ = [other for other in open_ if other != name]
                sent += len(chunk)
                yield "push"
            if not sent:
                break
            yield from self._decide()
        self._hold_waiting()
        self._guard_from_now(open_)

    def _guard_from_now(self, names: list[str]) -> None:
        with self.workspace.state.read() as tx:
            known = guarded(tx, names)
        fresh = [name for name in names if name not in known]
        if fresh:
            with self.workspace.state.begin() as tx:
                self.ledger.enter(tx)
                for name in fresh:
                    guard(tx, name, self.workspace.now())

    def _guarded(self, names: list[str]) -> list[str]:
        """`names` without those that a guard holds; what these would have been sent is accounted for as held."""
        if self.options.get("large"):
            return names
        held = judge(self.workspace, names, self.run)
        if not held:
            return names
        with self.workspace.state.begin() as tx:
            self.ledger.enter(tx)
            for name, hold in held.items():
                log.error("guard.held", connection=name, why=hold.why)
                for object, verbs in hold.planned.items():
                    number = sum(verbs.values())
                    self.ledger.wrote(tx, name, object, Written(planned=number, held=number))
        self.held.update(held)
        return [name for name in names if name not in held]

    def _chunks(self, open_: list[str], canary: Canary, *, count_waiting: bool) -> Iterator[list[Planned]]:
        """What is to be sent, in chunks; a connection's first chunk ever is the canary's size."""
        chunk: list[Planned] = []
        for batch in plan_batches(self.workspace, self.run):
            for operation in batch.operations:
                if operation.connection in open_:
                    chunk.append(operation)
                elif count_waiting and operation.connection in self.waiting:
                    count_operation(self.waiting[operation.connection], operation)
            if len(chunk) >= (canary.size({operation.connection for operation in chunk}) or PUSH_CHUNK):
                yield chunk
                chunk = []
        chunk.extend(operation for name in open_ for operation in beside_leads(self.workspace, name))
        for name in self.waiting if count_waiting else ():
            for operation in outcomes_due(self.workspace, name):
                count_operation(self.waiting[name], operation)
        if chunk:
            yield chunk

    def _send(self, chunk: list[Planned], canary: Canary) -> dict[str, ClosedloopError]:
        if chunk:
            self._raise_epoch()
        first, rest = canary.split(chunk)
        stopped: dict[str, ClosedloopError] = {}
        if first:
            stopped = send(self.workspace, self.ledger, first, on_settled=self._teller(first))
            stopped.update(canary.judge(first))
        rest = [operation for operation in rest if operation.connection not in stopped]
        if rest:
            stopped.update(send(self.workspace, self.ledger, rest, on_settled=self._teller(rest)))
        return stopped

    def _teller(self, operations: list[Planned]) -> Callable[[str, str, int], None]:
        done: dict[tuple[str, str], int] = {}

        def tell(connection: str, object: str, number: int) -> None:
            done[(connection, object)] = done.get((connection, object), 0) + number
            total = sum(1 for op in operations if (op.connection, op.object) == (connection, object))
            self.progress.pushed(connection, object, done[(connection, object)], total)

        return tell

    def _hold_waiting(self) -> None:
        """Account for what was planned but waits for a yes."""
        self.waiting = {name: waiting for name, waiting in self.waiting.items() if waiting.total}
        if not self.waiting:
            return
        with self.workspace.state.begin() as tx:
            self.ledger.enter(tx)
            for name, waiting in self.waiting.items():
                for table in (waiting.creates, waiting.updates):
                    for object, number in table.items():
                        self.ledger.wrote(tx, name, object, Written(planned=number, held=number))

    def write(self, operations: list[Planned], stale: list[Planned]) -> None:
        """Write these operations and no others."""
        for name in self.connections:
            recover(self.workspace, name, self.ledger)
        with self.workspace.state.begin() as tx:
            self.ledger.enter(tx)
            for op in stale:
                self.ledger.wrote(tx, op.connection, op.object, Written(planned=1, parked=1))
        for name, error in self._send(operations, Canary(self.workspace, self.ledger)).items():
            self._failed(name, error)
        for _ in self._decide():
            pass

    def _ask(self) -> Iterator[str]:
        """What a restored state may not decide by itself becomes a question."""
        try:
            look_up(self.workspace, self.run, self.ledger)
        except Fenced:
            raise
        except ClosedloopError as error:
            self.errors.append(error)
            return
        yield from self._decide()
        question(self.workspace, self.run, self.ledger, missing=not self.options.get("choice"))
        yield from self._decide()

    def _refuse_restored(self) -> None:
        """A state that was restored writes nothing: the run is over before it began."""
        try:
            epoch.check(self.workspace.state, self.workspace.marks)
        except StateUnusable as error:
            ended = {"run": self.run, "ends": "failed", "at": self.workspace.now(), "told": str(error)}
            with self.workspace.state.begin() as tx:
                tx.execute(_END, ended)
            raise

    def _raise_epoch(self) -> None:
        """Before the first write of the run: see `sync.epoch`."""
        if not self._marked:
            with self.workspace.state.begin() as tx:
                self.ledger.enter(tx)
                epoch.advance(tx)
            epoch.remember(self.workspace.state, self.workspace.marks)
            self._marked = True

    # the end

    def report(self) -> Report:
        """Close the run's row and say what it did. Call it once, after the steps and before the leases are given back:
        whoever goes on with the run then has its accounts."""
        held = self.waiting or self.held
        state = "cancelled" if self.cancelled else "failed" if self.errors else "held" if held else "done"
        told = [*map(str, self.errors), *(f"{name}: held: {hold.why}." for name, hold in self.held.items())]
        with self.workspace.state.begin() as tx:
            self.ledger.enter(tx)
            if not self.cancelled:
                close_accounts(tx, self.ledger)
            lost = frozen(tx, self.connections)
            age(tx, self.workspace)
            ended = {"run": self.run, "ends": state, "at": self.workspace.now(), "told": "; ".join(told) or None}
            tx.execute(_END, ended)
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
            self.ledger.needs_person or bool(self.held or lost),
            seconds,
            calls,
        )


def _connection_row(name: str, workspace: Workspace, health: Health) -> dict[str, Any]:
    return {
        "name": name,
        "platform": workspace.project.connections[name].platform,
        "account_id": health.account_id,
        "account_name": health.account_name,
        "created_at": workspace.now(),
    }
