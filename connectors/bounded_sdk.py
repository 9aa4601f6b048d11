"""Answers that end, for the SDKs that read them whole by an HTTP client of their own.

What is cut off is told as a connection that broke, which every caller of theirs must expect: of a read it is asked
again, of a write it is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response
from urllib3.exceptions import ProtocolError

from connectors.bounded import Excess, bounded

CHUNK = 65_536


class Bounded:
    """A urllib3 answer whose body is read so; all else of it is as it was."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answer, name)

    def stream(self, amt: int = CHUNK, decode_content: bool | None = None) -> Iterator[bytes]:
        try:
            yield from bounded(self._answer.stream(amt, decode_content=decode_content), self._answer.headers)
        except Excess as error:
            self._answer.close()  # what is left on the line is no beginning of another answer
            raise ProtocolError(f"The answer is {error}.") from error

    @property
    def data(self) -> bytes:
        return b"".join(self.stream(decode_content=True))


class Pool:
    """urllib3's pool of connections, each of whose answers is so."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def request(self, method: str, url: str, **how: Any) -> Bounded:
        return Bounded(self._pool.request(method, url, **how))


def close_lines(manager: Any) -> None:
    """Close every line of urllib3's `manager`, whose own `clear` only lets go of its pools: an answer that somebody
    still holds (an SDK its last one, an error's traceback) would keep the pool, and the line open."""
    for pool in [manager.pools[key] for key in list(manager.pools.keys())]:
        pool.close()
    manager.clear()


class Adapter(HTTPAdapter):
    """The same for a session of `requests`, which wants a class here. What is asked for as a stream is the caller's."""

    def send(self, request: PreparedRequest, stream: bool = False, *args: Any, **more: Any) -> Response:
        answer = super().send(request, stream, *args, **more)
        if not stream:
            answer.raw = Bounded(answer.raw)
        return answer

    def close(self) -> None:
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            close_lines(manager)
