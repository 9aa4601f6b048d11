"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` stands exactly once in `file` and becomes `new`; `tests` are the smallest set
    that sees it: each bug has its own, so that all of them take a few minutes."""

    name: str
    file: str
    old: str
    new: str
    tests: str
