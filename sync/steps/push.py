"""The steps that push: what was left in doubt, then what is planned, as far as approvals and guards let it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from config.errors import ClosedloopError, Fenced
from config.log import Log
from sync import epoch
from sync.core.plan import Planned
from sync.doubt import brought, date_late, watched
from sync.first_run import Canary, approve
from sync.guards import guard, guarded, judge
from sync.ledger import Ledger, Written
from sync.planning import approved, beside_leads, outcomes_due, plan_batches, waiting_for
from sync.push import in_doubt, look_again, recover, send
from sync.steps import rolled_back
from sync.steps.attempt import Attempt
from sync.steps.decide import decide
from sync.steps.pull import bind
from sync.workspace import Workspace

log = Log(__name__)

PUSH_CHUNK = 10_000
"""Operations handed to the connectors at once: enough for their bulk interfaces to pay."""
LOOKED = "recover"
"""The step after which whoever goes on with the run looks again: a slice that ends there has come nowhere."""
FORGET = "forget"
"""The command that erases a person everywhere."""
ROUNDS = 6
"""How often a run plans anew after pushing, before it leaves the rest to the next run."""


def push(attempt: Attempt) -> Iterator[str]:
    """Look up what is in doubt, then write what follows, until nothing more does."""
    rolled_back.hold(attempt)
    broken = {error.connection for error in attempt.errors} | set(attempt.held)
    names = [
        name for name in attempt.connections if name not in broken and attempt.workspace.project.connections[name].push
    ]
    with attempt.workspace.state.read() as tx:
        unsure, watching = in_doubt(tx), watched(tx, attempt.connections)
    broken |= _each(attempt, [name for name in names if name in watching], look_again)
    looked_up = [name for name in names if name in unsure and name not in broken]
    broken |= _each(attempt, looked_up, recover)
    attempt.unseen = _unseen(attempt, unsure - {name for name in looked_up if name not in broken})
    if attempt.unseen:
        log.warning("push.leads_wait", leads=len(attempt.unseen), until="their writes in doubt can be looked up")
    unsettled = _dated(attempt) if watching or looked_up else []
    yield LOOKED
    if unsettled or looked_up:  # that may be newer than what the leads were made of
        yield from decide(attempt)
    yield from _in_rounds(attempt, [name for name in names if name not in broken])


def _each(attempt: Attempt, names: list[str], look: Callable[[Workspace, str, Ledger], object]) -> set[str]:
    """`look` at each of these connections; those where it failed."""
    broken = set()
    for name in names:
        try:
            look(attempt.workspace, name, attempt.ledger)
        except Fenced:
            raise
        except ClosedloopError as error:
            attempt.failed(name, error)
            broken.add(name)
    return broken


def _unseen(attempt: Attempt, unsure: Collection[str]) -> set[str]:
    """The leads of which what was pulled, by this run or one before it, may be what writes in doubt did that this run
    could not look up: at connections that it did not reach, or that it is not about."""
    project = attempt.workspace.project
    with attempt.workspace.state.read() as tx:
        return {
            lead
            for name in unsure
            if name in project.connections and project.connections[name].push
            for lead in brought(tx, name)
        }


def _dated(attempt: Attempt) -> list[str]:
    """The connections with creates that are watched, after all look-ups; what those had written is dated."""
    with attempt.workspace.state.read() as tx:
        unsettled = watched(tx, attempt.connections)
    for name in unsettled:
        date_late(attempt.workspace, name, attempt.ledger)
    return unsettled


def _in_rounds(attempt: Attempt, names: list[str]) -> Iterator[str]:
    with attempt.workspace.state.read() as tx:
        yes = approved(tx)
        open_ = [name for name in names if name in yes]
        attempt.waiting = {name: waiting_for(tx, attempt.workspace, name) for name in names if name not in open_}
    canary = Canary(attempt.workspace, attempt.ledger)
    for number in range(ROUNDS):
        sent = 0
        open_ = _guarded(attempt, open_)
        for chunk in _chunks(attempt, open_, canary, count_waiting=number == 0):
            for name, error in _send(attempt, chunk, canary).items():
                attempt.failed(name, error)
                open_ = [other for other in open_ if other != name]
            sent += len(chunk)
            yield "push"
        agreed = _agreed(attempt) if number == 0 else []
        open_ = [*open_, *agreed]
        if not (sent or agreed):
            break
        yield from decide(attempt)
    _hold_waiting(attempt)
    _guard_from_now(attempt, open_)


def _agreed(attempt: Attempt) -> list[str]:
    """The connections whose first writes are, one by one, those that a person saw and said yes to: from now on they are
    let through. Where anything differs it is shown again."""
    shown: dict[str, str] = attempt.options.get("shown") or {}
    agreed = [name for name, waiting in attempt.waiting.items() if waiting.total and shown.get(name) == waiting.digest]
    if agreed:
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            for name in agreed:
                approve(tx, name, attempt.workspace.now())
                del attempt.waiting[name]
    return agreed


def _guarded(attempt: Attempt, names: list[str]) -> list[str]:
    """`names` without those that a guard holds; what these would have been sent is accounted for as held."""
    if attempt.options.get("large"):
        return names
    held = judge(attempt.workspace, names, attempt.run)
    if not held:
        return names
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        for name, hold in held.items():
            log.error("guard.held", connection=name, why=hold.why)
            for object, verbs in hold.planned.items():
                number = sum(verbs.values())
                attempt.ledger.wrote(tx, name, object, Written(planned=number, held=number))
    attempt.held.update(held)
    return [name for name in names if name not in held]


def _guard_from_now(attempt: Attempt, names: list[str]) -> None:
    """The first writes of these connections are behind them. Where the fate of any first write is unknown they are not:
    what turns out not to have been done is written again, and what follows from it is written elsewhere."""
    with attempt.workspace.state.read() as tx:
        known = guarded(tx, attempt.workspace.connections)
        if in_doubt(tx) & set(attempt.workspace.connections) - known:
            return
    fresh = [name for name in names if name not in known]
    if fresh:
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            for name in fresh:
                guard(tx, name, attempt.workspace.now())


def _chunks(attempt: Attempt, open_: list[str], canary: Canary, *, count_waiting: bool) -> Iterator[list[Planned]]:
    """What is to be sent, in chunks; a connection's first chunk ever is the canary's size."""
    chunk: list[Planned] = []
    for batch in plan_batches(attempt.workspace, attempt.run, ledger=attempt.ledger):
        for operation in batch.operations:
            if operation.lead in attempt.unseen:
                continue
            if operation.connection in open_:
                chunk.append(operation)
            elif count_waiting and operation.connection in attempt.waiting:
                attempt.waiting[operation.connection].add(operation)
        if len(chunk) >= (canary.size({operation.connection for operation in chunk}) or PUSH_CHUNK):
            yield chunk
            chunk = []
    chunk.extend(operation for name in open_ for operation in beside_leads(attempt.workspace, name))
    for name in attempt.waiting if count_waiting else ():
        for operation in outcomes_due(attempt.workspace, name):
            attempt.waiting[name].add(operation)
    if chunk:
        yield chunk


def _send(attempt: Attempt, chunk: list[Planned], canary: Canary) -> dict[str, ClosedloopError]:
    if chunk:
        _raise_epoch(attempt)
    first, rest = canary.split(chunk)
    stopped: dict[str, ClosedloopError] = {}
    if first:
        stopped = send(attempt.workspace, attempt.ledger, first, on_settled=_teller(attempt, first))
        stopped.update(canary.judge(first))
    rest = [operation for operation in rest if operation.connection not in stopped]
    if rest:
        stopped.update(send(attempt.workspace, attempt.ledger, rest, on_settled=_teller(attempt, rest)))
    return stopped


def _teller(attempt: Attempt, operations: list[Planned]) -> Callable[[str, str, int], None]:
    done: dict[tuple[str, str], int] = {}

    def tell(connection: str, object: str, number: int) -> None:
        done[(connection, object)] = done.get((connection, object), 0) + number
        total = sum(1 for op in operations if (op.connection, op.object) == (connection, object))
        attempt.progress.pushed(connection, object, done[(connection, object)], total)

    return tell


def _hold_waiting(attempt: Attempt) -> None:
    """Account for what was planned but waits for a yes."""
    attempt.waiting = {name: waiting for name, waiting in attempt.waiting.items() if waiting.total}
    if not attempt.waiting:
        return
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        for name, waiting in attempt.waiting.items():
            for table in (waiting.creates, waiting.updates):
                for object, number in table.items():
                    attempt.ledger.wrote(tx, name, object, Written(planned=number, held=number))


def _raise_epoch(attempt: Attempt) -> None:
    """Before the first write of the run: see `sync.epoch`."""
    if not attempt.marked:
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            epoch.advance(tx)
        epoch.remember(attempt.workspace.state, attempt.workspace.marks)
        attempt.marked = True


def write(attempt: Attempt, operations: list[Planned], stale: list[Planned]) -> None:
    """Write these operations and no others; none to another account than they were meant for, by a clock that is off,
    or while an account looks rolled back."""
    if attempt.command != FORGET:  # nothing that an account lost brings back whom a person wants forgotten
        rolled_back.hold(attempt)
    broken = _each(attempt, attempt.connections, lambda workspace, name, ledger: bind(attempt, name))
    for name in [name for name in attempt.connections if name not in broken | attempt.held.keys()]:
        recover(attempt.workspace, name, attempt.ledger)
    held = [op for op in operations if op.connection in attempt.held]
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        for op in stale:
            attempt.ledger.wrote(tx, op.connection, op.object, Written(planned=1, parked=1))
        for op in held:
            attempt.ledger.wrote(tx, op.connection, op.object, Written(planned=1, held=1))
    sound = [op for op in operations if op.connection not in broken | attempt.held.keys()]
    for name, error in _send(attempt, sound, Canary(attempt.workspace, attempt.ledger)).items():
        attempt.failed(name, error)
    for _ in decide(attempt):
        pass
