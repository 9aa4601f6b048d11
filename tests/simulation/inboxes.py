"""Addresses in worlds with deals: people get another one, another's, or one that became free, while their deals,
copies, outcomes and hand-offs are under way. Drawn beside the story of a seed.

Whose a record is, does not hang on its address there: whoever came by it, its person stays the same. So are whoever's
their deals, and what is told of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select

from sync.clashes import CODE
from sync.state.schema import leads, quarantine
from tests.simulation.desk import PEOPLE, Desk
from tests.simulation.oracle import Violation
from tests.simulation.sales import TOLD_APART
from tests.simulation.sharing import linked, owned
from tests.simulation.side import Row, email_of

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario
    from tests.simulation.deals_oracle import Judge

KIND = "inboxes"
"""What is left out by this name in `without`."""
CHANGED, SHARED = "address changed", "address shared"


class Inboxes:
    """Those of one scenario: how often somebody gets another address, and how many of these are another's. Where leads
    are told from contacts nobody does: what is converted is known by its address."""

    def __init__(self, scenario: DealScenario) -> None:
        self.scenario = scenario
        self.rng = Random(f"{scenario.seed}-{KIND}")
        rate, self.shares = self.rng.choice((0.0, 0.0, 0.2, 0.6)), self.rng.choice((0.0, 0.4, 0.8))
        self.rate = rate if scenario._befalls(KIND) and scenario.handed != TOLD_APART else 0.0
        self.number = 0
        for side in scenario.desks.values() if self.rate else ():
            side.identify = self.spoken_of

    def spoken_of(self, values: Mapping[str, Any]) -> str:
        """Of whom a create speaks: whose records have the name that it bears, or were linked to that lead."""
        key = values.get("key")
        for side in self.scenario.desks.values():
            for row in side.rows().values() if key else ():
                if row.values.get("key") == key:
                    return side.whose[row.id]
        return linked(self.scenario, str(key)) or email_of(values)

    def act(self) -> None:
        if self.rate and self.rng.random() < self.rate:
            (self._share if self.rng.random() < self.shares else self._move)()

    def _here(self, side: Desk) -> list[str]:
        """Whoever may get another address there: it is stored whose record it is, so the engine knows the person."""
        known = self.scenario._linked()
        return sorted(id for id in side.standing("contacts") if (side.name, id) in known)

    def _move(self) -> None:
        """Somebody gets an address that nobody had; their old one, perhaps, goes to the next there."""
        side = self.scenario.desks[self.rng.choice(tuple(self.scenario.desks))]
        if not (here := self._here(side)):
            return
        id = self.rng.choice(here)
        self.number += 1
        before = _address(side.live()[id])
        self._readdress(side, id, side.whose[id].replace("@", f"+{self.number}@"), CHANGED)
        next_ones = [other for other in here if side.whose[other] != side.whose[id]]
        if next_ones and self.rng.random() < self.shares:
            self._readdress(side, self.rng.choice(next_ones), before, SHARED)

    def _share(self) -> None:
        """Somebody gets an address that the engine knows as somebody else's."""
        side = self.scenario.desks[self.rng.choice(tuple(self.scenario.desks))]
        known = owned(self.scenario)
        if not (here := self._here(side)):
            return
        id = self.rng.choice(here)
        theirs = {
            address: self.scenario.desks[name].whose[row] for (name, row), found in known.items() for address in found
        }
        own = _address(side.live()[id])
        if others := sorted(a for a, person in theirs.items() if person != side.whose[id] and a != own):
            self._readdress(side, id, self.rng.choice(others), SHARED)

    def _readdress(self, side: Desk, id: str, address: str, what: str) -> None:
        side.edit(id, {"email": address})
        self.scenario.met[f"beside/{what}"] += 1
        self.scenario._say(f"{side.name}/{id} ({side.whose[id]}) has the address {address}")


# what must hold


def check(judge: Judge) -> None:
    """P1 of addresses: wherever somebody stands they have the same one, but for what is said to wait, or to be beside
    the main one. P24: what is said to wait for an address does: another has it there."""
    scenario = judge.scenario
    waiting = judge.waiting
    held: dict[str, set[str]] = defaultdict(set)
    for side in scenario.desks.values():
        for id, row in _people(side).items():
            if not {(side.name, id)} & (waiting.kept | waiting.beside):
                held[judge.person(side.whose[id])].add(_address(row))
    for person, addresses in sorted(held.items()):
        if len(addresses) > 1 and person not in judge.mistaken:
            raise Violation(f"P1: the address of {person} differs: {sorted(addresses)}")
    with scenario.workspace.state.read() as tx:
        told = tx.execute(_TOLD).all()
    for name, record, lead, body in told:
        address = str(orjson.loads(body).get("email")).casefold()
        here = {id for id, one in _people(scenario.desks[name]).items() if _address(one) == address}
        if not here - {record}:
            raise Violation(f"P24: {name}/{record or lead} waits for {address}, which is free there")


def _people(side: Desk) -> dict[str, Row]:
    return {id: row for id, row in side.live().items() if row.object in PEOPLE}


def _address(row: Row) -> str:
    return str(row.values["email"]).casefold()


_TOLD = (
    select(quarantine.c.connection, quarantine.c.record, quarantine.c.lead, leads.c.body)
    .join(leads, leads.c.id == quarantine.c.lead)
    .where(quarantine.c.code == CODE, quarantine.c.state == "open")
)
