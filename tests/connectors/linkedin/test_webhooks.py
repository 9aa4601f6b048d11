"""LinkedIn's webhooks: challenges, deliveries, and whom to believe."""

from __future__ import annotations

import hmac
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
)
from config.secrets import Secret
from connectors.api import Connector, Gone, Request
from connectors.linkedin.sandbox import LinkedInSandbox
from connectors.linkedin.sandbox_leads import signed
from connectors.linkedin.sandbox_login import APP
from connectors.linkedin.webhook import challenge
from tests.connectors.linkedin.kit import ANA, FIELDS, person
from tests.connectors.surroundings import connect, pulled


def receiver(connector: Connector, got: list[tuple[str, str]]) -> Any:
    """Somebody's endpoint: answers challenges, verifies deliveries."""

    def receive(method: str, url: str, headers: Any, body: bytes) -> tuple[int, Any]:
        if method == "GET":
            query = dict(part.split("=") for part in url.partition("?")[2].split("&"))
            return 200, challenge(query, APP["client_secret"])
        got.extend((n.object, n.id) for n in connector.verify(Request(method, url, headers, body)))
        return 200, None

    return receive


# webhooks


def test_deliveries_point_at_responses_and_come_twice(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.hook()
    got: list[tuple[str, str]] = []
    linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, got)) == 0  # not challenged yet
    assert linkedin.challenge_hooks(receiver(connector, got)) == [200]
    id = linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, got)) == 2
    assert got == [("leads", id), ("submissions", id)] * 2


def test_a_deletion_is_told_on_by_the_next_pull_and_once(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.hook()
    linkedin.challenge_hooks(receiver(connector, []))
    kept, gone = linkedin.submit(ANA), linkedin.submit(person(1))
    clock.advance(3600)
    _, cursor = pulled(connector, "leads", None, FIELDS)
    _, activities = pulled(connector, "submissions", None, [])
    clock.advance(3600)
    linkedin.remove("leads", gone)
    linkedin.deliver(receiver(connector, []))
    assert connector.read("leads", "id", [gone, kept, "no"], FIELDS)[gone].gone is Gone.ERASED
    clock.advance(60)
    records, cursor = pulled(connector, "leads", cursor, FIELDS)
    assert [(record.id, record.gone) for record in records] == [(gone, Gone.ERASED)]
    assert [r.gone for r in pulled(connector, "submissions", activities, [])[0]] == [Gone.ERASED]
    clock.advance(3600)
    _, cursor = pulled(connector, "leads", cursor, FIELDS)
    clock.advance(3600)
    assert pulled(connector, "leads", cursor, FIELDS)[0] == []


def test_a_hook_that_misses_three_challenges_is_closed(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.hook()
    linkedin.challenge_hooks(receiver(connector, []))
    for _ in range(2):
        assert linkedin.challenge_hooks(lambda *call: (0, None)) == []  # not due yet
        clock.advance(7200)
        linkedin.challenge_hooks(lambda *call: (0, None))
    linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, [])) == 2  # two misses are forgiven
    clock.advance(7200)
    linkedin.challenge_hooks(lambda *call: (500, None))
    linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, [])) == 0


def test_deliveries_are_believed_by_their_signature_only(linkedin: LinkedInSandbox, connector: Connector) -> None:
    body = orjson.dumps({"type": "LEAD_ACTION", "leadGenFormResponse": "urn:li:leadGenFormResponse:a-1"})
    good = signed(body, APP["client_secret"])
    assert [n.id for n in connector.verify(Request("POST", "u", {"x-li-signature": good}, body))] == ["a-1", "a-1"]
    plain = hmac.new(APP["client_secret"].encode(), body, "sha256").hexdigest()
    for headers in ({}, {"X-LI-Signature": plain}, {"X-LI-Signature": f"hmacsha256={good}"}, {"X-LI-Signature": "ä"}):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", headers, body))
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", {"X-LI-Signature": good}, body + b" "))
    other = orjson.dumps([{"type": "ORGANIZATION_SOCIAL_ACTION"}, 7])
    told = {"X-LI-Signature": signed(other, APP["client_secret"])}
    assert connector.verify(Request("POST", "u", told, other)) == []


def test_a_challenge_is_answered_by_the_secret(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    told = challenge({"challengeCode": "890e4665-4dfe-4ab1-b689-ed553bceeed0", "applicationId": "1"}, "secret")
    assert told["challengeCode"] == "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    assert len(told["challengeResponse"]) == 64
    assert told["challengeResponse"] == told["challengeResponse"].lower()
    with pytest.raises(AuthorizationLost):
        challenge({}, "secret")
    bare = connect(linkedin, clock, auth={"access_token": Secret(linkedin.login.first)})
    with pytest.raises(AuthorizationLost, match="client_secret"):
        bare.verify(Request("POST", "u", {}, b"{}"))
    bare.close()


# the sandbox itself


@pytest.mark.parametrize("code", ["", "hmacsha256=[]", "a=b", "x" * 65])
def test_nothing_that_a_delivery_could_be_signed_with_is_signed_for_a_challenge(code: str) -> None:
    """Anybody may ask: a challenge whose code is the signed text of a delivery would forge one."""
    with pytest.raises(AuthorizationLost):
        challenge({"challengeCode": code}, APP["client_secret"])
