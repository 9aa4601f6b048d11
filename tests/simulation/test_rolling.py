"""What must hold of a platform that is rolled back, whatever else goes wrong: see `rolling.py`."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Tally
from tests.simulation.coverage import Coverage
from tests.simulation.rolling import RollingScenario, run
from tests.simulation.seeds import NEWEST
from tests.simulation.undecided import KIND

SEEDS, BATCH, FIRST = 60, 20, 40_000
ARCHIVE = (
    # found undone by an attempt that died, and sent again hours later without another look
    131_051_889,
    # a campaign of two hours: opt-outs that came back, blanks given again, a stage, a second writing
    *(111_000_924, 111_002_622, 111_003_386, 111_003_562, 111_003_707, 111_003_752),
    # what had been put back fell to the older value where it stood nowhere else; or where a platform writes it its way
    *(95_000_090, 95_000_118, 95_001_744),
    # a look that failed, or a run that died after it, was not taken up again: the next run wrote
    *(95_000_006, 95_000_028, 95_000_743, 95_001_041, 95_001_305),
    # a record known to be gone that came back with the roll-back was left out for ever
    *(95_000_030, 95_000_046, 95_000_144),
    # a stage that the roll-back had set forward was kept behind elsewhere, and both stood
    95_002_059,
    # noticed when it is time to look again, not before; a field that was left out of what the decision read
    *(95_003_422, 95_002_777, 95_002_436),
    # a full read that died before it was at the beginning of everything went on from the end
    *(97_000_625, 101_000_002),
    # a record that is told as it is known, but with its older time: it stood against the account for ever
    97_000_465,
    # what the rolled-back side lost fell to an older value elsewhere: nobody there had been told the newer one yet
    *(101_003_893, 101_003_077),
    # what was put back counted from then, over what had been given before and was heard after
    200_008_269,
    # the world: a blank was asked about when it was rolled back; what was stored, and no lead's yet, was touched after
    *(200_004_180, 200_005_032),
    # the world: away when it was remembered, and brought back before anybody noticed
    200_004_491,
    # what came over with a conversion was left out of the answers since
    300_000_716,
    # planted bugs: a backfill that died at its start, and what is accepted with the same bytes
    *(95_015_228, 95_010_103),
    # what somebody gave since, and what was put back, came in one answer, and the latter stood
    101_004_567,
    # an opt-out on a record that is not there any more was forgotten when the record was made again
    121_002_863,
    # our own create, found undone because its record had been put away, passed for news when that was brought back
    *(97_000_646, 121_005_426),
    # put away, brought back, opted out and put away again between two looks: the opt-out was not heard
    121_003_820,
    # whoever gave a record again what it had been rolled back to, after it was put back, was not heard
    *(111_001_847, 121_006_850),
    # what was accepted on a record that another lives on as counted from when the other had it
    121_003_971,
    # a record that an earlier create had made, found undone, passed for what somebody put in a later one's place; and
    # the oracle: what a look-up before the look brings is known by then
    121_009_308,
    # what a look at the newest records told, and no pull yet, was written over
    121_006_469,
    # what a write of unknown fate did was pulled, the look-up failed, and it passed for news on the other side
    121_009_515,
    # ... or it came late to a record that another was converted into, which was said to have had it only since
    131_011_646,
    # an opt-out that was kept against a roll-back was forgotten when its person joined once more
    131_050_582,
    # the oracle: an opt-out may be heard that need not be; what is accepted is given at one moment; a stage that was
    # set after the roll-back; what only a look was told is told to nobody
    *(81_160, 121_003_902, 121_003_928, 121_003_967, 121_005_407, 121_003_008, 121_005_877),
    # ... and who is put back is made again, also where they had been put away once, or it is noticed only at the end
    *(131_010_966, 131_011_973),
    # of both ways one
    95_000_010,
)
"""Scenarios that found something once, in the engine or in the simulation itself."""
UNDECIDED = (
    # a clearing that was stored, and not decided upon yet when its record was rolled back, was forgotten
    *(700_001_305, 700_001_447, 700_001_723),
    # what was put back, and not written yet, fell to what was given before it and heard after
    700_000_267,
    # what was put back twice passed for a fight, and a stage that somebody then set back was left there
    610_000_315,
)
"""Those in which something was stored, and nothing decided of it yet, when its side was rolled back."""

ARCHIVE_OF_ALL = (
    # what a pull had brought of a write in doubt, before a run that died looked it up, stood over what came after it
    810_004_982,
    # a stage that a listing did not show yet was written over, though whoever was asked for by id had told it
    810_010_065,
    # a blank that stood where a write in doubt had been passed for heard when another side's value was put back
    810_027_294,
    # what was rolled back into the bin, and is back since, counted from when it was rolled back
    920_007_745,
    # the oracle: a blank that nobody had heard of was rolled back, and looked like one that had always been there
    920_008_131,
)
"""Of worlds with everything that may befall them."""


@pytest.mark.parametrize("seed", ARCHIVE)
def test_what_failed_once_holds(seed: int) -> None:
    assert run(seed, without=NEWEST).violation == ""


@pytest.mark.parametrize("seed", UNDECIDED)
def test_what_nothing_was_decided_of_is_not_forgotten(seed: int) -> None:
    assert run(seed, without=NEWEST - {KIND}).violation == ""


@pytest.mark.parametrize("seed", ARCHIVE_OF_ALL)
def test_what_failed_once_by_all_that_befalls_holds(seed: int) -> None:
    assert run(seed).violation == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_nothing_is_written_until_a_person_says_which_way(first: int) -> None:
    """And both sides agree then; and the last of each batch goes the same way again."""
    tally = Tally()
    for seed in range(first, first + BATCH):
        outcome = run(seed)
        assert outcome.violation == "", f"seed {seed}"
        tally.add(outcome)
    assert run(seed).trace == outcome.trace
    assert Coverage.of("rolled", tally.met).strange == ()


def test_most_are_noticed_and_decided() -> None:
    ways = []
    for seed in range(FIRST, FIRST + 40):
        scenario = RollingScenario(seed)
        scenario.run()
        ways.append(scenario.rolling.way if scenario.rolling.decided else "")
    assert {"accept", "put-back"} <= set(ways)
