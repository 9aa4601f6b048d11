"""A run whose leases another process takes at any transaction, and that goes on all the same: a laptop was shut, a
machine paused. From then on nothing that it would write may stay."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from sync.state.schema import leases
from tests.simulation.process import plain
from tests.simulation.world import memory

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "losing"
TRANSACTIONS = 60
"""Of a run; most have fewer, and lose nothing where they should have lost it later."""
BESIDE = {"state/budget.py": "how many calls may leave; each that does passes the fence after it"}
"""What is written without a look at the leases, and why that may be."""

_TAKE = leases.update().where(leases.c.expires_at > 0).values(token=leases.c.token + 1, holder="", expires_at=0.0)


class Losing:
    """What befalls the transactions of a scenario's processes: the leases are gone before the one with the number `at`
    of all runs, counted from 1, or, without it, once in each run before any. `lost` says where a run lost its leases,
    `late` where one wrote after it had: both count places, as `steps/pull.py _trust`."""

    def __init__(self, scenario: Scenario, at: int = 0) -> None:
        self.scenario = scenario
        self._at = at
        self.rng = Random(f"{scenario.seed}/{KIND}")
        self.lost: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self._left = at  # transactions until the leases go; 0 for no more
        self._running = self._held = self._gone = False
        opened = scenario.opened
        scenario.__dict__["opened"] = partial(self._opened, opened)
        scenario.__dict__["_run"] = partial(self._run, scenario._run)
        self._watch(scenario.workspace)

    def _opened(self, opened: Callable[[], Any]) -> Any:
        workspace = opened()
        self._watch(workspace)
        return workspace

    def _watch(self, workspace: Any) -> None:
        state = workspace.state
        state.__dict__["begin"] = partial(_Lost, self, state.begin)

    def _run(self, run: Callable[..., Any], *given: Any) -> Any:
        if not self._at:
            most = self.rng.choice((8, 20, TRANSACTIONS))
            self._left = 0 if self.scenario.healed else self.rng.randint(1, most)
        self._running = True
        try:
            return run(*given)
        finally:
            self._running = self._held = self._gone = False  # what follows is the next process' own

    def enters(self, place: str) -> None:
        """A transaction begins: its process may have lost its leases by now."""
        if self.scenario._taken:  # another process' transaction, while this one is stopped
            return
        if place.startswith("state/leases.py acquire"):  # whoever goes on has leases of their own
            self._held, self._gone = True, False
        elif self._running and self._held and self._left:
            self._left -= 1
            if not self._left:
                self._lose(place)

    def _lose(self, place: str) -> None:
        with plain(self.scenario.workspace.state) as tx:
            if not tx.execute(_TAKE).rowcount:
                return
        self.scenario._say(f"loses its leases before {place}")
        self.lost[place] += 1
        self._gone = True
        self.scenario._after_takeover = {name: side.pushes for name, side in self.scenario.sides.items()}

    def committed(self, place: str, changes: int) -> None:
        if self._gone and changes and not self.scenario._taken and place.partition(" ")[0] not in BESIDE:
            self.late[place] += 1


class _Lost:
    """A transaction of a process, and where in the engine it was begun."""

    __slots__ = ("_before", "_inner", "_losing", "_place")

    def __init__(self, losing: Losing, begin: Callable[..., Any], *, durable: bool = True) -> None:
        self._losing, self._place = losing, place_of_caller()
        self._inner = begin(durable=durable)

    def __enter__(self) -> Any:
        self._losing.enters(self._place)
        self._before = memory().driver.total_changes
        return self._inner.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        changes = memory().driver.total_changes - self._before
        self._inner.__exit__(kind, error, trace)
        if kind is None:
            self._losing.committed(self._place, changes)


def place_of_caller() -> str:
    """The file of the engine's and the function that is under way."""
    frame = sys._getframe(1)
    while "/sync/" not in frame.f_code.co_filename.replace("\\", "/"):
        assert frame.f_back is not None
        frame = frame.f_back
    return f"{frame.f_code.co_filename.replace(chr(92), '/').rpartition('/sync/')[2]} {frame.f_code.co_name}"
