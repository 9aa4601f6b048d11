"""A process of a scenario: what it holds, and how it dies: before or after any commit and any call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sync.push import in_doubt
from sync.state.database import State
from sync.workspace import Workspace
from tests.simulation.side import Seat, Side
from tests.simulation.world import memory

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario


class Crash(BaseException):
    """The process dies here."""


@dataclass(slots=True)
class Life:
    """A process, as far as it can die: its connectors, and whether it has. The dead do nothing more."""

    seats: list[Seat] = field(default_factory=list)
    ended: bool = False

    def forget(self) -> None:
        """What it was shown and has not stored is lost."""
        for seat in self.seats:
            seat.pending.clear()

    def end(self) -> None:
        self.ended = True
        self.forget()


class Watched:
    """A transaction of a process: before its commit and after it there are boundaries."""

    __slots__ = ("_durable", "_inner", "_life", "_scenario")

    def __init__(self, scenario: Scenario, life: Life, begin: Callable[..., Any], *, durable: bool = True) -> None:
        self._scenario, self._life, self._durable = scenario, life, durable
        self._inner = begin(durable=durable)

    def __enter__(self) -> Any:
        if self._life.ended:
            raise Crash("it is dead")
        return self._inner.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        scenario = self._scenario
        if kind is None:
            try:
                scenario._boundary(scenario._side, "commit.before")
            except BaseException as died:
                self._undo(type(died), died, died.__traceback__)
                raise
        else:
            self._undo(kind, error, trace)
            return
        self._inner.__exit__(None, None, None)
        if self._durable:
            for seat in self._life.seats:
                if seat.pending:
                    seat.stored()
        scenario._boundary(scenario._side, "commit.after")

    def _undo(self, kind: Any, error: Any, trace: Any) -> None:
        self._life.forget()
        self._inner.__exit__(kind, error, trace)


@contextmanager
def plain(state: State) -> Iterator[Any]:
    """A transaction of nobody's: no boundary."""
    wrapped = state.__dict__.pop("begin")
    try:
        with memory().begin() if state.engine.url == "sqlite://" else state.begin() as tx:
            yield tx
    finally:
        state.__dict__["begin"] = wrapped


def place(side: Side | None) -> str:
    """The operation under way or last, and what struck it."""
    return f"{side.doing}/{side.struck or 'well'}" if side is not None else "start/well"


def forget(workspace: Workspace, life: Life) -> None:
    """Take apart what a process held that is over, so that it goes at once and not by the garbage collector."""
    life.seats.clear()
    vars(workspace.state).clear()
    vars(workspace).clear()


def unsettled(state: State) -> set[str]:
    """The connections where a write is in doubt. A run that finds one not done waits, and may write nothing else: that
    is no rest."""
    with state.read() as tx:
        return in_doubt(tx)
