"""What can strike a call on its way between a connector and a platform, and what the caller is given then.

Some strike before the platform hears of the call, some are its own refusal, the others come when it has done what was
asked. Each way of breaking is raised as the HTTP libraries themselves raise it (`wire.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from enum import Enum
from random import Random
from typing import Any

from connectors.sandbox import Answer, Call


class Break(Enum):
    """How a call ends without an answer."""

    HUNG_UP = "hung up"
    TIMED_OUT = "no answer within the client's time"
    REFUSED = "nobody listens there"
    UNKNOWN = "the name of the host is unknown"
    SLOW_DOOR = "no connection within the client's time"
    NO_TLS = "the greeting of TLS broke off"
    TLS_BROKE = "TLS broke off under way"


_NEVER_HEARD: Mapping[str, Break] = {
    "no_answer": Break.HUNG_UP,
    "never_answers": Break.TIMED_OUT,
    "refused": Break.REFUSED,
    "unknown_host": Break.UNKNOWN,
    "slow_door": Break.SLOW_DOOR,
    "no_tls": Break.NO_TLS,
}
_LOST: Mapping[str, Break] = {
    "lost_answer": Break.HUNG_UP,
    "late_answer": Break.TIMED_OUT,
    "tls_broke": Break.TLS_BROKE,
}

ELSEWHERE = "elsewhere.example"
"""Where redirects lead that leave the platform: nobody may follow, least of all with a credential."""
_WAITS = (None, "", "0", "1", "7", "61", "-5", "1.5", "soon", "1000000000", "date", "past", "\u00b2")
"""What `Retry-After` may say; the dates are made of the clock."""
_GATEWAYS_SAY = (
    ("text/html", b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"),
    ("application/json", b'{"message": "Endpoint request timed out"}'),
    ("text/plain", b""),
)
_CREDENTIALS = ("authorization", "api-token")


def _told_to_wait(sandbox: Any, rng: Random) -> dict[str, str]:
    asked = rng.choice(_WAITS)
    if asked in ("date", "past"):
        at = sandbox.clock.now() + timedelta(seconds=30 if asked == "date" else -3600)
        asked = format_datetime(at, usegmt=True)
    return {} if asked is None else {"Retry-After": asked}


def _too_many(sandbox: Any, call: Call, rng: Random) -> Answer:
    told = sandbox.refuse(call, 429, "Too many requests")
    return Answer(429, told.body, {**told.headers, **_told_to_wait(sandbox, rng)})


def _unavailable(sandbox: Any, call: Call, rng: Random) -> Answer:
    told = _gateway(rng)
    return Answer(
        rng.choice((500, 502, 503, 503, 521, 530)), told.body, {**told.headers, **_told_to_wait(sandbox, rng)}
    )


def _gateway(rng: Random) -> Answer:
    """What stands before a platform says, in its own words or none, when the platform itself has said nothing."""
    kind, body = rng.choice(_GATEWAYS_SAY)
    return Answer(rng.choice((500, 502, 504, 520, 522, 524)), body, {"content-type": kind})


def _redirected(sandbox: Any, call: Call, rng: Random) -> Answer:
    host = rng.choice((f"https://{ELSEWHERE}", f"http://{ELSEWHERE}", sandbox.base_url))
    return Answer(rng.choice((301, 302, 303, 307, 308)), b"", {"location": host + call.raw_path})


def _unknown(sandbox: Any, call: Call, _: Random) -> Answer:
    """The platform's own word for a credential that it does not know, whatever the call carries."""
    strange = {name: "Bearer of-nobody" for name in _CREDENTIALS if name in call.headers}
    return sandbox.answer(replace(call, headers={**call.headers, **strange}))  # type: ignore[no-any-return]


def _expired(sandbox: Any, call: Call, _: Random) -> Answer:
    """All access tokens end just before the call, which is answered accordingly."""
    if sandbox.consents is not None:
        sandbox.consents.ends()
    return sandbox.answer(call)  # type: ignore[no-any-return]


_QUOTAS: Mapping[str, tuple[str, Any]] = {
    "calendly": ("per_minute", 0),
    "constant_contact": ("daily", 0),
    "hubspot": ("daily_limit", 0),
    "outreach": ("hourly", 0),
    "salesforce": ("daily_limit", 1),
    "zoho": ("credits", 0),
}
"""What of a sandbox says how many calls there are."""


_BUSY: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "mailchimp": (("forbidden", 1), ("crowded", 1)),
    "salesforce": (("lock_rows", 1), ("concurrent_refusals", 1)),
    "zoho": (("busy", 1),),
}
"""What of a sandbox says that one call is one too many, or meets a record that is at work."""


def _used_up(sandbox: Any, call: Call, rng: Random) -> Answer:
    """The platform's own word for an allowance that is used up; of those that know none, that for too many calls."""
    if sandbox.name not in _QUOTAS:
        return _too_many(sandbox, call, rng)
    return _switched(sandbox, call, *_QUOTAS[sandbox.name])


def _busy(sandbox: Any, call: Call, rng: Random) -> Answer:
    """The platform's own word for a bad moment, without anything that a header tells."""
    if sandbox.name not in _BUSY:
        return Answer(429, sandbox.refuse(call, 429, "Too many requests").body)
    return _switched(sandbox, call, *rng.choice(_BUSY[sandbox.name]))


def _switched(sandbox: Any, call: Call, name: str, least: Any) -> Answer:
    before = getattr(sandbox, name)
    setattr(sandbox, name, least)
    try:
        return sandbox.answer(call)  # type: ignore[no-any-return]
    finally:
        setattr(sandbox, name, before)


_ANSWERS: Mapping[str, Callable[[Any, Call, Random], Answer]] = {
    "too_many": _too_many,
    "unavailable": _unavailable,
    "used_up": _used_up,
    "busy": _busy,
    "redirected": _redirected,
    "login_lost": _unknown,
    "expired": _expired,
}

_PAGE = Answer(200, b"<html><head><title>502 Bad Gateway</title></head></html>", {"content-type": "text/html"})


def _cut_off(answer: Answer) -> Answer:
    """Fewer bytes than were announced."""
    length = {"content-length": str(len(answer.body) + 1)}
    return Answer(answer.status, answer.body[: len(answer.body) // 2], {**answer.headers, **length})


def _badly_packed(answer: Answer, rng: Random) -> Answer:
    kind = rng.choice(("gzip", "deflate"))
    return Answer(answer.status, b"\x1f\x8b\x08" + answer.body, {**answer.headers, "content-encoding": kind})


def _other_letters(answer: Answer, rng: Random) -> Answer:
    """Another charset than the JSON's, which no header tells."""
    try:
        text = answer.body.decode("utf-8")
        body = text.encode(rng.choice(("latin-1", "utf-16")))
    except UnicodeError:
        return _cut_off(answer)
    return Answer(answer.status, body, {**answer.headers, "content-type": "application/json"})


_SPOILED: Mapping[str, Callable[[Answer, Random], Answer]] = {
    "html": lambda answer, rng: _PAGE,
    "broken_after": lambda answer, rng: _gateway(rng),
    "truncated": lambda answer, rng: Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers),
    "cut_off": lambda answer, rng: _cut_off(answer),
    "badly_packed": _badly_packed,
    "other_letters": _other_letters,
}

FAULTS = (*_LOST, *_NEVER_HEARD, *_SPOILED, *_ANSWERS)
SPOILING = frozenset(_SPOILED)
"""After which nobody can read the answer."""
STORMS = ("too_many", "unavailable", "used_up", "busy", "refused", "never_answers")
"""What comes several times in a row, as it does."""


def struck(fault: str, sandbox: Any, call: Call, rng: Random) -> Answer | Break:
    """What the caller is given; the platform has done what was asked, or has not, as the fault has it."""
    if fault in _NEVER_HEARD:
        return _NEVER_HEARD[fault]
    if fault in _ANSWERS:
        return _ANSWERS[fault](sandbox, call, rng)
    answer: Answer = sandbox.answer(call)
    if fault in _LOST:
        return _LOST[fault]
    return _SPOILED[fault](answer, rng) if fault else answer
