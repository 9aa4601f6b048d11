"""What the tests of Google Analytics share: opening, spreading visits over days, looking at what was asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson

from config.clock import ManualClock, stamp
from config.secrets import Secret
from connectors.api import Connector, Record
from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from tests.connectors.surroundings import connect

FIELDS = ["date", "campaign", "sessionSource", "sessions", "totalUsers", "totalRevenue"]


def opened(site: GoogleAnalyticsSandbox, clock: ManualClock, **settings: Any) -> Connector:
    secret = ("client_secret", "refresh_token", "api_secret")
    auth = {n: Secret(v) if n in secret else v for n, v in site.account()["auth"].items()}
    return connect(site, clock, auth=auth, **settings)


def raws(records: list[Record]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records if record.gone is None]


def asked(site: GoogleAnalyticsSandbox) -> list[Any]:
    return [line for line in site.log if line.path.endswith(":runReport")]


def spread(site: GoogleAnalyticsSandbox, most: int = 20) -> None:
    site.created = stamp(site.clock.now() - timedelta(days=most))
    for ago in range(most):
        site.visit("Spring", ago=ago, sessions=ago + 1, totalUsers=1, totalRevenue="1.5")
