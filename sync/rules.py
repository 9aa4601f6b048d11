"""The rules by which leads are decided, and the mappings by which they are planned, as a person wrote them: where one
has changed, all leads are decided anew, though no record of theirs did. A mapping may change and change back before its
platform could be reached: no pull tells of it then."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from sync.state.database import NOTE, upsert
from sync.state.schema import conflicts, leads, meta
from sync.withheld import note
from sync.workspace import Workspace

_NAME = "rules"
_ASKED = select(conflicts.c.id).where(conflicts.c.kind == "field", conflicts.c.state == "open").limit(1)


def changed(tx: Connection, workspace: Workspace) -> bool:
    """Whether the leads were decided last by other rules, or nobody has noted by which."""
    return tx.execute(NOTE, {"of": _NAME}).scalar() != workspace.rules


def heed(tx: Connection, workspace: Workspace) -> None:
    """Decide all leads anew if their rules have changed, and look whether their questions are any still. A state in
    which none are noted yet was decided by these."""
    if tx.execute(NOTE, {"of": _NAME}).scalar() not in (None, workspace.rules):
        tx.execute(update(leads).where(leads.c.state == "live").values(dirty=1))
        if tx.execute(_ASKED).first() is not None:
            note(tx, workspace.now())
    tx.execute(upsert(meta, tx, update=["value"]), [{"name": _NAME, "value": workspace.rules}])
