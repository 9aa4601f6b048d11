"""Probable duplicates among the leads: found by `sync.core.duplicates`, judged by a person, for good.

What a person keeps apart is stored as a pair of leads. A lead that became another since stands for that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from config.errors import Misconfigured
from sync.core.duplicates import Pair, Similarity, pairs, person
from sync.insight.explain import find
from sync.state.database import upsert
from sync.state.schema import conflicts, leads, strangers
from sync.unite import unite
from sync.workspace import Workspace


def similarity() -> Similarity | None:
    """How alike two names are, by rapidfuzz; None where it is not installed."""
    try:
        from rapidfuzz.fuzz import token_sort_ratio
    except ImportError:
        return None
    return lambda one, other: float(token_sort_ratio(one, other))


def listed(tx: Connection) -> list[dict[str, Any]]:
    """The probable duplicates that nobody has judged yet, the most probable first, with their evidence."""
    query = select(leads.c.id, leads.c.body).where(leads.c.state == "live").order_by(leads.c.id)
    people = (person(id, orjson.loads(body)) for id, body in tx.execute(query))
    apart = _apart(tx)
    found = [pair for pair in pairs(people, similarity()) if (pair.one, pair.other) not in apart]
    return [_shown(pair) for pair in found]


def _shown(pair: Pair) -> dict[str, Any]:
    evidence = [{"kind": kind, "value": value} for kind, value in pair.evidence]
    return {"leads": [pair.one, pair.other], "score": pair.score, "evidence": evidence}


def link(tx: Connection, workspace: Workspace, one: str, other: str) -> str:
    """Make two leads one, as a merge on a platform does; the lead that stays. The other's name leads to it."""
    keep, lose = _two(tx, one, other)
    unite(tx, keep, lose, workspace.now())
    tx.execute(delete(strangers).where(strangers.c.one == keep, strangers.c.other == lose))
    return keep


def dismiss(tx: Connection, workspace: Workspace, one: str, other: str) -> tuple[str, str]:
    """The two are not one person, and are not asked about again."""
    first, second = _two(tx, one, other)
    tx.execute(upsert(strangers, tx, update=["at"]), [{"one": first, "other": second, "at": workspace.now()}])
    return first, second


def _two(tx: Connection, one: str, other: str) -> tuple[str, str]:
    found = []
    for who in (one, other):
        lead = find(tx, who)
        if lead is None:
            raise Misconfigured(f"There is no lead {who}.", fix="`closedloop duplicates list` names them.")
        found.append(lead)
    first, second = sorted(found)
    if first == second:
        raise Misconfigured(f"Both are lead {first} already.", fix="There is nothing to be done.")
    return first, second


def _apart(tx: Connection) -> set[tuple[str, str]]:
    """The pairs that a person has kept apart: here, or by cutting a link or answering a question."""
    moved = {row.id: row.into for row in tx.execute(select(leads.c.id, leads.c.into).where(leads.c.into.is_not(None)))}
    found = set()
    for one, other in (*_dismissed(tx), *_answered(tx)):
        first, second = sorted((_now(one, moved), _now(other, moved)))
        found.add((first, second))
    return found


def _now(lead: str, moved: dict[str, str]) -> str:
    while lead in moved:
        lead = moved[lead]
    return lead


def _dismissed(tx: Connection) -> Iterator[tuple[str, str]]:
    yield from ((row.one, row.other) for row in tx.execute(select(strangers.c.one, strangers.c.other)))


def _answered(tx: Connection) -> Iterator[tuple[str, str]]:
    query = select(conflicts.c.options, conflicts.c.decision)
    for options, decision in tx.execute(query.where(conflicts.c.kind == "match", conflicts.c.state == "decided")):
        if orjson.loads(decision or "{}").get("apart"):
            named = sorted({option["lead"] for option in orjson.loads(options)})
            yield from ((one, other) for number, one in enumerate(named) for other in named[number + 1 :])
