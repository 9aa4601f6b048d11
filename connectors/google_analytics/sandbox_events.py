"""The sandbox's intake of events: the Measurement Protocol, which drops in silence, its debug server, which tells but
stores nothing, and the Data Manager API, which refuses by field, and knows a repeat by its transaction id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import unstamp
from connectors.google_analytics.events import (
    CLIENT_ID,
    LONGEST_NAME,
    LONGEST_VALUE,
    MOST_PARAMS,
    OLDEST,
    RESERVED_PREFIXES,
)

Row = dict[str, Any]

BODY, LARGEST = 25, 130_000
RESERVED_EVENTS = re.compile(
    r"ad_\w+|adunit_exposure|app_\w+|click|error|file_download|first_open|first_visit|form_start|form_submit|firebase_\w+"
    r"|in_app_purchase|scroll|session_start|user_engagement|video_\w+|view_search_results|os_update|notification_\w+"
)
SEEMS_PERSONAL = re.compile(r"[^\s@]+@[^\s@]+\.\w+|(?<![\w.])\+?\d[\d\s().\-/]{8,}\d(?!\w)")


def messages(body: Any, now: datetime) -> list[Row]:
    """What the debug server says. It checks neither the secret nor the stream."""
    if not isinstance(body, dict):
        return [_message("", "VALUE_INVALID", "The body is no JSON object.")]
    found = (
        [] if body.get("client_id") else [_message("client_id", "VALUE_REQUIRED", "Measurement requires a client_id.")]
    )
    events = body.get("events") or []
    if not events:
        found.append(_message("events", "VALUE_REQUIRED", "Measurement requires events."))
    if len(events) > BODY:
        found.append(_message("events", "EXCEEDED_MAX_ENTITIES", f"More than {BODY} events."))
    if _age(body, now) > OLDEST:
        found.append(_message("timestamp_micros", "VALUE_OUT_OF_BOUNDS", "timestamp_micros is too far in the past."))
    for number, event in enumerate(events):
        found += _of_event(f"events[{number}]", event)
    return found


def _of_event(place: str, event: Row) -> list[Row]:
    name, params = str(event.get("name") or ""), event.get("params") or {}
    found = []
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or len(name) > LONGEST_NAME:
        found.append(_message(f"{place}.name", "NAME_INVALID", f"Event name [{name}] is invalid."))
    elif RESERVED_EVENTS.fullmatch(name):
        found.append(_message(f"{place}.name", "NAME_RESERVED", f"Event name [{name}] is reserved."))
    if len(params) > MOST_PARAMS:
        found.append(_message(f"{place}.params", "EXCEEDED_MAX_ENTITIES", f"More than {MOST_PARAMS} parameters."))
    if "value" in params and not params.get("currency"):
        found.append(_message(f"{place}.params.currency", "VALUE_REQUIRED", "A currency is required with a value."))
    for key, value in params.items():
        if key.startswith(RESERVED_PREFIXES):
            found.append(_message(f"{place}.params.{key}", "NAME_RESERVED", f"Parameter name [{key}] is reserved."))
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            found.append(_message(f"{place}.params.{key}", "VALUE_INVALID", f"The value [{value}] is too long."))
    return found


def _message(place: str, code: str, description: str) -> Row:
    return {"fieldPath": place, "description": description, "validationCode": code}


def _age(body: Row, now: datetime) -> timedelta:
    micros = body.get("timestamp_micros")
    return now - datetime.fromtimestamp(int(micros) / 1_000_000, now.tzinfo) if micros else timedelta(0)


def collected(raw: bytes, known: bool, now: datetime) -> tuple[list[Row], list[str]]:
    """The events of a body that are kept, and why others are dropped. `known`: stream and secret belong together."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return [], ["no JSON"]
    if not known:
        return [], ["unknown stream or secret"]
    if len(raw) >= LARGEST:
        return [], ["body too large"]
    said = messages(body, now)
    whole = [row["validationCode"] for row in said if not row["fieldPath"].startswith("events[")]
    if whole:
        return [], whole
    bad = {int(row["fieldPath"][7:].partition("]")[0]): row["validationCode"] for row in said}
    kept = [
        {
            "name": event["name"],
            "client_id": body["client_id"],
            "user_id": body.get("user_id", ""),
            "at": body.get("timestamp_micros"),
            "params": event.get("params") or {},
            "consent": body.get("consent") or {},
        }
        for number, event in enumerate(body["events"])
        if number not in bad
    ]
    return kept, list(bad.values())


def leaks(event: Row) -> list[str]:
    """The members of an event that look like personal data."""
    texts = {"user_id": event.get("user_id", ""), **event["params"], "session_id": ""}
    found = [name for name, value in texts.items() if isinstance(value, str) and SEEMS_PERSONAL.search(value)]
    return found if re.fullmatch(CLIENT_ID, event["client_id"]) else [*found, "client_id"]


def leaks_of_filter(told: Any) -> list[str]:
    """The field of a report's filter whose values are no client ids: they must never have come."""
    if not isinstance(told, dict):
        return []
    values = told["filter"]["inListFilter"]["values"]
    good = all(re.fullmatch(CLIENT_ID, str(value)) for value in values)
    return [] if good else [str(told["filter"]["fieldName"])]


# Data Manager


def violations(body: Row, property: str, streams: Mapping[str, Any], now: datetime) -> list[Row]:
    """What a request to ingest is refused for, as google.rpc field violations."""
    found = []
    for number, place in enumerate(body.get("destinations") or [{}]):
        account = place.get("operatingAccount") or {}
        if account.get("accountType") != "GOOGLE_ANALYTICS_PROPERTY" or account.get("accountId") != property:
            found.append(_violation(f"destinations[{number}].operating_account", "INVALID_DESTINATION"))
        if place.get("productDestinationId") not in streams:
            found.append(_violation(f"destinations[{number}].product_destination_id", "INVALID_DESTINATION"))
    for number, event in enumerate(body.get("events") or ()):
        found += [_violation(f"events[{number}].{name}", reason) for name, reason in _wrong(event, now)]
    return found


def _wrong(event: Row, now: datetime) -> list[tuple[str, str]]:
    found = [(name, "REQUIRED_FIELD_MISSING") for name in ("event_name", "client_id") if not event.get(_camel(name))]
    if RESERVED_EVENTS.fullmatch(str(event.get("eventName"))):
        found.append(("event_name", "INVALID_EVENT_NAME"))
    if "conversionValue" in event and not event.get("currency"):
        found.append(("currency", "REQUIRED_FIELD_MISSING"))
    if now - unstamp(event.get("eventTimestamp") or "1970-01-01T00:00:00Z") > OLDEST:
        found.append(("event_timestamp", "EVENT_TIME_INVALID"))
    return found


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def _violation(place: str, reason: str) -> Row:
    return {"field": place, "description": f"{place}: {reason}", "reason": reason}


def ingested(event: Row) -> Row:
    """An event in the form in which the sandbox keeps those of the Measurement Protocol."""
    params = {row["parameterName"]: row["value"] for row in event.get("additionalEventParameters") or ()}
    worth = {"value": event["conversionValue"], "currency": event["currency"]} if "conversionValue" in event else {}
    return {
        "name": event["eventName"],
        "client_id": event["clientId"],
        "user_id": event.get("userId", ""),
        "at": int(unstamp(event["eventTimestamp"]).timestamp() * 1_000_000),
        "params": {**params, **worth, "event_id": event["transactionId"]},
        "consent": event.get("consent") or {},
    }
