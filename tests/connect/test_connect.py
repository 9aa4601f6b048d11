"""Connecting an account: the whole way over loopback, and everything that can go wrong on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import keyring
import pytest

from config.errors import AuthorizationLost, Misconfigured, RetryLater
from config.project import load_project
from config.secrets import Secret
from connectors import registry
from connectors.api import Account
from connectors.consent import Asked, app_of, ask, exchange
from connectors.manifest import AuthMode, mode_of
from connectors.sandbox import Answer, Call
from sync import scaffold
from sync.callback import listening
from sync.connect import Door, connect, connection_of
from sync.runs import Options, Runner
from sync.workspace import Workspace
from tests.connect.surroundings import agree, asked_for, consents, door, follow, opened, visit
from tests.keyrings import Ring

REDIRECT = "https://people.example/back"


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)


def test_what_is_asked_is_what_the_manifest_says(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (_, workspace):
        asked: list[Asked] = []
        with pytest.raises(AuthorizationLost, match="within"):
            connect(workspace, "calendly", Door(asked.append, str, port=0, seconds=0.01))
        query = parse_qs(urlsplit(asked[0].address).query)
        assert query["scope"] == ["users:read organizations:read event_types:read scheduled_events:read"]
        assert query["code_challenge_method"] == ["S256"]
        assert len(query["code_challenge"][0]) == 43
        assert len(query["state"][0]) == 64
        assert asked[0].verifier not in asked[0].address
        assert urlsplit(query["redirect_uri"][0]).hostname == "localhost"


@pytest.mark.parametrize("name", registry.names())
def test_every_consent_names_addresses_of_the_platforms_hosts(name: str) -> None:
    for known in registry.facts(name).auth.values():
        if known.grant is None:
            continue
        assert known.grant.gives in known.secrets
        assert known.grant.gives not in known.needed
        for address in (known.grant.authorize, known.grant.token):
            assert urlsplit(address).scheme == "https"
        assert "client_id" in known.settings


def test_the_log_in_host_that_a_connection_names_is_asked() -> None:
    auth: dict[str, Secret | str] = {"mode": "refresh_token", "client_id": "c", "client_secret": Secret("s")}
    web = mode_of(registry.facts("salesforce"), auth)
    assert web is not None
    assert app_of(Account("crm", "salesforce", auth), "S", web).authorize.startswith("https://login.salesforce.com/")
    there = Account("crm", "salesforce", {**auth, "login_url": "acme.my.salesforce.com"})
    assert app_of(there, "S", web).token == "https://acme.my.salesforce.com/services/oauth2/token"
    with pytest.raises(Misconfigured, match="https"):
        app_of(Account("crm", "salesforce", {**auth, "login_url": "http://acme.example"}), "S", web)


def mode(**grant: Any) -> AuthMode:
    """A log-in whose consent is shaped by `grant`."""
    usual = {"authorize": "https://a.example/ask", "token": "https://a.example/token"}
    facts = {"about": "An app.", "secrets": ["client_secret", "refresh_token"], "settings": ["client_id"]}
    return AuthMode.model_validate({**facts, "scopes": ["read", "write"], "grant": {**usual, **grant}})


AUTH: dict[str, Secret | str] = {"client_id": "me", "client_secret": Secret("s3cret")}


def test_a_region_names_its_host_and_an_unknown_one_is_told() -> None:
    regional = mode(host="region", hosts={"us": "https://a.example", "eu": "https://a.europe.example"})
    there = Account("crm", "x", AUTH, {"region": "eu"})
    assert app_of(there, "X", regional).authorize == "https://a.europe.example/ask"
    assert app_of(Account("crm", "x", AUTH), "X", regional).authorize == "https://a.example/ask"
    with pytest.raises(Misconfigured, match=r"region is 'mars'.*It is one of us, eu"):
        app_of(Account("crm", "x", AUTH, {"region": "mars"}), "X", regional)


def test_the_page_is_asked_as_the_platform_wants_it() -> None:
    shaped = mode(separator=",", extra={"access_type": "offline"}, scopes=["first"])
    asked = ask(app_of(Account("crm", "x", AUTH), "X", shaped), "https://me.example/back")
    query = parse_qs(urlsplit(asked.address).query)
    assert query["scope"] == ["first,read,write"]
    assert query["access_type"] == ["offline"]
    assert query["redirect_uri"] == ["https://me.example/back"]
    assert "code_challenge" not in query
    assert asked.verifier == ""


@pytest.mark.parametrize("client", ["post", "basic"])
def test_an_app_tells_its_secret_in_the_form_or_the_header_and_never_in_both(client: str, tmp_path: Path) -> None:
    told: list[Call] = []

    def answer(call: Call) -> Answer:
        told.append(call)
        return Answer.of({"access_token": "a", "refresh_token": "r"})

    with registry.platform("calendly").sandbox() as sandbox:
        sandbox.inject("answer", "POST /token", answer=answer)
        app = app_of(Account("crm", "x", AUTH, base_url=sandbox.base_url), "X", mode(client=client))
        assert exchange(app, ask(app, "https://me.example/back"), Secret("c"))["refresh_token"] == "r"
    header, form = told[0].headers.get("authorization", ""), told[0].form
    assert (b64decode(header.removeprefix("Basic ")) == b"me:s3cret") is (client == "basic")
    assert form.get("client_secret", "") == ("s3cret" if client == "post" else "")
    assert (form["code"], form["redirect_uri"], form["client_id"]) == ("c", "https://me.example/back", "me")


def test_the_platforms_words_are_repeated_only_where_they_are_one_word(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (sandbox, workspace):
        for error, told in (("invalid_scope", r"\(invalid_scope\)"), ("%3Cb%3Ehello", "gives no consent[.]")):
            odd = door(sandbox, lambda address, error=error: address.replace("code=", f"error={error}&x="))  # type: ignore[misc]
            with pytest.raises(AuthorizationLost, match=told):
                connect(workspace, "calendly", odd)


@pytest.mark.parametrize(("fault", "told"), [("no_answer", "cannot be reached"), ("html", "no JSON")])
def test_an_exchange_without_an_answer_is_to_be_tried_again(fault: str, told: str, tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (sandbox, workspace):
        sandbox.inject(fault, "POST /oauth/token")
        with pytest.raises(RetryLater, match=told):
            connect(workspace, "calendly", door(sandbox))
        assert workspace.tokens("calendly").get("connected") is None
        connect(workspace, "calendly", door(sandbox))


def test_a_platform_that_gives_no_lasting_token_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (sandbox, workspace):
        sandbox.inject("answer", "POST /oauth/token", answer=Answer.of({"access_token": "a"}))
        with pytest.raises(AuthorizationLost, match="gave no refresh token"):
            connect(workspace, "calendly", door(sandbox))


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (sandbox, workspace), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"Port {port} is in use"):
            connect(workspace, "calendly", door(sandbox, port=port))


@pytest.mark.parametrize("member", ["client_id", "client_secret"])
def test_a_missing_member_is_named(member: str, tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (sandbox, _):
        file = tmp_path / "closedloop.yaml"
        file.write_text("\n".join(line for line in file.read_text().split("\n") if f"{member}:" not in line))
        with Workspace.open(tmp_path) as workspace, pytest.raises(Misconfigured, match=rf"auth\.{member} is missing"):
            connect(workspace, "calendly", door(sandbox))


def test_an_address_that_the_platform_wants_to_hear_again_is_asked_for(tmp_path: Path) -> None:
    with (
        opened(tmp_path, "outreach", auth={"redirect_uri": ""}) as (sandbox, workspace),
        pytest.raises(Misconfigured, match=r"auth\.redirect_uri is missing"),
    ):
        connect(workspace, "outreach", door(sandbox))


def test_a_new_project_says_what_is_to_be_connected(tmp_path: Path) -> None:
    chosen = {"calendly": scaffold.Chosen("calendly", "oauth"), "hubspot": scaffold.Chosen("hubspot")}
    assert scaffold.unconnected(chosen) == ["calendly"]
    assert scaffold.variables(chosen) == ["CALENDLY_CLIENT_SECRET", "HUBSPOT_TOKEN"]
    text = scaffold.connection_text("calendly", chosen["calendly"])
    assert "refresh_token" not in text
    given = scaffold.Chosen("mailchimp", "oauth", {"access_token": "env:MINE"})
    assert scaffold.unconnected({"mailchimp": given}) == []
    assert "client_secret" not in scaffold.connection_text("mailchimp", given)


def test_a_mode_without_a_consent_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly", auth={}) as (sandbox, _):
        file = tmp_path / "closedloop.yaml"
        file.write_text(file.read_text().replace("mode: oauth", "mode: token"))
        with Workspace.open(tmp_path) as workspace, pytest.raises(Misconfigured, match="not connected in a browser"):
            connect(workspace, "calendly", door(sandbox))


def test_a_token_of_the_file_is_not_overridden_in_silence(tmp_path: Path) -> None:
    with (
        opened(tmp_path, "calendly", auth={"refresh_token": "env:NOT_SET_ANYWHERE"}) as (sandbox, workspace),
        pytest.raises(Misconfigured, match="stands in the project file"),
    ):
        connect(workspace, "calendly", door(sandbox))


def test_connecting_again_takes_nothing_of_the_consent_before(tmp_path: Path) -> None:
    with opened(tmp_path, "hubspot") as (sandbox, workspace):
        connect(workspace, "hubspot", door(sandbox))
        workspace.connector("hubspot").check()
        store = workspace.tokens("hubspot")
        assert store.get("scopes")
        connect(workspace, "hubspot", door(sandbox))
        assert store.get("scopes") is None


def test_a_process_that_runs_on_takes_the_new_consent(tmp_path: Path) -> None:
    """Its next run: the old refresh token has ended, and shown again it may look stolen."""
    with opened(tmp_path, "calendly", "oauth") as (sandbox, workspace):
        agree(workspace, sandbox, "calendly")
        assert Runner(workspace).run("sync", ["calendly"], Options(approve=True)).state == "done"
        with Workspace.open(tmp_path) as other:
            agree(other, sandbox, "calendly")
        consents(sandbox).ends()
        again = Runner(workspace).run("sync", ["calendly"], Options(approve=True))
        assert (again.state, again.errors) == ("done", [])
        assert asked_for(sandbox, "refresh_token") == 1


def test_a_connection_is_found_by_its_platform(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (_, workspace):
        assert connection_of(workspace, "calendly") == "calendly"
        with pytest.raises(Misconfigured, match="There is no connection 'zoho'"):
            connection_of(workspace, "zoho")


@pytest.fixture
def ring() -> Any:
    before = keyring.get_keyring()
    made = Ring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_the_keyring_holds_the_token_and_the_state_does_not(tmp_path: Path, ring: Ring) -> None:
    with opened(tmp_path, "calendly") as (sandbox, workspace):
        reference = connect(workspace, "calendly", door(sandbox, keyring=True))
        assert reference == "keyring:closedloop/calendly.refresh_token"
        assert ring.held["closedloop", "calendly.refresh_token"].startswith("refresh-")
        assert workspace.tokens("calendly").get("connected") is None
        file = tmp_path / "closedloop.yaml"
        text = file.read_text().replace("mode: oauth", f"mode: oauth\n      refresh_token: {reference}")
        file.write_text(text)
        with Workspace.open(tmp_path) as again:
            assert again.connector("calendly").check().account_id
            ring.locked = True
            with pytest.raises(Misconfigured, match="keyring does not take"):
                connect(again, "calendly", door(sandbox, keyring=True))
            assert again.connector("calendly").check().account_id  # what was kept is kept


def test_the_place_a_browser_comes_back_to_tells_nothing() -> None:
    with listening("127.0.0.1", 0, "/callback") as callback:
        assert visit(callback.redirect.replace("/callback", "/favicon.ico")).status_code == 404
        with socket.create_connection(("127.0.0.1", urlsplit(callback.redirect).port or 0)):  # opened in advance
            page = visit(f"{callback.redirect}?code=c0de&state=<script>")
        assert page.status_code == 200
        assert "c0de" not in page.text
        assert "script" not in page.text
        assert page.headers["cache-control"] == "no-store"
        assert callback.wait(1) == "/callback?code=c0de&state=%3Cscript%3E"
    with pytest.raises(httpx.ConnectError):
        visit(callback.redirect)


@contextmanager
def run(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which does not outlive the test."""
    code = "from sync.cli.app import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--project", str(folder), "connect", "calendly", "--no-browser", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLOSEDLOOP_KEY": ""},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def page_of(process: subprocess.Popen[str]) -> str:
    """The address that the command shows."""
    assert process.stdout is not None
    for line in process.stdout:
        if "/oauth/authorize?" in line:
            return line.strip()
    raise AssertionError(process.communicate()[1])


def test_the_command_by_a_browser_of_this_machine(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly") as (sandbox, _), run(tmp_path, "--port", "0", "--timeout", "20") as process:
        visit(follow(page_of(process), sandbox))
        told, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "calendly is connected:" in told
        assert "refresh-" not in told + errors


def test_the_command_by_a_browser_of_another_machine(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly", auth={"redirect_uri": REDIRECT}) as (sandbox, _), run(tmp_path) as process:
        ended = follow(page_of(process), sandbox)
        assert ended.startswith(REDIRECT)
        told, errors = process.communicate(ended + "\n", timeout=60)
        assert process.returncode == 0, errors
        assert "calendly is connected:" in told


def test_the_command_in_vain(tmp_path: Path) -> None:
    with opened(tmp_path, "calendly"), run(tmp_path, "--port", "0", "--timeout", "0.2") as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 4
        assert "No answer came from the browser within 0.2 seconds" in errors
        assert "Traceback" not in errors


def test_a_new_project_over_sandboxes_leaves_the_log_in_to_the_command(tmp_path: Path) -> None:
    code = "from sync.cli.app import main; main()"
    words = ["--project", str(tmp_path), "init", "-p", "calendly", "-p", "activecampaign", "--sandbox", "--connect"]
    told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.split("in another terminal:")[1].split("\n")[1:3] == [
        "  closedloop connect calendly",
        "  closedloop check --online",
    ]
    connections = load_project(tmp_path / "closedloop.yaml").connections
    assert set(connections["calendly"].auth) == {"mode", "client_id", "client_secret"}
    assert connections["activecampaign"].auth["api_key"].startswith("file:")  # there is nothing to connect
