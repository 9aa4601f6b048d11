"""How far Constant Contact was held against truth that we did not write: six recorded bodies and the vendor's own
description (Swagger 3.0.178). Everything here is counted, nothing is typed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema
import orjson
import yaml

from config.clock import ManualClock
from config.errors import RecordRejected
from connectors.api import Connector
from connectors.constant_contact.sandbox import ConstantContactSandbox
from connectors.sandbox import Answer, Call, FaultKind, Logged
from tests.connectors.constant_contact.opened import opened
from tests.connectors.constant_contact.tour import tour, world
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import pulled
from tests.connectors.truth import Truth
from tests.shared import shared

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def measure() -> Truth:
    """The numbers of this platform; skips where recordings and description are not at hand."""
    lost = [what for file in bodies() for what in unread(file)]
    kinds = operations()
    found = {*recorded_differences(), *described_differences()}
    return Truth(
        bodies=len(bodies()),
        unread=len(lost),
        operations=len(kinds),
        invalid=sum(bool(bad) for bad in kinds.values()),
        differences=len(found),
        explained=len(found & set(EXPLAINED)),
    )


# recorded bodies


@cache
def bodies() -> dict[str, Any]:
    """Recorded bodies by file name; none of them tells its request. The index of field names beside them is none."""
    found = {}
    for one in exchanges("constant_contact"):
        name = str(one["file"]).rpartition("/")[2].removesuffix(".json")
        if name != "schemas":
            found[name] = one["response_body"]
    return found


@contextmanager
def connected() -> Iterator[tuple[ConstantContactSandbox, Connector]]:
    clock = ManualClock(NOW)
    with ConstantContactSandbox(seed=1, clock=clock) as cc:
        assert isinstance(cc, ConstantContactSandbox)
        with closing(opened(cc, clock)) as connector:
            yield cc, connector


def told(cc: ConstantContactSandbox, match: str, body: Any, status: int = 200) -> None:
    """Constant Contact answers the next call with a recorded body."""
    cc.inject(FaultKind.ANSWER, match, answer=Answer.of(body, status))


def unread(file: str) -> list[str]:
    """What the reading side loses of a recorded body: members that no field of a record tells."""
    with connected() as (cc, connector):
        return _READERS[file](cc, connector, bodies()[file])


def _contacts(cc: ConstantContactSandbox, connector: Connector, body: Any) -> list[str]:
    told(cc, "GET /v3/contacts$", {**body, "_links": {}})
    told(cc, "GET /v3/contact_custom_fields", bodies()["custom-fields"])
    fields = sorted({name for row in body["contacts"] for name in fields_of(row)})
    records, _ = pulled(connector, "contacts", None, fields)
    rows = zip(body["contacts"], records, strict=True)
    return [what for row, record in rows for what in _missed(row, record.id, orjson.loads(record.raw))]


def _contact(cc: ConstantContactSandbox, connector: Connector, body: Any) -> list[str]:
    told(cc, "GET /v3/contacts/", body)
    [record] = connector.read("contacts", "id", [body["contact_id"]], fields_of(body)).values()
    return _missed(body, record.id, orjson.loads(record.raw))


def _fields(cc: ConstantContactSandbox, connector: Connector, body: Any) -> list[str]:
    told(cc, "GET /v3/contact_custom_fields", body)
    fields = connector.describe("contacts").fields
    return [
        row["name"] for row in body["custom_fields"] if fields[f"custom_fields.{row['name']}"].label != row["label"]
    ]


def _campaign(cc: ConstantContactSandbox, connector: Connector, body: Any) -> list[str]:
    """As a row of the list, and as what tells the activities to follow."""
    told(cc, "GET /v3/emails$", {"campaigns": [body], "_links": {}})
    [record] = pulled(connector, "campaigns", None, [])[0]
    raw = orjson.loads(record.raw)
    lost = [name for name in ("name", "type", "current_status", "created_at") if raw[name] != body[name]]
    row = cc.store.rows["campaigns"][cc.put("campaigns", {"name": "any"})]
    person = cc.put("contacts", {"email": "a@x.io"})
    cc.send(row["campaign_id"], [person])
    told(cc, "GET /v3/emails/", body)
    pulled(connector, "email_activity", None, [])
    asked = {line.path.split("/")[4] for line in cc.log if "/tracking/" in line.path}
    wanted = {one["campaign_activity_id"] for one in body["campaign_activities"] if one["role"] != "permalink"}
    return [*lost, *(["campaign_activities"] if asked != wanted else [])]


def _error(cc: ConstantContactSandbox, connector: Connector, body: Any) -> list[str]:
    told(cc, "GET /v3/contacts/", body, 400)
    try:
        connector.read("contacts", "id", [bodies()["write-contact"]["contact_id"]], [])
    except RecordRejected as error:
        return [] if error.code == body[0]["error_key"] else ["error_key"]
    return ["error"]


_READERS = {
    "1-first-page": _contacts,
    "2-second-page": _contacts,
    "custom-fields": _fields,
    "write-contact": _contact,
    "write-email-campaign": _campaign,
    "contact-ids-error": _error,
}


def fields_of(row: Any) -> list[str]:
    """The names under which a record tells the members of a contact."""
    fields = [name for name in row if name not in ("contact_id", "email_address", "custom_fields")]
    email = [n for n in row["email_address"] if n not in ("address", "created_at", "updated_at")]
    names = {one["custom_field_id"]: one["name"] for one in bodies()["custom-fields"]["custom_fields"]}
    custom = [f"custom_fields.{names[one['custom_field_id']]}" for one in row.get("custom_fields") or ()]
    return ["id", "email", *fields, *email, *custom]


def _missed(row: Any, id: str, raw: Any) -> list[str]:
    """Members of a contact that its record tells otherwise, or not. The address's own times are in the version."""
    email = {n: v for n, v in row["email_address"].items() if n not in ("address", "created_at", "updated_at")}
    plain = {n: v for n, v in row.items() if n not in ("contact_id", "email_address", "custom_fields")}
    wanted = {**plain, **email, "email": row["email_address"]["address"], "id": row["contact_id"]}
    lost = [name for name, value in wanted.items() if raw.get(name) != value]
    values = [one["value"] for one in row.get("custom_fields") or ()]
    lost += [] if list((raw.get("custom_fields") or {}).values()) == values else ["custom_fields"]
    return [*lost, *([] if id == row["contact_id"] else ["contact_id"])]


# the vendor's description


@cache
def spec() -> Any:
    return yaml.load(shared("specs", "constant_contact", "swagger-3.0.178.yml").read_text(), yaml.CSafeLoader)


def place(method: str, path: str) -> tuple[str, Any] | None:
    """The described operation of a call, as (name, operation); fixed paths before those with an id."""
    inner = path.removeprefix("/v3")
    for template in sorted(spec()["paths"], key=lambda told: told.count("{")):
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        operation = spec()["paths"][template].get(method.lower())
        if operation is not None and re.fullmatch(pattern, inner):
            return f"{method} {template}", operation
    return None


def whole(schema: Any) -> Any:
    return {**schema, "definitions": spec()["definitions"]}


@cache
def traffic() -> tuple[list[Logged], list[tuple[Call, Answer]]]:
    """All that the connector asks and the sandbox answers on the tour, the log-in apart."""
    sandbox, clock = world()
    heard: list[tuple[Call, Answer]] = []

    def after(call: Call, answer: Answer) -> Answer:
        heard.append((call, answer))
        return answer

    sandbox.after = after  # type: ignore[method-assign]
    with sandbox, closing(opened(sandbox, clock, permission_if_new="implicit")) as connector:
        tour(connector, sandbox, clock)
    log = [line for line in sandbox.log if line.path.startswith("/v3")]
    return log, [pair for pair in heard if pair[0].path.startswith("/v3")]


@cache
def operations() -> dict[str, list[str]]:
    """Kinds of requests that we send -> what of them the description does not allow."""
    found: dict[str, list[str]] = {}
    for line in traffic()[0]:
        known = place(line.method, line.path)
        if known is None:
            found.setdefault(f"{line.method} {line.path}", []).append("not described")
            continue
        found.setdefault(known[0], []).extend([*_query(line, known[1]), *_body(line, known[1])])
    return found


def _query(line: Logged, operation: Any) -> list[str]:
    """A cursor is Constant Contact's own: it comes with a link and is described nowhere."""
    known = {one["name"]: one for one in operation.get("parameters") or () if one["in"] == "query"}
    wrong = [name for name in line.query if name not in known and name != "cursor"]
    for name, value in line.query.items():
        told = known.get(name) or {}
        if name == "limit" and int(value) > int(told.get("maximum") or 500):
            wrong.append(f"{name}={value}")
        options = told.get("enum") or (told.get("items") or {}).get("enum") or ()
        wrong += [f"{name}={word}" for word in value.split(",") if options and word not in options]
    return wrong


def _body(line: Logged, operation: Any) -> list[str]:
    """Violations of the schema, and members that it does not name (custom fields of an import have names of their
    own)."""
    if not line.body:
        return []
    schema = next(one["schema"] for one in operation["parameters"] if one["in"] == "body")
    return misfits(orjson.loads(line.body), schema)


def misfits(value: Any, schema: Any) -> list[str]:
    errors = jsonschema.Draft4Validator(whole(schema)).iter_errors(value)
    wrong = [f"{'/'.join(str(part) for part in error.path)}: {error.validator}" for error in errors]
    return [*wrong, *sorted(undescribed(value, schema))]


def undescribed(value: Any, schema: Any, where: str = "") -> set[str]:
    """Members that the schema does not name."""
    if "$ref" in schema:
        schema = spec()["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        return {one for item in value for one in undescribed(item, schema.get("items") or {}, f"{where}[]")}
    if not isinstance(value, dict) or not (known := _members(schema)):
        return set()
    found = {f"{where}.{name}" for name in value if name not in known and not name.startswith("cf:")}
    for name in value.keys() & known.keys():
        found |= undescribed(value[name], known[name], f"{where}.{name}")
    return found


def _members(schema: Any) -> dict[str, Any]:
    if "$ref" in schema:
        schema = spec()["definitions"][schema["$ref"].rpartition("/")[2]]
    merged: dict[str, Any] = dict(schema.get("properties") or {})
    for part in schema.get("allOf") or ():
        merged |= _members(part)
    return merged


# the sandbox's answers

EXPLAINED: dict[str, str] = {}
"""Differences that have a reason, with it. There are none."""


@cache
def recorded_differences() -> frozenset[str]:
    """Members in which the sandbox's answers differ from the recorded ones."""
    with connected() as (cc, connector):
        connector.check()
        first, contact, fields, campaign, error = (_asked(cc, *one) for one in _filled(cc))
        query = dict([first["_links"]["next"]["href"].partition("?")[2].split("=", 1)])
        second = _asked(cc, "GET", "/v3/contacts", query, None)
    ours = {
        "1-first-page": first,
        "2-second-page": second,
        "write-contact": contact,
        "custom-fields": fields,
        "write-email-campaign": campaign,
        "contact-ids-error": error,
    }
    assert ours.keys() == bodies().keys()
    return frozenset(f"{file}{one}" for file, answer in ours.items() for one in differences(bodies()[file], answer))


def _filled(cc: ConstantContactSandbox) -> list[tuple[str, str, dict[str, str], Any]]:
    """The calls whose answers are compared with recorded ones, as (method, path, query, body)."""
    written = {name: value for name, value in bodies()["write-contact"].items() if name != "contact_id"}
    plain = {name: value for name, value in written.items() if name != "email_address"}
    cc.put("contacts", {**plain, "email": "a@x.io", "custom_fields": {"hobby": "Skiing"}})
    cc.put("contacts", {"email": "c@x.io", "first_name": "C", "last_name": "D"})
    news = cc.put("campaigns", {"name": "News"})
    new = {**written, "email_address": {"address": "b@x.io", "permission_to_send": "implicit"}}
    return [
        ("GET", "/v3/contacts", {"include": "custom_fields", "limit": "1"}, None),
        ("POST", "/v3/contacts", {}, new),
        ("GET", "/v3/contact_custom_fields", {}, None),
        ("GET", f"/v3/emails/{news}", {}, None),
        ("GET", "/v3/contacts", {"limit": "0"}, None),
    ]


def _asked(cc: ConstantContactSandbox, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    headers = {"authorization": f"Bearer {next(reversed(cc.login.access))}", "content-type": "application/json"}
    sent = orjson.dumps(body) if body is not None else b""
    return orjson.loads(cc.answer(Call(method, path, query, headers, sent)).body)


@cache
def described_differences() -> frozenset[str]:
    """What the description does not know of the sandbox's answers on the tour."""
    found: set[str] = set()
    for call, answer in traffic()[1]:
        known = place(call.method, call.path)
        schema = (known[1]["responses"].get(str(answer.status)) or {}).get("schema") if known else None
        if known and schema and answer.body:
            found |= {
                f"{known[0]} {re.sub(r'/?[0-9]+', '', one)}" for one in misfits(orjson.loads(answer.body), schema)
            }
    return frozenset(found)
