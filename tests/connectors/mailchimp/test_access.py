"""Mailchimp's keys, limits, errors and settings, and what the connector makes of the SDK."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, RecordRejected, RetryLater
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Surroundings
from connectors.mailchimp.client import Client
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.mailchimp.sandbox_login import KEY
from connectors.sandbox import Answer
from tests.connectors.mailchimp.kit import FIELDS, fill
from tests.connectors.surroundings import Budget, Tokens, connect, pulled


def test_ten_connections_are_waited_for_by_everybody(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    budget = Budget()
    account = chimp.account()
    world = Surroundings(clock, budget, Tokens())
    connector = registry.platform("mailchimp").open(
        Account("mailchimp", "mailchimp", account["auth"], account["settings"], chimp.base_url), world
    )
    chimp.crowded = 2
    connector.check()
    connector.close()
    assert len(budget.blocked) == 2
    assert budget.taken == connector.calls


@pytest.mark.parametrize("kind", ["html", "truncated", "no_answer"])
def test_a_broken_answer_is_asked_for_again(chimp: MailchimpSandbox, mailchimp: Connector, kind: str) -> None:
    ids = fill(chimp, 2)
    chimp.inject(kind, "GET .*members", times=2)
    assert {record.id for record in pulled(mailchimp, "members", None, FIELDS)[0]} == set(ids)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, b"", RetryLater),
        (403, b"", RetryLater),
        (504, b"<html>", RetryLater),
        (403, b'{"title":"Forbidden","status":403}', PermissionMissing),
        (403, b'{"title":"User Disabled","status":403}', AuthorizationLost),
        (401, b'{"title":"API Key Invalid","status":401}', AuthorizationLost),
    ],
)
def test_errors_are_sorted_by_title(
    chimp: MailchimpSandbox, mailchimp: Connector, status: int, body: bytes, error: type[Exception]
) -> None:
    chimp.inject("answer", "GET", times=99, answer=Answer(status, body, {"content-type": "application/problem+json"}))
    with pytest.raises(error):
        mailchimp.check()


def test_the_sdks_server_placeholder_does_not_touch_addresses(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    """The SDK replaces "server" anywhere in the URL by the data centre."""
    client = Client(_account(chimp), Surroundings(ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), Budget(), Tokens()))
    with pytest.raises(RecordRejected):
        client.call("GET", "/lists/a6b5da1054/members/observer@server.example")
    assert chimp.log[-1].path.endswith("observer@server.example")
    client.close()


def test_the_sdks_connection_per_call_is_replaced_by_one(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    for _ in range(3):
        mailchimp.check()
    pools = mailchimp._client._session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    [pool] = [pools[key] for key in pools.keys()]  # noqa: SIM118 - a container of its own kind
    assert pool.num_connections == 1


def _account(chimp: MailchimpSandbox) -> Account:
    return Account("m", "mailchimp", {"api_key": KEY}, {"audience": "a6b5da1054"}, chimp.base_url)


@pytest.mark.parametrize("key", ["nodash", "abc-evil.example/", "abc-US19", "abc-us19@x"])
def test_a_key_that_names_no_data_centre_makes_no_host(key: str, clock: ManualClock) -> None:
    account = Account("m", "mailchimp", {"api_key": Secret(key)}, {"audience": "a"})
    with pytest.raises(Misconfigured) as caught:
        Client(account, Surroundings(clock, Budget(), Tokens()))
    assert key not in str(caught.value)


def test_settings_that_are_missing_are_told(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match="audience"):
        connect(chimp, clock, audience="")


def test_describe_tells_merge_fields_and_takes_any_tag(mailchimp: Connector) -> None:
    schema = mailchimp.describe("members")
    assert schema.fields["merge_fields.FNAME"].length == 255
    assert not schema.fields["member_rating"].writable
    assert "tags." in schema.open_ended


def test_nobody_is_subscribed_by_a_setting(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match="status_if_new"):
        connect(chimp, clock, status_if_new="subscribed")


def test_an_audience_that_is_not_there_is_told(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    connector = connect(chimp, clock, audience="nope")
    with pytest.raises(Misconfigured, match="no audience"):
        connector.check()
    connector.close()
