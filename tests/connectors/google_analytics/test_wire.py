"""Google Analytics' wire format, pinned; what is sent fits Google's discovery documents."""

from __future__ import annotations

from pathlib import Path

from connectors.google_analytics.login import EDIT, INGEST, READ
from connectors.google_analytics.sandbox import API_SECRET
from connectors.google_analytics.sandbox_login import APP, REFRESH
from tests.connectors.google_analytics.tour import tour, ways, world
from tests.connectors.google_analytics.truth import UNDESCRIBED, document, hold, measure, methods
from tests.connectors.wire import RECORDING, play

CASSETTES = Path(__file__).parent / "cassettes"


def test_the_wire_format_stands() -> None:
    sandbox, clock = world()
    if RECORDING:
        sandbox.start()
    protocol, manager = ways(sandbox, clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(protocol, manager, clock))
    protocol.close()
    manager.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert "uthorization" not in text
    for secret in (API_SECRET, APP["client_secret"], REFRESH, "access-"):
        # the secrets of a stream are listed to compare ours with: the sandbox's stands there as an answer
        assert text.replace(f'"secretValue":"{API_SECRET}"', "").count(secret) == 0


def test_what_is_sent_fits_the_documents() -> None:
    held = hold()
    print(dict(held.requests))
    assert held.invalid == set()
    assert set(held.requests) == {
        "GET /v1beta/properties/{id}",
        "GET /v1beta/properties/{id}/dataStreams",
        "GET /v1beta/properties/{id}/dataStreams/{id}/measurementProtocolSecrets",
        "GET /v1beta/properties/{id}/keyEvents",
        "GET /v1beta/properties/{id}/metadata",
        "POST /v1beta/properties/{id}:runReport",
        "POST /v1alpha/properties/{id}:submitUserDeletion",
        "POST /v1/events:ingest",
        "GET /v1/requestStatus:retrieve",
    }


def test_the_scopes_asked_for_open_every_method_that_is_called() -> None:
    called = {"runReport", "getMetadata", "get", "list", "submitUserDeletion", "ingest", "retrieve"}
    needed: dict[str, set[str]] = {}
    for name in ("analyticsdata.v1beta", "analyticsadmin.v1beta", "analyticsadmin.v1alpha", "datamanager.v1"):
        for method in methods(document(name)):
            short = method["id"].rpartition(".")[2]
            if short in called:
                needed.setdefault(f"{name} {method['flatPath']}", set()).update(method["scopes"])
    for place in (
        "analyticsdata.v1beta v1beta/properties/{propertiesId}:runReport",
        "analyticsadmin.v1beta v1beta/properties/{propertiesId}/keyEvents",
    ):
        assert READ in needed[place]
    assert EDIT in needed["analyticsadmin.v1alpha v1alpha/properties/{propertiesId}:submitUserDeletion"]
    assert {INGEST} == needed["datamanager.v1 v1/events:ingest"]


def test_the_counts_are_measured() -> None:
    found = measure()
    assert found.operations == 9
    assert (found.bodies, found.unread, found.invalid) == (0, 0, 0)
    assert len(UNDESCRIBED) == 3
