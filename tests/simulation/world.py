"""The project that all scenarios of a kind share: two or three platforms in memory, and what is mapped of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from config.clock import ManualClock
from connectors.api import Account, Connector, Platform, Surroundings
from sync.state.database import State
from sync.workspace import Workspace
from tests.simulation import folders
from tests.simulation.moments import FILLER, style_of
from tests.simulation.quick import Memory
from tests.simulation.side import Seat, Side

SIDES = ("alpha", "beta", "gamma")
START = datetime(2026, 3, 1, 9, tzinfo=UTC)

_OBJECT = "  {object}: {{kind: lead, about: people, push: [create, update], unique: [email, key]}}\n"
_MANIFEST = """
name: {name}
title: {name}
about: a simulated platform
api: "1"
sdk: none
hosts: [127.0.0.1]
auth: {{none: {{about: nothing}}}}
objects:
{objects}"""

_MAPPED = """  {object}:
    kind: lead
    match: [email]
    create_when: "true"
    fields:
      - {{remote: key, field: closedloop_id, direction: push}}
      - {{remote: email, field: email, direction: both, transform: [email]}}
      - {{remote: first, field: first_name, direction: both}}
      - {{remote: title, field: title, direction: both, on_blank: clear}}
      - {{remote: stage, field: lifecycle_stage, direction: both}}
      - {{remote: consent, field: email_consent, direction: both}}
"""

_PROJECT = """
version: 1
state: sqlite:///closedloop.db
connections:
{connections}
guards: {{describe_every: 86400, clock: 0, changed: {{share: 100%, over: 0}}, opted_out: {{share: 100%, over: 0}}}}
first_run: {{canary: 1}}
"""

_FIRST = "field: first_name, direction: both}"
_FILLED = f'field: first_name, direction: both, transform: [{{default: "{FILLER}"}}]}}'
_TITLE = "field: title, direction: both, on_blank: clear}"
_DATED = "field: held, direction: both, on_blank: clear, transform: {transform}}}"
_HELD = "lead: {{fields: {{held: {{type: {type}, about: a value that is no text}}}}}}\n"
_ROLLED = "      - {{remote: summary, field: company, direction: {direction}}}\n"

World = tuple[int, bool, bool, str]
"""How many sides there are, whether the second tells leads from contacts, whether the first has roll-ups, and what
titles are instead of texts (`dates.py`), or which side fills names in (`filling.py`)."""


def objects_of(world: World, name: str) -> tuple[str, ...]:
    return ("leads", "contacts") if world[1] and name == "beta" else ("contacts",)


def manifest(name: str, people: Iterable[str], more: str = "") -> str:
    """The manifest of a side that has these objects of people, and `more`."""
    return _MANIFEST.format(name=name, objects="".join(_OBJECT.format(object=object) for object in people)) + more


@cache
def _empty_state() -> Path:
    """A state in which nothing is yet, as it is made on a disk; the projects of all worlds begin with a copy."""
    made = folders.folder("empty") / "closedloop.db"
    State.open(f"sqlite:///{made}", clock=ManualClock(START)).close()
    return made


@cache
def project_of(world: World) -> tuple[Path, Workspace]:
    """The project that all scenarios of such a world share: files, compiled mappings, and an empty state to copy."""
    folder = folders.folder("sim")
    (folder / "mappings").mkdir()
    names = SIDES[: world[0]]
    for name in names:
        (folder / name).mkdir()
        parts = objects_of(world, name)
        (folder / name / "manifest.yaml").write_text(manifest(name, parts))
        rolled = _ROLLED.format(direction="pull" if name == SIDES[0] else "push") if world[2] else ""
        mapped = "".join(_MAPPED.format(object=object) + rolled for object in parts)
        if world[3] == f"fills/{name}":
            mapped = mapped.replace(_FIRST, _FILLED)
        elif world[3] and not world[3].startswith("fills/"):
            mapped = mapped.replace(_TITLE, _DATED.format(transform=style_of(world[3], names.index(name)).transform))
        (folder / "mappings" / f"{name}.yaml").write_text(f"platform: {name}\nobjects:\n{mapped}")
    held = _HELD.format(type=world[3].partition("/")[0]) if world[3] and not world[3].startswith("fills/") else ""
    lines = "\n".join(f"  {name}: {{auth: {{mode: none}}}}" for name in names)
    (folder / "closedloop.yaml").write_text(_PROJECT.format(connections=lines) + held)
    return folder, compiled(folder, {name: platform(name, folder / name, None) for name in names})


def compiled(folder: Path, platforms: Mapping[str, Platform]) -> Workspace:
    """The project in `folder` as it is known when it was opened once; an empty state lies there, and one to copy."""
    for name in ("empty.db", "closedloop.db"):
        shutil.copy(_empty_state(), folder / name)
    workspace = Workspace.open(folder, clock=ManualClock(START), find=platforms.__getitem__)
    workspace.close()
    return workspace


@cache
def memory() -> Memory:
    """The state in memory that the scenarios of this process use, one after the other."""
    return Memory()


def platform(
    name: str,
    folder: Path,
    side: Side | None,
    seats: list[Seat] | None = None,
    *,
    fenced: bool = False,
    seated: Callable[[Any, Callable[[], None]], Seat] = Seat,
) -> Platform:
    """`side` as the engine sees it: each opening takes a seat at it, which is noted in `seats`."""

    def open(account: Account, surroundings: Surroundings) -> Connector:
        assert side is not None
        take = partial(surroundings.budget.take, name, 1, rate=1e6, burst=1000) if fenced else lambda: None
        seat = seated(side, take)
        if seats is not None:
            seats.append(seat)
        return seat

    return Platform(name, folder, open, None)
