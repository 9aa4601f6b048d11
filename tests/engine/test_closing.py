"""Closing a project closes all of it, whatever happens to one part."""

from __future__ import annotations

import pytest

from tests.engine.conftest import Loop


def test_a_connection_that_cannot_be_closed_leaves_no_other_open(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def fails() -> None:
        raise OSError("the line is gone")

    alpha, beta = (loop.workspace.connector(name) for name in ("alpha", "beta"))
    monkeypatch.setattr(alpha, "close", lambda: closed.append("alpha"))
    monkeypatch.setattr(beta, "close", fails)
    with pytest.raises(OSError, match="the line is gone"):
        loop.workspace.close()
    assert closed == ["alpha"]
    assert loop.workspace.calls == {}
