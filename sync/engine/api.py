"""The port of an execution engine.

An engine runs the slices of a run until one says that nothing is left. It may run them in any process, repeat one
after a crash, or stop between any two: what a run has done is in the state, under a fencing token, so an engine can
be late or wrong about *when* but never about *what*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Slice = Callable[[str], bool]
"""Take some steps of the run with this id; True when it is finished."""


class Engine(Protocol):
    def serve(self) -> None:
        """Begin to work; runs that were open when the last process died go on."""

    def submit(self, run: str, lane: str) -> None:
        """Work on `run` in `lane`, one run at a time per lane. Submitting a run again changes nothing."""

    def cancel(self, run: str) -> None:
        """Start no further slice of `run`."""

    def resume(self, run: str, lane: str) -> None:
        """Go on with a run that was cancelled or gave up."""

    def stop(self, seconds: float) -> None:
        """Return when no slice is running any more, or after `seconds`."""

    def workers(self) -> Sequence[str]:
        """The ids of the workers known to be alive."""
