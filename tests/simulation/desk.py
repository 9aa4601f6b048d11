"""A side that holds deals beside its people: who is in them (ties, a stream of their own), and what it is told of them.

All habits and faults are those of `side.py`. A deal keeps its name as `title` and the reason of its loss as `first`,
since these are the two fields that sides leave out, and of which they rewrite the second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from connectors.api import FieldSchema, Gone, ObjectSchema, Operation, Page, Record, Result, Verb
from tests.simulation.amounts import AMOUNTS, kept
from tests.simulation.side import Row, Seat, Side

FACTS = ("title", "worth", "stage", "closed", "won", "until", "first")
"""The fields of a deal, by their remote names, which are the same on all sides."""
SUMS = ("customer", "wins", "open", "earned", "hopes", "since", "why", "at")
"""The fields of a person that say what came of them, by their remote names."""
CLAIMS = ("event", "event_id", "person", "worth", "first")
"""The fields of an outcome that is told by itself."""
BRIEF = ("subject", "body", "person", "reference")
"""The fields of a hand-off brief."""
PEOPLE = ("contacts", "leads")
"""The objects of people."""
_TIES = ("from_object", "from_id", "to_object", "to_ids")
_PERSON = ("email", "first", "title", "stage", "consent", "key", *SUMS, "ready", "handed", "status")
_NAMES = {
    "contacts": _PERSON,
    "leads": _PERSON,
    "deals": (*FACTS, "home"),
    "ties": _TIES,
    "companies": ("title",),
    "works": _TIES,
    "outcomes": CLAIMS,
    "tasks": BRIEF,
    "forms": ("at", "person", "name"),
}


@dataclass
class Desk(Side):
    """A side with deals. `knows(id)` says whether the engine has stored a record of this side."""

    places: int | None = None  # decimals that it keeps of an amount; None for all
    repeats: bool = True  # it knows an outcome that is told again
    knows: Callable[[str], bool] = lambda id: False
    made: Counter[str] = field(default_factory=Counter)  # copies that the engine made, by home
    unheard: Counter[str] = field(default_factory=Counter)
    twins: list[str] = field(default_factory=list)  # homes copied again while a copy stood there
    revived_deals: list[str] = field(default_factory=list)  # ... or after the engine had stored one that is gone
    given: dict[str, str] = field(default_factory=dict)  # copy -> the person it was made for
    named: dict[str, Any] = field(default_factory=dict)  # deal -> the home that it named when it was told last
    unheard_ends: set[tuple[str, str]] = field(
        default_factory=set
    )  # written over when it was a copy no more (id, version)

    @classmethod
    def of(cls, side: Side) -> Desk:
        """The same side, with deals."""
        return cls(**{known.name: getattr(side, known.name) for known in fields(Side)})

    def rewritten(self, values: dict[str, Any]) -> dict[str, Any]:
        """Amounts, too."""
        told = Side.rewritten(self, values)
        return {**told, **{name: kept(told[name], self.places) for name in AMOUNTS if name in told}}

    def standing(self, object: str) -> dict[str, Row]:
        """The live records of an object."""
        return {id: row for id, row in self.live().items() if row.object == object}

    def every(self, object: str) -> dict[str, Row]:
        """All records of an object as they are now."""
        return {id: row for id, row in self.rows().items() if row.object == object}

    # ties, which the platform keeps in order by itself

    def remove(self, id: str, gone: Gone = Gone.DELETED, into: str = "", into_object: str = "") -> None:
        """What is deleted is in nothing any more; what is merged is so as the survivor. Neither time moves for it."""
        Side.remove(self, id, gone, into, into_object)
        if gone in (Gone.DELETED, Gone.MERGED):
            for tie, row in sorted(self.standing("ties").items()):
                self._untie(tie, row, id, into)

    def _untie(self, tie: str, row: Row, id: str, into: str) -> None:
        values = row.values
        if values["from_id"] == id and into:
            self.edit(tie, {"from_id": into})
        elif values["from_id"] == id:
            Side.remove(self, tie)
        elif id in values["to_ids"]:
            left = sorted({*values["to_ids"], *([into] if into else [])} - {id})
            if left:
                self.edit(tie, {"to_ids": left})
            else:
                Side.remove(self, tie)

    def tie(self, deal: str, people: list[str]) -> str:
        tied = {"from_object": "deals", "from_id": deal, "to_object": "contacts", "to_ids": sorted(people)}
        return self.put(tied, "ties")

    def people_of(self, deal: str) -> set[str]:
        """The ids of the people in a deal, as its ties stand."""
        found = self.standing("ties").values()
        return {id for row in found if row.values["from_id"] == deal for id in row.values["to_ids"]}

    # the engine

    def told(self, row: Row) -> Record:
        if row.object == "deals":
            self.named[row.id] = row.values.get("home")
        return Side.told(self, row)

    def _over(self, row: Row, operation: Operation) -> None:
        """As there; and whether it was a copy for all that anybody had been told."""
        if row.object == "deals" and not row.values.get("home") and self.named.get(row.id):
            self.unheard_ends.add((row.id, row.version))
        Side._over(self, row, operation)

    def apply(self, operation: Operation) -> tuple[Row | None, bool]:
        if operation.verb is Verb.CREATE and operation.object == "deals":
            return self._open(operation)
        if operation.verb is Verb.CREATE and operation.object == "outcomes":
            return self._count(operation)
        if operation.verb is Verb.CREATE and operation.object == "tasks":
            return self._noted(operation)
        return Side.apply(self, operation)

    def _noted(self, operation: Operation) -> tuple[Row | None, bool]:
        """A brief is made beside its person; each write makes one. One that was gone before anybody was told that it
        was there is written once more."""
        object, _, person = str(operation.values["person"]).partition("/")
        if person not in self.standing(object):
            return None, False
        told = str(operation.values["reference"])
        every = self.every("tasks").items()
        gone = [id for id, row in every if row.values["reference"] == told and row.gone and not self.knows(id)]
        self.unheard[told] = len(gone)
        self.writes.append((Verb.CREATE, None, dict(operation.values)))
        made = self.put(dict(operation.values), "tasks")
        return self.history[made][-1], True

    def _open(self, operation: Operation) -> tuple[Row | None, bool]:
        """A deal is made for its person, and of nobody not at all."""
        values = dict(operation.values)
        person = str(values.pop("person", "")).rpartition("/")[2]
        known = self._meets(operation) if self.habits.finds_by_key else None
        if known is not None:
            self._over(known, replace(operation, values=values))
            self.edit(known.id, values)
            return self.history[known.id][-1], False
        if person not in self.standing("contacts"):
            return None, False
        home = str(values["home"])
        for id, row in self.every("deals").items():
            if row.values.get("home") == home:
                self._again(home, id, row)
        self.writes.append((Verb.CREATE, None, values))
        self.made[home] += 1
        made = self.put(values, "deals")
        self.tie(made, [person])
        self.given[made] = person
        return self.history[made][-1], True

    def _again(self, home: str, id: str, row: Row) -> None:
        if row.gone is None:
            self.twins.append(home)
        elif self.knows(id):
            self.revived_deals.append(home)
        else:  # nobody was told of it while it was there
            self.unheard[home] += 1

    def _count(self, operation: Operation) -> tuple[Row | None, bool]:
        told = str(operation.values["event_id"])
        known = [row for row in self.every("outcomes").values() if row.values["event_id"] == told]
        if known and self.repeats:
            return known[0], False
        self.writes.append((Verb.CREATE, None, dict(operation.values)))
        made = self.put(dict(operation.values), "outcomes")
        return self.history[made][-1], True


class DeskSeat(Seat):
    """A process' connector to a side with deals. A call is told with the object that it is on."""

    about = ""

    def _call(self, what: str) -> None:
        Seat._call(self, what if what in ("check", "describe") else f"{self.about}.{what}")

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self.about = object
        yield from Seat.pull(self, object, cursor, fields, since=since, bulk=bulk)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self.about = object
        return Seat.read(self, object, key, values, fields)

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        self.about = operations[0].object
        yield from Seat.push(self, operations, fields)

    def describe(self, object: str) -> ObjectSchema:
        self._call("describe")
        return ObjectSchema(object, {name: FieldSchema(name, "text") for name in _NAMES[object]})


def said(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """Values as they are compared: no blanks, no zeros, no case."""
    plain = {name: values.get(name) for name in names}
    return {name: str(value).casefold() for name, value in plain.items() if value not in (None, "", False, 0, "0")}
