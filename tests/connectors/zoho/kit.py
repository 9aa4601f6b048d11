"""What the tests of Zoho share: opening, creating, looking at what was sent."""

from __future__ import annotations

from typing import Any

import orjson

from config.clock import ManualClock
from config.secrets import Secret
from connectors.api import Connector, Operation, Result, Verb
from connectors.sandbox import Call, Logged
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import connect

FIELDS = ["Email", "First_Name", "Last_Name", "Email_Opt_Out", "Owner.id"]


def opened(zoho: ZohoSandbox, clock: ManualClock, **settings: Any) -> Connector:
    auth = {
        name: Secret(value) if name in ("client_secret", "refresh_token", "webhook_secret") else value
        for name, value in zoho.account()["auth"].items()
    }
    return connect(zoho, clock, auth=auth, **settings)


def lead(zoho: ZohoSandbox, email: str, **values: Any) -> str:
    """A person makes a lead; its id."""
    return zoho.put("leads", {"Last_Name": "Ruiz", "Company": "Acme", "Email": email, **values})


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


def create(key: str, email: str, **values: Any) -> Operation:
    given = {"Last_Name": "Ruiz", "Company": "Acme", "Email": email, **values}
    return Operation(key, Verb.CREATE, "leads", given, match={"Email": email})


def update(key: str, id: str, **values: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "leads", {name.replace("__id", ".id"): v for name, v in values.items()}, id=id)


def away(verb: Verb, object: str, *ids: str) -> list[Operation]:
    return [Operation(id, verb, object, {}, id=id) for id in ids]


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


def sent(zoho: ZohoSandbox, line: str) -> list[Logged]:
    """The calls whose `METHOD /path` ends with `line`."""
    method, _, path = line.partition(" ")
    return [logged for logged in zoho.log if logged.method == method and logged.path.endswith(path)]


def asked(zoho: ZohoSandbox, path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
    """(status, JSON) of a call of our own."""
    token = next(reversed(zoho.login.access))
    given = {"authorization": f"Zoho-oauthtoken {token}", **(headers or {})}
    answer = zoho.answer(Call("GET", f"/crm/v8/{path}", query, given, b""))
    return answer.status, orjson.loads(answer.body) if answer.body else None


def queried(zoho: ZohoSandbox, text: str) -> Any:
    """(status, JSON) of a COQL query of our own."""
    token = next(reversed(zoho.login.access))
    body = orjson.dumps({"select_query": text})
    answer = zoho.answer(Call("POST", "/crm/v8/coql", {}, {"authorization": f"Zoho-oauthtoken {token}"}, body))
    return answer.status, orjson.loads(answer.body) if answer.body else None


# large pushes


def person(n: int, **values: Any) -> Operation:
    """A create that is known by our own unique field, and by its address."""
    key, email = f"cl_{n}", f"p{n}@x.io"
    given = {"Closedloop_Id": key, "Email": email, "Last_Name": f"N{n}", "Company": "Acme", **values}
    return Operation(f"op{n}", Verb.CREATE, "leads", given, match={"Closedloop_Id": key, "Email": email})


def people(number: int, **values: Any) -> list[Operation]:
    return [person(n, **values) for n in range(number)]


def by_hundreds(zoho: ZohoSandbox) -> int:
    """How many rows went by the hundred."""
    lines = [line for line in zoho.log if line.path.startswith("/crm/v8/Leads") and line.method in ("POST", "PUT")]
    return sum(len(orjson.loads(line.body)["data"]) for line in lines)


def errors(results: dict[str, Result]) -> dict[str, tuple[type, str]]:
    return {key: (type(r.error), r.error.code) for key, r in results.items() if r.error is not None}
