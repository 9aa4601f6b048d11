"""Values that return, beside the story of a seed: somebody gives a field again what it, or another record of the same
person, held before. What looks like the echo of a write, or like a record that nothing happened to, is a person's word
of now."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, select

from connectors.api import Verb
from sync.state.schema import OPEN_WRITES, journal, records, streams
from tests.simulation.drift import UNIFIED
from tests.simulation.people import FIELDS
from tests.simulation.side import Side

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "returns"
NAME = "value given again"
RATES = (0.0, 0.0, 0.0, 0.0, 0.3, 0.6)
"""How likely it is after an act."""

_DOUBTED = select(journal.c.record).where(OPEN_WRITES, journal.c.connection == bindparam("of"))
_UNDONE = select(journal.c.after).where(
    journal.c.verb == Verb.CREATE.value, journal.c.state == "withdrawn", journal.c.connection == bindparam("of")
)
_KNOWN = (
    select(records.c.id, records.c.version, records.c.into, records.c.body, records.c.changed)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"))
)


class Returns:
    """Those of one scenario."""

    def __init__(self, scenario: Scenario, *, allowed: bool) -> None:
        self.scenario, self.struck = scenario, 0
        self.rng = Random(f"{scenario.seed}-{KIND}")
        drawn = self.rng.choice(RATES)
        self.rate = (
            drawn if allowed and not (scenario.people.tail or scenario.people.dated) else 0.0
        )  # a text cut off is no value that was given

    def strike(self) -> bool:
        """Perhaps somebody gives a value again; whether anybody does. Where an index lags nobody does: it tells an
        older state that holds the same."""
        if not self.rate or self.rng.random() >= self.rate:
            return False
        side = self.scenario.sides[self.rng.choice(tuple(self.scenario.sides))]
        live = [] if side.habits.lag else sorted(side.live())
        if not live:
            return False
        id, name = self.rng.choice(live), self.rng.choice(FIELDS)
        before = self._before(side, id, name)
        if not before:
            return False
        self.struck += 1
        self.scenario.met[f"beside/{NAME}"] += 1
        self.scenario.clock.advance(self.rng.choice((0, 2, 30)))
        self.scenario.people.give_again(side, id, name, self.rng.choice(before))
        return True

    def _before(self, side: Side, id: str, name: str) -> list[str]:
        """What the person was once said to be, and the record does not say now; nothing where nobody could know that it
        was said again."""
        people = self.scenario.people
        given = {edit.value for edit in people.edits if (edit.email, edit.field) == (side.whose[id], name)}
        hidden = {str(side.history[id][-1].values.get(name)).casefold(), *self._hidden(side, id, name)}
        return sorted(value for value in given if value and value.casefold() not in hidden)

    def _hidden(self, side: Side, id: str, name: str) -> set[str]:
        """What was written over there before anybody was shown it: nothing tells which of the two times was not heard.
        What a write of unknown fate was to replace: it looks as if that had never been done. What another record held
        that lives on as this one, until this one was seen since, and what it held there once: it looks as if that was
        carried over. What a create meant that was found undone: it looks as if that had come late."""
        with self.scenario.workspace.state.read() as tx:
            doubted = {row.record for row in tx.execute(_DOUBTED, {"of": side.name})}
            known = {row.id: row for row in tx.execute(_KNOWN, {"of": side.name})}
            undone = [orjson.loads(row.after) for row in tx.execute(_UNDONE, {"of": side.name})]
        if id in doubted:
            return {str(edit.value).casefold() for edit in self.scenario.people.edits}
        found = {str(value).casefold() for row, field, value in side.blind if (row, field) == (id, name)}
        found |= {str(meant.get(UNIFIED[name][0])).casefold() for meant in undone}
        for other, row in side.rows().items():
            if row.into == id and not _is_seen(known, id, other, row.version, name):
                found.add(str(row.values.get(name)).casefold())
        return found


def _is_seen(known: Mapping[str, Any], id: str, other: str, ended: str, name: str) -> bool:
    """Whether the engine knows that a record lives on as another, and has known since what that held in this field."""
    if id not in known or other not in known or not known[other].into or known[id].version < ended:
        return False
    field = UNIFIED[name][0]
    return field in orjson.loads(known[id].changed or "{}") or field in orjson.loads(known[id].body)
