"""Connectors and operations for the tests of Constant Contact."""

from __future__ import annotations

from typing import Any

import orjson

from config.clock import ManualClock
from config.secrets import Secret
from connectors.api import Connector, Operation, Result, Verb
from connectors.constant_contact.sandbox import ConstantContactSandbox
from tests.connectors.surroundings import connect

FIELDS = ["email", "permission_to_send", "first_name", "last_name", "job_title"]


def opened(cc: ConstantContactSandbox, clock: ManualClock, **settings: Any) -> Connector:
    auth = {
        name: Secret(value) if name in ("client_secret", "refresh_token") else value
        for name, value in cc.account()["auth"].items()
    }
    return connect(cc, clock, auth=auth, **settings)


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


def create(key: str, email: str, **values: Any) -> Operation:
    return Operation(key, Verb.CREATE, "contacts", {"email": email, **named(values)}, match={"email": email})


def update(key: str, id: str, **values: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "contacts", named(values), id=id)


def named(values: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in values.items()}


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}
