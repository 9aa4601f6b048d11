"""What a run does about a platform that was rolled back: see `sync.rollback`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from config.log import Log
from sync import rollback
from sync.absorb import Absorbed, Back
from sync.guards import Held, known_records
from sync.pull import restart
from sync.steps.attempt import Attempt

log = Log(__name__)


def back(attempt: Attempt) -> Back | None:
    """How records that were rolled back are taken in; None where nobody has said."""
    return rollback.back(attempt.workspace.fields.values(), _way(attempt))


def _way(attempt: Attempt) -> Any:
    return attempt.options.get("choice", "")


def probe(attempt: Attempt, connection: str, object: str) -> bool:
    """Whether the object looks rolled back: it is read from the beginning then, which tells how much of it was."""
    found = rollback.looks_rolled_back(attempt.workspace, connection, object)
    if found:
        log.warning("rollback.suspected", connection=connection, object=object)
        _restart(attempt, connection, object)
    return found


def keep_lost(attempt: Attempt, tx: Connection, counts: Absorbed) -> None:
    """What a platform lost is kept, in the transaction that takes in what it shows now."""
    if counts.lost:
        rollback.keep(tx, attempt.workspace, counts.lost, attempt.workspace.now())


def settle(attempt: Attempt, connection: str, object: str) -> None:
    """Hold all writes of the run when many records came back older than they were known, and look again with the next.
    Where a person has said which way it is to go, what is not there any more goes that way, too."""
    if (way := _way(attempt)) in rollback.WAYS:
        lost = rollback.missing(attempt.workspace, connection, object)
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            rollback.let_go(tx, lost, way)
    elif older := attempt.older.get((connection, object), 0):
        _guard(attempt, connection, object, older)


def _guard(attempt: Attempt, connection: str, object: str, older: int) -> None:
    with attempt.workspace.state.read() as tx:
        known = known_records(tx, connection, object)
    if not attempt.workspace.project.guards.rolled_back.breaks(older, known):
        return
    log.error("guard.rolled_back", connection=connection, object=object, known=known, older=older)
    _restart(attempt, connection, object)
    why, told = f"{connection}/{rollback.why(object, older, known)}", rollback.fix(connection)
    attempt.held.update({name: Held(name, why, told=told) for name in attempt.connections})


def _restart(attempt: Attempt, connection: str, object: str) -> None:
    restart(attempt.workspace.state, connection, object, attempt.workspace.mapped(connection)[object].kind)
