"""The two ways in which events are sent, behind one small protocol.

The Measurement Protocol takes anything and tells nothing: what was sent is believed, what got no answer is in doubt for
good. The Data Manager API refuses by field, tells a repeat by its transaction id, and says later what became of a
request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import orjson

from config.clock import stamp
from config.errors import AuthorizationLost, ClosedloopError, RecordRejected, RetryLater
from config.log import Log
from connectors.api import Account, Record, Result, Tokens
from connectors.google_analytics.client import Client
from connectors.google_analytics.events import Event
from connectors.google_analytics.login import secret

log = Log(__name__)

BODY = 25
"""Events in a body of the Measurement Protocol. At the lengths that `events` allows they stay below its 130 kB."""
REQUEST = 500
"""Events in a request to the Data Manager API, which takes 2,000."""
KEPT = "requests"
"""The name under which the latest ingestions are kept: id, time, and what their events are known by."""
REMEMBERED = 40


class Sender(Protocol):
    """A way to send events."""

    def portions(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        """The events in lists, each of which goes in one call."""

    def send(self, portion: Sequence[Event]) -> Iterator[Result]:
        """One result for each event of a portion. What is raised holds for those that have none yet."""

    def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """What is known to have come in, by event id."""

    def notes(self) -> tuple[str, ...]:
        """What a person should know of what was sent lately."""


def sender(client: Client, account: Account, tokens: Tokens, now: datetime) -> Sender:
    """The way that `settings.send_by` names. Raises AuthorizationLost when what it needs is missing."""
    if not client.stream:
        raise _lacking("settings.measurement_id", "It stands in the web stream's details.", account)
    if account.settings.get("send_by") == "data_manager":
        return DataManager(client, tokens, now)
    if not secret(account, "api_secret"):
        raise _lacking("auth.api_secret", "Make one in the web stream's details.", account)
    return MeasurementProtocol(client, bool(account.settings.get("validate", True)))


def _lacking(what: str, where: str, account: Account) -> AuthorizationLost:
    return AuthorizationLost(f"Sending outcomes needs {what}.", fix=where, connection=account.connection)


# Measurement Protocol


class MeasurementProtocol:
    """Bodies of one client and one instant, each first shown to the debug server."""

    def __init__(self, client: Client, validate: bool) -> None:
        self._client, self._validate = client, validate

    def portions(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        return bodies(events)

    def send(self, portion: Sequence[Event]) -> Iterator[Result]:
        good, refused = self._judged(portion) if self._validate else (portion, [])
        yield from refused
        if good:
            self._client.collect(orjson.dumps(body_of(good)))
        yield from (Result(event.key, event.id, True) for event in good)

    def _judged(self, events: Sequence[Event]) -> tuple[Sequence[Event], list[Result]]:
        """The events that the debug server has nothing against, and the results of the others."""
        bad: dict[int, RecordRejected] = {}
        for told in self._client.validate(body_of(events)):
            path = str(told.get("fieldPath") or "")
            error = RecordRejected(
                "Google's debug server refuses this event.",
                fix="Correct the mapping; closedloop quarantine replays it.",
                field=re.sub(r"[^\w.\[\]]", "", path)[:80],
                code=str(told.get("validationCode") or "invalid"),
            )
            for number in indexes(path, len(events)):
                bad.setdefault(number, error)
        refused = [Result(events[number].key, error=error) for number, error in sorted(bad.items())]
        return [event for number, event in enumerate(events) if number not in bad], refused

    def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """Nothing can be looked up."""
        return {}

    def notes(self) -> tuple[str, ...]:
        return ()


def bodies(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events in lists that fit a body: one person, one instant, one consent, at most 25."""
    groups: dict[Any, list[Event]] = {}
    for event in events:
        groups.setdefault((event.client_id, event.user_id, event.at, event.denied), []).append(event)
    for group in groups.values():
        for start in range(0, len(group), BODY):
            yield group[start : start + BODY]


def body_of(events: Sequence[Event]) -> dict[str, Any]:
    """The body of these events, all of one person and one instant."""
    first = events[0]
    body: dict[str, Any] = {"client_id": first.client_id, "timestamp_micros": int(first.at.timestamp() * 1_000_000)}
    if first.user_id:
        body["user_id"] = first.user_id
    if first.denied:
        body["consent"] = dict.fromkeys(first.denied, "DENIED")
    body["events"] = [{"name": event.name, "params": _params(event)} for event in events]
    return body


def _params(event: Event) -> dict[str, Any]:
    worth = {} if event.value is None else {"currency": event.currency, "value": _number(event.value)}
    return {**{name: _number(v) for name, v in event.params}, **worth, "event_id": event.event_id}


def _number(value: str | float) -> str | float:
    """A whole number without its point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def indexes(place: str, number: int) -> list[int]:
    """The events that a place of a body speaks of; all of them where it names none."""
    named = [int(found) for found in re.findall(r"events\[(\d{1,4})\]", place)]
    return [one for one in named if one < number] or list(range(number))


# Data Manager


class DataManager:
    """Requests of many events. A request is refused as a whole: what it was refused for is taken out, the rest sent."""

    def __init__(self, client: Client, tokens: Tokens, now: datetime) -> None:
        self._client, self._tokens, self._now = client, tokens, now

    def portions(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        return (list(events[start : start + REQUEST]) for start in range(0, len(events), REQUEST))

    def send(self, portion: Sequence[Event]) -> Iterator[Result]:
        waiting = list(portion)
        while waiting:
            try:
                request = self._client.ingest(self._request(waiting))
            except RecordRejected as error:
                bad = indexes(error.field, len(waiting))
                yield from (Result(waiting[number].key, error=_of_event(error)) for number in sorted(set(bad)))
                waiting = [event for number, event in enumerate(waiting) if number not in bad]
                continue
            try:
                self._remember(request, waiting)
            except RetryLater as error:  # they are taken all the same, and nobody has to look for them
                log.warning("ingestion.not_kept", events=len(waiting), error=type(error).__name__)
            yield from (Result(event.key, event.id, True) for event in waiting)
            return

    def _request(self, events: Sequence[Event]) -> dict[str, Any]:
        account = {"accountType": "GOOGLE_ANALYTICS_PROPERTY", "accountId": self._client.property}
        destination = {"operatingAccount": account, "productDestinationId": self._client.stream}
        return {"destinations": [destination], "events": [ingested(event) for event in events]}

    def _remember(self, request: str, events: Sequence[Event]) -> None:
        """Keep what a later look-up needs. Another process may do so at the same time, so nobody else is let in."""
        with self._tokens.alone(KEPT):
            kept = [*self._kept(), [request, stamp(self._now), [event.id for event in events]]]
            self._tokens.put(KEPT, orjson.dumps(kept[-REMEMBERED:]).decode())

    def _kept(self) -> list[list[Any]]:
        told: list[list[Any]] = orjson.loads(self._tokens.get(KEPT) or "[]")
        return told

    def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """Events of remembered requests that were taken, or still are being taken in."""
        asked, found = set(ids), {}
        for request, at, events in self._kept():
            here = {id.rpartition("/")[2]: id for id in events if id.rpartition("/")[2] in asked}
            if here and self._client.ingested(request).get("requestStatus") != "FAILED":
                found.update({short: _record(short, id, at) for short, id in here.items()})
        return found

    def notes(self) -> tuple[str, ...]:
        """What the latest requests came to, where that was not all good. A repeat is no fault."""
        told = []
        for request, at, events in self._kept()[-5:]:
            status = self._client.ingested(request)
            reasons = _reasons(status)
            if status.get("requestStatus") in ("FAILED", "PARTIAL_SUCCESS") and reasons:
                told.append(f"of {len(events)} events sent at {at} some were refused: {', '.join(reasons)}")
        return tuple(told)


def _record(event_id: str, id: str, at: str) -> Record:
    return Record(id, orjson.dumps({"event_id": event_id}), at)


def _reasons(status: Mapping[str, Any]) -> list[str]:
    rows = (status.get("errorInfo") or {}).get("errorCounts") or ()
    found = {str(row.get("reason") or "").removeprefix("PROCESSING_ERROR_REASON_") for row in rows}
    return sorted(found - {"DUPLICATE_TRANSACTION_ID", ""})


def _of_event(error: RecordRejected) -> ClosedloopError:
    """The refusal as one event's own: its number in the request says nothing later."""
    field = re.sub(r"events\[\d+\]\.?", "", error.field)
    return RecordRejected(error.what, fix=error.fix, field=field, code=error.code)


def ingested(event: Event) -> dict[str, Any]:
    """An event as the Data Manager API takes it; its values are texts."""
    told: dict[str, Any] = {
        "eventName": event.name,
        "clientId": event.client_id,
        "eventTimestamp": stamp(event.at),
        "transactionId": event.event_id,
        "eventSource": "OTHER",
    }
    if event.user_id:
        told["userId"] = event.user_id
    if event.value is not None:
        told |= {"currency": event.currency, "conversionValue": event.value}
    if event.denied:
        names = {"ad_user_data": "adUserData", "ad_personalization": "adPersonalization"}
        told["consent"] = {names[name]: "CONSENT_DENIED" for name in event.denied}
    params = {name: str(_number(value)) for name, value in event.params}
    if params:
        told["additionalEventParameters"] = [{"parameterName": n, "value": v} for n, v in params.items()]
    return told
