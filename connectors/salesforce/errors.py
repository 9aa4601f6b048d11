"""What each of the platform's refusals means for us: which of our errors it is, and where.

Single calls say `errorCode`, collections `statusCode`, bulk results `CODE:message:fields --`; all three end here.
The classes are those of the vendor's error reference; two codes say different things by their text alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

RETRY = {
    "UNABLE_TO_LOCK_ROW",
    "SERVER_UNAVAILABLE",
    "QUERY_TIMEOUT",
    "REQUEST_RUNNING_TOO_LONG",
    "UNKNOWN_EXCEPTION",
    "API_CURRENTLY_DISABLED",
}
ANSWERED = RETRY - {"UNKNOWN_EXCEPTION"}
"""What the platform itself refuses a call for, whatever its status: then nothing of it was done."""
AUTHORIZATION = {"INVALID_SESSION_ID", "INVALID_AUTH_HEADER", "INVALID_LOGIN", "INVALID_HEADER_TYPE"}
PERMISSION = {"API_DISABLED_FOR_ORG", "INSUFFICIENT_ACCESS", "INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND"}
GONE = {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "CANNOT_UPDATE_CONVERTED_LEAD"}
DUPLICATE = {"DUPLICATES_DETECTED", "DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID"}

_FIXES: Mapping[str, str] = {
    "REQUIRED_FIELD_MISSING": "Map the field, or give it a constant.",
    "STRING_TOO_LONG": "Shorten the value, or add the transform truncate.",
    "INVALID_EMAIL_ADDRESS": "Correct the e-mail address.",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "Map the value to one that the picklist has.",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule of the org refuses it: correct the value or the rule.",
    "INVALID_FIELD": "Correct the mapping, or let the sync user see the field (field-level security).",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "Let the sync user edit the field, or map it with direction: pull.",
    "DUPLICATES_DETECTED": "A duplicate rule of the org holds it: merge the two records there.",
    "DUPLICATE_VALUE": "Another record has this unique value: merge the two records there.",
    "CANNOT_UPDATE_CONVERTED_LEAD": "The lead became a contact: the next pull follows it.",
    "ENTITY_IS_DELETED": "The record is deleted: the next pull sees that.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error as the platform tells it, wherever it stood."""

    code: str
    message: str
    fields: tuple[str, ...] = ()
    existing: str = ""  # id of the record that a duplicate error names
    existing_object: str = ""

    @property
    def is_lock(self) -> bool:
        """Apex triggers wrap a row lock in an error of their own."""
        return self.code in RETRY or "UNABLE_TO_LOCK_ROW" in self.message


def refusal(error: Mapping[str, Any]) -> Refusal:
    """The refusal in one member of an error list."""
    code = str(error.get("errorCode") or error.get("statusCode") or "UNKNOWN_EXCEPTION")
    message = str(error.get("message") or "")
    existing, kind = _existing(error, message)
    return Refusal(code, message, tuple(str(name) for name in error.get("fields") or ()), existing, kind)


def bulk_refusal(text: str) -> Refusal:
    """The refusal in `CODE:message:fields --` of a bulk result."""
    code, _, rest = text.partition(":")
    message, _, fields = rest.rpartition(":")
    names = tuple(name for name in re.split(r"[\s,]+", fields.replace("--", " ")) if name)
    existing, kind = _existing({}, message)
    return Refusal(code.strip() or "UNKNOWN_EXCEPTION", message, names, existing, kind)


def _existing(error: Mapping[str, Any], message: str) -> tuple[str, str]:
    for match in (error.get("duplicateResult") or {}).get("matchResults") or ():
        for found in match.get("matchRecords") or ():
            record = found.get("record") or {}
            if record.get("Id"):
                return str(record["Id"]), str((record.get("attributes") or {}).get("type") or "")
    named = re.search(r"record with id: ?([0-9A-Za-z]{15,18})", message)
    return (named.group(1), "") if named else ("", "")


def field_of(refused: Refusal) -> str:
    """The field that a refusal is about; '' when it names none."""
    if refused.fields:
        return refused.fields[0]
    for pattern in (r"No such column '(\w+)'", r"fields: (\w+)", r"missing: \[(\w+)", r"^(\w+): ", r"field '(\w+)'"):
        found = re.search(pattern, refused.message)
        if found:
            return found.group(1)
    return ""


def of_record(refused: Refusal, *, connection: str, object: str, record: str) -> ClosedloopError:
    """The error of one row. The platform's message may quote the value, so it is not repeated."""
    place = {"connection": connection, "object": object, "record": record, "code": refused.code}
    if refused.is_lock:
        return RetryLater("Salesforce has the record locked, or is too busy for it.", after=5.0, **place)
    if refused.code in ("STORAGE_LIMIT_EXCEEDED", "REQUEST_LIMIT_EXCEEDED"):
        return QuotaExhausted("The org has no room or no calls left.", fix="Free storage or wait.", until=None, **place)
    name = field_of(refused)
    what = f"Salesforce refuses the record: {_words(refused.code)}{f' ({name})' if name else ''}."
    if refused.existing:
        what += f" It stands there as {refused.existing}."
    return RecordRejected(what, fix=_FIXES.get(refused.code, "Correct the record or the mapping."), field=name, **place)


def _words(code: str) -> str:
    return code.lower().replace("_", " ")


def of_call(status: int, content: Any, *, connection: str, object: str, is_read: bool) -> ClosedloopError:
    """The error of a whole call that was answered with `status`. `content` is the decoded body, or its text. A write
    that only a gateway answered, or that failed there, may have been done."""
    refused = _first(content)
    code = refused.code if refused else ""
    place = {"connection": connection, "object": object, "code": code or f"HTTP {status}"}
    if status == 401 or code in AUTHORIZATION:
        return AuthorizationLost("Salesforce refuses the session.", fix="Connect the account again.", **place)
    if code == "REQUEST_LIMIT_EXCEEDED" and refused is not None:
        return _limit(refused, place)
    is_unknown = status >= 500 and code not in ANSWERED
    if not is_unknown and (code in RETRY or status in (408, 429)):
        return RetryLater(f"Salesforce cannot answer now ({code or status}).", after=2.0, **place)
    if is_unknown:
        what = f"Salesforce failed ({code or status})."
        return RetryLater(what, after=2.0, **place) if is_read else InDoubt(what, **place)
    if refused is not None and code in PERMISSION:
        return _missing(refused, place)
    if status in (403, 404, 405, 410):
        fix = "Check the API version, the object and the permissions of the user."
        return PermissionMissing(f"Salesforce does not open this call ({code or status}).", fix=fix, **place)
    if refused is None:
        return RetryLater(f"Salesforce answered with something that is no answer ({status}).", after=1.0, **place)
    return RecordRejected(
        f"Salesforce refuses the call: {_words(code)}.", fix=_FIXES.get(code, ""), field=field_of(refused), **place
    )


def _first(content: Any) -> Refusal | None:
    if isinstance(content, Sequence) and not isinstance(content, str | bytes) and content:
        content = content[0]
    return (
        refusal(content) if isinstance(content, Mapping) and ("errorCode" in content or "message" in content) else None
    )


def _limit(refused: Refusal, place: dict[str, str]) -> ClosedloopError:
    """Both limits share one code; the text tells the daily one from that on long-running calls."""
    if "Concurrent" in refused.message:
        return RetryLater("Too many long calls run at once in the org.", after=5.0, **place)
    fix = "Wait: the allowance is that of the last 24 hours; other applications of the org use it too."
    return QuotaExhausted("The org's API calls of the last 24 hours are used up.", fix=fix, until=None, **place)


def _missing(refused: Refusal, place: dict[str, str]) -> ClosedloopError:
    name = field_of(refused)
    if refused.code == "INVALID_FIELD":
        what = f"The org has no field {name}, or field-level security hides it from the sync user."
        fix = "Grant the field to the sync user's permission set, or take it out of the mapping."
        if name == "HasOptedOutOfEmail":
            what += " Without it no one can know who has opted out of e-mail."
            fix = "Grant it: Closedloop does not feed mailing lists without the opt-out."
        return PermissionMissing(what, fix=fix, field=name, **place)
    fix = "Grant the sync user the object and the API, or take the object out of the mapping."
    return PermissionMissing(f"Salesforce does not show this: {_words(refused.code)}.", fix=fix, field=name, **place)


def of_login(body: Any, status: int, connection: str) -> ClosedloopError:
    """The error of a log-in that was refused."""
    code = str(body.get("error") or "") if isinstance(body, Mapping) else ""
    told = str(body.get("error_description") or "") if isinstance(body, Mapping) else ""
    if status >= 500 or code in ("rate_limit_exceeded", "server_error", "temporarily_unavailable"):
        return RetryLater(
            f"Salesforce's log-in cannot answer now ({code or status}).", after=5.0, connection=connection
        )
    fix = "Check client id, secret or key, user name and the app's policies in Salesforce."
    if code == "invalid_grant" and "refresh token" in told:
        fix = f"It was revoked, or used before: connect the account again, by `closedloop connect {connection}`."
    if "approved" in told:
        fix = "Pre-authorise the user for the External Client App (permitted users, permission set)."
    if "audience" in told:
        fix = "Set login_url to https://test.salesforce.com for a sandbox org, https://login.salesforce.com otherwise."
    if not code:
        return RetryLater(
            f"Salesforce's log-in answered with something that is no answer ({status}).", connection=connection
        )
    return AuthorizationLost(
        f"Salesforce refuses the log-in: {code} ({told}).", fix=fix, connection=connection, code=code
    )


def not_https(connection: str) -> Misconfigured:
    fix = "Write https:// in instance_url, login_url and base_url."
    return Misconfigured("simple-salesforce speaks only https.", fix=fix, connection=connection)
