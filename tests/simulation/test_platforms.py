"""The real connectors over the real sandboxes, in pairs: two hundred scenarios here, more by `make campaign`."""

from __future__ import annotations

import pytest

from connectors import registry
from tests.simulation import beside, deaths, naming, platforms, sources
from tests.simulation.coverage import Coverage

# What draws more tells other stories of the same seeds: of each bug that they stood for there is a test of its own, in
# tests/engine/test_loop.py, tests/connectors/salesforce/test_push.py and tests/connectors/test_retry.py.
ARCHIVE = (
    # a pull that was cut off went on to where it would have ended then, and what came since waited for another sync
    (20001045, ("mailchimp", "outreach")),
    (20001872, ("activecampaign", "mailchimp")),
    (20002115, ("hubspot", "zoho")),
    (20000418, ("outreach", "salesforce")),  # somebody edited while the first pull ran was made a second time
    (151, ("hubspot", "outreach")),  # an upsert's answer was lost, its last try refused: it passed for never sent
    # an opt-out went with a create that met a member, whose consent no create changes: it passed for rewritten
    (63000815, ("mailchimp", "zoho")),
    # somebody edited what a create had met there, before it was read back: their value passed for what became of ours
    (91000243, ("outreach", "zoho")),
    # somebody whose log-in was lost as they entered a person: the world held it for said, of whom nobody knew
    (101001394, ("activecampaign", "salesforce")),
)
BESIDE = (
    # a member known by an address alone was given another one, nobody was told, and the next address went to the old id
    (510001019, ("mailchimp", "zoho"), {"addresses", "aimed", "futures", "narrow", naming.KIND}),
    # the world: somebody joined where the engine had just looked, and changed their address elsewhere meanwhile
    (510006683, ("hubspot", "mailchimp"), {"addresses", "crowd", "keepsakes", "narrow", naming.KIND}),
    # a create that a gateway answered, and that was refused when it was sent again, passed for never sent
    (510006051, ("constant_contact", "salesforce"), {"addresses", naming.KIND}),
    # a write was done, and what its answer was to be read with was refused: it passed for never sent
    (710867, ("mailchimp", "zoho"), {"addresses"}),
    (610011024, ("activecampaign", "constant_contact"), set(beside.KINDS)),
    # the world: somebody gave a prospect an address between the engine's look at the list and its write of the list
    (810000416, ("constant_contact", "outreach"), set(beside.KINDS)),
    # the world: a time ahead of the platforms' clocks was none ahead of the engine's soon, and a true one came after it
    (810014310, ("activecampaign", "constant_contact"), set(beside.KINDS)),
    # the world: the time of an opt-out stayed ahead when its record had a true one again
    (810026962, ("constant_contact", "zoho"), set(beside.KINDS)),
    # the second round of a write that was lost wrote over what somebody had given since the first one looked
    (810020296, ("calendly", "constant_contact"), set(beside.KINDS)),
    # the world: somebody whom an index did not show yet got another address elsewhere, and was made by that one
    (810013105, ("hubspot", "salesforce"), set(beside.KINDS)),
    # what is told older by its platform's clock was not asked about by ours, which is behind it
    (910000353, ("activecampaign", "outreach"), set(beside.KINDS)),
    # the world: nobody waited until a time was past by the engine's clock, too
    (910001029, ("constant_contact", "mailchimp"), set(beside.KINDS)),
    # the world: the account's own people took somebody off between the look and the write of a whole contact
    (910001422, ("calendly", "constant_contact"), set(beside.KINDS)),
)
"""Those that need what befalls a pair beside its story: of which kinds."""
OPTED_OUT = 12
"""A seed in which people opt out."""
PAIRED = 210
"""Scenarios of the real connectors: five of each pair."""


@pytest.mark.parametrize(("seed", "names"), ARCHIVE)
def test_what_failed_once_between_platforms_holds(seed: int, names: tuple[str, str]) -> None:
    """Without what came later beside the stories: these stay what they were."""
    assert platforms.run(seed, names=names, without=frozenset(beside.KINDS)).violation == ""


@pytest.mark.parametrize(("seed", "names", "kinds"), BESIDE)
def test_what_failed_once_by_what_befell_them_beside_holds(seed: int, names: tuple[str, str], kinds: set[str]) -> None:
    without = frozenset(beside.KINDS) - kinds
    assert platforms.run(seed, names=names, without=without).violation == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, PAIRED, 10))
def test_the_real_connectors_lose_and_double_nothing(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = platforms.run(seed)
        assert outcome.violation == "", f"seed {seed} of {platforms.pairs()[seed % len(platforms.pairs())]}"
        assert Coverage.of("http", outcome.met).strange == ()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(deaths.SEEDS)))
def test_a_death_at_any_boundary_between_platforms_changes_nothing(number: int) -> None:
    """Every thirty-first here; all of them by `make campaign`."""
    first = number * deaths.BOUNDARIES
    outcomes = [deaths.dies(one) for one in range(first + number, first + deaths.BOUNDARIES, 31)]
    assert [outcome.violation for outcome in outcomes] == [""] * len(outcomes)
    assert sum(outcome.crashes for outcome in outcomes) > 4


def test_every_platform_takes_part_beside_every_one_that_can_be_written_to() -> None:
    assert {"hubspot", "mailchimp", "outreach", "salesforce"} <= set(platforms.writable())
    others = set(registry.names()) - set(platforms.writable()) - {"singer"}  # taps are programs, not HTTP
    assert others == set(sources.names())
    assert {(other, one) for other in others for one in platforms.writable()} <= set(platforms.pairs())
    assert len(platforms.pairs()) <= PAIRED
    assert platforms.run(3) == platforms.run(3)


def test_the_oracle_sees_an_opt_out_that_was_not_heard() -> None:
    scenario = platforms.PairScenario(OPTED_OUT)
    scenario.optouts.said |= {f"p{number}@x.example" for number in range(3)}
    assert "P16: " in scenario.run().violation
