"""A project over sandboxes whose daemon takes webhooks, and platforms that deliver to it over real sockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import select

from connectors import registry
from connectors.trust import trust
from sync import scaffold
from sync.daemon import Daemon
from sync.engine.inline import InlineEngine
from sync.runs import Options, Runner
from sync.state.schema import records, runs, streams
from sync.workspace import Workspace

PUBLIC = "https://hooks.example"
SECRETS = {"hubspot": ("client_secret", "app-secret"), "mailchimp": ("signing_secret", "sign-me")}
"""What a sandbox's account lacks for webhooks."""


def write(folder: Path, sandboxes: Mapping[str, Any], hooks: str = "listen: '127.0.0.1:0'") -> None:
    """A project over these sandboxes that takes webhooks, and syncs by itself every hour."""
    chosen = {name: _chosen(folder, name, made) for name, made in sandboxes.items()}
    scaffold.write(folder, chosen, force=True)
    file = folder / "closedloop.yaml"
    text = file.read_text().replace("every: 5m", "every: 1h").replace("metrics: 127.0.0.1:9464", "metrics: ''")
    file.write_text(text.replace("daemon:\n", f"daemon:\n  hooks: {{{hooks}, public_url: '{PUBLIC}'}}\n"))


def _chosen(folder: Path, name: str, sandbox: Any) -> scaffold.Chosen:
    chosen = scaffold.sandbox_connection(folder, name, sandbox)
    if sandbox.name == "zoho":  # whose channel is opened by the pulls
        chosen = replace(chosen, settings={**chosen.settings, "notify_url": f"{PUBLIC}/hooks/{name}"})
    if sandbox.name not in SECRETS:
        return chosen
    member, secret = SECRETS[sandbox.name]
    (folder / "secrets" / f"{name}_{member}").write_text(secret)
    return replace(chosen, auth={**chosen.auth, member: f"file:secrets/{name}_{member}"})


@dataclass
class House:
    """A daemon at work in this process."""

    daemon: Daemon
    folder: Path

    @property
    def workspace(self) -> Workspace:
        return self.daemon.workspace

    @property
    def base(self) -> str:
        assert self.daemon.door is not None
        return f"http://127.0.0.1:{self.daemon.door.port}"

    def send(self, name: str, body: bytes, headers: Mapping[str, str] | None = None, tail: str = "") -> int:
        """Deliver to the connection; the status."""
        url = f"{self.base}/hooks/{name}{tail}"
        answer = httpx.post(url, content=body, headers=dict(headers or {}), verify=trust(), trust_env=False, timeout=30)
        assert answer.content == b""
        return answer.status_code

    def runs(self) -> list[Any]:
        """The runs that followed hints, oldest first."""
        with self.workspace.state.read() as tx:
            return list(tx.execute(select(runs).where(runs.c.command == "hints").order_by(runs.c.started_at)))

    def body(self, connection: str, object: str, id: str) -> dict[str, Any]:
        """What a record is known to hold; empty where it is not known."""
        query = select(records.c.body).join(streams, streams.c.id == records.c.stream)
        mine = (streams.c.connection == connection) & (streams.c.object == object) & (records.c.id == id)
        with self.workspace.state.read() as tx:
            found = tx.execute(query.where(mine)).scalar()
        return dict(orjson.loads(found)) if found else {}

    def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"in vain; runs: {[(run.state, run.counts) for run in self.runs()]}"
            time.sleep(0.1)

    def metric(self, name: str, **labels: str) -> float:
        return self.daemon.metrics.registry.get_sample_value(name, labels) or 0.0


def sync_each(folder: Path, *, rounds: int = 1, approve: bool = True) -> None:
    """Sync every connection by itself, as the daemon does, until all of them are in step."""
    with Workspace.open(folder) as workspace:
        for name in workspace.connections * rounds:
            Runner(workspace).run("sync", [name], Options(approve=approve))


@contextmanager
def at_work(folder: Path) -> Iterator[House]:
    """The daemon of the project, until the end of the block."""
    daemon = Daemon(folder, lambda where: Workspace.open(where), InlineEngine)
    thread = threading.Thread(target=daemon.serve)
    thread.start()
    try:
        while daemon.door is None:
            assert thread.is_alive()
            time.sleep(0.01)
        yield House(daemon, folder)
    finally:
        daemon.signal(15, None)
        thread.join(60)


@contextmanager
def house(
    folder: Path,
    *names: str,
    rounds: int = 1,
    approve: bool = True,
    fill: Callable[[Any], None] = lambda made: None,
) -> Iterator[tuple[House, dict[str, Any]]]:
    """A daemon over sandboxes of these platforms that was synced before; with it the sandboxes by name."""
    started = {name: registry.platform(name).sandbox(seed=4) for name in names}
    for made in started.values():
        made.start()
    try:
        fill(started)
        write(folder, started)
        sync_each(folder, rounds=rounds, approve=approve)
        with at_work(folder) as one:
            yield one, started
    finally:
        for made in started.values():
            made.stop()


def hubspot_signed(body: bytes, name: str = "hubspot", at: float | None = None) -> dict[str, str]:
    """Signature v3, over the public address."""
    stamped = str(int((time.time() if at is None else at) * 1000))
    signed = b"POST" + f"{PUBLIC}/hooks/{name}".encode() + body + stamped.encode()
    digest = hmac.new(SECRETS["hubspot"][1].encode(), signed, hashlib.sha256).digest()
    headers = {"X-HubSpot-Signature-v3": base64.b64encode(digest).decode(), "X-HubSpot-Request-Timestamp": stamped}
    return {**headers, "Content-Type": "application/json"}


def hubspot_event(id: str, what: str = "contact.propertyChange") -> bytes:
    return orjson.dumps([{"eventId": 1, "subscriptionType": what, "objectId": int(id), "attemptNumber": 0}])
