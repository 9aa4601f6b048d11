"""A HubSpot portal in memory, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.hubspot.sandbox import HubSpotSandbox
from tests.connectors.surroundings import connect


@pytest.fixture
def portal(clock: ManualClock) -> Iterator[HubSpotSandbox]:
    with HubSpotSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, HubSpotSandbox)
        yield sandbox


@pytest.fixture
def hubspot(portal: HubSpotSandbox, clock: ManualClock) -> Iterator[Connector]:
    connector = connect(portal, clock)
    yield connector
    connector.close()


@pytest.fixture
def app(portal: HubSpotSandbox, clock: ManualClock) -> Iterator[Connector]:
    connector = connect(portal, clock, auth=portal.oauth_account()["auth"])
    yield connector
    connector.close()
