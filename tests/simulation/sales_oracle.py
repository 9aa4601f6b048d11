"""What must hold of people who are handed to sales: judged by what marketing and sales did, and what stands on both
sides. P1, P2 ... name the properties.

It is simpler than the engine: who qualifies, titles and forms say; a person is whoever has one of the addresses that
were merged; what sales was told are the tasks that stand in the CRM.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import func, select

from config.clock import unstamp
from connectors.api import Gone, Verb
from mappings.model import LIFECYCLE
from sync.core.conversions import OF_LEADS
from sync.state.schema import connections, conversions, journal, leads
from tests.simulation.deals_oracle import Judge
from tests.simulation.desk import PEOPLE, Desk
from tests.simulation.oracle import Violation
from tests.simulation.sales import READY
from tests.simulation.side import Row

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario

_LIVES_ON = (Gone.MERGED, Gone.CONVERTED)
_APPROVED = select(connections.c.approved_at).where(connections.c.name == "beta")


class _Person:
    """All that there is of one person: their records on each side, what they sent, and what sales was told."""

    def __init__(self, judge: Judge, name: str) -> None:
        self.name = name
        self.names = {one for one in judge.names if judge.person(one) == name}
        self.addresses = {address for address, found in judge.holders.items() if name in found}
        self.mail = self._records(judge.mail)
        self.crm = self._records(judge.crm)
        self.elsewhere = [row for side in judge.scenario.desks.values() for row in self._records(side)]
        self.tasks = [row for row in judge.crm.every("tasks").values() if _whose(judge.crm, row) in self.names]
        forms = judge.scenario.sales.forms
        self.forms = [form for one in sorted(self.names) for form in forms.get(one, ())]
        told = [row for one in self.mail for row in judge.mail.history[one.id]]
        self.titles = [row for row in told if row.values.get("title")]
        self.ready = [row.at for row in self.titles if READY in row.values["title"]] + [at for _, at in self.forms]

    def _records(self, side: Desk) -> list[Row]:
        every = [row for object in PEOPLE for row in side.every(object).values()]
        return [row for row in every if side.whose[row.id] in self.names]

    @property
    def is_ready(self) -> bool:
        """Whether they qualify as they stand."""
        here = [row for row in self.mail if row.gone is None]
        return bool(here) and (bool(self.forms) or all(READY in (row.values.get("title") or "") for row in here))

    @property
    def is_whole(self) -> bool:
        """Whether nobody ever deleted or put away any record of theirs."""
        return all(row.gone in (None, *_LIVES_ON) for row in self.elsewhere)


def check(scenario: DealScenario) -> None:
    """Judge a world that came to rest."""
    judge = Judge(scenario)
    _check_tasks(judge)
    with scenario.workspace.state.read() as tx:
        approved = tx.execute(_APPROVED).scalar()
    for name in sorted({judge.person(one) for one in judge.names} - judge.mistaken):
        person = _Person(judge, name)
        _check_stories(judge, person)
        _check_uncalled(judge, person)
        if person.is_ready and person.is_whole:
            _check_handed(judge, person, unstamp(approved) if approved else None)
        if person.tasks and person.is_whole:
            _check_told_back(person)
        _check_status(judge, person)
        if "gamma" in scenario.desks:
            _check_events(judge, scenario.desks["gamma"], person)
    if "gamma" in scenario.desks:
        _check_told_once(scenario)


def _whose(side: Desk, task: Row) -> str:
    """Whom a task is about, by the address that they joined with."""
    return side.whose[str(task.values["person"]).rpartition("/")[2]]


def _check_tasks(judge: Judge) -> None:
    """P3: no story is told twice, whatever answers were lost."""
    told = Counter(row.values["reference"] for row in judge.crm.every("tasks").values())
    again = [name for name, number in told.items() if number > 1 + judge.crm.unheard[name]]
    if again:
        raise Violation(f"P3: handed over more than once: {again}")


def _check_stories(judge: Judge, person: _Person) -> None:
    """P3, P5: sales is told once of each whom it was handed, and nothing that was not so by then."""
    unheard = {str(row.values["reference"]) for row in person.tasks}
    if len(person.tasks) > len(person.names) + sum(judge.crm.unheard[name] for name in unheard):
        raise Violation(f"P3: {person.name} was handed over {len(person.tasks)} times")
    for task in person.tasks:
        body, by = str(task.values["body"]), judge.crm.history[task.id][0].at
        if not any(address in body for address in person.addresses):
            raise Violation(f"P5: the story of {person.name} is about somebody else: {body}")
        told = {line for line in body.splitlines() if line.startswith((READY, "Intern"))}
        titles = {row.values["title"] for row in person.titles if row.at <= by}
        if any(line.partition(" · ")[0] not in titles for line in told):
            raise Violation(f"P5: {person.name} never was, by then, what sales is told: {told}")
        sent = {name for name, at in person.forms if at <= by}
        forms = {line.rpartition("the form ")[2] for line in body.splitlines() if "sent the form" in line}
        if not forms <= sent:
            raise Violation(f"P5: {person.name} had not sent {forms - sent} by then")
        if ("decides" in body) < ("asked" in body) and not forms:
            raise Violation(f"P5: {person.name} was handed over by a form, and the story tells of none")


def _check_uncalled(judge: Judge, person: _Person) -> None:
    """P5: nobody is made in the CRM, or handed over, who never qualified."""
    if person.ready:
        return
    made = [
        values
        for verb, over, values in judge.crm.writes
        if verb is Verb.CREATE and over is None and judge.spoken_of(judge.crm, over, values) == person.name
    ]
    if made or person.tasks:
        raise Violation(f"P5: {person.name} never qualified, and sales was given {made or person.tasks}")


def _check_handed(judge: Judge, person: _Person, approved: datetime | None) -> None:
    """P2, P1: whoever qualifies stands in the CRM, with the story and as marketing has them."""
    here = [row for row in person.crm if row.gone is None]
    if not here and {("beta", name) for name in person.names} & judge.waiting.unmade:
        return  # another has the address there, as quarantine says
    if not here:
        raise Violation(f"P2: {person.name} qualifies, and was not handed over")
    late = approved is not None and min(person.ready) > approved
    if late and len(person.names) == 1 and not person.tasks:
        raise Violation(f"P2: sales was not told why {person.name} was handed over")
    _check_told_back(person)
    [*titles] = {row.values.get("title") for row in person.mail}
    for row in here if len(person.mail) == 1 else ():
        if row.values.get("title") != titles[0]:
            raise Violation(f"P1: {person.name} is {titles[0]!r}, and beta/{row.id} {row.values.get('title')!r}")


def _check_told_back(person: _Person) -> None:
    """P1: marketing is told that somebody qualified and reached sales, and takes neither back."""
    for row in person.mail:
        if row.gone is None:
            told = (bool(row.values.get("ready")), bool(row.values.get("handed")))
            stage = row.values.get("stage") or LIFECYCLE[0]
            if told != (True, True) or LIFECYCLE.index(stage) < LIFECYCLE.index("sales_qualified"):
                raise Violation(f"P1: {person.name} was handed over; alpha/{row.id} is told {told}, {stage}")


def _check_status(judge: Judge, person: _Person) -> None:
    """P1: what sales said of somebody last, marketing is told. Of several records of theirs any may count."""
    said: dict[str, set[str]] = defaultdict(set)
    for row in person.crm:
        said[row.id] = {one.values["status"] for one in judge.crm.history[row.id] if one.values.get("status")}
    may = set().union(*said.values())
    for row in person.mail:
        told = row.values.get("status")
        if told and told not in may:
            raise Violation(f"P5: {person.name} is told to be {told!r} by sales, who never said so")
        if row.gone is None and len(person.crm) == 1 and person.is_whole and told != person.crm[0].values.get("status"):
            raise Violation(
                f"P1: sales says {person.crm[0].values.get('status')!r} of {person.name}, alpha has {told!r}"
            )


def _check_events(judge: Judge, side: Desk, person: _Person) -> None:
    """P2, P3: that somebody qualified, reached sales and is in a deal is told once of each whom it befell."""
    every = side.every("outcomes").values()
    told = Counter(row.values["event"] for row in every if _may_be_told_of(judge, row) == {person.name})
    perhaps = {row.values["event"] for row in every if person.name in _may_be_told_of(judge, row)}
    handed = bool(person.tasks)
    befell = {"qualified": handed, "working": handed, "opportunity": bool(judge.counted(person.name))}
    for event, must in befell.items():
        if told[event] > len(person.names):
            raise Violation(f"P3: it was told {told[event]} times that {person.name} is {event}")
        if must and person.is_whole and event not in perhaps:
            raise Violation(f"P2: nobody was told that {person.name} is {event}")


def _may_be_told_of(judge: Judge, row: Row) -> set[str]:
    """Whose an outcome is, by the name of a lead that a record of theirs bore; of a lead whose name never came to stand
    anywhere its address tells, which may have been several people's."""
    name = judge.events.get(row.values["event_id"])
    return {judge.person(name)} if name else judge.holders[str(row.values.get("person")).casefold()]


def _check_told_once(scenario: DealScenario) -> None:
    """P3: once two are known to be one person, nothing is told of them that was told of either."""
    stands = {row.values["event_id"] for row in scenario.desks["gamma"].every("outcomes").values()}
    with scenario.workspace.state.read() as tx:
        united = dict(map(tuple, tx.execute(_UNITED)))
        noted = {row.event_id: (row.lead, row.event) for row in tx.execute(_NOTED) if row.event_id in stands}
        tried = tx.execute(_TRIED).all()
    first: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in tried:
        event = orjson.loads(row.remote)["match"].get("event_id")
        if event in noted:
            first[noted[event]].setdefault(event, row.created_at)
    for (lead, event), at in first.items():
        if len(at) > 1 and max(at.values()) > united.get(lead, ""):
            raise Violation(f"P3: that {lead} is {event} was told under {len(at)} names, the last as of one person")


_UNITED = select(leads.c.into, func.max(leads.c.updated_at)).where(leads.c.state == "merged").group_by(leads.c.into)
_NOTED = select(conversions.c.event_id, conversions.c.lead, conversions.c.event).where(
    conversions.c.connection == "gamma", conversions.c.event.in_(OF_LEADS)
)
_TRIED = (
    select(journal.c.remote, journal.c.created_at)
    .where(journal.c.connection == "gamma", journal.c.object == "outcomes")
    .order_by(journal.c.id)
)
