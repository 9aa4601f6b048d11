"""A Calendly organization in memory, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.calendly.sandbox import CalendlySandbox
from tests.connectors.calendly.kit import opened


@pytest.fixture
def calendly(clock: ManualClock) -> Iterator[CalendlySandbox]:
    with CalendlySandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, CalendlySandbox)
        yield sandbox


@pytest.fixture
def connector(calendly: CalendlySandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(calendly, clock)
    yield made
    made.close()
