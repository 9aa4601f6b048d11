"""Salesforce held against recorded answers and the one sound description, counted; the tests judge the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from config.clock import ManualClock
from connectors.api import Connector
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.sandbox import SalesforceSandbox
from tests.conftest import START
from tests.connectors.surroundings import connect
from tests.connectors.truth import Truth
from tests.connectors.wire import judged


def measure() -> Truth:
    """Bodies read, kinds of bodies sent, and the places in which the sandbox's shapes differ from recorded ones."""
    from tests.connectors.salesforce import test_recorded as recorded
    from tests.connectors.salesforce.test_wire import described, few, toured

    clock = ManualClock(START)
    with _org(clock) as org, closing(connect(org, clock)) as connector:
        queries, _, lost_rows = recorded.replay_queries(org, connector)
        org.faults.clear()
        collections, _, lost_results = recorded.replay_collections(org, connector)
    descriptions, _, lost_fields = recorded.replay_descriptions()
    refusals = sum(1 for _ in recorded.failures())
    jobs = len(recorded.bare(r"bulk/.*\.(json|csv)"))
    seen = _differences(recorded, clock)
    with few(), _org(clock) as org:
        operations, invalid = judged(toured(org, clock).log, described)
    return Truth(
        queries + collections + descriptions + refusals + jobs,
        len(lost_rows) + len(lost_results) + len(lost_fields),
        len(operations),
        len(invalid),
        len(seen),
        sum(map(recorded.explained, seen)),
    )


def _differences(recorded: Any, clock: ManualClock) -> set[str]:
    """The places that the comparisons beside this file meet, each over an org of its own."""
    recorded.SEEN.clear()
    for compare in (
        recorded.test_the_sandboxs_queries_look_like_the_recorded_ones,
        recorded.test_the_sandboxs_collections_look_like_the_recorded_ones,
    ):
        with _org(clock) as org, closing(connect(org, clock)) as connector:
            compare(org, _client(connector))
    with _org(clock) as org, closing(connect(org, clock)) as connector:
        recorded.test_the_sandboxs_descriptions_look_like_the_recorded_ones(_client(connector))
    with _org(clock) as org, closing(connect(org, clock)) as connector:
        recorded.test_the_sandboxs_jobs_look_like_the_recorded_ones(org, _client(connector))
    return set(recorded.SEEN)


def _client(connector: Connector) -> Any:
    assert isinstance(connector, SalesforceConnector)
    return connector._client


@contextmanager
def _org(clock: ManualClock) -> Iterator[SalesforceSandbox]:
    with SalesforceSandbox(clock=clock) as org:
        assert isinstance(org, SalesforceSandbox)
        yield org
