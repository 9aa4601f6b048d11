"""What a write of unknown fate may have left behind, beyond what looking it up tells.

A create that comes late meets one of several records of the person, and the look-up finds another: what it wrote then
looks like somebody's edit of just now. So creates that were in doubt are watched for a while: a value of theirs that
turns up at the person's counts from when it was meant to. And where a value was written in doubt and a blank stands
now, nobody can tell a write that was never done, or not taken whole, from a value that somebody took out: that is
asked, at the record that was found and at any other one of the lead that bears its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, exists, literal_column, select, update

from config.clock import stamp, unstamp
from connectors.api import Verb
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync.core.addresses import MAIN
from sync.core.echo import came_of, later
from sync.ledger import Ledger
from sync.load import chunks
from sync.parked import IN_DOUBT
from sync.state.database import NOTE, upsert
from sync.state.schema import OPEN_WRITES, journal, leads, meta, records, runs, streams
from sync.timekeeping import theirs
from sync.withheld import contest, note
from sync.workspace import Workspace

WATCH = 3600.0
"""Seconds for which a create that was in doubt is watched: longer than any index lags."""
FRESH = timedelta(minutes=1)
"""For so long nobody looks again whether a create was done that was found undone."""

_VERSIONS = (
    select(records.c.id, records.c.version)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id.in_(bindparam("some", expanding=True)))
)
_TWINS = (
    select(records.c.stream, records.c.id, records.c.body, records.c.changed, records.c.held, records.c.first_at)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.kind == Kind.LEAD.value)
    .where(records.c.lead == bindparam("who"))  # wherever it is by now: a lead may have been converted before we looked
)
_GIVEN = (
    select(journal.c.record, journal.c.after, journal.c.verb)
    .where(journal.c.lead == bindparam("who"), journal.c.connection == bindparam("of"))
    .where(journal.c.id > bindparam("row"), journal.c.state == "settled")
    .order_by(journal.c.id)
)


def versions(tx: Connection, connection: str, object: str, ids: list[str]) -> dict[str, str]:
    """The versions in which these records are known."""
    found: dict[str, str] = {}
    for some in chunks(ids):
        rows = tx.execute(_VERSIONS, {"of": connection, "named": object, "some": some}).all()
        found.update((row.id, row.version) for row in rows)
    return found


# what a pull has brought of writes that nobody could look up yet


_OPEN = select(journal).where(journal.c.connection == bindparam("of"), OPEN_WRITES, journal.c.lead.is_not(None))
_THERE = (
    select(records.c.body, records.c.version)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
)
_NAMED = _THERE.where(records.c.id == bindparam("id"))
_ITS = _THERE.where(records.c.lead == bindparam("who"), records.c.gone.is_(None))


def brought(tx: Connection, connection: str) -> set[str]:
    """The leads of writes of unknown fate at `connection` of which a pull may have brought what they did: until they
    are looked up it passes for a person's edit."""
    return {row.lead for row in tx.execute(_OPEN, {"of": connection}).all() if _is_brought(tx, row)}


def _is_brought(tx: Connection, row: Any) -> bool:
    place = {"of": row.connection, "named": row.object}
    if row.verb != Verb.UPDATE:
        return tx.execute(_ITS, {**place, "who": row.lead}).first() is not None
    known = tx.execute(_NAMED, {**place, "id": row.record}).one_or_none()
    if known is None:
        return False
    if known.version != orjson.loads(row.remote).get("version"):
        return True
    before, after, body = orjson.loads(row.before), orjson.loads(row.after), orjson.loads(known.body)
    return any(body.get(name) != before.get(name) and came_of(after[name], body.get(name)) for name in after)


# late creates


def _name(connection: str) -> str:
    return f"watched:{connection}"


def _watched(tx: Connection, connection: str) -> dict[str, str]:
    told = tx.execute(NOTE, {"of": _name(connection)}).scalar()
    return dict(orjson.loads(told)) if told else {}


def watch(tx: Connection, row: Any, at: str) -> None:
    """Watch this create from now on: by its name, which it keeps when it is not found, and is sent again."""
    found = {**_watched(tx, row.connection), row.op: at}
    _store(tx, row.connection, found)


def _store(tx: Connection, connection: str, found: dict[str, str]) -> None:
    if found:
        row = {"name": _name(connection), "value": orjson.dumps(found).decode()}
        tx.execute(upsert(meta, tx, update=["value"]), [row])
    else:
        tx.execute(delete(meta).where(meta.c.name == _name(connection)))


_NOTED = select(meta.c.name, meta.c.value).where(meta.c.name.like(literal_column("'watched:%'")))


def watched(tx: Connection, connections: Sequence[str]) -> list[str]:
    """Those of `connections` on which creates are watched."""
    found = set(tx.execute(_NOTED).scalars())
    return [connection for connection in connections if _name(connection) in found]


def watched_creates(tx: Connection) -> Iterable[Sequence[str]]:
    """The names of the creates that are watched on all connections, in chunks."""
    return chunks(sorted({op for row in tx.execute(_NOTED).all() for op in orjson.loads(row.value)}))


_STANDS = (
    exists()
    .where(records.c.lead == journal.c.lead, records.c.gone.is_(None))
    .where(streams.c.id == records.c.stream, streams.c.connection == journal.c.connection)
)
_BEGUN = select(runs.c.started_at).where(runs.c.id == bindparam("run")).scalar_subquery()
_UNMADE = (
    select(journal)
    .join(leads, leads.c.id == journal.c.lead)
    .join(streams, (streams.c.connection == journal.c.connection) & (streams.c.object == journal.c.object))
    .where(journal.c.op.in_(bindparam("some", expanding=True)), journal.c.state == "withdrawn")
    .where(streams.c.kind == Kind.LEAD.value, leads.c.state == "live", ~_STANDS)
    .where((journal.c.settled_at < _BEGUN) | (journal.c.settled_at < bindparam("before")))
    .order_by(journal.c.id)
)


def unmade(tx: Connection, connection: str, run: str, now: datetime) -> list[Any]:
    """The watched creates that were found undone before `run` began, or over a minute ago in an attempt of it that was
    cut off, of people who have no record there."""
    found, place = sorted(_watched(tx, connection)), {"run": run, "before": stamp(now - FRESH)}
    return [row for some in chunks(found) for row in tx.execute(_UNMADE, {"some": some, **place})]


_MEANT = select(journal).where(journal.c.op.in_(bindparam("some", expanding=True)))


def date_late(workspace: Workspace, connection: str, ledger: Ledger) -> None:
    """Values that watched creates wrote to other records of their person count from when they were meant to; blanks
    that stand in their place are asked about."""
    now = workspace.clock.now()
    with workspace.state.begin() as tx:
        ledger.enter(tx)
        found = _watched(tx, connection)
        for some in chunks(sorted(found)):
            for row in tx.execute(_MEANT, {"some": some}).all():
                _date_twins(tx, row, workspace)
        _store(tx, connection, {op: at for op, at in found.items() if (now - unstamp(at)).total_seconds() < WATCH})


def _date_twins(tx: Connection, row: Any, workspace: Workspace) -> None:
    place = {"of": row.connection, "who": row.lead}
    twins = tx.execute(_TWINS, place).all()
    given: dict[str, Values] = {}
    others: set[str] = set()  # made by creates that came after
    for record, after, verb in tx.execute(_GIVEN, {**place, "row": row.id}).all() if twins else ():
        given.setdefault(record, {}).update(orjson.loads(after))
        others.update([record] if verb == Verb.CREATE else ())
    unheard = [orjson.loads(one.after) for one in _undone(tx, [row.lead])] if twins else []
    mapped = workspace.mapped(row.connection).get(row.object)
    for twin in twins:
        changed: dict[str, str] = orjson.loads(twin.changed) if twin.changed else {}
        body: Values = but_met_by(mapped, orjson.loads(twin.body), changed)
        meant = {n: after[n] for after in unheard for n in after if n in body and came_of(after[n], body[n])}
        dated = as_meant(row, body, changed, twin.first_at, {**meant, **given.get(twin.id, {})})
        if twin.id not in others:
            let_go(tx, row, body, changed)
        held: dict[str, list[Any]] = orjson.loads(twin.held) if twin.held else {}
        known = rewritten(row, body) | held
        if dated != changed or known != held:
            mine = (records.c.stream == twin.stream) & (records.c.id == twin.id)
            kept = orjson.dumps(known).decode() if known else None
            tx.execute(update(records).where(mine).values(changed=orjson.dumps(dated).decode(), held=kept))
            tx.execute(update(leads).where(leads.c.id == row.lead, leads.c.state == "live").values(dirty=1))
        if mapped is not None and bears_name(row, body):
            ask_about_blanks(tx, workspace, row, twin.id, once=True)


def but_met_by(mapped: Mapped | None, body: Values, changed: dict[str, str]) -> Values:
    """`body` without what a create cannot have written there: whom it meets by an address has that before. One that
    came to the record later is a person's word."""
    keys = {MAIN} if mapped is not None and mapped.match == (MAIN,) else set()
    return {name: value for name, value in body.items() if not (name in keys and name in changed)}


def bears_name(row: Any, body: Values) -> bool:
    """Whether a record bears the name of the lead that the create was to give it, which nobody else gives."""
    name = orjson.loads(row.after).get("closedloop_id")
    return name is not None and name == body.get("closedloop_id")


_LET_GO = update(journal).where(journal.c.id == bindparam("row")).values(times=bindparam("kept"))


def let_go(tx: Connection, row: Any, body: Values, changed: dict[str, str]) -> None:
    """A create gives the record that it makes its values once: where another stands there by now, the value that comes
    after it is no more the create's, even if it is the same."""
    if row.verb != Verb.CREATE or not _is_made(row, body, changed):
        return
    after: Values = orjson.loads(row.after)
    times: dict[str, list[str]] = orjson.loads(row.times or "{}")
    over = {n for n in times if body.get(n) not in (None, []) and not came_of(after.get(n), body[n])}
    if over:
        kept = {name: at for name, at in times.items() if name not in over}
        tx.execute(_LET_GO, {"row": row.id, "kept": orjson.dumps(kept).decode()})


def _is_made(row: Any, body: Values, changed: dict[str, str]) -> bool:
    """Whether the create made this record: it has borne the lead's name from the first."""
    return bears_name(row, body) and "closedloop_id" not in changed


def rewritten(row: Any, body: Values) -> dict[str, list[Any]]:
    """The values of a record that are what its platform made of those that the create meant, with what it meant."""
    after: Values = orjson.loads(row.after)
    return {
        name: [sent, body[name]]
        for name, sent in after.items()
        if name in body and sent != body[name] and came_of(sent, body[name])
    }


def as_meant(row: Any, body: Values, changed: dict[str, str], first_at: str, given: Values) -> dict[str, str]:
    """`changed` of a record, where its values that the create meant are newer than the create, or where what somebody
    put in their place, on a record that bears the lead's name, is older. What we have `given` it since is nobody's."""
    after: Values = orjson.loads(row.after)
    dated, ours = dict(changed), bears_name(row, body)
    for name, (_, at) in orjson.loads(row.times or "{}").items():
        if not at or name not in body:
            continue
        if name in given and not came_of(after.get(name), given[name]) and _is_made(row, body, changed):
            continue  # we have replaced there what the create gave
        since = dated.get(name, first_at)
        if came_of(after.get(name), body[name]):
            dated.update({name: at} if since > at else {})
        elif name in given and came_of(given[name], body[name]):
            continue
        elif ours and body[name] not in (None, []) and since <= at:
            dated[name] = later(since, at)
    return dated


# creates that were found undone, and were not


_UNHEARD = select(journal).where(
    journal.c.lead.in_(bindparam("some", expanding=True)),
    journal.c.verb == Verb.CREATE.value,
    journal.c.state == "withdrawn",
    journal.c.sent_at.is_not(None),
)
_RECORD = select(records.c.body, records.c.changed, records.c.first_at).where(
    records.c.stream == bindparam("of"), records.c.id == bindparam("named")
)


def date_unheard(tx: Connection, found: Sequence[tuple[int, str, str]]) -> None:
    """Records (stream, id, lead) seen for the first time that bear their lead's name were made by creates of ours, some
    of which were found undone: the record had been put away before anybody looked, and is back. What it holds as such a
    create meant it counts from then, and is nobody's news."""
    meant: dict[str, list[Any]] = defaultdict(list)
    for row in _undone(tx, {lead for _, _, lead in found}):
        meant[row.lead].append(row)
    for stream, id, lead in found:
        for row in meant.get(lead, ()):
            _date_back(tx, row, stream, id)


def meant_undone(tx: Connection, lead: str, body: Values) -> dict[str, str]:
    """The fields of a record of the lead that hold what a create of ours meant that was found undone, and since when
    that counts."""
    found: dict[str, str] = {}
    for row in _undone(tx, [lead]):
        found.update(_as_given(row, body))
    return found


def _as_given(row: Any, body: Values) -> dict[str, str]:
    """The fields of a record that hold what the create meant, and since when that counts."""
    after: Values = orjson.loads(row.after)
    times: dict[str, list[str]] = orjson.loads(row.times or "{}")
    return {name: at for name, (_, at) in times.items() if at and name in body and came_of(after.get(name), body[name])}


def _undone(tx: Connection, ids: Iterable[str]) -> list[Any]:
    """The creates of these leads that had left, and were found undone."""
    return [row for some in chunks(sorted(set(ids))) for row in tx.execute(_UNHEARD, {"some": some}).all()]


def _date_back(tx: Connection, row: Any, stream: int, id: str) -> None:
    known = tx.execute(_RECORD, {"of": stream, "named": id}).one()
    changed: dict[str, str] = orjson.loads(known.changed) if known.changed else {}
    given = _as_given(row, orjson.loads(known.body))
    ours = {name: at for name, at in given.items() if changed.get(name, known.first_at) > at}
    if ours:
        mine = (records.c.stream == stream) & (records.c.id == id)
        tx.execute(update(records).where(mine).values(changed=orjson.dumps({**changed, **ours}).decode()))


# blanks


_STANDING = (
    select(records.c.stream, records.c.body, records.c.changed, records.c.version, records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id == bindparam("id"))
)


def ask_about_blanks(tx: Connection, workspace: Workspace, row: Any, record_id: str, *, once: bool = False) -> None:
    """Ask about the fields that the write, whose fate is not known, may have filled, and that are blank now; `once`:
    those of which nothing was heard or asked yet."""
    known = tx.execute(_STANDING, {"of": row.connection, "named": row.object, "id": record_id}).one_or_none()
    before = orjson.loads(row.remote).get("version")
    if known is None or not row.lead or (before is not None and before == known.version):
        return  # untouched since: it was not done
    heard: dict[str, str] = orjson.loads(known.changed) if known.changed else {}
    mapped = workspace.mapped(row.connection)[row.object]
    silent = mapped.silent_since(theirs(workspace, row.connection, row.created_at))
    silent |= heard.keys() if once else set()
    names = [name for name in _emptied(row, orjson.loads(known.body), mapped) if name not in silent]
    if not names:
        return
    at = workspace.now()
    changed = {**heard, **dict.fromkeys(names, known.version or at)}
    place = (records.c.stream == known.stream) & (records.c.id == record_id)
    tx.execute(update(records).where(place).values(changed=orjson.dumps(changed).decode()))
    note(tx, at)
    contest(tx, [(row.lead, name) for name in names], at, why=IN_DOUBT)


def _emptied(row: Any, body: Values, mapped: Mapped) -> list[str]:
    after: Values = orjson.loads(row.after)
    before: Values = orjson.loads(row.before)
    return [
        name
        for name, value in after.items()
        if value not in (None, [])
        and name in mapped.pulled
        and mapped.on_blank.get(name) == "clear"
        and body.get(name, "") in (None, [])
        and before.get(name) in (None, [])
    ]
