"""Every sort of call that is made to Google, once: for the cassette, and for the comparison with the documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from config.clock import ManualClock, stamp
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from connectors.google_analytics.sandbox_reports import CLIENT
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import shown, told

FIELDS = ["date", "campaign", "campaignId", "sessionSource", "landingPage", "sessions", "keyEvents", "advertiserAdCost"]
ANA, BOB = "1111111111.1700000000", "2222222222.1700000001"


def world() -> tuple[GoogleAnalyticsSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 15, tzinfo=UTC))
    sandbox = GoogleAnalyticsSandbox(seed=1, clock=clock)
    sandbox.visit("Žofín", ago=1, sessions=3, keyEvents=1, advertiserAdCost="2.25")
    sandbox.visit(ago=1, sessions=5)
    sandbox.visit("Spring", sessions=2)
    sandbox.visit("Spring", ago=1, landingPage="/start", **{CLIENT: ANA})
    sandbox.habits.sampled = True
    return sandbox, clock


def connector(sandbox: GoogleAnalyticsSandbox, clock: ManualClock, base: str, send_by: str) -> Connector:
    told = sandbox.account()
    secret = registry.facts("google_analytics").auth["oauth"].secrets
    auth = {name: Secret(value) if name in secret else value for name, value in told["auth"].items()}
    settings = {**told["settings"], "send_by": send_by, "start": "2026-11-22"}
    account = Account("google_analytics", "google_analytics", auth, settings, base)
    return registry.platform("google_analytics").open(
        account, Surroundings(clock, Budget(), Tokens(), lambda key: [ANA])
    )


def ways(sandbox: GoogleAnalyticsSandbox, clock: ManualClock, base: str) -> tuple[Connector, Connector]:
    """A connector that sends by the Measurement Protocol, and one that sends by the Data Manager."""
    return connector(sandbox, clock, base, "measurement_protocol"), connector(sandbox, clock, base, "data_manager")


def outcome(key: str, name: str, client: str, at: str, **values: Any) -> Operation:
    told = {"name": name, "client_id": client, "event_id": f"cl_{key}", "at": at, **values}
    return Operation(key, Verb.CREATE, "lead_events", told, match={"event_id": f"cl_{key}"})


def tour(protocol: Connector, manager: Connector, clock: ManualClock) -> list[Any]:
    """`protocol` sends by the Measurement Protocol, `manager` by the Data Manager; what came of each call."""
    health, at = protocol.check(), stamp(clock.now())
    out: list[Any] = [health.account_id, list(health.notes), len(protocol.describe("figures").fields)]
    cursor = ""
    for page in protocol.pull("figures", None, FIELDS):
        out += [shown(record) for record in page.records]
        cursor = page.cursor
    clock.advance(3700)
    for page in protocol.pull("figures", cursor, FIELDS):
        out += [shown(record) for record in page.records]
    for page in protocol.pull("lead_sessions", None, []):
        out += [shown(record) for record in page.records]
    won = {"value": "1200.50", "currency": "EUR", "params.plan": "gold", "ad_user_data": "DENIED"}
    events = [
        outcome("1", "qualify_lead", ANA, at),
        outcome("2", "close_convert_lead", ANA, at, **won),
        outcome("3", "close_unconvert_lead", BOB, at, reason="price", user_id="u-1", session_id="1700000001"),
        outcome("4", "working_lead", BOB, at, reason="ask ana@x.example"),
        outcome("5", "qualify_lead", "none", at),
    ]
    for way in (protocol, manager):
        out += [told(result) for result in way.push(events, [])]
        out.append(sorted(way.read("lead_events", "event_id", ["cl_1", "cl_9"], [])))
    clock.advance(300)
    out.append(list(manager.check().notes))
    out += [
        told(result) for result in protocol.push([Operation("e", Verb.ERASE, "lead_events", {}, id=f"{ANA}/1")], [])
    ]
    return out
