"""Scenarios in which the state is lost, and an older one takes its place: `sync.epoch`, `sync.rebaseline`.

The same world, the same faults, the same oracle. At some step a backup is taken; at a later one it is restored, must be
refused where anything was written since, and is taken up anew, however often that is interrupted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
from sqlalchemy import select

from config.errors import Fenced, StateUnusable
from connectors.api import Gone
from sync.conflicts import listed
from sync.rebaseline import rebaseline
from sync.runs import Options, Runner
from sync.state.schema import metadata, quarantine, records
from tests.simulation import naming, oddities, quirks
from tests.simulation.oracle import Violation
from tests.simulation.people import FIELDS, Edit
from tests.simulation.process import Crash
from tests.simulation.quick import Memory
from tests.simulation.scenario import LATER, Outcome, Scenario
from tests.simulation.sharing import owned
from tests.simulation.side import Side, email_of
from tests.simulation.world import memory

TRIES = 12
"""How often it is tried while faults strike; then once without."""

Dump = dict[str, list[tuple[Any, ...]]]
"""Every row of every table."""


def dump(memory: Memory) -> Dump:
    return {table.name: memory.driver.execute(f'SELECT * FROM "{table.name}"').fetchall() for table in _TABLES}


def load(memory: Memory, kept: Dump) -> None:
    """Nothing but what was kept is in the tables."""
    memory.transaction.forget()
    for table in reversed(_TABLES):
        memory.driver.execute(f'DELETE FROM "{table.name}"')
    for table in _TABLES:
        if rows := kept[table.name]:
            places = ", ".join("?" * len(rows[0]))
            memory.driver.executemany(f'INSERT INTO "{table.name}" VALUES ({places})', rows)


_TABLES = metadata.sorted_tables
_OUT = "unsubscribed"
_ID, _BODY = (list(records.c.keys()).index(name) for name in ("id", "body"))
_FIELD = {"first": "first_name", "stage": "lifecycle_stage", "consent": "email_consent", "key": "closedloop_id"}


@dataclass
class _Restoring:
    """When the backup of a scenario is taken, and when it is restored."""

    scenario: Scenario
    memory: Memory
    rng: Random
    kept: Dump = field(default_factory=dict)
    shown: dict[str, set[tuple[str, str, Any]]] = field(default_factory=dict)  # by then, by side
    taken: int = 0
    restored: int = 0

    def plan(self) -> None:
        last = self.scenario.planned
        self.taken = self.rng.randrange(last - 1)
        self.restored = self.rng.randrange(self.taken + 1, last)

    def each(self, number: int) -> None:
        if number == self.taken:
            self.kept = dump(self.memory)
            self.shown = {name: set(side.shown) for name, side in self.scenario.sides.items()}
            self.scenario.kept = frozenset(self.scenario._linked())
            self.scenario._say("a backup is taken")
        elif number == self.restored:
            self._restore()

    def _restore(self) -> None:
        scenario = self.scenario
        scenario._say("the backup is restored")
        load(self.memory, self.kept)
        known = scenario.kept or frozenset()
        scenario.kept = None
        owners = owned(scenario)
        self._empty_bins()
        self._unlearn()
        scenario.reborn()
        scenario.restored = True
        told = {str(name): str(value) for name, value in self.kept["meta"]}.get("epoch", "0")
        mark = scenario.marks.mark
        if mark is not None and mark.epoch > int(told):
            self._is_refused()
        scenario.taking_up = True
        self._take_up()
        scenario.taking_up = False
        self._confuse(known, owners)

    def _confuse(self, known: Collection[tuple[str, str]], owners: Mapping[tuple[str, str], set[str]]) -> None:
        """Who lives on as a record that the backup does not know, by an address that is somebody else's in it: the lost
        state knew that they are two, and nothing else tells."""
        sides = self.scenario.sides
        whose = {address: sides[side].whose[id] for (side, id), every in owners.items() for address in every}
        for side in sides.values():
            for lose, row in side.rows().items():
                if row.gone is Gone.MERGED and row.into and (side.name, lose) in known:
                    keep = side.rows()[row.into]
                    other = whose.get(email_of(keep.values), side.whose[lose])
                    if (side.name, keep.id) not in known and other != side.whose[lose]:
                        side.mistaken.update((side.whose[lose], other))

    def _unlearn(self) -> None:
        """What the lost state knew to be filled, or had been shown, the older one need not know."""
        kept = {row[_ID]: orjson.loads(row[_BODY]) for row in self.kept["records"]}
        for side in self.scenario.sides.values():
            side.forgotten = side.shown - self.shown[side.name]
            side.filled = {(id, name) for id, name in side.filled if kept.get(id, {}).get(_FIELD.get(name, name))}

    def _empty_bins(self) -> None:
        """Some platforms tell no more of what was deleted, and what the backup never knew nobody knows. Somebody is
        deleted there just before, and the state that is lost had heard of it."""
        kept = {row[_ID] for row in self.kept["records"]}
        for side in self.scenario.sides.values():
            if self.rng.random() < 0.5:
                for id in sorted(side.known & set(side.live()) - kept)[:1]:
                    self._empty(side, id)
                side.purged = {id for id, row in side.rows().items() if row.gone is Gone.DELETED} - kept
        self._silence()

    def _silence(self) -> None:
        """An opt-out on a record of which nothing tells any more, and that no other record had been told, is gone."""
        sides = self.scenario.sides.values()
        opted = [(side, row) for side in sides for row in side.rows().values() if row.values.get("consent") == _OUT]
        told = {email_of(row.values) for side, row in opted if row.id not in side.purged}
        for side, row in opted:
            if row.id in side.purged and email_of(row.values) not in told:
                side.silent.add(row.id)

    def _empty(self, side: Side, id: str) -> None:
        """Whoever stands nowhere else is not known to have been there at all: not them. Nor who opted out there."""
        values = side.history[id][-1].values
        email = email_of(values)
        if values.get("consent") == _OUT:
            return
        others = (other for other in self.scenario.sides.values() if other is not side)
        if any(email_of(row.values) == email for other in others for row in other.live().values()):
            self.scenario._say(f"{side.name}/{id} is deleted, and its bin emptied")
            side.remove(id)
            side.told_gone.add(id)

    def _is_refused(self) -> None:
        before = {name: (side.calls, side.pushes) for name, side in self.scenario.sides.items()}
        try:
            Runner(self.scenario.workspace).run("sync", tuple(self.scenario.sides), Options(approve=True))
        except Crash:
            self.scenario.reborn()
        except StateUnusable as error:
            if error.code != "restored":
                raise
        else:
            raise Violation("P35: an older state was taken for the one that was written with")
        if before != {name: (side.calls, side.pushes) for name, side in self.scenario.sides.items()}:
            raise Violation("P35: an older state called a platform")

    def _take_up(self) -> None:
        for number in range(TRIES + 1):
            self._heal(number == TRIES)
            self.scenario.clock.advance(20)
            pushes = sum(side.pushes for side in self.scenario.sides.values())
            done = self._tried()
            if pushes != sum(side.pushes for side in self.scenario.sides.values()):
                raise Violation("P35: it wrote before it was taken up")
            if done:
                self._is_asked()
                self._mute()
                self._heal(False)
                return
        raise Violation("P35: it is never taken up")

    def _is_asked(self) -> None:
        """On whatever the records of a person differ now, the older state does not decide."""
        with self.scenario.workspace.state.read() as tx:
            rows = tx.execute(select(records.c.lead, records.c.body).where(records.c.gone.is_(None))).all()
            asked = {(row["lead"], row["field"]) for row in listed(tx) if row["kind"] == "field"}
            refused = set(tx.execute(select(quarantine.c.lead).where(quarantine.c.state == "open")).scalars())
        said: dict[tuple[str, str], set[str]] = defaultdict(set)
        for lead, body in rows:
            for name, value in orjson.loads(body).items():
                if name == "title" or (name == "first_name" and value):  # a title's blank says something
                    said[(lead, name)].add(str(value or "").casefold())
        for (lead, name), values in said.items():
            if len(values) > 1 and lead and (lead, name) not in asked and lead not in refused:
                raise Violation(f"P35: {name} of {lead} is {sorted(values)}, and nobody is asked")

    def _mute(self) -> None:
        """A blank in a field that the older state never knew to be filled, beside a value that the answers left out:
        nothing told that they differ, so that nobody was asked. Told later, the value looks as if given later."""
        sides = self.scenario.sides
        with self.scenario.workspace.state.read() as tx:
            known = {row.id: orjson.loads(row.body) for row in tx.execute(select(records.c.id, records.c.body))}
        unseen = {
            (side.whose[id], name)
            for side in sides.values()
            for id, name in side.untold
            if not known.get(id, {}).get(_FIELD.get(name, name))
        }
        for edit in self.scenario.people.edits:
            blank = edit.value is None and (edit.row, edit.field) not in sides[edit.side].filled
            edit.mute = edit.mute or (blank and (edit.email, edit.field) in unseen)
        for side in sides.values():
            for id, name in sorted(side.untold):
                if name in FIELDS and not known.get(id, {}).get(_FIELD.get(name, name)):
                    self._told_later(side, id, name)

    def _told_later(self, side: Side, id: str, name: str) -> None:
        people, row, whose = self.scenario.people, side.rows()[id], side.whose[id]
        if value := row.values.get(name):
            over = frozenset(n for n, edit in enumerate(people.edits) if (edit.email, edit.field) == (whose, name))
            people.late.add(len(people.edits))
            people.again(Edit(name, value, over, side.name, id, whose, mute=True))

    def _heal(self, healed: bool) -> None:
        self.scenario.healed = healed
        for side in self.scenario.sides.values():
            side.healed = healed

    def _tried(self) -> bool:
        try:
            done = rebaseline(self.scenario.workspace, Runner(self.scenario.workspace), new_id=self._new_id)
        except (Crash, Fenced):
            self.scenario.reborn()
            return False
        state = done.report.state if done.report else "no run"
        self.scenario._say(f"rebaseline: {state} {done.questions}")
        return done.taken_up

    def _new_id(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"


WITHOUT = {"takeover", *LATER, *oddities.KINDS, *quirks.KINDS} - {naming.KIND}


def run(seed: int, without: frozenset[str] = frozenset()) -> Outcome:
    """The scenario of `seed`, with a state that is lost on the way."""
    scenario = Scenario(seed, without=without | WITHOUT)
    restoring = _Restoring(scenario, memory(), Random(f"restored {seed}"))
    restoring.plan()
    scenario.each = restoring.each
    return scenario.run()


__all__ = ["Outcome", "run"]
