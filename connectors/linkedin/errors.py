"""LinkedIn's refusals as our errors, by what must be done next. No value that was sent is repeated in one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Misconfigured,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from connectors.retry import GATEWAYS, asked_wait

NOT_FOUND = "NOT_FOUND"
"""The code of what is not there, or not any more."""
PAUSE = 1.0
"""Seconds before a call that met a 429 is tried again. LinkedIn tells no wait."""

_TOKEN_CODES = frozenset(
    {"65600", "65601", "65602", "INVALID_ACCESS_TOKEN", "REVOKED_ACCESS_TOKEN", "EXPIRED_ACCESS_TOKEN"}
)


class BatchRejected(RecordRejected):
    """A whole batch refused for the sake of the elements in `refused` (position -> why); the others were fine."""

    def __init__(self, refused: Mapping[int, RecordRejected], code: str) -> None:
        super().__init__(f"LinkedIn refuses a batch for {len(refused)} of its elements.", code=code)
        self.refused = refused


def classify(status: int, headers: Mapping[str, str], told: Any, version: str) -> ClosedloopError:
    """A refusal as one of our errors."""
    body = told if isinstance(told, dict) else {}
    code = str(body.get("code") or body.get("serviceErrorCode") or body.get("error") or status)
    message = str(body.get("message") or body.get("error_description") or "")
    if status == 429:
        return RetryLater("LinkedIn asks to slow down.", after=asked_wait(headers, PAUSE), code="rate_limit")
    if status in GATEWAYS:
        return RetryLater(f"LinkedIn failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    if status == 426:
        return Misconfigured(
            f"LinkedIn speaks its version {version} no more.",
            fix="Install a newer Closedloop: the version is a constant of its client.",
            code="version",
        )
    if status in (401, 403):
        return _forbidden(status, code, str(body.get("serviceErrorCode") or ""), message)
    return _rejected(status, code, message)


def _forbidden(status: int, code: str, service: str, message: str) -> ClosedloopError:
    """A 401 is about the token only where it says so; else it hides a missing role."""
    if status == 401 and ({code, service} & _TOKEN_CODES or code == "401"):
        what = "The access to LinkedIn was revoked." if service == "65601" else "LinkedIn refuses the access token."
        fix = "Connect the account again, by `closedloop connect`: tokens live sixty days."
        return AuthorizationLost(what, fix=fix, code=code)
    if "No ad accounts found" in message:
        return PermissionMissing(
            "LinkedIn finds no ad account behind the conversion rule.",
            fix="Check settings.conversion_rules, and that the member manages campaigns of the rule's ad account.",
            code="no_ad_account",
        )
    return PermissionMissing(
        f"The grant does not allow this ({status} {_word(code)}).",
        fix="Check the app's products and scopes, and the member's roles on the ad account and on its page.",
        code=code,
    )


def _rejected(status: int, code: str, message: str) -> RecordRejected:
    if status in (404, 410):
        return RecordRejected("LinkedIn has no such thing.", code=NOT_FOUND)
    refused = {**_by_index(message), **_by_indices(message)}
    if refused:
        return BatchRejected(refused, code)
    said = _said(message)
    return RecordRejected(f"LinkedIn refuses this ({status} {_word(code)}){said}.", code=code)


_PHRASES = re.compile(
    r"(field is required|is not a valid \w+|within 90 days and not exceed current time|method should be CONVERSIONS_API"
    r"|cannot be coerced|unrecognized field|is too long|not present in the request|Invalid param)",
    re.IGNORECASE,
)
"""What of a message may be repeated: fixed words, never a value."""


def _said(message: str) -> str:
    words = _PHRASES.search(message)
    return f": {words[1]}" if words else ""


def _word(code: str) -> str:
    """A code as far as it is one."""
    return code if re.fullmatch(r"[\w.]{1,60}", code, re.ASCII) else "?"


def _by_index(message: str) -> dict[int, RecordRejected]:
    """`Index: 0, ERROR :: /conversionValue/amount :: field is required ...`, one line for each problem."""
    found: dict[int, RecordRejected] = {}
    for line in re.finditer(r"Index: (\d{1,6}), ERROR :: (/[\w/$]{0,80})([^\n]*)", message):
        found.setdefault(int(line[1]), _element(line[2].strip("/").replace("/", "."), line[3]))
    return found


def _by_indices(message: str) -> dict[int, RecordRejected]:
    """`Conversion time should be within 90 days ..., indices [0, 3] (0-indexed).`"""
    found: dict[int, RecordRejected] = {}
    for told in re.finditer(r"([^\n]{0,300}?)indices \[([\d,\s]{1,60000})\]", message):
        for number in re.findall(r"\d{1,6}", told[2]):
            found.setdefault(int(number), _element("", told[1]))
    return found


def _element(field: str, message: str) -> RecordRejected:
    code = "too_old" if "90 days" in message else "method" if "CONVERSIONS_API" in message else "invalid"
    fix = (
        "Make the rule's method CONVERSIONS_API, or name another in settings.conversion_rules."
        if code == "method"
        else ""
    )
    return RecordRejected(f"LinkedIn refuses this conversion{_said(message)}.", fix=fix, field=field, code=code)
