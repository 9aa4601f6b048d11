"""Hints: which records webhooks said to read, or merges into what nobody has seen; kept until they are read.

A webhook is never believed for what it says of a record, only that it should be read. Its hint is stored before the
delivery is answered, and goes in the transaction that absorbs the record as the platform holds it: a process that dies
in between leaves the hint. One that is told again while its record is being read (`told` has grown) stays, and is
followed once more, since what was read may be older. What a webhook does not tell, or what is lost, the next pull
brings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, delete, func, select

from config.clock import unstamp
from config.errors import Misconfigured, RecordRejected
from connectors.api import Notice, Record
from sync.absorb import Absorbed, absorb_asked
from sync.ledger import Ledger
from sync.load import chunks
from sync.planning import approved, plan_batches
from sync.state.database import upsert
from sync.state.schema import hints, meta, runs, streams
from sync.workspace import Workspace

COMMAND = "hints"
"""The command, in `runs`, of a run that follows a connection's hints."""
MOST = 50_000
"""Hints kept of a connection. Beyond them the objects are pulled instead, which costs less than so many reads."""
QUIET = 2.0
"""Seconds without a further hint after which those of a connection are followed: changes come in bursts."""
LONGEST = 10.0
"""Seconds after which they are followed though more keep coming."""
READ = 500
"""Records read by id, and absorbed, at a time."""
LOOKED_THROUGH = 10
"""Batches of leads looked through for what other connections are to be told at once; their schedule brings the rest."""
LAST = "hook:"
"""What begins the names in `meta` under which it is kept when each connection's last webhook came."""


class Hint(NamedTuple):
    """A word to read this record of the object, or all of the object where `record` is empty."""

    object: str
    record: str
    told: int


_NEW = ("connection", "object", "record", "told", "first_at", "last_at")
_COUNT = select(func.count()).select_from(hints).where(hints.c.connection == bindparam("of"))
_OF = (
    select(hints.c.object, hints.c.record, hints.c.told)
    .where(hints.c.connection == bindparam("of"))
    .order_by(hints.c.object, hints.c.record)
)
_FOLLOWED = delete(hints).where(
    hints.c.connection == bindparam("of"),
    hints.c.object == bindparam("named"),
    hints.c.record == bindparam("id"),
    hints.c.told == bindparam("times"),
)
_WAITING = select(hints.c.connection, func.count(), func.min(hints.c.first_at), func.max(hints.c.last_at)).group_by(
    hints.c.connection
)
_MINE = runs.c.connections == bindparam("names")
_LATEST = (
    select(runs.c.state)
    .where(_MINE, runs.c.command.in_(["sync", COMMAND]))
    .order_by(runs.c.started_at.desc(), runs.c.id.desc())
    .limit(1)
)
_OPEN = select(runs.c.id, runs.c.command).where(_MINE, runs.c.state.in_(["running", "cancelled"]))
_WHOLE = select(streams.c.complete).where(
    streams.c.connection == bindparam("of"), streams.c.object == bindparam("named")
)
_LAST = select(meta.c.name, meta.c.value).where(meta.c.name.like(f"{LAST}%"))


# keeping


def keep(tx: Connection, connection: str, notices: Iterable[Notice], at: str) -> None:
    """Keep what these notices say to read. What is kept already counts once more, and is read once."""
    places = dict.fromkeys((notice.object, notice.id) for notice in notices)
    if places and (tx.execute(_COUNT, {"of": connection}).scalar() or 0) + len(places) > MOST:
        places = dict.fromkeys((object, "") for object, _ in places)
    rows = [dict(zip(_NEW, (connection, object, id, 1, at, at), strict=True)) for object, id in places]
    if rows:
        tx.execute(upsert(hints, tx, update=["last_at"], add=["told"]), rows)


def arrived(tx: Connection, connection: str, at: str) -> None:
    """Note when the connection's last webhook came."""
    tx.execute(upsert(meta, tx, update=["value"]), [{"name": f"{LAST}{connection}", "value": at}])


def drop(tx: Connection, connection: str, followed: Sequence[Hint]) -> None:
    """These were followed; one that was told again meanwhile stays."""
    rows = [{"of": connection, "named": one.object, "id": one.record, "times": one.told} for one in followed]
    if rows:
        tx.execute(_FOLLOWED, rows)


def drop_others(tx: Connection, connection: str, objects: Collection[str]) -> None:
    """Drop the hints that are of none of these objects: nobody reads the others."""
    tx.execute(delete(hints).where(hints.c.connection == connection, hints.c.object.not_in(list(objects))))


# looking


def pending(tx: Connection, connection: str) -> Mapping[str, list[Hint]]:
    """The connection's hints by object."""
    found: dict[str, list[Hint]] = defaultdict(list)
    for row in tx.execute(_OF, {"of": connection}):
        found[row.object].append(Hint(*row))
    return found


def pending_of_all(tx: Connection) -> Mapping[str, int]:
    """How many hints each connection has that has any."""
    return {connection: number for connection, number, _, _ in tx.execute(_WAITING)}


def due_in(tx: Connection, now: datetime) -> Mapping[str, float]:
    """In how many seconds a run is to follow the hints of each connection that has any.

    None follows them where the connection was never synced or a run is at work on it (which reads them, or leaves them
    to the next), nor where the last run failed: until the platform can be reached again its schedule decides.
    """
    return {
        name: max(0.0, min(QUIET - _age(last, now), LONGEST - _age(first, now)))
        for name, _, first, last in tx.execute(_WAITING).all()
        if _may_follow(tx, name)
    }


def _age(at: str, now: datetime) -> float:
    return (now - unstamp(at)).total_seconds()


def _may_follow(tx: Connection, connection: str) -> bool:
    names = {"names": orjson.dumps([connection]).decode()}
    if any(row.command in ("sync", COMMAND) for row in tx.execute(_OPEN, names)):
        return False
    return tx.execute(_LATEST, names).scalar() not in (None, "failed")


def standing_run(tx: Connection, connection: str) -> str | None:
    """The unfinished run that follows the connection's hints."""
    open_ = tx.execute(_OPEN, {"names": orjson.dumps([connection]).decode()})
    return next((str(row.id) for row in open_ if row.command == COMMAND), None)


def last_arrivals(tx: Connection) -> Mapping[str, str]:
    """When each connection's last webhook came."""
    return {name.removeprefix(LAST): at for name, at in tx.execute(_LAST)}


# following


def follow(
    workspace: Workspace,
    connection: str,
    object: str,
    *,
    run: str,
    inside: Callable[[Connection, Absorbed], None] = lambda tx, counts: None,
) -> Generator[str, None, list[Hint]]:
    """Read the records of the object's hints by id and absorb them, each group with its hints in one transaction.

    Yields the step's name after each. Returns the hints that only a pull of the object can answer: of records that are
    not there, or cannot be read by id, and of an object whose last pull did not end. `inside` as in `pull_object`.
    """
    with workspace.state.read() as tx:
        told = pending(tx, connection).get(object, [])
        whole = bool(told) and bool(tx.execute(_WHOLE, {"of": connection, "named": object}).scalar())
    left = [one for one in told if not (whole and one.record)]
    for some in chunks([one for one in told if whole and one.record], READ):
        found = _read(workspace, connection, object, [one.record for one in some])
        left += [one for one in some if one.record not in found]
        with workspace.state.begin(durable=False) as tx:  # a power cut takes records back, and brings their hints
            counts = absorb_asked(tx, workspace, connection, object, found, run=run)
            drop(tx, connection, [one for one in some if one.record in found])
            inside(tx, counts)
        yield f"hints:{connection}:{object}"
    return left


def _read(workspace: Workspace, connection: str, object: str, ids: list[str]) -> Mapping[str, Record]:
    """The records with these ids; none where the platform cannot be asked by id."""
    fields = workspace.mapped(connection)[object].remote_fields
    try:
        return workspace.connector(connection).read(object, "id", ids, fields)
    except (Misconfigured, RecordRejected):
        return {}


def pass_on(workspace: Workspace, ledger: Ledger, done: Collection[str]) -> None:
    """What is to be written now to connections that are not `done` by this run need not wait for their schedule.

    They get hints: the records about to be written are read first, as an edit there may be newer than what we know.
    """
    with workspace.state.read() as tx:
        open_ = approved(tx) - set(done)
    if not open_:
        return
    wanted: dict[str, set[Notice]] = defaultdict(set)
    for number, batch in enumerate(plan_batches(workspace, ledger.run), 1):
        for one in batch.operations:
            if one.connection in open_ and workspace.project.connections[one.connection].push:
                wanted[one.connection].add(Notice(one.object, one.record) if one.record else Notice("", ""))
        if number >= LOOKED_THROUGH:
            break
    if wanted:
        with workspace.state.begin() as tx:
            ledger.enter(tx)
            for connection, notices in wanted.items():
                keep(tx, connection, sorted(notices, key=lambda one: (one.object, one.id)), workspace.now())
