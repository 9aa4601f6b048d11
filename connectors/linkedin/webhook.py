"""Webhooks: the challenge that keeps an address alive, the signature of a delivery, and what a delivery says.

LinkedIn challenges an address when it is registered and every two hours from then on; three answers missed in a row
close it. The signature is over the literal `hmacsha256=` followed by the body; it covers no time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from config.errors import AuthorizationLost
from connectors.api import Request, Tokens
from connectors.linkedin.objects import moment
from connectors.linkedin.restli import urn_id

SIGNATURE = "x-li-signature"
PREFIX = b"hmacsha256="
KEPT = "erased"
"""The name under which responses are kept that LinkedIn said were deleted, until a pull has told it on."""
MOST = 1000
"""Of these, how many are kept; the oldest fall out."""


@dataclass(frozen=True, slots=True)
class Lead:
    """What a delivery says of one form response."""

    id: str
    deleted: bool
    at: str


CODE = re.compile(r"[0-9A-Za-z-]{1,64}")
"""What a challenge may ask to be signed: a UUID. Anybody may ask, so nothing that a delivery's signature covers (it
begins with the prefix) is ever signed here."""


def challenge(query: Mapping[str, str], secret: str) -> dict[str, str]:
    """The JSON to answer `GET ?challengeCode=...` with, 200 and within three seconds. AuthorizationLost without a
    code that could be LinkedIn's, or without a secret."""
    code = query.get("challengeCode", "")
    if not secret or not CODE.fullmatch(code):
        raise AuthorizationLost("This is no challenge of LinkedIn's.")
    return {"challengeCode": code, "challengeResponse": _digest(secret, code.encode())}


def delivered(request: Request, secret: str) -> list[Lead]:
    """The responses that a genuine delivery speaks of. AuthorizationLost where the signature is missing or wrong."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    told = headers.get(SIGNATURE, "")
    if not hmac.compare_digest(_digest(secret, PREFIX + request.body).encode(), told.encode()):
        raise AuthorizationLost("The webhook's signature is wrong.")
    body = orjson.loads(request.body)
    return [lead for one in (body if isinstance(body, list) else [body]) if (lead := _lead(one)) is not None]


def _digest(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def _lead(told: Any) -> Lead | None:
    if not isinstance(told, dict) or told.get("type") != "LEAD_ACTION":
        return None
    id = urn_id(told.get("leadGenFormResponse")) or str(told.get("leadGenFormResponse") or "")
    return Lead(id, told.get("leadAction") == "DELETED", moment(told.get("occurredAt"))) if id else None


def note_erased(tokens: Tokens, ids: list[str], at: str) -> None:
    """Remember that these responses were deleted; the next pull tells it on. Repeats change nothing."""
    with tokens.alone(KEPT):
        known = _kept(tokens)
        fresh = {id: at for id in ids if id not in known}
        if fresh:
            tokens.put(KEPT, orjson.dumps(dict(list({**known, **fresh}.items())[-MOST:])).decode())


def erased(tokens: Tokens, since: str) -> list[str]:
    """The responses that were said to be deleted from `since` on."""
    return [id for id, at in _kept(tokens).items() if at >= since]


def _kept(tokens: Tokens) -> dict[str, str]:
    known: dict[str, str] = orjson.loads(tokens.get(KEPT) or "{}")
    return known
