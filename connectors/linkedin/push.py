"""Telling LinkedIn what became of people: conversion events, in batches of 5,000 for one rule each.

A batch is taken or refused as a whole. The elements that a refusal names are dropped and the rest is sent again; where
it names none, or where an answer tells of some success and some failure, the batch is halved until every element has an
answer that is its own. Sending again is safe: LinkedIn knows an event by its id. It never tells whether a person was
recognised, and there is nothing to read back.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from config.clock import unstamp
from config.errors import ClosedloopError, InDoubt, PermissionMissing, RecordRejected
from connectors.api import Operation, Result
from connectors.linkedin.client import EVENTS, Client, Row
from connectors.linkedin.errors import BatchRejected
from connectors.linkedin.restli import urn
from connectors.retry import half_done

MAX_AGE = timedelta(days=90)
AHEAD = timedelta(days=1)
"""A day that has begun somewhere may lie ahead of UTC: such an instant is sent as now."""
OPTED_OUT = frozenset({"unsubscribed", "complained", "erased"})
"""Values of `email_consent` with which nothing of a person is sent."""

_Sent = tuple[Operation, Row]


def rules_of(setting: Any) -> dict[str, str]:
    """Outcome -> URN of its conversion rule, from a setting like `qualified=123, won=456`."""
    found: dict[str, str] = {}
    for word in str(setting or "").split(","):
        name, _, rule = (part.strip() for part in word.partition("="))
        if name and rule:
            found[name] = rule if rule.startswith("urn:") else f"urn:lla:llaPartnerConversion:{rule}"
    return found


def push_conversions(
    client: Client, operations: Sequence[Operation], fields: Sequence[str], rules: Mapping[str, str]
) -> Iterator[Result]:
    """One result per operation. A missing permission stops the batch of its rule; any other error that would meet the
    next batch as well is carried by all the rest."""
    now = client.api.clock.now()  # as LinkedIn has it: it refuses what is ahead of that for good
    batches: dict[str, list[_Sent]] = defaultdict(list)
    for operation in operations:
        try:
            event = _event(operation, fields, rules, now)
            batches[str(event["conversion"])].append((operation, event))
        except RecordRejected as error:
            error.object = operation.object
            yield Result(operation.key, error=error)
    stop: ClosedloopError | None = None
    for sent in (some[n : n + EVENTS] for some in batches.values() for n in range(0, len(some), EVENTS)):
        for result in _told(client, sent) if stop is None else _carrying([sent], stop):
            if not isinstance(result.error, RecordRejected | InDoubt | PermissionMissing | None):
                stop = result.error
            yield result


def _told(client: Client, sent: Sequence[_Sent]) -> Iterator[Result]:
    """The results of one batch, in as many calls as it takes. What was part of an answer of some success is in doubt
    where it cannot be sent again."""
    waiting: list[tuple[Sequence[_Sent], bool]] = [(sent, False)]
    while waiting:
        some, taken = waiting.pop(0)
        try:
            results, again, mixed = _attempt(client, some)
        except ClosedloopError as error:
            for part, told in [(some, taken), *waiting]:
                yield from _carrying([part], half_done(error) if told else error)
            return
        yield from results
        waiting = [*((part, taken or mixed) for part in again if part), *waiting]


def _attempt(client: Client, some: Sequence[_Sent]) -> tuple[list[Result], list[Sequence[_Sent]], bool]:
    """What is known after one call: results, what is to be sent again, and whether some of that may have been taken.
    Raises what concerns the whole batch."""
    try:
        statuses = client.tell([event for _, event in some])
    except RecordRejected as error:
        return *_dropped(some, error), False
    if len(statuses) == len(some) and all(200 <= status < 300 for status in statuses):
        return [Result(operation.key, str(event["eventId"]), True) for operation, event in some], [], False
    if len(some) > 1:
        return [], _halves(some), True
    return [_single(some[0][0], statuses)], [], False


def _dropped(some: Sequence[_Sent], error: RecordRejected) -> tuple[list[Result], list[Sequence[_Sent]]]:
    """The elements that a refusal names, and the rest; halves where it names none of these."""
    told = error.refused if isinstance(error, BatchRejected) else {}
    named = {number: why for number, why in told.items() if number < len(some)}
    if named:
        results = [_refused(some[number][0], why) for number, why in named.items()]
        return results, [[one for number, one in enumerate(some) if number not in named]]
    if len(some) == 1:
        return [_refused(some[0][0], error)], []
    return [], _halves(some)


def _carrying(parts: Sequence[Sequence[_Sent]], error: ClosedloopError) -> Iterator[Result]:
    return (Result(operation.key, error=error) for part in parts for operation, _ in part)


def _halves(some: Sequence[_Sent]) -> list[Sequence[_Sent]]:
    middle = len(some) // 2
    return [some[:middle], some[middle:]]


def _single(operation: Operation, statuses: Sequence[int]) -> Result:
    """One event that was not taken: refused, or with an answer that says nothing of it."""
    if len(statuses) == 1 and 400 <= statuses[0] < 500:
        refused = RecordRejected(f"LinkedIn refuses this conversion ({statuses[0]}).", code=str(statuses[0]))
        return _refused(operation, refused)
    return Result(operation.key, error=InDoubt("LinkedIn's answer leaves the conversion out.", object=operation.object))


def _refused(operation: Operation, error: RecordRejected) -> Result:
    error.object = operation.object
    return Result(operation.key, error=error)


# one event


def _event(operation: Operation, fields: Sequence[str], rules: Mapping[str, str], now: datetime) -> Row:
    """The event as LinkedIn takes it. RecordRejected for what it would refuse, and for whom nothing may be sent."""
    values = operation.values
    _consenting(values, fields)
    name, id = str(values.get("event") or ""), str(values.get("event_id") or operation.match.get("event_id") or "")
    if name not in rules:
        raise RecordRejected(
            "No conversion rule is named for this outcome.",
            fix="Add it to settings.conversion_rules, or leave it out of the mapping's create_when.",
            field="event",
            code="no_rule",
        )
    if not id:
        raise RecordRejected("A conversion needs its event id.", fix="Map event_id.", field="event_id", code="required")
    event: dict[str, Any] = {
        "conversion": rules[name],
        "conversionHappenedAt": _happened(values.get("at"), now),
        "eventId": id,
        "user": _user(values),
    }
    money = _money(values)
    return {**event, "conversionValue": money} if money else event


def _consenting(values: Mapping[str, Any], fields: Sequence[str]) -> None:
    """RecordRejected for whoever opted out, and where the mapping does not say who did."""
    if "consent" not in values and "consent" not in fields:
        raise RecordRejected(
            "The mapping does not say who opted out.",
            fix="Map email_consent to consent (direction: push).",
            field="consent",
            code="consent",
        )
    if values.get("consent") in OPTED_OUT:
        raise RecordRejected("The person opted out.", fix="Nothing is sent of them.", field="consent", code="consent")


def _happened(told: Any, now: datetime) -> int:
    """Milliseconds; LinkedIn takes ninety days back and nothing ahead."""
    try:
        at = unstamp(str(told))
    except ValueError as error:
        raise RecordRejected(
            "A conversion needs the instant it happened.", fix="Map event_at to at.", field="at", code="required"
        ) from error
    if now - at > MAX_AGE:
        raise RecordRejected("LinkedIn takes no outcome older than 90 days.", field="at", code="too_old")
    if at - now > AHEAD:
        raise RecordRejected("The outcome lies in the future.", fix="Correct its date.", field="at", code="future")
    return round(min(at, now).timestamp() * 1000)


def _money(values: Mapping[str, Any]) -> dict[str, str] | None:
    """Amount and currency, the amount as text: LinkedIn refuses a number."""
    if values.get("amount") in (None, ""):
        return None
    currency = str(values.get("currency") or "").strip().upper()
    try:
        amount = Decimal(str(values["amount"]))
    except InvalidOperation as error:
        raise RecordRejected("The amount is no number.", field="amount", code="invalid") from error
    if not amount.is_finite() or amount < 0 or not re.fullmatch(r"[A-Z]{3}", currency):
        raise RecordRejected(
            "A value needs an amount of at least 0 and a currency.",
            fix="Map event_value with money: {currency_field: currency}.",
            field="amount",
            code="invalid",
        )
    return {"currencyCode": currency, "amount": format(amount, "f")}


def _user(values: Mapping[str, Any]) -> dict[str, Any]:
    """By what LinkedIn may know the person. `userIds` is demanded even when there are none."""
    ids = []
    if email := str(values.get("email") or "").strip().lower():
        ids.append({"idType": "SHA256_EMAIL", "idValue": hashlib.sha256(email.encode()).hexdigest()})
    if cookie := str(values.get("li_fat_id") or "").strip():
        ids.append({"idType": "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "idValue": cookie})
    user: dict[str, Any] = {"userIds": ids}
    if info := _info(values):
        user["userInfo"] = info
    if lead := str(values.get("lead") or "").strip():
        user["lead"] = lead if lead.startswith("urn:") else urn("leadGenFormResponse", lead)
    if external := str(values.get("external_id") or "").strip():
        user["externalIds"] = [external]
    if not ids and len(user) == 1:
        raise RecordRejected(
            "Nothing is known by which LinkedIn could recognise the person.",
            fix="An e-mail address, both names, a click id or the lead-form response is needed.",
            code="nobody",
        )
    return user


def _info(values: Mapping[str, Any]) -> dict[str, str]:
    """Names and firm; without both names LinkedIn refuses them all."""
    names = {"firstName": "first_name", "lastName": "last_name"}
    more = {"title": "title", "companyName": "company", "countryCode": "country"}
    told = {name: str(values.get(source) or "").strip() for name, source in {**names, **more}.items()}
    return {name: value for name, value in told.items() if value} if all(told[name] for name in names) else {}
