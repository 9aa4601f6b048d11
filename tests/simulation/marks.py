"""Where a simulated host keeps its mark: in memory, since thousands of scenarios write thousands of them."""

from __future__ import annotations

from dataclasses import dataclass

from sync.epoch import Mark


@dataclass
class MemoryMarks:
    """Of one host. What was saved is on its disk at once."""

    where: str = "the mark"
    mark: Mark | None = None

    def load(self) -> Mark | None:
        return self.mark

    def save(self, mark: Mark) -> None:
        self.mark = mark
