"""The steps that pull: each object of a connection, some pages at a time, and what webhooks said to read."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

from config.errors import ClosedloopError, Fenced, Misconfigured, PermissionMissing
from config.log import Log
from connectors.api import Health
from sync.absorb import Absorbed
from sync.drift import compare, is_known, is_unread, missing, read_whole
from sync.guards import emptied, known_records
from sync.hints import COMMAND as HINTS
from sync.hints import Hint, drop, drop_others, follow, pending
from sync.outset import Outset, known_connection, outset
from sync.pull import pull_object, restart
from sync.push import recover
from sync.state.database import upsert
from sync.state.schema import connections as connections_table
from sync.steps import rolled_back
from sync.steps.attempt import REBASELINE, Attempt
from sync.timekeeping import heed, theirs
from sync.workspace import Workspace

log = Log(__name__)

_TOLD = ("platform", "account_id", "account_name")


def pull(attempt: Attempt, connection: str) -> Iterator[str]:
    """All objects of a connection; what goes wrong there ends its part of the run and no other's."""
    attempt.progress.stage(connection, "pull")
    try:
        calm = bind(attempt, connection)
        if not calm:  # before its echoes are read and look like people's edits
            recover(attempt.workspace, connection, attempt.ledger)
        with attempt.workspace.fence.reading(connection, attempt.workspace.project.guards.pages):
            for object in _objects(attempt, connection, calm):
                steps = partial(_pull_object, attempt, connection, object)
                yield from attempt.once(f"pull:{connection}:{object}", steps)
    except Fenced:
        raise
    except ClosedloopError as error:
        attempt.failed(connection, error)


def _objects(attempt: Attempt, connection: str, calm: bool) -> list[str]:
    """The objects to pull: of a run that follows hints, those that have any (none where it is `calm`)."""
    names = [object for object, _ in attempt.workspace.objects(connection)]
    if calm:
        return [] if attempt.command == HINTS else names
    with attempt.workspace.state.read() as tx:
        told = pending(tx, connection)
    if set(told) - set(names):
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            drop_others(tx, connection, names)
    return [name for name in names if name in told] if attempt.command == HINTS else names


def bind(attempt: Attempt, connection: str) -> bool:
    """Check that the credentials still open the account that the links were made with (never another's), and that our
    clock is right; whether it is known that no write there is in doubt and no hint waits. Raises Misconfigured."""
    health = attempt.workspace.connector(connection).check()
    with attempt.workspace.state.read() as tx:
        known = known_connection(tx, connection)
    if known is not None and known.account_id not in ("", health.account_id):
        raise Misconfigured(
            f"The credentials open another account ({health.account_id}) than before ({known.account_id}).",
            fix="Restore the old credentials, or give the other account a connection of its own.",
            connection=connection,
        )
    heed(attempt.workspace, connection, health)
    row = _connection_row(connection, attempt.workspace, health)
    if known is not None and all(getattr(known, name) == row[name] for name in _TOLD):
        return not known.stirred
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        tx.execute(upsert(connections_table, tx, update=_TOLD), [row])
    return False


def _pull_object(attempt: Attempt, connection: str, object: str) -> Iterator[str]:
    try:
        yield from _pulled(attempt, connection, object)
    except rolled_back.LookFirst:
        rolled_back.look_first(attempt, connection, object)
        yield from _pulled(attempt, connection, object)


def _pulled(attempt: Attempt, connection: str, object: str) -> Iterator[str]:
    finished = False
    seen = _look(attempt, connection, object)
    remapped = seen is not None and seen.stream.mapping not in ("", _mapping_of(attempt, connection, object))
    if seen is None or remapped or not is_known(attempt.workspace, connection, object, seen.described, seen.frozen):
        probe = partial(rolled_back.probe, attempt, connection, object)
        first, enter = probe if seen else _nothing, attempt.ledger.enter
        compare(attempt.workspace, connection, object, enter=enter, remapped=remapped, first=first)
        seen = _look(attempt, connection, object) if seen else None
    mapped = attempt.workspace.mapped(connection)[object]
    try:
        left: list[Hint] = []
        if seen is None or seen.hinted:
            left = yield from _follow(attempt, connection, object)
            seen = _look(attempt, connection, object) if seen else None
        finished = attempt.command == HINTS and not left
        known = 0 if finished else _known_before(attempt, connection, object, seen)
        while not finished:
            pulled = pull_object(
                attempt.workspace.state,
                attempt.workspace.connector(connection),
                mapped,
                connection,
                run=attempt.run,
                now=attempt.workspace.now,
                there=partial(theirs, attempt.workspace, connection),
                since=attempt.options["since"],
                bulk=attempt.options["bulk"],
                forgotten=attempt.workspace.suppression,
                keep_gone=attempt.command == REBASELINE,
                back=rolled_back.back(attempt),
                stop=attempt.stop.is_set,
                page_limit=25,
                known=seen.stream if seen else None,
                enter=attempt.ledger.enter,
                inside=lambda tx, counts: _account(attempt, tx, connection, object, counts),
                on_group=lambda counts, total: attempt.progress.pulled(connection, object, counts.pulled, total),
            )
            finished, seen = pulled.finished, None
            if not finished:
                attempt.turned(connection, object, pulled.pages)
                yield f"pull:{connection}:{object}"
            elif mapped.doubted:
                _trust(attempt, connection, object)
        _guard_empty(attempt, connection, object, known)
        rolled_back.settle(attempt, connection, object)
        _answered(attempt, connection, left)
    except PermissionMissing as error:
        attempt.failed(connection, error)
    attempt.workspace.refresh_owners(connection)


def _mapping_of(attempt: Attempt, connection: str, object: str) -> str:
    return attempt.workspace.compiled(connection)[object].fingerprint


def _trust(attempt: Attempt, connection: str, object: str) -> None:
    """All of the object has been read since its fields came back, but for what an index that lags did not show."""
    with attempt.workspace.state.read() as tx:
        if is_unread(tx, attempt.workspace, connection, object):
            return
    gone = missing(attempt.workspace, connection, object)
    if gone is None:
        return
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        read_whole(tx, attempt.workspace, connection, object, gone)


def _nothing() -> None:
    """What was never read has nothing to compare with."""


def _look(attempt: Attempt, connection: str, object: str) -> Outset | None:
    with attempt.workspace.state.read() as tx:
        return outset(tx, connection, object)


def _follow(attempt: Attempt, connection: str, object: str) -> Generator[str, None, list[Hint]]:
    """Read what webhooks said to read; what only a pull can answer."""

    def inside(tx: Any, counts: Absorbed) -> None:
        _account(attempt, tx, connection, object, counts)
        attempt.news = attempt.news or bool(counts.new + counts.changed + counts.gone)

    return follow(attempt.workspace, connection, object, run=attempt.run, inside=inside)


def _answered(attempt: Attempt, connection: str, left: list[Hint]) -> None:
    """The object was pulled since these were kept."""
    if left:
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            drop(tx, connection, left)


def _known_before(attempt: Attempt, connection: str, object: str, seen: Outset | None) -> int:
    """How many records were known when a full pull of the object began in this run; 0 when it pulls only news."""
    mark = f"full:{connection}:{object}:"
    if noted := next((name for name in attempt.done if name.startswith(mark)), ""):
        return int(noted.removeprefix(mark))
    if seen is None or seen.stream.cursor is not None or attempt.options["since"]:
        return 0
    with attempt.workspace.state.read() as tx:
        known = known_records(tx, connection, object)
    if known:
        attempt.remember(f"{mark}{known}")
    return known


def _guard_empty(attempt: Attempt, connection: str, object: str, known: int) -> None:
    """Hold the connection when its full pull brought next to nothing, and look again with the next run."""
    arrived = attempt.ledger.counts["pull"].get(connection, {}).get(object, {}).get("pulled", 0)
    held = emptied(attempt.workspace.project.guards.emptied, known, arrived, connection, object)
    if held is None or attempt.options.get("large"):
        return
    log.error("guard.emptied", connection=connection, object=object, known=known, arrived=arrived)
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        restart(tx, connection, object, attempt.workspace.mapped(connection)[object].kind)
    attempt.hold(held)


def _account(attempt: Attempt, tx: Any, connection: str, object: str, counts: Absorbed) -> None:
    rolled_back.doubt(attempt, tx, connection, object, counts)
    attempt.workspace.fence.moved(connection)
    attempt.ledger.pulled(tx, connection, object, counts)
    attempt.ledger.enter(tx)
    rolled_back.account(attempt, tx, connection, object, counts)


def _connection_row(name: str, workspace: Workspace, health: Health) -> dict[str, Any]:
    return {
        "name": name,
        "platform": workspace.project.connections[name].platform,
        "account_id": health.account_id,
        "account_name": health.account_name,
        "created_at": workspace.now(),
    }
