"""Deletes that no list tells: how many ids stood in each block of ids, from one look at everything to the next.

Ids only ever grow, so below the highest id of the last look a block can lose ids and never gain any. A block that lost
some is looked at id by id, and what is missing there is gone. Ids that were never known say nothing to the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BLOCK = 250
"""Ids per block: a million contacts make a cursor of some forty thousand characters."""


@dataclass
class Census:
    """The look that is under way beside the last one. `top` is the highest id, `kept` the count of the last look's
    highest block up to its `top`."""

    last: Mapping[str, int] = field(default_factory=dict)
    last_top: int = 0
    blocks: dict[str, int] = field(default_factory=dict)
    top: int = 0
    kept: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any], walk: Mapping[str, Any]) -> Census:
        """As the cursor has it: the last one in `state`, this one in `walk`."""
        now, last = walk.get("census") or {}, state.get("census") or {}
        return cls(
            last.get("blocks") or {},
            int(last.get("top") or 0),
            dict(now.get("blocks") or {}),
            int(now.get("top") or 0),
            int(now.get("kept") or 0),
        )

    def count(self, ids: Iterable[int]) -> None:
        for id in ids:
            block = id // BLOCK
            self.blocks[str(block)] = self.blocks.get(str(block), 0) + 1
            self.top = max(self.top, id)
            self.kept += block == self.last_top // BLOCK and id <= self.last_top

    def shrunken(self) -> list[int]:
        """The blocks that lost ids since the last look, in order."""
        highest = self.last_top // BLOCK
        now = {**self.blocks, str(highest): self.kept}
        return sorted(int(block) for block, before in self.last.items() if now.get(block, 0) < before)

    def missing(self, block: int, there: Iterable[int]) -> Sequence[int]:
        """The ids of the block, up to the highest one of the last look, that are not `there`."""
        held = set(there)
        end = min((block + 1) * BLOCK - 1, self.last_top)
        return [id for id in range(max(1, block * BLOCK), end + 1) if id not in held]

    def unchanged(self) -> Census:
        """The last one once more, to be compared with the next look."""
        return Census(blocks=dict(self.last), top=self.last_top)

    def kept_as(self) -> dict[str, Any]:
        return {"blocks": self.blocks, "top": self.top, "kept": self.kept}
