"""The wire format, pinned: the SDK's traffic with the sandbox as cassettes, and bulk bodies against the spec.

The cassettes were recorded by this test from our own sandbox; CLOSEDLOOP_RECORD=1 records them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
import vcr
import yaml

from config.clock import ManualClock
from connectors.api import Account, Connector, Operation, Record, Result, Surroundings, Verb
from connectors.salesforce import bulk, platform, pull, push
from connectors.salesforce.sandbox import SalesforceSandbox
from connectors.sandbox import Logged
from tests.conftest import START
from tests.connectors.salesforce.conftest import Budget, Tokens
from tests.connectors.wire import validate
from tests.shared import shared

CASSETTES = Path(__file__).parent / "cassettes"
RECORDING = bool(os.environ.get("CLOSEDLOOP_RECORD"))
KEPT = ("content-type", "sforce-limit-info", "sforce-locator", "sforce-numberofrecords")


@contextmanager
def few() -> Iterator[None]:
    """Bulk from a handful of records on, so that a tour stays short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pull, "BULK_FROM", 5)
        patch.setattr(push, "BULK_FROM", 5)
        patch.setattr(bulk, "CHUNK", 4)
        yield


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with few():
        yield


def populate(org: SalesforceSandbox) -> list[str]:
    ids = [org.put("leads", {"Email": f"p{n}@example.com", "LastName": "Žižek", "Company": "C"}) for n in range(6)]
    made = org.convert(ids[0], deal="Deal", amount=10)
    org.win(made["opportunities"])
    org.merge("leads", ids[1], ids[2])
    org.remove("leads", ids[3])
    return ids


def tour(connector: Connector, clock: ManualClock) -> list[Any]:
    """Every sort of call once; what came of them, as plain values."""
    fields = ["Email", "LastName", "HasOptedOutOfEmail"]
    out: list[Any] = [connector.check().account_name, len(connector.describe("leads").fields)]
    pages = list(connector.pull("leads", None, fields))
    out += [_shown(record) for page in pages for record in page.records]
    clock.advance(10)
    out += [_shown(r) for p in connector.pull("leads", pages[-1].cursor, fields) for r in p.records]
    for object in ("opportunities", "contact_roles", "contacts"):
        out += [
            _shown(r) for p in connector.pull(object, None, ["Name"] * (object != "contact_roles")) for r in p.records
        ]
    created = list(connector.push([_create(n) for n in range(3)], []))
    out += [_told(result) for result in created]
    update = Operation("u", Verb.UPDATE, "leads", {"City": "Rom", "FirstName": "x" * 50}, id=created[0].id)
    out += [_told(result) for result in connector.push([update], [])]
    out += [_told(result) for result in connector.push([_create(n) for n in range(10, 17)], [])]
    values = {"subject": "Ana", "body": "why", "person": f"leads/{created[0].id}", "reference": "r1"}
    out += [_told(result) for result in connector.push([Operation("b", Verb.CREATE, "tasks", values)], [])]
    out += sorted(connector.read("tasks", "reference", ["r1"], []))
    out += sorted(connector.read("leads", "Email", ["n1@example.com", "o'hara@example.com"], fields))
    pages = list(connector.pull("leads", None, fields, bulk=True))
    return [*out, *(_shown(record) for page in pages for record in page.records)]


def _create(n: int) -> Operation:
    key, email = f"c{n}", f"n{n}@example.com"
    values = {"Email": email, "LastName": "L", "Company": None if n == 2 else "C", "Closedloop_Id__c": key}
    return Operation(key, Verb.CREATE, "leads", values, match={"Closedloop_Id__c": key})


def _shown(record: Record) -> list[Any]:
    return [record.id, record.version, record.gone and record.gone.value, record.into, orjson.loads(record.raw)]


def _told(result: Result) -> list[Any]:
    return [result.key, result.id, result.created, result.error.code if result.error else None]


def _request(request: Any) -> Any:
    """Without the port of the day."""
    request.uri = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", request.uri)
    request.headers = {}
    return request


def _response(response: Any) -> Any:
    headers = {name: value for name, value in response["headers"].items() if name.lower() in KEPT}
    body = re.sub(rb"127\.0\.0\.1:\d+", b"127.0.0.1", response["body"]["string"])
    return {**response, "headers": headers, "body": {"string": body}}


def _recorder(mode: str) -> Any:
    return vcr.VCR(
        cassette_library_dir=str(CASSETTES),
        record_mode=mode,
        match_on=("method", "path", "query", "body"),
        before_record_request=_request,
        before_record_response=_response,
        filter_post_data_parameters=["client_secret"],
    )


def _connector(org: SalesforceSandbox, clock: ManualClock, *, live: bool) -> Connector:
    blocks = org.account()
    base, ca_file = (org.base_url, org.ca_file) if live else ("https://127.0.0.1", "")
    account = Account("sf", "salesforce", blocks["auth"], blocks["settings"], base, ca_file)
    return platform.open(account, Surroundings(clock, Budget(), Tokens()))


@pytest.mark.skipif(not RECORDING, reason="records the cassettes: set CLOSEDLOOP_RECORD=1")
def test_record(org: SalesforceSandbox, clock: ManualClock) -> None:
    (CASSETTES / "tour.yaml").unlink(missing_ok=True)
    populate(org)
    connector = _connector(org, clock, live=True)
    with _recorder("all").use_cassette("tour.yaml"):
        out = tour(connector, clock)
    (CASSETTES / "tour.json").write_bytes(orjson.dumps(out, option=orjson.OPT_INDENT_2) + b"\n")
    connector.close()


def test_the_wire_format_stands(clock: ManualClock) -> None:
    assert clock.now() == START
    connector = _connector(SalesforceSandbox(clock=clock), clock, live=False)
    with _recorder("none").use_cassette("tour.yaml") as cassette:
        out = tour(connector, clock)
        assert cassette.all_played, "a call that was made before is not made any more"
    assert out == orjson.loads((CASSETTES / "tour.json").read_bytes())
    connector.close()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8").lower()
    assert "client-secret" not in text
    assert "authorization" not in text


_PLACES = {
    ("POST", "/ingest"): "/ingest",
    ("PATCH", "/ingest/{}"): "/ingest/{jobId}",
    ("POST", "/query"): "/query",
}


@cache
def spec() -> Any:
    """The third-party description of Bulk 2.0 is the only one that is sound; the rest have none."""
    return yaml.safe_load(shared("specs", "salesforce", "bulk-api-2.yml").read_text(encoding="utf-8"))


def described(line: Logged) -> tuple[str, Any] | None:
    found = re.search(r"/jobs(/.*)", line.path)
    place = (line.method, re.sub(r"750\w+", "{}", found.group(1))) if found else ("", "")
    if place not in _PLACES:
        return None
    operation = spec()["paths"][_PLACES[place]][line.method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return str(operation["operationId"]), {**schema, "components": spec()["components"]}


def toured(org: SalesforceSandbox, clock: ManualClock) -> SalesforceSandbox:
    """The org after the tour."""
    spec()
    populate(org)
    connector = _connector(org, clock, live=True)
    tour(connector, clock)
    connector.close()
    return org


def test_bulk_bodies_fit_the_spec(org: SalesforceSandbox, clock: ManualClock) -> None:
    checked = validate(toured(org, clock).log, described)
    print(dict(checked))
    assert set(checked) == {"createIngestJob", "updateIngestJob", "createQueryJob"}
