"""Who is in which campaign, and with what status, as one activity per campaign and person.

Nothing tells when somebody got a status. In a first pull, where all is new, it is dated to the campaign's start; later
to the pull that first sees it, which is at most as far off as pulls and sweeps lie apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import Record
from connectors.zoho.client import Client, Row
from connectors.zoho.objects import PEOPLE
from connectors.zoho.sweeps import Part, Ties

FIELDS = ("Start_Date", "Created_Time")


def _read(client: Client, campaigns: Sequence[Row], at: str, first: bool) -> Iterator[Part]:
    """Pages of members; a campaign is told with the last page of its own, which may be an empty one."""
    for campaign in campaigns:
        held: Sequence[Record] = ()
        for page in _pages(client, campaign, _dated(campaign, at) if first else at):
            if held:
                yield held, {}
            held = page
        yield held, campaign


MEMBERS = Ties("campaigns", FIELDS, _read)


def member_records(client: Client, campaigns: Sequence[Row], at: str) -> Iterator[Record]:
    """All members of these campaigns."""
    return chain.from_iterable(page for campaign in campaigns for page in _pages(client, campaign, at))


def _pages(client: Client, campaign: Row, at: str) -> Iterator[Sequence[Record]]:
    id = client.id_of(campaign)
    for module, object in PEOPLE.items():
        made = partial(_member, id, object, at)
        for rows in client.related("Campaigns", id, module, {"fields": "Member_Status"}):
            yield [made(row) for row in rows]


def _dated(campaign: Row, at: str) -> str:
    """The campaign's start, else when it was made; not after `at`."""
    day, made = campaign.get("Start_Date"), campaign.get("Created_Time")
    told = f"{day}T00:00:00+00:00" if day else str(made or at)
    return min(stamp(unstamp(told)), at)


def _member(campaign: str, object: str, at: str, row: Row) -> Record:
    status = row.get("Member_Status")
    raw: dict[str, Any] = {
        "Campaign": campaign,
        "Person_Id": str(row["id"]),
        "Person_Object": object,
        "Member_Status": status.get("name") if isinstance(status, dict) else status,
        "Member_Time": at,
    }
    return Record(f"{campaign}/{row['id']}", orjson.dumps(raw))
