"""Fields over which two platforms fight: each sync overwrites what the other side, or something there, sets again.

The journal tells: the same value went into the same field of the same record again and again within a day, so something
set it back each time. Such a wish is left to a person, with both values, and the rest of the record goes on. An opt-out
is never left: it is written as often as it takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from config.clock import stamp
from connectors.api import Verb
from mappings.model import Rule
from sync.core.plan import Change, Planned, fingerprint
from sync.entries import entry
from sync.load import chunks
from sync.parked import ROLLED_BACK
from sync.state.schema import conflicts, journal, quarantine
from sync.workspace import Workspace

WINDOW = timedelta(days=1)
CODE = "flapping"
SHOWN = 60
"""Characters of a value that are shown."""

Place = tuple[str, str, str, str, str]
"""(connection, object, record, lead, field)."""


@dataclass(frozen=True, slots=True)
class Flap:
    """A wish that came true `times` times within a day, and never lasted."""

    place: Place
    change: Change
    times: int

    @property
    def refused(self) -> tuple[str, ...]:
        """As the planner asks about it."""
        return (*self.place, fingerprint(self.change.new))

    def row(self, run: str, at: str) -> dict[str, Any]:
        """Its entry in quarantine."""
        object = self.place[1]
        reason = (
            f"was set to {_shown(self.change.new)} {self.times} times within a day, and each time something there set "
            f"it back; now it is {_shown(self.change.old)}"
        )
        fix = (
            f"Find what sets {self.change.remote} of {object} there (a workflow, another integration) and stop it, or "
            "map the field in one direction only; then `closedloop quarantine replay`."
        )
        wish = fingerprint(self.change.new)
        return entry(run, at, self.place, code=CODE, reason=reason, fix=fix, fingerprint=wish)


def flaps(tx: Connection, workspace: Workspace, operations: Iterable[Planned]) -> list[Flap]:
    """The changes among these operations that have been made too often to be made again."""
    limit = workspace.project.guards.flapping
    updates = [operation for operation in operations if operation.verb == Verb.UPDATE]
    if not limit or not updates:
        return []
    counts = _written(tx, workspace, sorted({operation.lead for operation in updates}))
    found = []
    for operation in updates:
        for change in operation.changes:
            known = workspace.fields.get(change.field)
            place = (operation.connection, operation.object, operation.record, operation.lead, change.field)
            times = counts[(*place, fingerprint(change.new))]
            if times >= limit and not (known and known.rule is Rule.MOST_RESTRICTIVE):
                found.append(Flap(place, change, times))
    return found


_DONE = select(
    journal.c.connection, journal.c.object, journal.c.record, journal.c.lead, journal.c.after, journal.c.created_at
).where(
    journal.c.lead.in_(bindparam("some", expanding=True)),
    journal.c.verb == Verb.UPDATE.value,
    journal.c.state == "settled",
    journal.c.created_at >= bindparam("since"),
    journal.c.undoes.is_(None),
)
_CLOSED = select(quarantine).where(
    quarantine.c.lead.in_(bindparam("some", expanding=True)), quarantine.c.code == CODE, quarantine.c.state != "open"
)
_KEPT = select(conflicts.c.lead, conflicts.c.field, conflicts.c.last_at).where(
    conflicts.c.lead.in_(bindparam("some", expanding=True)), conflicts.c.kind == "field", conflicts.c.why == ROLLED_BACK
)


def _written(tx: Connection, workspace: Workspace, leads: list[str]) -> Counter[tuple[str, ...]]:
    """How often each value was written to each field of these leads' records within the window, and since a person last
    let it go on, or said of a platform that was rolled back what is to stand: that took values back, and nobody there
    fights."""
    counts: Counter[tuple[str, ...]] = Counter()
    since = stamp(workspace.clock.now() - WINDOW)
    for some in chunks(leads):
        done = tx.execute(_DONE, {"some": some, "since": since}).all()
        many = len(done) >= workspace.project.guards.flapping
        released, kept = (dict(_released(tx, some)), _kept(tx, some)) if many else ({}, {})
        for row in done:
            for field, value in orjson.loads(row.after).items():
                place = (row.connection, row.object, row.record, row.lead, field)
                if row.created_at > max(released.get(place, ""), kept.get((row.lead, field), "")):
                    counts[(*place, fingerprint(value))] += 1
    return counts


def _released(tx: Connection, leads: Sequence[str]) -> Iterator[tuple[Place, str]]:
    """Where an earlier entry was closed or is being tried again, and from when on it counts anew."""
    for row in tx.execute(_CLOSED, {"some": leads}):
        yield (row.connection, row.object, row.record, row.lead, row.field), row.last_at


def _kept(tx: Connection, leads: Sequence[str]) -> dict[tuple[str, str], str]:
    """When what a platform lost that was rolled back was last kept, by lead and field."""
    return {(row.lead, row.field): row.last_at for row in tx.execute(_KEPT, {"some": leads})}


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values())
    text = ", ".join(value) if isinstance(value, list) else str(value)
    return f"“{text[:SHOWN]}”"
