"""How a run takes its steps: pull, decide, push.

Each step ends with everything it did in the state, so that whoever comes next goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from config.errors import ClosedloopError, Fenced
from sync.hints import COMMAND as HINTS
from sync.hints import pass_on
from sync.restored import look_up, question
from sync.steps import rolled_back
from sync.steps.attempt import REBASELINE, Attempt
from sync.steps.decide import decide
from sync.steps.pull import pull
from sync.steps.push import push


def steps(attempt: Attempt) -> Iterator[str]:
    """The run, one transaction or one chunk of writes at a time; yields the name of the step just taken."""
    attempt.begin_anew()
    if rolled_back.is_told(attempt):
        yield from decide(attempt)
    for connection in attempt.connections:
        yield from attempt.once(f"pull:{connection}", partial(pull, attempt, connection))
    attempt.progress.stage("", "decide")
    yield from decide(attempt)
    if attempt.options["push"]:
        yield from push(attempt)
        _pass_on(attempt)
    if attempt.command == REBASELINE and not (attempt.errors or attempt.held):
        yield from _ask(attempt)


def _pass_on(attempt: Attempt) -> None:
    """What a webhook brought need not wait for the schedule of the connections that it is to be written to."""
    if attempt.news or (attempt.command == HINTS and attempt.ledger.total("pull", "applied")):
        pass_on(attempt.workspace, attempt.ledger, attempt.connections)


def _ask(attempt: Attempt) -> Iterator[str]:
    """What a restored state may not decide by itself becomes a question."""
    try:
        look_up(attempt.workspace, attempt.run, attempt.ledger)
    except Fenced:
        raise
    except ClosedloopError as error:
        attempt.errors.append(error)
        return
    yield from decide(attempt)
    question(attempt.workspace, attempt.run, attempt.ledger, missing=not attempt.options.get("choice"))
    yield from decide(attempt)
