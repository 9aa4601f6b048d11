"""What the tests of HubSpot share: filling a portal, writing, looking at what came back."""

from __future__ import annotations

from typing import Any

import orjson

from connectors.hubspot.sandbox import HubSpotSandbox

FIELDS = ["email", "firstname", "lifecyclestage"]


def fill(portal: HubSpotSandbox, number: int) -> list[str]:
    return [portal.put("contacts", {"email": f"p{n}@x.io", "firstname": f"P{n}"}) for n in range(number)]


def values(record: Any) -> dict[str, Any]:
    return orjson.loads(record.raw)  # type: ignore[no-any-return]
