"""What a run does about a platform that was rolled back: see `sync.rollback`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from config.log import Log
from connectors.api import Record
from sync import rollback
from sync.absorb import Absorbed, absorb_found
from sync.arrivals import Back
from sync.guards import Held
from sync.steps.attempt import Attempt

log = Log(__name__)


def back(attempt: Attempt) -> Back | None:
    """How records that were rolled back are taken in; None where nobody has said."""
    return rollback.back(attempt.workspace.fields.values(), _way(attempt))


def _way(attempt: Attempt) -> Any:
    return attempt.options.get("choice", "")


def is_told(attempt: Attempt) -> bool:
    """Whether a person has said which way it is to go. What was stored before it is decided first: of what a record
    loses that is no lead's yet nothing would tell any more."""
    return _way(attempt) in rollback.WAYS


def probe(attempt: Attempt, connection: str, object: str) -> None:
    """Look at the newest records of the object; what looks rolled back is looked at whole once it has been pulled."""
    lost = rollback.newest(attempt.workspace, connection, object)
    if rollback.looks_rolled_back(lost):
        _suspect(attempt, connection, object)
    _hear(attempt, connection, object, lost)


def _suspect(attempt: Attempt, connection: str, object: str) -> None:
    log.warning("rollback.suspected", connection=connection, object=object)
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        rollback.suspect(tx, connection, object)


def _hear(attempt: Attempt, connection: str, object: str, lost: rollback.Lost) -> None:
    """Take in what a look told that no pull has brought yet: an index that lags may show it only after a write that
    goes over it. May raise LookFirst."""
    if not lost.newer:
        return
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        _take_in(attempt, tx, connection, object, lost.newer)


def _take_in(attempt: Attempt, tx: Connection, connection: str, object: str, newer: Sequence[Record]) -> None:
    if newer:
        counts = absorb_found(tx, attempt.workspace, connection, object, newer, run=attempt.run)
        doubt(attempt, tx, connection, object, counts)


class LookFirst(Exception):
    """A consent was taken back, and the account has not been looked at yet: the transaction is left, and what it was to
    take in is taken again after that."""


def doubt(attempt: Attempt, tx: Connection, connection: str, object: str, counts: Absorbed) -> None:
    """A consent that a record took back is a person's word, or what the record was rolled back to before somebody
    touched it. Where anything speaks for that it is kept; raises LookFirst where nobody has looked."""
    if not counts.loosened:
        return
    if counts.older or is_told(attempt) or any(of == connection for of, _ in rollback.notes(tx)):
        rollback.keep(tx, attempt.workspace, f"{connection}/{object}", counts.loosened)
    elif (connection, object) not in attempt.looked:
        raise LookFirst


def look_first(attempt: Attempt, connection: str, object: str) -> None:
    """Look whether the account is told older than it is known, before a consent that was taken back is believed: it may
    be what a record was rolled back to that somebody touched since."""
    lost = rollback.newest(attempt.workspace, connection, object)
    if lost.older:
        _suspect(attempt, connection, object)
    attempt.looked.add((connection, object))
    _hear(attempt, connection, object, lost)


def account(attempt: Attempt, tx: Connection, connection: str, object: str, counts: Absorbed) -> None:
    """What came back older is a sign, and what a platform lost is kept: in the transaction that takes in what it shows
    now."""
    if counts.older:
        attempt.older.setdefault((connection, object), set()).update(counts.older)
        rollback.suspect(tx, connection, object)
    if counts.lost:
        rollback.keep(tx, attempt.workspace, f"{connection}/{object}", counts.lost)


def settle(attempt: Attempt, connection: str, object: str) -> None:
    """The object has been pulled: what looks rolled back holds all writes, or nothing speaks against it any more. Where
    a person has said which way it is to go, what is not there any more goes that way, too."""
    if (way := _way(attempt)) in rollback.WAYS:
        asked = rollback.ask_each(attempt.workspace, connection, object)
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            _take_back(attempt, tx, connection, object, asked.back)
            _take_in(attempt, tx, connection, object, asked.newer)
            rollback.let_go(tx, attempt.workspace, f"{connection}/{object}", asked.lost, way)
            rollback.absolve(tx, connection, object)
        return
    with attempt.workspace.state.read() as tx:
        noted = rollback.notes(tx).get((connection, object))
    if noted == rollback.SUSPECTED:
        _judge(attempt, connection, object)
    if noted is not None:
        hold(attempt)


def _take_back(attempt: Attempt, tx: Connection, connection: str, object: str, found: list[Record]) -> None:
    """What is older for certain, and was known so lately that the listing might have shown it late."""
    known = back(attempt)
    if found and known is not None:
        how = replace(known, listed=False)
        counts = absorb_found(tx, attempt.workspace, connection, object, found, run=attempt.run, back=how)
        account(attempt, tx, connection, object, counts)


def _judge(attempt: Attempt, connection: str, object: str) -> None:
    lost = rollback.look(attempt.workspace, connection, object, attempt.older.get((connection, object), set()))
    breaks = attempt.workspace.project.guards.rolled_back.breaks(lost.number, lost.known)
    _hear(attempt, connection, object, lost)
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        if breaks:
            rollback.hold(tx, connection, object, f"{connection}/{rollback.why(object, lost)}")
        elif rollback.ask(tx, attempt.workspace, connection, object, lost.back, attempt.run):
            rollback.absolve(tx, connection, object)
    if breaks:
        told = {"known": lost.known, "older": lost.older, "missing": lost.missing}
        log.error("guard.rolled_back", connection=connection, object=object, **told)


def hold(attempt: Attempt) -> None:
    """Whatever stands against any object holds all writes of the run, whoever's it is."""
    with attempt.workspace.state.read() as tx:
        noted = rollback.notes(tx)
    for (connection, object), known in noted.items():
        whole = known != rollback.SUSPECTED
        why = known if whole else f"{connection}/{object} looks rolled back, and could not be looked at whole yet"
        told = rollback.fix(connection) if whole else rollback.LATER
        attempt.held.update({name: Held(name, why, told=told) for name in attempt.connections})
