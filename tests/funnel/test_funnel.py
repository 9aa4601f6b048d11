"""The acceptance test on real input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.funnel import loop
from tests.shared import shared


@pytest.mark.slow
def test_the_real_funnel_adds_up(tmp_path: Path) -> None:
    outcome, people = loop.run(tmp_path, shared("data", "olist_marketing_funnel"))
    assert outcome.leads == len(people) == 8000
    assert outcome.customers == 842
    assert outcome.by_origin == loop.expected(people)
    assert outcome.handed_off == 8000
    share = round(len(people) * loop.HUBSPOT_SHARE)
    assert outcome.marked["hubspot"] == sum(bool(person.won) for person in people[:share])
    mailchimp = [person for number, person in enumerate(people) if number >= share or number < loop.BOTH]
    assert outcome.marked["mailchimp"] == sum(bool(person.won) for person in mailchimp)
    assert outcome.last_sync_writes == 0
