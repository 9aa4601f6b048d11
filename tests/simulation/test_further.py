"""Further addresses of HubSpot's contacts, in drawn worlds: there are some, and what is lost of them is seen."""

from __future__ import annotations

import pytest

from connectors.hubspot import sandbox_store
from tests.simulation import further, platforms

NAMES = ("hubspot", "mailchimp")
MERGED = 5
"""A seed where a contact gets further addresses, changes to one, and is merged."""
TOLD = 810_027_049
"""HubSpot and Salesforce; the index of HubSpot's search has not the merge yet when the old contact is read."""


def test_nobody_is_there_twice_for_an_address_beside_the_main_one() -> None:
    outcome = platforms.run(MERGED, names=NAMES)
    assert outcome.violation == ""
    for name in (further.ADDED, further.SWAPPED, further.MERGED):
        assert outcome.met[f"beside/{name}"]


def test_an_address_that_is_the_main_one_again_after_a_merge_that_a_webhook_told_stays_so() -> None:
    """The webhook was of the contact merged away, and the new one answered for it."""
    outcome = platforms.run(TOLD)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{further.SWAPPED}"]
    assert outcome.met[f"beside/{further.MERGED}"]


def test_the_oracle_sees_an_address_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    keeps = sandbox_store._keep_second

    def loses(held: sandbox_store.Row, before: list[str]) -> None:
        keeps(held, list(before)[:1])

    monkeypatch.setattr(sandbox_store, "_keep_second", loses)
    assert "S24: " in platforms.run(MERGED, names=NAMES).violation
