"""The sandbox on a socket, a clock that stands still, a connector."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.constant_contact.sandbox import ConstantContactSandbox
from tests.connectors.constant_contact.opened import opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def cc(clock: ManualClock) -> Iterator[ConstantContactSandbox]:
    with ConstantContactSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, ConstantContactSandbox)
        yield sandbox


@pytest.fixture
def connector(cc: ConstantContactSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(cc, clock)
    yield made
    made.close()
