"""The door for webhooks: `POST /hooks/<connection>` on a port of its own.

Whoever can reach the port may knock, so nothing is believed, kept or answered at length before the connector has
found the delivery genuine by its raw bytes; and no caller holds more than one of a bounded number of connections, for
a bounded time. What a genuine delivery says to read is kept (`sync/hints.py`) before it is answered. Neither `Host`
nor any `X-Forwarded-*` is heeded: where a signature covers the address, it is the project file that says which.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, Problem, RecordRejected
from config.log import Log
from config.project import HooksConfig, Project
from config.yaml import Document
from connectors.api import Notice, Request
from connectors.manifest import Webhook
from connectors.sound import Sound
from sync.hints import arrived, keep

if TYPE_CHECKING:
    from sync.metrics import Metrics
    from sync.workspace import Workspace

log = Log(__name__)

LIFE = 20.0
"""Seconds that a connection may live, from its first byte to its last: slow senders are hung up on."""
BODY = 10.0
"""Seconds in which a delivery has to be here whole."""
CONNECTIONS = 100
"""At a time; further ones are answered 503."""
WORKERS = 4
"""Deliveries that are checked and kept at a time."""
LONGEST_ID = 512
"""Characters of a record's id that is kept."""
COMPLAINTS = 60.0
"""Seconds between two lines in the log about refused deliveries of a connection; the metrics count each."""

_PATH = re.compile(r"/hooks/([a-z][a-z0-9_-]{0,40})(?:/[^/]*)?")


def taken(project: Project, facts: Callable[[str], Webhook | None]) -> Iterator[str]:
    """The connections whose webhooks are taken: those named, or all; of platforms that have any."""
    for name in project.daemon.hooks.connections or project.connections:
        if facts(name) is not None:
            yield name


def problems(project: Project, facts: Mapping[str, Webhook | None], document: Document) -> Iterator[Problem]:
    """What is wrong with the settings of webhooks. `facts` are those of each connection's platform that is known."""
    hooks, at = project.daemon.hooks, ("daemon", "hooks")
    if not hooks.listen:
        return
    without = [name for name in hooks.connections if name in facts and facts[name] is None]
    for name in without:
        message = f"The platform of {name!r} has no webhooks."
        yield document.problem((*at, "connections", hooks.connections.index(name)), message, "leave it out")
    names = [name for name in hooks.connections or facts if facts.get(name) is not None]
    if not names and not without:
        message = "No connection is of a platform that has webhooks."
        yield document.problem((*at, "listen"), message, "leave `listen` out")
    for name in names:
        yield from _problems_of(name, facts[name], project, document)


def _problems_of(name: str, facts: Webhook | None, project: Project, document: Document) -> Iterator[Problem]:
    assert facts is not None
    if not any(project.connections[name].auth.get(secret) for secret in facts.secrets):
        message = f"auth.{' or '.join(facts.secrets)} is missing: without it no webhook is believed."
        hint = "give it, or name those that take webhooks in daemon.hooks.connections"
        yield document.problem(("connections", name, "auth"), message, hint)
    if facts.signs_url and not project.daemon.hooks.public_url:
        message = f"public_url is missing: the webhooks of {name} are signed over it."
        yield document.problem(("daemon", "hooks", "public_url"), message, "like https://hooks.me")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON; nothing that tells a stranger anything."""

    status: int
    body: bytes = b""


class Intake:
    """What becomes of a delivery. `wake` is called after a hint was kept."""

    def __init__(self, workspace: Workspace, metrics: Metrics, wake: Callable[[], None]) -> None:
        self._workspace, self._metrics, self._wake = workspace, metrics, wake
        self._taken = set(taken(workspace.project, lambda name: workspace.manifest(name).webhook))
        self._complained: dict[str, float] = {}
        self.settings = workspace.project.daemon.hooks

    def connection(self, path: str) -> str | None:
        """Whose webhooks come in by this path; None where nobody's do."""
        found = _PATH.fullmatch(path)
        return found[1] if found and found[1] in self._taken else None

    def address(self, target: str) -> str:
        """The public address of a request for this path and query."""
        return (self.settings.public_url.rstrip("/") or f"http://{self.settings.listen}") + target

    def take(self, connection: str, request: Request) -> Answer:
        """Answer a delivery, or a platform's look at the address."""
        try:
            answer = self._greeted(connection, request) if request.method == "GET" else self._kept(connection, request)
        except (AuthorizationLost, RecordRejected) as error:
            self.count(connection, "refused")
            self._complain(connection, error)
            return Answer(401)
        except ClosedloopError as error:
            self.count(connection, "failed")
            log.error("hook.failed", connection=connection, error=type(error).__name__, what=error.what)
            return Answer(503)
        return answer

    def count(self, connection: str, outcome: str) -> None:
        self._metrics.hooked(connection, outcome)

    def _greeted(self, connection: str, request: Request) -> Answer:
        connector = self._workspace.connector(connection)
        if not isinstance(connector, Sound) or not connector.greets:
            return Answer(405)
        answer = Answer(200, connector.greet(request))
        self.count(connection, "greeted")
        return answer

    def _kept(self, connection: str, request: Request) -> Answer:
        notices = self._workspace.connector(connection).verify(request)
        objects = {object for object, _ in self._workspace.objects(connection)}
        heard = [one for one in notices if one.object in objects and _is_id(one)]
        with self._workspace.state.begin() as tx:
            now = self._workspace.now()
            keep(tx, connection, heard, now)
            arrived(tx, connection, now)
        self.count(connection, "received")
        if heard:
            self._wake()
        return Answer(200)

    def _complain(self, connection: str, error: ClosedloopError) -> None:
        now = time.monotonic()
        if now - self._complained.get(connection, -COMPLAINTS) >= COMPLAINTS:
            self._complained[connection] = now
            log.warning("hook.refused", connection=connection, error=type(error).__name__, what=error.what)


def _is_id(notice: Notice) -> bool:
    return 0 < len(notice.id) <= LONGEST_ID and notice.id.isprintable()


class Door:
    """The listening side: uvicorn in a thread of its own, until `close`. Raises Misconfigured when the port cannot be
    had."""

    def __init__(self, intake: Intake) -> None:
        from sync.hooks_server import serve

        self._listener = _listener(intake.settings)
        self.port = int(self._listener.getsockname()[1])
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="hooks")
        self._server, run = serve(intake, self._workers, self._listener)
        self._thread = threading.Thread(target=run, name="hooks", daemon=True)
        self._thread.start()
        log.info("hooks.listening", address=intake.settings.listen)

    def close(self) -> None:
        """What was begun is ended; nothing more is taken."""
        self._server.should_exit = True
        self._thread.join(LIFE)
        self._workers.shutdown(wait=True)
        self._listener.close()


def _listener(settings: HooksConfig) -> socket.socket:
    host, _, port = settings.listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=CONNECTIONS)
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"Webhooks cannot be taken on {settings.listen}: {error}.", fix="Change daemon.hooks.listen."
        ) from error


def open_door(workspace: Workspace, metrics: Metrics, wake: Callable[[], None]) -> Door | None:
    """The door of this project; None where it takes no webhooks."""
    if not workspace.project.daemon.hooks.listen:
        return None
    return Door(Intake(workspace, metrics, wake))
