"""This machine's clock, held against the platforms'.

What people did when is told by the platforms' clocks, what we did by ours; a few hours between them do no harm, and the
simulation says so. By a clock that is days off, tokens never end or are over, what is kept for a year is a year old at
once, and who spoke last is anybody's guess.
"""

from __future__ import annotations

from datetime import timedelta

from config.clock import stamp, unstamp
from config.errors import Misconfigured
from connectors.api import Health
from sync.workspace import Workspace

WORTH_TELLING = 60.0
"""Seconds: less than this an answer may have been on its way."""
CODE = "clock"


def difference(health: Health) -> str:
    """What `check` says of the clock; '' where it is right, or the platform does not tell."""
    ahead = health.ahead or 0.0
    if abs(ahead) < WORTH_TELLING:
        return ""
    return f"this machine's clock is {_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} this platform's"


def heed(workspace: Workspace, connection: str, health: Health) -> None:
    """Keep by how much our clock is off. Raises Misconfigured where that is more than `guards.clock` allows."""
    ahead = health.ahead or 0.0
    workspace.ahead[connection] = ahead if abs(ahead) >= WORTH_TELLING else 0.0
    limit = workspace.project.guards.clock
    if not limit or abs(health.ahead or 0.0) <= limit:
        return
    raise Misconfigured(
        f"{difference(health).capitalize()}.",
        fix="Set the clock (a time service keeps it right). Nothing is read or written before; see `guards.clock`.",
        connection=connection,
        code=CODE,
    )


def theirs(workspace: Workspace, connection: str, at: str) -> str:
    """The moment `at`, a stamp of ours, by the platform's clock, as it was when the account was checked last."""
    ahead = workspace.ahead.get(connection, 0.0)
    return stamp(unstamp(at) - timedelta(seconds=ahead)) if ahead else at


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440:,} days"
