"""Deals and copies that somebody restored: that all sides agree afterwards, and that the oracle would see if not."""

from __future__ import annotations

import pytest

from sync import rollback
from tests.simulation import backups
from tests.simulation.deals import run

HOMES, COPIES = (340_000_121, 340_000_183), (340_000_132, 340_000_137)
"""Worlds where a home, and where a copy, is what it was hours before."""


@pytest.mark.parametrize("seed", HOMES + COPIES)
def test_a_deal_that_was_restored_is_what_its_home_shows(seed: int) -> None:
    outcome = run(seed)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{backups.RESTORED}"]


@pytest.mark.parametrize("seed", HOMES + COPIES)
def test_the_oracle_sees_one_that_is_left_as_it_was(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "_still_older", lambda *_: ())
    assert "P1: " in run(seed).violation
