"""Webhooks: the signature of a delivery, and which records it says to read.

Events come in any order, more than once, up to a hundred at a time. Those about ties name both records and none as
their object.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.api import Notice, Request

WINDOW = 300_000
"""Milliseconds for which a signature is believed."""
_KINDS = {"contact": "contacts", "company": "companies", "deal": "deals"}
_TIES = {"deal": ("deals", "deal_contacts", "contact"), "contact": ("contacts", "contact_companies", "company")}
"""Of the record that a tie belongs to: its object, the object of the ties, the other record."""


def is_genuine(request: Request, secret: str, now: datetime) -> bool:
    """Whether the delivery bears signature v3 (over method, public address, body and time), and is no older than it
    may be."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    sent = headers.get("x-hubspot-request-timestamp", "")
    signed = request.method.encode() + request.url.encode() + request.body + sent.encode()
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
    known = sent.isascii() and sent.isdigit()
    age = now.timestamp() * 1000 - int(sent) if known else float("inf")
    return hmac.compare_digest(digest, headers.get("x-hubspot-signature-v3", "").encode()) and abs(age) <= WINDOW


def notices(events: Sequence[Mapping[str, Any]]) -> Iterator[Notice]:
    """What to read: the records that the events are about, and the ties of those that are new or were tied."""
    for event in events:
        name, _, what = str(event.get("subscriptionType", "")).partition(".")
        if what == "associationChange":
            yield from _tied(event)
        elif name in _KINDS and "objectId" in event:
            yield Notice(_KINDS[name], str(event["objectId"]))
            if what == "creation" and name in _TIES:
                yield Notice(_TIES[name][1], str(event["objectId"]))


def _tied(event: Mapping[str, Any]) -> Iterator[Notice]:
    """An association is told from either side: `CONTACT_TO_DEAL`."""
    one, _, other = str(event.get("associationType", "")).lower().partition("_to_")
    for here, there, id in ((one, other, event.get("fromObjectId")), (other, one, event.get("toObjectId"))):
        if here in _TIES and _TIES[here][2] == there and id:
            yield Notice(_TIES[here][1], str(id))
