"""Zoho's notices: the channel they come by, and whom to believe."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost
from connectors.api import Request
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import pulled
from tests.connectors.zoho.kit import FIELDS, lead, opened, sent


def test_a_channel_is_opened_renewed_and_believed_by_its_token_only(zoho: ZohoSandbox, clock: ManualClock) -> None:
    connector = opened(zoho, clock, notify_url="https://sync.example/hooks/zoho")
    pulled(connector, "leads", None, FIELDS)
    [channel] = zoho.store.channels.values()
    assert channel["channel_expiry"] == "2026-11-29T11:00:00+01:00"
    assert "sandbox-webhook-secret" not in str(channel)
    assert len(channel["token"]) <= 50
    id, deal = lead(zoho, "a@x.io"), zoho.deal("d", [])
    zoho.put("campaigns", {"Campaign_Name": "not subscribed"})
    got: list[tuple[str, str]] = []
    bodies: list[bytes] = []

    def receive(url: str, body: bytes) -> None:
        assert url == "https://sync.example/hooks/zoho"
        bodies.append(body)
        got.extend((n.object, n.id) for n in connector.verify(Request("POST", url, {}, body)))

    assert zoho.deliver(receive) == 2
    assert got == [("leads", id), ("deals", deal), ("contact_roles", deal)]
    for wrong in (bodies[0].replace(channel["token"].encode(), b"x"), b"{}", b"[]", b'{"token": null}'):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", {}, wrong))
    clock.advance(2 * 86_400)
    pulled(connector, "leads", None, FIELDS)
    assert len(sent(zoho, "PUT /actions/watch")) == 0
    clock.advance(2 * 86_400)
    pulled(connector, "leads", None, FIELDS)
    assert len(sent(zoho, "PUT /actions/watch")) == 1
    clock.advance(30 * 86_400)  # it ended in silence
    pulled(connector, "leads", None, FIELDS)
    assert [line.status for line in sent(zoho, "POST /actions/watch")] == [201, 201]
    assert zoho.store.channels[channel["channel_id"]]["channel_expiry"] > channel["channel_expiry"]
    connector.close()


def test_a_channel_that_is_refused_stops_no_pull(zoho: ZohoSandbox, clock: ManualClock) -> None:
    connector = opened(zoho, clock, notify_url="https://sync.example/hooks/zoho")
    lead(zoho, "a@x.io")
    zoho.login.scopes = zoho.login.scopes.replace("ZohoCRM.notifications.ALL", "")
    for _ in range(2):
        assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    assert len(sent(zoho, "POST /actions/watch")) == 1  # not at every pull
    connector.close()
