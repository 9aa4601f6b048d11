"""Logging in: every mode, refusals, kept and rotated tokens."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, RetryLater
from connectors.api import Account, Surroundings
from connectors.salesforce.login import Login
from connectors.salesforce.sandbox import SalesforceSandbox
from tests.conftest import START
from tests.connectors.salesforce.conftest import Budget, Open, Tokens

MODES = ["jwt", "client_credentials", "refresh_token", "password", "session"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_opens_the_org(org: SalesforceSandbox, open_org: Open, mode: str) -> None:
    health = open_org(mode).check()
    assert health.account_name == "Closedloop Sandbox"
    assert health.missing_scopes == ()
    [quota] = health.quotas
    assert (quota.window, quota.limit) == ("day", 100_000)


def test_soap_log_in_is_the_sdks(org: SalesforceSandbox, open_org: Open) -> None:
    connector = open_org("password", auth={"client_id": ""})
    assert connector.check().account_name == "Closedloop Sandbox"
    assert [line.path for line in org.log if "Soap" in line.path] == ["/services/Soap/u/64.0"]
    org.soap_login = False
    org.expire_sessions()
    with pytest.raises(AuthorizationLost, match="INVALID_LOGIN"):
        connector.check()


@pytest.mark.parametrize(
    ("mode", "auth"),
    [
        ("jwt", {"client_id": "other"}),
        ("jwt", {"username": "nobody@example.com"}),
        ("jwt", {"audience": "https://elsewhere.example.com"}),
        ("client_credentials", {"client_secret": "wrong"}),
        ("refresh_token", {"refresh_token": "wrong"}),
        ("password", {"password": "wrong"}),
        ("session", {"access_token": "wrong"}),
    ],
)
def test_wrong_credentials_are_named(open_org: Open, mode: str, auth: dict[str, Any]) -> None:
    with pytest.raises(AuthorizationLost) as caught:
        open_org(mode, auth=auth).check()
    assert caught.value.fix


def test_an_unapproved_user_is_told_what_to_do(org: SalesforceSandbox, open_org: Open) -> None:
    org.login.approved = False
    with pytest.raises(AuthorizationLost, match="approved") as caught:
        open_org("jwt").check()
    assert "Pre-authorise" in caught.value.fix


def test_a_broken_key_is_a_setting(open_org: Open) -> None:
    with pytest.raises(Misconfigured, match="private key"):
        open_org("jwt", auth={"private_key": "-----BEGIN nothing"}).check()


@pytest.mark.parametrize(("mode", "member"), [("jwt", "username"), ("client_credentials", "client_id")])
def test_what_is_missing_is_named(open_org: Open, mode: str, member: str) -> None:
    with pytest.raises(Misconfigured, match=member):
        open_org(mode, auth={member: ""}).check()


def test_the_session_is_kept_for_the_next_run(org: SalesforceSandbox, open_org: Open) -> None:
    open_org().check()
    open_org().check()
    assert org.login.given == 1


def test_a_rotated_refresh_token_replaces_the_first(
    org: SalesforceSandbox, open_org: Open, surroundings: Surroundings
) -> None:
    org.login.rotates = True
    connector = open_org("refresh_token")
    connector.check()
    org.expire_sessions()
    connector.check()
    assert surroundings.tokens.get("refresh_token") == org.login.refresh
    assert org.login.given == 2


def test_a_replaced_refresh_token_goes_before_the_rotated_one(org: SalesforceSandbox, open_org: Open) -> None:
    org.login.rotates = True
    open_org("refresh_token").check()
    org.expire_sessions()
    org.login.refresh = "given-anew"
    open_org("refresh_token", auth={"refresh_token": "given-anew"}).check()
    assert org.login.given == 2


def test_a_session_that_another_process_renewed_is_used(org: SalesforceSandbox, open_org: Open) -> None:
    org.login.rotates = True
    ours, theirs = open_org("refresh_token"), open_org("refresh_token")
    ours.check()
    theirs.check()
    org.expire_sessions()
    ours.check()
    theirs.check()  # its session is over too, and its refresh token with ours
    assert org.login.given == 2


def test_a_log_in_that_cannot_answer_is_a_retry_later(org: SalesforceSandbox, open_org: Open) -> None:
    org.inject("no_answer", "oauth2/token", times=99)
    with pytest.raises(RetryLater):
        open_org().check()


def told(host: str, **more: str) -> str:
    account = Account("sf", "salesforce", {"mode": "client_credentials", **more}, {})
    return Login(account, Surroundings(ManualClock(START), Budget(), Tokens()), requests.Session())._told(host)


@pytest.mark.parametrize(
    "host",
    ["acme.my.salesforce.com", "acme--dev.sandbox.my.salesforce.com", "na1.salesforce.com", "acme.my.salesforce.mil"],
)
def test_a_log_in_may_name_a_host_of_salesforces(host: str) -> None:
    assert told(f"https://{host}/") == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "salesforce.com.evil.example",
        "evilsalesforce.com",
        "a.salesforce.com@evil.example",
        "a.salesforce.com:444",
        "127.0.0.1",
        "169.254.169.254",
    ],
)
def test_a_log_in_that_names_another_host_is_sent_no_token_there(host: str) -> None:
    with pytest.raises(Misconfigured, match="nothing was sent"):
        told(f"https://{host}")


def test_whom_we_logged_in_at_may_name_itself() -> None:
    assert told("https://sso.acme.example", login_url="https://sso.acme.example") == "https://sso.acme.example"
