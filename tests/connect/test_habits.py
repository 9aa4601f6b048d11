"""What each platform's log-in has of its own: whom it gives what lasts, where the account lives, what was granted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured
from connectors import registry
from connectors.api import Account
from connectors.consent import App, app_of, ask, code_of, exchange
from sync.cli import show
from sync.workspace import Workspace
from tests.connect.surroundings import MODES, agree, asked_for, consents, follow, opened

BACK = "http://localhost:8719/callback"
DAY = 86_400.0


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)


def app_at(
    sandbox: Any, mode: str, settings: Mapping[str, Any] | None = None, app: Mapping[str, str] | None = None
) -> App:
    facts = registry.facts(sandbox.name)
    members = {**consents(sandbox).apps[mode], **(app or {})}
    account = Account(
        sandbox.name, sandbox.name, members, {**sandbox.account()["settings"], **(settings or {})}, sandbox.base_url
    )
    return app_of(replace(account, ca_file=sandbox.ca_file), facts.title, facts.auth[mode])


def consented(app: App, sandbox: Any) -> Any:
    """What a person's consent brings, asked for by `app`."""
    asked = ask(app, BACK)
    return exchange(app, asked, code_of(app, asked, follow(asked.address, sandbox)))


def asking(app: App, **extra: str) -> App:
    """The app, asking with these parameters of its own."""
    return replace(app, grant=app.grant.model_copy(update={"extra": extra}))


WORDS = {
    "calendly-oauth": "invalid_client",
    "constant_contact-oauth": "invalid_client",
    "google_analytics-oauth": "invalid_client",
    "hubspot-oauth": "BAD_REFRESH_TOKEN",
    "linkedin-token": "invalid_client",
    "mailchimp-oauth": "invalid_client",
    "outreach-oauth": "invalid_client",
    "salesforce-refresh_token": "invalid_client",
    "zoho-oauth": "invalid_client",  # with status 200
}


@pytest.mark.parametrize("key", WORDS)
def test_a_wrong_secret_is_told_in_the_platforms_word(key: str) -> None:
    name, mode = MODES[key]
    with registry.platform(name).sandbox() as sandbox:
        sandbox.consents.registered.append(BACK)
        with pytest.raises(AuthorizationLost, match=rf"refuses the code \({WORDS[key]}\)"):
            consented(app_at(sandbox, mode, app={"client_secret": "wr0ng"}), sandbox)


@pytest.mark.parametrize("name", ["google_analytics", "zoho"])
def test_what_lasts_is_given_for_offline_access_and_again_only_where_it_is_asked_again(name: str) -> None:
    with registry.platform(name).sandbox() as sandbox:
        app = app_at(sandbox, "oauth")
        with pytest.raises(AuthorizationLost, match="gave no refresh token"):
            consented(asking(app), sandbox)
        first = consented(asking(app, access_type="offline"), sandbox)["refresh_token"]
        with pytest.raises(AuthorizationLost, match="gave no refresh token"):
            consented(asking(app, access_type="offline"), sandbox)
        assert consented(app, sandbox)["refresh_token"] != first


@pytest.mark.parametrize(
    ("key", "scope"), [("constant_contact-pkce", "offline_access"), ("salesforce", "refresh_token")]
)
def test_what_lasts_is_given_for_its_scope(key: str, scope: str, clock: ManualClock) -> None:
    name, mode = MODES.get(key, (key, "refresh_token"))
    with registry.platform(name).sandbox(clock=clock) as sandbox:
        app = app_at(sandbox, mode)
        with pytest.raises(AuthorizationLost, match="gave no refresh token"):
            consented(replace(app, scopes=tuple(s for s in app.scopes if s != scope)), sandbox)
        clock.advance(1)
        assert consented(app, sandbox)["refresh_token"]


def test_linkedin_gives_what_lasts_to_approved_apps_and_for_a_year(tmp_path: Path, clock: ManualClock) -> None:
    with opened(tmp_path, "linkedin", "oauth", clock=clock) as (sandbox, workspace):
        ordinary = consents(sandbox).apps["token"]
        with pytest.raises(AuthorizationLost, match="gave no refresh token"):
            consented(app_at(sandbox, "oauth", app=ordinary), sandbox)
        agree(workspace, sandbox, "linkedin")
        clock.advance(364 * DAY)
        assert workspace.connector("linkedin").check().account_id
        clock.advance(61 * DAY)
        with pytest.raises(AuthorizationLost, match="closedloop connect linkedin"):
            workspace.connector("linkedin").check()


def test_linkedin_refuses_all_where_one_scope_is_not_the_apps() -> None:
    with registry.platform("linkedin").sandbox() as sandbox:
        app = app_at(sandbox, "token")
        with pytest.raises(AuthorizationLost, match=r"gives no consent \(unauthorized_scope_error\)"):
            consented(replace(app, scopes=(*app.scopes, "r_emailaddress")), sandbox)


@pytest.mark.parametrize("key", ["google_analytics-oauth", "zoho-oauth", "constant_contact-oauth", "outreach-oauth"])
def test_a_scope_that_was_not_granted_is_named(key: str, tmp_path: Path) -> None:
    name, mode = MODES[key]
    with opened(tmp_path, name, mode) as (sandbox, workspace):
        asked = registry.facts(name).auth[mode].scopes
        withheld = next(
            scope for scope in asked if scope.endswith((".edit", ".bulk.READ", "campaign_data", "calls.read"))
        )
        consents(sandbox).withheld = {withheld}
        agree(workspace, sandbox, name)
        assert workspace.connector(name).check().missing_scopes == (withheld,)


TELLING = {
    "calendly-oauth": "groups:read",
    "constant_contact-oauth": "billing_data",
    "google_analytics-oauth": "https://www.googleapis.com/auth/analytics.manage.users",
    "hubspot-oauth": "tickets",
    "outreach-oauth": "webhooks.all",
    "salesforce-refresh_token": "full",
    "zoho-oauth": "ZohoCRM.settings.ALL",
}
"""Log-ins whose platform tells what was granted, and a scope that nothing needs."""


@pytest.mark.parametrize("key", TELLING)
def test_a_scope_that_nothing_needs_is_named(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, mode = MODES[key]
    with opened(tmp_path, name, mode) as (sandbox, workspace):
        agree(workspace, sandbox, name)
        assert workspace.connector(name).check().extra_scopes == ()
        kept = "scopes" if name == "hubspot" else "scope"
        told = workspace.tokens(name).get(kept)
        assert told
        workspace.tokens(name).put(kept, f"{told} {TELLING[key]}")  # as the platform's answer would have told it
        health = workspace.connector(name).check()
        assert health.extra_scopes == (TELLING[key],)
        assert health.missing_scopes == ()
    monkeypatch.setenv("COLUMNS", "200")
    show.scopes(health, show.stdout())
    assert f"more than needed: the scope {TELLING[key]}" in capsys.readouterr().out


def test_zoho_tells_its_host_with_the_consent(tmp_path: Path) -> None:
    with opened(tmp_path, "zoho") as (sandbox, workspace):
        agree(workspace, sandbox, "zoho")
        assert workspace.tokens("zoho").get("api_domain") == sandbox.base_url


@pytest.mark.parametrize(
    ("server", "kind", "told"),
    [
        ("https://accounts.zoho.in", Misconfigured, "data centres: in.*Write `region: in`"),
        ("https://accounts.zoho.evil.example", AuthorizationLost, "a host that is none of Zoho CRM's"),
        ("http://accounts.zoho.eu", AuthorizationLost, "a host that is none of Zoho CRM's"),
    ],
)
def test_zohos_code_goes_nowhere_but_to_the_data_centre_that_was_asked(
    server: str, kind: type[Exception], told: str, tmp_path: Path
) -> None:
    with opened(tmp_path, "zoho") as (sandbox, workspace):
        sandbox.login.server = server
        with pytest.raises(kind, match=told):
            agree(workspace, sandbox, "zoho")
        assert asked_for(sandbox, "authorization_code") == 0
        assert workspace.tokens("zoho").get("connected") is None


def test_mailchimps_data_centre_is_asked_for_once_a_token(tmp_path: Path) -> None:
    def asked(sandbox: Any) -> int:
        return sum(line.path == "/oauth2/metadata" for line in sandbox.log)

    with opened(tmp_path, "mailchimp") as (sandbox, workspace):
        for consent in (1, 2):
            agree(workspace, sandbox, "mailchimp")
            for _ in range(2):
                with Workspace.open(tmp_path) as own:
                    assert own.connector("mailchimp").check().account_id
            assert asked(sandbox) == consent
        answer = httpx.get(
            f"{sandbox.base_url}/oauth2/metadata", headers={"authorization": "Bearer x"}, trust_env=False
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_an_app_whose_id_is_a_number_is_to_be_quoted(tmp_path: Path) -> None:
    with opened(tmp_path, "mailchimp") as (_, workspace):
        assert workspace.project.connections["mailchimp"].auth["client_id"].isdigit()
        file = tmp_path / "closedloop.yaml"
        file.write_text(file.read_text().replace('"200100200100"', "200100200100"))
        with pytest.raises(Misconfigured) as told, Workspace.open(tmp_path):
            raise AssertionError("the number was taken")
        [problem] = told.value.problems
        assert (problem.message, problem.hint) == ("This must be text, and reads as a number.", "put it in quotes")


@pytest.mark.parametrize(
    ("key", "settings", "scope"),
    [
        ("google_analytics-oauth", {"send_by": "data_manager"}, "https://www.googleapis.com/auth/datamanager"),
        ("linkedin-token", {"lead_types": "SPONSORED, EVENT"}, "r_events"),
        ("linkedin-oauth", {"sales_navigator_partner": True}, "r_sales_nav_validation"),
    ],
)
def test_a_setting_that_needs_another_scope_asks_for_it(key: str, settings: dict[str, Any], scope: str) -> None:
    name, mode = MODES[key]
    with registry.platform(name).sandbox() as sandbox:
        plain, more = (app_at(sandbox, mode, settings=told) for told in ({}, settings))
        assert set(more.scopes) - set(plain.scopes) == {scope}
        told = consented(more, sandbox)
        assert scope in told["scope"].replace(",", " ").split()
