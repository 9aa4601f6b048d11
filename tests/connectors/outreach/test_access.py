"""Outreach's log-in, limits and errors, and what the connector says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    AuthorizationLost,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Connector
from connectors.outreach.sandbox import OutreachSandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.outreach.kit import FIELDS, create, pushed
from tests.connectors.surroundings import connect, pulled


def test_tokens_rotate_and_a_401_in_the_middle_is_healed(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    outreach.put("prospects", {"email": "a@x.io"})
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1
    clock.advance(7200)
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1
    clock.advance(120)
    outreach.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1
    assert outreach.login.first not in outreach.login.refresh
    grants = [line for line in outreach.log if line.path == "/oauth/token"]
    assert [line.status for line in grants] == [200, 200, 200]
    clock.advance(15 * 86_400)
    with pytest.raises(AuthorizationLost, match="refresh token"):
        pulled(connector, "prospects", None, FIELDS)


def test_a_second_token_within_the_minute_is_waited_for(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    outreach.login.access.clear()
    began = clock.now()
    connector.check()
    assert timedelta(seconds=59) < clock.now() - began < timedelta(seconds=200)


def test_a_lost_answer_of_the_log_in_is_not_taken_for_a_lost_write(
    outreach: OutreachSandbox, connector: Connector
) -> None:
    outreach.login.rotates = False
    outreach.inject(FaultKind.LOST_ANSWER, "POST /oauth/token")
    result = pushed(connector, create("c", "a@x.io"))["c"]
    assert (result.created, result.error) == (True, None)


def test_the_hour_s_limit_ends_the_calls_and_a_short_wait_is_waited_for(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    outreach.hourly = outreach.used
    with pytest.raises(QuotaExhausted) as told:
        connector.check()
    assert told.value.until == datetime(2026, 11, 23, 11, tzinfo=UTC)
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    clock.advance(3600 - 30)
    assert pushed(connector, create("a", "a@x.io"))["a"].created  # half a minute is waited for


def test_maintenance_tells_its_end_as_an_instant(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    outreach.maintenance = stamp(clock.now() + timedelta(minutes=30))
    with pytest.raises(RetryLater) as told:
        connector.check()
    assert 1795 < told.value.after <= 1800
    result = pushed(connector, create("c", "a@x.io"))["c"]
    assert isinstance(result.error, RetryLater)  # it was not let in: nothing is in doubt


def test_a_missing_scope_stops_its_object_and_is_named(outreach: OutreachSandbox, connector: Connector) -> None:
    outreach.login.scopes = outreach.login.scopes.replace("calls.all", "") + " tasks.read"
    outreach.login.scopes = outreach.login.scopes.replace("tasks.all", "")
    assert connector.check().missing_scopes == ("calls.read", "tasks.write")
    with pytest.raises(PermissionMissing, match=r"calls\.read"):
        pulled(connector, "calls", None, ["at"])
    assert pulled(connector, "accounts", None, ["name"])[0] == []


def test_check_tells_the_org_and_the_hour(outreach: OutreachSandbox, connector: Connector) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name) == (f"user-{outreach.user}", "example.com")
    assert [(quota.used, quota.limit) for quota in health.quotas] == [(1, 10_000)]


def test_broken_answers_are_asked_again(outreach: OutreachSandbox, connector: Connector) -> None:
    outreach.put("prospects", {"email": "a@x.io"})
    connector.check()
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        outreach.inject(kind, "GET /api/v2/prospects")
    outreach.inject(FaultKind.ANSWER, "GET /api/v2/prospects", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1


def test_describe_tells_live_fields(connector: Connector) -> None:
    fields = connector.describe("prospects").fields
    assert (fields["firstName"].length, fields["firstName"].writable) == (50, True)
    assert not fields["updatedAt"].writable
    assert fields["updatedAt"].type == "datetime"
    assert (fields["email"].type, fields["owner"].type, fields["stageName"].writable) == ("email", "reference", False)
    assert connector.describe("prospects").open_ended == ("sequences.",)
    before = connector.calls
    assert "customId" in connector.describe("accounts").fields
    assert connector.calls == before


def test_what_is_missing_in_auth_is_named(outreach: OutreachSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.client_secret, auth\.redirect_uri"):
        connect(outreach, clock, auth={"client_id": "x", "refresh_token": Secret("y")})
