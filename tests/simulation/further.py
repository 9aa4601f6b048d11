"""Further addresses (S24), over HTTP and beside the story of a seed: a contact of HubSpot gets one beside its main one,
makes it the main one, or is merged with a second contact that somebody made for the same person. Who has come nowhere
else yet comes by a further one there.

HubSpot finds a contact by each of its addresses, and keeps what was the main one (`sandbox_store.py`). Nobody may be
there twice for it, none of the addresses may be lost, and no record may be written over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.addresses import Move, Person, addresses_of
from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

HUBSPOT = "hubspot"
SECOND = "hs_additional_emails"
ADDED, SWAPPED, MERGED, ELSEWHERE = "further address", "further address is main", "merged", "joins by further address"
NAMES = (ADDED, SWAPPED, MERGED, ELSEWHERE)


@dataclass
class Further:
    """Those of one scenario; `had` has every address that a person ever had at HubSpot."""

    scenario: PairScenario
    allowed: bool
    had: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.scenario.seed}-further")
        drawn = self.rng.choice((0.0, 0.0, 0.5, 0.9))
        self.rate = drawn if self.allowed and HUBSPOT in self.scenario.names else 0.0

    def act(self) -> None:
        """Perhaps somebody does something of it."""
        if self.rate and self.rng.random() < self.rate:
            self.scenario._by_hand(self.rng.choice((self._add, self._swap, self._merge, self._join)))

    def _somebody(self) -> tuple[str, Person] | None:
        """A contact of the story whom the engine knows, and of whom all that is said here is known to be theirs."""
        addresses = self.scenario.beside.addresses
        here = [one for name, one in addresses.here(addresses.known()) if name == HUBSPOT]
        if not here:
            return None
        one = self.rng.choice(here)
        person = addresses.person(one[2])
        self.had.setdefault(person, set()).update(self._addresses(one[1]))
        return person, one

    def _addresses(self, id: str) -> list[str]:
        held = self.scenario.pair.sandboxes[HUBSPOT].get("contacts", id)
        return [one for one in (held.get("email"), *str(held.get(SECOND) or "").split(";")) if one]

    def _is_told(self, id: str) -> bool:
        """Whether the engine knows all addresses of a contact: whose the others were, a merge does not tell."""
        stored = self.scenario.beside.addresses.stored((HUBSPOT, id))
        return all(set(self._addresses(id)) <= addresses_of(values) for values in stored)

    def _new(self, person: str) -> str:
        address = f"{person.partition('@')[0]}.{sum(map(len, self.had.values()))}@further.example"
        self.had[person].add(address)
        return address

    def _told(self, what: str, person: str, id: str, more: str) -> None:
        self.scenario.wire.met[f"beside/{what}"] += 1
        self.scenario.told.append(f"{HUBSPOT}: {person} at {id}: {what}: {more}")

    def _add(self) -> None:
        if found := self._somebody():
            person, (_, id, _) = found
            _, *further = self._addresses(id)
            address = self._new(person)
            store = self.scenario.pair.sandboxes[HUBSPOT].store
            store.change("contacts", store.find("contacts", id), {SECOND: ";".join([*further, address])})
            store.by_email[address] = id
            self._told(ADDED, person, id, address)

    def _swap(self) -> None:
        """Their address is one that they have had here; not the main one as the engine knows it: that this was another
        meanwhile nothing would tell."""
        if not (found := self._somebody()):
            return
        person, one = found
        _, *further = self._addresses(one[1])
        if further:
            address = self.rng.choice(further)
            addresses = self.scenario.beside.addresses
            if any(values.get("email") == address for values in addresses.stored((HUBSPOT, one[1]))):
                return
            if addresses.readdress(HUBSPOT, one, address, SWAPPED, addresses.known()):
                self._told(SWAPPED, person, one[1], address)

    def _merge(self) -> None:
        """A second contact of theirs is made and merged, before anybody else sees it; either's values stay."""
        if not (found := self._somebody()) or not self._is_told(found[1][1]):
            return
        person, (_, id, held) = found
        if self.scenario.beside.addresses.is_unheard(HUBSPOT, person, self.scenario.beside.addresses.known()):
            return
        portal, address, wins = self.scenario.pair.sandboxes[HUBSPOT], self._new(person), self.rng.random() < 0.5
        value = self.scenario._value(person, "last_name", held.get("last_name") if wins else None)
        other = portal.put("contacts", {"email": address, "lastname": value})
        new = portal.merge("contacts", *((other, id) if wins else (id, other)))
        addresses = self.scenario.beside.addresses
        if not wins:
            del self.scenario.said[-1]  # what stands is what stood
        else:
            over = addresses.replaced(person, str(held["email"]), (HUBSPOT, id), addresses.known())
            addresses.moves.append(Move(person, address, (HUBSPOT, new), over))
        for move in addresses.moves:
            if move.place == (HUBSPOT, id):
                move.place = (HUBSPOT, new)
        self.scenario.beside.keepsakes.merged(HUBSPOT, id, new)
        self._told(MERGED, person, new, f"{address} {'wins' if wins else 'loses'}")

    def _join(self) -> None:
        """Somebody joins the other platform by a further address that the engine knows, where they do not stand yet."""
        if self.scenario.acting or not (found := self._somebody()):
            return
        person, (_, id, _) = found
        [name] = set(self.scenario.names) - {HUBSPOT}
        addresses = self.scenario.beside.addresses
        known = addresses.known()[(HUBSPOT, id)]
        further = [address for address in self._addresses(id)[1:] if address in known]
        if not further or self.scenario._find(name, person) is not None or not addresses.may_join(name, further[0]):
            return
        self.scenario._join(name, person, further[0])
        self._told(ELSEWHERE, person, id, f"{name} {further[0]}")

    def check(self) -> None:
        """No address is lost."""
        if not self.rate:
            return
        addresses = self.scenario.beside.addresses
        for _, id, values in self.scenario._people(HUBSPOT):
            person = addresses.person(values)
            lost = self.had.get(person, set()) - set(self._addresses(id))
            if lost and person not in addresses.mistaken:
                raise Violation(f"S24: {person} has lost {sorted(lost)}")
