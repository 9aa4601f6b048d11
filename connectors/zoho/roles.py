"""Who takes part in a deal, as one record per deal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

from connectors.api import Record
from connectors.zoho.client import Client, Row
from connectors.zoho.objects import moment
from connectors.zoho.sweeps import Part, Ties

FIELDS = ("Contact_Name.id",)


def _read(client: Client, deals: Sequence[Row], at: str, first: bool) -> Iterator[Part]:
    if deals:
        yield tie_records(client, deals), deals[-1]


ROLES = Ties("deals", FIELDS, _read)


def tie_records(client: Client, deals: Sequence[Row]) -> list[Record]:
    """All that each of the deals says of its people; without people, that too."""
    return [_tie(deal, list(client.contact_roles(client.id_of(deal)))) for deal in deals]


def _tie(deal: Row, rows: Sequence[Row]) -> Record:
    """The deal's main contact takes part, with or without a role. The role is the main contact's, else the one that
    all share."""
    main = str((deal.get("Contact_Name") or {}).get("id") or "")
    roles = {str(row["id"]): (row.get("Contact_Role") or {}).get("name") for row in rows}
    if main:
        roles.setdefault(main, None)
    shared = set(roles.values())
    raw = {
        "from_object": "deals",
        "from_id": str(deal["id"]),
        "to_object": "contacts",
        "to_ids": sorted(roles),
        "role": roles.get(main) or (shared.pop() if len(shared) == 1 else None),
        "primary": bool(main),
    }
    return Record(str(deal["id"]), orjson.dumps(raw), moment(deal.get("Modified_Time")))
