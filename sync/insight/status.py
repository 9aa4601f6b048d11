"""How the sync is doing: connections, streams, runs, and what waits for whom."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from config.errors import ClosedloopError
from sync.conversions import count_due
from sync.drift import frozen
from sync.hints import last_arrivals, pending_of_all
from sync.state.schema import (
    activities,
    conflicts,
    connections,
    handoffs,
    journal,
    leads,
    quarantine,
    records,
    runs,
    streams,
)
from sync.workspace import Workspace


def status(tx: Connection, runs_shown: int = 5) -> dict[str, Any]:
    """The whole picture, as JSON."""
    return {
        "leads": _leads(tx),
        "connections": _connections(tx),
        "runs": _runs(tx, runs_shown),
        "quarantine": _counts(tx, quarantine, quarantine.c.state == "open", quarantine.c.connection, quarantine.c.code),
        "parked": _counts(tx, conflicts, conflicts.c.state == "open", conflicts.c.kind, conflicts.c.connection),
        "in_doubt": _counts(
            tx, journal, journal.c.state.in_(["sent", "in_doubt"]), journal.c.connection, journal.c.object
        ),
        "frozen": _frozen(tx),
        "webhooks": _webhooks(tx),
        "conversions_due": count_due(tx),
        "briefs_due": _briefs(tx, "due"),
        "briefs_withdrawn": _briefs(tx, "withdrawn"),
    }


def _briefs(tx: Connection, state: str) -> int:
    query = select(func.count()).select_from(handoffs).where(handoffs.c.brief_state == state)
    return int(tx.execute(query).scalar() or 0)


def quotas(workspace: Workspace) -> list[dict[str, str]]:
    """What each platform says now of the calls that are left, or why it says nothing."""
    found = []
    for name in workspace.connections:
        try:
            health = workspace.connector(name).check()
            told = "; ".join(f"{q.used} of {q.limit} calls used per {q.window}" for q in health.quotas)
            found.append({"connection": name, "told": told or "reachable; it tells no quota"})
        except ClosedloopError as error:
            found.append({"connection": name, "told": str(error)})
    return found


def _webhooks(tx: Connection) -> list[dict[str, Any]]:
    """When each connection's last webhook came, and how many records are still to be read on the word of one."""
    waiting, last = pending_of_all(tx), last_arrivals(tx)
    return [
        {"connection": name, "last_at": last.get(name), "pending": waiting.get(name, 0)}
        for name in sorted({*waiting, *last})
    ]


def _frozen(tx: Connection) -> list[dict[str, str]]:
    """Mapped fields that an account has no longer."""
    names = select(connections.c.name)
    found = frozen(tx, set(tx.execute(names).scalars()))
    return [
        {"connection": connection, "object": object, "fields": ", ".join(fields)}
        for connection, objects in sorted(found.items())
        for object, fields in sorted(objects.items())
    ]


def _leads(tx: Connection) -> dict[str, int]:
    live = leads.c.state == "live"
    query = select(
        func.count(),
        func.count(leads.c.qualified_at),
        func.count(leads.c.handed_off_at),
        func.count().filter(leads.c.dirty == 1),
        func.count().filter(leads.c.dirty == 2),
    ).where(live)
    names = ("live", "qualified", "handed_off", "to_merge", "to_write")
    return dict(zip(names, map(int, tx.execute(query).one()), strict=True))


def _connections(tx: Connection) -> list[dict[str, Any]]:
    live = select(records.c.stream, func.count()).where(records.c.gone.is_(None)).group_by(records.c.stream)
    done = select(activities.c.stream, func.count()).group_by(activities.c.stream)
    counted: dict[int, int] = {int(row[0]): int(row[1]) for query in (live, done) for row in tx.execute(query)}
    found = []
    for row in tx.execute(select(connections).order_by(connections.c.name)):
        mine = tx.execute(select(streams).where(streams.c.connection == row.name).order_by(streams.c.id))
        objects = [
            {
                "object": stream.object,
                "kind": stream.kind,
                "records": counted.get(stream.id, 0),
                "complete": bool(stream.complete),
                "pulled_at": stream.pulled_at,
            }
            for stream in mine
        ]
        found.append(
            {
                "connection": row.name,
                "platform": row.platform,
                "account": row.account_name,
                "account_id": row.account_id,
                "approved_at": row.approved_at,
                "objects": objects,
            }
        )
    return found


def _runs(tx: Connection, shown: int) -> list[dict[str, Any]]:
    query = select(runs).order_by(runs.c.started_at.desc()).limit(shown)
    return [
        {
            "run": row.id,
            "command": row.command,
            "connections": orjson.loads(row.connections),
            "state": row.state,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "counts": orjson.loads(row.counts),
            "error": row.error,
        }
        for row in tx.execute(query)
    ]


def _counts(tx: Connection, table: Any, condition: Any, *columns: Any) -> list[dict[str, Any]]:
    query = select(*columns, func.count().label("number")).select_from(table).where(condition).group_by(*columns)
    return [
        {str(name): value for name, value in row.items()} for row in tx.execute(query.order_by(*columns)).mappings()
    ]
