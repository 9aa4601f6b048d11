"""Google's refusals, sorted into our errors: one shape of error for all its APIs, and the words of its quotas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.clock import Clock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from connectors.retry import GATEWAYS, asked_wait

HOUR = timedelta(hours=1)
TRIES = 3
"""Calls after which a failing Data API is left alone: ten failures in an hour lock the project out of the property."""
MOST_FAILURES = 8
"""Failures in an hour after which nothing is asked any more."""

_FIELD = re.compile(r"\b(?:[Ff]ield|[Dd]imensions?|[Mm]etrics?) ['\"`]?([A-Za-z]\w{1,60}(?::\w{1,60})?)['\"`]?")
"""What of a refusal's message may be repeated: the name of a dimension or a metric."""


class Failures:
    """The Data API's server errors of the last hour, as this process met them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: list[datetime] = []
        self.in_a_row = 0

    def add(self) -> RetryLater:
        """One more. After the third in a row the wait is longer than a call waits."""
        self._at = [*self._recent(), self._clock.now()]
        self.in_a_row += 1
        after = 2.0 * self.in_a_row if self.in_a_row < TRIES else 300.0
        return RetryLater("Google Analytics failed.", after=after, code="server_error")

    def guard(self) -> None:
        """Raises QuotaExhausted when one more call might lock the project out of the property."""
        self.in_a_row = 0
        recent = self._recent()
        if len(recent) >= MOST_FAILURES:
            raise QuotaExhausted(
                "Google Analytics failed so often that one more failure would lock this project out for an hour.",
                until=recent[0] + HOUR,
                code="server_errors",
            )

    def _recent(self) -> list[datetime]:
        return [at for at in self._at if at > self._clock.now() - HOUR]


def classify(
    status: int, headers: Mapping[str, str], told: Any, clock: Clock, failures: Failures | None = None
) -> ClosedloopError:
    """A refusal as one of our errors. `failures` counts the server errors of the API that locks."""
    error = _error(told)
    code, message = str(error.get("status") or status), str(error.get("message") or "")
    if status == 429:
        return _exhausted(message, headers, clock)
    if status in GATEWAYS:
        if failures is not None:
            return failures.add()
        return RetryLater(f"Google failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    if status == 401 and code != "invalid_client":
        return AuthorizationLost("Google refuses the access token.", fix="Connect the account again.", code=code)
    if status == 403:
        return _forbidden(_reason(error))
    named = _FIELD.search(message)
    fields = _violated(error) or ([named[1]] if named else [])
    return RecordRejected(f"Google refuses this ({status} {code}).", field=", ".join(fields), code=code)


def _violated(error: Mapping[str, Any]) -> list[str]:
    """The places that a 400 names (`events[3].currency`); never the descriptions, which may hold a value."""
    rows = (row for detail in _details(error) for row in detail.get("fieldViolations") or ())
    return [str(row["field"]) for row in rows if isinstance(row, dict) and row.get("field")]


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = error.get("details")
    return [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []


def _error(told: Any) -> Mapping[str, Any]:
    """The error's members; the token endpoint tells a bare word."""
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict):
        return error
    return {"status": error} if isinstance(error, str) else {}


def _reason(error: Mapping[str, Any]) -> str:
    return next((str(row["reason"]) for row in _details(error) if row.get("reason")), "")


def _forbidden(reason: str) -> PermissionMissing:
    if reason == "SERVICE_DISABLED":
        what, fix = (
            "The API is not enabled in the Google Cloud project.",
            "Enable it in the console, and wait a minute.",
        )
    elif reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
        what, fix = "The connection lacks a scope.", "Connect again with the scopes of the README."
    else:
        what = "The account may not do this on the property."
        fix = "Give it a role on the property itself: Viewer to read, Editor to send by Data Manager and to erase."
    return PermissionMissing(what, fix=fix, code=reason or "PERMISSION_DENIED")


def _exhausted(message: str, headers: Mapping[str, str], clock: Clock) -> ClosedloopError:
    """Which bucket is empty stands in the text only, and no header says for how long."""
    text = message.lower()
    if "concurrent" in text:
        return RetryLater("Too many calls to Google Analytics at once.", after=5.0, code="rate_limit")
    if "per day" in text:
        return spent("day", clock)
    if "hour" in text:
        return spent("hour", clock)
    return RetryLater("Google asks to slow down.", after=asked_wait(headers, 30.0), code="rate_limit")


def spent(window: str, clock: Clock) -> QuotaExhausted:
    """The property's tokens of the day or the hour are used up, as far as they are for us."""
    until = _pacific_midnight(clock.now()) if window == "day" else clock.now() + HOUR
    return QuotaExhausted(
        f"The property's tokens of this {window} are used up.",
        until=until,
        fix="The next run goes on where this one stopped; map fewer dimensions to use less.",
        code="quota",
    )


def _pacific_midnight(now: datetime) -> datetime:
    """When the day of Google's quotas ends; a day from now where this machine knows no time zones."""
    try:
        there = now.astimezone(ZoneInfo("America/Los_Angeles"))
    except ZoneInfoNotFoundError:
        return now + timedelta(days=1)
    midnight = (there + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.astimezone(now.tzinfo)
