"""HubSpot held against what others recorded and what the vendor described: the replays and comparisons, as values.

`test_recorded.py` and `test_wire.py` judge them, and `measure` counts them.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from config.clock import ManualClock, stamp, unstamp
from config.errors import ClosedloopError
from connectors.hubspot.client import classify
from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.sandbox import HubSpotSandbox
from connectors.sandbox import Call
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import connect
from tests.connectors.truth import Truth
from tests.connectors.wire import judged

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))

EXPLAINED = {
    ".paging.next.link is missing": "the sandbox's search tells `after` only; the link is of no use to anyone",
}
"""Where the sandbox's shape differs from a recorded one, and why."""


def crm(kind: str) -> list[Any]:
    """Recorded exchanges with objects of the CRM (v3: the same members as the dated versions) whose path ends so."""
    return [
        one
        for one in exchanges("hubspot")
        if one["url"] and re.search(rf"/crm/v3/objects/[^/]+/{kind}$", one["url"].split("?")[0])
    ]


@dataclass(frozen=True, slots=True)
class Replay:
    """What the reading side made of recorded bodies: how many, how many records in them, and what was lost."""

    bodies: int
    records: int
    lost: tuple[str, ...]


def replay() -> Replay:
    """Every recorded list, search and batch through the client and the connector."""
    connector = connect(HubSpotSandbox(seed=1, clock=CLOCK, port=1), CLOCK)
    assert isinstance(connector, HubSpotConnector)
    bodies = records = 0
    lost: list[str] = []
    with closing(connector):
        for one in listed():
            rows = one["response_body"]["results"]
            page = connector._client.items(orjson.dumps(one["response_body"]))
            bodies += 1
            if [item.id for item in page.results] != [row["id"] for row in rows]:
                lost.append(f"{one['file']}: a row")
                continue
            for item, row in zip(page.results, rows, strict=True):
                [record, *_] = connector._told("contacts", item)
                records += 1
                if orjson.loads(record.raw) != row["properties"]:
                    lost.append(f"{one['file']}: a property of {item.id}")
                if "updatedAt" in row and record.version != stamp(unstamp(row["updatedAt"])):
                    lost.append(f"{one['file']}: the time of {item.id}")  # some leave out the milliseconds
    return Replay(bodies, records, tuple(lost))


def listed() -> list[Any]:
    """The recorded answers that hold records: of the CRM's own paths, and other authors' lists."""
    found = [one for kind in ("search", "batch/create", "batch/update") for one in crm(kind)]
    found = [one for one in found if one["status"] in (200, 201)]
    for one in exchanges("hubspot"):
        body = one["response_body"]
        if one["source"].startswith("amp") and isinstance(body, dict) and isinstance(body.get("results"), list):
            rows = body["results"]
            if rows and all(isinstance(row.get("properties"), dict) and "id" in row for row in rows):
                found.append(one)
    return found


def errors() -> list[tuple[Any, ClosedloopError]]:
    """Every recorded refusal, and the class that it is sorted into."""
    return [
        (one, classify(one["status"], one["headers"] or {}, one["response_body"], "hubspot"))
        for one in exchanges("hubspot")
        if one["url"] and (one["status"] or 0) >= 400 and isinstance(one["response_body"], dict)
    ]


def compared() -> dict[str, set[str]]:
    """Where the sandbox's answers differ in shape from the recorded ones, by kind of call."""
    sandbox = HubSpotSandbox(seed=1, clock=CLOCK)
    sandbox.add_property("contacts", "x")
    for number in range(3):
        sandbox.put("contacts", {"email": f"p{number}@x.io"})
    auth = {"authorization": f"Bearer {sandbox.token}"}
    asked = {
        "search": {"filterGroups": [], "properties": [], "limit": 2},
        "batch/create": {"inputs": [{"properties": {"email": "new@x.io"}}]},
        "batch/update": {"inputs": [{"id": "10001", "properties": {"firstname": "N"}}]},
    }
    found: dict[str, set[str]] = {kind: set() for kind in (*asked, "limit")}
    for kind, body in asked.items():
        call = Call("POST", f"/crm/objects/2026-09/contacts/{kind}", {}, auth, orjson.dumps(body))
        answer = sandbox.answer(call)
        for one in crm(kind):
            if one["status"] == 429:
                continue
            if one["status"] != answer.status:
                found[kind].add(f"status {one['status']}")
            told = differences(one["response_body"], orjson.loads(answer.body))
            found[kind] |= {difference for difference in told if ".properties." not in difference}
    limited = orjson.loads(sandbox.limited("SECONDLY").body)
    for one in crm("search"):
        if one["status"] == 429:
            # v3 told the limit by `category`, the dated versions by `errorType` and `policyName`
            found["limit"] |= differences(one["response_body"], limited) - {".category is missing"}
    return found


def measure() -> Truth:
    """The counts of all that is above, and of the bodies that a tour sends."""
    from tests.connectors.hubspot.test_wire import described, toured

    read, refused = replay(), errors()
    seen = {difference for some in compared().values() for difference in some}
    operations, invalid = judged(toured().log, described)
    return Truth(
        read.bodies + len(refused), len(read.lost), len(operations), len(invalid), len(seen), len(seen & set(EXPLAINED))
    )
