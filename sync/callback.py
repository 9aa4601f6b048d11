"""The place a browser comes back to: one address on loopback, open until one answer has come.

Only 127.0.0.1 is listened on, nothing but the redirect's own path is an answer, and the page that is shown says nothing
of what was asked: whoever else finds the port learns nothing.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from config.errors import AuthorizationLost, Misconfigured

LOOPBACK = ("127.0.0.1", "localhost")
_PAGE = (
    b"<!doctype html><title>Closedloop</title><p>Closedloop has the answer. Go on in the terminal; this page can go."
)
_SHY = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
}


class Callback:
    """An open address. `redirect` is what to register at the platform."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._answers: queue.Queue[str] = queue.Queue()
        answers = self._answers

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # a browser opens connections in advance and says nothing on them

            def do_GET(self) -> None:
                known = urlsplit(self.path).path == path
                body = _PAGE if known else b""
                self.send_response(200 if known else 404)
                for name, value in {**_SHY, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if known:
                    answers.put(self.path)

            def log_message(self, format: str, *values: object) -> None:
                """Nothing: the line would hold the code."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.redirect = f"http://{host}:{self._server.server_port}{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> str:
        """The address that the browser was sent to. Raises AuthorizationLost when none comes in time."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            raise AuthorizationLost(
                f"No answer came from the browser within {seconds:g} seconds.",
                fix="Look what the page says, and run the command again. Where the browser is on another machine, use "
                "--paste.",
            ) from None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def listening(host: str, port: int, path: str) -> Iterator[Callback]:
    """A callback, closed in the end. Port 0 is any free one. Raises Misconfigured where the port cannot be had."""
    try:
        callback = Callback(host, port, path)
    except OSError as error:
        used = error.errno == errno.EADDRINUSE
        raise Misconfigured(
            f"Port {port} is in use." if used else f"Port {port} cannot be listened on: {error.strerror}.",
            fix="Choose another one by --port (or auth.redirect_uri), and register it at the platform too.",
        ) from error
    try:
        yield callback
    finally:
        callback.close()
