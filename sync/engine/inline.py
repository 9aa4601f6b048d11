"""The engine without an engine: `submit` works on the run until it is finished, in the caller's thread."""

from __future__ import annotations

from collections.abc import Sequence

from sync.engine.api import Slice


class InlineEngine:
    """For one-off commands and tests: no dependency, no thread, nothing kept."""

    def __init__(self, slice: Slice) -> None:
        self._slice = slice
        self._cancelled: set[str] = set()
        self._stopped = False

    def serve(self) -> None:
        self._stopped = False

    def submit(self, run: str, lane: str) -> None:
        while not self._stopped and run not in self._cancelled:
            if self._slice(run):
                return

    def cancel(self, run: str) -> None:
        self._cancelled.add(run)

    def resume(self, run: str, lane: str) -> None:
        self._cancelled.discard(run)
        self.submit(run, lane)

    def stop(self, seconds: float) -> None:
        self._stopped = True

    def workers(self) -> Sequence[str]:
        return ("inline",)
