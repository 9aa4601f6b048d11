"""An ActiveCampaign account in memory, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.clock import ManualClock
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector
from tests.connectors.activecampaign.kit import opened


@pytest.fixture
def ac(clock: ManualClock) -> Iterator[ActiveCampaignSandbox]:
    with ActiveCampaignSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, ActiveCampaignSandbox)
        yield sandbox


@pytest.fixture
def connector(ac: ActiveCampaignSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(ac, clock)
    yield made
    made.close()
