"""Folders in memory for what a process of the simulation makes once."""

from __future__ import annotations

import shutil
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

MEMORY = Path("/dev/shm")


def folder(name: str) -> Path:
    """A new folder, in memory where there is such a place. It goes when the process ends, a pool's worker included."""
    made = tempfile.mkdtemp(prefix=f"closedloop-{name}-", dir=MEMORY if MEMORY.is_dir() else None)
    Finalize(None, shutil.rmtree, args=(made, True), exitpriority=0)
    return Path(made)
