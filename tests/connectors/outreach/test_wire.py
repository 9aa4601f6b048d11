"""Outreach's wire format, pinned; what is sent fits the published description."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import orjson

from config.clock import ManualClock
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.outreach.sandbox import OutreachSandbox
from connectors.sandbox import Logged
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import RECORDING, play, shown, told, validate
from tests.shared import shared

CASSETTES = Path(__file__).parent / "cassettes"
FIELDS = ["email", "firstName", "emailOptedOut", "stageName", "owner"]
OTHERS = {
    "users": ["email", "name", "active"],
    "accounts": ["name", "domain"],
    "sequences": ["name", "status"],
    "opportunities": ["name", "value", "stageName", "stageClosed", "stageWon"],
    "opportunity_prospects": ["from_id", "to_ids"],
    "mailings": ["type", "at", "prospect"],
    "sequence_states": ["repliedAt", "prospect", "sentiment"],
    "calls": ["at", "prospect"],
    "tasks": ["at", "prospect", "state"],
}


def world() -> tuple[OutreachSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    sandbox = OutreachSandbox(seed=1, clock=clock)
    values = {"firstName": "Žofia", "owner": sandbox.user, "stage": sandbox.stages["New"]}
    people = [sandbox.put("prospects", {**values, "email": f"p{n}@example.com"}) for n in range(4)]
    sequence = sandbox.put("sequences", {"name": "Inbound"})
    mail = sandbox.mail(people[0], "Hello", sequence=sequence)
    sandbox.happen(mail, "opened")
    sandbox.enrol(people[0], sequence)
    sandbox.put("accounts", {"name": "A", "domain": "a.example"})
    sandbox.put("calls", {"prospect": people[0], "dialedAt": "2026-11-20T10:00:00.000Z"})
    sandbox.close(sandbox.deal("D", people[:2]), won=True, day="2026-11-20")
    sandbox.remove("prospects", people[3])
    return sandbox, clock


def connector(sandbox: OutreachSandbox, clock: ManualClock, base: str) -> Connector:
    told = sandbox.account()
    secret = registry.facts("outreach").auth["oauth"].secrets
    auth = {name: Secret(value) if name in secret else value for name, value in told["auth"].items()}
    account = Account("outreach", "outreach", auth, told["settings"], base)
    return registry.platform("outreach").open(account, Surroundings(clock, Budget(), Tokens()))


def tour(outreach: Connector, sandbox: OutreachSandbox, clock: ManualClock) -> list[Any]:
    """Every sort of call once."""
    out: list[Any] = [outreach.check().account_id, len(outreach.describe("prospects").fields)]
    cursors = {}
    ids = [row["id"] for row in sandbox.all("prospects")]
    sequence = sandbox.all("sequences")[0]["id"]
    for object, fields in {"prospects": FIELDS, **OTHERS}.items():
        for page in outreach.pull(object, None, fields):
            out += [shown(record) for record in page.records]
            cursors[object] = page.cursor
    clock.advance(60)
    for object in ("prospects", "opportunity_prospects"):
        for page in outreach.pull(object, cursors[object], FIELDS if object == "prospects" else []):
            out += [shown(record) for record in page.records]
    create = Operation("c", Verb.CREATE, "prospects", {"email": "n@example.com", "workPhone": "+49301"})
    known = Operation("k", Verb.CREATE, "prospects", {"email": "p0@example.com", "firstName": "K"})
    values = {"firstName": "N", "email": "new@example.com", "emailOptedOut": True, "owner": "101"}
    update = Operation("u", Verb.UPDATE, "prospects", values, id=ids[1])
    enrol = Operation("e", Verb.UPDATE, "prospects", {f"sequences.{sequence}": True}, id=ids[2])
    wrong = Operation("w", Verb.UPDATE, "prospects", {"firstName": "x" * 99}, id=ids[0])
    away = Operation("a", Verb.ARCHIVE, "prospects", {}, id=ids[2])
    out += [told(result) for result in outreach.push([create, known, update, enrol, wrong], FIELDS)]
    brief = {"subject": "S", "body": "B", "person": f"prospects/{ids[0]}", "reference": "r1"}
    out += [told(result) for result in outreach.push([Operation("t", Verb.CREATE, "tasks", brief)], [])]
    out += [told(result) for result in outreach.push([away], [])]
    out += sorted(outreach.read("prospects", "email", ["n@example.com", "no@example.com"], FIELDS))
    return [*out, sorted(outreach.read("tasks", "reference", ["r1"], []))]


def test_the_wire_format_stands() -> None:
    sandbox, clock = world()
    if RECORDING:
        sandbox.start()
    outreach = connector(sandbox, clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(outreach, world()[0], clock))
    outreach.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert "uthorization" not in text
    assert "sandbox-app-secret" not in text
    assert "refresh-" not in text
    assert "access-" not in text


# the published description


@cache
def spec() -> Any:
    return orjson.loads(shared("specs", "outreach", "outreach-openapi.json").read_bytes())


def template(line: Logged) -> str:
    return re.sub(r"/\d+", "/{id}", line.path.removeprefix("/api/v2"))


def nulled(schema: Any) -> Any:
    """`nullable` of OpenAPI 3.0 in the words of JSON Schema."""
    if isinstance(schema, list):
        return [nulled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: nulled(value) for name, value in schema.items()}
    if made.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


@cache
def components() -> Any:
    return nulled(spec()["components"])


def described(line: Logged) -> tuple[str, Any] | None:
    place = spec()["paths"].get(template(line), {}).get(line.method.lower())
    if place is None or "requestBody" not in place:
        return None
    body = place["requestBody"]["content"]["application/vnd.api+json"]["schema"]
    return f"{line.method} {template(line)}", {**nulled(body), "components": components()}


def toured() -> OutreachSandbox:
    sandbox, clock = world()
    with sandbox:
        outreach = connector(sandbox, clock, sandbox.base_url)
        tour(outreach, sandbox, clock)
        outreach.close()
    return sandbox


def test_sent_bodies_fit_the_published_description() -> None:
    spec()
    sandbox = toured()
    checked = validate(sandbox.log, described)
    for line in sandbox.log:
        if line.method in ("POST", "PATCH") and line.path.startswith("/api/v2"):
            data = orjson.loads(line.body)["data"]
            kind = data["type"]
            known = spec()["components"]["schemas"]
            assert set(data.get("attributes") or {}) <= set(known[kind]["properties"])
            assert set(data.get("relationships") or {}) <= set(known[f"{kind}Relationships"]["properties"])
    print(dict(checked))
    assert set(checked) == {"POST /prospects", "PATCH /prospects/{id}", "POST /sequenceStates", "POST /tasks"}
    assert jsonschema.Draft7Validator.check_schema(components()) is None


UNMARKED = {"id"}
"""The description marks no id; that lists can be filtered by it is told in prose."""


def test_every_call_is_described_and_asks_only_for_what_can_be_asked() -> None:
    """Filters, orders and sparse fields against the description's marks, for it lists no query parameters."""
    spec()
    calls: Counter[str] = Counter()
    filters: Counter[str] = Counter()
    for line in toured().log:
        if line.path in ("/oauth/token", "/api/v2/schema/openapi.json"):
            continue
        path = template(line)
        assert line.method.lower() in spec()["paths"][path], path
        calls[f"{line.method} {path}"] += 1
        for name, value in line.query.items():
            _asked(path, name, value, filters)
    print(f"{len(calls)} operations, {sum(calls.values())} calls, {len(filters)} filters and orders")
    assert len(calls) >= 18
    assert len(filters) >= 10


def _asked(path: str, name: str, value: str, filters: Counter[str]) -> None:
    listed = spec()["paths"][path]["get"]["responses"]["200"]["content"]["application/vnd.api+json"]["schema"]
    kind = listed["properties"]["data"]["items"]["$ref"].rpartition("/")[2].removesuffix("Response")
    known = spec()["components"]["schemas"]
    attributes, relations = known[kind]["properties"], known[f"{kind}Relationships"]["properties"]
    parts = re.findall(r"\[(\w*)\]", name)
    if name.startswith("fields["):
        assert parts == [kind]
        assert set(value.split(",")) <= {*attributes, *relations}, (path, value)
    elif name.startswith("filter[") and len(parts) == 2:
        assert "cannot be used as a filter" not in relations[parts[0]]["description"]
        filters[f"{kind} {name}"] += 1
    elif (name.startswith("filter[") or name == "sort") and (
        field := (parts or [value.lstrip("-")])[0]
    ) not in UNMARKED:
        mark = "sortable.svg" if name == "sort" else "filterable.svg"
        assert mark in attributes[field]["description"], (path, name, value)
        filters[f"{kind} {name}={value if name == 'sort' else ''}"] += 1
