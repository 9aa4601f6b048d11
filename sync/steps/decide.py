"""The steps that decide: whose the records are and what the leads become, some leads at a time."""

from __future__ import annotations

from collections.abc import Iterator

from sync import rules
from sync.deals import newly_copied
from sync.decide import decide_some
from sync.resolve import is_decided
from sync.steps.attempt import Attempt


def decide(attempt: Attempt) -> Iterator[str]:
    """Until nothing is left that was marked to be decided."""
    _heed_rules(attempt)
    more = not _is_decided(attempt)
    while more:
        with attempt.workspace.state.begin() as tx:
            attempt.ledger.enter(tx)
            decided, more = decide_some(tx, attempt.workspace)
            for (connection, object), number in decided.parked.items():
                attempt.ledger.parked(tx, connection, object, number)
        if decided.leads:
            attempt.progress.decided(decided.leads)
        yield "decide"
        more = more and not _is_decided(attempt)


def _heed_rules(attempt: Attempt) -> None:
    """Most runs find the rules as they were: to see that takes no writer's turn."""
    with attempt.workspace.state.read() as tx:
        if not rules.changed(tx, attempt.workspace):
            return
    with attempt.workspace.state.begin() as tx:
        attempt.ledger.enter(tx)
        rules.heed(tx, attempt.workspace)


def _is_decided(attempt: Attempt) -> bool:
    """Most runs have nothing to decide, most of the time: to see that takes no writer's turn."""
    with attempt.workspace.state.read() as tx:
        return is_decided(tx) and not newly_copied(tx, attempt.workspace)
