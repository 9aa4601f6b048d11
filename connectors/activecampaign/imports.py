"""Bulk imports: up to 250 contacts handed over at once, taken in by ActiveCampaign in its own time.

An import never puts anybody back on a list whom they left, whatever it says. It starts no webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from config.clock import Clock
from config.errors import ClosedloopError, InDoubt
from connectors.activecampaign.client import Client, Row

BATCH = 250
LARGEST = 350_000
"""Bytes of one import: 400,000 are said to be the limit."""
FIRST_LOOK, LONGEST_LOOK = 1.0, 30.0
"""Seconds between looks at an import."""
PATIENCE = 3600.0
"""Seconds after which an import is left alone; what it did is then looked up like any lost answer."""
BROKEN = ("failed", "interrupted")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an import: the ids it took in, in no known order, and the addresses it refused, in lower case."""

    ids: tuple[str, ...]
    refused: frozenset[str]


def take_in(client: Client, clock: Clock, contacts: Mapping[str, Row]) -> Taken:
    """Import `contacts` (by address) and wait for the end. RecordRejected where the import is refused as a whole,
    InDoubt where it was handed over and does not tell its end."""
    batch = client.queue(list(contacts.values()))
    wait, waited = FIRST_LOOK, 0.0
    while waited < PATIENCE:
        clock.sleep(wait)
        waited, wait = waited + wait, min(wait * 2, LONGEST_LOOK)
        try:
            told = client.imported(batch)
        except ClosedloopError as error:
            raise InDoubt("ActiveCampaign does not tell how the import stands.") from error
        if told.get("status") == "completed":
            refused = frozenset(str(email).casefold() for email in told.get("failure") or ())
            return Taken(tuple(str(id) for id in told.get("success") or ()), refused)
        if told.get("status") in BROKEN:
            raise InDoubt("ActiveCampaign's import broke off.")
    raise InDoubt("ActiveCampaign's import is not done after an hour.")


def portions(contacts: Mapping[str, Row]) -> list[dict[str, Row]]:
    """The contacts in as few imports as they fit into."""
    found: list[dict[str, Row]] = [{}]
    size = 0
    for email, contact in contacts.items():
        weight = len(orjson.dumps(contact)) + 1
        if len(found[-1]) >= BATCH or size + weight > LARGEST:
            found.append({})
            size = 0
        found[-1][email] = contact
        size += weight
    return [some for some in found if some]
