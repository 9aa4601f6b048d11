"""What mailchimp-marketing does wrong and would touch us, each by name; the SDK itself shows it where it can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import mailchimp_marketing
import pytest
from mailchimp_marketing.api_client import ApiClientError

from config.clock import ManualClock
from config.errors import RecordRejected, RetryLater
from connectors.api import Account, Surroundings
from connectors.mailchimp.client import Client
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.mailchimp.sandbox_login import KEY
from connectors.sandbox import Answer
from tests.connectors.surroundings import Budget, Tokens

AUDIENCE = "a6b5da1054"


@pytest.fixture
def chimp() -> Iterator[MailchimpSandbox]:
    with MailchimpSandbox(seed=1, clock=ManualClock(datetime(2026, 11, 23, tzinfo=UTC))) as sandbox:
        assert isinstance(sandbox, MailchimpSandbox)
        yield sandbox


@pytest.fixture
def ours(chimp: MailchimpSandbox) -> Iterator[Client]:
    account = Account("m", "mailchimp", {"api_key": KEY}, {"audience": AUDIENCE}, chimp.base_url)
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    client = Client(account, Surroundings(clock, Budget(), Tokens()))
    yield client
    client.close()


def theirs(chimp: MailchimpSandbox) -> Any:
    """The SDK as it comes, pointed at the sandbox."""
    client = mailchimp_marketing.Client()
    client.set_config({"api_key": KEY, "server": "us19"})
    client.api_client.host = f"{chimp.base_url}/3.0"
    return client


def test_defect_server_in_an_address_is_rewritten(chimp: MailchimpSandbox, ours: Client) -> None:
    with pytest.raises(ApiClientError):
        theirs(chimp).lists.get_list_member(AUDIENCE, "observer@x.example")
    assert "observer" not in chimp.log[-1].path
    with pytest.raises(RecordRejected):
        ours.call("GET", f"/lists/{AUDIENCE}/members/observer@x.example")
    assert chimp.log[-1].path.endswith("observer@x.example")


def test_defect_a_connection_for_every_call(ours: Client) -> None:
    for _ in range(3):
        ours.call("GET", "/ping")
    manager: Any = ours._session.get_adapter("http://")
    pools = manager.poolmanager.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - no dict


def test_defect_an_error_is_an_object_here_and_a_text_there(chimp: MailchimpSandbox, ours: Client) -> None:
    """The `text` of its error is the problem as an object, or whatever a proxy wrote; ours is sorted by the title."""
    problem = {"title": "Member In Compliance State", "status": 400, "detail": "cannot be subscribed"}
    kinds = set()
    for answer in (Answer.of(problem, 400), Answer(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"})):
        chimp.inject("answer", "GET", times=1, answer=answer)
        with pytest.raises(ApiClientError) as told:
            theirs(chimp).ping.get()
        kinds.add(type(told.value.text))
    assert kinds == {dict, str}
    chimp.inject("answer", "GET", times=1, answer=Answer.of(problem, 400))
    with pytest.raises(RecordRejected) as refused:
        ours.call("GET", "/ping")
    assert refused.value.code == "compliance"


def test_defect_a_lost_connection_has_no_status_and_no_retry(chimp: MailchimpSandbox, ours: Client) -> None:
    chimp.inject("no_answer", "GET .*/ping", times=1)
    with pytest.raises(Exception) as told:  # noqa: PT011 - whatever it lets through
        theirs(chimp).ping.get()
    assert getattr(told.value, "status_code", None) is None
    chimp.inject("no_answer", "GET .*/ping", times=1)
    assert ours.call("GET", "/ping")
    chimp.inject("no_answer", "GET .*/ping", times=99)
    with pytest.raises(RetryLater):
        ours.call("GET", "/ping")


def test_defect_an_empty_answer_is_a_response_object(chimp: MailchimpSandbox, ours: Client) -> None:
    """After a 204 it gives the HTTP library's own object back; ours gives nothing."""
    chimp.inject("answer", "GET .*/ping", times=2, answer=Answer(204))
    assert not isinstance(theirs(chimp).ping.get(), dict | None)
    assert not ours.call("GET", "/ping")
