"""Two people who turn out to be one, beside the story of a seed: somebody merges their records on a side, converts the
one into the other's, or says that two leads are one (`duplicates link`). The engine knew them by two addresses.

From then on they are one person with two addresses: what was said of either is said of both, each side may keep two
records of them, and nobody is made a second time where either stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import select

from connectors.api import Gone, Operation, Verb
from sync import duplicates
from sync.state.schema import leads, records, streams
from tests.simulation.oracle import Violation
from tests.simulation.people import FIELDS, Union
from tests.simulation.process import plain
from tests.simulation.sharing import Waiting
from tests.simulation.side import Side, email_of

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "joining"
MERGED, CONVERTED, LINKED = "two people merged", "converted into another's", "two leads linked"
NAMES = (MERGED, CONVERTED, LINKED)
SHARE = 1 / 6
RATES = (0.3, 0.6)
"""How likely it is after an act that two are merged; between two runs a person links two leads a third as often."""

_LEADS = (
    select(streams.c.connection, records.c.id, records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .join(leads, leads.c.id == records.c.lead)
    .where(leads.c.state == "live")
    .order_by(streams.c.connection, records.c.id)
)


_MAIN = (
    select(streams.c.connection, records.c.id, leads.c.id.label("lead"), leads.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .join(leads, leads.c.id == records.c.lead)
    .where(leads.c.dirty != 1)
)


_ENDED = (
    select(streams.c.connection, records.c.id)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.into.is_not(None))
)


@dataclass(frozen=True, slots=True)
class _Known:
    """People whom the engine knows to be one. By then so many writes had been done on each side where it knew a record
    of theirs, and so many creates of them may still come there."""

    people: frozenset[str]
    writes: dict[str, int]
    late: dict[str, int]


@dataclass
class Joining:
    """That of one scenario. `ended` are the records (side, id) that live on as another's."""

    scenario: Scenario
    rng: Random
    rate: float
    ended: set[tuple[str, str]] = field(default_factory=set)
    unheard: list[tuple[str, str, str]] = field(default_factory=list)
    known: list[_Known] = field(default_factory=list)

    def merge(self) -> None:
        """Perhaps somebody merges the records of two people on a side, after an act."""
        self.notice()
        if self.rng.random() >= self.rate:
            return
        scenario = self.scenario
        side = scenario.sides[self.rng.choice(tuple(scenario.sides))]
        linked = scenario._linked()
        here = sorted(side.live())
        self.rng.shuffle(here)
        known = [id for id in here if (side.name, id) in linked]
        lost = [id for id in here if id in known or _has_first(side, id)]
        pairs = [(a, b) for a in known for b in lost if side.whose[a] != side.whose[b] and _differ(side, a, b)]
        pair = max(pairs, key=lambda pair: self._way(side, *pair) is Gone.CONVERTED, default=None)
        if pair is None:
            scenario.people._join(side)
            return
        keep, lose = pair
        if side.history[keep][-1].object != side.objects[-1] and self.rng.random() < 0.5:
            scenario._say(f"{side.name}/{keep} is converted, with another's")
            keep = side.convert(keep)
        self._carry(side, keep, lose)
        gone = self._way(side, keep, lose)
        scenario._say(f"{side.name}/{lose} is {gone.value} into {keep}, another's")
        side.remove(lose, gone, keep, side.history[keep][-1].object)
        self.ended.add((side.name, lose))
        scenario.met[f"beside/{CONVERTED if gone is Gone.CONVERTED else MERGED}"] += 1
        self._unite(side.whose[keep], side.whose[lose])
        self.unheard.append((side.name, keep, lose))

    def _way(self, side: Side, keep: str, lose: str) -> Gone:
        objects = (side.history[lose][-1].object, side.history[keep][-1].object)
        return Gone.CONVERTED if objects == tuple(side.objects) else Gone.MERGED

    def _carry(self, side: Side, keep: str, lose: str) -> None:
        """Some platforms fill what is blank on the record that stays with what the other held: where the blank has been
        told (else a person's may be gone unheard, and of a second one nothing says that it was told), no clocks differ
        (they would say which of two replaced the other), and nothing is cut off (what another mapping knows to be cut
        off would be a text of its own there)."""
        clocks = self.scenario.clocks
        if side.cuts or clocks.differ or clocks.rate:
            return
        values, lost = side.history[keep][-1].values, side.history[lose][-1].values
        blank = {n for n in FIELDS if (keep, n, None) in side.shown and (keep, n) not in self.scenario.people.blanked}
        filled = {n: lost[n] for n in FIELDS if lost.get(n) and not values.get(n) and n in blank}
        if filled and self.rng.random() < 0.5:
            side.edit(keep, filled)
            people = self.scenario.people
            numbers = [number for value in filled.values() if (number := people.edit_of(value)) is not None]
            people.carried.update(dict.fromkeys(numbers, side.whose[keep]))

    def strike(self) -> None:
        """Perhaps a person says that two leads are one, between two runs."""
        self.notice()
        if self.rng.random() >= self.rate / 3:
            return
        scenario = self.scenario
        with plain(scenario.workspace.state) as tx:
            whose = {row.lead: scenario.sides[row.connection].whose[row.id] for row in tx.execute(_LEADS)}
            if len(whose) < 2:
                return
            one, other = self.rng.sample(sorted(whose), 2)
            if scenario.people.one(whose[one]) == scenario.people.one(whose[other]):
                return  # a merge that is not known yet will say so
            scenario._say(f"{whose[one]} and {whose[other]} are one, says a person")
            duplicates.link(tx, scenario.workspace, one, other)
        scenario.met[f"beside/{LINKED}"] += 1
        self._unite(whose[one], whose[other])
        self._know(whose[one], whose[other])

    def _unite(self, one: str, other: str) -> None:
        people = self.scenario.people
        keep, lose = people.one(one), people.one(other)
        if keep != lose:
            self._forget_moves(keep, lose)
            written = {name: len(side.writes) for name, side in self.scenario.sides.items()}
            people.unions.append(Union(keep, lose, written))
            self.scenario.oddities.struck += 6

    def _forget_moves(self, *who: str) -> None:
        """A change of an address that was not heard before the two were one is one of a further address."""
        people, mains = self.scenario.people, self._mains()
        for number, edit in enumerate(people.edits):
            _, known = mains.get((edit.side, edit.row), ("", ""))
            if edit.field == "email" and people.one(edit.email) in who and edit.value != known:
                people.roots.pop(number, None)
                edit.replaced = frozenset()

    # what the engine has heard

    def notice(self) -> None:
        """What it has stored it knows from the next plan on: that a record lives on as another. That it was put away
        before says nothing of that."""
        if not self.unheard:
            return
        with self.scenario.workspace.state.read() as tx:
            told = {tuple(row) for row in tx.execute(_ENDED)}
        for one in self.unheard[:]:
            name, keep, lose = one
            side = self.scenario.sides[name]
            if (name, lose) in told:
                self.unheard.remove(one)
                self._know(side.whose[keep], side.whose[lose])

    def _know(self, *people: str) -> None:
        one = frozenset(people).union(*(known.people for known in self.known if known.people & set(people)))
        here = {n: side for n, side in self.scenario.sides.items() if any(side.whose[id] in one for id in side.known)}
        writes = {name: len(side.writes) for name, side in here.items()}
        late = {name: _creates(side, (op for *_, op in side.late), one) for name, side in here.items()}
        self.known.append(_Known(one, writes, late))

    def _mains(self) -> dict[tuple[str, str], tuple[str, str]]:
        """The lead of each record and its main address, of leads whose records it has heard."""
        with self.scenario.workspace.state.read() as tx:
            rows = tx.execute(_MAIN).all()
        return {(row.connection, row.id): (row.lead, orjson.loads(row.body).get("email", "")) for row in rows}

    def is_main(self, side: Side, id: str) -> bool:
        """Whether a record has what the engine holds for their main address, and it has heard whose all records are."""
        mains, sides, one = self._mains(), self.scenario.sides, self.scenario.people.one
        person = one(side.whose[id])
        if any(one(sides[name].whose[lose]) == person for name, _, lose in self.unheard):
            return False
        theirs = [(name, other) for name, at in sides.items() for other in at.live() if one(at.whose[other]) == person]
        known = {mains.get(place, ("", ""))[0] for place in theirs}
        address = str(side.history[id][-1].values["email"]).casefold()
        return len(known) == 1 and mains.get((side.name, id), ("", ""))[1] == address

    def check(self) -> None:
        """P3: nobody was made again where either of two stood who are known to be one. Of whom nobody could know which
        record is whose, nothing is judged."""
        mistaken = Waiting.of(self.scenario).mistaken if self.known else frozenset()
        for known in self.known:
            if mistaken & set(map(self.scenario.people.one, known.people)):
                continue
            for name, written in known.writes.items():
                side = self.scenario.sides[name]
                since = [values for verb, over, values in side.writes[written:] if verb is Verb.CREATE and over is None]
                if sum({side.identify(v), email_of(v)} <= known.people for v in since) > known.late[name]:
                    raise Violation(f"P3: one of {sorted(known.people)}, who are one, was made again on {name}")


def _has_first(side: Side, id: str) -> bool:
    """Whether a record has the address that its person joined with: the engine knows them by it, if at all."""
    return str(side.history[id][-1].values["email"]).casefold() == side.whose[id]


def _differ(side: Side, keep: str, lose: str) -> bool:
    """Whether nothing on the record that stays looks as if it came from the other: an address that nobody has heard."""
    one, other = (str(side.history[id][-1].values["email"]).casefold() for id in (keep, lose))
    return one != other or side.stood.get(keep, ("", ""))[1] == one


def _creates(side: Side, operations: Iterable[Operation], people: frozenset[str]) -> int:
    return sum(op.verb is Verb.CREATE and side.identify(op.values) in people for op in operations)


def merge(scenario: Scenario) -> None:
    """Perhaps two people turn out to be one, where they may."""
    if scenario.joining:
        scenario.joining.merge()


def check(scenario: Scenario) -> None:
    """Judge that nobody was made again, where two turned out to be one."""
    if scenario.joining:
        scenario.joining.check()


def drawn(scenario: Scenario) -> Joining | None:
    """That of this seed; None in most. Then there are two people at least."""
    rng = Random(f"{scenario.seed}-{KIND}")
    if rng.random() >= SHARE or not scenario._befalls(KIND):
        return None
    scenario.people.number = max(2, scenario.people.number)
    made = Joining(scenario, rng, rng.choice(RATES))
    scenario.people.main = made.is_main
    return made
