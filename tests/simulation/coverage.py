"""Which combinations of operation, fault and crash point can occur in a scenario, and which of them did.

An operation is the call to a platform under way or last ("start" before the first of a run), a fault what struck it
("well" where nothing did). A crash point is where the process died (before or after a call, before or after a commit)
or where another took over, which it does only after something; a combination without one was lived through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from tests.simulation import (
    amounts,
    backups,
    beside,
    briefs,
    conditions,
    dates,
    drift,
    filling,
    inboxes,
    joining,
    naming,
    oddities,
    optouts,
    quirks,
    remapping,
    returns,
    rewriting,
    undecided,
    wire,
)
from tests.simulation.side import LACKING

WELL = "well"
_OF_PUSHES = ("push_breaks", "later", "refused", "lost_before", "late_commit", "lost_after")
_OBJECTS = {
    "pull": ("contacts", "leads", "deals", "ties", "companies", "works", "forms"),
    "read": ("contacts", "leads", "deals", "outcomes", "tasks"),
    "create": ("contacts", "leads", "deals", "outcomes", "tasks"),
    "update": ("contacts", "leads", "deals"),
}
"""Operation -> the objects of a world with deals that it is on: these are told apart."""
_OF_PULLS = ("pull_breaks", "left_out")


def _on(operation: str, faults: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {f"{object}.{operation}": faults for object in _OBJECTS[operation]}


_SPOILED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "port": {
        "check": ("login_lost",),
        "describe": (),
        "pull": (*_OF_PULLS, quirks.EMPTIED, LACKING),
        "read": ("read_breaks", LACKING),
        "create": (*_OF_PUSHES, oddities.FLOWED, quirks.PICKY, LACKING),
        "update": (*_OF_PUSHES, oddities.FLOWED, quirks.PICKY, LACKING),
    },
    "deals": {
        "check": ("login_lost",),
        "describe": (),
        **_on("pull", _OF_PULLS),
        **_on("read", ("read_breaks",)),
        **_on("create", _OF_PUSHES),
        **_on("update", _OF_PUSHES),
    },
    "http": dict.fromkeys(("read", "write", "login"), wire.FAULTS),
    "deaths": dict.fromkeys(("read", "write", "login"), ()),
}
"""Level -> operation -> the faults that can strike it."""

_BESIDE = (
    "clocks differ",
    "clock set",
    "address changed",
    "address shared",
    "writes slow",
    "slices",
    oddities.SILENT,
    oddities.AHEAD_OF,
    quirks.AGED,
    quirks.ROLLED,
    returns.NAME,
    drift.GONE,
    drift.BACK,
    drift.ANEW,
    rewriting.CUT,
    rewriting.ODD,
    *dates.NAMES,
    *remapping.NAMES,
    filling.FILLED,
    *joining.NAMES,
)
"""What befalls the world of a scenario beside its story; at no call, or at any."""

ACTS = "somebody acts"
"""What happens at the level of HTTP before a call that reads or writes, instead of striking it."""

_LIKE = {"restored": "port", "rolled": "port", "older": "port"}
"""Level -> the level whose calls and faults it has."""

_LATER = frozenset(
    (
        "slices",
        oddities.SILENT,
        oddities.AHEAD_OF,
        oddities.FLOWED,
        quirks.AGED,
        quirks.ROLLED,
        quirks.EMPTIED,
        quirks.PICKY,
        returns.NAME,
        drift.GONE,
        drift.BACK,
        drift.ANEW,
        LACKING,
        rewriting.CUT,
        rewriting.ODD,
        *joining.NAMES,
    )
)
_LEFT_OUT: Mapping[str, frozenset[str]] = {
    "restored": _LATER,
    "rolled": _LATER | {"clocks differ", "clock set", "address changed", "address shared"},
}
"""Level -> what does not befall its worlds, where it is not known what a state that is older, or a side that is rolled
back, would have to make of it (`restoring.WITHOUT`, `RollingScenario.without`)."""

_ANSWERED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "port": {
        "pull": (WELL, "left_out"),
        "read": (WELL,),
        "create": (WELL, oddities.FLOWED),
        "update": (WELL, oddities.FLOWED),
    },
    "deals": {
        **_on("pull", (WELL, "left_out")),
        **_on("read", (WELL,)),
        **_on("create", (WELL,)),
        **_on("update", (WELL,)),
    },
    "http": dict.fromkeys(("read", "write", "login"), (WELL, *wire.FAULTS)),
    "deaths": dict.fromkeys(("read", "write", "login"), (WELL,)),
}
"""After which calls there is a boundary, and with what behind them: other faults end a call earlier, or come later."""


@dataclass(frozen=True)
class Coverage:
    """What was met of what can be; `strange` would be what was met and cannot be."""

    possible: int
    met: Mapping[str, int]
    never: tuple[str, ...]
    strange: tuple[str, ...]

    @classmethod
    def of(cls, level: str, met: Mapping[str, int]) -> Coverage:
        known = possible(level)
        found: Counter[str] = Counter()
        for name, number in met.items():
            found[_placed(name)] += number
        never = tuple(sorted(known - found.keys()))
        return cls(len(known), dict(found), never, tuple(sorted(found.keys() - known)))


@cache
def possible(level: str) -> frozenset[str]:
    """Every combination that can occur: `operation/fault`, or `operation/fault/what happened at point`."""
    never = _LEFT_OUT.get(level, frozenset())
    return frozenset(one for one in _combinations(level) if not never.intersection(one.split("/")))


def _combinations(level: str) -> Iterator[str]:
    yield from _ends("start", WELL, ("commit.before", "commit.after"), level)
    if level == "http":
        yield from (f"beside/{what}" for what in ("clock off", optouts.NAME, *beside.NAMES))
        yield from (f"{operation}/{ACTS}" for operation in ("read", "write"))
    of = _LIKE.get(level, level)
    if level in ("rolled", "older"):
        yield "beside/rolled back"
        yield f"beside/{undecided.NAME}"
    if of in ("port", "deals"):
        yield from (f"beside/{what}" for what in (naming.DESCEND, naming.SHUFFLED))
    if of == "deals":
        beside_deals = (
            amounts.ROUNDED,
            backups.RESTORED,
            conditions.NAME,
            *briefs.NAMES,
            inboxes.CHANGED,
            inboxes.SHARED,
        )
        yield from (f"beside/{what}" for what in beside_deals)
    if of == "port":
        yield from (f"beside/{what}" for what in _BESIDE)
        between = ("clock set", oddities.SILENT, oddities.AHEAD_OF)
        yield from (f"{operation}/{WELL}/{what}" for operation in _SPOILED[of] for what in between)
    for operation, faults in _SPOILED[of].items():
        yield from _ends(operation, WELL, ("call.before",), level)
        for fault in (WELL, *faults):
            if fault != WELL:
                yield f"{operation}/{fault}"
            yield from _ends(operation, fault, ("commit.before", "commit.after"), level)
            if fault in _ANSWERED[of].get(operation, ()):
                yield from _ends(operation, fault, ("call.after",), level)


def _ends(operation: str, fault: str, points: tuple[str, ...], level: str) -> Iterator[str]:
    """How a process can end there; two processes are at the levels of the port and of deals only."""
    for point in points:
        yield f"{operation}/{fault}/died at {point}"
        if level in ("port", "deals") and point.endswith("after"):
            yield f"{operation}/{fault}/taken over at {point}"


def _placed(name: str) -> str:
    """The combination without the platform it was met at."""
    operation, _, rest = name.partition("/")
    return f"{operation.rpartition(' ')[2]}/{rest}"
