"""The world of a connector under test: a clock that stands still, a budget without limits, tokens in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from config.clock import ManualClock
from connectors import registry
from connectors.api import Account, Connector, Surroundings
from connectors.sandbox import Sandbox


class Budget:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.taken = 0
        self.blocked: list[float] = []

    def take(self, key: str, calls: int, *, rate: float, burst: int) -> None:
        self.taken += calls

    def block(self, key: str, seconds: float) -> None:
        self.blocked.append(seconds)


class Tokens(dict[str, str]):
    def put(self, name: str, value: str) -> None:
        self[name] = value

    def alone(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


def connect(sandbox: Sandbox, clock: ManualClock, *, auth: dict[str, Any] | None = None, **settings: Any) -> Connector:
    """A connector of the sandbox's platform, pointed at it."""
    account = sandbox.account()
    return registry.platform(sandbox.name).open(
        Account(
            sandbox.name,
            sandbox.name,
            auth or account["auth"],
            {**account["settings"], **settings},
            sandbox.base_url,
            sandbox.ca_file,
        ),
        Surroundings(clock, Budget(), Tokens()),
    )


def pulled(
    connector: Connector, object: str, cursor: str | None, fields: list[str], **more: Any
) -> tuple[list[Any], str]:
    """All records of a pull, and the cursor after it."""
    found: list[Any] = []
    last = cursor or ""
    for page in connector.pull(object, cursor, fields, **more):
        found.extend(page.records)
        last = page.cursor
    return found, last
