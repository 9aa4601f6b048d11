"""A person's right to be forgotten.

Forgetting asks every platform first, each by its own way, as a run like any other; once all that can be asked have done
it, nothing of the person is left here but keyed digests, by which the person is not taken in again. Until then the same
command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Text, cast, delete, false, func, literal, or_, select, update

from config.errors import Misconfigured
from connectors.api import Verb
from mappings.canonical import Unreadable, email
from mappings.model import Kind
from sync.ageing import BLANK
from sync.conversions import forget_conversions
from sync.core.plan import Planned
from sync.epoch import advance, check, remember
from sync.load import chunks
from sync.runs import Options, Report, Runner
from sync.state.schema import (
    activities,
    conflicts,
    conversions,
    deal_people,
    handoffs,
    hints,
    identities,
    journal,
    leads,
    pins,
    quarantine,
    records,
    strangers,
    streams,
)
from sync.steps.push import FORGET
from sync.ties import touch_beside
from sync.workspace import Workspace

Place = tuple[str, str, str]
"""(connection, object, id) of a record."""


@dataclass(slots=True)
class Person:
    """What is held of one person: leads (those merged into it too), records, addresses."""

    address: str
    leads: list[str] = field(default_factory=list)
    records: list[Place] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Erasure:
    """What forgetting would do: operations for the platforms, and records that no program can remove, with why."""

    person: Person
    operations: list[Planned] = field(default_factory=list)
    left: list[tuple[Place, str]] = field(default_factory=list)


def canonical(address: str) -> str:
    """The address in its canonical form. Raises Misconfigured when it is none."""
    try:
        found = email(address)
    except Unreadable:
        found = None
    if not found:
        raise Misconfigured("This is no e-mail address.", fix="Write it like ana@example.com.")
    return found


def find(tx: Connection, address: str, places: Iterable[Place] = ()) -> Person:
    """Everything here that is of the person with this (canonical) address, or has one of these records."""
    person = Person(address, records=sorted(places))
    keys = select(identities.c.lead).where(identities.c.kind == "email", identities.c.value == address)
    fresh = {*tx.execute(keys).scalars(), *_leads_of(tx, person.records)}
    for connection, object, id, lead in tx.execute(_holding(address)):
        person.records.append((connection, object, id))
        fresh |= {lead} if lead else set()
    while fresh:
        person.leads.extend(sorted(fresh))
        merged = tx.execute(select(leads.c.id).where(leads.c.into.in_(fresh))).scalars()
        fresh = set(merged) - set(person.leads)
    linked = _RECORDS.where(records.c.lead.in_(person.leads))
    person.records = sorted({*person.records, *((row[0], row[1], row[2]) for row in tx.execute(linked))})
    theirs = select(identities.c.value).where(identities.c.kind == "email", identities.c.lead.in_(person.leads))
    person.addresses = sorted({address, *tx.execute(theirs).scalars()})
    return person


_RECORDS = select(streams.c.connection, streams.c.object, records.c.id, records.c.lead).join(
    streams, streams.c.id == records.c.stream
)


def _holding(address: str) -> Any:
    """Records of people that hold the address, parked ones too."""
    return _RECORDS.where(streams.c.kind == Kind.LEAD.value, _mentions(records.c.body, [address]))


def _leads_of(tx: Connection, places: Iterable[Place]) -> set[str]:
    found: set[str] = set()
    for connection, object, id in places:
        mine = (streams.c.connection == connection) & (streams.c.object == object) & (records.c.id == id)
        found.update(row.lead for row in tx.execute(_RECORDS.where(mine)) if row.lead)
    return found


def erasure(workspace: Workspace, address: str) -> Erasure:
    """What forgetting the person with this address would do, after a look on every platform for records of theirs that
    were never pulled."""
    with workspace.state.read() as tx:
        known = find(tx, address)
    there = [place for name in workspace.connections for place in _standing(workspace, name, known.addresses)]
    with workspace.state.read() as tx:
        made = Erasure(find(tx, address, there))
        told = _told(tx, made.person.leads)
    for place in made.person.records:
        _ask(workspace, made, place)
    for row in told:
        _ask_of_outcome(workspace, made, row)
    return made


def _told(tx: Connection, people: Sequence[str]) -> list[Any]:
    """The journal's rows of the outcomes of these leads that platforms were told."""
    names = [journal.c[name] for name in ("connection", "object", "record", "remote", "lead")]
    event = (conversions.c.connection == journal.c.connection) & (conversions.c.object == journal.c.object)
    made = (journal.c.verb == Verb.CREATE.value) & (journal.c.state == "settled") & (journal.c.record != "")
    query = select(*names).where(made, journal.c.lead.in_(people), select(conversions.c.event_id).where(event).exists())
    return list(tx.execute(query.order_by(journal.c.id)))


def _ask_of_outcome(workspace: Workspace, made: Erasure, row: Any) -> None:
    """Have an outcome erased where it was told, if that can be asked for."""
    before = len(made.operations)
    _ask(workspace, made, (row.connection, row.object, row.record))
    if len(made.operations) > before:  # it is known by its own id there, not by an address
        made.operations[-1] = replace(made.operations[-1], lead=row.lead, match=orjson.loads(row.remote)["match"])


def _standing(workspace: Workspace, connection: str, addresses: Sequence[str]) -> Iterable[Place]:
    """The records of `connection` that can be found by these addresses."""
    for object, facts in workspace.manifest(connection).objects.items():
        mapped = workspace.mapped(connection).get(object)
        entry = mapped.entries.get("email") if mapped and facts.kind is Kind.LEAD else None
        if mapped is None or entry is None or entry.remote not in facts.unique:
            continue
        found = workspace.connector(connection).read(object, entry.remote, addresses, mapped.remote_fields)
        yield from ((connection, object, record.id) for record in found.values())


def _ask(workspace: Workspace, made: Erasure, place: Place) -> None:
    connection, object, id = place
    if connection not in workspace.connections:
        made.left.append((place, "the project has no such connection any more"))
        return
    facts = workspace.manifest(connection)
    if not workspace.project.connections[connection].push:
        made.left.append((place, "the project writes nothing there (push: false)"))
    elif object not in facts.objects or Verb.ERASE not in facts.objects[object].push:
        made.left.append((place, f"{facts.title} has no way for a program: remove it there"))
    else:
        mapped = workspace.mapped(connection).get(object)
        entry = mapped.entries.get("email") if mapped else None
        match = {entry.remote: made.person.address} if entry is not None and entry.remote else {}
        lead = made.person.leads[0] if made.person.leads else ""
        operation = Planned(connection, object, Verb.ERASE.value, lead, id, (), {}, match, 0, "to be forgotten")
        made.operations.append(operation)


def forget(workspace: Workspace, made: Erasure, runner: Runner) -> Report | None:
    """Ask the platforms, then forget here. The report of the run; None where there was nobody to ask.

    Nothing is forgotten here while a platform has still to be asked: the report says so by its state or its counts.
    """
    check(workspace.state, workspace.marks)
    _suppress(workspace, made.person)
    report = None
    if made.operations:
        names = sorted({operation.connection for operation in made.operations})
        choice = (
            made.person.leads[0] if made.person.leads else workspace.suppression.digest("email", made.person.address)
        )
        options = Options(approve=True, choice=choice)
        report = runner.send(FORGET, names, made.operations, [], options)
        if not all_done(report):
            return report
    with workspace.state.begin() as tx:
        scrub(tx, made.person)
    return report


def _suppress(workspace: Workspace, person: Person) -> None:
    """From now on nobody takes the person in, and no other run decides or writes anything about them."""
    keys = [("email", address) for address in person.addresses]
    keys += [("record", "/".join(place)) for place in person.records]
    with workspace.state.begin() as tx:
        workspace.suppression.add(tx, keys, workspace.now())
        advance(tx)
        touch_beside(tx, person.leads)
        tx.execute(update(leads).where(leads.c.id.in_(person.leads)).values(state="forgotten", dirty=0))
    remember(workspace.state, workspace.marks)  # a state restored from before forgets them again


def all_done(report: Report) -> bool:
    """Whether every platform that was asked has done it."""
    rows = [row for objects in report.counts["write"].values() for row in objects.values()]
    return report.state == "done" and all(row["planned"] == row["applied"] for row in rows)


def scrub(tx: Connection, person: Person) -> None:
    """Remove the person from every table; of the journal's rows the counts stay, and nothing that says whose."""
    for connection, object, id in person.records:
        _scrub_record(tx, connection, object, id)
    tx.execute(delete(activities).where(activities.c.email.in_(person.addresses)))
    tx.execute(delete(hints).where(func.lower(hints.c.record).in_(person.addresses)))  # some platforms name by address
    tx.execute(delete(conflicts).where(_mentions(conflicts.c.options, [*person.addresses, *person.leads])))
    for some in chunks(person.leads):
        forget_conversions(tx, some)
        for table in (conflicts, quarantine, handoffs, identities):
            tx.execute(delete(table).where(table.c.lead.in_(some)))
        _blank(tx, journal.c.lead.in_(some))
        tx.execute(delete(strangers).where(strangers.c.one.in_(some) | strangers.c.other.in_(some)))
        tx.execute(delete(leads).where(leads.c.id.in_(some)))
    tx.execute(delete(identities).where(identities.c.kind == "email", identities.c.value.in_(person.addresses)))


def _scrub_record(tx: Connection, connection: str, object: str, id: str) -> None:
    stream = tx.execute(
        select(streams.c.id).where(streams.c.connection == connection, streams.c.object == object)
    ).scalar()
    here = (deal_people.c.connection == connection) & (deal_people.c.person_object == object)
    tx.execute(delete(deal_people).where(here, deal_people.c.person == id))
    theirs = select(streams.c.id).where(streams.c.connection == connection)
    tx.execute(delete(activities).where(activities.c.stream.in_(theirs), activities.c.person == f"{object}/{id}"))
    tx.execute(delete(records).where(records.c.stream == stream, records.c.id == id))
    tx.execute(delete(pins).where(pins.c.stream == stream, pins.c.record == id))
    for table in (conflicts, quarantine, hints):
        mine = (table.c.connection == connection) & (table.c.object == object) & (table.c.record == id)
        tx.execute(delete(table).where(mine))
    tx.execute(
        delete(identities).where(identities.c.kind == "record", identities.c.value == f"{connection}/{object}/{id}")
    )
    _blank(tx, (journal.c.connection == connection) & (journal.c.object == object) & (journal.c.record == id))


def _mentions(column: Any, words: Sequence[str]) -> ColumnElement[bool]:
    return or_(false(), *(column.contains(f'"{word}"', autoescape=True) for word in words))


def _blank(tx: Connection, mine: ColumnElement[bool]) -> None:
    """Rows of the journal without values, without whose they are, and without a name made of them."""
    tx.execute(
        update(journal).where(mine, journal.c.state.in_(["intent", "sent", "in_doubt"])).values(state="withdrawn")
    )
    nobody = {**BLANK, "lead": None, "record": "", "op": literal("forgotten:") + cast(journal.c.id, Text)}
    tx.execute(update(journal).where(mine).values(**nobody))
