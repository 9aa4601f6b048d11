"""Whom to believe of HubSpot's webhooks, what their events say to read, and that ties are read by their records."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost
from config.secrets import Secret
from connectors.api import Request
from connectors.hubspot.sandbox import HubSpotSandbox
from connectors.hubspot.webhook import notices
from tests.connectors.surroundings import connect


@pytest.mark.parametrize(
    ("event", "read"),
    [
        ({"subscriptionType": "contact.propertyChange", "objectId": 5}, [("contacts", "5")]),
        ({"subscriptionType": "deal.creation", "objectId": 5}, [("deals", "5"), ("deal_contacts", "5")]),
        ({"subscriptionType": "company.creation", "objectId": 5}, [("companies", "5")]),
        ({"subscriptionType": "contact.merge", "objectId": 9, "mergedObjectIds": [3]}, [("contacts", "9")]),
        (
            {
                "subscriptionType": "contact.associationChange",
                "associationType": "CONTACT_TO_DEAL",
                "fromObjectId": 1,
                "toObjectId": 2,
            },
            [("deal_contacts", "2")],
        ),
        (
            {
                "subscriptionType": "company.associationChange",
                "associationType": "COMPANY_TO_CONTACT",
                "fromObjectId": 3,
                "toObjectId": 4,
            },
            [("contact_companies", "4")],
        ),
        ({"subscriptionType": "ticket.creation", "objectId": 5}, []),
        ({"subscriptionType": "contact.deletion"}, []),
    ],
)
def test_an_event_says_what_to_read(event: Mapping[str, Any], read: list[tuple[str, str]]) -> None:
    assert [(notice.object, notice.id) for notice in notices([event])] == read


def test_ties_are_read_by_their_deal(portal: Any, clock: ManualClock) -> None:
    person = portal.put("contacts", {"email": "ana@x.io"})
    deal = portal.put("deals", {"dealname": "D"})
    portal.associate("deals", deal, "contacts", person)
    connector = connect(portal, clock)
    found = connector.read("deal_contacts", "id", [deal, "no number"], [])
    [pulled] = [r for page in connector.pull("deal_contacts", None, []) for r in page.records]
    assert list(found) == [deal]
    assert found[deal] == pulled
    connector.close()


def test_a_webhook_is_believed_only_with_its_signature(portal: HubSpotSandbox, clock: ManualClock) -> None:
    connector = connect(portal, clock, auth={"mode": "token", "token": "t", "client_secret": Secret("shh")})
    body = orjson.dumps(
        [{"subscriptionType": "contact.creation", "objectId": 7}, {"subscriptionType": "x.y", "objectId": 8}]
    )
    sent = str(int(clock.now().timestamp() * 1000))
    signed = b"POST" + b"https://h/hook" + body + sent.encode()
    digest = base64.b64encode(hmac.new(b"shh", signed, hashlib.sha256).digest()).decode()
    headers = {"X-HubSpot-Signature-v3": digest, "X-HubSpot-Request-Timestamp": sent}
    notices = connector.verify(Request("POST", "https://h/hook", headers, body))
    assert [(notice.object, notice.id) for notice in notices] == [("contacts", "7"), ("contact_companies", "7")]
    for wrong in (
        Request("POST", "https://h/hook", headers, body + b" "),
        Request("POST", "https://h/other", headers, body),
        Request("POST", "https://h/hook", {}, body),
    ):
        with pytest.raises(AuthorizationLost):
            connector.verify(wrong)
    clock.advance(301)
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "https://h/hook", headers, body))
    connector.close()
