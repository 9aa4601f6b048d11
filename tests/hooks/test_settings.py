"""The settings of webhooks: every mistake is told before a platform meets it; a reload takes them up."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config.errors import Misconfigured
from config.project import Project, load_project
from config.yaml import Document
from connectors import registry
from sync import scaffold
from sync.checkup import check
from sync.hooks import Intake, open_door, problems
from sync.metrics import Metrics
from sync.workspace import Workspace
from tests.hooks.surroundings import at_work, hubspot_event, hubspot_signed, sync_each, write


def project(folder: Path, hooks: str, *platforms: str) -> Path:
    scaffold.write(folder, {name: scaffold.Chosen(name) for name in platforms or ("hubspot",)}, force=True)
    file = folder / "closedloop.yaml"
    file.write_text(file.read_text().replace("daemon:\n", f"daemon:\n  hooks: {{{hooks}}}\n"))
    return file


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        ("listen: '0.0.0.0:8787'", "in clear"),
        ("listen: '[::]:8787'", "in clear"),
        ("listen: 'hooks.example.com:8787'", "in clear"),
        ("listen: '8787'", "no host:port"),
        ("listen: '127.0.0.1:99999'", "no host:port"),
        ("listen: '127.0.0.1:x'", "no host:port"),
        ("public_url: 'http://hooks.example.com'", "no https address"),
        ("public_url: 'hooks.example.com'", "no https address"),
        ("public_url: 'https://hooks.example.com/?a=b'", "no https address"),
        ("connections: [hubspt]", "did you mean 'hubspot'"),
        ("max_body: 12", "greater than or equal to 1024"),
        ("prt: 12", "prt"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, hooks: str, told: str) -> None:
    file = project(tmp_path, hooks)
    with pytest.raises(Misconfigured) as error:
        load_project(file)
    [problem] = error.value.problems
    assert told in f"{problem.message} {problem.hint}"
    line = file.read_text().split("\n")[problem.line - 1]
    assert "hooks:" in line


@pytest.mark.parametrize(
    "hooks",
    [
        "listen: '127.0.0.1:8787', public_url: 'https://hooks.example.com/below'",
        "listen: '[::1]:8787'",
        "listen: 'localhost:8787'",
        "listen: '0.0.0.0:8787', public: true",
        "connections: [hubspot]",
    ],
)
def test_settings_that_are_good(tmp_path: Path, hooks: str) -> None:
    told = load_project(project(tmp_path, hooks)).daemon.hooks
    assert told.listen in hooks
    assert told.public is ("public: true" in hooks)


def told(hooks: Mapping[str, Any], **auth: Mapping[str, str]) -> list[str]:
    """What is wrong with a project of these connections."""
    connections = {name: {"auth": dict(members)} for name, members in auth.items()}
    project = Project.model_validate({"connections": connections, "daemon": {"hooks": dict(hooks)}})
    facts = {name: registry.facts(name).webhook for name in auth}
    return [problem.message for problem in problems(project, facts, Document("closedloop.yaml", {}))]


LISTENS = {"listen": "127.0.0.1:8787", "public_url": "https://h.example"}


def test_check_names_what_a_webhook_could_not_be_believed_without() -> None:
    secret = {"client_secret": "env:S"}
    assert told({}, hubspot={}, salesforce={}) == []
    assert told(LISTENS, hubspot=secret, salesforce={}) == []
    [what] = told(LISTENS, hubspot={}, salesforce={})
    assert what.startswith("auth.client_secret is missing")
    assert told({**LISTENS, "connections": ["calendly"]}, hubspot={}, calendly={"webhook_secret": "env:S"}) == []
    [what] = told({"listen": "127.0.0.1:1"}, hubspot=secret)
    assert what.startswith("public_url is missing")
    assert told({"listen": "127.0.0.1:1"}, calendly={"webhook_secret": "env:S"}) == []
    for given in ("signing_secret", "webhook_token"):
        assert told(LISTENS, mailchimp={given: "env:S"}) == []
    [what] = told({**LISTENS, "connections": ["salesforce"]}, salesforce={})
    assert what == "The platform of 'salesforce' has no webhooks."
    [what] = told(LISTENS, salesforce={})
    assert what == "No connection is of a platform that has webhooks."


def test_the_command_tells_them_too(tmp_path: Path) -> None:
    project(tmp_path, "listen: '127.0.0.1:8787'", "hubspot")
    found = [str(problem) for problem in check(tmp_path).problems]
    assert any("auth.client_secret is missing" in one for one in found)
    assert any("public_url is missing" in one for one in found)


def test_only_the_connections_named_have_a_door(tmp_path: Path) -> None:
    project(tmp_path, "listen: '127.0.0.1:0', connections: [calendly]", "hubspot", "calendly")
    with Workspace.open(tmp_path) as workspace:
        intake = Intake(workspace, Metrics(), lambda: None)
        paths = (
            "/hooks/calendly",
            "/hooks/calendly/token",
            "/hooks/hubspot",
            "/hooks/calendly/a/b",
            "/hooks/calendly\n",
        )
        assert [intake.connection(path) for path in paths] == ["calendly", "calendly", None, None, None]
        assert intake.address("/hooks/calendly?a=%2F") == "http://127.0.0.1:0/hooks/calendly?a=%2F"


def test_without_an_address_to_listen_on_there_is_no_door(tmp_path: Path) -> None:
    project(tmp_path, "public_url: 'https://h.example'")
    with Workspace.open(tmp_path) as workspace:
        assert open_door(workspace, Metrics(), lambda: None) is None


@pytest.mark.slow
def test_a_reload_opens_the_door_anew_and_a_port_that_is_taken_stops_nothing(tmp_path: Path) -> None:
    with registry.platform("hubspot").sandbox(seed=4) as portal, socket.create_server(("127.0.0.1", 0)) as other:
        id = portal.put("contacts", {"email": "ana@people.example", "firstname": "Ana"})
        write(tmp_path, {"hubspot": portal})
        sync_each(tmp_path)
        file = tmp_path / "closedloop.yaml"
        good = file.read_text()
        with at_work(tmp_path) as one:
            body = hubspot_event(id)
            assert one.send("hubspot", body, hubspot_signed(body)) == 200
            before = one.daemon.door
            one.daemon._reload.set()
            one.daemon._wake.set()
            one.until(lambda: one.daemon.door not in (before, None))
            assert one.send("hubspot", body, hubspot_signed(body)) == 200
            file.write_text(good.replace("127.0.0.1:0", f"127.0.0.1:{other.getsockname()[1]}"))
            one.daemon._reload.set()
            one.daemon._wake.set()
            one.until(lambda: one.daemon.door is None)
            time.sleep(0.2)
            file.write_text(good)
            one.daemon._reload.set()
            one.daemon._wake.set()
            one.until(lambda: one.daemon.door is not None)
            assert one.send("hubspot", body, hubspot_signed(body)) == 200
