"""What a delivery's events say to read, and that ties are read by the records they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from config.clock import ManualClock
from connectors.hubspot.webhook import notices
from tests.connectors.hubspot.test_hubspot import portal
from tests.connectors.surroundings import connect

__all__ = ["portal"]


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
