"""Fields that go and come back: that it strikes, that nothing is lost by it, and that the oracle would see it."""

from __future__ import annotations

import pytest

from mappings.compiler import Mapped
from sync import drift as drifts
from tests.simulation import drift
from tests.simulation.scenario import run
from tests.simulation.seeds import NEWEST
from tests.simulation.side import LACKING

ANEW, STRICT, REFUSED, UNREAD, DOUBTED = 123017089, 123000073, 123000187, 123004471, 123129882
"""Worlds where a field is made anew, where whoever asks for one that is gone is refused, where a write of
it is, where only a full read tells what it holds, where a process began by looking up a write to such a field."""
CARRIED = 510021011
"""One where a conversion carries a value over in a field that is hidden just then."""


@pytest.mark.parametrize(
    ("seed", "met"),
    [
        (ANEW, f"beside/{drift.ANEW}"),
        (DOUBTED, f"beside/{drift.ANEW}"),
        (STRICT, f"pull/{LACKING}"),
        (STRICT, f"beside/{drift.BACK}"),
        (REFUSED, f"update/{LACKING}"),
    ],
)
def test_a_field_that_goes_and_comes_back_loses_nothing(seed: int, met: str) -> None:
    outcome = run(seed, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[met]


def test_what_a_conversion_carried_over_in_a_hidden_field_is_no_news() -> None:
    assert run(CARRIED).violation == ""


def test_the_oracle_sees_a_field_made_anew_that_empties_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mapped, "doubting", lambda mapped, back, anew: mapped)
    assert "P5/P19: title=None was written" in run(ANEW, without=NEWEST).violation


def test_the_oracle_sees_a_field_that_is_back_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drifts, "_thaw", lambda *told: None)
    assert run(UNREAD, without=NEWEST).violation
