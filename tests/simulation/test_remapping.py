"""A person changes the mapping between two runs: that nothing is lost or emptied by it, and that the oracle would see
it."""

from __future__ import annotations

import pytest

from sync import drift, rules
from tests.simulation import remapping
from tests.simulation.scenario import run

BLANK, STALE, AWAY = 165000068, 166015091, 510008665
"""Worlds where an entry comes back and its field is blank; where one goes both ways again and no record changed; where
one was away while its platform could not be reached."""


@pytest.mark.parametrize(
    ("seed", "met"),
    [(BLANK, remapping.EMPTIED), (BLANK, remapping.OUT), (STALE, remapping.PULL), (AWAY, remapping.OUT)],
)
def test_a_mapping_that_is_changed_and_changed_back_loses_nothing(seed: int, met: str) -> None:
    outcome = run(seed)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{met}"]


def test_the_oracle_sees_a_blank_that_empties_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_unread", lambda mapped, noted: [])
    assert "P5/P19: title=None was written" in run(BLANK).violation


def test_the_oracle_sees_what_no_record_tells_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "changed", lambda tx, workspace: False)
    assert "P1: first" in run(STALE).violation
