"""HTTP for the webhooks' door: bodies bounded before they are read, senders bounded in time.

uvicorn does the protocol. It has no limit to how long a client may take, so each connection has one here, whatever it
does with it. Apart from `sync/hooks.py`, so that uvicorn is loaded only where the door is opened.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from connectors.api import Request
from sync.hooks import BODY, CONNECTIONS, LIFE, Answer, Intake


class Mortal(H11Protocol):
    """A connection that lives `LIFE` seconds at most. uvicorn wants a class here."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(LIFE, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)


class _TooLarge(Exception):
    """The body is larger than may be."""


class _Gone(Exception):
    """The sender hung up."""


class Application:
    """ASGI: one delivery, one answer, one connection."""

    def __init__(self, intake: Intake, workers: ThreadPoolExecutor) -> None:
        self._intake, self._workers = intake, workers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            answer = await self._answer(scope, receive)
        except _Gone:
            return
        headers = [(b"content-length", str(len(answer.body)).encode()), (b"connection", b"close")]
        if answer.body:
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Any, receive: Any) -> Answer:
        connection = self._intake.connection(scope["path"])
        if connection is None:
            return Answer(404)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in ("GET", "POST"):
            return Answer(405)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = b"" if method == "GET" else await self._body(headers, receive)
        except _TooLarge:
            self._intake.count(connection, "too_large")
            return Answer(413)
        except TimeoutError:
            self._intake.count(connection, "too_slow")
            return Answer(408)
        request = Request(method, self._intake.address(_target(scope)), headers, body)
        work = asyncio.get_running_loop().run_in_executor(self._workers, self._intake.take, connection, request)
        return await work

    async def _body(self, headers: Mapping[str, str], receive: Any) -> bytes:
        most = self._intake.settings.max_body
        told = headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told) > most:
            raise _TooLarge
        body = bytearray()
        async with asyncio.timeout(BODY):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                body += message.get("body", b"")
                if len(body) > most:
                    raise _TooLarge
                if not message.get("more_body"):
                    return bytes(body)


def _target(scope: Any) -> str:
    """Path and query as they were asked for, undecoded: signatures cover them so."""
    path: str = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def serve(
    intake: Intake, workers: ThreadPoolExecutor, listener: socket.socket
) -> tuple[uvicorn.Server, Callable[[], None]]:
    """A server on `listener`, and what runs it until its `should_exit` is set."""
    config = uvicorn.Config(
        Application(intake, workers),
        http=Mortal,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        backlog=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(BODY),
        h11_max_incomplete_event_size=16_384,
    )
    server = uvicorn.Server(config)
    return server, lambda: server.run(sockets=[listener])
