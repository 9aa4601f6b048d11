"""A person who changes a mapping between two runs, and takes the change back later (S22, O6): an entry is taken out, or
goes one way only, perhaps while its field is gone from the account. Drawn beside the story of a seed.

While it is out, nobody hears what is said of the field there; when it is back, what stands there is heard, as old as it
may be. Nothing may be lost by it, and nothing emptied: a blank in a field that was not read for a while tells nothing.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from random import Random
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import select

from mappings.compiler import Mapped, compile_mapping, lead_fields, read_mapping
from mappings.transforms import Context, Defaults
from sync.drift import Noted
from sync.state.schema import meta, records, streams
from tests.simulation.drift import MOST, UNIFIED, alike, empty
from tests.simulation.filling import FIELD
from tests.simulation.people import Edit
from tests.simulation.side import Side
from tests.simulation.world import World, project_of

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "remapped"
SHARE, OF_DRIFTING = 0.05, 0.6
"""Of all worlds those whose mapping is changed; of those whose side loses a field, which is then the one."""
RATE = 0.35
"""How likely it is changed, or changed back, at a step."""
ANEW = 0.6
"""How often a field was made anew, and blank, while its entry was out, and the engine has read all without it."""
OUT, PULL, PUSH = "entry taken out", "entry only pulled", "entry only pushed"
EMPTIED = "entry back, field made anew"
WAYS = (OUT, PULL, PUSH)
NAMES = (*WAYS, EMPTIED)


@cache
def _compiled(world: World, name: str, remote: str, change: str) -> dict[str, Mapped]:
    """The mapping of a side with this change, by object."""
    folder, made = project_of(world)
    mapping, _ = read_mapping(folder / "mappings" / f"{name}.yaml")
    changed = {}
    for object, told in mapping.objects.items():
        entries = [entry for entry in told.fields if entry.remote != remote or change != OUT]
        way = {PULL: "pull", PUSH: "push"}.get(change, "both")
        entries = [one.model_copy(update={"direction": way}) if one.remote == remote else one for one in entries]
        changed[object] = told.model_copy(update={"fields": entries})
    whole = mapping.model_copy(update={"objects": changed})
    return compile_mapping(whole, lead=lead_fields(made.project), context=Context(Defaults()))


@dataclass
class Remapping:
    """That of one scenario: of which side, which field, and what is changed of it just now."""

    scenario: Scenario
    name: str
    field: str
    rng: Random
    change: str = ""

    def compiled(self, name: str, made: dict[str, Mapped]) -> dict[str, Mapped]:
        """The mapping of a side as its file has it now."""
        if name != self.name or not self.change:
            return made
        return _compiled(self.scenario.world, name, self.field, self.change)

    def strike(self) -> None:
        """Perhaps somebody changes it, between two runs; or takes the change back."""
        if self.rng.random() < RATE:
            self._turn("" if self.change else self.rng.choice(WAYS))

    def back(self) -> None:
        """It is as it was."""
        if self.change:
            self._turn("")

    def _turn(self, change: str) -> None:
        scenario, side = self.scenario, self.scenario.sides[self.name]
        self._unhear(side)
        if change == PUSH:
            self._disown()
        if self.change == OUT:
            self._unshow(side)
        anew = self.change == OUT and self._may_be_anew(side) and self.rng.random() < ANEW
        scenario._say(f"{side.name}.{self.field}: {change or 'as it was'}")
        if change:
            scenario.met[f"beside/{change}"] += 1
        scenario.oddities.struck += 6
        if anew:
            if scenario.drift:  # nor does it go while all of it is read: nothing would tell that it was not
                scenario.drift.turns = MOST
            empty(scenario, side, self.field)
            scenario.met[f"beside/{EMPTIED}"] += 1
            scenario._say("... and all of it is blank there")
        self.change = change
        scenario.reborn()

    def _may_be_anew(self, side: Side) -> bool:
        """Whether the engine has read all without the field."""
        return not side.lacking and not self._is_unread(side)

    def _unhear(self, side: Side) -> None:
        """A blank that was made there and is not known yet need not be heard: it is read by another mapping then."""
        known = self._known(side)
        for edit in self._mine():
            edit.mute = edit.mute or (edit.value is None and bool(known.get(edit.row)))

    def _unshow(self, side: Side) -> None:
        """What was given while the entry was out, and emptied before it is back, was shown to nobody: no mapping read
        it of the answers that held it, and the blank tells nothing of it."""
        known, same = self._known(side), alike(self.scenario)
        for id in side.rows():
            stored, told = known.get(id), [row.values.get(self.field) for row in reversed(side.history[id])]
            emptied = dropwhile(operator.not_, told if not told[0] else ())
            for value in emptied:
                if not value or same(value, stored):
                    break
                side.shown.discard((id, self.field, value))

    def _known(self, side: Side) -> dict[str, object]:
        """What the engine knows of the field, by record."""
        with self.scenario.workspace.state.read() as tx:
            known = {row.id: orjson.loads(row.body) for row in tx.execute(_KNOWN) if row.connection == side.name}
        return {id: next((body[n] for n in UNIFIED[self.field] if n in body), None) for id, body in known.items()}

    def _disown(self) -> None:
        """Where only the engine's word is to stand, all that was said there is no voice: what stands elsewhere counts,
        though it may have been replaced there."""
        for edit in self._mine():
            edit.mute = True

    def _mine(self) -> list[Edit]:
        return [edit for edit in self.scenario.people.edits if (edit.side, edit.field) == (self.name, self.field)]

    def mutes(self, side: Side, name: str) -> bool:
        """Whether a blank that somebody makes now tells nothing: the field is not read, or not yet again."""
        if (side.name, name) != (self.name, self.field):
            return False
        return self.change == OUT or self._is_unread(side)

    def _is_unread(self, side: Side) -> bool:
        """Whether anything of it is to be read from the beginning yet."""
        mapped = self.scenario.workspace.compiled(side.name)
        with self.scenario.workspace.state.read() as tx:
            by = {row.object: row for row in tx.execute(_READ_BY) if row.connection == side.name}
            noted = {row.name: Noted.of(row.value) for row in tx.execute(_NOTED)}
        return any(
            object not in by
            or by[object].mapping != mapped[object].fingerprint
            or self.field in noted.get(f"frozen:{side.name}/{object}", Noted([], [])).back
            for object in side.objects
        )

    def owns(self, side: Side, name: str) -> bool:
        """Whether the engine's word is to stand there, whatever people say."""
        return (side.name, name) == (self.name, self.field) and self.change == PUSH


_KNOWN = select(streams.c.connection, records.c.id, records.c.body).join(streams, streams.c.id == records.c.stream)
_READ_BY = select(streams.c.connection, streams.c.object, streams.c.mapping)
_NOTED = select(meta.c.name, meta.c.value).where(meta.c.name.like("frozen:%"))


def drawn(scenario: Scenario) -> Remapping | None:
    """That of this seed; None in most."""
    rng = Random(f"{scenario.seed}-{KIND}")
    drift = scenario.drift
    if rng.random() >= (OF_DRIFTING if drift else SHARE) or not scenario._befalls(KIND):
        return None
    names, fields = tuple(scenario.sides), ("first", "title")
    where = (drift.name, drift.field) if drift else (rng.choice(names), rng.choice(fields))
    if scenario.sides[where[0]].fills and where[1] == FIELD:
        return None  # without the entry nobody could be made there
    made = Remapping(scenario, *where, rng)
    before = scenario.people.mutes
    scenario.people.mutes = lambda side, name: before(side, name) or made.mutes(side, name)
    scenario.people.owned = made.owns
    return made
