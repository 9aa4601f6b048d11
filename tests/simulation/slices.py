"""Runs that are taken in slices, as the daemon does: in one of eight worlds, each slice of some seconds by an attempt
of its own. Drawn beside the story of a seed."""

from __future__ import annotations

from random import Random

from sync.progress import Report
from sync.runs import Options, Runner
from sync.steps.attempt import FRESH
from sync.workspace import Workspace
from tests.simulation.oracle import Violation

KIND = "slices"
MOST = 300
"""Slices in which a run of three people has come to its end, however short they are."""


def drawn(seed: int) -> float:
    """Seconds of a slice; 0 where runs are whole."""
    rng = Random(f"{seed}-slices")
    return rng.choice((0.5, 3.0, 6.0)) if rng.random() < 0.125 else 0.0


def is_anew(seconds: float, by: float) -> bool:
    """Whether a run in slices of so many seconds looks again at everything, also at what broke, since the engine's
    clock was set forward by so many."""
    return seconds > 0 and by > FRESH


def taken(workspace: Workspace, command: str, names: tuple[str, ...], options: Options, seconds: float) -> Report:
    """The report of a run that was taken in slices to its end. Raises Violation where it has none."""
    run = Runner(workspace).open(command, names, options)
    for _ in range(MOST):
        report = Runner(workspace).slice(run, seconds)
        if report is not None:
            return report
    raise Violation(f"P31: {command} has come to no end in {MOST} slices of {seconds} s")
