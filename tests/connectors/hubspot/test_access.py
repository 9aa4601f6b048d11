"""HubSpot's log-in, limits and errors, and what the connector says of itself."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
)
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Surroundings
from connectors.hubspot.sandbox import HubSpotSandbox
from connectors.sandbox import Answer
from tests.connectors.hubspot.kit import FIELDS, fill
from tests.connectors.surroundings import Budget, Tokens, connect, pulled


@pytest.mark.parametrize("kind", ["html", "truncated", "no_answer", "lost_answer", "charset"])
def test_a_broken_answer_is_asked_for_again(portal: HubSpotSandbox, hubspot: Connector, kind: str) -> None:
    ids = fill(portal, 2)
    portal.edit("contacts", ids[0], {"firstname": "Žöfia"})
    portal.inject(kind, "GET /crm/objects", times=2)
    found, _ = pulled(hubspot, "contacts", None, FIELDS)
    assert {record.id for record in found} == set(ids)


def test_a_platform_that_stays_broken_is_told(portal: HubSpotSandbox, hubspot: Connector) -> None:
    portal.inject("html", "GET", times=99)
    with pytest.raises(RetryLater):
        pulled(hubspot, "contacts", None, FIELDS)


@pytest.mark.parametrize(("policy", "seconds"), [("SECONDLY", 1.0), ("TEN_SECONDLY_ROLLING", 10.0)])
def test_limits_are_waited_for_by_their_policy(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock, policy: str, seconds: float
) -> None:
    portal.inject("answer", "GET /crm/owners", answer=lambda call: portal.limited(policy))
    began = clock.now()
    pulled(hubspot, "owners", None, [])
    assert (clock.now() - began).total_seconds() >= seconds


def test_the_daily_limit_stops(portal: HubSpotSandbox, hubspot: Connector) -> None:
    portal.daily_limit = 0
    with pytest.raises(QuotaExhausted):
        hubspot.check()


def test_wrong_credentials_are_told_without_them(portal: HubSpotSandbox, clock: ManualClock) -> None:
    connector = connect(portal, clock, auth={"mode": "token", "token": Secret("pat-wrong")})
    with pytest.raises(AuthorizationLost) as caught:
        connector.check()
    assert "pat-wrong" not in str(caught.value)
    connector.close()
    with pytest.raises(Misconfigured):
        connect(portal, clock, auth={"mode": "token"})


def test_health_says_whose_account_it_is_and_what_is_left(portal: HubSpotSandbox, hubspot: Connector) -> None:
    health = hubspot.check()
    assert health.account_id == str(portal.portal)
    assert health.quotas[0].limit == 650_000


def test_describe_tells_types_options_and_what_is_read_only(hubspot: Connector) -> None:
    fields = hubspot.describe("contacts").fields
    assert "customer" in fields["lifecyclestage"].options
    assert not fields["createdate"].writable
    assert fields["email"].unique


def test_a_certificate_nobody_trusts_is_told(clock: ManualClock) -> None:
    """The SDK fails on its own while it tells of such a certificate."""

    class Secure(HubSpotSandbox):
        tls = True

    with Secure(seed=1, clock=clock) as sandbox:
        account = sandbox.account()
        connector = registry.platform("hubspot").open(
            Account("hubspot", "hubspot", account["auth"], {}, sandbox.base_url),
            Surroundings(clock, Budget(), Tokens()),
        )
        with pytest.raises(Misconfigured, match="certificate"):
            connector.check()
        connector.close()


def grants(portal: HubSpotSandbox) -> int:
    return sum(line.path.startswith("/oauth/") for line in portal.log)


def test_an_access_token_is_renewed_before_it_ends_and_after_it_was_revoked(
    portal: HubSpotSandbox, app: Connector, clock: ManualClock
) -> None:
    assert app.check().missing_scopes == ()
    app.check()
    assert grants(portal) == 1
    clock.advance(1790)
    app.check()
    assert grants(portal) == 2
    portal.sessions.clear()
    app.check()
    assert grants(portal) == 3


def test_a_refused_refresh_token_is_told_as_lost_authorization(portal: HubSpotSandbox, app: Connector) -> None:
    portal.refresh_token = "another"
    with pytest.raises(AuthorizationLost):
        app.check()
    assert grants(portal) == 1


def test_scopes_that_were_not_granted_are_named(portal: HubSpotSandbox, app: Connector, clock: ManualClock) -> None:
    portal.scopes = tuple(name for name in portal.scopes if name != "crm.objects.deals.read")
    assert app.check().missing_scopes == ("crm.objects.deals.read",)
    by_token = connect(portal, clock)
    assert by_token.check().missing_scopes == ()
    assert by_token.check().notes  # nobody tells which scopes such a token has
    by_token.close()


def test_a_scope_that_stops_a_call_is_named(portal: HubSpotSandbox, app: Connector) -> None:
    told = {
        "status": "error",
        "category": "MISSING_SCOPES",
        "errors": [{"context": {"requiredGranularScopes": ["crm.objects.deals.read"]}}],
    }
    portal.inject("answer", "GET /crm/objects/.*/deals", answer=Answer.of(told, 403))
    with pytest.raises(PermissionMissing, match=r"crm\.objects\.deals\.read"):
        pulled(app, "deals", None, [])


@pytest.mark.parametrize("status", [423, 477, 502])
def test_a_platform_that_is_busy_or_moves_house_is_asked_again(
    portal: HubSpotSandbox, app: Connector, clock: ManualClock, status: int
) -> None:
    portal.inject("answer", "GET /crm/objects/", answer=Answer.of({}, status, {"Retry-After": "3"}))
    began = clock.now()
    pulled(app, "contacts", None, FIELDS)
    assert (clock.now() - began).total_seconds() >= (2 if status == 423 else 1)
