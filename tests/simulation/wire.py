"""Real clients and sandboxes in one process: what would go over the network is handed over instead.

The HTTP libraries' last step before the socket is replaced, for the ports of the sandboxes only: pools, retries,
exceptions and decoding of theirs, and all code of ours, are the real ones.
"""

from __future__ import annotations

import io
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

FAULTS = ("lost_answer", "no_answer", "truncated", "html", "too_many", "unavailable", "broken_after")
_PAGE = Answer(200, b"<html><head><title>502 Bad Gateway</title></head></html>", {"content-type": "text/html"})


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
        self.doing, self.struck = "start", ""
        self.between: Callable[[str], None] = lambda where: None

    def carry(self, port: int, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """The answer of the sandbox at `port`; None where the connection breaks instead."""
        sandbox = self.sandboxes[port]
        path, _, query = target.partition("?")
        told = {name.lower(): value for name, value in headers.items()}
        pairs = dict(parse_qsl(query, keep_blank_values=True))
        call = Call(method, unquote(path), pairs, told, body, target)
        self.calls += 1
        if self.calm:
            return sandbox.answer(call)
        self.doing, self.struck = _kind(call), ""
        self.between("call.before")
        fault = self._fault(sandbox, call)
        answer = self._answered(sandbox, call, fault)
        self.between("call.after")
        return answer

    def _fault(self, sandbox: Sandbox, call: Call) -> str:
        rates = {} if "token" in call.path else self.rates.get(sandbox.name, {})  # who lost a log-in needs a person
        fault = next((name for name, rate in rates.items() if rate and self.rng.random() < rate), "")
        self.struck = fault
        if fault:
            self.met[f"{sandbox.name} {_kind(call)}/{fault}"] += 1
        return fault

    def _answered(self, sandbox: Sandbox, call: Call, fault: str) -> Answer | None:
        if fault == "no_answer":
            return None
        if fault == "too_many":
            told = sandbox.refuse(call, 429, "Too many requests")
            return Answer(429, told.body, {**told.headers, "Retry-After": "1"})
        if fault == "unavailable":
            return sandbox.refuse(call, 503, "Service unavailable")
        answer = sandbox.answer(call)
        if fault == "lost_answer":
            return None
        if fault == "html":
            return _PAGE
        if fault == "truncated":
            return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
        return sandbox.refuse(call, 502, "Bad gateway") if fault == "broken_after" else answer


def _kind(call: Call) -> str:
    """`write` where a record may have come to be or changed, `read` otherwise."""
    reads = call.method == "GET" or "/search" in call.path or call.path.endswith(("/batch/read", "/token"))
    return "read" if reads else "write"


@contextmanager
def wired(wire: Wire) -> Iterator[None]:
    """Inside, calls to the ports of the wire's sandboxes are carried by it."""
    real_request, real_handle = HTTPConnectionPool._make_request, httpx.HTTPTransport.handle_request

    def make_request(
        pool: Any, conn: Any, method: str, url: str, body: Any = None, headers: Any = None, **rest: Any
    ) -> Any:
        if pool.port not in wire.sandboxes:
            return real_request(pool, conn, method, url, body=body, headers=headers, **rest)
        answer = wire.carry(pool.port, method, url, dict(headers or {}), _bytes(body))
        if answer is None:
            raise RemoteDisconnected("Remote end closed connection without response")
        return urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            headers=dict(answer.headers),
            status=answer.status,
            reason="",
            preload_content=rest.get("preload_content", True),
            decode_content=rest.get("decode_content", True),
            request_method=method,
            request_url=url,
        )

    def handle_request(transport: Any, request: httpx.Request) -> httpx.Response:
        if request.url.port not in wire.sandboxes:
            return real_handle(transport, request)
        target = request.url.raw_path.decode("ascii")
        answer = wire.carry(request.url.port, request.method, target, dict(request.headers), request.read())
        if answer is None:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body, request=request)

    with (
        patch.object(ssl, "create_default_context", cache(ssl.create_default_context)),  # it reads all of the world's
        patch.object(HTTPConnectionPool, "_make_request", make_request),
        patch.object(httpx.HTTPTransport, "handle_request", handle_request),
    ):
        yield


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        return bytes(body.read())
    return body.encode() if isinstance(body, str) else bytes(body)
