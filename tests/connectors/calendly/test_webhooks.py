"""Calendly's webhooks: whom to believe, and for how long."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
)
from config.secrets import Secret
from connectors.api import Connector, Request
from connectors.calendly.sandbox import HOOK_SECRET, CalendlySandbox
from tests.connectors.calendly.kit import ahead
from tests.connectors.surroundings import connect


def test_webhooks_are_believed_by_their_signature_for_three_minutes(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    calendly.hook()
    first = calendly.book("ana@x.io", ahead(clock, days=1))
    second = calendly.move(first, ahead(clock, days=2))
    calendly.miss(second)
    calendly.edit("event_types", calendly.event_type, {"name": "Call"})
    got: list[tuple[str, str]] = []

    def receive(headers: Any, body: bytes) -> int:
        got.extend((n.object, n.id) for n in connector.verify(Request("POST", "https://x/hook", headers, body)))
        return 204

    assert calendly.deliver(receive, backwards=True) == 5
    assert got[0] == ("event_types", calendly.event_type)
    assert [id for object, id in got if object == "meetings"] == [second, first, second, first]
    assert {(n.object, n.id) for n in noticed(connector, clock, "invitee_no_show.created", invitee(first))} == {
        ("invitees", first), ("meetings", first),
    }  # fmt: skip
    assert noticed(connector, clock, "routing_form_submission.created", {"uri": "x"}) == []
    body = b'{"event":"invitee.created","payload":{}}'
    good = header(clock, body)
    assert connector.verify(Request("POST", "u", {"calendly-webhook-signature": good}, body)) == []
    for wrong in ("", good.upper(), good.replace("v1", "v0"), f"{good}0", "t=ä,v1=ö", "t=,v1="):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": wrong}, body))
    with pytest.raises(AuthorizationLost, match="wrong"):
        connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": good}, body + b" "))
    clock.advance(180)
    assert connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": good}, body)) == []
    clock.advance(1)
    with pytest.raises(AuthorizationLost, match="old"):
        connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": good}, body))


def header(clock: ManualClock, body: bytes) -> str:
    at = str(int(clock.now().timestamp()))
    return f"t={at},v1={hmac.new(HOOK_SECRET.encode(), at.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def invitee(id: str) -> dict[str, Any]:
    event, _, mine = id.partition(":")
    return {"invitee": f"https://api.calendly.com/scheduled_events/{event}/invitees/{mine}"}


def noticed(connector: Connector, clock: ManualClock, event: str, payload: dict[str, Any]) -> list[Any]:
    body = orjson.dumps({"event": event, "payload": payload})
    return connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": header(clock, body)}, body))


def test_webhooks_need_their_secret_and_unsigned_ones_are_refused(
    calendly: CalendlySandbox, clock: ManualClock
) -> None:
    connector = connect(calendly, clock, auth={"access_token": Secret("x")})
    with pytest.raises(AuthorizationLost, match=r"auth\.webhook_secret"):
        connector.verify(Request("POST", "u", {}, b"{}"))
    connector.close()


def test_a_delivery_is_stamped_anew_and_given_up_after_a_day(calendly: CalendlySandbox, clock: ManualClock) -> None:
    hook = calendly.hook("invitee.created")
    calendly.book("ana@x.io")
    stamps: list[str] = []

    def receive(headers: Any, body: bytes) -> int:
        stamps.append(headers["Calendly-Webhook-Signature"])
        return 500

    for _ in range(3):
        assert calendly.deliver(receive) == 1
        clock.advance(12 * 3600)
    assert len(set(stamps)) == 3
    assert calendly.get("hooks", hook)["state"] == "disabled"
    calendly.book("bob@x.io")
    assert calendly.deliver(receive) == 0
