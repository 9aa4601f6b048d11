"""Thousands of scenarios: without the engine's warnings, and without looking for garbage that is hardly there."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.campaign import quietly


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    before = structlog.get_config()
    quietly()
    gc.disable()
    yield
    gc.enable()
    structlog.configure(**before)
