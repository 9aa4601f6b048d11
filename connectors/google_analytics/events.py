"""Outcomes of leads as events: what Google takes of one, checked here, for the Measurement Protocol says nothing.

An event is made of an operation's values: `name`, `client_id`, `event_id`, `at` and perhaps `value` with `currency`,
`reason`, `user_id`, `session_id`, `ad_user_data`, `ad_personalization`, and parameters of one's own as `params.NAME`.
`person.NAME` is known to the guard and never sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from config.clock import unstamp
from config.errors import RecordRejected
from connectors.api import FieldSchema, Operation
from connectors.google_analytics.guard import PERSON, refuse_personal

OLDEST = timedelta(hours=72)
MOST_PARAMS = 25
LONGEST_NAME, LONGEST_VALUE, LONGEST_ID = 40, 100, 64
CLIENT_ID = r"\d{1,20}\.\d{1,20}"
"""As the site's cookie has it: a random number and the second of the first visit."""
PARAMS, PERSONAL = "params.", "person."
NAMES = (
    "generate_lead",
    "qualify_lead",
    "disqualify_lead",
    "working_lead",
    "close_convert_lead",
    "close_unconvert_lead",
)
REASONS = {
    "generate_lead": "lead_source",
    "disqualify_lead": "disqualified_lead_reason",
    "working_lead": "lead_status",
    "close_unconvert_lead": "unconvert_lead_reason",
}
"""The recommended parameter that holds the reason; a won lead has none."""
RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")
RESERVED = frozenset({"cid", "uid", "user_id", "userid", "customer_id", "gclid", "sid"})
LARGEST = 2**53
"""Beyond it not every whole number is one of JSON's (RFC 8259, section 6)."""
CONSENTS = ("ad_user_data", "ad_personalization")

FIELDS: Mapping[str, FieldSchema] = {
    **{
        name: FieldSchema(name, "text", required=name in ("name", "client_id", "event_id", "at"))
        for name in ("client_id", "event_id", "at", "currency", "user_id", "session_id")
    },
    "name": FieldSchema("name", "choice", required=True, options=NAMES),
    "value": FieldSchema("value", "number"),
    "reason": FieldSchema("reason", "text", length=LONGEST_VALUE),
    **{name: FieldSchema(name, "choice", options=("DENIED",)) for name in CONSENTS},
    **{f"{PERSONAL}{name}": FieldSchema(f"{PERSONAL}{name}", "text") for name in PERSON},
}
"""What an event may be made of, beside `params.NAME`."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event that may leave: `key` is its operation's, `at` within the last 72 hours."""

    key: str
    name: str
    client_id: str
    event_id: str
    at: datetime
    user_id: str = ""
    value: float | None = None
    currency: str = ""
    params: tuple[tuple[str, str | float], ...] = ()
    denied: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What the event is known by afterwards: whose it is stands in it, so that it can be erased."""
        return f"{self.client_id}/{self.event_id}"


def event_of(operation: Operation, now: datetime) -> Event:
    """The event of an operation. Raises RecordRejected for whatever Google would drop, or must never get."""
    told = {name: value for name, value in operation.values.items() if value not in (None, "")}
    for name in told:
        if name not in FIELDS and not name.startswith(PARAMS):
            raise _refused(name, "unknown", "is nothing that an event is made of", "Correct the mapping.")
    event = Event(
        operation.key,
        _chosen(told, "name", NAMES),
        _matching(told, "client_id", CLIENT_ID, "Capture the client id of the visit on the form."),
        _opaque(told.get("event_id") or operation.match.get("event_id"), "event_id"),
        _moment(told.get("at"), now),
        _opaque(told["user_id"], "user_id") if "user_id" in told else "",
        _amount(told),
        _matching(told, "currency", r"[A-Z]{3}", "Map the value with money.") if "value" in told else "",
        _params(told),
        tuple(name for name in CONSENTS if _chosen(told, name, ("DENIED", "")) == "DENIED"),
    )
    _guard(event, told)
    return event


def _guard(event: Event, told: Mapping[str, Any]) -> None:
    texts = {name: str(value) for name, value in event.params if not isinstance(value, float) and name != "session_id"}
    ids = {"event_id": event.event_id, "user_id": event.user_id}
    person = {name.removeprefix(PERSONAL): str(v) for name, v in told.items() if name.startswith(PERSONAL)}
    refuse_personal(texts, ids, person)


def _params(told: Mapping[str, Any]) -> tuple[tuple[str, str | float], ...]:
    """The parameters by their names on the wire, without value, currency and the event's own id."""
    given: dict[str, Any] = {n.removeprefix(PARAMS): v for n, v in told.items() if n.startswith(PARAMS)}
    for name in given:
        _named(name)
    reason = REASONS.get(str(told.get("name")))
    if "reason" in told and reason:
        given.setdefault(reason, told["reason"])
    if "session_id" in told:
        given["session_id"] = _matching(told, "session_id", r"\d{1,20}", "It is the number in the session's cookie.")
    if len(given) + 3 > MOST_PARAMS:
        raise _refused(PARAMS, "too_many", f"has more than {MOST_PARAMS - 3} parameters", "Map fewer.")
    return tuple((name, _param(name, value)) for name, value in given.items())


def _named(name: str) -> None:
    good = re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and len(name) <= LONGEST_NAME
    if not good or name.lower().startswith(RESERVED_PREFIXES) or name.lower() in RESERVED:
        fix = f"Letters, digits and _, at most {LONGEST_NAME}, and none of Google's own names."
        raise _refused(PARAMS + name, "name", "is no name that a parameter may have", fix)


def _param(name: str, value: Any) -> str | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not abs(value) <= LARGEST:
            raise _refused(name, "number", "is no number that JSON carries unchanged", "Map it as text.")
        return float(value)
    if not isinstance(value, str):
        raise _refused(name, "type", "is no text and no number", "Map a field that is one.")
    if len(value) > LONGEST_VALUE:
        fix = f"Add transform: [{{truncate: {LONGEST_VALUE}}}]."
        raise _refused(name, "too_long", f"has more than {LONGEST_VALUE} characters", fix)
    return value


def _chosen(told: Mapping[str, Any], name: str, options: tuple[str, ...]) -> str:
    """An opt-in to ads is none of the options: it is the person's to give, on the site."""
    value = str(told.get(name, ""))
    if value not in options:
        raise _refused(
            name, "choice", "has a value that cannot be sent", f"One of: {', '.join(filter(None, options))}."
        )
    return value


def _matching(told: Mapping[str, Any], name: str, pattern: str, fix: str) -> str:
    value = str(told.get(name, ""))
    if not re.fullmatch(pattern, value, re.ASCII):
        raise _refused(name, "form" if value else "missing", "is not of the right form" if value else "is missing", fix)
    return value


def _opaque(value: Any, name: str) -> str:
    """An id that says nothing to anybody else. The guard looks at it too."""
    text = str(value or "")
    if len(text) > LONGEST_ID or not re.fullmatch(r"[\w.:/+=-]+", text, re.ASCII):
        fix = f"An id of at most {LONGEST_ID} letters, digits and signs, that tells nothing of the person."
        raise _refused(name, "form" if text else "missing", "is no opaque id" if text else "is missing", fix)
    return text


def _moment(value: Any, now: datetime) -> datetime:
    """When it happened; now, where that is told to lie ahead (a closing date). Google drops what is older than 72 h."""
    try:
        at = unstamp(str(value or ""))
    except ValueError:
        raise _refused("at", "form" if value else "missing", "is no instant", "Map event_at.") from None
    if now - at > OLDEST:
        raise _refused("at", "too_old", "is more than 72 hours ago, and Google takes that no more", "Sync more often.")
    return min(at, now)


def _amount(told: Mapping[str, Any]) -> float | None:
    if "value" not in told:
        return None
    try:
        number = float(str(told["value"]))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _refused("value", "type", "is no number", "Map the value with money.")
    return number


def _refused(field: str, code: str, what: str, fix: str) -> RecordRejected:
    return RecordRejected(f"{field} {what}.", fix=fix, field=field, code=code)
