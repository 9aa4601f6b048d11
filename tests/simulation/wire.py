"""Real clients and sandboxes in one process: what would go over the network is handed over instead.

The HTTP libraries' last step before the socket is replaced: pools, retries, exceptions and decoding of theirs, and all
code of ours, are the real ones. Nothing leaves the process; who asks for another host than the sandboxes' is noted.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from email.utils import format_datetime
from functools import cache
from http.client import RemoteDisconnected
from random import Random
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote

import httpx
import urllib3
from urllib3.connectionpool import HTTPConnectionPool

from connectors.sandbox import Answer, Call, Sandbox
from tests.simulation.strikes import FAULTS, SPOILING, STORMS, Break, struck

LONGEST_STORM = 8
MOST = 20_000
"""Calls of a scenario: whoever makes more goes round in circles."""


class Wire:
    """The sandboxes by port, and what goes wrong on the way to each, as `rng` has it while not `calm`."""

    def __init__(self, sandboxes: Mapping[str, Sandbox]) -> None:
        self.sandboxes = {sandbox.port: sandbox for sandbox in sandboxes.values()}
        self.reset(Random(0), {})

    def reset(self, rng: Random, rates: Mapping[str, Mapping[str, float]]) -> None:
        """Another scenario: `rates` are by platform and fault."""
        self.rng = rng
        self.rates = rates
        self.calm = True
        self.calls = 0
        self.met: Counter[str] = Counter()
        self.wrong: list[str] = []  # what no client may do
        self.doing, self.struck, self.at = "start", "", ""
        self.storms: dict[str, list[str]] = {}  # by platform, what strikes its next calls
        self.between: Callable[[str], None] = lambda where: None
        self.rules: Callable[[Any], AbstractContextManager[None]] = lambda sandbox: nullcontext()
        self.shown: Callable[[bytes], None] = lambda body: None  # of each answer that came whole
        self.taken: Callable[[Any, Call], Call] = lambda sandbox, call: call  # how a platform takes a call

    def carry(
        self, host: str, port: int, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | Break:
        """The answer of the sandbox at `port`, or how the call breaks off instead."""
        sandbox = self.sandboxes.get(port) if host == "127.0.0.1" else None
        if sandbox is None:
            self.wrong.append(f"F7: a call to {host}")
            return Break.UNKNOWN
        path, _, query = target.partition("?")
        told = {name.lower(): value for name, value in headers.items()}
        pairs = dict(parse_qsl(query, keep_blank_values=True))
        call = Call(method, unquote(path), pairs, told, body, target)
        self.calls += 1
        if self.calls > MOST:
            raise AssertionError("P31: a scenario without an end")
        if self.calm:
            return _dated(sandbox.answer(call), sandbox)
        self.doing, self.struck, self.at = kind_of(call), "", sandbox.name
        self.between("call.before")
        call = self.taken(sandbox, call)
        self.struck = self._fault(sandbox)
        if self.struck:
            self.met[f"{sandbox.name} {self.doing}/{self.struck}"] += 1
        with self.rules(sandbox):
            answer = struck(self.struck, sandbox, call, self.rng)
        self.between("call.after")
        if isinstance(answer, Answer) and self.struck not in SPOILING:
            self.shown(answer.body)
        return _dated(answer, sandbox)

    def _fault(self, sandbox: Sandbox) -> str:
        storm = self.storms.get(sandbox.name)
        if storm and self.rates:
            return storm.pop()
        rates = self.rates.get(sandbox.name, {})
        fault = next((name for name, rate in rates.items() if rate and self.rng.random() < rate), "")
        if fault in STORMS and self.rng.random() < 0.3:
            self.storms[sandbox.name] = [fault] * self.rng.randrange(1, LONGEST_STORM)
        return fault

    def waits(self, timeout: Any, library: str) -> None:
        """T5: note a client that would wait for ever."""
        if any(seconds is None for seconds in timeout):
            self.wrong.append(f"P25: a call by {library} without an end")


def _dated(answer: Answer | Break, sandbox: Sandbox) -> Answer | Break:
    """With the time of the platform's host, as every server tells it."""
    if isinstance(answer, Break):
        return answer
    at = format_datetime(sandbox.clock.now(), usegmt=True)
    return replace(answer, headers={"date": at, **answer.headers})


def kind_of(call: Call) -> str:
    """`login` of a token call, `write` where a record may have come to be or changed, `read` otherwise."""
    if call.method == "POST" and call.path.endswith(("/token", "/accessToken")):
        return "login"
    reads = call.method == "GET" or "/search" in call.path or call.path.endswith("/batch/read")
    return "read" if reads else "write"


@contextmanager
def wired(wire: Wire) -> Iterator[None]:
    """Inside, calls are carried by the wire."""

    def make_request(
        pool: Any, conn: Any, method: str, url: str, body: Any = None, headers: Any = None, **rest: Any
    ) -> Any:
        limits = pool._get_timeout(rest.get("timeout"))
        wire.waits((limits.connect_timeout, limits.read_timeout), "urllib3")
        answer = wire.carry(pool.host, pool.port, method, url, dict(headers or {}), _bytes(body))
        if isinstance(answer, Break):
            raise _of_urllib3(answer, pool, conn, url)
        return urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            headers=dict(answer.headers),
            status=answer.status,
            reason="",
            preload_content=rest.get("preload_content", True),
            decode_content=rest.get("decode_content", True),
            request_method=method,
            request_url=url,
            retries=rest.get("retries"),
        )

    def handle_request(transport: Any, request: httpx.Request) -> httpx.Response:
        limits = request.extensions.get("timeout", {})
        wire.waits([limits.get(name) for name in ("connect", "read", "write", "pool")], "httpx")
        target = request.url.raw_path.decode("ascii")
        port = request.url.port or 443
        answer = wire.carry(request.url.host, port, request.method, target, dict(request.headers), request.read())
        if isinstance(answer, Break):
            raise _of_httpx(answer, request)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        return httpx.Response(answer.status, headers=headers, stream=_Body(answer), request=request)

    with (
        patch.object(ssl, "create_default_context", cache(ssl.create_default_context)),  # it reads all of the world's
        patch.object(HTTPConnectionPool, "_make_request", make_request),
        patch.object(httpx.HTTPTransport, "handle_request", handle_request),
    ):
        yield


_EOF = ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)")
_MAC = ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac (_ssl.c:2580)")


def _of_urllib3(how: Break, pool: Any, conn: Any, url: str) -> Exception:
    """What the library's own step raises."""
    errors = urllib3.exceptions
    match how:
        case Break.HUNG_UP:
            return RemoteDisconnected("Remote end closed connection without response")
        case Break.TIMED_OUT:
            return errors.ReadTimeoutError(pool, url, "Read timed out. (read timeout=60.0)")
        case Break.REFUSED:
            return errors.NewConnectionError(conn, "Failed to establish a new connection: [Errno 111] refused")
        case Break.UNKNOWN:
            return errors.NameResolutionError(pool.host, conn, socket.gaierror(-2, "Name or service not known"))
        case Break.SLOW_DOOR:
            return errors.ConnectTimeoutError(conn, "Connection to the host timed out. (connect timeout=10.0)")
        case Break.NO_TLS:
            return errors.SSLError(_EOF)
        case Break.TLS_BROKE:
            return _MAC


def _of_httpx(how: Break, request: httpx.Request) -> httpx.TransportError:
    match how:
        case Break.HUNG_UP:
            return httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        case Break.TIMED_OUT:
            return httpx.ReadTimeout("The read operation timed out", request=request)
        case Break.REFUSED:
            return httpx.ConnectError("[Errno 111] Connection refused", request=request)
        case Break.UNKNOWN:
            return httpx.ConnectError("[Errno -2] Name or service not known", request=request)
        case Break.SLOW_DOOR:
            return httpx.ConnectTimeout("timed out", request=request)
        case Break.NO_TLS:
            return httpx.ConnectError(str(_EOF), request=request)
        case Break.TLS_BROKE:
            return httpx.ReadError(str(_MAC), request=request)


class _Body(httpx.SyncByteStream):
    """The body as it comes; fewer bytes than were announced are told as the library tells them."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield self._answer.body
        announced = int(self._answer.headers.get("content-length", len(self._answer.body)))
        if announced > len(self._answer.body):
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        return bytes(body.read())
    return body.encode() if isinstance(body, str) else bytes(body)


__all__ = ["FAULTS", "Wire", "wired"]
