"""ActiveCampaign's keys, limits and errors, and what the connector says of itself."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, RetryLater
from config.secrets import Secret
from connectors.activecampaign import client as wire
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector
from connectors.sandbox import Answer, FaultKind
from tests.connectors.activecampaign.kit import opened
from tests.connectors.surroundings import connect, pulled


def test_a_bad_key_a_missing_right_and_a_passing_refusal_are_told_apart(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ac.put("contacts", {"email": "a@x.io"})
    ac.refusals = 3
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 1
    ac.forbidden.add("deals")
    with pytest.raises(PermissionMissing):
        pulled(connector, "deals", None, ["title"])
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 1
    auth = {**ac.account()["auth"], "api_key": Secret("wrong")}
    stranger = connect(ac, clock, auth=auth)
    with pytest.raises(AuthorizationLost, match="refuses the key"):
        stranger.check()
    stranger.close()


def test_five_calls_a_second_are_waited_for(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 1)
    for number in range(12):
        ac.put("contacts", {"email": f"p{number}@x.io"})
    ac.per_second = 5
    began = clock.now()
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 12
    assert 2 <= (clock.now() - began).total_seconds() <= 4
    assert connector.check().quotas[0].limit == 5


def test_broken_answers_are_asked_again(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.put("contacts", {"email": "a@x.io"})
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        ac.inject(kind, "GET /api/3/contacts")
    ac.inject(FaultKind.ANSWER, "GET /api/3/contacts", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "contacts", None, ["email"])[0]) == 1


def test_an_answer_of_another_shape_is_named(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    for body in (b"[]", b'{"contacts":{}}'):
        ac.inject(FaultKind.ANSWER, "GET /api/3/contacts", answer=Answer(200, body))
        with pytest.raises(RetryLater):
            pulled(connector, "contacts", None, ["email"])


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.api-us1.com",
        "https://acme.example",
        "https://x@acme.api-us1.com",
        "https://acme.api-us1.com:8443",
        "",
    ],
)
def test_the_key_goes_to_the_account_s_own_host_only(ac: ActiveCampaignSandbox, clock: ManualClock, url: str) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.url"):
        connect(ac, clock, auth={"api_key": Secret("x"), "url": url})
    with pytest.raises(Misconfigured, match=r"auth\.api_key"):
        connect(ac, clock, auth={"url": "https://acme.api-us1.com"})


def test_a_redirect_says_that_the_address_is_wrong(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ac.inject(FaultKind.ANSWER, "users/me", answer=Answer(301, b"", {"location": "https://elsewhere.example"}))
    with pytest.raises(Misconfigured, match="not that of the API"):
        connector.check()


def test_check_tells_the_account_and_lists_that_are_not_there(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    connector = opened(ac, clock, lists="1,77")
    health = connector.check()
    assert (health.account_id, health.account_name) == ("sandbox.api-us1.com", "sandbox")
    assert health.notes == ("settings.lists names 77, which is not there or which the user may not see",)
    connector.close()


def test_describe_tells_live_fields(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    schema = connector.describe("contacts")
    assert schema.open_ended == ("tags.", "lists.", "joined.")
    assert (schema.fields["email"].unique, schema.fields["udate"].writable) == (True, False)
    assert schema.fields["fields.INTERESTS"].type == "choices"
    assert schema.fields["fields.INTERESTS"].options == ("red", "blue")
    assert schema.fields["fields.JOB_TITLE"].label == "Job title"
    ac.put("dealCustomFieldMeta", {"fieldLabel": "Reason", "personalization": "DEAL_REASON"})
    assert connector.describe("deals").fields["fields.DEAL_REASON"].label == "Reason"
    with pytest.raises(Misconfigured):
        connector.describe("nothing")
