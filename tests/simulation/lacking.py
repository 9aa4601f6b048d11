"""Fields that an account loses for a while, over HTTP and beside the story of a seed (S22): HubSpot's property is
archived, which no answer tells any more and no write may name; Salesforce's is hidden from the user, who may not ask
for it either.

People edit it only while it is there. Whether the engine was told that it was gone decides what it can hear of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from config.project import Project
from sync.drift import frozen
from sync.workspace import Workspace

GONE, BACK = "field gone", "field back"
MOST = 4
"""How often fields go or come back, at most."""


def _hubspot(sandbox: Any, object: str, name: str, *, hidden: bool) -> None:
    sandbox.hide(name, hidden)


def _salesforce(sandbox: Any, object: str, name: str, *, hidden: bool) -> None:
    sandbox.hide(object, name, hidden)


HIDES: Mapping[str, Callable[..., None]] = {"hubspot": _hubspot, "salesforce": _salesforce}
"""Platforms whose accounts lose fields here, and how."""


@dataclass
class Lacking:
    """What one scenario has of it: the platform, and the unified name of the field."""

    seed: int
    allowed: bool
    names: Sequence[str]
    sandboxes: Mapping[str, Any]
    spoken: Sequence[str]
    met: Callable[[str], None]
    remote: dict[str, str] = field(default_factory=dict)  # object -> the field's name there
    turns: int = 0
    gone: bool = False
    unheard: bool = False  # it came back before the engine was told that it was gone

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}-lacking")
        here = [name for name in self.names if name in HIDES]
        optional = [name for name in self.spoken if name != "last_name"]  # no account is without that
        drawn = self.rng.random() < 0.2 and self.allowed
        self.name = self.rng.choice(here) if drawn and here and optional else ""
        self.field = self.rng.choice(optional) if self.name else ""
        self.rate = self.rng.choice((0.02, 0.06, 0.15))
        self.every = self.rng.choice((1, 600))

    def open(self, workspace: Workspace) -> None:
        """The account as it was made, which the mappings of `workspace` read."""
        mapped = workspace.compiled(self.name) if self.name else {}
        for object, one in mapped.items():
            if entry := one.entries.get(self.field):
                self.remote[object] = entry.remote
        self._hide(hidden=False)

    def project(self, made: Project) -> Project:
        """The project, as somebody has it who asks for the fields more often."""
        if not self.name:
            return made
        return made.model_copy(update={"guards": made.guards.model_copy(update={"describe_every": self.every})})

    def strike(self, workspace: Workspace) -> None:
        """Perhaps it goes, or comes back, before a call of the engine's."""
        if self.name and self.turns < MOST and self.rng.random() < self.rate:
            self.turns += 1
            self.turn(workspace)

    def turn(self, workspace: Workspace) -> None:
        self.gone = not self.gone
        self.met(GONE if self.gone else BACK)
        self._hide(hidden=self.gone)
        if self.gone:
            return
        with workspace.state.read() as tx:
            told = frozen(tx, [self.name]).get(self.name, {})
        self.unheard |= any(remote not in told.get(object, ()) for object, remote in self.remote.items())

    def heal(self, workspace: Workspace) -> None:
        """It is back."""
        if self.gone:
            self.turn(workspace)

    def is_gone(self, name: str, spoken: str) -> bool:
        """Whether people on this platform have no such field now."""
        return self.gone and (name, spoken) == (self.name, self.field)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Inside, people are at work, who see all that is there."""
        if not self.gone:
            yield
            return
        self._hide(hidden=False)
        try:
            yield
        finally:
            self._hide(hidden=True)

    def _hide(self, *, hidden: bool) -> None:
        for object, remote in self.remote.items():
            HIDES[self.name](self.sandboxes[self.name], object, remote, hidden=hidden)
