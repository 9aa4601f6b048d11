"""Fields that accounts lose, and crowds of one instant, over HTTP: that they strike, and that nothing is lost."""

from __future__ import annotations

import pytest

from tests.simulation import crowds, lacking, platforms
from tests.simulation.seeds import NEWEST

CROWD = 123000204
HIDDEN, ARCHIVED = 123010292, 123010068
"""Pairs where a field is hidden in Salesforce, and a property archived in HubSpot."""


def test_a_crowd_of_one_instant_is_read_behind_the_end_of_a_search() -> None:
    outcome = platforms.run(CROWD, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{crowds.CROWD}"]


@pytest.mark.parametrize("seed", [HIDDEN, ARCHIVED])
def test_a_field_that_an_account_loses_for_a_while_is_in_step_after_it(seed: int) -> None:
    outcome = platforms.run(seed, without=NEWEST)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{lacking.GONE}"]
