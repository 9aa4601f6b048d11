"""Projects over sandboxes that nobody is connected to, and a browser that is an HTTP client."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson

from connectors import registry
from connectors.consent import Asked
from connectors.manifest import Grant
from connectors.sandbox_consent import Consents
from sync import scaffold
from sync.connect import Door, connect
from sync.workspace import Workspace

MODES: dict[str, tuple[str, str]] = {
    f"{name}-{mode}": (name, mode)
    for name in registry.names()
    for mode, facts in registry.facts(name).auth.items()
    if facts.grant is not None
}
"""Every platform's log-ins by a person's consent, those of a platform to come too."""


def grant(name: str, mode: str) -> Grant:
    found = registry.facts(name).auth[mode].grant
    assert found is not None
    return found


RENEWED = [key for key, (name, mode) in MODES.items() if grant(name, mode).gives == "refresh_token"]
"""Those whose access tokens run out, and are renewed."""


def consents(sandbox: Any) -> Consents:
    """The page of a sandbox whose platform has one."""
    assert isinstance(sandbox.consents, Consents), f"{sandbox.name}'s sandbox has no page that asks for consent"
    return sandbox.consents


def mode_of(name: str) -> str:
    return next(mode for known, mode in MODES.values() if known == name)


def chosen(folder: Path, sandbox: Any, mode: str, auth: dict[str, str]) -> scaffold.Chosen:
    """A connection that has an app and no token; `auth` is added, or taken out where it is empty."""
    members = dict(consents(sandbox).apps[mode])
    if "client_secret" in members:
        (folder / f"{sandbox.name}-secret").write_text(members["client_secret"])
        members["client_secret"] = f"file:{sandbox.name}-secret"
    ca_file = ""
    if sandbox.ca_file:
        ca_file = f"{sandbox.name}.pem"
        (folder / ca_file).write_bytes(Path(sandbox.ca_file).read_bytes())
    return scaffold.Chosen(
        sandbox.name, mode, {**members, **auth}, sandbox.account()["settings"], sandbox.base_url, ca_file
    )


def project(folder: Path, connections: dict[str, scaffold.Chosen]) -> None:
    scaffold.write(folder, connections, force=True)
    file = folder / "closedloop.yaml"
    lines = [line for line in file.read_text().split("\n") if not line.endswith('""') or "country" in line]
    file.write_text("\n".join(lines))


@contextmanager
def opened(folder: Path, name: str, mode: str = "", **options: Any) -> Iterator[tuple[Any, Workspace]]:
    """The platform's sandbox, and the project over it."""
    auth = options.pop("auth", {})
    with registry.platform(name).sandbox(seed=3, **options) as sandbox:
        project(folder, {name: chosen(folder, sandbox, mode or mode_of(name), auth)})
        with Workspace.open(folder, clock=options.get("clock")) as workspace:
            yield sandbox, workspace


@contextmanager
def all_opened(folder: Path, modes: list[str], clock: Any) -> Iterator[tuple[dict[str, Any], Workspace]]:
    """The sandboxes of several log-ins by the clock, and one project over them, by the log-ins' names."""
    with ExitStack() as stack:
        made = {}
        for key in modes:
            made[key] = stack.enter_context(registry.platform(MODES[key][0]).sandbox(seed=3, clock=clock))
        project(folder, {key: chosen(folder, sandbox, MODES[key][1], {}) for key, sandbox in made.items()})
        yield made, stack.enter_context(Workspace.open(folder))


def follow(address: str, sandbox: Any, *, registers: bool = True) -> str:
    """Go where the page sends a browser to; the address it ends at. The address was registered at the app before."""
    if registers:
        consents(sandbox).registered += parse_qs(urlsplit(address).query)["redirect_uri"]
    page = visit(address, sandbox.ca_file)
    assert page.status_code == 302, page.text
    return page.headers["location"]


def visit(address: str, ca_file: str = "") -> httpx.Response:
    trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else False
    with httpx.Client(verify=trust, follow_redirects=False, trust_env=False) as browser:
        return browser.get(address.replace("//localhost", "//127.0.0.1"))


def door(sandbox: Any, change: Callable[[str], str] = str, **options: Any) -> Door:
    """A person who agrees at once, in a browser that ends at the changed address."""

    def show(asked: Asked) -> None:
        def browse() -> None:
            visit(change(follow(asked.address, sandbox)))

        threading.Thread(target=browse).start()

    return Door(show, lambda: "", **{"port": 0, "seconds": 10.0, **options})


def pasting(sandbox: Any, change: Callable[[str], str] = str) -> Door:
    """The same person, who pastes the address that the browser ended at."""
    asked: list[Asked] = []
    return Door(asked.append, lambda: change(follow(asked[0].address, sandbox)), pasted=True)


def agree(workspace: Workspace, sandbox: Any, name: str) -> None:
    connect(workspace, name, pasting(sandbox))


def asked_for(sandbox: Any, what: str) -> int:
    """How many token calls with this `grant_type` have reached the platform."""
    return sum(line.method == "POST" and f"grant_type={what}".encode() in line.body for line in sandbox.log)


def kept(workspace: Workspace, name: str) -> dict[str, str]:
    """What the state holds of a log-in, in clear."""
    store = workspace.tokens(name)
    told = {token: store.get(token) for token in ("connected", "oauth", "scope", "access_token", "refresh_token")}
    return {token: value for token, value in told.items() if value is not None}


def pair(workspace: Workspace, name: str) -> dict[str, str]:
    found: dict[str, str] = orjson.loads(kept(workspace, name)["oauth"])
    return found
