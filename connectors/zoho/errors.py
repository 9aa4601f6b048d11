"""What each of Zoho's refusals means for us.

A call as a whole is refused by `{"code", "details", "message", "status"}`, or by a `data` list of such rows where every
row failed. Of a message nothing is repeated but what is known to be fixed words: it may quote a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

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

Row = Mapping[str, Any]

FEW = 50
"""Credits left at which a 429 means that the day's are used up: both limits answer alike."""
PAUSE = timedelta(hours=1)
"""How long nobody calls then. Credits come back one by one, 24 hours after each was used; no answer says when."""

PERMISSION = {"NO_PERMISSION", "AUTHORIZATION_FAILED", "NOT_APPROVED", "OAUTH_SCOPE_MISMATCH", "NOT_SUPPORTED"}
AUTHORIZATION = {"INVALID_TOKEN", "AUTHENTICATION_FAILURE", "INVALID_OAUTH_TOKEN"}
BUSY = {
    "RECORD_LOCKED",
    "AMBIGUITY_DURING_PROCESSING",
    "DEPENDENT_SERVICE_ERROR",
    "INTERNAL_ERROR",
    "INTERNAL_SERVER_ERROR",
    "REQUEST_TIMEOUT",
}
_FIXES: Mapping[str, str] = {
    "MANDATORY_NOT_FOUND": "Map the field, or give it a constant: the layout demands it.",
    "EXPECTED_FIELD_MISSING": "Map the field, or give it a constant.",
    "DEPENDENT_FIELD_MISSING": "Map the field that this one depends on.",
    "DEPENDENT_MISMATCH": "Map the value to one that the layout or pipeline has.",
    "INVALID_DATA": "Correct the value, or the mapping (length, form, picklist).",
    "LIMIT_EXCEEDED": "Shorten the value, or add the transform truncate.",
    "duplicate": "Another record has this unique value: merge the two in Zoho.",
    "merged_away": "The next sync follows what it can see.",
    "converted": "The lead became a contact: the next sync follows it.",
}


class RowsRefused(RecordRejected):
    """Every row of a call was refused; `rows` tell why, each its own."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__("Zoho refuses every row of the call.", code="rows")
        self.rows = rows


def classify(status: int, headers: Mapping[str, str], told: Any, left: int | None, clock: Clock) -> ClosedloopError:
    """A refused call as one of our errors; `left` are the credits that the last answer told of."""
    if isinstance(told, dict) and isinstance(told.get("data"), list) and told["data"]:
        rows = [row for row in told["data"] if isinstance(row, dict)]
        if status == 400 and len(rows) == len(told["data"]):
            return RowsRefused(rows)
        told = rows[0] if rows else None
    row: Row = told if isinstance(told, dict) else {}
    code = str(row.get("code") or row.get("error") or status)
    if status == 304:
        return RecordRejected("Nothing changed since.", code="not_modified")
    if status == 429 or code == "TOO_MANY_REQUESTS":
        return _limited(headers, left, clock)
    if status in GATEWAYS:
        return RetryLater(f"Zoho failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    if code in PERMISSION or status == 403:
        return _not_allowed(code)
    if status == 401 or code in AUTHORIZATION:
        return AuthorizationLost(
            "Zoho refuses the access token.",
            fix="Connect the account again, in the region that it belongs to.",
            code=code,
        )
    return row_error({**row, "code": code}, f"{status} ")


def _limited(headers: Mapping[str, str], left: int | None, clock: Clock) -> ClosedloopError:
    told = credits_left(headers)
    left = left if told is None else told
    if left is not None and left <= FEW:
        return used_up(clock)
    return RetryLater("Zoho asks to slow down.", after=asked_wait(headers, 2.0), code="rate_limit")


def used_up(clock: Clock) -> QuotaExhausted:
    until = clock.now() + PAUSE
    return QuotaExhausted("The day's API credits of Zoho are used up.", until=until, code="TOO_MANY_REQUESTS")


def credits_left(headers: Mapping[str, str]) -> int | None:
    """What `X-API-CREDITS-REMAINING` says; it is told only when half of the day's credits are used."""
    text = str(headers.get("x-api-credits-remaining") or headers.get("X-API-CREDITS-REMAINING") or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _not_allowed(code: str) -> PermissionMissing:
    if code == "OAUTH_SCOPE_MISMATCH":
        return PermissionMissing(
            "The connection lacks a scope for this.",
            fix="Connect again with the scopes of the connector's README.",
            code=code,
        )
    return PermissionMissing(
        "The user's profile does not allow this.", fix="Ask an admin of Zoho for the permission.", code=code
    )


def row_error(row: Row, heading: str = "") -> ClosedloopError:
    """A refused row (or call) as one of our errors, with the field that Zoho names."""
    row = _innermost(row)
    code, details = str(row.get("code") or "UNKNOWN"), row.get("details")
    details = details if isinstance(details, dict) else {}
    field = _name(details.get("api_name") or details.get("column_name") or details.get("param_name"))
    if code in BUSY:
        return RetryLater("Zoho is at work on this record.", after=30.0, code=code)
    code = _meaning(code, field, str(row.get("message") or ""))
    most = details.get("maximum_length")
    said = f": at most {most} characters" if isinstance(most, int) else ""
    field = "" if code in ("merged_away", "converted") else field
    return RecordRejected(
        f"Zoho refuses this ({heading}{code}){said}.", fix=_FIXES.get(code, ""), field=field, code=code
    )


def _innermost(row: Row) -> Row:
    """Of several errors of a row the first."""
    for holder in (row, row.get("details")):
        several = holder.get("errors") if isinstance(holder, dict) else None
        if isinstance(several, list) and several and isinstance(several[0], dict):
            return several[0]
    return row


def _meaning(code: str, field: str, message: str) -> str:
    if code == "DUPLICATE_DATA":
        return "duplicate"
    if "update the converted record" in message or code == "ID_ALREADY_CONVERTED":
        return "converted"
    if code == "INVALID_DATA" and field == "id":
        return "merged_away"
    return code


def _name(told: Any) -> str:
    """The API name of a field; nothing that could be a value."""
    return str(told) if isinstance(told, str) and re.fullmatch(r"\$?[A-Za-z][\w.]{0,99}", told) else ""


def existing(row: Row) -> str:
    """The id of the record that a duplicate meets; '' where it is not told."""
    details = row.get("details")
    details = details if isinstance(details, dict) else {}
    other = details.get("duplicate_record")
    id = details.get("id") or (other.get("id") if isinstance(other, dict) else None)
    return str(id) if id and str(id).isdigit() else ""


def place(row: Row) -> int | None:
    """The number of the sent row that a refusal speaks of, by its `json_path`."""
    details = _innermost(row).get("details")
    path = str(details.get("json_path") or "") if isinstance(details, dict) else ""
    found = re.match(r"\$\.data\[(\d+)\]", path)
    return int(found[1]) if found else None
