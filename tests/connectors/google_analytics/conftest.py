"""A Google Analytics property in memory, in the afternoon, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from tests.connectors.google_analytics.kit import opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 15, tzinfo=UTC))


@pytest.fixture
def site(clock: ManualClock) -> Iterator[GoogleAnalyticsSandbox]:
    with GoogleAnalyticsSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, GoogleAnalyticsSandbox)
        yield sandbox


@pytest.fixture
def connector(site: GoogleAnalyticsSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(site, clock)
    yield made
    made.close()
