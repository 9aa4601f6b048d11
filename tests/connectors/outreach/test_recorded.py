"""Outreach's recorded answers through the connector's reading side, and the sandbox held beside them and the vendor's
own description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import PermissionMissing, RecordRejected
from config.secrets import Secret
from connectors.api import Connector
from connectors.outreach.client import MEDIA, classify
from connectors.outreach.objects import OBJECTS
from connectors.outreach.sandbox import OutreachSandbox
from connectors.outreach.sandbox_schema import SCHEMA
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import connect, pulled
from tests.shared import shared

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))


def bodies() -> dict[str, Any]:
    """The recorded bodies by file name; none of them tells its request."""
    return {one["file"].rpartition("/")[2].removesuffix(".json"): one["response_body"] for one in exchanges("outreach")}


@contextmanager
def connected() -> Iterator[tuple[OutreachSandbox, Connector]]:
    """A sandbox, and a connector to it."""
    with OutreachSandbox(seed=1, clock=CLOCK) as sandbox:
        assert isinstance(sandbox, OutreachSandbox)
        auth = {
            name: Secret(value) if name in ("client_secret", "refresh_token") else value
            for name, value in sandbox.account()["auth"].items()
        }
        made = connect(sandbox, CLOCK, auth=auth)
        try:
            yield sandbox, made
        finally:
            made.close()


@pytest.fixture
def world() -> Iterator[tuple[OutreachSandbox, Connector]]:
    with connected() as pair:
        yield pair


@pytest.fixture
def outreach(world: tuple[OutreachSandbox, Connector]) -> OutreachSandbox:
    return world[0]


@pytest.fixture
def connector(world: tuple[OutreachSandbox, Connector]) -> Connector:
    return world[1]


def told(outreach: OutreachSandbox, path: str, body: Any) -> None:
    """Outreach answers the next call for `path` with a recorded body."""
    outreach.inject(FaultKind.ANSWER, f"GET /api/v2/{path}$", answer=Answer.of(body, headers={"content-type": MEDIA}))


LISTED = {
    "accounts_by_ids": "accounts",
    "opportunities": "opportunities",
    "prospects": "prospects",
    "sequences": "sequences",
}


def test_recorded_records_are_read_without_loss(outreach: OutreachSandbox, connector: Connector) -> None:
    records = values = 0
    for file, object in LISTED.items():
        body = bodies()[file]
        rows = body["data"] if isinstance(body["data"], list) else [body["data"]]
        facts = OBJECTS[object]
        told(outreach, facts.path, {**body, "data": rows})
        names = sorted({name for row in rows for name in row["attributes"]})
        relations = [name for name in facts.relations if any(name in row["relationships"] for row in rows)]
        found, _ = pulled(connector, object, None, ["id", *names, *relations])
        assert [record.id for record in found] == [str(row["id"]) for row in rows]
        for record, row in zip(found, rows, strict=True):
            raw = orjson.loads(record.raw)
            assert {name: raw[name] for name in row["attributes"]} == row["attributes"]
            for name in relations:
                data = row["relationships"][name]["data"]
                assert raw[name] == (str(data["id"]) if data else None)
            assert record.version == row["attributes"]["updatedAt"]
            records, values = records + 1, values + len(raw)
    print(f"{len(LISTED)} bodies, {records} records, {values} values")
    assert records == 5
    assert values > 100


def test_a_recorded_mailing_and_address_are_read(outreach: OutreachSandbox, connector: Connector) -> None:
    """The mailing is a draft: nothing has happened to it yet. The address has no prospect: there is nobody to read."""
    mailings = bodies()["mailings"]
    told(outreach, "mailings", mailings)
    assert pulled(connector, "mailings", None, [])[0] == []
    [row] = mailings["data"]
    row = {**row, "attributes": {**row["attributes"], "deliveredAt": "2024-08-01T10:00:00.000Z"}}
    told(outreach, "mailings", {**mailings, "data": [row]})
    [record] = pulled(connector, "mailings", None, [])[0]
    assert orjson.loads(record.raw) == {
        "type": "email_sent",
        "at": "2024-08-01T10:00:00.000Z",
        "prospect": "1",
        "sequence": None,
        "subject": "My Email Subject",
    }
    _, cursor = pulled(connector, "prospects", None, ["email"])
    told(outreach, "emailAddresses", {"data": [bodies()["emailaddress"]["data"]]})
    assert pulled(connector, "prospects", cursor, ["email"])[0] == []


def test_a_next_page_behind_the_last_is_not_followed(outreach: OutreachSandbox, connector: Connector) -> None:
    """Recorded: one event, and a link to the page at offset 50."""
    links = bodies()["events"]["links"]
    assert "page%5Boffset%5D=50" in links["next"]
    told(outreach, "accounts", {**bodies()["accounts_by_ids"], "links": links})
    connector.check()
    before = connector.calls
    pulled(connector, "accounts", None, ["name"])
    assert connector.calls - before == 1


def test_recorded_errors_have_a_class() -> None:
    scope = classify(403, {}, bodies()["calls"], CLOCK)
    assert isinstance(scope, PermissionMissing)
    assert "calls.read" in str(scope)
    route = classify(404, {}, bodies()["unsupported"], CLOCK)
    assert isinstance(route, RecordRejected)
    assert route.code == "routeNotFound"


EXPLAINED = {
    ".links is missing": "pages by offset name first and last ones; the sandbox names only a next page",
    ".data[].attributes.errorreason is missing": "a slip of the recording: the description has errorReason",
}


def ask(outreach: OutreachSandbox, connector: Connector, path: str, **query: str) -> Any:
    connector.check()
    token = next(reversed(outreach.login.access))
    headers = {"authorization": f"Bearer {token}", "content-type": MEDIA}
    return orjson.loads(outreach.answer(Call("GET", f"/api/v2/{path}", query, headers, b"")).body)


def compared(outreach: OutreachSandbox, connector: Connector) -> dict[str, set[str]]:
    """Where the sandbox's answers differ in shape from the recorded ones, by body."""
    user, prospect = outreach.user, outreach.put("prospects", {"email": "a@x.io"})
    outreach.put("accounts", {"name": "A", "owner": user})
    sequence = outreach.put("sequences", {"name": "S", "creator": user, "updater": user, "ruleset": "19"})
    mail = outreach.mail(prospect, "Hello")
    outreach.edit("mailings", mail, {"mailbox": outreach.mailbox, "user": user})
    outreach.happen(mail, "opened")
    outreach.edit("opportunities", outreach.deal("d", [prospect]), {"creator": user, "updater": user})
    address = outreach.all("emailAddresses")[0]["id"]
    ours = {
        "accounts_by_ids": ask(outreach, connector, "accounts", count="true"),
        "emailaddress": ask(outreach, connector, f"emailAddresses/{address}"),
        "events": ask(outreach, connector, "events", count="true"),
        "mailings": ask(outreach, connector, "mailings", count="true"),
        "opportunities": ask(outreach, connector, "opportunities", count="true"),
        "prospects": ask(outreach, connector, "prospects", count="true"),
        "sequences": ask(outreach, connector, f"sequences/{sequence}"),
        "unsupported": ask(outreach, connector, "nosuch"),
    }
    outreach.login.scopes = outreach.login.scopes.replace("calls.all", "")
    ours["calls"] = ask(outreach, connector, "calls")
    return {file: differences(bodies()[file], told) for file, told in ours.items()}


def test_the_sandbox_answers_in_the_recorded_shape(outreach: OutreachSandbox, connector: Connector) -> None:
    found = compared(outreach, connector)
    seen = {difference for some in found.values() for difference in some}
    print(f"{len(found)} bodies, {len(seen)} differences: {sorted(seen)}")
    assert {file: some - set(EXPLAINED) for file, some in found.items()} == {file: set() for file in found}
    assert seen == set(EXPLAINED)
    assert set(bodies()) - set(found) == {"schema"}  # an older description, of which the next tests have the newer one


# the vendor's own description


@cache
def schemas() -> Any:
    return orjson.loads(shared("specs", "outreach", "outreach-openapi.json").read_bytes())["components"]["schemas"]


def marks(row: Any) -> tuple[bool, bool, bool]:
    """Whether the description's pictures say filterable, sortable, read-only."""
    text = str(row.get("description") or "")
    filterable, sortable, read_only = (f"{name}.svg" in text for name in ("filterable", "sortable", "readonly"))
    return filterable, sortable, read_only


RECORDED_ONLY = {
    "opportunity.healthCategory", "opportunity.healthScore", "opportunity.mapNumberOfOverdueTasks",
    "opportunity.territoryId", "sequence.engagementScore", "sequence.interestedCount", "emailAddress.bouncedAt",
    "event.mailingId",
}  # fmt: skip
"""Attributes of recorded answers that the description leaves out."""


def test_the_sandbox_knows_the_attributes_that_are_described() -> None:
    checked, unknown, unlike = 0, set(), set()
    for type, kind in SCHEMA.items():
        if type not in schemas():
            continue
        described = schemas()[type]["properties"]
        for name, row in kind.attributes.items():
            place = f"{type}.{name}"
            if name not in described:
                unknown.add(place)
                continue
            ours = (row.filterable, row.sortable, row.read_only)
            if ours != marks(described[name]):
                unlike.add((place, ours, marks(described[name])))
            checked += 1
    print(f"{checked} attributes")
    assert unlike == set()
    assert unknown == RECORDED_ONLY
    assert checked > 250


def test_the_live_description_is_read(outreach: OutreachSandbox, connector: Connector) -> None:
    told(outreach, "schema/openapi.json", {"components": {"schemas": schemas()}})
    found = {object: connector.describe(object).fields for object in OBJECTS}
    for object, facts in OBJECTS.items():
        fields = found[object]
        if not fields:
            assert facts.fixed
            continue
        assert set(schemas()[facts.type]["properties"]) <= set(fields)
    prospects = found["prospects"]
    assert (prospects["emailOptedOut"].type, prospects["emailOptedOut"].writable) == ("boolean", True)
    assert not prospects["engagedAt"].writable
    assert prospects["custom150"].type == "text"
    relations = schemas()["prospectRelationships"]["properties"]
    assert set(OBJECTS["prospects"].relations) <= set(relations)
    assert not re.search("readonly", relations["owner"]["description"])
