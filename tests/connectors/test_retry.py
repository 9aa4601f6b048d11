"""A refusal says nothing of the tries before it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Fenced,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from connectors import retry


def call(*errors: ClosedloopError) -> str:
    """What comes of a repeatable write whose tries end so, the last one well."""
    ends: Iterator[ClosedloopError] = iter(errors)

    def attempt() -> str:
        if error := next(ends, None):
            raise error
        return "done"

    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    return retry.call(attempt, clock=clock, repeatable=True, attempts=len(errors))


REFUSALS = (
    RetryLater("Busy.", after=1),
    QuotaExhausted("None left."),
    AuthorizationLost("Out."),
    PermissionMissing("Not allowed."),
    RecordRejected("There already.", code="duplicate"),
    Misconfigured("Another certificate."),
)


@pytest.mark.parametrize("last", REFUSALS)
def test_a_write_that_may_have_happened_is_in_doubt_whatever_came_last(last: ClosedloopError) -> None:
    with pytest.raises(InDoubt, match="No answer") as told:
        call(InDoubt("No answer.", connection="crm"), last)
    assert told.value.connection == "crm"
    assert told.value.__cause__ is last
    assert retry.last_word(told.value) is last
    assert retry.last_word(last) is last


def test_what_was_only_ever_refused_is_not() -> None:
    with pytest.raises(RetryLater):
        call(RetryLater("Busy.", after=1), RetryLater("Busy.", after=1))


def test_the_end_of_a_run_is_no_refusal() -> None:
    with pytest.raises(Fenced):
        call(InDoubt("No answer."), Fenced("Another took over."))
