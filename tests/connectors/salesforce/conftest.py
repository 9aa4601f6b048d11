"""A sandbox org over TLS, and a connector to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from config.clock import ManualClock
from connectors.api import Account, Connector, Surroundings
from connectors.salesforce import platform
from connectors.salesforce.sandbox import SalesforceSandbox


class Budget:
    """A budget without limits that remembers what it was told."""

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


Open = Callable[..., Connector]


@pytest.fixture(scope="session")
def socket() -> Iterator[SalesforceSandbox]:
    """One listening TLS socket for all tests; the org behind it changes with each."""
    with SalesforceSandbox() as sandbox:
        assert isinstance(sandbox, SalesforceSandbox)
        yield sandbox


@pytest.fixture
def org(socket: SalesforceSandbox, clock: ManualClock) -> SalesforceSandbox:
    """A new org."""
    fresh = SalesforceSandbox(clock=clock, port=socket.port)
    assert socket._server is not None
    fresh._server = socket._server
    socket._server._application._sandbox = fresh
    return fresh


@pytest.fixture
def surroundings(clock: ManualClock) -> Surroundings:
    return Surroundings(clock, Budget(), Tokens())


@pytest.fixture
def open_org(org: SalesforceSandbox, surroundings: Surroundings) -> Iterator[Open]:
    opened: list[Connector] = []

    def make(mode: str = "client_credentials", /, auth: dict[str, Any] | None = None, **settings: Any) -> Connector:
        blocks = org.account(mode)
        given = {**blocks["auth"], **(auth or {})}
        account = Account(
            "sf",
            "salesforce",
            given,
            {**blocks["settings"], **settings},
            org.base_url,
            settings.pop("ca_file", org.ca_file),
        )
        opened.append(platform.open(account, surroundings))
        return opened[-1]

    yield make
    for connector in opened:
        connector.close()


@pytest.fixture
def connector(open_org: Open) -> Connector:
    return open_org()
