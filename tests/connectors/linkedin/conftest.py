"""LinkedIn in memory, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.linkedin.sandbox import LinkedInSandbox
from tests.connectors.linkedin.kit import opened


@pytest.fixture
def linkedin(clock: ManualClock) -> Iterator[LinkedInSandbox]:
    with LinkedInSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, LinkedInSandbox)
        yield sandbox


@pytest.fixture
def connector(linkedin: LinkedInSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(linkedin, clock)
    yield made
    made.close()
