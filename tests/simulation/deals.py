"""Scenarios with deals: a CRM whose deals are homes, a marketing platform that shows copies of them, and in some worlds
a list that is told what came of its people, and each outcome by itself.

The scenario, its faults and its end are those of `scenario.py`; `desk.py` is what a side is, `trade.py` what people do,
`deals_oracle.py` what must hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import select

from sync.state.database import State
from sync.state.schema import handoffs, quarantine, records
from sync.workspace import Owners, Workspace
from tests.simulation import (
    aims,
    amounts,
    backups,
    briefs,
    conditions,
    deals_oracle,
    folders,
    inboxes,
    naming,
    sales,
    sales_oracle,
    twins,
)
from tests.simulation.desk import Desk, DeskSeat
from tests.simulation.process import Life, Watched, plain
from tests.simulation.sales import Sales
from tests.simulation.scenario import BESIDE, Outcome, Scenario
from tests.simulation.side import Side
from tests.simulation.trade import Trade
from tests.simulation.twins import Twins
from tests.simulation.world import SIDES, World, compiled, manifest, memory, platform

_DEALS = "  deals: {kind: deal, about: deals}\n"
_COPIES = "  deals: {kind: deal, about: deals, push: [create, update], unique: [home], home: home}\n"
_TIES = "  ties: {kind: association, about: who is in which deal}\n"
_WORK = """\
  companies: {kind: company, about: companies}
  works: {kind: association, about: who works where}
"""
_OUTCOMES = "  outcomes: {{kind: conversion, about: outcomes, pull: false, push: [create], repeats: {repeats}}}\n"

_MAPPED_PERSON = """  {object}:
    kind: lead
    match: [email]
    create_when: "{makes}"
    fields:
      - {{remote: key, field: closedloop_id, direction: push}}
      - {{remote: email, field: email, direction: both, transform: [email]}}
      - {{remote: stage, field: lifecycle_stage, direction: both}}
      - {{remote: consent, field: email_consent, direction: both}}
"""
_MAPPED_SUMS = """\
      - {remote: customer, field: is_customer, direction: push}
      - {remote: wins, field: won_deals, direction: push}
      - {remote: open, field: open_deals, direction: push}
      - {remote: earned, field: won_amount, direction: push, transform: [{money: EUR}]}
      - {remote: hopes, field: open_amount, direction: push, transform: [{money: EUR}]}
      - {remote: since, field: customer_since, direction: push}
      - {remote: why, field: lost_reason, direction: push}
      - {remote: at, field: deal_stage, direction: push}
"""
_MAPPED_DEALS = """  deals:
    kind: deal
{also}    fields:
{home}      - {{remote: title, field: name{way}}}
      - {{remote: worth, field: amount{way}, transform: [{{money: EUR}}]}}
      - {{remote: stage, field: stage{way}}}
      - {{remote: closed, field: is_closed{way}}}
      - {{remote: won, field: is_won{way}}}
      - {{remote: until, field: close_date{way}}}
      - {{remote: first, field: lost_reason{way}}}
"""
_MAPPED_TIES = """  {object}:
    kind: association
    fields:
      - {{remote: from_object, field: from_object}}
      - {{remote: from_id, field: from_id}}
      - {{remote: to_object, field: to_object}}
      - {{remote: to_ids, field: to_ids}}
"""
_MAPPED_COMPANIES = """  companies:
    kind: company
    fields:
      - {remote: title, field: name}
"""
_MAPPED_OUTCOMES = """  outcomes:
    kind: conversion
    match: [event_id]
    create_when: "lead.event in [{also}'opportunity', 'won', 'lost']"
    fields:
      - {{remote: event_id, field: event_id, direction: push}}
      - {{remote: event, field: event, direction: push}}
      - {{remote: worth, field: event_value, direction: push, transform: [{{money: EUR}}]}}
      - {{remote: first, field: event_reason, direction: push}}
      - {{remote: person, field: email, direction: push}}
"""
_PROJECT = """
version: 1
state: sqlite:///closedloop.db
currency: EUR
connections:
{connections}
guards:
  {{describe_every: 86400, clock: 0, flapping: 0,
    changed: {{share: 100%, over: 0}}, opted_out: {{share: 100%, over: 0}}}}
first_run: {{canary: 1}}
"""


def _people(name: str, handed: str) -> tuple[str, ...]:
    return (sales.TOLD_APART, "contacts") if name == "beta" and handed == sales.TOLD_APART else ("contacts",)


def _objects(world: World, name: str, handed: str) -> str:
    """The objects of a side's manifest. In some worlds ties are told before the deals they are of, the copies' side
    makes no people of its own, and outcomes told again are counted again."""
    if name == "gamma":
        return _OUTCOMES.format(repeats=str(not world[1]).lower())
    deals = _COPIES if name == "alpha" else _DEALS
    beside = {"alpha": sales.OF_MAIL, "beta": sales.OF_CRM}[name] if handed else ""
    return (_TIES + deals if world[1] else deals + _TIES) + (_WORK if name == "beta" else "") + beside


def _mapped_people(world: World, name: str, handed: str) -> str:
    """Where people are handed to sales, nobody else is made there."""
    makes = "false" if (world[1] and name == "alpha") or (handed and name == "beta") else "true"
    more = {"alpha": sales.MAPPED_MAIL, "beta": sales.MAPPED_CRM}.get(name, "") if handed else ""
    sums = _MAPPED_SUMS if name != "beta" else ""
    return "".join(_MAPPED_PERSON.format(object=one, makes=makes) + sums + more for one in _people(name, handed))


def _mapped(world: World, name: str, handed: str, condition: str) -> str:
    person = _mapped_people(world, name, handed)
    if name == "gamma":
        return person + _MAPPED_OUTCOMES.format(also="'qualified', 'working', " if handed else "")
    copied = {
        "way": ", direction: push",
        "also": f'    match: [home]\n    create_when: "{conditions.SAID[condition]}"\n',
        "home": "      - {remote: home, field: home, direction: push}\n",
    }
    deals = _MAPPED_DEALS.format(**(copied if name == "alpha" else dict.fromkeys(copied, "")))
    works = _MAPPED_COMPANIES + _MAPPED_TIES.format(object="works") if name == "beta" else ""
    forms = sales.MAPPED_FORMS if handed and name == "alpha" else ""
    return person + deals + _MAPPED_TIES.format(object="ties") + works + forms


@cache
def _world(world: World, handed: str, condition: str) -> tuple[Path, Workspace]:
    """The project that all such scenarios share: files, compiled mappings, and an empty state to copy."""
    folder = folders.folder("sim")
    (folder / "mappings").mkdir()
    names = SIDES[: world[0]]
    for name in names:
        (folder / name).mkdir()
        (folder / name / "manifest.yaml").write_text(
            manifest(name, _people(name, handed), _objects(world, name, handed))
        )
        (folder / "mappings" / f"{name}.yaml").write_text(
            f"platform: {name}\nobjects:\n{_mapped(world, name, handed, condition)}"
        )
    lines = "\n".join(f"  {name}: {{auth: {{mode: none}}}}" for name in names)
    (folder / "closedloop.yaml").write_text(
        _PROJECT.format(connections=lines) + (sales.PROJECT.format(object=handed) if handed else "")
    )
    return folder, compiled(folder, {name: _platform(name, folder / name, None) for name in names})


_BRIEFS = select(handoffs.c.lead)
_platform = partial(platform, seated=DeskSeat)


@dataclass
class DealScenario(Scenario):
    """A world with deals, lived through as any other."""

    def __post_init__(self) -> None:
        self.desks: dict[str, Desk] = {}
        self._reread = False
        self.deeds: list[int] = []  # boundaries after a call or commit, until the world first came to rest
        self.rested = False
        self.handed = "" if sales.KIND in self.without else sales.drawn(self.seed)
        self.condition = "" if conditions.KIND in self.without else conditions.drawn(self.seed)
        # one clock: the port level is for others; people get other addresses by ways of these worlds
        self.without |= set(BESIDE) - {naming.KIND}
        self.aims = aims.Aims(self)
        Scenario.__post_init__(self)
        self.planned = self.steps or self.rng.choice((6, 9, 12, 16))
        number, listed = self.rng.choice((1, 2, 3)), self.rng.random() < 0.5
        self.trade = Trade(self.desks, Random(self.rng.random()), self._say, number=number, listed=listed)
        self.trade.linked = self._linked
        self.people = self.trade  # type: ignore[assignment]
        self.selling = Random(f"{self.seed}-sales")
        self.sales = Sales(self.trade, Random(f"{self.seed}-sold"), self.handed)
        self.doubling = Random(f"{self.seed}-doubling")
        self.doubles = 0.0 if twins.KIND in self.without else twins.drawn(self.seed)
        self.twins = Twins(self.trade, Random(f"{self.seed}-doubled"), partial(deals_oracle.set_aside, self))
        amounts.draw(self)
        if self.condition:
            self.met[f"beside/{conditions.NAME}"] += 1
        self.inboxes = inboxes.Inboxes(self)
        self.briefs = briefs.Briefs(self)
        self.mixed = bool(self.inboxes.rate)
        self.trade.begin()
        if self.handed:
            self.sales.begin()

    def _rate(self, name: str, choices: tuple[float, ...], *, always: bool = False) -> float:
        drawn = Scenario._rate(self, name, choices, always=always)
        takes_over = name == "takeover" and name not in self.without and self.aims.takes_over
        return drawn or (aims.SELDOM if takes_over else 0.0)

    def opened(self) -> Workspace:
        """As there, over this world's project."""
        folder, made = _world(self.world, self.handed, self.condition)
        if not self.desks:
            self._furnish(folder)
        state = State(made.state.engine, self.clock) if self.true_state else memory().state(self.clock)
        fenced = self.takeover_rate > 0
        life = self.life = Life()
        made_by = {n: _platform(n, folder / n, desk, life.seats, fenced=fenced) for n, desk in self.desks.items()}
        find = made_by.__getitem__
        workspace = Workspace(self.folder, made.project, state, self.clock, made.fields, made.order, self._new_id, find)
        workspace.marks = self.marks
        workspace._owners = {name: Owners(state, name) for name in self.desks}
        workspace._compiled = {name: made._compiled[name] for name in self.desks}
        workspace._mapped = {name: dict(made._compiled[name]) for name in self.desks}
        state.__dict__["begin"] = partial(Watched, self, life, state.begin)
        return workspace

    def _furnish(self, folder: Path) -> None:
        """Deals for the sides that there are."""
        self.folder = folder
        if self.true_state:
            shutil.copy(folder / "empty.db", folder / "closedloop.db")
        for name, side in self.sides.items():
            desk = self.desks[name] = Desk.of(side)
            desk.objects = _people(name, self.handed)
            desk.boundary = partial(self._boundary, desk)
            desk.knows = self._knows
            desk.repeats = not self.world[1]
        self.sides = dict(self.desks)

    def _boundary(self, side: Side | None, name: str) -> None:
        if name.endswith("after") and not self.rested:
            self.deeds.append(self.boundaries + 1)
        Scenario._boundary(self, side, name)
        self.aims.strike(side, name)

    def _knows(self, id: str) -> bool:
        with self.workspace.state.read() as tx:
            known = (select(records.c.id).where(records.c.id == id), _BRIEFS.where(handoffs.c.brief_record == id))
            return any(tx.execute(one).first() is not None for one in known)

    def act(self) -> None:
        """As there; and beside it somebody may hand a lead over, or take it."""
        Scenario.act(self)
        self._beside(self.inboxes.act)
        self._beside(self.briefs.act)
        for _ in range(self.selling.choice((0, 1, 1, 2)) if self.handed else 0):
            self._beside(self.sales.act)
        if self.doubles and self.doubling.random() < self.doubles:
            self._beside(self.twins.act)

    def _beside(self, act: Callable[[], None]) -> None:
        """Somebody does something beside the story of the seed: nobody else does meanwhile."""
        self._acting = True
        act()
        self._acting = False

    # the end

    def _heal(self) -> None:
        backups.strike(self)
        Scenario._heal(self)

    def _come_to_rest(self) -> None:
        """What an answer once left out comes with the next full sync, where nothing else asks for it again."""
        if not self._reread and any("left_out" in what for desk in self.desks.values() for what in desk.met):
            if self._unfinished("backfill"):
                self._surely(partial(self.sync, "backfill"))
            self._surely(partial(self.sync, "backfill"))
        self._reread = True
        Scenario._come_to_rest(self)
        if self._is_asked():  # what was in doubt before may be a person's to judge only now
            self._replay(self._surely)
            Scenario._come_to_rest(self)
        self.rested = True

    def _replay(self, surely: Callable[[Callable[[], Any]], Any]) -> None:
        self._settle_unsure()
        Scenario._replay(self, surely)

    def _settle_unsure(self) -> None:
        """Whoever is asked whether an outcome was counted looks, and lets be what was."""
        told = {row.values["event_id"] for desk in self.desks.values() for row in desk.every("outcomes").values()}
        with plain(self.workspace.state) as tx:
            mine = quarantine.c.record.in_(sorted(told)) & (quarantine.c.code == "in_doubt")
            tx.execute(quarantine.update().where(mine).values(state="resolved"))

    def _is_asked(self) -> bool:
        with self.workspace.state.read() as tx:
            return tx.execute(select(quarantine.c.id).where(quarantine.c.state == "open")).first() is not None

    def _check(self) -> None:
        deals_oracle.check(self)
        if self.handed:
            sales_oracle.check(self)


def run(seed: int, **options: Any) -> Outcome:
    """The scenario of `seed`."""
    return DealScenario(seed, **options).run()


__all__ = ["DealScenario", "Outcome", "run"]
