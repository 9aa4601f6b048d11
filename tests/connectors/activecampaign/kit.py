"""What the tests of ActiveCampaign share: opening, writing, looking at what came back."""

from __future__ import annotations

from typing import Any

import orjson

from config.clock import ManualClock
from config.secrets import Secret
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector, Operation, Result, Verb
from tests.connectors.surroundings import connect

FIELDS = ["email", "firstName", "consent", "tags.customer", "lists.1", "joined.2", "fields.JOB_TITLE"]
SECRETS = ("api_key", "webhook_token")


def opened(ac: ActiveCampaignSandbox, clock: ManualClock, **settings: Any) -> Connector:
    auth = {name: Secret(value) if name in SECRETS else value for name, value in ac.account()["auth"].items()}
    return connect(ac, clock, auth=auth, **settings)


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


def create(key: str, email: str, **values: Any) -> Operation:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return Operation(key, Verb.CREATE, "contacts", {"email": email, **named}, match={"email": email})


def update(key: str, id: str, **values: Any) -> Operation:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return Operation(key, Verb.UPDATE, "contacts", named, id=id)


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


def raw(result: Result) -> Any:
    assert result.error is None
    assert result.record is not None
    return orjson.loads(result.record.raw)


def codes(results: dict[str, Result]) -> dict[str, str]:
    return {key: result.error.code for key, result in results.items() if result.error is not None}
