"""Zoho's log-in, limits and errors, and what the connector says of itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from config.clock import ManualClock, stamp
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, QuotaExhausted, RetryLater
from config.secrets import Secret
from connectors.api import Connector
from connectors.sandbox import Answer, FaultKind
from connectors.zoho.client import api_host
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import connect, pulled
from tests.connectors.zoho.kit import FIELDS, lead, opened, sent

# log-in, limits, errors


def test_an_access_token_is_renewed_before_its_end_and_after_a_401(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    lead(zoho, "a@x.io")
    for _ in range(2):
        assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    clock.advance(3600)
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    zoho.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    assert len(sent(zoho, "POST /oauth/v2/token")) == 3
    zoho.login.revoked = True
    zoho.login.access.clear()
    with pytest.raises(AuthorizationLost, match="refresh token"):
        pulled(connector, "leads", None, FIELDS)


def test_a_client_of_another_data_centre_is_named(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.login.elsewhere = True
    with pytest.raises(AuthorizationLost, match="region"):
        connector.check()


@pytest.mark.parametrize("old", [False, True])
def test_too_many_token_calls_are_waited_for_elsewhere(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, *, old: bool
) -> None:
    zoho.login.old_throttle = old
    zoho.login.calls = [stamp(clock.now())] * 10
    with pytest.raises(RetryLater) as told:
        connector.check()
    assert (told.value.after, told.value.code) == (600, "token_limit")
    clock.advance(601)
    assert connector.check().account_name == "Sandbox Ltd"


def test_the_region_decides_the_hosts_and_no_other_host_is_followed(zoho: ZohoSandbox, clock: ManualClock) -> None:
    assert api_host("https://www.zohoapis.com.au/") == "https://www.zohoapis.com.au"
    for wrong in ("https://www.zohoapis.eu.evil.example", "http://www.zohoapis.eu", "https://zohoapis.eu@evil.example"):
        with pytest.raises(AuthorizationLost):
            api_host(wrong)
    with pytest.raises(Misconfigured, match="uk"):
        opened(zoho, clock, region="moon")
    with pytest.raises(Misconfigured, match=r"auth\.client_secret"):
        connect(zoho, clock, auth={"client_id": "x", "refresh_token": Secret("y")})


def test_calls_that_run_at_once_are_waited_for_and_a_day_s_end_is_not(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    lead(zoho, "a@x.io")
    zoho.busy = 2
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    zoho.credits = zoho.spent + 2
    connector.check()
    assert connector.check().quotas[0].limit == 51_000
    with pytest.raises(QuotaExhausted) as told:
        connector.check()
    assert told.value.until == clock.now() + timedelta(hours=1)
    clock.advance(24 * 3600 + 1)
    assert connector.check().quotas == ()  # less than a half is used: Zoho does not say


def test_credits_are_left_to_others(zoho: ZohoSandbox, clock: ManualClock) -> None:
    connector = opened(zoho, clock, credits_reserve=90)
    zoho.credits = 100
    for _ in range(10):
        zoho.used.append((stamp(clock.now()), 5))
    assert connector.check()  # whose answer tells that few are left
    before = connector.calls
    with pytest.raises(QuotaExhausted):
        connector.check()
    assert connector.calls == before
    clock.advance(3601)
    assert connector.check()
    connector.close()


def test_a_missing_scope_stops_its_object_and_is_named(zoho: ZohoSandbox, connector: Connector) -> None:
    words = [scope for scope in zoho.login.scopes.split() if "users" not in scope and "settings" not in scope]
    zoho.login.scopes = " ".join([*words, "ZohoCRM.settings.fields.READ"])
    missing = connector.check().missing_scopes
    assert missing == ("ZohoCRM.users.READ", "ZohoCRM.settings.layouts.READ", "ZohoCRM.settings.pipeline.READ")
    with pytest.raises(PermissionMissing, match="scope"):
        pulled(connector, "users", None, [])
    assert pulled(connector, "accounts", None, ["Account_Name"])[0] == []


def test_broken_answers_are_asked_again(zoho: ZohoSandbox, connector: Connector) -> None:
    lead(zoho, "a@x.io")
    connector.check()
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        zoho.inject(kind, "POST /crm/v8/coql")
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/coql", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1


def test_describe_tells_live_fields(connector: Connector) -> None:
    fields = connector.describe("leads").fields
    assert (fields["First_Name"].length, fields["First_Name"].writable) == (40, True)
    assert (fields["Modified_Time"].type, fields["Modified_Time"].writable) == ("datetime", False)
    assert (fields["Owner.id"].type, fields["Owner.id"].writable, fields["Owner"].writable) == (
        "reference",
        True,
        False,
    )
    assert (fields["Closedloop_Id"].unique, fields["Last_Name"].required) == (True, True)
    assert not connector.describe("deals").fields["Stage_Won"].writable
    assert connector.describe("users").fields == {}


# the sandbox itself


def test_an_answer_of_another_shape_is_asked_again_later(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    odd: Any = {"data": "none"}
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/coql", answer=Answer.of(odd), times=9)
    with pytest.raises(RetryLater, match="unknown shape"):
        pulled(connector, "leads", None, FIELDS)
