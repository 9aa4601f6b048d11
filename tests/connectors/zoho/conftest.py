"""A Zoho org in memory, a clock that stands still, and a connector between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.zoho.kit import opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def zoho(clock: ManualClock) -> Iterator[ZohoSandbox]:
    with ZohoSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, ZohoSandbox)
        yield sandbox


@pytest.fixture
def connector(zoho: ZohoSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(zoho, clock)
    yield made
    made.close()
