"""A field of an account that goes while the engine is at work, and comes back: deleted, renamed, or hidden by somebody
who changes permissions (S22). Drawn beside the story of a seed.

While it is gone no answer has it, no description tells it, and a write of it is refused; a strict platform refuses to
be asked for it, too. It comes back with what it held; or, where the engine had been told that it was gone, made anew:
blank everywhere, which nobody meant. Nothing of it may be lost elsewhere, and nothing else may wait (P28).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import takewhile
from random import Random
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import bindparam, select

from config.project import Project
from connectors.api import Operation, Record
from sync.drift import frozen
from sync.state.schema import leads, meta, records, streams
from tests.simulation.moments import plain
from tests.simulation.side import NAMES, Row, Side

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "drift"
GONE, BACK, ANEW = "field gone", "field back", "field made anew"
SHARE = 0.08
"""Of all worlds, those of which a side loses a field."""
MOST = 6
"""How often it goes or comes back, at most."""
UNIFIED = {"first": ("first_name",), "title": ("title", "held")}
"""What a lead calls them."""
_BODIES = (
    select(streams.c.connection, records.c.id, leads.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .join(leads, leads.c.id == records.c.lead)
)
_NOTED = select(meta.c.value).where(meta.c.name.like(bindparam("of")))


@dataclass
class Drifting(Side):
    """A side whose `lacking` field is gone just now."""

    @classmethod
    def of(cls, side: Side, *, strict: bool) -> Drifting:
        """The same side."""
        made = cls(**{known.name: getattr(side, known.name) for known in fields(Side)})
        made.strict = strict
        return made

    def shown_rows(self, object: str) -> list[Row]:
        shown = Side.shown_rows(self, object)
        return [self._bare(row) for row in shown] if self.lacking else shown

    def told(self, row: Row) -> Record:
        if not self.lacking:
            return Side.told(self, row)
        if row.gone is None:
            names = [name for name in NAMES if name != self.lacking]
            self.shown.update((row.id, name, row.values.get(name)) for name in names)
            self.untold.difference_update([(row.id, name) for name in names])
        values = orjson.dumps(self._bare(row).values)
        return Record(row.id, values, row.version, row.gone, row.into, row.into_object)

    def apply(self, operation: Operation) -> tuple[Row | None, bool]:
        """A write that comes late, and of a field that is gone by then, is not done."""
        return (None, False) if self.lacking in operation.values else Side.apply(self, operation)

    def _bare(self, row: Row) -> Row:
        return replace(row, values={name: value for name, value in row.values.items() if name != self.lacking})


@dataclass
class Drift:
    """That of one scenario: of which side, which field, and how."""

    name: str
    field: str
    rng: Random
    rate: float  # how likely it goes, or comes back, before a call
    strict: bool
    keeps: bool  # it comes back with what it held
    every: int  # seconds after which the engine asks again for the account's fields
    turns: int = 0

    def of(self, side: Side) -> Side:
        return Drifting.of(side, strict=self.strict) if side.name == self.name else side

    def watch(self, scenario: Scenario) -> None:
        """From now on it may strike before any call."""
        for side in scenario.sides.values():
            side.between = partial(self._meanwhile, scenario)
        scenario.people.mutes = partial(self.mutes, scenario)

    def project(self, made: Project) -> Project:
        """The project, as somebody has it who asks for the fields more often."""
        return made.model_copy(update={"guards": made.guards.model_copy(update={"describe_every": self.every})})

    def _meanwhile(self, scenario: Scenario) -> None:
        scenario._meanwhile()
        if not (scenario.healed or scenario._acting or self.turns >= MOST) and self.rng.random() < self.rate:
            self.turn(scenario)

    def turn(self, scenario: Scenario) -> None:
        """It goes; or it comes back."""
        side = scenario.sides[self.name]
        self.turns += 1
        scenario.oddities.struck += 4
        if side.lacking:
            self.back(scenario)
            return
        side.lacking = self.field
        scenario.met[f"beside/{GONE}"] += 1
        scenario._say(f"{side.name} has no {self.field} any more")

    def back(self, scenario: Scenario) -> None:
        """It is back, if it was gone."""
        side = scenario.sides[self.name]
        if not side.lacking:
            return
        side.lacking = ""
        known = self._is_known(scenario)
        anew = known and not self.keeps
        if anew:
            empty(scenario, side, self.field)
        elif known:
            _mute_unheard(scenario, side, self.field)
        else:  # nobody asked meanwhile: a full read only tells what answers left out
            side.untold.update((id, self.field) for id in side.live())
        scenario.met[f"beside/{ANEW if anew else BACK}"] += 1
        scenario._say(f"{side.name} has {self.field} again{', blank' if anew else ''}")

    def _is_known(self, scenario: Scenario) -> bool:
        """Whether the engine was told that it is gone."""
        with scenario.workspace.state.read() as tx:
            told = frozen(tx, [self.name]).get(self.name, {})
        return all(self.field in told.get(object, ()) for object in scenario.sides[self.name].objects)

    def mutes(self, scenario: Scenario, side: Side, name: str) -> bool:
        """Whether a blank that somebody makes now tells nothing: the field was gone, as far as the engine knows, and it
        has not read all of it since."""
        if (side.name, name) != (self.name, self.field):
            return False
        with scenario.workspace.state.read() as tx:
            return any(name in str(told) for told in tx.execute(_NOTED, {"of": f"frozen:{side.name}/%"}).scalars())


def _mute_unheard(scenario: Scenario, side: Side, name: str) -> None:
    """A blank that somebody made before the field went, and that nobody had stored by then, looks like one that came
    with it."""
    with scenario.workspace.state.read() as tx:
        bodies = {id: orjson.loads(body) for of, id, body in tx.execute(_BODIES) if of == side.name}
    for edit in scenario.people.edits:
        mine = (edit.side, edit.field, edit.value) == (side.name, name, None)
        if mine and any(bodies.get(edit.row, {}).get(one) for one in UNIFIED[name]):
            edit.mute = True


def empty(scenario: Scenario, side: Side, name: str) -> None:
    """All values of a side's field are gone, and no time has moved. Those that the engine had not made a lead's are
    lost."""
    side.anew[name] = side.clock.now()
    with scenario.workspace.state.read() as tx:
        bodies = {id: orjson.loads(body) for of, id, body in tx.execute(_BODIES) if of == side.name}
    for id, row in sorted(side.rows().items()):
        body = bodies.get(id, {})
        _unheard(scenario, side, id, name, next((body[one] for one in UNIFIED[name] if one in body), None))
        side.filled.discard((id, name))
        side.history[id].append(replace(row, at=side.clock.now(), values={**row.values, name: None}))


def _unheard(scenario: Scenario, side: Side, id: str, name: str, stored: object) -> None:
    """What was given there since what is stored stood there was given in vain: no mapping read it of the answers that
    held it."""
    told = [row.values.get(name) for row in reversed(side.history[id])]
    same = alike(scenario)
    vain = list(takewhile(lambda value: not same(value, stored), told))
    side.shown -= {(id, name, value) for value in vain if value}
    for edit in scenario.people.edits:
        mine = (edit.side, edit.row, edit.field) == (side.name, id, name)
        if mine and any(same(edit.value, value) for value in vain):
            edit.mute = True


def alike(scenario: Scenario) -> Callable[[object, object], bool]:
    """Whether what stands on a side is what is stored of it."""
    return _means_the_same if scenario.people.dated else _same


def _same(one: object, other: object) -> bool:
    return str(one or "").casefold() == str(other or "").casefold()


def _means_the_same(one: object, other: object) -> bool:
    return plain(one) == plain(other)


def drawn(seed: int, names: tuple[str, ...], *, allowed: bool) -> Drift | None:
    """That of this seed; None in most."""
    rng = Random(f"{seed}-drift")
    if not allowed or rng.random() >= SHARE:
        return None
    return Drift(
        rng.choice(names),
        rng.choice(tuple(UNIFIED)),
        rng,
        rate=rng.choice((0.02, 0.06, 0.15)),
        strict=rng.random() < 0.5,
        keeps=rng.random() < 0.5,
        every=rng.choice((1, 60, 3600)),
    )
