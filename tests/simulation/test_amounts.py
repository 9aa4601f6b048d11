"""Amounts that a platform rounds and does not tell: that they are let be, and that the oracle would see it."""

from __future__ import annotations

import pytest

from sync.core import echo
from tests.simulation import amounts
from tests.simulation.deals import run
from tests.simulation.seeds import NEWEST

ROUNDED = (133000022, 133000043)
"""Worlds where copies of deals, and what people are said to have bought, are rounded, and no answer shows it."""


@pytest.mark.parametrize("seed", ROUNDED)
def test_what_a_platform_rounded_is_let_be(seed: int) -> None:
    outcome = run(seed, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{amounts.ROUNDED}"]


@pytest.mark.parametrize("seed", ROUNDED)
def test_the_oracle_sees_what_is_written_again(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "is_rounded_money", lambda sent, value: False)
    assert "P8: does not come to rest" in run(seed, without=NEWEST).violation
