"""HTTP for the platforms that are spoken to without an SDK: one pooled client, retries, rates, answers made sure of.

A platform's `client.py` gives its host, its lanes (call rates) and a function that sorts its refusals into our errors;
everything that is the same for all stands here. No redirect is followed and no other host is ever sent a credential.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import orjson

from config.errors import AuthorizationLost, ClosedloopError, InDoubt, Misconfigured, RecordRejected, RetryLater
from connectors import retry
from connectors.api import Account, Surroundings
from connectors.bounded import CODINGS, Excess, bounded
from connectors.instant import HostClock
from connectors.retry import is_of_certificate
from connectors.trust import trust

CONNECT = 10.0
"""Seconds to wait for a connection."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A call rate of the account: `rate` calls a second, at most `burst` at once. Where the platform counts over
    several accounts (all that one app speaks for), `shared` names what they have in common."""

    rate: float
    burst: int = 1
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer (2xx). `told` is its JSON, None where the body is empty or something else was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    told: Any = None


class Credentials(Protocol):
    """What authorises a call."""

    def headers(self) -> dict[str, str]:
        """The headers that carry the credential now."""

    def renew(self) -> bool:
        """Get a new credential after a 401; False where the one refused is all there is."""


Classify = Callable[[int, Mapping[str, str], Any], ClosedloopError]
"""(status, headers, the body's JSON or None) -> the refusal as one of our errors. A 429 has code "rate_limit", a
failure of the server "server_error", so that a write is known to be in doubt."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What the client must know: `title` for messages, the default `host`, its lanes and how it refuses."""

    title: str
    host: str
    classify: Classify
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Rest:
    """One account. `calls` counts the requests made, `told` holds the headers of the last answer, `clock` is the
    host's."""

    def __init__(
        self, platform: Platform, account: Account, surroundings: Surroundings, credentials: Credentials | None = None
    ) -> None:
        self.calls = 0
        self.told: Mapping[str, str] = {}
        self.clock = HostClock(surroundings.clock)
        self.credentials = credentials
        self.host = (account.base_url or platform.host).rstrip("/")
        self._platform, self._account, self._world = platform, account, surroundings
        timeout = httpx.Timeout(float(account.settings.get("timeout", 60)), connect=CONNECT)
        verify = trust(account.ca_file)
        self._http = httpx.Client(timeout=timeout, verify=verify, follow_redirects=False, trust_env=True)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None, **more: Any) -> Answer:
        return self.call("GET", path, query=query, **more)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        lane: str = "general",
        repeatable: bool | None = None,
        writes: bool = False,
        credentials: bool = True,
        parse: bool = True,
    ) -> Answer:
        """The good answer to one call; our errors otherwise.

        `path` starts with a slash, or is an address on the account's own host (a `next` link). `repeatable` says that
        asking twice changes nothing more (by default of GET only): only then is an unanswered call sent again.
        Otherwise its loss is InDoubt. So it is of what `writes`, where it stays lost, or is refused when it is sent
        again. `parse` demands JSON.
        """
        again = method == "GET" if repeatable is None else repeatable
        who = self.credentials if credentials else None
        kind = {"content-type": "application/json"} if json is not None else {}
        given = {
            "accept": "application/json",
            "accept-encoding": CODINGS,
            **self._platform.headers,
            **kind,
            **(headers or {}),
        }
        build = partial(
            self._http.build_request,
            method,
            self.address(path),
            params=dict(query) if query else None,
            content=orjson.dumps(json) if json is not None else content,
            data=form,
        )

        def once() -> Answer:
            request = build(headers={**given, **(who.headers() if who else {})})
            return self._once(request, lane, again and not writes, parse)

        def attempt() -> Answer:
            try:
                return once()
            except AuthorizationLost:
                if who is None or not who.renew():
                    raise
                return once()

        return retry.call(attempt, clock=self._world.clock, repeatable=again, on_retry=self._blocked)

    def address(self, path: str) -> str:
        """The full address of `path`. Raises RetryLater for a link to anywhere but the account's host."""
        if path.startswith("/"):
            return self.host + path
        ours, theirs = urlsplit(self.host), urlsplit(path)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise RetryLater(
                f"{self._platform.title} answered with a link to another host ({theirs.netloc}).",
                connection=self._account.connection,
            )
        return path

    def lane_key(self, lane: str) -> str:
        rate = self._platform.lanes.get(lane)
        who = rate.shared if rate is not None and rate.shared else self._account.connection
        return f"{self._account.platform}:{who}:{lane}"

    def _blocked(self, error: ClosedloopError, wait: float) -> None:
        if error.code == "rate_limit":
            for lane in self._platform.lanes:
                self._world.budget.block(self.lane_key(lane), wait)

    def _once(self, request: httpx.Request, lane: str, harmless: bool, parse: bool) -> Answer:
        """One try; `harmless` says that nothing hangs on its loss."""
        rate = self._platform.lanes.get(lane)
        if rate is not None:
            self._world.budget.take(self.lane_key(lane), 1, rate=rate.rate, burst=rate.burst)
        self.calls += 1
        try:
            answer = self._http.send(request, stream=True)
            try:
                body = b"".join(bounded(answer.iter_bytes(), answer.headers))
            finally:
                answer.close()
        except httpx.HTTPError as error:
            raise self._unanswered(error, harmless) from error
        except Excess as error:
            raise self._lost(f"answer is {error}.", harmless) from error
        self.told = answer.headers
        self.clock.heard(answer.headers)
        told, whole = _parsed(body) if parse or not answer.is_success else (None, True)
        if not answer.is_success:
            raise self._refused(answer, told, harmless)
        if not whole:
            raise self._lost("answer is no JSON (a proxy's page, or cut off).", harmless)
        return Answer(answer.status_code, answer.headers, body, told)

    def _refused(self, answer: httpx.Response, told: Any, harmless: bool) -> ClosedloopError:
        error = self._platform.classify(answer.status_code, answer.headers, told)
        if isinstance(error, RecordRejected) and answer.has_redirect_location:
            # none of the platforms moves its calls: it is a proxy's, or a log-in page's, and says nothing of a record
            error = RetryLater(f"{self._platform.title} answered with a redirect ({answer.status_code}).", after=5.0)
        error.connection = error.connection or self._account.connection
        if isinstance(error, RetryLater) and error.code == "server_error" and not harmless:
            # it may have happened all the same, and must not be asked for twice
            return InDoubt(error.what, connection=self._account.connection)
        return error

    def _lost(self, what: str, harmless: bool) -> ClosedloopError:
        kind = RetryLater if harmless else InDoubt
        return kind(f"{self._platform.title}'s {what}", connection=self._account.connection, code="answer_lost")

    def _unanswered(self, error: httpx.HTTPError, harmless: bool) -> ClosedloopError:
        title, connection = self._platform.title, self._account.connection
        if is_of_certificate(error):
            return Misconfigured(
                f"The certificate of {title}'s host is not trusted.",
                fix="Check the clock, a proxy in between, or ca_file.",
                connection=connection,
            )
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return RetryLater(f"{title} cannot be reached.", after=1, connection=connection)
        return self._lost("answer did not come.", harmless)


def _parsed(body: bytes) -> tuple[Any, bool]:
    """The JSON of a body, and whether it is whole. No body is whole."""
    if not body.strip():
        return None, True
    try:
        return orjson.loads(body), True
    except orjson.JSONDecodeError:
        return None, False
