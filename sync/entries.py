"""Entries of quarantine: what was refused or left out, where, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection

from sync.state.database import upsert
from sync.state.schema import quarantine

PLACE = ["direction", "connection", "object", "record", "lead", "field"]
"""What an entry is known by: there is one of each."""
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
