"""Addresses of several people: a shared inbox, a couple, an address that was given to the next.

Somebody gets an address that the engine knows as that of another lead. It is to write nothing that comes over the
record of the other or gives two records of a side one address, and to say in quarantine what waits: no more is excused.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import bindparam, select

from sync.clashes import CODE
from sync.state.schema import identities, leads, quarantine, records, streams

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario
    from tests.simulation.side import Side


def drawn_moves(scenario: Scenario) -> tuple[Random, float]:
    """How often people of this seed change their address, and by what it is drawn."""
    rng = Random(f"{scenario.seed}-addresses")
    return rng, rng.choice((0.0, 0.0, 0.0, 0.0, 0.1, 0.3)) if scenario._befalls("addresses") else 0.0


def drawn_shares(scenario: Scenario) -> tuple[Random, float]:
    """How often they get another's; a record that is converted is known by its address, and nobody does there."""
    rng = Random(f"{scenario.seed}-sharing")
    rate = rng.choice((0.0, 0.0, 0.3, 0.6)) if scenario._befalls("sharing") and not scenario.world[1] else 0.0
    if rate:
        scenario.people.linked = partial(linked, scenario)
        for side in scenario.sides.values():
            side.identify = scenario.people.of
    return rng, rate


OWNED = (
    select(streams.c.connection, records.c.id, identities.c.value)
    .join(streams, streams.c.id == records.c.stream)
    .join(identities, identities.c.lead == records.c.lead)
    .where(identities.c.kind == "email")
)


def owned(scenario: Scenario) -> dict[tuple[str, str], set[str]]:
    """The addresses that the engine has stored as those of the lead whose record it is, by (side, record). Where a
    backup may come that does not know whose a record is, its address is what tells it; it is left alone then, and so
    are all while a restored state is taken up."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    if scenario.taking_up:
        return found
    with scenario.workspace.state.read() as tx:
        for side, id, address in map(tuple, tx.execute(OWNED).all()):
            if scenario.kept is None or (side, id) in scenario.kept:
                found[(side, id)].add(address)
    return found


_BEARS = (
    select(streams.c.connection, records.c.id)
    .join(streams, streams.c.id == records.c.stream)
    .join(identities, identities.c.lead == records.c.lead)
    .where(identities.c.kind == "closedloop_id", identities.c.value == bindparam("name"))
    .order_by(streams.c.connection, records.c.id)
)


def linked(scenario: Scenario, name: str) -> str | None:
    """The person on the records that the engine has linked to the lead of this name. A record without any value that
    anybody gave, of somebody whose address was given to another, says by its name only whose it is: and a write that
    was to give another record that name may have been lost."""
    with scenario.workspace.state.read() as tx:
        row = tx.execute(_BEARS, {"name": name}).first()
    return scenario.sides[row.connection].whose[row.id] if row is not None else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the engine says that it has not done because an address is somebody else's: records (side, id) that kept
    another address, people (side, person) whom it did not make. `mistaken` are people of whom it could not know which
    record is whose. `beside` are records of which it says that they have another address beside the main one."""

    kept: frozenset[tuple[str, str]]
    unmade: frozenset[tuple[str, str]]
    mistaken: frozenset[str]
    beside: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, scenario: Scenario) -> Waiting:
        mistaken = frozenset(scenario.people.one(who) for side in scenario.sides.values() for who in side.mistaken)
        with scenario.workspace.state.read() as tx:
            told = tx.execute(_TOLD).all()
            linked = tx.execute(_LINKED).all()
            whys = [orjson.loads(text) for text in tx.execute(_WHYS).scalars()]
        person = {row.lead: scenario.sides[row.connection].whose[row.id] for row in linked}
        kept = frozenset((row.connection, row.record) for row in told if row.record)
        unmade = frozenset((row.connection, person[row.lead]) for row in told if not row.record and row.lead in person)
        noted = [(*one.split("/"), address) for why in whys for one, address in why.get("email", {}).get("beside", ())]
        beside = frozenset((side, id) for side, _, id, address in noted if _has(scenario.sides[side], id, address))
        return cls(kept, unmade, mistaken, beside)


def _has(side: Side, id: str, address: str) -> bool:
    """Whether the record has this address still: the last one that is left is given the main one."""
    return str(side.history[id][-1].values.get("email")).casefold() == address.casefold()


_TOLD = select(quarantine.c.connection, quarantine.c.record, quarantine.c.lead).where(
    quarantine.c.code == CODE, quarantine.c.state == "open"
)
_WHYS = select(leads.c.reasons).where(leads.c.state == "live")
_LINKED = (
    select(streams.c.connection, records.c.id, records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead.is_not(None))
)
