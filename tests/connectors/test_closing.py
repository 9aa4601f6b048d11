"""Whoever is closed leaves no line open, even while somebody still holds on to it."""

from __future__ import annotations

import gc
import socket

import pytest

from config.clock import ManualClock
from config.errors import ClosedloopError
from connectors import registry
from connectors.sandbox import Answer, FaultKind, Sandbox
from tests.connectors.surroundings import connect

NAMES = [name for name in sorted(registry.names()) if name != "singer"]
"""Those that speak HTTP: a tap is a process."""


def lines(sandbox: Sandbox) -> int:
    """How many lines to the platform this process has open."""
    port = int(sandbox.base_url.rpartition(":")[2])
    return sum(isinstance(one, socket.socket) and _peer(one) == port for one in gc.get_objects())


def _peer(one: socket.socket) -> int:
    try:
        return int(one.getpeername()[1])
    except (OSError, IndexError, ValueError):
        return 0  # closed, listening, or of another family


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_connector_leaves_no_line_open(name: str, clock: ManualClock) -> None:
    with registry.platform(name).sandbox(seed=3, clock=clock) as sandbox:
        connector = connect(sandbox, clock)
        connector.check()
        assert lines(sandbox) > 0
        connector.close()
        assert lines(sandbox) == 0


@pytest.mark.parametrize("fault", [FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER])
@pytest.mark.parametrize("name", NAMES)
def test_so_does_one_whose_calls_went_wrong(name: str, fault: FaultKind, clock: ManualClock) -> None:
    with registry.platform(name).sandbox(seed=3, clock=clock) as sandbox:
        connector = connect(sandbox, clock)
        sandbox.inject(fault, "", times=10**6)
        with pytest.raises(ClosedloopError):
            connector.check()
        connector.close()
        assert lines(sandbox) == 0


def test_a_connector_that_cannot_be_opened_leaves_none(clock: ManualClock) -> None:
    """Mailchimp is asked at once where the account of an access token lives."""
    with registry.platform("mailchimp").sandbox(seed=3, clock=clock) as sandbox:
        sandbox.inject(
            FaultKind.ANSWER, "", times=10**6, answer=Answer(200, b"{}", {"content-type": "application/json"})
        )
        with pytest.raises(ClosedloopError) as told:
            connect(sandbox, clock, auth={"mode": "oauth", "access_token": "x"})
        assert told.value.__traceback__ is not None  # the frames are held, and the session with them
        assert lines(sandbox) == 0
