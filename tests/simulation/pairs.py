"""Every pair of platforms of which one can be written to: their sandboxes, and the project between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import orjson
import yaml

from config.clock import ManualClock
from connectors import registry
from mappings.model import Kind
from sync import scaffold
from sync.targets import targets
from sync.workspace import Workspace
from tests.simulation import folders, habits, keepsakes, logins, sources
from tests.simulation.wire import Wire

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
SPOKEN = ("first_name", "last_name", "title", "city")
"""Fields that people give values, where both platforms' mappings read and write them."""
PORT = 1
_CREATE_WHEN = re.compile(r'^( *create_when:) *"false".*$', re.MULTILINE)


def writable() -> list[str]:
    """The registered platforms with a sandbox to whose people one can write."""
    return [name for name in registry.names() if registry.platform(name).sandbox is not None and _pushes(name)]


def _pushes(name: str) -> bool:
    objects = registry.facts(name).objects.values()
    return any(facts.kind is Kind.LEAD and {"create", "update"} <= set(facts.push) for facts in objects)


@cache
def pairs() -> list[tuple[str, str]]:
    """Every two platforms that can be written to, and each other one (first) beside each of these."""
    return [*combinations(writable(), 2), *product(sources.names(), writable())]


@dataclass(frozen=True)
class Pair:
    """Two platforms' sandboxes, empty but for what they came with, and the project between them."""

    names: tuple[str, str]
    folder: Path
    clock: ManualClock
    sandboxes: Mapping[str, Any]
    empty: Mapping[str, bytes]
    usual: Mapping[str, Mapping[str, Any]]
    made: Workspace
    wire: Wire
    spoken: tuple[str, ...]


@cache
def pair(names: tuple[str, str], marks: bool = False) -> Pair:
    """Made once a process: files, sandboxes, compiled mappings; with `marks` those mark everybody (keepsakes.py)."""
    folder = folders.folder("pair")
    clock = ManualClock(START)
    sandboxes = {
        name: registry.platform(name).sandbox(seed=5, clock=clock, port=PORT + number)
        for number, name in enumerate(names)
    }
    for sandbox in sandboxes.values() if marks else ():
        keepsakes.prepare(sandbox)
    chosen = {name: logins.connection(folder, name, sandbox) for name, sandbox in sandboxes.items()}
    tells = str(marks or sources.takes_outcomes(names[0])).lower()
    scaffold.write(folder, chosen, tail=f'qualification: {{qualified_when: "{tells}"}}\n')
    _adapt(folder, names, marks=marks)
    made = Workspace.open(folder, clock=clock)
    made.close()
    empty = {name: orjson.dumps(sandbox.snapshot()) for name, sandbox in sandboxes.items()}
    spoken = set(SPOKEN)
    for target in targets(made):
        spoken &= target.pushed & made.mapped(target.connection)[target.object].pulled
    spoken -= {"first_name"} if names[0] == "google_analytics" else set()
    usual = {name: habits.usual(sandbox) for name, sandbox in sandboxes.items()}
    return Pair(names, folder, clock, sandboxes, empty, usual, made, Wire(sandboxes), tuple(sorted(spoken)))


def _adapt(folder: Path, names: tuple[str, str], *, marks: bool) -> None:
    """People are created wherever they are missing, and nothing else is pulled."""
    file = folder / "closedloop.yaml"
    project: dict[str, Any] = yaml.safe_load(file.read_text())
    project.pop("handoff", None)
    for name in names:
        objects = registry.facts(name).objects
        people = [object for object, facts in objects.items() if facts.kind is Kind.LEAD]
        project["connections"][name]["objects"] = sources.pulled(name) if name in sources.names() else people
        mapping = folder / "mappings" / f"{name}.yaml"
        text = _CREATE_WHEN.sub(r'\1 "true"', sources.adapted(mapping.read_text()))
        mapping.write_text(keepsakes.marked(name, text) if marks else text)
    everything = {"share": "100%", "over": 0}
    project["guards"] = {"describe_every": 86400, "changed": everything, "opted_out": dict(everything)}
    file.write_text(yaml.safe_dump(project))
