"""The calls: simple-salesforce with our session, our tokens and our errors.

The SDK is given an access token, never credentials, so that its own log-in and its retry on 401 (which loops for ever
in SFType, and drops the headers) never run. Its session is ours: timeouts on every call, certificates always checked.
Bodies are decoded here from the bytes, not by the SDK (which guesses the charset).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError
from urllib3.exceptions import NewConnectionError

from config.errors import AuthorizationLost, ClosedloopError, InDoubt, QuotaExhausted, RetryLater
from config.log import Log
from connectors import retry
from connectors.api import Account, Surroundings
from connectors.bounded import CODINGS, LARGEST
from connectors.bounded_sdk import Adapter
from connectors.instant import HostClock
from connectors.retry import is_of_certificate
from connectors.salesforce.errors import of_call
from connectors.salesforce.login import Grant, Login, certificate

API_VERSION = "66.0"
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
RATE, BURST = 25.0, 25
"""Calls a second. The platform has no such limit; it counts calls a day and long calls at once."""
FULL = 95
"""Per cent of the daily allowance at which we stop, so that the org's other applications go on."""
FULL_FOR = timedelta(minutes=15)

log = Log(__name__)


class Session(requests.Session):
    """A requests session that never waits for ever, follows no redirect (the token, or what was to be written, would go
    to whatever host it names) and counts what it sends."""

    def __init__(self, timeout: float, ca_file: str) -> None:
        super().__init__()
        self.timeout = (min(CONNECT_TIMEOUT, timeout), timeout)
        self.ca_file = ca_file
        self.sent = 0
        self.headers["accept-encoding"] = CODINGS
        self.mount("https://", Adapter())

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self.timeout)
        kwargs["allow_redirects"] = False
        if self.ca_file:
            kwargs["verify"] = self.ca_file
        self.sent += 1
        return super().request(method, url, *args, **kwargs)


class Client:
    """One account's calls. `used` and `limit` are the daily allowance as the last answer told it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        settings = account.settings
        self.account = account
        self.surroundings = surroundings
        self.version = str(settings.get("api_version") or API_VERSION).lstrip("v")
        self.session = Session(float(settings.get("timeout") or READ_TIMEOUT), account.ca_file)
        self.login = Login(account, surroundings, self.session)
        self.clock = HostClock(surroundings.clock)
        self.used, self.limit = 0, 0
        self._told_at: datetime | None = None
        self._warned = False
        self._grant: Grant | None = None
        self._sdk: Salesforce | None = None

    @property
    def calls(self) -> int:
        return self.session.sent

    @property
    def user(self) -> str:
        """The id of the user we are, '' when the log-in did not tell."""
        return self._grant.user if self._grant else ""

    def sdk(self) -> Salesforce:
        """The SDK over the kept session, or over a fresh one when none is kept."""
        if self._sdk is None:
            self._use(self.login.kept() or self._retrying(self.login.fresh, repeatable=True))
        assert self._sdk is not None
        return self._sdk

    def _use(self, grant: Grant) -> None:
        self._grant = grant
        self._sdk = Salesforce(
            session_id=grant.token.reveal(),
            instance_url=grant.instance_url,
            version=self.version,
            session=self.session,
            object_pairs_hook=None,
        )

    def get(self, path: str, *, object: str = "", params: Mapping[str, str] | None = None) -> Any:
        """The decoded answer of a read. Raises RetryLater after bounded retries, and the other errors at once."""
        return self.call("GET", path, object=object, params=params, repeatable=True)

    def call(
        self,
        method: str,
        path: str,
        *,
        object: str = "",
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool,
    ) -> Any:
        """The decoded answer (None when empty). `repeatable` says that doing it twice changes nothing more: then it
        is retried when its answer is lost; otherwise a lost answer raises InDoubt."""
        data = None if body is None else orjson.dumps(body)

        def attempt() -> Any:
            answer = self.exchange(method, path, object, params=params, data=data, headers=headers)
            return _decoded(answer, self.account.connection, object, is_read=method == "GET")

        return self._retrying(attempt, repeatable=repeatable, is_read=method == "GET")

    def send(self, method: str, path: str, *, data: bytes, kind: str, object: str = "") -> None:
        """Send bytes of another content type. A lost answer raises InDoubt; nothing is retried after it."""
        headers = {"Content-Type": kind}
        self._retrying(lambda: self.exchange(method, path, object, data=data, headers=headers), repeatable=False)

    def stream(self, path: str, *, params: Mapping[str, str], object: str) -> tuple[Mapping[str, str], Iterator[bytes]]:
        """The headers of a read and its lines, as they arrive; a break in the middle raises RetryLater."""

        def attempt() -> requests.Response:
            return self.exchange("GET", path, object, params=params, headers={"Accept": "text/csv"}, stream=True)

        answer = self._retrying(attempt, repeatable=True)
        return answer.headers, _lines(answer, self.account.connection, object)

    def _retrying(self, attempt: Callable[[], Any], *, repeatable: bool, is_read: bool = True) -> Any:
        try:
            return retry.call(attempt, clock=self.surroundings.clock, repeatable=repeatable, on_retry=self._block)
        except InDoubt as error:
            if repeatable and is_read:
                raise RetryLater(error.what, after=30.0, connection=error.connection, object=error.object) from error
            raise

    def _block(self, error: RetryLater | InDoubt, seconds: float) -> None:
        if error.code == "REQUEST_LIMIT_EXCEEDED":
            self.surroundings.budget.block(self._budget_key, seconds)

    @property
    def _budget_key(self) -> str:
        return f"salesforce:{self.account.connection}"

    def exchange(self, method: str, path: str, object: str, **request: Any) -> requests.Response:
        """One call, logged in again once when the session is over."""
        self._refuse_when_full()
        self.surroundings.budget.take(self._budget_key, 1, rate=RATE, burst=BURST)
        try:
            return self._once(method, path, object, request)
        except AuthorizationLost:
            if self.login.mode == "session":
                raise
            log.info("salesforce.session_renewed", connection=self.account.connection)
            self._use(self.login.fresh(self._grant.token.reveal() if self._grant else ""))
        return self._once(method, path, object, request)

    def _once(self, method: str, path: str, object: str, request: Mapping[str, Any]) -> requests.Response:
        sdk = self.sdk()
        url = f"https://{sdk.sf_instance}{path}" if path.startswith("/") else sdk.base_url + path
        given = {name: value for name, value in request.items() if value is not None}
        given["headers"] = {"X-PrettyPrint": "0", **(given.get("headers") or {})}
        try:
            answer: requests.Response = sdk._call_salesforce(method, url, name=object, **given)
        except SalesforceError as error:
            raise of_call(
                error.status,
                error.content,
                connection=self.account.connection,
                object=object,
                is_read=method == "GET",
            ) from error
        except requests.RequestException as error:
            raise self._unreached(error, object, is_read=method == "GET") from error
        self.clock.heard(answer.headers)
        self._note_usage(answer.headers.get("Sforce-Limit-Info", ""))
        return answer

    def _unreached(self, error: requests.RequestException, object: str, *, is_read: bool) -> ClosedloopError:
        place = {"connection": self.account.connection, "object": object}
        if isinstance(error, requests.exceptions.SSLError) and is_of_certificate(error):
            return certificate(self.account.connection)
        what = f"Salesforce cannot be reached ({type(error).__name__})."
        if is_read or isinstance(error, requests.exceptions.ConnectTimeout) or _never_left(error):
            return RetryLater(what, after=2.0, **place)
        return InDoubt("Salesforce's answer to a write was lost.", **place)

    def _note_usage(self, info: str) -> None:
        """Keep `api-usage=18/5000`."""
        used, _, limit = info.partition("api-usage=")[2].partition(";")[0].partition("/")
        if not (used.isdigit() and limit.isdigit()):
            return
        self.used, self.limit = int(used), int(limit)
        self._told_at = self.surroundings.clock.now()
        if self.used >= 0.8 * self.limit and not self._warned:
            self._warned = True
            log.warning("salesforce.quota_low", connection=self.account.connection, used=self.used, limit=self.limit)

    def _refuse_when_full(self) -> None:
        if not self.limit or self._told_at is None or self.used * 100 < FULL * self.limit:
            return
        if self.surroundings.clock.now() - self._told_at < FULL_FOR:
            what = f"{FULL} % of the org's API calls of the last 24 hours are used."
            fix = "The rest is left to the org's other applications; wait, or buy more calls."
            raise QuotaExhausted(what, fix=fix, until=self._told_at + FULL_FOR, connection=self.account.connection)

    def close(self) -> None:
        self.session.close()


def _never_left(error: requests.RequestException) -> bool:
    """Whether the connection was refused before a byte was sent."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _decoded(answer: requests.Response, connection: str, object: str, *, is_read: bool) -> Any:
    """The JSON in an answer's bytes. What is none (a proxy's page, half a body, another charset) is no answer."""
    if not answer.content:
        return None
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        what = "Salesforce's answer is broken: it is no JSON in UTF-8."
        kind: type[RetryLater | InDoubt] = RetryLater if is_read else InDoubt
        raise kind(what, connection=connection, object=object, code="broken answer") from error


def _lines(answer: requests.Response, connection: str, object: str) -> Iterator[bytes]:
    """The body's lines with their ends, by line feed alone."""
    rest = b""
    try:
        for chunk in answer.iter_content(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
            if len(rest) > LARGEST:
                raise RetryLater("Salesforce's answer is one endless line.", connection=connection, object=object)
    except requests.RequestException as error:
        what = f"Salesforce's answer broke off ({type(error).__name__})."
        raise RetryLater(what, after=2.0, connection=connection, object=object) from error
    finally:
        answer.close()
    if rest:
        yield rest
