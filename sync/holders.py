"""Records that had the main address of their lead before anybody merged it again, and have another by now.

Who has the main address is noted when a lead is merged. A record that was made since, by us as a rule, has it and is
not noted: where somebody changes the address there, it passed for one that joined with an address of its own.
"""

from __future__ import annotations

import orjson
from sqlalchemy import Connection, bindparam, select, update

from sync.core.addresses import MAIN
from sync.state.schema import leads

_REASONS = select(leads.c.reasons).where(leads.c.id == bindparam("who"), leads.c.state == "live")
_NOTED = update(leads).where(leads.c.id == bindparam("who")).values(reasons=bindparam("told"))


def had_main(tx: Connection, lead: str, record: str) -> None:
    """Note of the record (connection/object/id) of a lead that it had the main address. One that is known to have
    another beside it keeps that."""
    reasons = orjson.loads(tx.execute(_REASONS, {"who": lead}).scalar() or "{}")
    why = reasons.get(MAIN)
    if why is None or why.get("holders") is None:  # merged by a version that noted none
        return
    noted = {*why["holders"], *(name for name, _ in why.get("beside", ()))}
    if record not in noted:
        why["holders"].append(record)
        tx.execute(_NOTED, {"who": lead, "told": orjson.dumps(reasons).decode()})
