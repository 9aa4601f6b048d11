"""The material beside the project that tests read and the project does not carry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parent.parent.parent / "shared"


def shared(*parts: str) -> Path:
    """`parts` below the folder named by CLOSEDLOOP_SHARED, or ../shared; the test is skipped where that is missing."""
    path = Path(os.environ.get("CLOSEDLOOP_SHARED") or BESIDE).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here: set CLOSEDLOOP_SHARED to the folder of shared test material")
    return path
