"""The port, in terms of Google's client."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

import orjson

from config.clock import unstamp
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, RecordRejected
from connectors import manifest
from connectors.api import (
    Account,
    Connector,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Quota,
    Record,
    Request,
    Result,
    Surroundings,
    Verb,
)
from connectors.google_analytics import platform, sessions
from connectors.google_analytics.client import BUCKETS, Client
from connectors.google_analytics.events import FIELDS, PARAMS
from connectors.google_analytics.figures import DAY, day_of, described, queries
from connectors.google_analytics.login import needed_scopes, secret
from connectors.google_analytics.pull import FIRST, Source, local_day, pages, whole_day
from connectors.google_analytics.push import push_erasures, push_events
from connectors.google_analytics.senders import Sender, sender
from connectors.scopes import beyond

KEY_EVENTS = ("qualify_lead", "close_convert_lead")
TOKENS = {"tokensPerDay": 200_000, "tokensPerHour": 40_000, "tokensPerProjectPerHour": 14_000}
"""What a standard property has, by the Data API's description; one of Analytics 360 has ten times as many. No answer
tells it: only for what a person is shown."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    if not str(account.settings.get("property") or "").removeprefix("properties/").isdigit():
        raise Misconfigured(
            "settings.property must be the number of a property.",
            fix="It stands in the property's details; G-... is the measurement id.",
            connection=account.connection,
        )
    if account.settings.get("send_by", "measurement_protocol") not in ("measurement_protocol", "data_manager"):
        fix = "Write measurement_protocol or data_manager."
        raise Misconfigured("settings.send_by is none that there is.", fix=fix, connection=account.connection)
    return GoogleAnalyticsConnector(account, surroundings)


class GoogleAnalyticsConnector:
    """One property of Google Analytics 4."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._client = Client(account, surroundings)
        self._metadata: Mapping[str, Any] | None = None

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    # what is there

    def check(self) -> Health:
        about = self._client.about()
        today = local_day(self._world.clock.now(), str(about.get("timeZone"))).isoformat()
        quota = self._client.report(today, (DAY,), ("sessions",), 0, 1).quota
        larger = 10 if about.get("serviceLevel") == "GOOGLE_ANALYTICS_360" else 1
        shown = tuple(_quota(name, quota[name], larger * TOKENS[name]) for name in BUCKETS if name in quota)
        granted = self._client.scopes()
        missing = tuple(scope for scope in needed_scopes(self._account) if granted and scope not in granted)
        return Health(
            self._client.property,
            str(about.get("displayName") or ""),
            missing,
            shown,
            (*self._notes(), *self._notes_of_sessions()),
            beyond(manifest.load(platform.folder), granted),
            self._client.ahead,
        )

    def _notes(self) -> tuple[str, ...]:
        """What sending outcomes would fail for without a word."""
        if not self._client.stream:
            return ("no measurement_id: outcomes are not sent",)
        stream = self._client.web_stream()
        if not stream:
            return (f"the property has no web stream {self._client.stream}: events sent there are lost",)
        marked = self._client.key_events()
        absent = [name for name in KEY_EVENTS if name not in marked]
        notes = (
            [f"{', '.join(absent)}: no key events of the property, so they count as no conversions"] if absent else []
        )
        return (*notes, *self._notes_of_sending(stream))

    def _notes_of_sending(self, stream: str) -> tuple[str, ...]:
        if self._account.settings.get("send_by") == "data_manager":
            return self._sender().notes()
        ours = secret(self._account, "api_secret")
        if not ours:
            return ("no api_secret: outcomes are not sent",)
        try:
            there = self._client.secrets(stream)
        except PermissionMissing:
            return ("whether the api_secret is right cannot be seen with this log-in",)
        if any(hmac.compare_digest(ours.encode(), one.encode()) for one in there):
            return ()
        return ("the api_secret is none of the stream's: events sent with it are lost",)

    def _notes_of_sessions(self) -> tuple[str, ...]:
        """Why leads do not get the sources of their sessions."""
        if not self._dimension:
            return ("no client_dimension: leads do not get the sources of their sessions (see the README)",)
        there = {row.get("apiName") for row in self._client.metadata().get("dimensions") or ()}
        if self._dimension in there:
            return ()
        return (
            f"the property has no dimension {self._dimension}: register it (Admin, Custom definitions) and have the "
            "site's tag set it, or leads do not get the sources of their sessions",
        )

    def describe(self, object: str) -> ObjectSchema:
        if self._known(object) == "lead_events":
            return ObjectSchema(object, FIELDS, (PARAMS,))
        if object == "lead_sessions":
            return ObjectSchema(object, sessions.FIELDS)
        self._metadata = self._client.metadata()
        return ObjectSchema(object, described(self._metadata))

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        if self._known(object) == "lead_events":
            raise Misconfigured("Events that were sent cannot be pulled.", connection=self._account.connection)
        if object == "lead_sessions":
            return self._sessions(cursor)
        return pages(self._source(fields, since), orjson.loads(cursor) if cursor else {})

    def _source(self, fields: Sequence[str], since: str = "") -> Source:
        now, (zone, first) = self._world.clock.now(), self._days_told()
        if self._metadata is None:
            self._metadata = self._client.metadata()
        days = {name: _days(self._account, name) for name in ("trailing_days", "nightly_days", "refresh_every")}
        if since:
            first = max(local_day(unstamp(since), zone), FIRST)
        return Source(
            self._client,
            queries(self._metadata, fields),
            now,
            local_day(now, zone),
            first,
            days["trailing_days"],
            days["nightly_days"],
            days["refresh_every"],
        )

    def _days_told(self) -> tuple[str, date]:
        """The property's time zone, and the first day there is to read."""
        about = self._client.about()
        zone = str(about.get("timeZone") or "UTC")
        first = local_day(unstamp(str(about["createTime"])), zone) if about.get("createTime") else FIRST
        if self._account.settings.get("start"):
            first = _start(self._account)
        return zone, max(first, FIRST)

    @property
    def _dimension(self) -> str:
        """The custom dimension that holds the client id."""
        return str(self._account.settings.get("client_dimension") or "")

    def _sessions(self, cursor: str | None) -> Iterator[Page]:
        """Of whom the project knows. Nothing, and no call, where no dimension tells the client or nobody is known."""
        ids = sessions.known_ids(self._world.known("google_client_id")) if self._dimension else []
        if not ids:
            return iter([Page([], cursor or "{}", False)])
        return sessions.pages(self._visits(ids), orjson.loads(cursor) if cursor else {})

    def _visits(self, ids: Sequence[str]) -> sessions.Visits:
        now, (zone, first) = self._world.clock.now(), self._days_told()
        nightly, every = _days(self._account, "nightly_days"), _days(self._account, "refresh_every")
        return sessions.Visits(self._client, self._dimension, ids, now, local_day(now, zone), first, nightly, every)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """Figures by id; events by their own id, where the way they are sent can tell."""
        known = self._known(object)
        if known == "lead_events" and key in ("id", "event_id"):
            by_event = {value.rpartition("/")[2]: value for value in values}
            return {by_event[id]: record for id, record in self._sender().find(list(by_event)).items()}
        if known == "lead_sessions" and key in ("id", "client_id"):
            ids = sessions.known_ids(list(values)) if self._dimension else []
            return {record.id: record for record in sessions.whole(self._visits(ids))} if ids else {}
        if key != "id":
            raise Misconfigured(f"Google Analytics cannot find {object} by {key}.", connection=self._account.connection)
        days = sorted({day_of(value) for value in values} - {""})
        if not days:
            return {}
        source, asked = self._source(fields), set(values)
        return {record.id: record for day in days for record in whole_day(source, day) if record.id in asked}

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        able = {name: facts.push for name, facts in manifest.load(platform.folder).objects.items()}
        refused = [op for op in operations if op.verb.value not in able.get(op.object, ())]
        kept = [op for op in operations if op.verb.value in able.get(op.object, ())]
        erased = [op for op in kept if op.verb is Verb.ERASE]
        sent = [op for op in kept if op.verb is not Verb.ERASE]
        return chain(
            (Result(op.key, error=_unwritable(op)) for op in refused),
            push_erasures(self._client, erased),
            push_events(self._sender, sent, self._world.clock.now()),
        )

    def _sender(self) -> Sender:
        return sender(self._client, self._account, self._world.tokens, self._world.clock.now())

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        raise AuthorizationLost("Google Analytics sends no webhooks.", connection=self._account.connection)

    def _known(self, object: str) -> str:
        facts = manifest.load(platform.folder).objects
        if object not in facts:
            raise Misconfigured(
                f"Google Analytics has no object {object!r} here.",
                fix=f"It has: {', '.join(facts)}.",
                connection=self._account.connection,
            )
        return object


def _quota(bucket: str, remains: int, documented: int) -> Quota:
    limit = max(documented, remains)
    window = {"tokensPerDay": "tokens a day", "tokensPerHour": "tokens an hour"}.get(
        bucket, "tokens of this project an hour"
    )
    return Quota(window, limit - remains, limit)


def _days(account: Account, name: str) -> int:
    """A setting that counts, never negative."""
    facts = manifest.load(platform.folder).settings[name]
    told = account.settings.get(name, facts.default)
    try:
        return max(0, int(str(told)))
    except ValueError:
        raise Misconfigured(f"settings.{name} must be a whole number.", connection=account.connection) from None


def _start(account: Account) -> date:
    try:
        return date.fromisoformat(str(account.settings["start"]))
    except ValueError:
        raise Misconfigured(
            "settings.start must be a day.", fix="Like 2025-01-01.", connection=account.connection
        ) from None


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )
