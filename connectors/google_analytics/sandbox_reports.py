"""The sandbox's reports: visits counted by day, grouped by what is asked for, with the habits of the real numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from config.clock import Clock

Row = dict[str, Any]
Group = tuple[list[str], list[Decimal]]
"""A row of a report: the values of its dimensions, and of its metrics."""

DIMENSIONS = {
    "date": "Date",
    "sessionCampaignName": "Session campaign",
    "sessionCampaignId": "Session campaign ID",
    "sessionSource": "Session source",
    "sessionMedium": "Session medium",
    "sessionDefaultChannelGroup": "Session default channel group",
    "landingPage": "Landing page",
    "deviceCategory": "Device category",
    "country": "Country",
    "eventName": "Event name",
    "customEvent:lead_ref": "Lead reference",
    "dateHour": "Date + hour (YYYYMMDDHH)",
    "firstUserSourceMedium": "First user source / medium",
    "firstUserCampaignName": "First user campaign",
    "firstUserDefaultChannelGroup": "First user default channel group",
    "sessionSourceMedium": "Session source / medium",
}
CLIENT = "customUser:client_id"
"""The custom dimension that a property may have registered."""
METRICS = {
    "sessions": "TYPE_INTEGER",
    "engagedSessions": "TYPE_INTEGER",
    "totalUsers": "TYPE_INTEGER",
    "newUsers": "TYPE_INTEGER",
    "keyEvents": "TYPE_FLOAT",
    "totalRevenue": "TYPE_CURRENCY",
    "eventCount": "TYPE_INTEGER",
    "advertiserAdCost": "TYPE_CURRENCY",
    "advertiserAdClicks": "TYPE_INTEGER",
    "advertiserAdImpressions": "TYPE_INTEGER",
}
UNSET = "(not set)"
NOT_WITH_COST = ("landingPage", "sessionDefaultChannelGroup", "deviceCategory")
MOST_DIMENSIONS, MOST_METRICS, MOST_ROWS = 9, 10, 250_000


class Refused(Exception):
    """A 400 with its message."""


@dataclass
class Quotas:
    """Tokens in fixed windows: the hour, and the day of the Pacific coast. A report costs `price`."""

    clock: Clock
    price: int = 5
    limits: dict[str, int] = field(
        default_factory=lambda: {"tokensPerDay": 200_000, "tokensPerHour": 40_000, "tokensPerProjectPerHour": 14_000}
    )
    used: dict[str, int] = field(default_factory=dict)
    window: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    concurrent: int = 10

    def turn(self) -> None:
        """Empty the buckets whose window is over."""
        now = self.clock.now()
        day = now.astimezone(ZoneInfo("America/Los_Angeles")).date().isoformat()
        for name in (*self.limits, "failures"):
            window = day if name == "tokensPerDay" else f"{now:%Y-%m-%dT%H}"
            if self.window.get(name) != window:
                self.window[name], self.used[name] = window, 0
                self.failures = 0 if name == "failures" else self.failures

    def empty(self) -> str:
        """The text of the 429 that is due; '' where none is."""
        self.turn()
        words = {
            "tokensPerDay": "per day",
            "tokensPerHour": "per hour",
            "tokensPerProjectPerHour": "per project per hour",
        }
        for name, word in words.items():
            if self.used[name] + self.price > self.limits[name]:
                return f"Exhausted property tokens {word}. These quota tokens will return in under 24 hours."
        if self.failures >= 10:
            return "Exhausted server errors per project per hour. These quota tokens will return in under one hour."
        return "" if self.concurrent > 0 else "Exhausted concurrent requests quota."

    def take(self) -> Row:
        """Charge a report; what a report tells of the buckets."""
        told: Row = {}
        for name, limit in self.limits.items():
            self.used[name] += self.price
            told[name] = {"consumed": self.price, "remaining": limit - self.used[name]}
        told["concurrentRequests"] = {"remaining": self.concurrent}
        told["serverErrorsPerProjectPerHour"] = {"remaining": 10 - self.failures}
        told["potentiallyThresholdedRequestsPerHour"] = {"remaining": 120}
        return told


@dataclass
class Habits:
    """What a property does to its numbers: `cardinality` rows a day before the rest is folded into (other); rows of
    fewer users than `threshold` left out; `sampled` scaled up."""

    cardinality: int = 0
    threshold: int = 0
    sampled: bool = False


def _number(asked: Mapping[str, Any], name: str, usual: int) -> int:
    told = str(asked.get(name) or usual)
    if not (told.isascii() and told.isdigit()):
        raise Refused(f"Invalid value at '{name}' (TYPE_INT64), {told!r}")
    return int(told)


def report(
    visits: Iterable[Row],
    asked: Mapping[str, Any],
    now: datetime,
    zone: str,
    currency: str,
    habits: Habits,
    custom: Mapping[str, str],
) -> Row:
    """The answer to a runReport, without its quota; `custom` are the property's own dimensions. Raises Refused."""
    dimensions, metrics = _names(asked, custom)
    chosen = [visit for visit in visits if _within(visit["date"], asked.get("dateRanges"), now, zone)]
    chosen = [visit for visit in chosen if _passes(visit, asked.get("dimensionFilter"), custom)]
    rows = _grouped(chosen, dimensions, metrics)
    about: Row = {"currencyCode": asked.get("currencyCode") or currency, "timeZone": zone}
    rows = _shaped(rows, len(dimensions), metrics, habits, about)
    for order in reversed(asked.get("orderBys") or ()):
        place = dimensions.index(order["dimension"]["dimensionName"])
        rows.sort(key=partial(_cell, place), reverse=bool(order.get("desc")))
    offset, limit = _number(asked, "offset", 0), min(_number(asked, "limit", 10_000), MOST_ROWS)
    told: Row = {
        "dimensionHeaders": [{"name": name} for name in dimensions],
        "metricHeaders": [{"name": name, "type": METRICS[name]} for name in metrics],
        "metadata": about,
        "kind": "analyticsData#runReport",
    }
    if some := [_shown(*row) for row in rows[offset : offset + limit]]:
        told["rows"] = some
    return {**told, **({"rowCount": len(rows)} if rows else {})}


def _cell(place: int, row: Group) -> str:
    return row[0][place]


def _passes(visit: Row, told: Any, custom: Mapping[str, str]) -> bool:
    """By a filter for one of some values, the only one that is spoken here."""
    if told is None:
        return True
    name, values = told["filter"]["fieldName"], told["filter"]["inListFilter"]["values"]
    if name not in DIMENSIONS and name not in custom:
        raise Refused(f"Field {name} is not a valid dimension. For a list of valid dimensions, see the docs.")
    if not values:
        raise Refused("InListFilter values must not be empty.")
    return visit.get(name, UNSET) in values


def _names(asked: Mapping[str, Any], custom: Mapping[str, str]) -> tuple[list[str], list[str]]:
    dimensions = [str(row.get("name")) for row in asked.get("dimensions") or ()]
    metrics = [str(row.get("name")) for row in asked.get("metrics") or ()]
    for name in dimensions:
        if name not in DIMENSIONS and name not in custom:
            raise Refused(f"Field {name} is not a valid dimension. For a list of valid dimensions, see the docs.")
    for name in metrics:
        if name not in METRICS:
            raise Refused(f"Field {name} is not a valid metric. For a list of valid metrics, see the docs.")
    if not metrics or len(dimensions) > MOST_DIMENSIONS or len(metrics) > MOST_METRICS:
        raise Refused(f"Requests are limited to {MOST_DIMENSIONS} dimensions and {MOST_METRICS} metrics.")
    cost = any(name.startswith("advertiserAd") for name in metrics)
    if cost and (clash := [name for name in dimensions if name in NOT_WITH_COST]):
        raise Refused(f"Please remove dimension {clash[0]} to make the request compatible.")
    return dimensions, metrics


def _within(day: str, ranges: Any, now: datetime, zone: str) -> bool:
    spans = [(_day(span["startDate"], now, zone), _day(span["endDate"], now, zone)) for span in ranges or ()]
    if not spans:
        raise Refused("A dateRange is required.")
    return any(start <= day <= end for start, end in spans)


def _day(text: str, now: datetime, zone: str) -> str:
    if text in ("today", "yesterday"):
        ago = 0 if text == "today" else 1
        local = now.astimezone(ZoneInfo(zone)).date()
        return local.fromordinal(local.toordinal() - ago).strftime("%Y%m%d")
    digits = text.replace("-", "")
    if len(text) != 10 or not digits.isdigit():
        raise Refused("Invalid date.")
    return digits


def _grouped(visits: list[Row], dimensions: list[str], metrics: list[str]) -> list[Group]:
    sums: dict[tuple[str, ...], list[Decimal]] = {}
    for visit in visits:
        key = tuple(str(_value(visit, name)) for name in dimensions)
        kept = sums.setdefault(key, [Decimal(0)] * len(metrics))
        sums[key] = [one + Decimal(str(visit.get(name, 0))) for one, name in zip(kept, metrics, strict=True)]
    return [(list(key), values) for key, values in sums.items() if any(values)]


def _value(visit: Row, name: str) -> Any:
    """A dimension of a visit. Pairs, hours and the user's first touch follow from the rest where they are not told."""
    if name in visit:
        return visit[name]
    if name == "sessionSourceMedium" and "sessionSource" in visit:
        return f"{visit['sessionSource']} / {visit.get('sessionMedium', UNSET)}"
    if name == "dateHour":
        return f"{visit['date']}12"
    return _value(visit, name.replace("firstUser", "session")) if name.startswith("firstUser") else UNSET


def _shaped(rows: list[Group], width: int, metrics: list[str], habits: Habits, about: Row) -> list[Group]:
    if habits.threshold and "totalUsers" in metrics:
        place = metrics.index("totalUsers")
        about["subjectToThresholding"] = True
        rows = [row for row in rows if row[1][place] >= habits.threshold]
    if habits.sampled:
        about["samplingMetadatas"] = [{"samplesReadCount": "500", "samplingSpaceSize": "1000"}]
    if habits.cardinality and len(rows) > habits.cardinality:
        about["dataLossFromOtherRow"] = True
        rows = _folded(rows, width, habits.cardinality)
    return rows


def _folded(rows: list[Group], width: int, most: int) -> list[Group]:
    """The largest rows, and the rest of each day as one called (other)."""
    rows = sorted(rows, key=lambda row: (-row[1][0], row[0]))
    rest: dict[str, list[Decimal]] = {}
    for names, values in rows[most:]:
        kept = rest.setdefault(names[0], [Decimal(0)] * len(values))
        rest[names[0]] = [one + other for one, other in zip(kept, values, strict=True)]
    return [*rows[:most], *(([day, *["(other)"] * (width - 1)], values) for day, values in rest.items())]


def _shown(names: list[str], values: list[Decimal]) -> Row:
    """All values are strings."""
    return {
        "dimensionValues": [{"value": name} for name in names],
        "metricValues": [{"value": format(value.normalize(), "f")} for value in values],
    }


def metadata(property: str, blocked: Iterable[str] = (), custom: Mapping[str, str] | None = None) -> Row:
    """The property's dimensions and metrics; custom ones marked."""
    dimensions = {**DIMENSIONS, **(custom or {})}
    reasons = {
        name: ["NO_COST_METRICS" if name.startswith("advertiserAd") else "NO_REVENUE_METRICS"] for name in blocked
    }
    return {
        "name": f"properties/{property}/metadata",
        "dimensions": [
            {
                "apiName": name,
                "uiName": label,
                "description": label,
                "category": "Custom" if ":" in name else "Traffic source",
                **({"customDefinition": True} if ":" in name else {}),
            }
            for name, label in dimensions.items()
        ],
        "metrics": [
            {
                "apiName": name,
                "uiName": name,
                "description": name,
                "type": kind,
                "category": "Session",
                **({"blockedReasons": reasons[name]} if name in reasons else {}),
                **({"deprecatedApiNames": ["conversions"]} if name == "keyEvents" else {}),
            }
            for name, kind in METRICS.items()
        ],
    }
