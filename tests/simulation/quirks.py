"""What platforms do to whoever reads them or writes to them, beside the story of a seed.

A page token, or the place where the last pull ended, is too old, and the pull begins anew (T11); a listing is empty or
cut short once, though nobody deleted anything (S27); a picklist does not take a value until somebody adds it (S19); a
roll-up changes without moving its record's time, and cannot be written (S17). A world in which none is drawn stays what
it was, and as quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from config.errors import RecordRejected
from connectors.api import FieldSchema, ObjectSchema, Operation, Page, Record, Result
from tests.simulation.moments import number_of
from tests.simulation.oracle import Violation
from tests.simulation.side import Seat, Side

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KINDS = ("aged", "emptied", "picky", "rollups")
RATES = (*(0.0,) * 14, 0.1, 0.3)
OFTEN = {"rollups": 0.7}
"""Rates of kinds that only come with the pulls of one side."""
AGED, EMPTIED, PICKY, ROLLED = "cursor too old", "emptied", "not in the list", "roll-up moved"
ROLLING, SUMMARY = "alpha", "summary"
"""The side whose records have a roll-up, and what it is called; the others are told it."""
MOST = 3
"""How often a pull begins anew, at most."""


def slow_down(scenario: Scenario) -> None:
    """In one of eight worlds the writes of a side take long."""
    rng = Random(f"{scenario.seed}-slow")
    if scenario._befalls("slow") and rng.random() < 0.125:
        slowly = scenario.sides[rng.choice(tuple(scenario.sides))]
        slowly.slow = rng.choice((15.0, 25.0, 40.0))
        scenario.met["beside/writes slow"] += 1


class Quirks:
    """Those of one scenario. `rolls` is whether there are roll-ups, `totals` what each comes to."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        rng = Random(f"{scenario.seed}-quirks")
        drawn = {kind: rng.choice(RATES) for kind in KINDS}
        self.rates = {kind: OFTEN.get(kind, rate) for kind, rate in drawn.items() if rate and scenario._befalls(kind)}
        self.rngs = {kind: Random(f"{scenario.seed}-{kind}") for kind in self.rates}
        self.picky = rng.choice(tuple(scenario.sides)) if "picky" in self.rates else ""
        self.rolls = "rollups" in self.rates and not scenario.shares
        self.totals: dict[str, int] = {}

    @property
    def seated(self) -> Callable[[Side, Callable[[], None]], Seat]:
        """How a process sits at a side."""
        return Seat if not self.rates else lambda side, take: QuirkSeat(self, side, take)

    def strikes(self, kind: str, side: Side) -> bool:
        rate = self.rates.get(kind, 0.0)
        return bool(rate) and not side.healed and self.rngs[kind].random() < rate

    def met(self, what: str) -> None:
        self.scenario.met[f"beside/{what}"] += 1

    def anew(self, cursor: str | None) -> str | None:
        """The cursor of a pull that begins anew: in the middle of one where that began, else at the beginning."""
        state = orjson.loads(cursor) if cursor else {"since": "", "after": ""}
        self.met(AGED)
        return orjson.dumps({"since": state["since"] if state["after"] else "", "after": ""}).decode()

    def hidden(self, side: Side) -> set[str]:
        """The records that a listing leaves out, nearly always none. A full read is sure to tell what it missed."""
        if not self.strikes("emptied", side):
            return set()
        here, rng = sorted(set(side.history) - side.purged), self.rngs["emptied"]
        self.scenario.oddities.unmoved = True
        return set(here if rng.random() < 0.5 else here[rng.randrange(len(here) + 1) :])

    def move(self, side: Side) -> None:
        """A roll-up changes, perhaps."""
        here = sorted(side.live())
        if not (here and self.strikes("rollups", side)):
            return
        id = self.rngs["rollups"].choice(here)
        self.totals[id] = self.totals.get(id, 0) + 1
        self.scenario.oddities.unmoved = True
        self.scenario.oddities.struck += 1
        self.met(ROLLED)
        self.scenario._say(f"{side.name}/{id}: the roll-up is {self.total(id)}")

    def total(self, id: str) -> str:
        return f"Sum {self.totals.get(id, 0)}"

    def takes(self, side: Side, title: Any) -> bool:
        """Whether a picklist has this value; once the world is healed it has all."""
        return side.healed or side.name != self.picky or not title or (number_of(title) or 0) % 3 > 0

    def check(self) -> None:
        """P1 of roll-ups: every side tells what each comes to; of one that was deleted in silence nobody knows."""
        if not self.rolls:
            return
        own, one = self.scenario.sides[ROLLING], self.scenario.people.one
        for id in own.live():
            person = one(own.whose[id])
            sums = {self.total(other) for other in own.live() if one(own.whose[other]) == person}
            lost = [other for other in own.unlisted if one(own.whose[other]) == person]  # as it was known
            sums |= {f"Sum {number}" for other in lost for number in range(self.totals.get(other, 0) + 1)}
            for side in self.scenario.sides.values():
                told = {row.values.get(SUMMARY) for row in side.live().values() if one(side.whose[row.id]) == person}
                if side is not own and not told <= sums:
                    raise Violation(f"P1: {SUMMARY} of {person} is {told} on {side.name}, and comes to {sums}")


class QuirkSeat(Seat):
    """A seat at a side that has any."""

    def __init__(self, quirks: Quirks, side: Side, take: Callable[[], None]) -> None:
        super().__init__(side, take)
        self.quirks = quirks
        self._rolls = quirks.rolls and side.name == ROLLING

    def describe(self, object: str) -> ObjectSchema:
        told = super().describe(object)
        if not self.quirks.rolls:
            return told
        return replace(told, fields={**told.fields, SUMMARY: FieldSchema(SUMMARY, "text", writable=not self._rolls)})

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        if self._rolls:
            self.quirks.move(self.side)
        if cursor and self.quirks.strikes("aged", self.side):
            cursor = self.quirks.anew(cursor)
        for again in range(MOST):
            for page in self._shortened(super().pull(object, cursor, fields, since=since, bulk=bulk)):
                yield self._rolled_page(page)
                if page.more and again < MOST - 1 and self.quirks.strikes("aged", self.side):
                    cursor = self.quirks.anew(page.cursor)
                    break
            else:
                return

    def _shortened(self, pages: Iterator[Page]) -> Iterator[Page]:
        """The pages, but for what a listing leaves out."""
        side, hidden = self.side, self.quirks.hidden(self.side)
        if not hidden:
            yield from pages
            return
        side.met[f"pull/{EMPTIED}"] += 1
        while True:
            side.purged |= hidden
            try:
                page = next(pages, None)
            finally:
                side.purged -= hidden
            if page is None:
                return
            side.struck = EMPTIED
            yield page

    def _rolled_page(self, page: Page) -> Page:
        return replace(page, records=[self._rolled(record) for record in page.records]) if self._rolls else page

    def _rolled(self, record: Record) -> Record:
        """The record with its roll-up."""
        if not self._rolls or record.gone is not None:
            return record
        values = {**orjson.loads(record.raw), SUMMARY: self.quirks.total(record.id)}
        return Record(record.id, orjson.dumps(values), record.version)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        found = super().read(object, key, values, fields)
        return {value: self._rolled(record) for value, record in found.items()} if self._rolls else found

    def _pushed(self, operation: Operation) -> Result:
        side = self.side
        if not self.quirks.takes(side, operation.values.get("title")):
            side.met[f"{side.doing}/{PICKY}"] += 1
            side.struck = PICKY
            side.refused.add(operation.key)
            error = RecordRejected("The list has no such value.", field="title", code="choice")
            return Result(operation.key, operation.id, error=error)
        result = super()._pushed(operation)
        if self._rolls and result.record is not None:
            return replace(result, record=self._rolled(result.record))
        return result
