"""Entries of quarantine: what was refused or left out, where, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, delete, select, update

from sync.state.database import upsert
from sync.state.schema import quarantine, records, streams

PLACE = ["direction", "connection", "object", "record", "lead", "field"]
"""What an entry is known by: there is one of each."""
OPEN = ("open", "replaying")
_RENEWED = ["run", "code", "reason", "fix", "fingerprint", "state", "last_at"]


def entry(
    run: str,
    at: str,
    place: tuple[str, str, str, str, str],
    *,
    code: str,
    reason: str,
    fix: str,
    fingerprint: str = "",
    direction: Literal["pull", "push"] = "push",
) -> dict[str, Any]:
    """An open entry. `place` is (connection, object, record, lead, field); `fingerprint` is of the value refused."""
    connection, object, record, lead, field = place
    return {
        "run": run,
        "direction": direction,
        "connection": connection,
        "object": object,
        "record": record,
        "lead": lead,
        "field": field,
        "code": code,
        "reason": reason,
        "fix": fix,
        "fingerprint": fingerprint,
        "state": "open",
        "attempts": 1,
        "first_at": at,
        "last_at": at,
    }


def quarantine_rows(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put entries into quarantine; one already there is renewed and counts one attempt more."""
    tx.execute(upsert(quarantine, tx, key=PLACE, update=_RENEWED, add=["attempts"]), list(rows))


def pass_on(tx: Connection, keep: str, lose: str, at: str) -> None:
    """Two leads became one, their records included: what is told of `lose` is told of `keep`. Of two entries of one
    place one stays open; and nobody is to be made any more where they stand by now."""
    told = tx.execute(select(quarantine).where(quarantine.c.lead.in_([keep, lose]))).all()
    theirs = {_place(row): row for row in told if row.lead == keep}
    for row in told:
        known = theirs.get(_place(row))
        if row.lead == keep:
            continue
        if known is not None and (known.state in OPEN or row.state not in OPEN):
            _resolve(tx, [row.id], at)
            continue
        if known is not None:  # as where an entry is renewed
            tx.execute(delete(quarantine).where(quarantine.c.id == known.id))
        tx.execute(update(quarantine).where(quarantine.c.id == row.id).values(lead=keep))
    _resolve(tx, _made(tx, keep), at)


def _place(row: Any) -> tuple[str, ...]:
    """Where an entry is, whoever's it is."""
    return tuple(getattr(row, name) for name in PLACE if name != "lead")


def _resolve(tx: Connection, ids: Sequence[int], at: str) -> None:
    still = quarantine.c.id.in_(ids) & quarantine.c.state.in_(OPEN)
    tx.execute(update(quarantine).where(still).values(state="resolved", last_at=at))


def _made(tx: Connection, lead: str) -> Sequence[int]:
    """The entries of records that were to be made of a lead which has one of that object."""
    stands = select(records.c.id).join(streams, streams.c.id == records.c.stream)
    stands = stands.where(records.c.lead == lead, records.c.gone.is_(None))
    here = stands.where(streams.c.connection == quarantine.c.connection, streams.c.object == quarantine.c.object)
    mine = (quarantine.c.lead == lead) & (quarantine.c.record == "") & (quarantine.c.direction == "push")
    return list(tx.execute(select(quarantine.c.id).where(mine, here.exists())).scalars())
