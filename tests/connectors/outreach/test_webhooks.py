"""Outreach's webhooks: whom to believe, and how often they come."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson
import pytest

from config.errors import (
    AuthorizationLost,
)
from connectors.api import Connector, Request
from connectors.outreach.sandbox import OutreachSandbox


def test_webhooks_are_believed_by_their_signature_only(outreach: OutreachSandbox, connector: Connector) -> None:
    outreach.hook(version=2)
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(2)]
    outreach.store.deliveries.clear()
    outreach.edit("prospects", ids[0], {"firstName": "A"})
    outreach.merge(ids[0], ids[1])
    deal = outreach.deal("d", [ids[0]])
    mail = outreach.mail(ids[0], "Hello")
    got: list[tuple[str, str]] = []
    events: list[str] = []

    def receive(headers: Any, body: bytes) -> int:
        events.append(orjson.loads(body)["meta"]["eventName"])
        got.extend((n.object, n.id) for n in connector.verify(Request("POST", "https://x/hook", headers, body)))
        return 500  # counts as delivered all the same

    waiting = len(outreach.store.deliveries)
    assert outreach.deliver(receive) == waiting
    assert got[0] == ("prospects", ids[0])
    assert ("prospects", ids[1]) in got  # destroyed
    assert {("opportunities", deal), ("opportunity_prospects", deal)} <= set(got)
    assert "mailing.created" in events
    assert mail not in {id for _, id in got}

    body = b'{"data":{"type":"prospect","id":1}}'
    good = hmac.new(b"sandbox-webhook-secret", body, hashlib.sha256).hexdigest()
    assert [n.id for n in connector.verify(Request("POST", "u", {"OUTREACH-WEBHOOK-SIGNATURE": good}, body))] == ["1"]
    for headers in ({}, {"Outreach-Webhook-Signature": good.upper()}, {"Outreach-Webhook-Signature": "ä"}):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", headers, body))
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", {"Outreach-Webhook-Signature": good}, body + b" "))


def test_a_delivery_without_an_answer_is_tried_four_times(outreach: OutreachSandbox) -> None:
    outreach.hook("account")
    outreach.put("accounts", {"name": "A"})
    assert outreach.deliver(lambda headers, body: None) == 4
