"""HubSpot's wire format, pinned: an SDK upgrade that changes a call turns this red; bodies fit the published specs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from config.clock import ManualClock
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.hubspot.sandbox import HubSpotSandbox
from connectors.sandbox import Logged
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import RECORDING, play, shown, told, validate
from tests.shared import shared

CASSETTES = Path(__file__).parent / "cassettes"
FIELDS = ["email", "firstname", "lifecyclestage"]


def world() -> tuple[HubSpotSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    sandbox = HubSpotSandbox(seed=1, clock=clock)
    ids = [sandbox.put("contacts", {"email": f"p{n}@example.com", "firstname": "Žofia"}) for n in range(4)]
    deal = sandbox.put("deals", {"dealname": "D", "pipeline": "default", "dealstage": "closedwon"})
    sandbox.associate("deals", deal, "contacts", ids[0])
    sandbox.record_activity(ids[0], "e_form_submission_v2", "2026-11-20T10:00:00.000Z", hs_form_name="Ask")
    sandbox.merge("contacts", ids[1], ids[2])
    sandbox.remove("contacts", ids[3])
    return sandbox, clock


def connector(sandbox: HubSpotSandbox, clock: ManualClock, base: str) -> Connector:
    account = Account("hubspot", "hubspot", sandbox.account()["auth"], {}, base)
    return registry.platform("hubspot").open(account, Surroundings(clock, Budget(), Tokens()))


def tour(hubspot: Connector, clock: ManualClock) -> list[Any]:
    """Every sort of call once."""
    out: list[Any] = [hubspot.check().account_id, len(hubspot.describe("contacts").fields)]
    cursors = {}
    for object in ("owners", "contacts", "deals", "deal_contacts", "events", "campaigns"):
        for page in hubspot.pull(object, None, FIELDS if object == "contacts" else ["dealname"]):
            out += [shown(record) for record in page.records]
            cursors[object] = page.cursor
    clock.advance(3600)
    for object in ("contacts", "deal_contacts"):
        for page in hubspot.pull(object, cursors[object], FIELDS if object == "contacts" else []):
            out += [shown(record) for record in page.records]
    create = Operation("c", Verb.CREATE, "contacts", {"email": "n@example.com"}, match={"email": "n@example.com"})
    update = Operation("u", Verb.UPDATE, "contacts", {"firstname": "N", "hs_email_optout": "true"}, id="10001")
    wrong = Operation("w", Verb.UPDATE, "contacts", {"lifecyclestage": "x"}, id="10001")
    out += [told(result) for result in hubspot.push([create, update, wrong], FIELDS)]
    values = {"subject": "S", "body": "B", "person": "contacts/10001", "reference": "r1"}
    out += [told(result) for result in hubspot.push([Operation("n", Verb.CREATE, "notes", values)], [])]
    home = {"closedloop_home": "crm/deals/1"}
    new = {"dealname": "N", "stage_label": "Closed won", "person": "contacts/10001", **home}
    [made] = hubspot.push([Operation("d", Verb.CREATE, "deals", new, match=home)], ["dealname", "stage_label"])
    out += [told(made), shown(made.record) if made.record else None]
    changed = Operation("de", Verb.UPDATE, "deals", {"amount": "5"}, id=made.id)
    out += [told(result) for result in hubspot.push([changed], ["amount"])]
    out += sorted(hubspot.read("deals", "closedloop_home", ["crm/deals/1", "crm/deals/2"], ["dealname"]))
    away = Operation("da", Verb.ARCHIVE, "deals", {}, id=made.id)
    out += [told(result) for result in hubspot.push([away], [])]
    out += sorted(hubspot.read("contacts", "email", ["n@example.com", "no@example.com"], FIELDS))
    return [*out, sorted(hubspot.read("notes", "reference", ["r1"], []))]


def test_the_wire_format_stands() -> None:
    sandbox, clock = world()
    if RECORDING:
        sandbox.start()
    hubspot = connector(sandbox, clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(hubspot, clock))
    hubspot.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert "pat-sandbox" not in text
    assert "uthorization" not in text


@cache
def spec(name: str) -> Any:
    return orjson.loads(shared("specs", "hubspot", "2026-09", f"{name}.json").read_bytes())


def cleaned(schema: Any) -> Any:
    """The schema without `example: null`, which every node of the published files carries, and without `sorts`: the
    files say text, while HubSpot documents and takes {propertyName, direction}."""
    if isinstance(schema, dict):
        return {name: cleaned(value) for name, value in schema.items() if name not in ("example", "sorts")}
    return [cleaned(item) for item in schema] if isinstance(schema, list) else schema


def described(line: Logged) -> tuple[str, Any] | None:
    files = {"contacts": "contacts", "deals": "deals", "notes": "notes"}
    found = re.match(r"/crm/objects/2026-09/(\w+)(.*)", line.path)
    if found and found[1] in files:
        name, template = files[found[1]], f"/crm/objects/2026-09/{{objectType}}{found[2]}"
        paths = spec(name)["paths"]
        place = paths.get(template) or paths.get(line.path) or paths.get(f"/crm/objects/2026-09/{found[1]}{found[2]}")
    elif line.path.startswith("/crm/associations"):
        name = "associations"
        place = spec(name)["paths"]["/crm/associations/2026-09/{fromObjectType}/{toObjectType}/batch/read"]
    else:
        return None
    if place is None:
        return None
    body = place[line.method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    return f"{line.method} {re.sub(r'.*2026-09/', '', line.path)}", cleaned(
        {**body, "components": spec(name)["components"]}
    )


def toured() -> HubSpotSandbox:
    """The sandbox after the tour."""
    spec("contacts")
    sandbox, clock = world()
    with sandbox:
        hubspot = connector(sandbox, clock, sandbox.base_url)
        tour(hubspot, clock)
        hubspot.close()
    return sandbox


def test_sent_bodies_fit_the_published_specs() -> None:
    checked = validate(toured().log, described)
    print(dict(checked))
    assert len(checked) >= 6
