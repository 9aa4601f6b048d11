"""Addresses that change and that are shared (D6), over HTTP and beside the story of a seed: somebody whom the engine
knows gets another one on one platform, or one that it knows as somebody else's, where the platform lets them.

A record is whoever's values it holds: each was given by one person. What waits is said in quarantine; no more is
excused than a record that no engine could know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, select

from config.errors import RecordRejected
from connectors.api import Operation, Verb
from mappings.model import Values
from sync.clashes import CODE
from sync.core.plan import Target
from sync.state.schema import quarantine, records, streams
from tests.simulation import logins
from tests.simulation.futures import UNBOUND
from tests.simulation.oracle import Violation
from tests.simulation.sharing import OWNED

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

CHANGED, SHARED = "address changed", "address shared"

Person = tuple[Target, str, Values]
"""A record as `PairScenario._people` tells it."""
Place = tuple[str, str]
"""A platform and a record's id there."""

_KNOWN = (
    select(records.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), records.c.id == bindparam("id"))
)
_TOLD = select(quarantine.c.connection, quarantine.c.record, quarantine.c.lead, quarantine.c.code).where(
    quarantine.c.state == "open"
)
_LINKED = (
    select(streams.c.connection, records.c.id, records.c.lead)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead.is_not(None))
)


@dataclass(slots=True)
class Move:
    """An address that somebody entered on a record, and the moves whose addresses stood there before it. `heard`: an
    answer that came whole told it of that record."""

    person: str
    address: str
    place: Place
    replaced: frozenset[int]
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the engine says that it has not done because an address is somebody else's: records that keep another
    one, and whom it did not make where (platform, person); and writes that platforms refused it, which one of them may
    where an address is another record's there, its main or a further one (`held`: platform and address, by person)."""

    kept: frozenset[Place] = frozenset()
    unmade: frozenset[Place] = frozenset()
    refused: frozenset[Place] = frozenset()
    held: Mapping[Place, frozenset[str]] = field(default_factory=dict)

    def keeps(self, place: Place, person: str, wanted: Collection[str]) -> bool:
        """Whether this record of a person need not have one of the addresses that are `wanted`."""
        others = (self.held.get((place[0], address), frozenset()) - {person} for address in wanted)
        return place in self.kept or (place in self.refused and any(others))


@dataclass
class Addresses:
    """Those of one scenario, and of whom no engine could know which record is whose (`mistaken`)."""

    scenario: PairScenario
    allowed: bool
    moves: list[Move] = field(default_factory=list)
    fresh: list[Move] = field(default_factory=list)  # shared ones that the engine has not stored yet
    writing: bool = False  # the last call was a write
    mistaken: set[str] = field(default_factory=set)
    waiting: Waiting = Waiting()

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.scenario.seed}-addresses over HTTP")
        drawn = self.rng.choice((0.0, 0.0, 0.0, 0.6, 1.0)), self.rng.choice((0.0, 0.4, 0.7))
        self.rate, self.shares = drawn if self.allowed else (0.0, 0.0)
        self.judged = self.rate > 0  # a record is whoever's values it holds, and not whoever's address it has

    # whose a record is

    def person(self, values: Mapping[str, Any]) -> str:
        """The address that its person joined with."""
        email = str(values.get("email"))
        if not self.judged:
            return email
        return next(iter(self._givers(values)), email)

    def _givers(self, values: Mapping[str, Any]) -> list[str]:
        """The people who gave these values."""
        given = (self.scenario.number(values.get(one)) for one in self.scenario.pair.spoken)
        return [self.scenario.said[number].email for number in given if number is not None]

    def may_join(self, name: str, email: str) -> bool:
        """Whether nobody on this platform has the address. Nor may anybody come by their first address who has another
        by now, while the engine is at work: between its look and its create nothing tells that they are one."""
        if not self.judged:
            return True
        moved = any(move.person == email != move.address for move in self.moves)
        free = all(email not in addresses_of(values) for _, _, values in self.scenario._people(name))
        return free and not (moved and self.scenario.acting)

    def joined(self, person: str, address: str, place: Place) -> None:
        """Somebody was entered, with their first address or a further one."""
        if self.judged:
            self.moves.append(Move(person, address, place, frozenset()))

    # what people do

    def live(self) -> None:
        """The story goes on for a while: it takes a world of which the engine knows somebody."""
        if not self.judged:
            return
        self._sync()
        for _ in range(self.rng.choice((3, 5, 8))):
            if self.rng.random() < 0.7:
                self.act()
                self.scenario.beside.further.act()
                self.scenario.pair.clock.advance(self.rng.choice((3, 15)))
            if self.rng.random() < 0.3:
                self.scenario.act()
            if self.rng.random() < 0.6:
                self._sync()

    def _sync(self) -> None:
        """A run; and somebody connects what it said to be lost."""
        report = self.scenario.sync()
        self.scenario._connect(logins.lost(report.errors) if report else ())

    def act(self) -> None:
        """Perhaps somebody gets another address where they stand."""
        if self.rate and self.rng.random() < self.rate:
            self.scenario._by_hand(self._share if self.rng.random() < self.shares else self._move)

    def known(self) -> dict[Place, set[str]]:
        """The addresses that the engine has stored as those of the lead whose record it is."""
        found: dict[Place, set[str]] = defaultdict(set)
        with self.scenario.workspace.state.read() as tx:
            for name, id, address in map(tuple, tx.execute(OWNED).all()):
                found[(name, id)].add(address)
        return found

    def here(self, known: Collection[Place]) -> list[tuple[str, Person]]:
        """Whoever may get another address, and where."""
        names = [name for name in sorted(self.scenario.objects) if _keeps_ids(self.scenario.pair.sandboxes[name])]
        everybody = [(name, one) for name in names for one in self.scenario._people(name)]
        return [(name, one) for name, one in everybody if (name, one[1]) in known and self._is_of_story(one)]

    def _is_of_story(self, one: Person) -> bool:
        """Whether somebody of the story, whose record shows it, has it."""
        return one[2].get("last_name") is not None and self.person(one[2]).startswith("p")

    def _move(self) -> None:
        """Somebody gets an address that nobody had; the one that is free by that somebody else, perhaps."""
        known = self.known()
        if not (here := self.here(known)):
            return
        name, one = self.rng.choice(here)
        address = self.person(one[2]).replace("@", f"+{len(self.moves)}@")
        self.readdress(name, one, address, CHANGED, known)
        others = [other for where, other in here if where == name and self.person(other[2]) != self.person(one[2])]
        if others and str(one[2]["email"]) in known[(name, one[1])] and self.rng.random() < self.shares:
            self.readdress(name, self.rng.choice(others), str(one[2]["email"]), SHARED, known)

    def _share(self) -> None:
        """Somebody gets an address of another's: mostly one that nobody has on this platform, which may refuse two."""
        known = self.known()
        if not (here := self.here(known)):
            return
        name, one = self.rng.choice(here)
        every = {each for addresses in known.values() for each in addresses if each.startswith("p")}
        stand = {address for where, other in here if where == name for address in addresses_of(other[2])}
        theirs = every - known[(name, one[1])]
        if chosen := sorted(theirs - stand if self.rng.random() < 0.8 else theirs):
            self.readdress(name, one, self.rng.choice(chosen), SHARED, known)

    def readdress(self, name: str, one: Person, address: str, what: str, known: Collection[Place]) -> bool:
        """Whether the address is changed; where the platform refuses it nobody has said anything. What was entered
        where the engine has not looked (`known`) is replaced by nobody."""
        target, id, held = one
        person, before = self.person(held), str(held["email"])
        if before == address or self.is_unheard(name, person, known):
            return False
        remote, _, _ = target.express({"email": address}, False)
        match = self.scenario._match(target, target.express({"email": before}, False)[0])
        try:
            self.scenario._push(name, Operation("moves", Verb.UPDATE, target.object, remote, id, match))
        except RecordRejected as error:
            self.scenario.told.append(f"{name}: refuses {address} to {person} ({error.code})")
            return False
        self.moves.append(Move(person, address, (name, id), self.replaced(person, before, (name, id), known)))
        if what == SHARED:
            self.fresh.append(self.moves[-1])
        self.scenario.wire.met[f"beside/{what}"] += 1
        self.scenario.told.append(f"{name}: {person} at {id} has the address {address}")
        return True

    def is_unheard(self, name: str, person: str, known: Collection[Place]) -> bool:
        """Whether somebody has been entered elsewhere than on this platform while the engine is at work, which has not
        looked there since, or where an index lags, which may not show them when it looks: where they change the address
        here, it looks for them by that one alone."""
        acting, boxes = self.scenario.acting, self.scenario.pair.sandboxes
        places = [move.place for move in self.moves if move.person == person and not move.replaced]
        elsewhere = [place for place in places if place[0] != name and place not in known]
        return any(acting or getattr(boxes[place[0]], "index_lag", None) for place in elsewhere)

    def hides(self, name: str, id: str, held: Values) -> bool:
        """Whether an edit here would hide a record from the pull under way, which asks for rows up to a bound, and the
        engine has never been told of it: it would look for them by the address that they got elsewhere meanwhile."""
        if not (self.scenario.acting and name in UNBOUND):
            return False
        person = self.person(held)
        moved = any(move.person == person != move.address and move.place[0] != name for move in self.moves)
        return moved and not self.stored((name, id))

    def replaced(self, person: str, address: str, here: Place, known: Collection[Place]) -> frozenset[int]:
        """The moves that are over when somebody replaces this address of a person `here`: those made here, and those of
        records that the engine knows, as far as it was told of them."""
        same = (n for n, move in enumerate(self.moves) if (move.person, move.address) == (person, address))
        told = [(number, self.moves[number]) for number in same]
        stood = [number for number, move in told if move.place == here or (move.heard and move.place in known)]
        return frozenset(stood).union(*(self.moves[number].replaced for number in stood))

    # what the engine was told

    def shown(self, name: str, body: bytes) -> None:
        """An answer of this platform came whole."""
        for move in self.moves:
            if not move.heard and move.place[0] == name and _tells(body, move):
                move.heard = True

    def around(self, where: str, name: str) -> None:
        """Around each call of the engine's: whose record a write went to, where it could not know that when it planned
        its writes. Of these one may tell it while others are still to go; and what was written in this second a look
        may not show before the next call."""
        writes, wrote = self.scenario.wire.doing == "write", self.writing
        self.writing = writes
        before = where == "call.before"
        if self.fresh and (wrote if before else writes):
            self._confuse({name} if not before else {move.place[0] for move in self.fresh})
        if self.fresh and before and not (writes and wrote):
            self.fresh = [move for move in self.fresh if not self._is_stored(move)]

    def _confuse(self, names: Collection[str]) -> None:
        for name in sorted({move.place[0] for move in self.fresh} & set(names)):
            here = {id: values for _, id, values in self._seen(name)}
            for move in self.fresh:
                if move.place[0] == name and set(self._givers(here.get(move.place[1], {}))) - {move.person}:
                    others = {one.person for one in self.moves if one.address == move.address}
                    self.mistaken |= others | {move.person}

    def _seen(self, name: str) -> list[Person]:
        """What stands there, seen by nobody whom the wire knows."""
        calm, self.scenario.wire.calm = self.scenario.wire.calm, True
        try:
            return list(self.scenario._people(name))
        finally:
            self.scenario.wire.calm = calm

    def _is_stored(self, move: Move) -> bool:
        return any(values.get("email") == move.address for values in self.stored(move.place))

    def stored(self, place: Place) -> list[Values]:
        """What the engine has stored of a record."""
        with self.scenario.workspace.state.read() as tx:
            bodies = tx.execute(_KNOWN, {"of": place[0], "id": place[1]}).scalars()
        return [orjson.loads(body) for body in bodies]

    # what must hold

    def wait(self, people: Mapping[str, Iterable[Person]]) -> None:
        """What the engine says now that it has not done."""
        if not self.judged:
            return
        whose = {(name, id): self.person(values) for name, every in people.items() for _, id, values in every}
        held: dict[Place, frozenset[str]] = {}
        for name, every in people.items():
            for _, id, values in every:
                for address in addresses_of(values):
                    held[(name, address)] = held.get((name, address), frozenset()) | {whose[(name, id)]}
        with self.scenario.workspace.state.read() as tx:
            told, linked = tx.execute(_TOLD).all(), tx.execute(_LINKED).all()
        person = {row.lead: whose[(row.connection, row.id)] for row in linked if (row.connection, row.id) in whose}
        taken = [row for row in told if row.code == CODE]
        kept = frozenset((row.connection, row.record) for row in taken if row.record)
        unmade = frozenset((row.connection, person[row.lead]) for row in taken if not row.record and row.lead in person)
        refused = frozenset((row.connection, row.record) for row in told if row.record and row.code != CODE)
        self.waiting = Waiting(kept, unmade, refused, held)

    def check(self, person: str, rows: Mapping[str, Person]) -> None:
        """P1, P4 of the address: wherever somebody stands they have the same one, and none that was replaced knowingly.
        `rows` are by platform."""
        has = {(name, id): str(values["email"]) for name, (_, id, values) in rows.items()}
        stand = set(has.values())
        free = {place: own for place, own in has.items() if not self.waiting.keeps(place, person, stand - {own})}
        if len(set(free.values())) > 1:
            raise Violation(f"P1: the address of {person} differs: {free}")
        mine = {number: move for number, move in enumerate(self.moves) if move.person == person}
        replaced = {other for move in mine.values() if self._was_heard(move) for other in move.replaced}
        standing = {move.address for number, move in mine.items() if number not in replaced}
        if free and not set(free.values()) <= standing:
            raise Violation(f"P4: the address of {person} is {set(free.values())}; may be {sorted(standing)}")

    def _was_heard(self, move: Move) -> bool:
        return move.heard or not self.scenario.meddles


def _keeps_ids(sandbox: Any) -> bool:
    """Whether a record's id outlasts its address there."""
    return getattr(sandbox.store, "with_contact_ids", True) is not False


def addresses_of(values: Values) -> set[str]:
    return {str(values.get("email")), *map(str, values.get("emails") or ())}


def _tells(body: bytes, move: Move) -> bool:
    return move.address.encode() in body and move.place[1].encode() in body
