"""Texts that a platform cuts off: that they never come back, and that the oracle would see it."""

from __future__ import annotations

import pytest

from sync.core import echo
from tests.simulation import rewriting
from tests.simulation.scenario import run
from tests.simulation.seeds import NEWEST

CUT = 123000074
"""A world where a create whose answer was lost made what stands cut off, beside a second record of the person."""


def test_what_a_platform_cut_off_does_not_come_back() -> None:
    outcome = run(CUT, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{rewriting.CUT}"]


def test_the_oracle_sees_what_came_back_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "is_rewrite", lambda held, value: False)
    assert "P20: first came back" in run(CUT, without=NEWEST).violation
