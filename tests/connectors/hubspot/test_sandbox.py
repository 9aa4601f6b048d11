"""The HubSpot sandbox itself: it takes its state back."""

from __future__ import annotations

from config.clock import ManualClock
from connectors.api import Connector
from connectors.hubspot.sandbox import HubSpotSandbox
from tests.connectors.hubspot.kit import FIELDS, fill
from tests.connectors.surroundings import connect, pulled


def test_a_snapshot_brings_everything_back(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    fill(portal, 5)
    with HubSpotSandbox(seed=2, clock=clock) as other:
        other.restore(portal.snapshot())
        connector = connect(other, clock)
        assert len(pulled(connector, "contacts", None, FIELDS)[0]) == 5
        connector.close()
