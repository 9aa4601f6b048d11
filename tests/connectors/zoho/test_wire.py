"""Zoho's wire format, pinned; what is sent fits the vendor's description."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.wire import RECORDING, play
from tests.connectors.zoho import truth
from tests.connectors.zoho.tour import connector, small, tour, world

CASSETTES = Path(__file__).parent / "cassettes"


def test_the_wire_format_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    zoho, clock = world()
    if RECORDING:
        zoho.start()
    made = connector(zoho, clock, zoho.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(made, zoho, clock))
    made.close()
    zoho.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    for secret in ("uthorization", "sandbox-client-secret", "sandbox-webhook-secret", "1000.refresh", "1000.access"):
        assert secret not in text


def test_sent_bodies_fit_the_description() -> None:
    sent = truth.sent()
    print(dict(sent.checked), sent.invalid)
    assert sent.invalid == ()
    assert set(sent.checked) == {
        "POST /coql",
        "POST /{module}",
        "POST /{module}/upsert",
        "PUT /{module}",
        "POST /actions/watch",
        "PUT /actions/watch",
        "POST /read",
        "POST /write",
    }


def test_every_call_is_described_and_asks_only_for_what_can_be_asked() -> None:
    asked = truth.asked()
    print(f"{len(asked.checked)} operations, {asked.checked.total()} calls", asked.invalid)
    assert asked.invalid == ()
    assert len(asked.checked) >= 20
