"""Carry out operations: intent, send, settle.

The invariant of a write: its journal row is committed as `sent` before the request leaves, and it leaves that state
only in the transaction that stores what became of it. So after a crash every request that may have reached a platform
has a row here that says so; `recover` looks each one up before anything is sent again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, func, select, update

from config.clock import unstamp
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Fenced,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
)
from config.log import Log
from connectors.api import Operation, Result, Verb
from mappings.model import Field, Kind, Values
from sync import makers, readdressed
from sync.absorb import absorb_found
from sync.adopt import adopt, date, tie, uncounted
from sync.core.echo import came_of
from sync.core.plan import Change, Planned
from sync.doubt import ask_about_blanks, unmade, versions, watch
from sync.ledger import Ledger, Written
from sync.load import chunks
from sync.settle import AWAY, settle
from sync.state.schema import OPEN_WRITES, journal, records, streams
from sync.streams import stream_for
from sync.workspace import Workspace

log = Log(__name__)

SETTLE = 200
"""Results per transaction."""

DOUBT = 50.0
"""Seconds for which a write that was not found done stays in doubt: until then a slow platform may still do it, and a
create sent again would be a second record, an update done late would look like a person's edit."""

_STOPPING = (RetryLater, QuotaExhausted, AuthorizationLost, PermissionMissing)


OnSettled = Callable[[str, str, int], None]


def send(
    workspace: Workspace,
    ledger: Ledger,
    planned: Sequence[Planned],
    *,
    on_settled: OnSettled = lambda connection, object, number: None,
) -> dict[str, ClosedloopError]:
    """Write `planned` to their platforms and store what became of each.

    A connection is left alone after its first error that would meet the next operation as well (quota, credentials,
    no answer); that error is returned, by connection.
    """
    stopped: dict[str, ClosedloopError] = {}
    for (connection, object), operations in _by_target(planned):
        if connection in stopped:
            _hold(workspace, ledger, connection, object, len(operations))
            continue
        error = _send_object(workspace, ledger, connection, object, operations, on_settled)
        if error is not None:
            stopped[connection] = error
    return stopped


def _hold(workspace: Workspace, ledger: Ledger, connection: str, object: str, number: int) -> None:
    with workspace.state.begin() as tx:
        ledger.enter(tx)
        ledger.wrote(tx, connection, object, Written(planned=number, held=number))


def _by_target(planned: Iterable[Planned]) -> list[tuple[tuple[str, str], list[Planned]]]:
    grouped: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for operation in planned:
        grouped[(operation.connection, operation.object)].append(operation)
    return list(grouped.items())


def _send_object(
    workspace: Workspace,
    ledger: Ledger,
    connection: str,
    object: str,
    planned: Sequence[Planned],
    on_settled: OnSettled,
) -> ClosedloopError | None:
    with workspace.state.begin() as tx:
        ledger.enter(tx)
        by_key = {operation.key: operation for operation in _intend(tx, ledger.run, planned, workspace.now())}
        repeated = len(planned) - len(by_key)
        ledger.wrote(tx, connection, object, Written(planned=len(planned), parked=repeated))
    if repeated:
        log.warning("push.repeated", connection=connection, object=object, operations=repeated)
    if not by_key:
        return None
    mapped = workspace.mapped(connection).get(object)
    fields = mapped.remote_fields if mapped else ()
    operations = [_operation(workspace, key, plan) for key, plan in by_key.items()]
    stopped: ClosedloopError | None = None
    answered: set[str] = set()
    for results in _some(_answers(workspace, connection, operations, fields)):
        with workspace.state.begin() as tx:
            ledger.enter(tx)
            pairs = [(by_key[result.key], result) for result in results]
            ledger.wrote(tx, connection, object, settle(tx, workspace, ledger, pairs))
        for result in results:
            answered.add(result.key)
            if isinstance(result.error, _STOPPING):
                stopped = result.error
        on_settled(connection, object, len(results))
    if missing := [key for key in by_key if key not in answered]:
        raise RuntimeError(f"{connection}: the connector gave no result for {len(missing)} of {len(by_key)} operations")
    return stopped


def _operation(workspace: Workspace, key: str, plan: Planned) -> Operation:
    """The operation as its connector gets it."""
    back = frozenset(change.remote for change in plan.changes if _goes_back(change, workspace.fields.get(change.field)))
    return Operation(key, Verb(plan.verb), plan.object, plan.values, plan.record, plan.match, back)


def _goes_back(change: Change, known: Field | None) -> bool:
    """Whether the new value stands before the old one among the options of its field."""
    options = known.options if known is not None else ()
    if change.old not in options or change.new not in options:
        return False
    return options.index(change.new) < options.index(change.old)


def _answers(
    workspace: Workspace, connection: str, operations: Sequence[Operation], fields: Sequence[str]
) -> Iterator[Result]:
    """The connector's results; when it gives up as a whole, the rest of them carry its error."""
    answered: set[str] = set()
    try:
        with workspace.fence.writing(connection):
            for result in workspace.connector(connection).push(operations, fields):
                answered.add(result.key)
                yield result
    except Fenced:
        raise
    except ClosedloopError as error:
        for operation in operations:
            if operation.key not in answered:
                yield Result(operation.key, error=error)


def _some(results: Iterator[Result]) -> Iterator[list[Result]]:
    batch: list[Result] = []
    for result in results:
        batch.append(result)
        if len(batch) >= SETTLE:
            yield batch
            batch = []
    if batch:
        yield batch


_OPS = journal.c.op.in_(bindparam("some", expanding=True))
_TRIED = select(journal.c.op, journal.c.state).where(_OPS)
_AGAIN = journal.delete().where(_OPS, journal.c.state != "settled")
_INTEND = journal.insert()


def _intend(tx: Connection, run: str, planned: Sequence[Planned], at: str) -> list[Planned]:
    """Commit to the journal what is about to be sent; the operations that may leave.

    One wish over one observation is sent once a run: if it was settled and is wished again, the platform keeps making
    something else of it, and a person should look. A wish that was withdrawn or refused before may be sent again.
    """
    names = {operation.op(run): operation for operation in planned}
    settled: set[str] = set()
    for some in chunks(list(names)):
        tried = tx.execute(_TRIED, {"some": some}).all()
        settled.update(row.op for row in tried if row.state == "settled")
        if any(row.state != "settled" for row in tried):
            tx.execute(_AGAIN, {"some": some})
    leaving = [operation for name, operation in names.items() if name not in settled]
    if leaving:
        ids = [operation.record for operation in leaving if operation.verb == Verb.UPDATE]
        seen = versions(tx, leaving[0].connection, leaving[0].object, ids)
        tx.execute(_INTEND, [_journal_row(run, operation, at, seen) for operation in leaving])
    return leaving


def _journal_row(run: str, operation: Planned, at: str, seen: Mapping[str, str]) -> dict[str, Any]:
    told = {"version": seen[operation.record]} if operation.record in seen else {}
    reasons = {change.field: change.reason for change in operation.changes}
    return {
        "op": operation.op(run),
        "run": run,
        "connection": operation.connection,
        "object": operation.object,
        "verb": operation.verb,
        "record": operation.record,
        "lead": operation.lead,
        "before": orjson.dumps(operation.before).decode(),
        "after": orjson.dumps(operation.after).decode(),
        "remote": orjson.dumps({"values": operation.values, "match": operation.match, **told}).decode(),
        "reasons": orjson.dumps({"": operation.why, **reasons}).decode(),
        "state": "sent",
        "created_at": at,
        "times": orjson.dumps(operation.times).decode(),
        "undoes": orjson.dumps(operation.undoes).decode() if operation.undoes else None,
    }


_UNKNOWN = (journal.c.connection == bindparam("of")) & OPEN_WRITES
_OPEN = select(journal).where(_UNKNOWN).order_by(journal.c.id)
_OPEN_TARGETS = select(journal.c.object, journal.c.record, journal.c.lead).where(_UNKNOWN)


def open_targets(tx: Connection, connection: str) -> set[tuple[str, str, str]]:
    """(object, record, lead) of every write whose fate is unknown: nothing more is sent there before it is known."""
    return {(row.object, row.record, row.lead or "") for row in tx.execute(_OPEN_TARGETS, {"of": connection})}


_ALL_OPEN = select(
    journal.c.connection, journal.c.object, journal.c.record, journal.c.lead, journal.c.verb, journal.c.after
).where(OPEN_WRITES)


def all_open_targets(tx: Connection) -> dict[str, set[tuple[str, str, str]]]:
    """The same of every connection that has any; and (object, home, "") of every copy of a deal that may be made."""
    found: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for row in tx.execute(_ALL_OPEN):
        found[row.connection].add((row.object, row.record, row.lead or ""))
        if row.verb == Verb.CREATE and (home := orjson.loads(row.after).get("home")):
            found[row.connection].add((row.object, home, ""))
    return found


_UNSURE = select(journal.c.connection).where(OPEN_WRITES).distinct()


def in_doubt(tx: Connection) -> set[str]:
    """The connections of writes whose fate is unknown."""
    return set(tx.execute(_UNSURE).scalars())


def recover(workspace: Workspace, connection: str, ledger: Ledger) -> tuple[int, int]:
    """Look up every write of `connection` whose fate is unknown; (found done, found not done).

    What stands there as meant is settled. The rest is withdrawn: the plan is made afresh from what was just read, so
    that a newer edit of a person's is seen before anything is sent again.
    """
    with workspace.state.read() as tx:
        rows = list(tx.execute(_OPEN, {"of": connection}))
    by_object: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_object[row.object].append(row)
    done = 0
    for object, those in by_object.items():
        done += _recover_object(workspace, connection, object, those, ledger)
    return done, len(rows) - done


def look_again(workspace: Workspace, connection: str, ledger: Ledger) -> int:
    """Take in what stands by now of the creates that earlier runs or attempts found undone a while ago, where their
    people have no record there still: what one made may have been put away when it was looked up, and be back. How many
    were found."""
    with workspace.state.read() as tx:
        rows = unmade(tx, connection, ledger.run, workspace.clock.now())
    by_object: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_object[row.object].append(row)
    number = 0
    for object, those in by_object.items():
        mapped = workspace.mapped(connection)[object]
        for key, wanted in _look_up_keys(those).items():
            found = workspace.connector(connection).read(object, key, sorted(wanted), mapped.remote_fields)
            with workspace.state.begin() as tx:
                ledger.enter(tx)
                absorb_found(tx, workspace, connection, object, found.values(), run=ledger.run)
            number += len(found)
    return number


def _recover_object(workspace: Workspace, connection: str, object: str, rows: list[Any], ledger: Ledger) -> int:
    mapped = workspace.mapped(connection).get(object)
    fields = mapped.remote_fields if mapped else ()
    is_told = mapped is not None and mapped.kind is Kind.CONVERSION
    final = is_told and not workspace.manifest(connection).objects[object].repeats
    done = 0
    for key, wanted in _look_up_keys(rows).items():
        found = workspace.connector(connection).read(object, key, sorted(wanted), fields)
        lost = [row for value, those in wanted.items() if value not in found for row in those if key == "id"]
        moved = readdressed.look_up(workspace, connection, object, mapped, lost) if mapped is not None and lost else {}
        with workspace.state.begin() as tx:
            ledger.enter(tx)
            if mapped is not None and moved:
                stream = stream_for(tx, connection, object, mapped.kind)
                found = {**found, **readdressed.rename(tx, workspace, stream, mapped, moved)}
            if mapped is not None and found and not is_told:
                absorb_found(tx, workspace, connection, object, found.values(), run=rows[0].run)
            for value, those in wanted.items():
                for row in those:
                    if is_told and row.verb in AWAY:
                        was_done: bool | None = _unasked(tx, row, workspace.now())
                    elif final and value not in found and not _young(row, workspace):
                        uncounted(tx, row, workspace.now())
                        was_done = None
                    else:
                        was_done = _judge(tx, workspace, row, found.get(value), mapped is not None and not is_told)
                    done += bool(was_done)
                    if row.state != "in_doubt":  # planned by a run that was cut off: this one, or one still to go on
                        account = ledger if row.run == ledger.run else Ledger.of(tx, row.run)
                        account.wrote(tx, connection, object, _written(was_done))
    return done


def _unasked(tx: Connection, row: Any, at: str) -> bool:
    """An erasure of what was told is found by no look-up, and may be asked for twice: the next `forget` asks again."""
    what = "nothing tells whether it was erased"
    tx.execute(update(journal).where(journal.c.id == row.id).values(state="withdrawn", error=what, settled_at=at))
    return False


def _written(done: bool | None) -> Written:
    return Written(parked=1) if done is None else Written(applied=int(done), held=int(not done))


_STILL_SENT = (journal.c.run == bindparam("of")) & journal.c.state.in_(["intent", "sent"])
_LEFT_OPEN = select(journal.c.connection, journal.c.object).where(_STILL_SENT)
_DOUBT = update(journal).where(_STILL_SENT).values(state="in_doubt")


def close_accounts(tx: Connection, ledger: Ledger) -> None:
    """What the run sent, and could not look up before its end, is parked: a later run settles it."""
    if not ledger.counts["write"]:  # it has planned nothing, so it sent nothing
        return
    unknown = tx.execute(_LEFT_OPEN, {"of": ledger.run}).all()
    for connection, object in unknown:
        ledger.wrote(tx, connection, object, Written(parked=1))
    if unknown:
        tx.execute(_DOUBT, {"of": ledger.run})


def _look_up_keys(rows: Iterable[Any]) -> dict[str, dict[str, list[Any]]]:
    """Rows by the key they can be found under, then by its value. Without any key a row stays in doubt."""
    found: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.record:
            found["id"][row.record].append(row)
            continue
        match = orjson.loads(row.remote)["match"]
        for name, value in list(match.items())[:1]:
            found[name][str(value)].append(row)
    return found


def _young(row: Any, workspace: Workspace) -> bool:
    """Whether it may still be done. Of thousands that are meant at once the last leaves long after. When it left that
    a process died over nobody knows: it had by the time when that was seen."""
    return not row.sent_at or (workspace.clock.now() - unstamp(row.sent_at)).total_seconds() < DOUBT


def _holds(held: Values, after: Values, pulled: frozenset[str]) -> bool:
    """Whether a record holds what was written, as far as it can be read back."""
    seen = [name for name in after if name in pulled]
    return bool(seen) and all(came_of(after[name], held.get(name)) for name in seen)


_FOUND = (
    select(records.c.body, records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id == bindparam("record"))
)
_ROW = update(journal).where(journal.c.id == bindparam("row"))
_STAYS_OPEN = _ROW.values(state="in_doubt", sent_at=func.coalesce(journal.c.sent_at, bindparam("seen")))
_WITHDRAW = _ROW.values(state="withdrawn", error=bindparam("why"), settled_at=bindparam("at"))


def _judge(tx: Connection, workspace: Workspace, row: Any, found: Any, is_person: bool) -> bool | None:
    """Settle or withdraw one journal row by what was found: True when it had been done, False when not; None while it
    may still be done."""
    at = workspace.now()
    if row.verb in AWAY and (found is None or found.gone is not None):
        adopt(tx, workspace, row, row.record, at)
        return True
    if row.verb == Verb.CREATE and is_person:
        watch(tx, row, at)
    place = {"of": row.connection, "named": row.object}
    known = tx.execute(_FOUND, {**place, "record": found.id}).one_or_none() if found is not None else None
    if row.verb == Verb.CREATE and known is not None:
        if makers.is_anothers(tx, workspace, row, found.id, known):
            found = None  # found by its key, and somebody else's: they came by it since
        elif known.lead is None and row.lead and makers.is_made(tx, workspace, row, found.id, orjson.loads(known.body)):
            tie(tx, stream_for(tx, row.connection, row.object, Kind.LEAD), row, found.id)  # its key may be another's
    if found is None and row.verb == Verb.CREATE and _young(row, workspace):
        tx.execute(_STAYS_OPEN, {"row": row.id, "seen": at})
        return None
    if found is None:
        tx.execute(_WITHDRAW, {"row": row.id, "why": "looked up: not there", "at": at})
        return False
    if not is_person:
        adopt(tx, workspace, row, found.id, at)
        return True
    held = orjson.loads(known.body) if known is not None else {}
    after = orjson.loads(row.after)
    mapped = workspace.mapped(row.connection)[row.object]
    seen = mapped.pulled if mapped.kind is Kind.LEAD else frozenset(mapped.entries)
    done = row.verb not in AWAY and _holds(held, after, seen)
    if done or (row.verb == Verb.CREATE and not _young(row, workspace)):
        adopt(tx, workspace, row, found.id, at)
        if not done:
            ask_about_blanks(tx, workspace, row, found.id)
        return True
    if row.verb in (Verb.CREATE, Verb.UPDATE):  # a person may have changed one of its fields since: the rest is ours
        date(tx, workspace, stream_for(tx, row.connection, row.object, Kind.LEAD), row, found.id)
    # somebody else may have made what was found: our create may still come, and meet it
    if row.verb in (Verb.CREATE, Verb.UPDATE) and _young(row, workspace):
        tx.execute(_STAYS_OPEN, {"row": row.id, "seen": at})
        return None
    if row.verb == Verb.UPDATE:
        ask_about_blanks(tx, workspace, row, found.id)
    tx.execute(_WITHDRAW, {"row": row.id, "why": "looked up: not done", "at": at})
    return False
