"""Questions for a person: two values and no rule that decides, two leads that claim one record or one address.

A question is asked once and renewed while it stands. An answer about a field holds while the records say nothing new,
or for good; an answer about who is who holds for good. A field on which the records have come to agree asks no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, insert, select, update

from config.errors import Misconfigured
from mappings.canonical import Unreadable, canonical
from sync.core.merge import Decision, Undecided
from sync.load import chunks
from sync.parked import ROLLED_BACK, park
from sync.state.schema import conflicts, leads, records, streams
from sync.unite import unite
from sync.withheld import LOST, WRITE, decide_write, option_of
from sync.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says: exactly one of the ways that the question allows, see `answer`."""

    take: str = ""
    value: str | None = None
    new: bool = False
    same: bool = False
    apart: bool = False
    always: bool = False
    write: bool = False
    leave: bool = False

    @property
    def ways(self) -> list[str]:
        said = {
            "--take": self.take,
            "--value": self.value is not None,
            "--new": self.new,
            "--same": self.same,
            "--apart": self.apart,
            "--write": self.write,
            "--leave": self.leave,
        }
        return [name for name, given in said.items() if given]


_LISTED = select(conflicts).where(conflicts.c.state == bindparam("state")).order_by(conflicts.c.id)


def listed(tx: Connection, state: str = "open") -> list[dict[str, Any]]:
    """The questions in this state, oldest first, their options decoded."""
    return [_shown(row) for row in tx.execute(_LISTED, {"state": state}).mappings()]


def found(tx: Connection, id: int) -> dict[str, Any]:
    """One question in full. Raises Misconfigured when there is none of this number."""
    row = tx.execute(select(conflicts).where(conflicts.c.id == id)).mappings().one_or_none()
    if row is None:
        raise Misconfigured(f"There is no question {id}.", fix="`closedloop conflicts list` shows them.")
    return _shown(row)


def _shown(row: Any) -> dict[str, Any]:
    options, decision = orjson.loads(row["options"]), row["decision"]
    return {**row, "options": options, "decision": orjson.loads(decision) if decision else None}


def answer(tx: Connection, workspace: Workspace, id: int, given: Answer) -> str:
    """Decide question `id` and say in a line what follows. Raises Misconfigured when the answer does not fit it.

    A field takes `take` (the source whose value it is) or `value`; `always` makes it hold whatever is said later.
    A match takes `take` (a lead) or `new` where the record is nobody's yet, `same` (all these leads are one person)
    and, where the record is somebody's, `apart` (they are not, and what they share stays where it is). A write takes
    `write` (it is done with the next sync) or `leave`.
    """
    question = found(tx, id)
    if question["state"] == "closed":
        why = "they are one by now" if question["kind"] == "match" else "the records agree by now"
        raise Misconfigured(f"Question {id} has gone: {why}.", fix="Nothing is to be done.")
    allowed = ways(tx, question)
    if not given.ways:
        raise Misconfigured("No answer is given.", fix=f"Give one of: {', '.join(allowed)}.")
    if len(given.ways) > 1 or given.ways[0] not in allowed:
        raise Misconfigured("This question takes another answer.", fix=f"Give one of: {', '.join(allowed)}.")
    if question["kind"] == "field":
        return _decide_field(tx, workspace, question, given)
    if question["kind"] == WRITE:
        return decide_write(tx, question, write=given.write, at=workspace.now())
    if given.always:
        raise Misconfigured("--always is for values.", fix="Leave it out: who is who is decided for good anyway.")
    return _decide_match(tx, workspace, question, given)


def ways(tx: Connection, question: dict[str, Any]) -> list[str]:
    """The options of `conflicts resolve` that may answer the question."""
    if question["kind"] == "field":
        return ["--take", "--value"]
    if question["kind"] == WRITE:
        return ["--write", "--leave"]
    return ["--same", "--apart"] if _holder(tx, question) else ["--take", "--new", "--same"]


def _holder(tx: Connection, question: dict[str, Any]) -> str | None:
    """The lead that the question's record is linked to."""
    return tx.execute(_record(records.c.lead, question)).scalar()


def _record(column: Any, question: dict[str, Any]) -> Any:
    joined = select(column).select_from(records).join(streams, streams.c.id == records.c.stream)
    place = (streams.c.connection == question["connection"]) & (streams.c.object == question["object"])
    return joined.where(place, records.c.id == question["record"])


# fields


def decisions(tx: Connection, ids: Sequence[str]) -> dict[str, dict[str, Decision]]:
    """What persons decided about fields of these leads: by lead and field."""
    given: dict[str, dict[str, Decision]] = defaultdict(dict)
    for some in chunks(list(ids)):
        query = select(conflicts).where(
            conflicts.c.kind == "field", conflicts.c.decision.is_not(None), conflicts.c.lead.in_(some)
        )
        for row in tx.execute(query):
            told = orjson.loads(row.decision)
            told["heard"] = tuple((source, value) for source, value in told["heard"])
            given[row.lead][row.field] = Decision(**told, whatever=row.why != "", once=row.why == ROLLED_BACK)
    return given


def leads_asked(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these leads with a question about a field open."""
    asked: set[str] = set()
    for some in chunks(list(ids)):
        mine = (conflicts.c.kind == "field") & (conflicts.c.state == "open") & conflicts.c.lead.in_(some)
        asked.update(tx.execute(select(conflicts.c.lead).where(mine)).scalars())
    return asked


def park_fields(tx: Connection, lead: str, undecided: Sequence[Undecided], at: str) -> None:
    """Ask about these fields of the lead, and close the questions on which its records agree by now."""
    for question in undecided:
        options = [option_of(voice) for voice in question.options]
        park(tx, kind="field", lead=lead, field=question.field, options=options, at=at)
    mine = (conflicts.c.kind == "field") & (conflicts.c.lead == lead)
    asked = [question.field for question in undecided]
    tx.execute(update(conflicts).where(mine, conflicts.c.field.in_(asked)).values(state="open"))
    past = mine & (conflicts.c.state == "open") & conflicts.c.field.not_in(asked)
    tx.execute(update(conflicts).where(past).values(state="closed", last_at=at))


def _decide_field(tx: Connection, workspace: Workspace, question: dict[str, Any], given: Answer) -> str:
    options = {option["source"]: option["value"] for option in question["options"]}
    name = question["field"]
    if given.take and given.take not in options:
        raise Misconfigured(f"{given.take} has no say here.", fix=f"--take one of: {', '.join(options)}.")
    if given.take:
        value = options[given.take]
    else:
        try:
            value = canonical(workspace.fields[name], given.value)
        except Unreadable as error:
            raise Misconfigured(f"The value for {name} {error.reason}.", fix="Give another.") from error
    decision = {
        "value": value,
        "at": workspace.now(),
        "source": "" if given.take.startswith(LOST) else given.take,  # no record says it: it is a value
        "always": given.always,
        "heard": [[source, told] for source, told in options.items()],
    }
    _close(tx, question, decision)
    tx.execute(update(leads).where(leads.c.id == question["lead"], leads.c.state == "live").values(dirty=1))
    return f"{name} is decided. `closedloop sync` writes it where it differs."


def _close(tx: Connection, question: dict[str, Any], decision: dict[str, Any]) -> None:
    values = {"state": "decided", "decision": orjson.dumps(decision).decode()}
    tx.execute(update(conflicts).where(conflicts.c.id == question["id"]).values(**values))


# who is who


def _decide_match(tx: Connection, workspace: Workspace, question: dict[str, Any], given: Answer) -> str:
    at = workspace.now()
    rivals = _live(tx, [option["lead"] for option in question["options"]])
    told = {"at": at, "take": given.take, "new": given.new, "same": given.same, "apart": given.apart}
    if given.apart:
        _close(tx, question, told)
        return "They stay two persons. What they share stays where it is."
    if given.take:
        if given.take not in rivals:
            raise Misconfigured(f"{given.take} is none of these leads.", fix=f"--take one of: {', '.join(rivals)}.")
        lead = given.take
    elif given.new:
        lead = new_lead(tx, workspace)
    else:
        lead = min(rivals)
        for other in rivals:
            if other != lead:
                unite(tx, lead, other, at)
    place = _record(records.c.stream, question).scalar_subquery()
    mine = (records.c.stream == place) & (records.c.id == question["record"])
    tx.execute(update(records).where(mine, records.c.lead.is_(None)).values(lead=lead, dirty=True))
    tx.execute(update(leads).where(leads.c.id == lead).values(dirty=1, updated_at=at))
    _close(tx, question, told)
    return f"The record is {lead}'s. `closedloop sync` goes on from there."


def _live(tx: Connection, ids: Sequence[str]) -> list[str]:
    """These leads as they are by now, where some were made one."""
    now: list[str] = []
    for id in dict.fromkeys(ids):
        row = tx.execute(select(leads.c.id, leads.c.into, leads.c.state).where(leads.c.id == id)).one_or_none()
        while row is not None and row.into:
            row = tx.execute(select(leads.c.id, leads.c.into, leads.c.state).where(leads.c.id == row.into)).one()
        if row is not None and row.state == "live":
            now.append(row.id)
    if not now:
        raise Misconfigured(
            "None of these leads is there any more.", fix="Sync: the question is asked anew if need be."
        )
    return list(dict.fromkeys(now))


def new_lead(tx: Connection, workspace: Workspace) -> str:
    """A lead without any record yet."""
    lead, at = workspace.new_id(), workspace.now()
    row = {"id": lead, "body": "{}", "reasons": "{}", "created_at": at, "updated_at": at, "dirty": 1}
    tx.execute(insert(leads), [row])
    return lead
