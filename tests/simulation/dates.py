"""Dates, times and numbers as values of a field (D5, S25), in the place of titles, through the whole loop.

Each side writes them its way, as its mapping says: as ISO, in epoch milliseconds, by the clocks of its zone. One may
keep of what it is sent no more than a second, a minute, a day or some decimals, tell it by another zone, or take its
own clocks' time for the common one: that is a rewriting of the engine's own word, which never goes back to where the
whole of it stands (P10, P20). Drawn beside the story of a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import select

from connectors.api import Operation
from sync.state.schema import records, streams
from tests.simulation.moments import STYLES, Style, moments, number, number_of, style_of
from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

KIND = "dates"
SHARE = 0.12
FIELD, UNIFIED = "title", "held"
"""The remote field that holds them, and what the lead calls it."""
REWRITTEN = "values rewritten"
_BERLIN, _YORK, _HOWE = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
_QUARTER = timedelta(minutes=15)
"""All zones are whole quarters of an hour apart."""

NAMES = (*(f"values of type {type}" for type in STYLES), REWRITTEN)
"""What they are told as."""

Rewriting = Callable[[Style, Any], Any]
"""What stands where a side was sent something, by its style."""


def _to_the_second(style: Style, raw: Any) -> Any:
    return style.write(style.read(raw).replace(microsecond=0))


def _to_the_minute(style: Style, raw: Any) -> Any:
    return style.write(style.read(raw).replace(second=0, microsecond=0))


def _to_the_day(zone: ZoneInfo, style: Style, raw: Any) -> Any:
    """The day that its zone had: told as such, or as the midnight there."""
    midnight = _midnight(_there(style.read(raw), zone))
    midnight = midnight if _is_zoned(midnight) else _midnight(style.read(raw))
    return midnight.date().isoformat() if style is STYLES["datetime"][0] else style.write(midnight)


def _by_its_zone(style: Style, raw: Any) -> Any:
    """The same time, where texts with offsets are told at all."""
    at: datetime = style.read(raw)
    return at.astimezone(_YORK).isoformat(timespec="milliseconds") if style is STYLES["datetime"][0] else raw


def _moved(zone: ZoneInfo, style: Style, raw: Any) -> Any:
    """What its zone's clocks show then passes for the common time."""
    return style.write(_there(style.read(raw), zone).replace(tzinfo=UTC))


def _there(at: datetime, zone: ZoneInfo) -> datetime:
    """The time as the zone's clocks show it; before there were zones, the common time."""
    there = at.astimezone(zone)
    return there if _is_zoned(there) else at


def _is_zoned(there: datetime) -> bool:
    """Whether there were zones then."""
    return not (there.utcoffset() or timedelta(0)) % _QUARTER


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _rounded(places: int, style: Style, raw: Any) -> Any:
    return style.write(round(style.read(raw), places))


def _cut(style: Style, raw: Any) -> Any:
    return style.write(style.read(raw).quantize(Decimal("0.01"), ROUND_DOWN))


REWRITINGS: Mapping[str, tuple[Rewriting, ...]] = {
    "datetime": (
        *(_to_the_second, _to_the_minute, _by_its_zone),
        *(partial(_to_the_day, zone) for zone in (_BERLIN, _YORK)),
        *(partial(_moved, zone) for zone in (_BERLIN, _YORK, _HOWE)),
    ),
    "date": (),
    "decimal": (partial(_rounded, 0), partial(_rounded, 2), _cut),
}


@dataclass(frozen=True, slots=True)
class Dated:
    """Of which type the values of a world are, how its sides write them, and what one makes of those it is sent."""

    world: str
    names: tuple[str, ...]
    first: int = 0  # which moment, or number, stands for the first value that is given
    one: str = ""
    rewriting: Rewriting | None = None

    @property
    def type(self) -> str:
        return self.world.partition("/")[0]

    def style(self, name: str) -> Style:
        return style_of(self.world, self.names.index(name))

    def value(self, n: int) -> Any:
        n = (n + self.first) % len(moments())
        at = moments()[n]
        return {"datetime": at, "date": at.date(), "decimal": number(n)}[self.type]

    def given(self, name: str, n: int) -> Any:
        """The nth value as somebody gives it on a side: they see what becomes of it."""
        return self._stands(name, self.value(n))

    def _stands(self, name: str, value: Any) -> Any:
        raw = self.style(name).write(value)
        return self.rewriting(self.style(name), raw) if self.rewriting and name == self.one else raw

    def kept(self, name: str, value: Any) -> Any:
        """What a side keeps of a value."""
        return self.style(name).read(self._stands(name, value))

    def nth(self, value: Any) -> int | None:
        """Which value it is of those that were given; None for a blank."""
        found = number_of(value)
        return None if found is None else (found - self.first) % len(moments())

    def taken(self, name: str, operation: Operation) -> Operation:
        """What a side makes of a write."""
        raw = operation.values.get(FIELD)
        if raw is None or self.rewriting is None:
            return operation
        return replace(operation, values={**operation.values, FIELD: self.rewriting(self.style(name), raw)})

    def is_whole(self, name: str) -> bool:
        """Whether all of a value stands on this side."""
        return self.style(name).whole and (name != self.one or self.rewriting is _by_its_zone)


def drawn(seed: int, names: tuple[str, ...], *, allowed: bool) -> Dated | None:
    """Those of this seed; None in most."""
    rng = Random(f"{seed}-{KIND}")
    if not allowed or rng.random() >= SHARE:
        return None
    type = rng.choice(("datetime", "datetime", "date", "decimal"))
    world = f"{type}/{rng.randrange(len(STYLES[type]))}"
    first, rewritings = rng.randrange(len(moments())), REWRITINGS[type]
    if not rewritings or rng.random() < 0.25:
        return Dated(world, names, first)
    return Dated(world, names, first, rng.choice(names), rng.choice(rewritings))


def draw(scenario: Scenario, dated: Dated | None) -> None:
    """Let titles be of that type, if any."""
    scenario.people.dated = dated
    if dated is None:
        return
    scenario.met[f"beside/values of type {dated.type}"] += 1
    if dated.one:
        scenario.sides[dated.one].taken = partial(dated.taken, dated.one)
        scenario.met[f"beside/{REWRITTEN}"] += 1


def check(scenario: Scenario) -> None:
    """P20: what stands or was written where all of a value is kept is what somebody gave, to the last of it; and each
    record is known as what stands there means. Of people whose records a create confused nothing is judged. Where the
    record that had the whole was merged into another's, what another side keeps of it may be all that is left."""
    dated = scenario.people.dated
    if dated is None:
        return
    _check_known(scenario, dated)
    given = {
        dated.style(edit.side).read(edit.value) for edit in scenario.people.edits if edit.field == FIELD and edit.value
    }
    if scenario.joining and scenario.joining.ended:
        given |= {dated.kept(name, value) for value in given for name in scenario.sides}
    for side in scenario.sides.values():
        for raw in _ever(scenario, side.name) if dated.is_whole(side.name) else ():
            if dated.style(side.name).read(raw) not in given:
                raise Violation(f"P20: {FIELD} came back to {side.name} as {raw!r}")


def _ever(scenario: Scenario, name: str) -> Iterator[Any]:
    side, mistaken = scenario.sides[name], set().union(*(side.mistaken for side in scenario.sides.values()))
    stands = [(side.whose[row.id], row.values) for row in side.live().values()]
    written = [(side.whose[row.id] if row else side.identify(values), values) for _, row, values in side.writes]
    for person, values in (*stands, *written):
        if values.get(FIELD) is not None and person not in mistaken:
            yield values[FIELD]


_KNOWN = select(streams.c.connection, records.c.id, records.c.body).join(streams, streams.c.id == records.c.stream)


def _check_known(scenario: Scenario, dated: Dated) -> None:
    with scenario.workspace.state.read() as tx:
        known = tx.execute(_KNOWN.where(records.c.gone.is_(None))).all()
    for row in known:
        side, told = scenario.sides[row.connection], orjson.loads(row.body).get(UNIFIED)
        stands = side.history[row.id][-1]
        raw = stands.values.get(FIELD)
        if stands.gone is None and (told or raw) and not _is(dated, side.name, told, raw):
            raise Violation(f"P13: {side.name}/{row.id}.{FIELD} is {raw!r}, and known as {told!r}")


def _is(dated: Dated, name: str, told: Any, raw: Any) -> bool:
    """Whether the engine's form of a value means what stands on this side."""
    if told is None or raw is None:
        return told is raw
    return bool(STYLES[dated.type][0].read(told) == dated.style(name).read(raw))
