"""Retries, in one place: which errors are worth another try, how often, how long to wait.

A connector sorts every failed call into one of our errors; this policy acts on the kind alone. A call that may have
changed something is retried only when the connector says that repeating it changes nothing more (`repeatable`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import tenacity

from config.clock import Clock
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
from config.log import Log

T = TypeVar("T")

ATTEMPTS = 6
LONGEST_WAIT = 60.0
"""Seconds. A platform that asks for more is not waited for within a call: the RetryLater goes up to the engine."""

_BACKOFF = tenacity.wait_exponential(multiplier=0.25, max=20.0) + tenacity.wait_random(0, 0.25)

_REFUSALS = (RetryLater, QuotaExhausted, AuthorizationLost, PermissionMissing, RecordRejected, Misconfigured)
"""How a platform, or the way there, refuses a call. What else is raised is no word on it: that of a run's end, say."""

log = Log(__name__)


def _wait(state: tenacity.RetryCallState) -> float:
    """What the platform asked for, at least the exponential back-off, both bounded."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, RetryLater) else 1.0
    backoff = _BACKOFF(state)
    return min(max(asked, backoff if asked >= 1.0 else min(backoff, asked)), LONGEST_WAIT)


def _worth_it(error: BaseException, repeatable: bool) -> bool:
    if isinstance(error, RetryLater):
        return error.after <= LONGEST_WAIT
    return repeatable and isinstance(error, InDoubt)


def call(
    attempt: Callable[[], T],
    *,
    clock: Clock,
    repeatable: bool,
    attempts: int = ATTEMPTS,
    on_retry: Callable[[RetryLater | InDoubt, float], None] | None = None,
) -> T:
    """The value of `attempt`, tried again on RetryLater and, when `repeatable`, on InDoubt; the last error otherwise.

    A refusal after a try whose fate is unknown leaves it unknown: then the error is InDoubt, whatever came last
    (`last_word`).
    `on_retry(error, seconds)` is told before each wait (to block the shared budget, to log).
    """

    def before_sleep(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        log.info("call.retry", attempt=state.attempt_number, wait=round(wait, 2), error=type(error).__name__)
        if on_retry is not None and isinstance(error, RetryLater | InDoubt):
            on_retry(error, wait)

    retrying = tenacity.Retrying(
        sleep=clock.sleep,
        stop=tenacity.stop_after_attempt(attempts),
        wait=_wait,
        retry=tenacity.retry_if_exception(lambda error: _worth_it(error, repeatable)),
        before_sleep=before_sleep,
        reraise=True,
    )
    doubts: list[InDoubt] = []

    def noted() -> T:
        try:
            return attempt()
        except InDoubt as doubt:
            doubts.append(doubt)
            raise

    try:
        return retrying(noted)
    except _REFUSALS as error:
        if not doubts:
            raise
        raise InDoubt(doubts[-1].what, fix=doubts[-1].fix, connection=doubts[-1].connection) from error


def half_done(error: ClosedloopError) -> InDoubt:
    """The error of a write of which the first calls were done when one of them ended so: it was neither refused nor
    never sent. Looked up, what is done is known, and what is left is asked for alone."""
    if isinstance(error, InDoubt):
        return error
    doubt = InDoubt(f"Only a part of it is done. {error.what}", fix=error.fix, connection=error.connection)
    doubt.__cause__ = error
    return doubt


def last_word(error: ClosedloopError) -> ClosedloopError:
    """The refusal that ended a call: of one in doubt what was answered when it was tried again, for whoever can tell
    from it what became of the first try (what is to be deleted is not there any more)."""
    cause = error.__cause__
    return cause if isinstance(error, InDoubt) and isinstance(cause, ClosedloopError) else error


def asked_wait(headers: Mapping[str, str], otherwise: float) -> float:
    """The seconds that `Retry-After` asks for, at least 0 and at most an hour; `otherwise` where it says nothing
    that can be read (a date, a negative number)."""
    asked = str(headers.get("retry-after") or headers.get("Retry-After") or "").strip()
    return min(float(asked), 3600.0) if asked.isascii() and asked.isdigit() else otherwise


def is_of_certificate(error: BaseException) -> bool:
    """Whether TLS failed for a certificate, which a person has to look at; else the connection broke, as any may."""
    return "certificate" in str(error).lower()


GATEWAYS = frozenset({408, 500, 502, 503, 504, 507, *range(520, 528), 529, 530, 598, 599})
"""Statuses after which nobody knows whether the call took effect: those of servers that failed or gave up waiting, and
those that proxies give without a standard (520 to 530, 598, 599)."""
