"""What a run stored and died over is rolled back: somebody gives a record a value, or clears a field, a run takes that
in and dies before it decides anything of it, and the side is rolled back. In half of these worlds whoever did it says
at once which way it is to go; in the others a run is held first, which decides what had been stored.

Drawn beside the story of a seed.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import select

from sync.state.schema import records, streams
from tests.simulation.process import plain

if TYPE_CHECKING:
    from tests.simulation.rolling import Rolling

KIND = "undecided"
NAME = "undecided when it was rolled back"
SHARE, BLANK, AT_ONCE = 0.6, 0.7, 0.5
"""Of all worlds; of what is given; of the people who did it."""

_STORED = (
    select(records.c.id, records.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.gone.is_(None), records.c.lead.is_not(None))
)


def stored_titles(rolling: Rolling) -> dict[str, str | None]:
    """The titles of the side's living records, as the engine has stored them."""
    with plain(rolling.scenario.workspace.state) as tx:
        rows = tx.execute(_STORED.where(streams.c.connection == rolling.side.name)).all()
    return {row.id: orjson.loads(row.body).get("title") for row in rows}


class Undecided:
    """That of one scenario."""

    def __init__(self, rolling: Rolling) -> None:
        scenario = rolling.scenario
        self.rolling, self.rng = rolling, Random(f"{scenario.seed}-{KIND}")
        befalls = self.rng.random() < SHARE and scenario._befalls(KIND)
        self.befalls, self.at_once = befalls, befalls and self.rng.random() < AT_ONCE
        self.waits: tuple[str, str | None] | None = None  # the record and its title that is to be stored

    def strike(self) -> None:
        """Just before the side is rolled back."""
        rolling, people = self.rolling, self.rolling.scenario.people
        side, known = rolling.side, stored_titles(rolling) if self.befalls else {}
        kept = [id for id, row in side.live().items() if id in rolling.kept and rolling.kept[id].gone is None]
        able = sorted(id for id in kept if known.get(id) and side.history[id][-1].values.get("title"))
        if not able:
            return
        id = self.rng.choice(able)
        people._give(side, id, "title", blank=self.rng.random() < BLANK)
        self.waits = (id, side.history[id][-1].values.get("title"))
        rolling.scenario.sync()
        self.waits = None

    def is_stored(self) -> bool:
        """Whether what is waited for has just been stored: the process dies here."""
        if self.waits is None:
            return False
        id, title = self.waits
        return stored_titles(self.rolling).get(id, "") == title
