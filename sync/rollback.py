"""A platform that was rolled back: a sandbox refreshed, a CRM restored from its backup.

Its records are told older than they are known, and those made since are not there any more. That is no person's edit:
nothing of it is taken in, and a run that meets it writes nothing anywhere until a person says which way it is to go.
ACCEPT: the platform is right, and its older values count from now. PUT_BACK: what it lost is written to it again.
Consents and stages are put back in either case: they tighten and go forward only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, func, select, update

from config.clock import stamp
from config.errors import PermissionMissing
from connectors.api import Gone
from mappings.model import Field, Kind, Rule
from sync.arrivals import LAGS, Back, went_back
from sync.load import chunks, record_views
from sync.state.database import upsert
from sync.state.schema import conflicts, leads, records, streams
from sync.workspace import Workspace

ACCEPT, PUT_BACK = "accept", "put-back"
WAYS = (ACCEPT, PUT_BACK)
PROBED = 20
"""Records that are looked at now and then: the newest of those that every index shows by now."""
_WHY = "rolled_back"
_LASTING = (Rule.MOST_RESTRICTIVE, Rule.FURTHEST)


def back(fields: Iterable[Field], way: str) -> Back | None:
    """How older records are taken in; None where nobody has said."""
    if way not in WAYS:
        return None
    lasting = frozenset(known.name for known in fields if known.rule in _LASTING)
    return Back(anew=way == ACCEPT, kept=lasting if way == ACCEPT else None)


def why(object: str, older: int, known: int) -> str:
    """Why the connection is held, for a person."""
    return f"{object}: {older:,} of {known:,} records came back older than they were: the account looks rolled back"


def fix(connection: str) -> str:
    """What is to be done about it."""
    return (
        f"Nothing is written anywhere until you say which way: `closedloop backfill {connection} --rolled-back accept` "
        "takes the account for what it shows now, `--rolled-back put-back` writes to it again what it lost."
    )


# looking now and then


_NEWEST = (
    select(records.c.id, records.c.version)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.gone.is_(None), records.c.version != "", records.c.version < bindparam("until"))
    .order_by(records.c.version.desc())
    .limit(PROBED)
)


def looks_rolled_back(workspace: Workspace, connection: str, object: str) -> bool:
    """Whether most of the newest records that are known are gone, or told older than they are known. A pull of news
    would not tell: their times have gone back, too."""
    mapped = workspace.mapped(connection)[object]
    if mapped.kind is not Kind.LEAD:
        return False
    until = stamp(workspace.clock.now() - LAGS)
    with workspace.state.read() as tx:
        known: dict[str, str] = dict(tx.execute(_NEWEST, {"of": connection, "named": object, "until": until}).all())
    if not known:
        return False
    try:
        found = workspace.connector(connection).read(object, "id", sorted(known), mapped.remote_fields)
    except PermissionMissing:  # pulling will tell
        return False
    lost = [id for id, version in known.items() if id not in found or went_back(found[id].version, version)]
    return len(lost) * 2 > len(known)


# what a person said


_BODIES = select(leads.c.id, leads.c.body).where(leads.c.id.in_(bindparam("some", expanding=True)))
_KEY = ["kind", "connection", "object", "record", "lead", "field"]
_DECIDED = ["options", "state", "decision", "last_at", "why"]


def keep(tx: Connection, workspace: Workspace, lost: Sequence[tuple[str, str]], at: str) -> None:
    """The leads keep the values that a platform lost, by (lead, field), until somebody says something new of them."""
    ids = sorted({lead for lead, _ in lost})
    views = record_views(tx, workspace, ids)
    bodies: dict[str, Any] = {}
    for some in chunks(ids):
        bodies.update({row.id: orjson.loads(row.body) for row in tx.execute(_BODIES, {"some": some})})
    rows = []
    for lead, name in sorted(set(lost)):
        if name not in bodies.get(lead, {}):
            continue
        heard = [[view.name, view.body.get(name)] for view in views[lead]]
        decision = {"value": bodies[lead][name], "at": at, "source": "", "always": False, "heard": heard}
        rows.append(_decided(lead, name, decision, at))
    if rows:
        tx.execute(upsert(conflicts, tx, key=_KEY, update=_DECIDED), rows)
        for some in chunks(ids):
            tx.execute(update(leads).where(leads.c.id.in_(some), leads.c.state == "live").values(dirty=1))


def _decided(lead: str, name: str, decision: dict[str, Any], at: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(("connection", "object", "record"), ""),
        "kind": "field",
        "lead": lead,
        "field": name,
        "options": "[]",
        "state": "decided",
        "decision": orjson.dumps(decision).decode(),
        "first_at": at,
        "last_at": at,
        "why": _WHY,
    }


# what is not there any more


_LIVE = (
    select(records.c.stream, records.c.id, records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.gone.is_(None))
    .order_by(records.c.id)
)
_STANDING = (
    select(records.c.lead, func.count())
    .where(records.c.lead.in_(bindparam("some", expanding=True)), records.c.gone.is_(None))
    .group_by(records.c.lead)
)


def missing(workspace: Workspace, connection: str, object: str) -> list[Any]:
    """The people's records known to live that are not there any more, asked for one by one: what a listing leaves out
    is not taken for gone. Raises what a connector raises."""
    mapped = workspace.mapped(connection)[object]
    if mapped.kind is not Kind.LEAD:
        return []
    with workspace.state.read() as tx:
        known = tx.execute(_LIVE, {"of": connection, "named": object}).all()
    found: set[str] = set()
    for some in chunks([row.id for row in known]):
        found.update(workspace.connector(connection).read(object, "id", some, mapped.remote_fields))
    return [row for row in known if row.id not in found]


def let_go(tx: Connection, lost: Sequence[Any], way: str) -> int:
    """Records that are not there any more count as deleted; to be put back they are as if they had never been, so that
    they are made again, where their person stands elsewhere. How many were let go so."""
    for some in chunks(lost):
        elsewhere = _elsewhere(tx, some) if way == PUT_BACK else set()
        for row in some:
            mine = (records.c.stream == row.stream) & (records.c.id == row.id)
            if row.lead in elsewhere:
                tx.execute(delete(records).where(mine))
            else:
                tx.execute(update(records).where(mine).values(gone=Gone.DELETED.value, raw_hash=0, dirty=True))
        ids = [row.lead for row in some if row.lead]
        tx.execute(update(leads).where(leads.c.id.in_(ids), leads.c.state == "live").values(dirty=1))
    return len(lost)


def _elsewhere(tx: Connection, lost: Sequence[Any]) -> set[str]:
    """The leads of these records that stand on others, too."""
    mine: dict[str, int] = {}
    for row in lost:
        if row.lead:
            mine[row.lead] = mine.get(row.lead, 0) + 1
    standing = tx.execute(_STANDING, {"some": sorted(mine)}).all()
    return {lead for lead, number in standing if number > mine[lead]}
