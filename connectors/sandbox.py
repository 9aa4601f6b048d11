"""What all sandboxes share: a stateful platform behind real HTTP on loopback, with latency and faults on a switch.

A platform's `sandbox.py` subclasses `Sandbox`, keeps its state in plain dicts and answers each call with a function
from `Call` to `Answer`, one call at a time. This module adds the socket (uvicorn in a thread, TLS where asked), the
call log, the switchable faults and the snapshot. Same seed and same calls give the same answers, byte for byte.
"""

from __future__ import annotations

import random
import re
import socket
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, unquote

import orjson

from config.clock import Clock, SystemClock

if TYPE_CHECKING:
    from connectors.sandbox_consent import Consents


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `path` is decoded, `query` holds the last value of each name, `json` parses the body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    raw_path: str = ""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. `of` makes the usual JSON one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        kind = {"content-type": "application/json;charset=utf-8"}
        return cls(status, orjson.dumps(value), {**kind, **(headers or {})})


class FaultKind(StrEnum):
    """What can go wrong on the way, on any platform. A platform's sandbox may know more by `Fault.answer`."""

    ANSWER = "answer"  # the given answer instead of the real one; nothing happens
    LOST_ANSWER = "lost_answer"  # the effect happens, the connection breaks before the answer
    NO_ANSWER = "no_answer"  # the connection breaks before the effect
    SLOW = "slow"  # `seconds` late
    TRUNCATED = "truncated"  # the answer's body stops half-way
    HTML = "html"  # 200 with a proxy's HTML page
    CHARSET = "charset"  # the body in latin-1 without saying so


@dataclass(slots=True)
class Fault:
    """Strikes calls whose `"METHOD /path"` matches `match`, after letting `skip` of them pass, `times` times."""

    kind: FaultKind
    match: str = ""
    times: int = 1
    skip: int = 0
    seconds: float = 0.0
    answer: Answer | Callable[[Call], Answer] | None = None

    def strikes(self, line: str) -> bool:
        if self.times <= 0 or not re.search(self.match, line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Logged:
    """One line of the call log: what was asked, what was answered."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    status: int


Handler = Callable[..., Answer]
"""Takes the call and, by keyword, the named groups of its route."""


class Sandbox(ABC):
    """A platform that lives in memory. Start it, point a connector at `base_url`, look at `log`.

    `seed` decides every generated id and value; `clock` every stamp. `latency` seconds are added to each call.
    """

    name: ClassVar[str]
    tls: ClassVar[bool] = False
    consents: Consents | None = None  # the page that asks a person, where the platform has one

    def __init__(self, *, seed: int = 1, clock: Clock | None = None, port: int = 0) -> None:
        self.random = random.Random(seed)
        self.clock = clock or SystemClock()
        self.port = port
        self.latency = 0.0
        self.faults: list[Fault] = []
        self.log: list[Logged] = []
        self.lock = threading.RLock()
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._server: _Server | None = None
        self.route()

    # what a platform adds

    @abstractmethod
    def route(self) -> None:
        """Declare the routes with `self.on(...)`."""

    @abstractmethod
    def account(self) -> dict[str, Any]:
        """The connection's `auth:` and `settings:` for this sandbox, secrets in clear (they open nothing else)."""

    @abstractmethod
    def refuse(self, call: Call, status: int, message: str) -> Answer:
        """The platform's own error body for an unknown path (404), a wrong method (405) or a broken body (400)."""

    @abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """The whole state as JSON; `restore` takes it back."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a snapshot's."""

    def before(self, call: Call) -> Answer | None:
        """An answer that comes before any route: authentication, limits. None lets the call pass."""
        return None

    def after(self, call: Call, answer: Answer) -> Answer:
        """The last word on every answer: headers that each carries."""
        return answer

    # calls

    def on(self, method: str, template: str, handler: Handler) -> None:
        """Answer `method` on paths like `/crm/v3/objects/{object}/{id}` with `handler(call, object=..., id=...)`."""
        pattern = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", template)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        self._routes.append((method, re.compile(pattern), handler))

    def inject(self, kind: FaultKind | str, match: str = "", **options: Any) -> Fault:
        """Switch a fault on; see `Fault` for the options."""
        fault = Fault(FaultKind(kind), match, **options)
        self.faults.append(fault)
        return fault

    def answer(self, call: Call) -> Answer:
        """The platform's answer to `call`, faults apart, and its line in the log."""
        with self.lock:
            answer = self.before(call) or self._dispatch(call)
            answer = self.after(call, answer)
            self.log.append(Logged(call.method, call.path, call.query, call.body, answer.status))
            return answer

    def _dispatch(self, call: Call) -> Answer:
        known = False
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(call.path)
            if found is None:
                continue
            known = True
            if method == call.method:
                try:
                    return handler(call, **found.groupdict())
                except orjson.JSONDecodeError as error:
                    return self.refuse(call, 400, f"Invalid input JSON: {error}")
        return self.refuse(call, 405 if known else 404, call.path)

    # life

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> str:
        """Path of the certificate authority to trust; empty without TLS."""
        return self._server.ca_file if self._server else ""

    def start(self) -> Sandbox:
        """Listen on loopback (on `port`, or a free one) until `stop`."""
        self._server = _Server(self)
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server:
    """uvicorn in a thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        import uvicorn

        self._folder = tempfile.TemporaryDirectory(prefix="closedloop-sandbox-")
        self.ca_file = ""
        options: dict[str, Any] = {}
        if sandbox.tls:
            self.ca_file, options = _certificates(Path(self._folder.name))
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", sandbox.port))
        sandbox.port = listener.getsockname()[1]
        self._application = _Application(sandbox)
        config = uvicorn.Config(
            self._application,
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=False,  # a sandbox's own time is told
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
            **options,
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name=f"sandbox-{sandbox.name}", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.005)

    def stop(self) -> None:
        self._drop_connections()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._listener.close()
        self._folder.cleanup()

    def _drop_connections(self) -> None:
        """Idle clients are hung up on: a TLS connection would wait for a farewell that does not come."""
        loop = self._application.loop
        if loop is None or loop.is_closed():
            return

        def drop() -> None:
            for connection in list(self._server.server_state.connections):
                transport: Any = getattr(connection, "transport", None)
                if transport is not None:
                    transport.abort()

        loop.call_soon_threadsafe(drop)


def _certificates(folder: Path) -> tuple[str, dict[str, Any]]:
    import trustme

    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    ca_file, key_file = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    server.private_key_and_cert_chain_pem.write_to_path(str(key_file))
    return str(ca_file), {"ssl_certfile": str(key_file), "ssl_keyfile": str(key_file)}


class _Application:
    """ASGI: gathers the request, lets faults strike, hands the call to the sandbox in a worker thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.loop: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        self.loop = asyncio.get_running_loop()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        call = Call(
            method=scope["method"],
            path=unquote(scope["raw_path"].decode("latin-1").partition("?")[0]),
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body,
            raw_path=scope["raw_path"].decode("latin-1") + "?" + scope["query_string"].decode("latin-1"),
        )
        sandbox = self._sandbox  # a call is answered by who took it, also when it was slow
        fault = _fault(sandbox, call)
        delay = sandbox.latency + (fault.seconds if fault and fault.kind is FaultKind.SLOW else 0.0)
        if delay:
            await asyncio.sleep(delay)
        if fault is not None and fault.kind is FaultKind.NO_ANSWER:
            await _hang_up(send)
            return
        answer = _struck(fault, call) or sandbox.answer(call)
        if fault is not None and fault.kind is FaultKind.LOST_ANSWER:
            await _hang_up(send)
            return
        await _send(send, answer, fault, format_datetime(sandbox.clock.now(), usegmt=True))


def _fault(sandbox: Sandbox, call: Call) -> Fault | None:
    line = f"{call.method} {call.path}"
    with sandbox.lock:
        return next((fault for fault in sandbox.faults if fault.strikes(line)), None)


async def _hang_up(send: Any) -> None:
    """Break the connection without a word. uvicorn answers 500 for an application that raises, so that the socket
    has to be taken from it."""
    import asyncio

    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("fault")
    transport.abort()
    while not send.__self__.disconnected:
        await asyncio.sleep(0)


def _struck(fault: Fault | None, call: Call) -> Answer | None:
    """The answer that replaces the real one, or None."""
    if fault is None:
        return None
    if fault.kind is FaultKind.HTML:
        page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
        return Answer(200, page, {"content-type": "text/html"})
    if fault.kind is FaultKind.ANSWER:
        return fault.answer(call) if callable(fault.answer) else fault.answer or Answer(500)
    return None


async def _send(send: Any, answer: Answer, fault: Fault | None, at: str) -> None:
    body, headers = answer.body, {"date": at, **answer.headers}
    if fault is not None and fault.kind is FaultKind.CHARSET:
        body = body.decode("utf-8").encode("latin-1", "replace")
        headers["content-type"] = "application/json"
    sent = body[: len(body) // 2] if fault is not None and fault.kind is FaultKind.TRUNCATED else body
    pairs = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in headers.items()]
    pairs.append((b"content-length", str(len(sent)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": sent})
