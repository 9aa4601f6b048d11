"""Replay what is in quarantine: read refused records anew, let refused writes be planned again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from sync.absorb import absorb_asked
from sync.conversions import again
from sync.drift import recall
from sync.load import chunks
from sync.state.schema import leads, quarantine, records
from sync.streams import stream_for
from sync.workspace import Workspace

_SOME = quarantine.c.id.in_(bindparam("some", expanding=True))
_STANDING = select(quarantine).where(_SOME, quarantine.c.state != "resolved")
_REPLAYED = update(quarantine).where(_SOME).values(state="replaying")
_PLAN_ANEW = (
    update(leads)
    .where(leads.c.id.in_(bindparam("some", expanding=True)), leads.c.state == "live")
    .where(leads.c.dirty == 0)  # one that is to be merged first is planned after that
    .values(dirty=2)
)


def replay(workspace: Workspace, ids: Sequence[int]) -> dict[str, int]:
    """Release these entries: {"read": records read anew, "planned": writes that the next sync tries again}.

    What is resolved by now stays so.
    """
    with workspace.state.read() as tx:
        rows: list[Any] = []
        for some in chunks(list(ids)):
            rows.extend(tx.execute(_STANDING, {"some": some}))
        recall(tx, workspace, {row.connection for row in rows})
    pulled = [row for row in rows if row.direction == "pull"]
    pushed = [row for row in rows if row.direction == "push"]
    with workspace.state.begin() as tx:
        for some in chunks([row.id for row in pushed]):
            tx.execute(_REPLAYED, {"some": some})
        again(tx, pushed)
        for some in chunks([row.lead for row in pushed if row.lead]):
            tx.execute(_PLAN_ANEW, {"some": some})
    return {"read": _read_anew(workspace, pulled), "planned": len(pushed)}


def _read_anew(workspace: Workspace, rows: Sequence[Any]) -> int:
    by_object: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        by_object[(row.connection, row.object)].append(row.record)
    number = 0
    for (connection, object), ids in by_object.items():
        mapped = workspace.mapped(connection)[object]
        found = workspace.connector(connection).read(object, "id", sorted(set(ids)), mapped.remote_fields)
        with workspace.state.begin() as tx:
            stream = stream_for(tx, connection, object, mapped.kind)
            for some in chunks(sorted(found)):
                tx.execute(
                    update(records).where(records.c.stream == stream.id, records.c.id.in_(some)).values(raw_hash=0)
                )
            absorb_asked(tx, workspace, connection, object, found, run="replay")
        number += len(found)
    return number
