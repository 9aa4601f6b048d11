"""Calendly's log-in, limits and refusals, and what the connector says of itself."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    Misconfigured,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Connector
from connectors.calendly import client as wire
from connectors.calendly.sandbox import CalendlySandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.calendly.kit import asked, opened, told
from tests.connectors.surroundings import connect


def test_refresh_tokens_work_once_and_a_401_in_the_middle_is_healed(
    calendly: CalendlySandbox, clock: ManualClock
) -> None:
    calendly.oauth = True
    connector = opened(calendly, clock)
    assert connector.check().missing_scopes == ()
    used = calendly.login.first
    assert calendly.login.refresh != [used]
    clock.advance(3 * 3600)
    told(connector, "users", None)
    assert len(asked(calendly, "/oauth/token")) == 2
    calendly.login.access.clear()
    told(connector, "users", None)
    assert len(asked(calendly, "/oauth/token")) == 3
    calendly.login.access.clear()
    calendly.login.refresh.clear()
    with pytest.raises(AuthorizationLost, match="connect the account again"):
        told(connector, "users", None)
    connector.close()


def test_a_log_in_that_did_not_arrive_is_asked_again_and_a_lost_pair_is_lost(
    calendly: CalendlySandbox, clock: ManualClock
) -> None:
    """The refresh token is dead once Calendly used it: only a person can connect again."""
    calendly.oauth = True
    calendly.inject(FaultKind.NO_ANSWER, "POST /oauth/token")
    connector = opened(calendly, clock)
    assert connector.check().account_id
    clock.advance(3 * 3600)
    calendly.inject(FaultKind.LOST_ANSWER, "POST /oauth/token")
    with pytest.raises(AuthorizationLost, match="connect the account again"):
        told(connector, "users", None)
    connector.close()


def test_a_personal_token_that_is_revoked_says_so(calendly: CalendlySandbox, clock: ManualClock) -> None:
    auth = {"mode": "token", "access_token": Secret("revoked")}
    connector = connect(calendly, clock, auth=auth)
    with pytest.raises(AuthorizationLost, match="new token"):
        connector.check()
    assert connector.calls == 1
    connector.close()


def test_what_is_missing_in_auth_is_named(calendly: CalendlySandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.access_token\."):
        connect(calendly, clock, auth={"mode": "token"})
    with pytest.raises(Misconfigured, match=r"auth\.client_secret, auth\.refresh_token"):
        connect(calendly, clock, auth={"mode": "oauth", "client_id": "x"})
    with pytest.raises(Misconfigured, match="whose"):
        opened(calendly, clock, whose="nobody")


def test_the_minute_s_limit_is_waited_for(calendly: CalendlySandbox, connector: Connector, clock: ManualClock) -> None:
    """The reset tells the seconds that are left."""
    calendly.per_minute = 3
    clock.advance(20)
    began = clock.now()
    for _ in range(4):
        told(connector, "users", None)
    assert 40 <= (clock.now() - began).total_seconds() < 60
    assert calendly.log[-1].status == 200


def test_missing_scopes_are_named(calendly: CalendlySandbox, connector: Connector, clock: ManualClock) -> None:
    calendly.login.scopes = "users:read organizations:read event_types:read"
    health = connector.check()
    assert health.missing_scopes == ("scheduled_events:read",)
    assert "owner or admin" in health.notes[0]
    with pytest.raises(PermissionMissing, match="scope"):
        told(connector, "invitees", None)
    calendly.oauth = True
    calendly.login.scopes = "users:read scheduled_events:write event_types:read"
    other = opened(calendly, clock)
    before = other.calls
    assert other.check().missing_scopes == ("organizations:read",)
    assert other.calls - before == 2  # the grant tells: nothing is tried
    other.close()
    calendly.login.scopes = "default"  # a token of the time before scopes
    assert connector.check().missing_scopes == ()


def test_a_plain_user_sees_their_own_meetings(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    bob = calendly.put("users", {"name": "Bob"})
    mine, _ = calendly.book("a@x.io"), calendly.book("b@x.io", host=bob)
    calendly.role = "user"
    assert set(connector.check().missing_scopes) == {
        "organizations:read", "event_types:read", "scheduled_events:read",
    }  # fmt: skip
    with pytest.raises(PermissionMissing, match="owner or admin"):
        told(connector, "invitees", None)
    own = opened(calendly, clock, whose="user")
    health = own.check()
    assert (health.account_id, health.missing_scopes) == (calendly.user, ())
    assert set(told(own, "invitees", None)[0]) == {mine}
    assert set(told(own, "users", None)[0]) == {calendly.user}
    own.close()


def test_check_tells_the_organization_and_the_minute(calendly: CalendlySandbox, connector: Connector) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name) == (calendly.store.organization, "example.com")
    assert [(quota.used, quota.limit, quota.window) for quota in health.quotas] == [(4, 500, "minute")]


def test_broken_answers_are_asked_again(calendly: CalendlySandbox, connector: Connector) -> None:
    calendly.book("a@x.io")
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        calendly.inject(kind, "GET /scheduled_events")
    calendly.inject(FaultKind.ANSWER, "GET /scheduled_events", answer=Answer(502, b"<html>"))
    assert len(told(connector, "invitees", None)[0]) == 1
    calendly.inject(FaultKind.ANSWER, "GET /users/me", answer=Answer.of({"resource": []}))
    calendly.inject(FaultKind.ANSWER, "GET /event_types", answer=Answer.of({"collection": {}}))
    for object in ("event_types",):
        with pytest.raises(RetryLater, match="unknown shape"):
            told(connector, object, None)


def test_refusals_repeat_no_value() -> None:
    error = wire.classify(400, {}, {"details": [{"parameter": "ana@x.io is bad", "message": "ana@x.io"}]})
    assert isinstance(error, RecordRejected)
    assert "ana" not in str(error)
    plan = wire.classify(403, {}, {"message": "Please upgrade your Calendly account to Professional."})
    assert (plan.code, str(plan)) == ("plan", "Calendly's plan does not include this. Upgrade the plan.")
    assert "contacts:read" in str(wire.classify(403, {}, {"message": "Requires contacts:read for ana@x.io"}))
    assert wire.classify(409, {}, None).code == "already_exists"
    assert isinstance(wire.classify(424, {}, {}), RetryLater)
    late = wire.classify(429, {"x-ratelimit-reset": "1893456000"}, {})
    assert isinstance(late, RetryLater)
    assert late.after == 60.0


def test_describe_tells_live_fields(calendly: CalendlySandbox, connector: Connector) -> None:
    schema = connector.describe("invitees")
    assert (schema.fields["email"].type, schema.fields["tracking.utm_source"].type) == ("email", "text")
    assert schema.fields["answers.company_name"].label == "Company name?"
    assert schema.open_ended == ("answers.",)
    assert connector.describe("meetings").fields["state"].options == ("booked", "cancelled", "no_show")
    assert not any(f.writable for object in ("users", "meetings") for f in connector.describe(object).fields.values())
    with pytest.raises(Misconfigured, match="has no object"):
        connector.describe("contacts")


@pytest.mark.parametrize("object", ["users", "event_types", "invitees", "meetings"])
def test_what_is_told_is_described_and_what_is_described_is_told(
    calendly: CalendlySandbox, connector: Connector, object: str
) -> None:
    calendly.cancel(calendly.book("a@x.io"))
    members = set(next(iter(told(connector, object, None)[0].values())))
    described = {name for name in connector.describe(object).fields if "." not in name}
    untold = {
        "cancel_url", "reschedule_url", "reconfirmation", "invitee_scheduled_by", "booking_method", "profile",
        "kind_description", "description_html", "custom_questions", "duration_options", "locations", "position",
    }  # fmt: skip
    assert members - untold <= described
    assert described - members <= {"uri"}
