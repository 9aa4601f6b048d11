"""Questions for a person are left here, and taken back where they have answered themselves (`sync.conflicts` asks)."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from sync.state.database import upsert
from sync.state.schema import conflicts, leads, records, runs, streams

RESTORED = "restored"
"""In `conflicts.why`: asked because an older state may not decide it by itself."""
IN_DOUBT = "in_doubt"
"""Asked because the fate of a write is not known, and a blank where it wrote may be a person's."""
OLDER = "older"
"""Asked because a record is told older than it is known: an edit, or something lost."""
ROLLED_BACK = "rolled_back"
"""Decided by what a person said of a platform that was rolled back."""


def park(
    tx: Connection,
    *,
    kind: str,
    at: str,
    options: list[Any],
    connection: str = "",
    object: str = "",
    record: str = "",
    lead: str = "",
    field: str = "",
    why: str = "",
) -> None:
    """Leave a question for a person; asking it again only renews it."""
    row = {
        "kind": kind,
        "connection": connection,
        "object": object,
        "record": record,
        "lead": lead,
        "field": field,
        "options": orjson.dumps(options).decode(),
        "state": "open",
        "first_at": at,
        "last_at": at,
        "why": why,
    }
    renewed = ["options", "last_at", *(["why", "state"] if why else [])]
    tx.execute(upsert(conflicts, tx, key=_QUESTION, update=renewed), [row])
    if kind == "match":
        tx.execute(_ASK_AGAIN, {"of_connection": connection, "of_object": object, "of_record": record})


_ASK_AGAIN = (
    update(conflicts)
    .where(conflicts.c.kind == "match", conflicts.c.state == "closed")
    .where(*(conflicts.c[name] == bindparam(f"of_{name}") for name in ("connection", "object", "record")))
    .values(state="open")
)
_QUESTION = ["kind", "connection", "object", "record", "lead", "field"]


_ASKED = (
    select(conflicts.c.id)
    .where(conflicts.c.state == "open")
    .where(conflicts.c.last_at >= select(runs.c.started_at).where(runs.c.id == bindparam("run")).scalar_subquery())
    .limit(1)
)


def asks(tx: Connection, run: str) -> bool:
    """Whether the run asked a person anything, or asked it again, that is open still."""
    return tx.execute(_ASKED, {"run": run}).first() is not None


def _as_of_now(tx: Connection, lead: str) -> str:
    """The lead that `lead` has become."""
    while into := tx.execute(select(leads.c.into).where(leads.c.id == lead)).scalar():
        lead = into
    return lead


def answer_moot(tx: Connection, keep: str, lose: str, at: str) -> None:
    """What asks about leads that are all one by now is asked no more."""
    mine = (conflicts.c.kind == "match") & (conflicts.c.state == "open") & conflicts.c.options.contains(lose)
    for row in tx.execute(select(conflicts).where(mine)).all():
        if {_as_of_now(tx, option["lead"]) for option in orjson.loads(row.options)} != {keep}:
            continue
        close_match(tx, row.connection, row.object, row.record, at)


def close_match(tx: Connection, connection: str, object: str, record: str, at: str) -> None:
    """Whose this record is, or who shares its keys, is asked no more. If it is nobody's until now it is linked anew."""
    asked = (conflicts.c.kind == "match") & (conflicts.c.state == "open") & (conflicts.c.connection == connection)
    asked &= (conflicts.c.object == object) & (conflicts.c.record == record)
    tx.execute(update(conflicts).where(asked).values(state="closed", last_at=at))
    place = (streams.c.connection == connection) & (streams.c.object == object)
    of = select(streams.c.id).where(place).scalar_subquery()
    nobodys = (records.c.stream == of) & (records.c.id == record) & records.c.lead.is_(None)
    tx.execute(update(records).where(nobodys).values(dirty=True))
