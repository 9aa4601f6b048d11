"""Guards hold a run before it does harm: too much would change, be opted out or be put away; an account looks emptied.

They count what a connection would be sent before anything is. A connection is guarded from the end of its first writes
on, which a person has seen and let through anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, false, func, literal_column, or_, select

from config.project import Limit
from connectors.api import Verb
from mappings.model import Field, Kind, Rule
from sync.core.plan import Planned
from sync.planning import plan_batches
from sync.settle import AWAY
from sync.state.database import upsert
from sync.state.schema import deal_people, dirty_leads, leads, meta, records, streams
from sync.targets import deal_targets
from sync.workspace import Workspace

SAMPLE = 5


@dataclass(slots=True)
class Held:
    """A connection that is sent nothing: why, and what it would have been sent, by object and verb."""

    connection: str
    why: str
    planned: dict[str, dict[str, int]] = field(default_factory=dict)
    sample: list[Planned] = field(default_factory=list)
    told: str = ""  # what is to be done, where that is something of its own

    @property
    def fix(self) -> str:
        return self.told or (
            f"Look at it with `closedloop plan {self.connection}`. If it is meant, `closedloop sync {self.connection} "
            "--allow-large-change` lets it through; `guards:` in the project file sets the limits."
        )


@dataclass(slots=True)
class Tally:
    """What the operations for one connection come to."""

    changed: int = 0
    opted_out: int = 0
    deleted: int = 0
    planned: dict[str, dict[str, int]] = field(default_factory=dict)
    sample: list[Planned] = field(default_factory=list)

    def add(self, operation: Planned, fields: Mapping[str, Field]) -> None:
        self.changed += 1
        self.opted_out += _opts_out(operation, fields)
        self.deleted += operation.verb in AWAY
        verbs = self.planned.setdefault(operation.object, {})
        verbs[operation.verb] = verbs.get(operation.verb, 0) + 1
        if len(self.sample) < SAMPLE:
            self.sample.append(operation)


def _opts_out(operation: Planned, fields: Mapping[str, Field]) -> bool:
    """Whether a person who stands there gets less mail, calls or texts by it. Someone new has nothing to lose."""
    return operation.verb == Verb.UPDATE and any(
        _closes(change, fields.get(change.field)) for change in operation.changes
    )


def _closes(change: Any, known: Field | None) -> bool:
    if known is None or known.rule is not Rule.MOST_RESTRICTIVE or change.new not in known.options:
        return False
    return change.new in closed(known)


def closed(known: Field) -> tuple[str, ...]:
    """The options of a consent that mean no; "unknown" and what stands before it do not."""
    return known.options[known.options.index("unknown") + 1 :] if "unknown" in known.options else known.options[1:]


_NOTED = select(meta.c.name).where(meta.c.name.like(literal_column("'guarded:%'")))


def guarded(tx: Connection, connections: Sequence[str]) -> set[str]:
    """Those of `connections` whose first writes are behind them."""
    found = {name.removeprefix("guarded:") for name in tx.execute(_NOTED).scalars()}
    return found & set(connections)


def guard(tx: Connection, connection: str, at: str) -> None:
    """From now on the connection is guarded."""
    tx.execute(upsert(meta, tx), [{"name": f"guarded:{connection}", "value": at}])


def judge(workspace: Workspace, names: Sequence[str], run: str) -> dict[str, Held]:
    """Those of `names` for which more is planned than the project's limits allow.

    The plan is counted only where the leads that wait for one are enough to break a limit: most runs pay one look.
    """
    limits = workspace.project.guards
    with workspace.state.read() as tx:
        leads_due = _count(tx, _DUE)
        known = guarded(tx, names) if leads_due else set()
        if not known:
            return {}
        due = _due(tx, workspace, leads_due)
        people = _by_connection(tx, _PEOPLE, known)
        totals = {name: people.get(name, 0) for name in names if name in known}
        waiting = _by_connection(tx, _PEOPLE_DUE, known)
        doubtful = [
            name for name, total in totals.items() if _may_break(tx, name, waiting.get(name, 0), total, due, workspace)
        ]
    if not doubtful:
        return {}
    tallies = _tallies(workspace, doubtful, run)
    found = {}
    for name, tally in tallies.items():
        told = [
            _broken(limits.changed, tally.changed, totals[name], "be changed"),
            _broken(limits.opted_out, tally.opted_out, totals[name], "be opted out"),
            _broken(limits.deleted, tally.deleted, totals[name], "be put away"),
        ]
        if why := "; ".join(filter(None, told)):
            found[name] = Held(name, why, tally.planned, tally.sample)
    return found


def _broken(limit: Limit, number: int, total: int, what: str) -> str:
    if not limit.breaks(number, total):
        return ""
    return f"{number:,} of {total:,} records would {what} (allowed are {limit.allowed(total):,})"


@dataclass(frozen=True, slots=True)
class _Due:
    """How many leads wait to be planned, how many of them say no to something, how many lost a record."""

    leads: int
    closed: int
    gone: int


def _due(tx: Connection, workspace: Workspace, number: int) -> _Due:
    signs = tuple(
        f'"{known.name}":"{option}"'
        for known in workspace.fields.values()
        if known.rule is Rule.MOST_RESTRICTIVE
        for option in closed(known)
    )
    told, left = tx.execute(_counts(signs)).one()
    return _Due(number, told, left)


def _may_break(tx: Connection, connection: str, here: int, total: int, due: _Due, workspace: Workspace) -> bool:
    """`here` are the person records of the leads that wait to be planned."""
    limits = workspace.project.guards
    if deal_targets(workspace, [connection]):
        here += _count(tx, _DEALS_DUE)
    spread = here / due.leads if here > due.leads else 1.0  # a lead may have several records in one place
    return (
        limits.changed.breaks(here + due.leads, total)
        or limits.opted_out.breaks(int(due.closed * spread + 0.5), total)
        or limits.deleted.breaks(int(due.gone * spread + 0.5), total)
    )


def _by_connection(tx: Connection, query: Any, names: Collection[str]) -> dict[str, int]:
    """What the query counts on each of these connections; one with nothing to count is left out."""
    if not names:
        return {}
    return dict(tx.execute(query, {"some": sorted(names)}).all())


_PEOPLE = (
    select(streams.c.connection, func.count())
    .select_from(records)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection.in_(bindparam("some", expanding=True)), streams.c.kind == Kind.LEAD.value)
    .where(records.c.gone.is_(None))
    .group_by(streams.c.connection)
)
"""The person records that stand on each connection, and those of them whose leads wait to be planned."""
_PEOPLE_DUE = _PEOPLE.join(leads, leads.c.id == records.c.lead).where(dirty_leads(2))
_DUE = select(func.count()).select_from(leads).where(dirty_leads(2))
_LEFT = (
    select(func.count(leads.c.id.distinct()))
    .join(records, records.c.lead == leads.c.id)
    .where(dirty_leads(2), records.c.gone.is_not(None))
)


_DEALS_DUE = (
    select(func.count())
    .select_from(deal_people)
    .join(
        streams, (streams.c.connection == deal_people.c.connection) & (streams.c.object == deal_people.c.person_object)
    )
    .join(records, (records.c.stream == streams.c.id) & (records.c.id == deal_people.c.person))
    .join(leads, leads.c.id == records.c.lead)
    .where(dirty_leads(2))
)
"""The deals of the leads that wait to be planned: each may have a copy to be made or changed."""


@cache
def _counts(signs: tuple[str, ...]) -> Any:
    """Of the leads that wait to be planned, those whose values hold one of these signs; those that lost a record."""
    closing = _DUE.where(or_(false(), *(leads.c.body.contains(sign, autoescape=True) for sign in signs)))
    return select(closing.scalar_subquery(), _LEFT.scalar_subquery())


def _count(tx: Connection, query: Any, given: Mapping[str, Any] | None = None) -> int:
    return int(tx.execute(query, given).scalar() or 0)


def _tallies(workspace: Workspace, names: Sequence[str], run: str) -> dict[str, Tally]:
    found = {name: Tally() for name in names}
    for batch in plan_batches(workspace, run):
        for operation in batch.operations:
            if operation.connection in found:
                found[operation.connection].add(operation, workspace.fields)
    return found


def emptied(limit: Limit, known: int, arrived: int, connection: str, object: str) -> Held | None:
    """The hold on a connection whose full pull of `object` brought next to nothing of what was `known`; None when all
    is well. `limit.share` is the share that must come, `limit.over` the number known from which on it counts."""
    if known <= limit.over or arrived >= known * limit.share:
        return None
    why = f"{object}: a full pull brought {arrived:,} records, and {known:,} were known: the account looks emptied"
    return Held(connection, why)


def known_records(tx: Connection, connection: str, object: str) -> int:
    """The live records known of an object."""
    return _count(tx, _RECORDS, {"of": connection, "named": object})


_RECORDS = (
    select(func.count())
    .select_from(records)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"), records.c.gone.is_(None))
)
