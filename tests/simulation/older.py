"""Scenarios in which one record or two of a side are as they were hours ago, times included, and no others: somebody
restored them there, or their times had been ahead.

The same world as that of a side that is rolled back (`rolling.py`), where a guard lets so few pass. A full read tells
of them: what they held may be an edit or a loss, so a person is asked; consents and stages are put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from config.clock import unstamp
from config.project import Limit
from sync.arrivals import LAGS
from sync.rollback import ACCEPT
from sync.runs import Report
from sync.workspace import Workspace
from tests.simulation.oracle import Violation
from tests.simulation.rolling import Rolling, RollingScenario
from tests.simulation.scenario import Outcome
from tests.simulation.side import Row

MOST = 2
"""Records that are restored, at most."""


@dataclass
class OlderScenario(RollingScenario):
    """A world of which a side has a few records restored, once."""

    def __post_init__(self) -> None:
        RollingScenario.__post_init__(self)
        self.rolling = _Few(self, Random(f"{self.seed}-older"))
        self.each = self.rolling.each

    def opened(self) -> Workspace:
        """With a guard that lets so few pass."""
        workspace = RollingScenario.opened(self)
        guards = workspace.project.guards.model_copy(update={"rolled_back": Limit(share=1.0, over=100)})
        workspace.project = workspace.project.model_copy(update={"guards": guards})
        return workspace


@dataclass
class _Few(Rolling):
    """Which records are restored, and to when."""

    def __post_init__(self) -> None:
        Rolling.__post_init__(self)
        self.way = ACCEPT  # where no other record says something else; else a person is asked

    def put(self, rows: dict[str, Row]) -> None:
        able = [id for id, row in sorted(rows.items()) if self._is_restorable(id, row)]
        for id in self.rng.sample(able, min(len(able), self.rng.choice((1, MOST)))):
            self._put(id, rows[id])

    def _is_restorable(self, id: str, row: Row) -> bool:
        kept = self.kept.get(id)
        if kept is None or kept is row or kept.gone or row.gone:
            return False
        return unstamp(row.version) - unstamp(kept.version) > LAGS

    def is_due(self) -> bool:
        return False

    def judge(self, report: Report, due: bool) -> None:
        if any("the account looks rolled back" in hold.why for hold in report.held.values()):
            raise Violation("P35b: an account is held for a few records that were restored")

    def decide_at_last(self) -> None:
        if self.back:
            self.scenario.oddities.unmoved = True
            self._give_all_anew()


def run(seed: int, **options: Any) -> Outcome:
    """The scenario of `seed`, with a few records restored on the way."""
    return OlderScenario(seed, **options).run()
