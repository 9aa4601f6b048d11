"""LinkedIn's log-in, limits and errors, and what the connector says of itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
)
from config.secrets import Secret
from connectors import registry
from connectors.api import Connector, Operation, Verb
from connectors.linkedin import client as wire
from connectors.linkedin.sandbox import AD_ACCOUNT, INSTANCE, PAGE, LinkedInSandbox
from connectors.linkedin.sandbox_login import APP
from connectors.sandbox import Answer, Call, FaultKind
from connectors.sound import Sound
from tests.connectors.linkedin.kit import ANA, FIELDS, opened
from tests.connectors.surroundings import connect, pulled
from tests.fuzz.test_answers import changed

# log-in, limits, errors


def test_check_tells_the_account_and_what_is_missing(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    connector = opened(linkedin, clock, organizations=PAGE)
    health = connector.check()
    assert (health.account_id, health.account_name) == (f"urn:li:sponsoredAccount:{AD_ACCOUNT}", "Cranberries")
    assert (health.missing_scopes, health.notes) == ((), ())
    linkedin.login.scopes = "r_ads,rw_conversions,r_organization_admin,w_organization_social"
    linkedin.roles[linkedin.owner] = "VIEWER"
    linkedin.page_roles = {}
    health = connector.check()
    assert health.missing_scopes == ("r_marketing_leadgen_automation",)
    assert health.extra_scopes == ("w_organization_social",)
    assert health.notes == (
        f"role VIEWER on ad account {AD_ACCOUNT} may not tell conversions",
        f"no approved role on page {PAGE}: its leads cannot be read",
    )
    with pytest.raises(PermissionMissing, match="products and scopes"):
        pulled(connector, "leads", None, FIELDS)
    assert len(pulled(connector, "campaigns", None, [])[0]) == 1  # only its object stops
    connector.close()


def test_the_end_of_a_token_is_told_a_week_ahead(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    connector = opened(linkedin, clock)
    clock.advance(52 * 86_400)
    assert connector.check().notes == ()
    clock.advance(2 * 86_400)
    assert connector.check().notes == ("the access token ends on 2027-01-22: connect the account again before that",)
    clock.advance(7 * 86_400)
    with pytest.raises(AuthorizationLost):
        connector.check()
    connector.close()
    bare = connect(linkedin, clock, auth={"access_token": Secret(linkedin.login.mint())})
    assert "auth.client_id" in bare.check().notes[0]
    bare.close()


def test_a_refresh_token_renews_for_a_year_and_no_longer(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    connector = opened(linkedin, clock, renewed=True)
    assert connector.check().notes == ()
    clock.advance(61 * 86_400)
    linkedin.submit(ANA)
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    linkedin.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    wrong = connect(linkedin, clock, auth={**linkedin.renewed(), "client_secret": Secret("wrong")})
    with pytest.raises(AuthorizationLost, match="client_secret"):
        wrong.check()
    wrong.close()
    clock.advance(300 * 86_400)
    assert "the refresh token ends on 2027-11-23" in connector.check().notes[0]
    assert "version" in connector.check().notes[1]
    clock.advance(61 * 86_400)
    with pytest.raises(AuthorizationLost, match="log-in"):
        connector.check()
    connector.close()


def test_a_refused_token_says_why(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.login.revoked.append(linkedin.login.first)
    with pytest.raises(AuthorizationLost, match="revoked"):
        pulled(connector, "leads", None, FIELDS)
    linkedin.login.revoked.clear()
    linkedin.roles = {}
    with pytest.raises(Misconfigured, match=f"no ad account {AD_ACCOUNT}"):
        connector.check()
    with pytest.raises(PermissionMissing, match="roles on the ad account"):  # told as a 401, too
        pulled(connector, "leads", None, FIELDS)


def test_the_version_stands_in_one_place_and_its_end_is_an_error_with_a_fix(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    pulled(connector, "leads", None, FIELDS)
    assert registry.facts("linkedin").api == wire.VERSION
    linkedin.sunset.append(wire.VERSION)
    with pytest.raises(Misconfigured, match="Install a newer Closedloop"):
        pulled(connector, "leads", None, FIELDS)
    assert clock.now().date() < wire.SUNSET


def test_the_version_goes_to_marketing_calls_and_to_no_other(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    seen: dict[str, tuple[str | None, str | None]] = {}

    def look(call: Call) -> Answer:
        told = call.headers.get("linkedin-version"), call.headers.get("x-restli-protocol-version")
        seen[call.path.split("/")[1]] = told
        return linkedin.answer(call)

    linkedin.inject(FaultKind.ANSWER, times=9, answer=look)
    pulled(partner, "submissions", None, [])
    pulled(partner, "crm_flags", None, [])
    assert seen == {"rest": (wire.VERSION, "2.0.0"), "v2": (None, "2.0.0")}
    partner.close()


def test_the_token_is_asked_about_with_the_app_s_secret(linkedin: LinkedInSandbox, connector: Connector) -> None:
    connector.check()
    [line] = [line for line in linkedin.log if line.path == "/oauth/v2/introspectToken"]
    assert dict(parse_qsl(line.body.decode())) == {**APP, "token": linkedin.login.first}


def test_a_missing_version_is_refused_as_by_linkedin(linkedin: LinkedInSandbox) -> None:
    headers = {"authorization": f"Bearer {linkedin.login.first}", "x-restli-protocol-version": "2.0.0"}
    answer = linkedin.answer(Call("GET", "/rest/leadForms", {}, headers, b""))
    assert (answer.status, orjson.loads(answer.body)["code"]) == (400, "VERSION_MISSING")


def test_the_day_s_quota_closes_its_endpoint_until_midnight(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.submit(ANA)
    linkedin.daily["leadFormResponses"] = 1
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    with pytest.raises(QuotaExhausted) as told:
        pulled(connector, "leads", None, FIELDS)
    assert told.value.until == datetime(2026, 11, 24, tzinfo=UTC)
    assert clock.now() < datetime(2026, 11, 23, 10, 1, tzinfo=UTC)  # short retries
    before = connector.calls
    with pytest.raises(QuotaExhausted):
        pulled(connector, "submissions", None, [])
    assert connector.calls == before  # known to be closed
    assert len(pulled(connector, "campaigns", None, [])[0]) == 1  # others are open
    clock.advance(14 * 3600)
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1


def test_broken_answers_are_asked_again(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.submit(ANA)
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER):
        linkedin.inject(kind, "GET /rest/leadFormResponses")
    linkedin.inject(FaultKind.ANSWER, "GET /rest/leadFormResponses", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1


def test_what_is_missing_is_named(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.access_token"):
        connect(linkedin, clock, auth={"client_id": "x", "refresh_token": Secret("y")})
    with pytest.raises(Misconfigured, match=r"settings\.ad_accounts"):
        opened(linkedin, clock, ad_accounts="")
    with pytest.raises(Misconfigured, match="no lead type WEBINAR"):
        opened(linkedin, clock, lead_types="sponsored, webinar")
    with pytest.raises(Misconfigured, match=r"EVENT need settings\.organizations"):
        opened(linkedin, clock, lead_types="EVENT")
    pages = opened(linkedin, clock, ad_accounts="", organizations=PAGE, lead_types="EVENT")
    assert pages.pull("campaigns", None, []) is not None
    pages.close()


def test_other_objects_are_not_written(connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.UPDATE, "leads", {"email": "x"}, id="1")], [])
    assert isinstance(result.error, RecordRejected)
    assert result.error.code == "read_only"


# the sandbox itself


def test_no_answer_about_a_lead_or_an_outcome_is_a_traceback(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    """As tests/fuzz does for every platform, with responses, an export and events at hand."""
    form = linkedin.ask("Big", [{"name": "Choice", "options": ["a", "b"]}])
    id = linkedin.submit({**ANA, "Choice": [1]}, form=form, consents=(True,))
    linkedin.flag("003A")
    linkedin.match("003A", "ACoAna")
    clock.advance(60)
    job = orjson.dumps({"since": 0, "job": linkedin.exports.start(0)}).decode()
    clock.advance(3600)
    event = {"event": "won", "event_id": "e", "at": "2026-11-20T10:00:00.000Z", "email": "a@x.example"}
    uses: list[Callable[[Connector], Any]] = [
        lambda made: list(made.pull("leads", None, FIELDS)),
        lambda made: list(made.pull("submissions", None, [])),
        lambda made: list(made.pull("crm_flags", job, [])),
        lambda made: made.read("crm_profiles", "id", ["003A", "003B"], []),
        lambda made: made.read("leads", "id", [id], [*FIELDS, "campaignName"]),
        lambda made: list(made.push([Operation("k", Verb.CREATE, "conversions", event)], ["consent"])),
    ]
    whole, honest, refused = linkedin.snapshot(), linkedin.after, 0
    made = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    for number in range(100):
        linkedin.restore(whole)
        random = Random(number)
        linkedin.after = lambda call, answer, random=random: changed(honest(call, answer), random)  # type: ignore[method-assign, misc]
        try:
            uses[number % len(uses)](Sound(made, "linkedin", "LinkedIn"))
        except ClosedloopError:
            refused += 1
    linkedin.after = honest  # type: ignore[method-assign]
    assert 0 < refused < 100
    made.close()
