"""Outcomes told to ad and analytics platforms, each once.

A row stands for each outcome that a platform is to be told, from the transaction that decided it: `due`, then `sent`,
`refused` (in quarantine, until a person lets it be tried again), or `unsure` (its answer was lost on a platform that
cannot tell a repeat: a person decides whether to count it again). A row is never made twice, so nothing is told twice.
Where two leads became one, another row of the same outcome may stand for it: what was not sent is `merged` with that.
What happened before a platform takes it (`max_age` of its manifest) is history, and is not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, func, select, update

from config.clock import stamp
from connectors.manifest import RemoteObject
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync.core.conversions import OF_LEADS, Event, events
from sync.core.plan import Change, Planned
from sync.core.views import DealView, LeadView
from sync.load import chunks, lead_rows
from sync.state.database import upsert
from sync.state.schema import OPEN_WRITES, conversions, journal, quarantine
from sync.targets import express
from sync.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Taker:
    """An object of a connection that takes conversions."""

    connection: str
    object: str
    mapped: Mapped
    facts: RemoteObject

    def wants(self, lead: LeadView, event: Event, oldest: str) -> bool:
        """Whether the mapping's `create_when` holds for the lead with this event, and the platform still takes it."""
        return event.at >= oldest and self.mapped.creates({**lead.values, **event.values})


def takers(workspace: Workspace, connections: Sequence[str] | None = None) -> list[Taker]:
    """Where conversions go: pushed objects of that kind, of `connections` (all when None)."""
    found = []
    for connection in workspace.connections if connections is None else connections:
        for object, facts in workspace.taking(connection, Kind.CONVERSION):
            mapped = workspace.mapped(connection).get(object)
            if mapped is not None:
                found.append(Taker(connection, object, mapped, facts))
    return found


def record_conversions(
    tx: Connection, workspace: Workspace, decided: Sequence[tuple[LeadView, Sequence[DealView]]], at: str
) -> None:
    """Note what came of the leads just decided and is to be told somewhere."""
    rows = [
        _row(taker, lead, event, at)
        for taker in takers(workspace)
        for lead, deals in decided
        for event in events(lead, deals)
        if taker.wants(lead, event, _oldest(workspace, taker.facts))
    ]
    known = _noted(tx, sorted({row["lead"] for row in rows}))
    if fresh := [row for row in rows if tuple(row[name] for name in _ONCE) not in known]:
        tx.execute(upsert(conversions, tx), fresh)


_ONCE = ("connection", "object", "lead", "event")


def _noted(tx: Connection, ids: Sequence[str]) -> set[tuple[str, ...]]:
    """What is noted of these leads that each has once, perhaps under the name of a lead that became one of them."""
    found: set[tuple[str, ...]] = set()
    for some in chunks(ids):
        mine = conversions.c.lead.in_(some) & conversions.c.event.in_(OF_LEADS)
        found.update(map(tuple, tx.execute(select(*(conversions.c[name] for name in _ONCE)).where(mine))))
    return found


def _oldest(workspace: Workspace, facts: RemoteObject) -> str:
    return stamp(workspace.clock.now() - timedelta(days=facts.max_age)) if facts.max_age else ""


def _row(taker: Taker, lead: LeadView, event: Event, at: str) -> dict[str, Any]:
    return {
        "connection": taker.connection,
        "object": taker.object,
        "event_id": event.id,
        "lead": lead.id,
        "event": event.name,
        "event_at": event.at,
        "value": orjson.dumps(event.value).decode() if event.value is not None else None,
        "reason": event.reason,
        "state": "due",
        "at": at,
    }


def conversions_due(workspace: Workspace, connection: str, unsure: set[tuple[str, str, str]]) -> list[Planned]:
    """The conversions that `connection` has not been told yet, as operations; none of a lead whose last is in doubt."""
    found: list[Planned] = []
    waiting = {(object, lead) for object, _, lead in unsure}  # whatever id its lost answer may have left
    for taker in takers(workspace, [connection]):
        with workspace.state.read() as tx:
            mine = (conversions.c.connection == connection) & (conversions.c.object == taker.object)
            query = select(conversions).where(mine, conversions.c.state == "due").order_by(conversions.c.event_at)
            rows = [row for row in tx.execute(query) if (taker.object, row.lead) not in waiting]
            known = {row.id: orjson.loads(row.body) for row in lead_rows(tx, sorted({row.lead for row in rows}))}
        found.extend(_planned(taker, row, known[row.lead]) for row in rows if row.lead in known)
    return found


def _planned(taker: Taker, row: Any, lead: Values) -> Planned:
    """What the mapping cannot express of the lead is left out; what it cannot express of the event itself, the
    platform refuses, and a person sees it."""
    event = Event(row.event, row.event_id, row.event_at, orjson.loads(row.value) if row.value else None, row.reason)
    remote, known, _ = express(taker.mapped, {**lead, **event.values}, True)
    return Planned(
        connection=taker.connection,
        object=taker.object,
        verb="create",
        lead=row.lead,
        record="",
        changes=tuple(_changes(taker.mapped, known, row.event_at)),
        values={name: value for name, value in remote.items() if value is not None},
        match={"event_id": row.event_id},
        seen=0,
        why=f"outcome: {row.event}",
    )


def _changes(mapped: Mapped, known: Mapping[str, Any], at: str) -> Iterator[Change]:
    for name in ("event", "event_value", "event_reason"):
        if known.get(name) is not None and name in mapped.entries:
            yield Change(name, mapped.entries[name].remote, None, known[name], "the lead's outcome", at)


_TWICE = (
    select(conversions.c.connection, conversions.c.object, conversions.c.event)
    .where(conversions.c.lead == bindparam("of"), conversions.c.event.in_(OF_LEADS), conversions.c.state != "merged")
    .group_by(conversions.c.connection, conversions.c.object, conversions.c.event)
    .having(func.count() > 1)
)
_OPEN = select(journal.c.remote).where(journal.c.lead == bindparam("of"), journal.c.verb == "create", OPEN_WRITES)
_BEST = ("sent", "unsure", "due", "refused")


def tell_once(tx: Connection, lead: str) -> None:
    """Two leads became this one: of an outcome that a lead has once, and that was noted of both, one at most is still
    to be told, and none where one was sent. One that may have been sent goes before those that were not."""
    twice = tx.execute(_TWICE, {"of": lead}).all()
    if not twice:
        return
    doubtful = {orjson.loads(text)["match"].get("event_id") for text in tx.execute(_OPEN, {"of": lead}).scalars()}
    for connection, object, event in twice:
        mine = (conversions.c.connection == connection) & (conversions.c.object == object)
        query = select(conversions).where(mine, conversions.c.lead == lead, conversions.c.event == event)
        noted = tx.execute(query.where(conversions.c.state != "merged").order_by(conversions.c.event_at)).all()
        stays = min(noted, key=lambda row: (_BEST.index(row.state), row.event_id not in doubtful))
        moot = [row.event_id for row in noted if row is not stays and row.state != "sent"]
        tx.execute(update(conversions).where(mine, conversions.c.event_id.in_(moot)).values(state="merged"))
        _close(tx, connection, object, moot)


def told(tx: Connection, connection: str, object: str, ids: Sequence[str], state: str) -> None:
    """The conversions of these event ids are in `state` from now on; what is merged stays so unless it was sent."""
    for some in chunks(ids):
        mine = (conversions.c.connection == connection) & (conversions.c.object == object)
        these = mine & conversions.c.event_id.in_(some)
        may = these if state == "sent" else these & (conversions.c.state != "merged")
        tx.execute(update(conversions).where(may).values(state=state))
        if state == "sent":
            _close(tx, connection, object, some)
        else:
            merged = select(conversions.c.event_id).where(these, conversions.c.state == "merged")
            _close(tx, connection, object, list(tx.execute(merged).scalars()))


def _close(tx: Connection, connection: str, object: str, ids: Sequence[str]) -> None:
    here = (quarantine.c.connection == connection) & (quarantine.c.object == object)
    waiting = quarantine.c.record.in_(ids) & quarantine.c.state.in_(["open", "replaying"])
    tx.execute(update(quarantine).where(here, waiting).values(state="resolved"))


_DUE_AGAIN = (
    update(conversions)
    .where(conversions.c.connection == bindparam("of"), conversions.c.object == bindparam("named"))
    .where(conversions.c.event_id == bindparam("told"), conversions.c.state != "merged")
    .values(state="due")
)


def again(tx: Connection, rows: Sequence[Any]) -> None:
    """The conversions of these quarantine rows are due again."""
    for row in rows:
        tx.execute(_DUE_AGAIN, {"of": row.connection, "named": row.object, "told": row.record})


def forget_conversions(tx: Connection, leads: Sequence[str]) -> None:
    """Nothing is left of what was told of these leads."""
    tx.execute(delete(conversions).where(conversions.c.lead.in_(leads)))


def count_due(tx: Connection) -> int:
    """How many conversions are still to be told."""
    query = select(func.count()).select_from(conversions).where(conversions.c.state == "due")
    return int(tx.execute(query).scalar() or 0)
