"""Personal data ages out of the journal: the values go, what was done where and how it ended stays to be counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from config.clock import stamp, unstamp
from sync.hints import COMMAND as HINTS
from sync.state.database import NOTE, upsert
from sync.state.schema import journal, meta, runs
from sync.workspace import Workspace

_MARK = "journal_aged"
_EVERY = timedelta(days=1)
_THIN = timedelta(days=7)
"""For so long the runs that followed webhooks are kept where they wrote nothing: there may be one every ten seconds."""


BLANK: dict[str, Any] = {
    "before": "{}",
    "after": "{}",
    "remote": "{}",
    "reasons": "{}",
    "times": None,
    "undoes": None,
    "error": None,
}
"""The columns of the journal that hold values, without any."""

_BLANKED = (
    update(journal)
    .where(journal.c.created_at < bindparam("since"), journal.c.reasons != "{}")
    .where(journal.c.state.in_(["settled", "withdrawn", "quarantined"]))
    .values(**BLANK)
)
_WROTE = select(journal.c.id).where(journal.c.run == runs.c.id).exists()
_THINNED = (
    delete(runs)
    .where(runs.c.command == HINTS, runs.c.state == "done", runs.c.started_at < bindparam("since"))
    .where(~_WROTE)
)


def age(tx: Connection, workspace: Workspace) -> int:
    """Blank what is older than `journal.keep_days`, at most once a day; how many rows lost their values.

    A write whose fate is unknown keeps them: they are what it is looked up by.
    """
    days = workspace.project.journal.keep_days
    now = workspace.clock.now()
    last = tx.execute(NOTE, {"of": _MARK}).scalar()
    if last and now - unstamp(last) < _EVERY:
        return 0
    tx.execute(upsert(meta, tx, update=["value"]), [{"name": _MARK, "value": stamp(now)}])
    tx.execute(_THINNED, {"since": stamp(now - _THIN)})
    return tx.execute(_BLANKED, {"since": stamp(now - timedelta(days=days))}).rowcount if days else 0
