"""Make two leads one: everything of the one becomes the other's, and nothing is asked of both any more."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, select, update

from sync import clashes
from sync.conversions import tell_once
from sync.core.addresses import MAIN
from sync.entries import pass_on
from sync.parked import answer_moot, park
from sync.state.schema import conflicts, conversions, handoffs, identities, journal, leads, records


def unite(tx: Connection, keep: str, lose: str, at: str) -> None:
    """Make two leads one: everything of `lose` becomes `keep`'s; `lose` stays as a pointer to it."""
    for table in (records, identities, journal, conversions):
        tx.execute(update(table).where(table.c.lead == lose).values(lead=keep))
    _inherit_answers(tx, keep, lose)
    _inherit(tx, keep, lose)
    _inherit_values(tx, keep, lose)
    _inherit_handoff(tx, keep, lose)
    clashes.end(tx, lose, at)
    pass_on(tx, keep, lose, at)
    tell_once(tx, keep)
    moot = conflicts.c.kind.in_(["field", "write"]) & (conflicts.c.lead == lose) & (conflicts.c.state == "open")
    tx.execute(update(conflicts).where(moot).values(state="closed", last_at=at))  # asked anew of `keep` if need be
    taken = select(handoffs.c.connection).where(handoffs.c.lead == keep)
    tx.execute(update(handoffs).where(handoffs.c.lead == lose, handoffs.c.connection.not_in(taken)).values(lead=keep))
    tx.execute(update(leads).where(leads.c.id == lose).values(state="merged", into=keep, dirty=0, updated_at=at))
    tx.execute(update(leads).where(leads.c.id == keep).values(dirty=1, updated_at=at))
    answer_moot(tx, keep, lose, at)


def _inherit_answers(tx: Connection, keep: str, lose: str) -> None:
    """What a person decided of one lead is decided of the one that it became."""
    mine = conflicts.c.kind.in_(["field", "write"]) & conflicts.c.lead.in_([keep, lose])
    known = tx.execute(select(conflicts).where(mine)).all()
    theirs = {(row.kind, row.connection, row.field): row for row in known if row.lead == keep}
    for row in known:
        if row.lead == keep or not row.decision:
            continue
        own = theirs.get((row.kind, row.connection, row.field))
        if own is None:
            tx.execute(update(conflicts).where(conflicts.c.id == row.id).values(lead=keep))
        elif row.kind == "field" and (values := _of_both(own, row)):
            tx.execute(update(conflicts).where(conflicts.c.id == own.id).values(values))


def _of_both(own: Any, other: Any) -> dict[str, Any]:
    """What changes of `own`, the question about a field of the lead that stays, where a person had decided `other`, the
    one about the same field of the lead that went. What holds for good goes before what holds for now. Of two that hold
    for good and differ neither was said of the one that they are, and the later takes nothing back: it is asked."""
    mine, told = orjson.loads(own.decision or "null"), orjson.loads(other.decision)
    if mine is None or (told["always"] and not mine["always"]):
        state = "decided" if told["always"] else own.state
        return {"decision": other.decision, "state": state, "why": other.why or own.why}
    if _said(mine) == _said(told):
        both = {**mine, "at": max(mine["at"], told["at"]), "heard": [*mine["heard"], *told["heard"]]}
        return {"decision": orjson.dumps(both).decode()}
    if mine["always"] and told["always"]:
        return {"decision": None, "state": "open", "why": own.why or other.why}
    return {}


def _said(decision: dict[str, Any]) -> tuple[bool, Any]:
    """What a decision about a field says, whenever it was given."""
    always = decision["always"]
    return always, decision["source"] if always and decision["source"] else decision["value"]


def _inherit(tx: Connection, keep: str, lose: str) -> None:
    """What was asked of one lead, whatever its rules, is asked of the one that it became."""
    mine = (conflicts.c.why != "") & (conflicts.c.lead == lose) & (conflicts.c.state == "open")
    for row in tx.execute(select(conflicts).where(mine)).all():
        options = orjson.loads(row.options)
        place = {"connection": row.connection, "field": row.field}
        park(tx, kind=row.kind, lead=keep, options=options, at=row.last_at, why=row.why, **place)


def _inherit_values(tx: Connection, keep: str, lose: str) -> None:
    """Where the lead that stays has no value and no reason, it has those of the other: what a record said that is gone
    by now is told by no record any more. Of whom it was told what came of them, it is taken back where no deal is left,
    whichever of the two it was. Which of its addresses the other knew as further ones is known of them still."""
    known = {row.id: row for row in tx.execute(select(leads).where(leads.c.id.in_([keep, lose])))}
    if len(known) < 2:  # the batch that makes it has not stored it yet
        return
    body, reasons = orjson.loads(known[keep].body), orjson.loads(known[keep].reasons)
    theirs, why = orjson.loads(known[lose].body), orjson.loads(known[lose].reasons)
    new = [name for name in why if name not in reasons and body.get(name) is None]
    noted = _noted(reasons[MAIN], why[MAIN]) if MAIN in reasons and MAIN in why else {}
    if not new and not noted:
        return
    body.update({name: theirs[name] for name in new if name in theirs})
    reasons.update({name: why[name] for name in new})
    if noted:
        reasons[MAIN].update(noted)
    told = {"body": orjson.dumps(body).decode(), "reasons": orjson.dumps(reasons).decode()}
    tx.execute(update(leads).where(leads.c.id == keep).values(told))


def _noted(own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What the reason `own` for the main address of the lead that stays is to note, too, of what `other` noted of the
    one that went: the records with further addresses; and those with its main one, on connections where the lead that
    stays has none with its own: elsewhere they bring an address along."""
    if own.get("holders") is None or not other.get("beside"):
        return {}
    here = {name.split("/")[0] for name in own["holders"]}
    more = [name for name in other.get("holders") or () if name.split("/")[0] not in here]
    return {"beside": [*own.get("beside", ()), *other["beside"]], "holders": [*own["holders"], *more]}


def _inherit_handoff(tx: Connection, keep: str, lose: str) -> None:
    """Whoever of the two qualified, and reached sales, did so for both, and at first: sales were promised them."""
    when = select(leads.c.qualified_at, leads.c.handed_off_at).where(leads.c.id.in_([keep, lose]))
    known = tx.execute(when).all()
    for name in ("qualified_at", "handed_off_at"):
        if first := min((at for row in known if (at := getattr(row, name))), default=""):
            tx.execute(update(leads).where(leads.c.id == keep).values({name: first}))
