"""What the tests of Outreach share: opening, creating, looking at what was asked."""

from __future__ import annotations

from typing import Any

import orjson

from config.clock import ManualClock
from config.secrets import Secret
from connectors.api import Connector, Operation, Result, Verb
from connectors.outreach import client as wire
from connectors.outreach.sandbox import OutreachSandbox
from connectors.sandbox import Call
from tests.connectors.surroundings import connect

FIELDS = ["email", "otherEmails", "firstName", "emailOptedOut", "owner", "stageName"]


def opened(outreach: OutreachSandbox, clock: ManualClock, **settings: Any) -> Connector:
    auth = {
        name: Secret(value) if name in ("client_secret", "refresh_token", "webhook_secret") else value
        for name, value in outreach.account()["auth"].items()
    }
    return connect(outreach, clock, auth=auth, **settings)


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


def create(key: str, email: str, **values: Any) -> Operation:
    return Operation(key, Verb.CREATE, "prospects", {"email": email, **values}, match={"email": email})


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


def call_of(outreach: OutreachSandbox, path: str, query: dict[str, str]) -> Call:
    token = next(reversed(outreach.login.access))
    headers = {"authorization": f"Bearer {token}", "content-type": wire.MEDIA}
    return Call("GET", f"/api/v2/{path}", query, headers, b"")
