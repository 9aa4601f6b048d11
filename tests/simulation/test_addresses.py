"""Addresses that change and that are shared, over HTTP: that they do, and that the oracle sees what comes of it."""

from __future__ import annotations

import pytest

from sync.clashes import Claims
from tests.simulation import platforms
from tests.simulation.addresses import CHANGED, SHARED

PASSED_ON = (200278, ("activecampaign", "constant_contact"))
"""A pair of platforms where somebody gets an address that another has on the second still."""
BY_ID = (300887, ("hubspot", "mailchimp"))
"""One where what is written at Mailchimp is to reach a member, whatever address they have by then."""
ARCHIVE = (
    # a write that quarantine let go was planned before what a run had stored, and died over, was decided
    (810031449, ("activecampaign", "outreach")),
    # what a create without an answer had made was taken for a record of whoever had had its address before
    (610007289, ("activecampaign", "outreach")),
    # what somebody was merged into, unseen before, went to whoever had had its address first, and two people were one
    (610010112, ("hubspot", "outreach")),
    # what two were merged into, with the address of a create without an answer beside its own, was taken for its record
    (920000605, ("hubspot", "salesforce")),
    # so was one to which somebody had given another first name before it was looked up, and was written over
    (910002927, ("mailchimp", "outreach")),
    # the world: somebody's address was another for a moment of which nothing told
    (920011177, ("activecampaign", "hubspot")),
    # the oracle: whose an address is now was told by the answer to a write of the same plan
    (6300019, ("outreach", "zoho")),
    # the world: an edit hid somebody from the first pull, who had got another address elsewhere
    (920020683, ("mailchimp", "outreach")),
)


@pytest.mark.parametrize(("seed", "names"), [PASSED_ON, BY_ID])
def test_an_address_that_changes_hands_takes_nothing_along(seed: int, names: tuple[str, str]) -> None:
    outcome = platforms.run(seed, names=names)
    assert outcome.violation == ""
    assert outcome.met[f"beside/{CHANGED}"]
    assert outcome.met[f"beside/{SHARED}"]


@pytest.mark.parametrize(("seed", "names"), ARCHIVE)
def test_what_failed_once_with_addresses_holds(seed: int, names: tuple[str, str]) -> None:
    assert platforms.run(seed, names=names).violation == ""


def test_the_oracle_sees_a_write_over_whoever_has_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Claims, "clashes", lambda *claims: [])
    seed, names = PASSED_ON
    assert "P1: the address of p1@x.example differs" in platforms.run(seed, names=names).violation


def test_the_oracle_sees_a_change_that_was_not_heard() -> None:
    seed, names = PASSED_ON
    world = platforms.PairScenario(seed, names=names)
    heard = world.beside.addresses.check

    def others(person: str, rows: object) -> None:
        for move in world.beside.addresses.moves:
            move.address = "nobody@x.example"
        heard(person, rows)  # type: ignore[arg-type]

    world.beside.addresses.check = others  # type: ignore[method-assign]
    assert "P4: the address of" in world.run().violation
