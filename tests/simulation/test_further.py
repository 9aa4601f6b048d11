"""Further addresses of HubSpot's contacts, in drawn worlds: there are some, and what is lost of them is seen."""

from __future__ import annotations

import pytest

from connectors.hubspot import sandbox_store
from tests.simulation import further, platforms

NAMES = ("hubspot", "mailchimp")
MERGED = 5
"""A seed where a contact gets further addresses, changes to one, and is merged."""


def test_nobody_is_there_twice_for_an_address_beside_the_main_one() -> None:
    outcome = platforms.run(MERGED, names=NAMES)
    assert outcome.violation == ""
    for name in (further.ADDED, further.SWAPPED, further.MERGED):
        assert outcome.met[f"beside/{name}"]


def test_the_oracle_sees_an_address_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    keeps = sandbox_store._keep_second

    def loses(held: sandbox_store.Row, before: list[str]) -> None:
        keeps(held, list(before)[:1])

    monkeypatch.setattr(sandbox_store, "_keep_second", loses)
    assert "S24: " in platforms.run(MERGED, names=NAMES).violation
