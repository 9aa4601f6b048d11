"""HubSpot over HTTP, through the SDK's own client: paths, payload shapes, limits and errors.

The SDK's `ApiClient.call_api` with undecoded answers keeps its pool, TLS and URL building and leaves out its models,
which cost twenty times the CPU. The API version is one constant; it is in every path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
import orjson
import urllib3
from hubspot.crm.contacts import ApiClient, Configuration
from hubspot.crm.contacts.exceptions import ApiException

from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors import retry
from connectors.api import Account, Quota, Surroundings
from connectors.bounded_sdk import Pool, close_lines
from connectors.instant import HostClock
from connectors.oauth import RenewedToken
from connectors.retry import GATEWAYS, asked_wait, is_of_certificate

VERSION = "2026-09"
SCOPES = "scopes"
"""The name under which what the last log-in granted is kept."""
HOST = "https://api.hubapi.com"
BATCH = 100
SEARCH_PAGE = 200
LONGEST_QUERY = 6000
"""Characters of a GET's query. Longer property lists are read by POST instead (they answer 414)."""


def objects(object: str) -> str:
    """The path of an object's records."""
    return f"/crm/objects/{VERSION}/{object}"


class Item(msgspec.Struct, gc=False):
    """One record of a page; its properties stay the platform's bytes."""

    id: str
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    updatedAt: str = ""
    archived: bool = False
    archivedAt: str | None = None
    objectWriteTraceId: str | None = None
    new: bool = False
    associations: msgspec.Raw = msgspec.Raw(b"{}")


class Next(msgspec.Struct):
    after: str = ""


class Paging(msgspec.Struct):
    next: Next | None = None


class Items(msgspec.Struct):
    """A page of records, or the answer of a batch."""

    results: list[Item] = []
    paging: Paging | None = None
    total: int | None = None
    errors: list[dict[str, Any]] = []

    @property
    def after(self) -> str:
        return self.paging.next.after if self.paging and self.paging.next else ""


_ITEMS = msgspec.json.Decoder(Items)


class _Standing:
    """`connectors.rest.Credentials` of a service key: there is no other."""

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        return False


class Client:
    """One account. `calls` counts the requests made."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self.calls = 0
        self.clock = HostClock(surroundings.clock)
        self._account = account
        self._world = surroundings
        self._rate = float(account.settings.get("calls_per_10s", 190)) / 10
        self._timeout = (10.0, float(account.settings.get("timeout", 60)))
        configuration = Configuration()
        configuration.host = (account.base_url or HOST).rstrip("/")
        configuration.retries = False
        if account.ca_file:
            configuration.ssl_ca_cert = account.ca_file
        self._api = ApiClient(configuration)
        self._api.rest_client.pool_manager = Pool(self._api.rest_client.pool_manager)
        self._credentials = self._standing() or RenewedToken(account, surroundings, self._exchange)
        self._told: Mapping[str, str] = {}

    def close(self) -> None:
        self._api.close()
        close_lines(self._api.rest_client.pool_manager)

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What the last answer's headers told of the account's limits (search answers tell nothing)."""
        daily, left = self._told.get("X-HubSpot-RateLimit-Daily"), self._told.get("X-HubSpot-RateLimit-Daily-Remaining")
        if daily is None or left is None:
            return ()
        return (Quota("day", int(daily) - int(left), int(daily)),)

    # calls

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        return self.call("GET", path, query)

    def post(self, path: str, body: Any, *, repeatable: bool = True) -> bytes:
        return self.call("POST", path, None, body, repeatable=repeatable)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        repeatable: bool = True,
    ) -> bytes:
        """The body of a good answer. Raises our errors; retried where that is safe. JSON is checked to be whole."""

        def once() -> bytes:
            try:
                return self._once(method, path, query, body)
            except RetryLater as error:
                if error.code != "server_error" or not _is_write(method, path):
                    raise
                # it may have happened all the same, whatever is answered when it is asked for again
                raise InDoubt(error.what, connection=self._account.connection) from error

        def attempt() -> bytes:
            try:
                return once()
            except AuthorizationLost as error:
                if error.code == "invalid_grant" or not self._credentials.renew():
                    raise
            return once()

        return retry.call(attempt, clock=self._world.clock, repeatable=repeatable, on_retry=self._blocked)

    def _blocked(self, error: ClosedloopError, wait: float) -> None:
        if error.code == "rate_limit":
            for lane in ("general", "search"):
                self._world.budget.block(self._key(lane), wait)

    def _key(self, lane: str) -> str:
        return f"hubspot:{self._account.connection}:{lane}"

    def _once(self, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> bytes:
        if path.endswith("/search"):
            self._world.budget.take(self._key("search"), 1, rate=5, burst=5)
        else:
            self._world.budget.take(self._key("general"), 1, rate=self._rate, burst=100)
        self.calls += 1
        headers = {**self._credentials.headers(), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._send(method, path, list((query or {}).items()), headers, body)

    def _send(self, method: str, path: str, query: list[Any], headers: dict[str, str], body: Any) -> bytes:
        writes = _is_write(method, path)
        # written here, with plain commas: urllib3 looks at every letter of a query that has a percent sign, four times
        asked = f"{path}?{urlencode(query, safe=',')}" if query else path
        try:
            answer = self._api.call_api(
                asked,
                method,
                header_params=headers,
                body=body,
                auth_settings=[],
                _preload_content=False,
                _request_timeout=self._timeout,
            )
            content: bytes = answer.data
            kind = answer.headers.get("content-type", "")
            self._told = answer.headers
            self.clock.heard(answer.headers)
        except ApiException as error:
            raise self._refused(error.status, error.headers or {}, error.body) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unanswered(error, writes) from error
        except AttributeError as error:
            # the SDK decodes the body of an error that has none: what it makes of TLS that fails
            raise self._unanswered(_of_tls(error.__context__), writes) from error
        if content and (not kind.startswith("application/json") or not _whole(content)):
            what = "HubSpot's answer is no JSON (a proxy's page, or cut off)."
            kind_of_error = InDoubt if writes else RetryLater
            raise kind_of_error(what, connection=self._account.connection)
        return content

    def _unanswered(self, error: Exception, writes: bool) -> ClosedloopError:
        connection = self._account.connection
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib3.exceptions.SSLError) and is_of_certificate(error):
            return Misconfigured(
                "The certificate of HubSpot's host is not trusted.",
                fix="Check the clock, a proxy in between, or ca_file.",
                connection=connection,
            )
        never_sent = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        if writes and not isinstance(reason, never_sent):
            return InDoubt("HubSpot did not answer a write.", connection=connection)
        return RetryLater("HubSpot cannot be reached.", after=1, connection=connection)

    def _refused(self, status: int, headers: Mapping[str, str], body: Any) -> ClosedloopError:
        text = body if isinstance(body, bytes) else str(body or "").encode()
        try:
            told = orjson.loads(text)
        except orjson.JSONDecodeError:
            told = {}
        return classify(status, headers, told if isinstance(told, dict) else {}, self._account.connection)

    # log-in

    @property
    def scopes(self) -> frozenset[str]:
        """What the last log-in granted; empty where the token is a private app's, which cannot be asked. The answer to
        a consent (`closedloop connect`) does not tell: then the token is renewed, once."""
        if isinstance(self._credentials, _Standing):
            return frozenset()
        if self._world.tokens.get(SCOPES) is None:
            self._credentials.renew()
        return frozenset((self._world.tokens.get(SCOPES) or "").split())

    def _standing(self) -> _Standing | None:
        """The token of the mode that has no other; None where an app logs in."""
        token = self._account.auth.get("token")
        return _Standing(token.reveal() if isinstance(token, Secret) else str(token)) if token else None

    def _exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token call; its scopes are kept beside the pair."""
        self.calls += 1
        try:
            answer = self._api.rest_client.POST(
                f"{self._api.configuration.host}/oauth/{VERSION}/token",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                post_params=list(form.items()),
                _preload_content=False,
                _request_timeout=self._timeout,
            )
            told: dict[str, Any] = orjson.loads(answer.data)
        except ApiException as error:
            if not error.status:
                raise self._unanswered(_of_tls(error), writes=False) from error
            if error.status in (400, 401):
                raise AuthorizationLost(
                    "HubSpot refuses the refresh token.",
                    fix=f"Connect the account again, by `closedloop connect {self._account.connection}`.",
                    connection=self._account.connection,
                    code="invalid_grant",
                ) from error
            raise self._refused(error.status, error.headers or {}, error.body) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unanswered(error, writes=False) from error
        except orjson.JSONDecodeError as error:
            raise RetryLater("HubSpot's log-in answered no JSON.", connection=self._account.connection) from error
        self._world.tokens.put(SCOPES, " ".join(told.get("scopes") or ()))
        return told

    # reading

    def items(self, content: bytes) -> Items:
        """A page or batch answer, decoded no further than its records."""
        try:
            return _ITEMS.decode(content)
        except msgspec.DecodeError as error:
            raise RetryLater("HubSpot's answer has an unknown shape.", connection=self._account.connection) from error

    def written(self, content: bytes) -> Items:
        """The answer of a batch of writes. InDoubt where it cannot be read."""
        try:
            return self.items(content)
        except RetryLater as error:
            raise InDoubt(error.what, connection=error.connection) from error

    def listing(self, object: str, properties: Sequence[str], after: str, **query: Any) -> Items:
        """A page of the plain list, which knows no cap."""
        wanted: dict[str, Any] = {"limit": BATCH, **query}
        if after:
            wanted["after"] = after
        joined = ",".join(properties)
        if len(joined) <= LONGEST_QUERY:
            return self.items(self.get(objects(object), {**wanted, "properties": joined}))
        page = self.items(self.get(objects(object), wanted))
        full = self.read(object, [item.id for item in page.results], properties)
        return Items([full.get(item.id, item) for item in page.results], page.paging)

    def search(self, object: str, filters: list[dict[str, Any]], properties: Sequence[str]) -> Items:
        """The first 200 records that pass all `filters`, by id. The index lags and ends at 10,000."""
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": list(properties),
            "limit": SEARCH_PAGE,
            "after": "0",
        }
        return self.items(self.post(f"{objects(object)}/search", body))

    def read(
        self, object: str, ids: Sequence[str], properties: Sequence[str], id_property: str = ""
    ) -> dict[str, Item]:
        """Records by id or unique property, from the system of record; by the record's own id."""
        found: dict[str, Item] = {}
        for start in range(0, len(ids), BATCH):
            body: dict[str, Any] = {
                "properties": list(properties),
                "propertiesWithHistory": [],
                "inputs": [{"id": id} for id in ids[start : start + BATCH]],
            }
            if id_property:
                body["idProperty"] = id_property
            page = self.items(self.post(f"{objects(object)}/batch/read", body))
            found.update({item.id: item for item in page.results})
        return found

    def associated(self, source: str, target: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """What each record is tied to: id -> [{toObjectId, associationTypes}]."""
        found: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
        waiting = [{"id": id} for id in ids]
        path = f"/crm/associations/{VERSION}/{source}/{target}/batch/read"
        while waiting:
            told = orjson.loads(self.post(path, {"inputs": waiting[:BATCH]}))
            waiting = waiting[BATCH:]
            for row in told["results"]:
                found[str(row["from"]["id"])].extend(row["to"])
                after = (row.get("paging") or {}).get("next", {}).get("after")
                if after:
                    waiting.append({"id": str(row["from"]["id"]), "after": after})
        return found


def _is_write(method: str, path: str) -> bool:
    return method != "GET" and not path.endswith(("/search", "/batch/read"))


def _of_tls(error: BaseException | None) -> urllib3.exceptions.SSLError:
    """The failure of TLS that the SDK hides in an error without a status."""
    return urllib3.exceptions.SSLError(str(getattr(error, "reason", None) or error))


def _whole(content: bytes) -> bool:
    """Whether the JSON is not cut off and in UTF-8: cheap, since a decoder reads it right after."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return content.rstrip()[-1:] in (b"}", b"]") or content == b"null"


def classify(status: int, headers: Mapping[str, str], told: Mapping[str, Any], connection: str) -> ClosedloopError:
    """HubSpot's refusal as one of our errors, by status, category and policy."""
    category = str(told.get("category") or told.get("errorType") or "")
    if status == 429:
        # older answers name no policy; their message does: "You have reached your secondly limit."
        policy = str(told.get("policyName") or told.get("message") or "").upper()
        if "DAILY" in policy:
            return QuotaExhausted("HubSpot's daily call limit is used up.", fix="It opens at midnight of the account.")
        wait = 10.0 if "TEN_SECONDLY" in policy or "SECONDLY" not in policy else 1.0
        return RetryLater("HubSpot's call limit is reached.", after=wait, connection=connection, code="rate_limit")
    if status in GATEWAYS or status in (423, 477):
        wait = 2.0 if status == 423 else asked_wait(headers, 1.0)
        code = "server_error" if status in GATEWAYS else ""
        return RetryLater(f"HubSpot cannot answer now ({status}).", after=wait, connection=connection, code=code)
    if 300 <= status < 400:
        # HubSpot moves no call: it is a proxy's, or a log-in page's, and says nothing of a record
        return RetryLater(f"HubSpot answered with a redirect ({status}).", after=5.0, connection=connection)
    if status == 401:
        return AuthorizationLost(
            "HubSpot refuses the credentials.", fix="Renew the token or connect again.", connection=connection
        )
    if status == 403:
        scopes = [
            s for e in told.get("errors") or [] for s in (e.get("context") or {}).get("requiredGranularScopes", [])
        ]
        missing = f" Missing scopes: {', '.join(scopes)}." if scopes else ""
        return PermissionMissing(f"HubSpot forbids this call.{missing}", fix="Grant the scopes.", connection=connection)
    return rejection(told, status, category, connection)


def rejection(told: Mapping[str, Any], status: int, category: str, connection: str) -> RecordRejected:
    """A refusal for good, with the property and code that HubSpot names, without the value it repeats."""
    errors = told.get("errors") or []
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    names = (first.get("context") or {}).get("propertyName") or []
    field = str(names[0]) if names else str(first.get("in") or "")
    code = str(first.get("code") or category or status)
    return RecordRejected(
        f"HubSpot refuses it: {code}.",
        fix="Correct the value, the property's options, or the mapping.",
        connection=connection,
        field=field,
        code=code.lower(),
    )
