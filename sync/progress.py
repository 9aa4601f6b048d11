"""What a run tells: how far it is to who watches it, and at its end what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from config.errors import ClosedloopError
from sync.drift import Frozen
from sync.guards import Held
from sync.planning import Waiting


class Progress(Protocol):
    """What somebody watching a run is told."""

    def stage(self, connection: str, name: str) -> None: ...
    def pulled(self, connection: str, object: str, records: int, total: int | None) -> None: ...
    def decided(self, leads: int) -> None: ...
    def pushed(self, connection: str, object: str, done: int, total: int) -> None: ...


class Silent:
    """Tells nobody."""

    def stage(self, connection: str, name: str) -> None: ...
    def pulled(self, connection: str, object: str, records: int, total: int | None) -> None: ...
    def decided(self, leads: int) -> None: ...
    def pushed(self, connection: str, object: str, done: int, total: int) -> None: ...


@dataclass(slots=True)
class Report:
    """What a run did. `state` is done, held (first writes wait for a yes, see `waiting`, or a guard holds, see `held`),
    failed or cancelled. `frozen` are the mapped fields that an account has no longer: the run was partial."""

    run: str
    command: str
    state: str
    counts: dict[str, Any]
    waiting: dict[str, Waiting] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    frozen: dict[str, Frozen] = field(default_factory=dict)
    errors: list[ClosedloopError] = field(default_factory=list)
    needs_person: bool = False
    seconds: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def error(self) -> ClosedloopError | None:
        """The first error, None when all went well."""
        return self.errors[0] if self.errors else None
