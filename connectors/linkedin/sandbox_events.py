"""The sandbox's conversion rules and events: what is refused, in which words, and what is counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from config.clock import Clock
from connectors.linkedin.sandbox_restli import Row
from connectors.sandbox import Answer

DAYS = timedelta(days=90)
MOST = 5000
_NEEDED = "field is required but not found and has no default value"
_ID_TYPES = frozenset(
    "SHA256_EMAIL LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID ACXIOM_ID ORACLE_MOAT_ID PLAINTEXT_IP_ADDRESS"
    " SHA256_IP_ADDRESS GOOGLE_AID".split()
)


@dataclass
class Events:
    """Rules by id; events by rule and event id, so that a repeat is none. `sent` counts the elements that came.

    `partly`: numbers of elements (of all that come) whose status in a batch is 500 the first time.
    """

    clock: Clock
    rules: dict[str, Row] = field(default_factory=dict)
    events: dict[str, Row] = field(default_factory=dict)
    sent: int = 0
    partly: list[int] = field(default_factory=list)

    def take(self, elements: Sequence[Any], *, batch: bool) -> Answer:
        """One bad element has the whole batch refused; whoever the person is, the rest is good."""
        if len(elements) > MOST:
            return _error(400, "ILLEGAL_ARGUMENT", f"The batch size exceeds the limit of {MOST}")
        wrong = [line for number, one in enumerate(elements) for line in _faults(number, one)]
        if wrong:
            return _error(422, "UNPROCESSABLE_ENTITY", "\n".join(wrong))
        refused = self._unruly(elements) or self._untimely(elements)
        if refused:
            return refused
        statuses = [self._one(one) for one in elements]
        return Answer.of({"elements": [{"status": status} for status in statuses]}) if batch else Answer(201)

    def _one(self, event: Row) -> int:
        self.sent += 1
        if self.sent in self.partly:
            return 500
        self.events.setdefault(f"{event['conversion']}/{event.get('eventId')}", event)
        return 201

    def _unruly(self, elements: Sequence[Row]) -> Answer | None:
        rules = [self.rules.get(one["conversion"].rpartition(":")[2]) for one in elements]
        if None in rules:
            return _error(403, "ACCESS_DENIED", "No ad accounts found")
        wrong = [n for n, rule in enumerate(rules) if rule and rule["conversionMethod"] != "CONVERSIONS_API"]
        told = f"Conversion method should be CONVERSIONS_API, indices {wrong} (0-indexed)."
        return _error(400, "ILLEGAL_ARGUMENT", told) if wrong else None

    def _untimely(self, elements: Sequence[Row]) -> Answer | None:
        now = self.clock.now().timestamp() * 1000
        oldest = now - DAYS.total_seconds() * 1000
        wrong = [n for n, one in enumerate(elements) if not oldest <= one["conversionHappenedAt"] <= now]
        told = f"Conversion time should be within 90 days and not exceed current time, indices {wrong} (0-indexed)."
        return _error(400, "ILLEGAL_ARGUMENT", told) if wrong else None


def _faults(number: int, event: Any) -> list[str]:
    """What the schema refuses of one element, one line each. What an id is worth is not looked at."""
    if not isinstance(event, dict):
        return [f"Index: {number}, ERROR :: / :: is not a record"]
    found = []
    for name, kind in (("conversion", str), ("conversionHappenedAt", int), ("user", dict)):
        if name not in event:
            found.append((f"/{name}", _NEEDED))
        elif not isinstance(event[name], kind):
            found.append((f"/{name}", f"{event[name]} cannot be coerced to {kind.__name__}"))
    value = event.get("conversionValue")
    if isinstance(value, dict):
        found += [(f"/conversionValue/{name}", _NEEDED) for name in ("currencyCode", "amount") if name not in value]
        if "amount" in value and not isinstance(value["amount"], str):
            found.append(("/conversionValue/amount", f"{value['amount']} cannot be coerced to String"))
    user = event.get("user")
    found += _user_faults(user) if isinstance(user, dict) else []
    return [f"Index: {number}, ERROR :: {place} :: {why}" for place, why in found]


def _user_faults(user: Row) -> list[tuple[str, str]]:
    if "userIds" not in user:
        return [("/user/userIds", _NEEDED)]
    found = []
    for place, one in enumerate(user["userIds"]):
        if one.get("idType") not in _ID_TYPES:
            found.append((f"/user/userIds/{place}/idType", "is not a valid enum"))
    info = user.get("userInfo")
    if isinstance(info, dict):
        found += [(f"/user/userInfo/{name}", _NEEDED) for name in ("firstName", "lastName") if not info.get(name)]
    return found


def _error(status: int, code: str, message: str) -> Answer:
    return Answer.of({"status": status, "code": code, "message": message}, status)
