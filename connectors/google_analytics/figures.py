"""What a report of figures asks for, and how its rows become records.

The fields of a mapping are dimensions and metrics by the property's own names, or one of those that are made here. What
ads cost comes by a report of its own: it does not go with the landing page and the channel.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from config.errors import Misconfigured
from connectors.api import FieldSchema, Record
from connectors.google_analytics.client import Report

DAY = "date"
MOST_DIMENSIONS, MOST_METRICS = 9, 10
COST = "advertiserAd"
"""How the names of what ads cost begin."""
OF_COST = (DAY, "sessionCampaignName", "sessionCampaignId", "sessionSource", "sessionMedium")
NO_CAMPAIGN = frozenset(
    {
        "",
        "(not set)",
        "(direct)",
        "(none)",
        "(other)",
        "(organic)",
        "(referral)",
        "(not provided)",
        "(data not available)",
    }
)
"""What stands where there is no campaign, or none that is known."""
CAMPAIGNS = {"campaign": "sessionCampaignName", "campaignId": "sessionCampaignId"}
"""Made fields -> the dimension that each is made of: null where that tells no campaign."""
MADE = {
    "campaign": "text",
    "campaignId": "text",
    "currencyCode": "text",
    "timeZone": "text",
    "report": "text",
    "sampled": "boolean",
    "thresholded": "boolean",
    "incomplete": "boolean",
}
_TYPES = {"TYPE_INTEGER": "integer"}
ID = 12
"""Letters of a row's id within its day: 72 bits of a digest."""


@dataclass(frozen=True, slots=True)
class Query:
    """One report: its name, dimensions (the day first) and metrics."""

    name: str
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]


def described(metadata: Mapping[str, Any]) -> dict[str, FieldSchema]:
    """The property's dimensions and metrics and the fields made here; without what the log-in may not see."""
    found = {name: FieldSchema(name, type, writable=False) for name, type in MADE.items()}
    for row in metadata.get("dimensions") or ():
        name = row["apiName"]
        found[name] = FieldSchema(name, "date" if name == DAY else "text", str(row.get("uiName") or ""), writable=False)
    for row in _seen(metadata):
        name, kind = row["apiName"], _TYPES.get(str(row.get("type")), "number")
        found[name] = FieldSchema(name, kind, str(row.get("uiName") or ""), writable=False)
    return found


def _seen(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in metadata.get("metrics") or () if not row.get("blockedReasons")]


def queries(metadata: Mapping[str, Any], fields: Sequence[str]) -> list[Query]:
    """The reports that tell `fields`. Raises Misconfigured for what is unknown, or more than a report takes."""
    metrics = {row["apiName"] for row in _seen(metadata)}
    known = described(metadata).keys()
    wanted = list(dict.fromkeys(CAMPAIGNS.get(name, name) for name in fields if name in CAMPAIGNS or name not in MADE))
    if unknown := [name for name in wanted if name not in known]:
        raise _unfit(f"The property has no dimension or metric {', '.join(unknown)}.", unknown[0])
    dimensions = (DAY, *(name for name in wanted if name not in metrics and name != DAY))
    counted = tuple(name for name in wanted if name in metrics and not name.startswith(COST))
    cost = tuple(name for name in wanted if name in metrics and name.startswith(COST))
    if len(dimensions) > MOST_DIMENSIONS or max(len(counted), len(cost)) > MOST_METRICS:
        raise _unfit(
            f"A report takes {MOST_DIMENSIONS} dimensions, the day one of them, and {MOST_METRICS} metrics.", ""
        )
    of_cost = tuple(name for name in dimensions if name in OF_COST)
    made = [Query("visits", dimensions, counted), Query("cost", of_cost, cost)]
    return [query for query in made if query.metrics]


def _unfit(what: str, field: str) -> Misconfigured:
    return Misconfigured(what, fix="Correct the mapping of figures.", object="figures", field=field)


def day_of(id: str) -> str:
    """The day that stands in a record's id; '' where it is no id of ours."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d):[\w-]{12}", id, re.ASCII)
    return found[1] if found else ""


def row_id(query: Query, row: Mapping[str, str]) -> str:
    """The row's name within its day: the same whenever the same dimensions have the same values."""
    told = [query.name, *(f"{name}={row[name]}" for name in sorted(query.dimensions) if name != DAY)]
    digest = hashlib.blake2b("\x1f".join(told).encode("utf-8", "surrogatepass"), digest_size=ID * 3 // 4).digest()
    return urlsafe_b64encode(digest).decode()


def records(query: Query, day: str, report: Report) -> list[Record]:
    """The rows of a page, each with what was told of the whole report."""
    about = {
        "report": query.name,
        "currencyCode": report.currency,
        "timeZone": report.zone,
        "sampled": report.sampled,
        "thresholded": report.thresholded,
        "incomplete": report.incomplete,
    }
    return [
        Record(f"{day}:{row_id(query, row)}", orjson.dumps({**row, **_campaigns(row), **about})) for row in report.rows
    ]


def _campaigns(row: Mapping[str, str]) -> dict[str, str | None]:
    return {made: None if row[of] in NO_CAMPAIGN else row[of] for made, of in CAMPAIGNS.items() if of in row}
