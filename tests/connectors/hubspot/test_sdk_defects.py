"""What hubspot-api-client does wrong and would touch us, each by name; the SDK itself shows it where it can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
import urllib3

from config.clock import ManualClock
from config.errors import InDoubt
from connectors.api import Connector, Operation, Verb
from connectors.hubspot.sandbox import HubSpotSandbox
from tests.connectors.surroundings import connect

CONTACTS = "/crm/objects/2026-09/contacts"


@pytest.fixture
def portal() -> Iterator[HubSpotSandbox]:
    with HubSpotSandbox(seed=1, clock=ManualClock(datetime(2026, 11, 23, tzinfo=UTC))) as sandbox:
        assert isinstance(sandbox, HubSpotSandbox)
        yield sandbox


@pytest.fixture
def ours(portal: HubSpotSandbox) -> Iterator[Connector]:
    connector = connect(portal, ManualClock(datetime(2026, 11, 23, tzinfo=UTC)))
    yield connector
    connector.close()


def pools(manager: urllib3.PoolManager) -> list[int]:
    """How many connections each pool has opened."""
    return [manager.pools[key].num_connections for key in manager.pools.keys()]  # noqa: SIM118 - no dict


def test_defect_a_connection_for_every_call(ours: Connector) -> None:
    """Its generic `api_request` makes a client, and so a connection, for each call (and knows one host only)."""
    for _ in range(3):
        ours.check()
    assert pools(ours._client._api.rest_client.pool_manager) == [1]  # type: ignore[attr-defined]


def test_defect_no_retry_and_no_telling_which_may_be_repeated(portal: HubSpotSandbox, ours: Connector) -> None:
    """Left alone it never retries; told to, urllib3 repeats a create whose answer was lost. Ours repeats reads, and
    puts such a create in doubt."""
    portal.inject("no_answer", f"GET {CONTACTS}", times=1)
    assert [page.more for page in ours.pull("contacts", None, ["email"])][-1] is False
    portal.inject("lost_answer", "POST .*/batch/create", times=1)
    create = Operation("k", Verb.CREATE, "contacts", {"firstname": "Ana"})
    [result] = list(ours.push([create], ["firstname"]))
    assert isinstance(result.error, InDoubt)
    assert len(portal.all("contacts")) == 1


def test_defect_models_that_refuse_what_is_new(portal: HubSpotSandbox, ours: Connector) -> None:
    """Its models are of API v3: members that a dated version adds are lost, and decoding costs twenty times as much. We
    take the bytes undecoded, so that every property arrives."""
    portal.put("contacts", {"email": "ana@x.io", "firstname": "Ana"})
    [page, *_] = list(ours.pull("contacts", None, ["firstname"]))
    assert b'"firstname":"Ana"' in page.records[0].raw


def test_defect_it_breaks_with_one_release_of_urllib3() -> None:
    """hubspot-api-python 460: urllib3 2.6.0, and that one only."""
    assert version("urllib3") != "2.6.0"
