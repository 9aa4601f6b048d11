"""Mailchimp over HTTP, through the SDK's own client with a pooled session and our errors.

The SDK's `ApiClient.request` is its extension point: replaced here, so that connections are kept, answers are parsed by
their own type and errors by their title. Its `server` is emptied: it would otherwise replace the word "server"
anywhere in a URL, an address such as observer@server.example included.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from mailchimp_marketing.api_client import ApiClient, ApiClientError

from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors import retry
from connectors.api import Account, Surroundings
from connectors.bounded import CODINGS
from connectors.bounded_sdk import Adapter
from connectors.instant import HostClock
from connectors.retry import is_of_certificate

VERSION = "3.0"
LOGIN = "https://login.mailchimp.com"
CENTRE = "data_centre"
"""The name under which the data centre of an access token is kept, behind a digest of the token that it is of."""
ASKING = 100.0
"""Calls a second that are let through: more than ten connections can make."""
_DATA_CENTRE = re.compile(r"[a-z]{2,3}\d{1,3}")


def subscriber_hash(email: str) -> str:
    """Mailchimp's id of an address within an audience: MD5 of the address in lower case."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


class _Answered:
    """What the SDK wants of a response: headers, ok, json()."""

    def __init__(self, status: int, content: bytes, parsed: Any) -> None:
        self.headers = {"content-type": "application/json" if content else ""}
        self.ok = status < 400
        self.text = ""
        self._parsed = parsed

    def json(self) -> Any:
        return self._parsed


class Client:
    """One account. `calls` counts the requests made; at most `settings.connections` are under way at once."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self.calls = 0
        self.clock = HostClock(surroundings.clock)
        self._account = account
        self._world = surroundings
        self._count = threading.Lock()
        self._slots = threading.BoundedSemaphore(int(account.settings.get("connections", 6)))
        self._timeout = (10.0, float(account.settings.get("timeout", 120)))
        self._session = requests.Session()
        self._session.headers["accept-encoding"] = CODINGS
        self._session.mount("https://", Adapter(pool_connections=2, pool_maxsize=10))
        self._session.mount("http://", Adapter(pool_connections=2, pool_maxsize=10))
        self._session.trust_env = not account.base_url
        if account.ca_file:
            self._session.verify = account.ca_file
        self._api = ApiClient()
        self._api.server = ""
        self._api.request = self._request
        try:
            self._api.host = self._host()
        except BaseException:
            self.close()  # whoever has no client cannot close it
            raise

    @property
    def connection(self) -> str:
        return self._account.connection

    def close(self) -> None:
        self._session.close()

    def fetch(self, url: str) -> bytes:
        """A packed result, without credentials, from the account's own host or Amazon's store, where Mailchimp puts
        them. Raises RetryLater."""
        host, ours = urlsplit(url), urlsplit(self._api.host)
        amazon = host.scheme == "https" and str(host.hostname).endswith(".amazonaws.com")
        if not amazon and (host.scheme, host.netloc) != (ours.scheme, ours.netloc):
            raise RetryLater("Mailchimp's result lies on an unknown host.", connection=self.connection)
        with self._count:
            self.calls += 1
        try:
            answer = self._session.get(url, timeout=self._timeout, allow_redirects=False)
        except requests.RequestException as error:
            raise self._unanswered(error, "GET") from error
        if not answer.ok:
            raise RetryLater(
                f"Mailchimp's result cannot be fetched ({answer.status_code}).", connection=self.connection
            )
        return answer.content

    def _secret(self, name: str) -> str:
        value = self._account.auth.get(name, "")
        return value.reveal() if isinstance(value, Secret) else str(value)

    def _host(self) -> str:
        key, elsewhere = self._secret("api_key"), self._account.base_url.rstrip("/")
        if key and elsewhere:
            return f"{elsewhere}/{VERSION}"
        centre = key.rpartition("-")[2] if key else self._centre_of_token()
        if not _DATA_CENTRE.fullmatch(centre):
            raise Misconfigured(
                "The Mailchimp key names no data centre." if key else "Mailchimp names no data centre of the token.",
                fix="Copy the whole key; it ends like -us19." if key else _CONNECT.format(self._account.connection),
                connection=self._account.connection,
            )
        return f"{elsewhere or f'https://{centre}.api.mailchimp.com'}/{VERSION}"

    def _centre_of_token(self) -> str:
        """Where the account of the access token lives: asked once for each token, which keeps it for life."""
        token = self._secret("access_token")
        mark = hashlib.sha256(token.encode()).hexdigest()[:16]
        known, _, centre = (self._world.tokens.get(CENTRE) or "").partition(" ")
        if known == mark:
            return centre
        url = f"{self._account.base_url.rstrip('/') or LOGIN}/oauth2/metadata"
        told = retry.call(
            lambda: self._answer("GET", url, None, {"Authorization": f"OAuth {token}"}, None)[1],
            clock=self._world.clock,
            repeatable=True,
            on_retry=self._blocked,
        )
        centre = str(told.get("dc") or "") if isinstance(told, dict) else ""
        if _DATA_CENTRE.fullmatch(centre):
            self._world.tokens.put(CENTRE, f"{mark} {centre}")
        return centre

    # calls

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        repeatable: bool = True,
    ) -> Any:
        """The parsed body of a good answer (None where it is empty). Raises our errors, retried where that is safe."""

        def attempt() -> Any:
            try:
                answer = self._api.call_api(path, method, query_params=list((query or {}).items()), body=body)
            except ApiClientError as error:
                if not isinstance(error.text, ClosedloopError):
                    raise
                if method != "GET" and error.text.code == "server_error":  # it may have happened all the same
                    raise InDoubt(error.text.what, connection=self._account.connection) from error
                raise error.text from error
            return None if isinstance(answer, _Answered) else answer

        return retry.call(attempt, clock=self._world.clock, repeatable=repeatable, on_retry=self._blocked)

    def _blocked(self, error: ClosedloopError, wait: float) -> None:
        if error.code == "rate_limit":
            self._world.budget.block(self._key, wait)

    @property
    def _key(self) -> str:
        return f"mailchimp:{self._account.connection}"

    def _request(
        self, method: str, url: str, query_params: Any = None, headers: Any = None, body: Any = None
    ) -> _Answered:
        """Stands in for the SDK's own, which opens a connection per call."""
        status, parsed, content = self._answer(method, url, query_params, dict(headers or {}), body)
        return _Answered(status, content, parsed)

    def _answer(self, method: str, url: str, query: Any, headers: dict[str, str], body: Any) -> tuple[int, Any, bytes]:
        if "Authorization" not in headers and self._secret("access_token"):
            headers["Authorization"] = f"Bearer {self._secret('access_token')}"
        auth = ("closedloop", self._secret("api_key")) if self._secret("api_key") else None
        # Mailchimp has no rate; asking makes every process wait once one of them was told to
        self._world.budget.take(self._key, 1, rate=ASKING, burst=100)
        with self._count:
            self.calls += 1
        try:
            with self._slots:
                response = self._session.request(
                    method,
                    url,
                    params=query,
                    data=orjson.dumps(body) if body is not None else None,
                    headers=headers,
                    auth=auth,
                    timeout=self._timeout,
                    allow_redirects=False,
                )
                content = response.content
        except requests.RequestException as error:
            raise self._unanswered(error, method) from error
        self.clock.heard(response.headers)
        return response.status_code, self._parsed(response, content, method), content

    def _parsed(self, response: requests.Response, content: bytes, method: str) -> Any:
        told: Any = None
        kind = response.headers.get("content-type", "")
        if content:
            try:
                told = orjson.loads(content) if "json" in kind else ...
            except orjson.JSONDecodeError:
                told = ...
        if response.status_code >= 400:
            raise classify(response.status_code, told if isinstance(told, dict) else {}, self._account.connection)
        if told is ... or response.status_code in (301, 302, 307, 308):
            what = "Mailchimp's answer is no JSON (a proxy's page, or cut off)."
            kind_of_error = RetryLater if method == "GET" else InDoubt
            raise kind_of_error(what, connection=self._account.connection)
        return told

    def _unanswered(self, error: requests.RequestException, method: str) -> ClosedloopError:
        connection = self._account.connection
        if isinstance(error, requests.exceptions.SSLError) and is_of_certificate(error):
            return Misconfigured(
                "The certificate of Mailchimp's host is not trusted.",
                fix="Check the clock, a proxy in between, or ca_file.",
                connection=connection,
            )
        never_sent = isinstance(error, requests.exceptions.ConnectTimeout) or "NewConnectionError" in repr(error)
        if method == "GET" or never_sent:
            return RetryLater("Mailchimp cannot be reached.", after=1, connection=connection)
        return InDoubt("Mailchimp did not answer a write.", connection=connection)


_CONNECT = "Connect the account again: `closedloop connect {}`."
_LAW = {
    "member in compliance state": "compliance",
    "forgotten email not subscribed": "forgotten",
}


def classify(status: int, told: Mapping[str, Any], connection: str) -> ClosedloopError:
    """Mailchimp's problem document as one of our errors, by its title; details are English and change."""
    title = str(told.get("title") or "").lower()
    if status == 429 or status >= 500 or (status == 403 and not told):
        # at high volume Mailchimp answers 403 without a body: that is a limit, not a refusal
        after = 2.0 if status in (429, 403) else 1.0
        code = "server_error" if status >= 500 else "rate_limit"
        return RetryLater(f"Mailchimp cannot answer now ({status}).", after=after, connection=connection, code=code)
    if status == 401 or title in ("api key missing", "user disabled", "account deactivated", "compliance related"):
        return AuthorizationLost(
            "Mailchimp refuses the credentials (or they belong to another data centre).",
            fix=f"Renew the API key, or connect the account again: `closedloop connect {connection}`.",
            connection=connection,
        )
    if status == 403:
        return PermissionMissing("Mailchimp forbids this call.", fix="Check the user's role.", connection=connection)
    if title in _LAW:
        return RecordRejected(
            "Mailchimp may not write to this person: they left, bounced, or were erased.",
            fix="Only the person can come back, by a sign-up form.",
            connection=connection,
            code=_LAW[title],
        )
    return _rejected(status, told, title, connection)


def _rejected(status: int, told: Mapping[str, Any], title: str, connection: str) -> ClosedloopError:
    errors = told.get("errors") or []
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    if "too many" in str(told.get("detail") or "") or "signed up to a lot of lists" in str(told.get("detail") or ""):
        return RetryLater("Mailchimp wants this address later.", after=86_400, connection=connection)
    field = str(first.get("field") or "")
    return RecordRejected(
        f"Mailchimp refuses it: {title or status}.",
        fix="Correct the value, or the audience's merge field.",
        connection=connection,
        field=f"merge_fields.{field}" if field.isupper() else field,
        code=(title or str(status)).replace(" ", "_"),
    )
