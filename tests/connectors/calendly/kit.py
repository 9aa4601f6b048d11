"""What the tests of Calendly share: opening, pulling, looking at what was asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson

from config.clock import ManualClock, stamp
from config.secrets import Secret
from connectors.api import Connector, Record
from connectors.calendly.sandbox import CalendlySandbox
from tests.connectors.surroundings import connect, pulled

SECRETS = ("access_token", "client_secret", "refresh_token", "webhook_secret")


def opened(calendly: CalendlySandbox, clock: ManualClock, **settings: Any) -> Connector:
    told = calendly.account()["auth"]
    auth = {name: Secret(value) if name in SECRETS else value for name, value in told.items()}
    return connect(calendly, clock, auth=auth, **settings)


def ahead(clock: ManualClock, **more: float) -> str:
    return stamp(clock.now() + timedelta(**more))


def raw(record: Record) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(record.raw)
    return told


def told(connector: Connector, object: str, cursor: str | None) -> tuple[dict[str, dict[str, Any]], str]:
    """What a pull tells, by id as the engine takes it (the last of each), and the cursor after it."""
    records, cursor = pulled(connector, object, cursor, [])
    return {record.id: raw(record) for record in records}, cursor


def asked(calendly: CalendlySandbox, path: str) -> list[Any]:
    return [line for line in calendly.log if line.path.endswith(path)]
