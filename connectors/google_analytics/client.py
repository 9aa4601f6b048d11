"""Google's APIs around an Analytics property over HTTP: hosts, paths, payload shapes. Nobody else knows them.

Numbers of the Data API are strings, what is empty is left out, 64-bit numbers are strings in requests too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from config.errors import InDoubt, Misconfigured, RecordRejected, RetryLater
from connectors.api import Account, Surroundings
from connectors.google_analytics.errors import Failures, classify, spent
from connectors.google_analytics.login import SCOPE, credentials, secret
from connectors.rest import Lane, Platform, Rest

HOSTS = {
    "token": "https://oauth2.googleapis.com",
    "data": "https://analyticsdata.googleapis.com",
    "admin": "https://analyticsadmin.googleapis.com",
    "collect": "https://www.google-analytics.com",
    "datamanager": "https://datamanager.googleapis.com",
}
EU_COLLECT = "https://region1.google-analytics.com"
LANES = {
    "token": Lane(1, 2),
    "data": Lane(10, 5),
    "admin": Lane(10, 10),
    "collect": Lane(20, 20),
    "datamanager": Lane(5, 5),
}
KIND = "analyticsData#runReport"
SPARED = 0.1
"""The share of each bucket of tokens that is left to others."""
BUCKETS = {"tokensPerDay": "day", "tokensPerHour": "hour", "tokensPerProjectPerHour": "hour"}
OTHERS = {"potentiallyThresholdedRequestsPerHour": 12, "serverErrorsPerProjectPerHour": 2}
"""What must remain of the hour's other buckets."""


@dataclass(frozen=True, slots=True)
class Report:
    """A page of a report: its rows as name -> told text, the rows of the whole report, what was told about it."""

    rows: Sequence[Mapping[str, str]]
    total: int
    currency: str
    zone: str
    sampled: bool
    thresholded: bool
    incomplete: bool
    quota: Mapping[str, int]
    """Bucket -> what remains."""


class Client:
    """One property, as the log-in sees it; one pool of connections per host."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self.property = str(account.settings.get("property") or "").removeprefix("properties/")
        self.stream = str(account.settings.get("measurement_id") or "")
        self._rests: dict[str, Rest] = {}
        self._failures = Failures(surroundings.clock)
        self._credentials = credentials(account, surroundings, self._token)
        logging.getLogger("httpx").addFilter(_without_secret)

    @property
    def calls(self) -> int:
        return sum(rest.calls for rest in self._rests.values())

    @property
    def ahead(self) -> float | None:
        """Seconds by which our clock is ahead of that of the host that reports, if it was asked."""
        return self._rests["data"].clock.ahead if "data" in self._rests else None

    def close(self) -> None:
        for rest in self._rests.values():
            rest.close()

    def scopes(self) -> set[str]:
        """The scopes of the last grant; empty where it did not tell."""
        return set((self._world.tokens.get(SCOPE) or "").split())

    def _rest(self, name: str) -> Rest:
        if name not in self._rests:
            clock, failures = self._world.clock, self._failures if name == "data" else None
            eu = name == "collect" and self._account.settings.get("eu_collection")
            platform = Platform(
                "Google Analytics",
                EU_COLLECT if eu else HOSTS[name],
                lambda status, headers, told: classify(status, headers, told, clock, failures),
                {name: LANES[name]},
            )
            private = name not in ("token", "collect")
            self._rests[name] = Rest(platform, self._account, self._world, self._credentials if private else None)
        return self._rests[name]

    def _token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        told = self._rest("token").call("POST", "/token", form=form, lane="token", repeatable=True).told
        return _object(told, self._account)

    # the property

    def about(self) -> Mapping[str, Any]:
        """The property: displayName, timeZone, currencyCode, createTime, serviceLevel."""
        try:
            return self._admin(f"/v1beta/properties/{self.property}")
        except RecordRejected as error:
            raise Misconfigured(
                f"There is no property {self.property} ({error.code}).",
                fix="Correct settings.property: it is the number in the property's details.",
                connection=self._account.connection,
            ) from error

    def web_stream(self) -> str:
        """The resource name of the stream with our measurement id; '' where the property has none such."""
        for row in self._listed(f"/v1beta/properties/{self.property}/dataStreams", "dataStreams", 200):
            if (row.get("webStreamData") or {}).get("measurementId") == self.stream:
                return str(row["name"])
        return ""

    def secrets(self, stream: str) -> list[str]:
        """The Measurement Protocol's secrets of a stream."""
        rows = self._listed(f"/v1beta/{stream}/measurementProtocolSecrets", "measurementProtocolSecrets", 10)
        return [str(row.get("secretValue") or "") for row in rows]

    def key_events(self) -> set[str]:
        rows = self._listed(f"/v1beta/properties/{self.property}/keyEvents", "keyEvents", 200)
        return {str(row["eventName"]) for row in rows}

    def forget(self, client_id: str) -> None:
        """Google deletes what it holds of this client, in its own time. Asking twice changes nothing more, and nothing
        tells whether it was asked: a lost answer is a RetryLater."""
        path, asked = f"/v1alpha/properties/{self.property}:submitUserDeletion", {"clientId": client_id}
        try:
            self._rest("admin").call("POST", path, json=asked, lane="admin", repeatable=True, writes=True)
        except InDoubt as error:
            raise RetryLater(error.what, after=60, connection=self._account.connection) from error

    def _admin(self, path: str, query: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        return _object(self._rest("admin").get(path, query, lane="admin").told, self._account)

    def _listed(self, path: str, member: str, size: int) -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {"pageSize": size}
        while True:
            told = self._admin(path, query)
            yield from told.get(member) or ()
            if not told.get("nextPageToken"):
                return
            query["pageToken"] = told["nextPageToken"]

    # reports

    def metadata(self) -> Mapping[str, Any]:
        """The property's dimensions and metrics, its own custom ones too."""
        self._failures.guard()
        return _object(
            self._rest("data").get(f"/v1beta/properties/{self.property}/metadata", lane="data").told, self._account
        )

    def report(self, day: str, dimensions: Sequence[str], metrics: Sequence[str], offset: int, limit: int) -> Report:
        """A page of the report of one day, ordered by all dimensions: without an order pages may overlap."""
        body = _asked((day, day), dimensions, metrics, offset, limit)
        try:
            return self._run(body, dimensions, metrics, offset)
        except RecordRejected as error:
            fix = "A dimension or a metric is unknown or does not go with the others: correct the mapping of figures."
            raise self._unreportable(error, "figures", fix) from error

    def sessions(
        self, days: tuple[date, date], dimensions: Sequence[str], ids: Sequence[str], offset: int, limit: int
    ) -> Report:
        """A page of the sessions of just these clients; the first dimension is the one that holds the client id."""
        body = _asked((days[0].isoformat(), days[1].isoformat()), dimensions, ("sessions",), offset, limit)
        body["dimensionFilter"] = {"filter": {"fieldName": dimensions[0], "inListFilter": {"values": list(ids)}}}
        try:
            return self._run(body, dimensions, ("sessions",), offset)
        except RecordRejected as error:
            fix = "Register the client id as a user-scoped custom dimension, and name it in settings.client_dimension."
            raise self._unreportable(error, "lead_sessions", fix) from error

    def _run(self, body: Mapping[str, Any], dimensions: Sequence[str], metrics: Sequence[str], offset: int) -> Report:
        self._failures.guard()
        path = f"/v1beta/properties/{self.property}:runReport"
        told = self._rest("data").call("POST", path, json=body, lane="data", repeatable=True).told
        return self._read(told, dimensions, metrics, offset)

    def _unreportable(self, error: RecordRejected, object: str, fix: str) -> Misconfigured:
        return Misconfigured(
            f"Google Analytics cannot make this report ({error.code}).",
            fix=fix,
            connection=self._account.connection,
            object=object,
            field=error.field,
            code=error.code,
        )

    def _read(self, told: Any, dimensions: Sequence[str], metrics: Sequence[str], offset: int) -> Report:
        """Rows are absent from an empty report; an answer that is no report must never be taken for one."""
        if not isinstance(told, dict) or told.get("kind") != KIND:
            raise RetryLater("Google's answer is no report.", after=60, connection=self._account.connection)
        names = [
            header["name"] for header in (*(told.get("dimensionHeaders") or ()), *(told.get("metricHeaders") or ()))
        ]
        rows = [_row(names, row) for row in told.get("rows") or ()]
        total = int(told.get("rowCount") or 0)
        if (rows and names != [*dimensions, *metrics]) or (not rows and total > offset):
            raise RetryLater("Google's report is not the one asked for.", after=60, connection=self._account.connection)
        about = told.get("metadata") or {}
        quota = {name: int(row.get("remaining") or 0) for name, row in (told.get("propertyQuota") or {}).items() if row}
        return Report(
            rows,
            total,
            str(about.get("currencyCode") or ""),
            str(about.get("timeZone") or ""),
            bool(about.get("samplingMetadatas")),
            bool(about.get("subjectToThresholding")),
            bool(about.get("dataLossFromOtherRow")),
            quota,
        )

    def spare(self, quota: Mapping[str, int], most: Mapping[str, int]) -> None:
        """Raises QuotaExhausted when a tenth is left of a bucket. Google tells what remains and not of how much, so
        `most` has what remained at most."""
        for name, window in BUCKETS.items():
            if name in quota and quota[name] <= SPARED * most.get(name, 0):
                raise spent(window, self._world.clock)
        for name, least in OTHERS.items():
            if name in quota and quota[name] <= least:
                raise spent("hour", self._world.clock)

    # events

    def collect(self, body: bytes) -> None:
        """Hand a body to the Measurement Protocol, which takes anything without a word. A lost call is InDoubt."""
        query = {"measurement_id": self.stream, "api_secret": secret(self._account, "api_secret")}
        self._rest("collect").call(
            "POST",
            "/mp/collect",
            query=query,
            content=body,
            headers=_JSON,
            lane="collect",
            credentials=False,
            parse=False,
        )

    def validate(self, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What the debug server says against a body: fieldPath, validationCode, description. It stores nothing, and
        looks neither at the secret nor at the stream."""
        query = {"measurement_id": self.stream, "api_secret": secret(self._account, "api_secret")}
        asked = {**body, "validation_behavior": "ENFORCE_RECOMMENDATIONS"}
        answer = self._rest("collect").call(
            "POST", "/debug/mp/collect", query=query, json=asked, lane="collect", credentials=False, repeatable=True
        )
        return list(_object(answer.told, self._account).get("validationMessages") or ())

    def ingest(self, body: Mapping[str, Any]) -> str:
        """The id of an ingestion. Events are known by their transaction id, so that a lost call is sent again."""
        rest = self._rest("datamanager")
        told = rest.call("POST", "/v1/events:ingest", json=body, lane="datamanager", repeatable=True, writes=True).told
        if not isinstance(told, dict) or not told.get("requestId"):
            raise InDoubt("Google's answer to an ingestion has an unknown shape.", connection=self._account.connection)
        return str(told["requestId"])

    def ingested(self, request: str) -> Mapping[str, Any]:
        """What became of an ingestion at our one destination: requestStatus, errorInfo."""
        told = (
            self._rest("datamanager").get("/v1/requestStatus:retrieve", {"requestId": request}, lane="datamanager").told
        )
        rows = _object(told, self._account).get("requestStatusPerDestination") or [{}]
        return _object(rows[0], self._account)


_JSON = {"content-type": "application/json"}


def _asked(
    days: tuple[str, str], dimensions: Sequence[str], metrics: Sequence[str], offset: int, limit: int
) -> dict[str, Any]:
    """A report's request. 64-bit numbers are strings."""
    return {
        "dateRanges": [{"startDate": days[0], "endDate": days[1]}],
        "dimensions": [{"name": name} for name in dimensions],
        "metrics": [{"name": name} for name in metrics],
        "orderBys": [{"dimension": {"dimensionName": name}} for name in dimensions],
        "offset": str(offset),
        "limit": str(limit),
        "returnPropertyQuota": True,
    }


def _object(told: Any, account: Account) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise RetryLater("Google's answer has an unknown shape.", after=60, connection=account.connection)
    return told


def _row(names: Sequence[str], row: Mapping[str, Any]) -> dict[str, str]:
    values = [cell.get("value", "") for cell in (*(row.get("dimensionValues") or ()), *(row.get("metricValues") or ()))]
    return dict(zip(names, map(str, values), strict=True))


def _without_secret(record: logging.LogRecord) -> bool:
    """httpx logs addresses, and the Measurement Protocol wants its secret in one."""
    return "api_secret" not in record.getMessage()
