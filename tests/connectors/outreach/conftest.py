"""An Outreach org in memory, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.outreach.sandbox import OutreachSandbox
from tests.connectors.outreach.kit import opened


@pytest.fixture
def outreach(clock: ManualClock) -> Iterator[OutreachSandbox]:
    with OutreachSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, OutreachSandbox)
        yield sandbox


@pytest.fixture
def connector(outreach: OutreachSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(outreach, clock)
    yield made
    made.close()
