"""Connecting an account, on every platform that has a log-in by consent: the whole way, and all that must fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured
from config.secrets import Secret
from connectors import registry
from connectors.api import Account
from connectors.consent import App, Asked, app_of, ask, code_of, exchange
from sync.connect import PATH, PORT, connect
from sync.state.schema import tokens
from sync.state.tokens import StateTokens
from sync.workspace import Workspace
from tests.connect.surroundings import (
    MODES,
    RENEWED,
    agree,
    asked_for,
    consents,
    door,
    follow,
    grant,
    kept,
    opened,
    pasting,
    visit,
)

MINUTE = 61.0
"""Seconds after which every platform gives another token."""
RENEWS_FIRST = ("hubspot-oauth", "salesforce-refresh_token")
"""Whose connectors begin with a renewal: to learn the scopes, and the org's host."""
AGAIN = r"(?i)connect the account again"
ELSEWHERE = "https://elsewhere.example/back"


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)


def on_this_machine(sandbox: Any, mode: str) -> bool:
    return "redirect_uri" not in consents(sandbox).apps[mode]


@pytest.mark.parametrize("key", MODES)
def test_a_consent_opens_the_account_until_it_ends(key: str, tmp_path: Path, clock: ManualClock) -> None:
    name, mode = MODES[key]
    with opened(tmp_path, name, mode, clock=clock) as (sandbox, workspace):
        with pytest.raises(Misconfigured, match=f"Run `closedloop connect {name}`"):
            workspace.connector(name)
        assert connect(workspace, name, door(sandbox) if on_this_machine(sandbox, mode) else pasting(sandbox)) == ""
        opens_all_that_is_asked_for(workspace, name)
        assert asked_for(sandbox, "authorization_code") == 1
        renewals = asked_for(sandbox, "refresh_token")
        assert renewals <= (1 if key in RENEWS_FIRST else 0)
        with workspace.state.read() as tx:
            sealed = "".join(row.ciphertext for row in tx.execute(sa.select(tokens)))
        assert kept(workspace, name)["connected"] not in sealed

        consents(sandbox).ends()
        clock.advance(MINUTE)
        if key in RENEWED:
            assert workspace.connector(name).check().account_id
            assert asked_for(sandbox, "refresh_token") == renewals + 1
            return
        with pytest.raises(AuthorizationLost, match=AGAIN) as error:
            workspace.connector(name).check()
        assert "closedloop connect" in error.value.fix
        agree(workspace, sandbox, name)
        with Workspace.open(tmp_path, clock=clock) as own:
            assert own.connector(name).check().account_id


def opens_all_that_is_asked_for(workspace: Workspace, name: str) -> None:
    """The scopes that were asked for do for the check and for every object that the ready mapping pulls."""
    connector, mapped = workspace.connector(name), workspace.mapped(name)
    health = connector.check()
    assert health.account_id
    assert health.missing_scopes == ()
    for object, facts in registry.facts(name).objects.items():
        if facts.pull and object in mapped:
            assert list(connector.pull(object, None, mapped[object].remote_fields))


@pytest.mark.parametrize("key", MODES)
def test_the_address_that_people_are_told_to_register_is_the_one_that_is_asked_with(key: str) -> None:
    name, mode = MODES[key]
    with registry.platform(name).sandbox() as sandbox:
        app = consents(sandbox).apps[mode]
        usual = app.get("redirect_uri") or f"http://{grant(name, mode).loopback}:{PORT}{PATH}"
        assert follow(ask(an_app(sandbox, mode), usual).address, sandbox, registers=False).startswith(usual)
        assert usual.startswith("https:") or "redirect_uri" not in app


def an_app(sandbox: Any, mode: str) -> App:
    app: dict[str, Secret | str] = dict(consents(sandbox).apps[mode])
    facts = registry.facts(sandbox.name)
    settings = sandbox.account()["settings"]
    account = Account(sandbox.name, sandbox.name, app, settings, sandbox.base_url, sandbox.ca_file)
    return app_of(account, facts.title, facts.auth[mode])


@pytest.mark.parametrize("key", MODES)
def test_an_address_that_is_not_registered_is_told_on_the_page_and_not_gone_to(key: str) -> None:
    name, mode = MODES[key]
    with registry.platform(name).sandbox() as sandbox:
        page = visit(ask(an_app(sandbox, mode), ELSEWHERE).address, sandbox.ca_file)
        assert page.status_code == 400
        assert "location" not in page.headers
        assert "is not registered at this app" in page.text


class Attempts:
    """Answers that a person could paste, none of which may be taken."""

    def __init__(self, sandbox: Any, mode: str, clock: ManualClock) -> None:
        self.sandbox, self.clock, self.app = sandbox, clock, an_app(sandbox, mode)

    def _code(self, redirect: str) -> tuple[Asked, str]:
        asked = ask(self.app, redirect)
        return asked, code_of(self.app, asked, follow(asked.address, self.sandbox)).reveal()

    def forged(self, answer: str) -> str:
        return answer.replace("state=", "state=x")

    def stateless(self, answer: str) -> str:
        return answer.partition("&state=")[0]

    def unknown(self, answer: str) -> str:
        return _with(answer, "code-of-nobody")

    def foreign(self, answer: str) -> str:
        """A code that was given for another address."""
        return _with(answer, self._code(ELSEWHERE)[1])

    def replayed(self, answer: str) -> str:
        """A code that brought tokens before."""
        asked, code = self._code(answer.partition("?")[0])
        exchange(self.app, asked, Secret(code))
        self.clock.advance(MINUTE)
        return _with(answer, code)

    def unproven(self, answer: str) -> str:
        """A code of the right address, given to somebody else's proof."""
        return _with(answer, self._code(answer.partition("?")[0])[1])

    def late(self, answer: str) -> str:
        self.clock.advance(consents(self.sandbox).life.total_seconds() + 1)
        return answer


def _with(answer: str, code: str) -> str:
    import re

    return re.sub(r"code=[\w-]+", f"code={code}", answer)


@pytest.mark.parametrize("key", MODES)
def test_what_is_no_answer_to_this_question_changes_nothing(key: str, tmp_path: Path, clock: ManualClock) -> None:
    name, mode = MODES[key]
    with opened(tmp_path, name, mode, clock=clock) as (sandbox, workspace):
        attempts = Attempts(sandbox, mode, clock)
        refused = rf"{attempts.app.title} refuses the code"
        wrong: list[tuple[Callable[[str], str], str]] = [
            (attempts.forged, "its state differs"),
            (attempts.stateless, "its state differs"),
            (attempts.unknown, refused),
            (attempts.foreign, refused),
            (attempts.replayed, refused),
            (attempts.late, refused),
        ]
        if attempts.app.grant.pkce:
            wrong.append((attempts.unproven, refused))
        for change, told in wrong:
            clock.advance(MINUTE)
            with pytest.raises(AuthorizationLost, match=told) as error:
                connect(workspace, name, pasting(sandbox, change))
            assert "code-" not in f"{error.value} {error.value.__cause__}"
            assert kept(workspace, name) == {}, change
        clock.advance(MINUTE)
        agree(workspace, sandbox, name)
        assert workspace.connector(name).check().account_id


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("key", RENEWED)
def test_a_crash_between_the_answer_and_its_storing_is_mended_or_told(
    key: str, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, mode = MODES[key]
    with opened(tmp_path, name, mode, clock=clock) as (sandbox, workspace):
        agree(workspace, sandbox, name)
        workspace.connector(name).check()
        before = asked_for(sandbox, "refresh_token")
        consents(sandbox).ends()
        clock.advance(MINUTE)

        def dies(store: StateTokens, token: str, value: str) -> None:
            raise Died

        with monkeypatch.context() as patched, Workspace.open(tmp_path, clock=clock) as own:
            patched.setattr(StateTokens, "put", dies)
            with pytest.raises(Died):
                own.connector(name).check()
        assert asked_for(sandbox, "refresh_token") == before + 1

        clock.advance(MINUTE)
        with Workspace.open(tmp_path, clock=clock) as own:
            try:
                assert own.connector(name).check().account_id
            except AuthorizationLost as error:
                assert f"closedloop connect {name}" in error.fix, str(error)
        clock.advance(MINUTE)
        agree(workspace, sandbox, name)
        with Workspace.open(tmp_path, clock=clock) as own:
            assert own.connector(name).check().account_id
