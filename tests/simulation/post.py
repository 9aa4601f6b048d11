"""Webhooks of the simulated platforms: what a genuine delivery leaves (`sync/hints.py`), in any order, twice, or never.

That a delivery is genuine is judged before (`tests/hooks`). What it says to read may have been read long since, may be
gone, may never have been, or may change again while it is read; the end must be the same as without it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from sqlalchemy import select

from connectors.api import Notice
from sync.hints import arrived, keep
from sync.state.schema import records, streams
from sync.workspace import Workspace

LOST, LATE, TWICE = 0.3, 0.3, 0.3
"""Shares of the notices that never arrive, that arrive with the next, that arrive once more."""
_KNOWN = select(streams.c.object, records.c.id).join(streams, streams.c.id == records.c.stream)


@dataclass
class Post:
    """What platforms have to tell, by connection, and have not told yet."""

    rng: Random
    waiting: dict[str, list[Notice]] = field(default_factory=lambda: defaultdict(list))

    def changed(self, connection: str, object: str, id: str) -> None:
        """Somebody made or changed a record."""
        self.waiting[connection].append(Notice(object, id))

    def deliver(self, workspace: Workspace, connection: str) -> list[Notice]:
        """What arrives now: some of what waits, with some that tells of nothing new (our own writes come back, too)."""
        waiting = [one for one in self.waiting[connection] if self.rng.random() >= LOST]
        late = [one for one in waiting if self.rng.random() < LATE]
        coming = [one for one in waiting if one not in late] + self._old(workspace, connection)
        coming += [one for one in coming if self.rng.random() < TWICE]
        self.rng.shuffle(coming)
        self.waiting[connection] = late
        with workspace.state.begin() as tx:
            keep(tx, connection, coming, workspace.now())
            arrived(tx, connection, workspace.now())
        return coming

    def _old(self, workspace: Workspace, connection: str) -> list[Notice]:
        with workspace.state.read() as tx:
            known = tx.execute(_KNOWN.where(streams.c.connection == connection)).all()
        found = [Notice(object, id) for object, id in sorted(map(tuple, known)) if self.rng.random() < 0.5]
        if known and self.rng.random() < 0.1:
            found.append(Notice(known[0].object, "999999999"))  # of what never was, or is gone
        return found
