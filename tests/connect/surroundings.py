"""A project over one sandbox that nobody is connected to, and a browser that is an HTTP client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from connectors import registry
from connectors.consent import Asked
from sync import scaffold
from sync.connect import Door
from sync.workspace import Workspace

APPS: dict[str, tuple[str, dict[str, str]]] = {
    "hubspot": ("oauth", {"client_id": "sandbox-app", "client_secret": "sandbox-secret"}),
    "outreach": ("oauth", {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}),
    "calendly": ("oauth", {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}),
    "salesforce": ("refresh_token", {"client_id": "sandbox-client", "client_secret": "sandbox-client-secret"}),
}
"""The log-in mode that has a consent, and the sandbox's app."""


def project(folder: Path, sandbox: Any, **auth: str) -> None:
    """A project whose only connection has an app and no token; `auth` is added, or taken out where it is empty."""
    mode, app = APPS[sandbox.name]
    (folder / "app-secret").write_text(app["client_secret"])
    members = {**app, "client_secret": "file:app-secret", **auth}
    ca_file = ""
    if sandbox.ca_file:
        (folder / "ca.pem").write_bytes(Path(sandbox.ca_file).read_bytes())
        ca_file = "ca.pem"
    settings = sandbox.account()["settings"]
    chosen = scaffold.Chosen(sandbox.name, mode, members, settings, sandbox.base_url, ca_file)
    scaffold.write(folder, {sandbox.name: chosen}, force=True)
    file = folder / "closedloop.yaml"
    lines = [line for line in file.read_text().split("\n") if not line.endswith('""') or "country" in line]
    file.write_text("\n".join(lines))


@contextmanager
def opened(folder: Path, name: str, **options: Any) -> Iterator[tuple[Any, Workspace]]:
    """The platform's sandbox, and the project over it."""
    auth = options.pop("auth", {})
    with registry.platform(name).sandbox(seed=3, **options) as sandbox:
        project(folder, sandbox, **auth)
        with Workspace.open(folder, clock=options.get("clock")) as workspace:
            yield sandbox, workspace


def follow(address: str, sandbox: Any) -> str:
    """Go where the page sends a browser to; the address it ends at."""
    import ssl

    verify: Any = ssl.create_default_context(cafile=sandbox.ca_file) if sandbox.ca_file else True
    with httpx.Client(verify=verify, follow_redirects=False, trust_env=False) as browser:
        page = browser.get(address)
        assert page.status_code == 302, page.text
        return page.headers["location"]


def visit(address: str) -> httpx.Response:
    return httpx.get(address.replace("//localhost", "//127.0.0.1"), trust_env=False)


def door(sandbox: Any, change: Callable[[str], str] = str, **options: Any) -> Door:
    """A person who agrees at once, in a browser that ends at the changed address."""

    def show(asked: Asked) -> None:
        def browse() -> None:
            visit(change(follow(asked.address, sandbox)))

        threading.Thread(target=browse).start()

    return Door(show, lambda: "", **{"port": 0, "seconds": 10.0, **options})
