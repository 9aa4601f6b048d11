"""What must hold of the engine whatever goes wrong: thousands of scenarios, here and in `test_simulation_too.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation import oddities, quirks, restoring, seeds, shrink
from tests.simulation.campaign import Tally, _outcome, summary
from tests.simulation.coverage import Coverage, possible
from tests.simulation.oracle import Violation
from tests.simulation.scenario import LATER, Scenario, run
from tests.simulation.side import Seat
from tests.simulation.swarm import Habits

ARCHIVE: tuple[tuple[int, dict[str, Any]], ...] = (
    *((seed, {}) for seed in (0, 21, 23, 34, 43, 47, 48, 112, 1045, 1078)),
    # an update's and a create's accounts, when another run looked them up; refused, then done by another way
    *((seed, {}) for seed in (74, 206, 313, 352, 510)),
    # a create in doubt, and somebody who made the same person meanwhile; the late create then met that record
    *((seed, {}) for seed in (245, 328, 425, 581, 1797)),
    # a run that another process had gone on with was closed by the first, with the accounts of before
    (400330, {}),
    # a create in doubt had made a record, in which somebody blanked a field: it was filled again before that was known
    (400320, {}),
    # a conversion carried old values over, and they passed for new
    (599, {}),
    # a late create that met the other of two twins; an update found half done; a blank nobody could judge
    *((seed, {}) for seed in (22628, 25558, 25859, 26309, 26784)),
    # of two hours' campaign: a write found half done passed for a person's; what a platform rewrote was sent again
    *((seed, {}) for seed in (20004142, 20005007, 20012386, 20022785, 20025674, 20029650)),
    # a conversion seen first by the record it made; an answer that told more than what was written
    *((seed, {}) for seed in (20016310, 20017231)),
    # a create whose answer was lost, converted before it was looked for
    (20054021, {}),
    # late effects hidden by an index that lags; a value that nobody was shown; an edit in the second of our own write
    *((seed, {}) for seed in (30010341, 30061112, 30018526, 30044154, 30069986)),
    # a write that left long after it was meant, and was judged by that
    (80006748, {}),
    # a create in doubt that was away when it was looked up, and back before any pull told it
    (81000372, {}),
    # clocks that differ: whoever replaced a value of a platform whose clock is ahead lost to it
    *((seed, {}) for seed in (174, 547, 551)),
    # the same of what a create, and an update, in doubt had given; an answer left out what no later pull told again
    *((seed, {}) for seed in (60000995, 66044317, 60016459)),
    # a run that waited over a write in doubt, and wrote nothing, passed for rest
    *((seed, {}) for seed in (61013346, 61020942, 66142673)),
    # a value taken out of what a create in doubt had made, where the look-up found another record of the person
    (66146308, {}),
    # a create that was not found was sent again under its name, and what was watched was lost with the first
    (84001221, {}),
    # of two records with one address a look-up showed one, and the world held both for shown
    (66159929, {"without": frozenset({"sharing"})}),
    # what a create met there was heard of only by its answer, and written over while the index lagged
    (63017884, {}),
    # an edit of what a create in doubt had made, where the look-up found a second record of the person
    *((seed, {}) for seed in (63007865, 63014702)),
    # a create without a value that anybody gave, under an address that had been another's, whose other record's name
    # was lost: the world held it for the other's
    (63024277, {}),
    # a record that was away, and back, was told late as away: what it had held before passed for its last words
    (91000562, {}),
    # whose a create was that came without any value; an address given again after the engine had written over it
    *((seed, {}) for seed in (91009603, 91038920)),
    # a create that was never done, and one after it: what the second gave passed for an edit of what the first meant
    (91020642, {}),
    # a blank that told nothing, by a clock four hours ahead of the other
    (91002489, {}),
    # an address given back between the look and the create, which the engine had known there once, and not of late
    (101041890, {}),
    # what a platform had made of our own value passed for an edit, over the update in doubt that was to replace it
    (200038644, {}),
    # the world: a record came back between the look and a create; a person answered with a blank; an index that lags
    # showed a field's namesake; a conversion under an address that nobody had heard
    *((seed, {}) for seed in (200026039, 200028768, 200031279, 200035872)),
    # a create found undone, and a second one's record with another word: the first one's was put away, and came back
    *((seed, {}) for seed in (610013170, 610072848)),
    # a field made anew that was gone again while its object was read, and back, blank, by the next run
    (610071077, {}),
    # what came over with a merge, and with a conversion of the record that stayed, all told at once
    (617002380, {}),
    # the world: a clock set far forward between two slices of a run, whose pull had broken: it reads all of it anew
    (610071532, {}),
    # an opt-out that came in only with the answer to an upsert
    (1101, {"steps": 6, "faults": False, "without": frozenset({"meddling"})}),
)
"""Scenarios that found something once, in the engine or in the simulation itself."""
ARCHIVE_OF_ODDITIES = (
    # a value that had stood from the first, by a clock ahead, over an edit that bore a time far ahead
    63020098,
    # the same, where what a conversion made was edited before anybody had seen it
    84000567,
    # a workflow set a stage in what a create made: only the answer told it, and the next write went over it
    63024054,
    # of two hours' campaign: the same, of stages and of values; a value that had stood from the first
    *(91036004, 91055342, 91060871, 91011632),
    # a time far ahead, of a value that stood on when its record had a true time again
    91006822,
    # the oracle: a time far ahead counts from when it was read, by the engine's clock, which was behind two others
    510047620,
)
"""Of worlds whose platforms do something by themselves, too: `oddities.py`."""
ARCHIVE_OF_ALL = (
    # what a contact was given again, that the lead it was made of had held, fell to what had been given between: that
    # lead had borne a time in the future, and passed for one that had not ended yet
    920170021,
    # the oracle: the record that had the whole of a time was merged into another's, and another side kept a part
    810160449,
    # who joined by the address that a write in doubt was to give somebody else's record passed for that record
    810064626,
    # the world: an address that was given back between the look and the create, and that a look-up by id had told
    # otherwise, counted as one that the engine knew
    510036900,
    # the world: one that came late met somebody who came by its address after it had left, as the engine knew by then
    615003562,
    # the world: a look-up by the address that somebody had missed their record, which was away; the create by their
    # new one came just after it was back
    611031635,
    # the oracle: a run in slices whose clock is set two hours forward looks at everything again, also at what broke
    616001614,
    # what a conversion carried over, and an answer left out since, passed for news
    510014703,
    # the oracle: a value that was replaced where it stood, while nothing that was said there counted, is lost knowingly
    500394,
    # the main address was changed on a record that we had made, while a second one of the person came to stand there
    610100411,
    # an engine's clock that is two hours behind: what an index showed late passed for a time that had been ahead
    610053144,
    # the oracle: a value that was given again where only the engine's word is to stand is no voice, as any other there
    650010643,
    # the world: what a create meant that was found undone half a minute before was given again, as if it had come late
    713003756,
    # the world: a create that came late, after somebody who had joined there since it left was deleted again
    920033566,
    # the oracle: two, of whom one was confused with a third whose address an upsert met, were judged as one
    920052344,
    # a write of a new address was in doubt, the record gone; who had that address there passed for the record
    920047616,
    # a field made anew, and blank, while a write of it was in doubt: the blank passed for somebody's answer to it
    920085650,
    # the world: a create that came late spoke of whom its lead had become since it left, and brought that one back
    920153958,
    # a record made with the main address, and given another before any run, beside one of who joined by the old one
    *(920118336, 920134597),
    # the oracle: a value that no mapping had read is lost with its field
    930104761,
    # somebody whom one pull told living and then deleted, in pages that were taken in together, was made again
    930133579,
    # an index left a record out when all was read anew; told later, its blank in a field made anew emptied the others
    931302824,
    # the oracle: what was given while an entry was out, and emptied again before it was back, no mapping had read
    931300437,
    # the oracle: a blank that nobody had heard of before its field went looks like one that came with it
    920_117_506,
)
"""Of worlds with everything that may befall them."""
ARCHIVE_OF_RESTORED = (
    *(20, 26, 48, 206, 292, 507, 529, 1412, 1818, 2034, 30000071, 30000327, 30000614, 30002079),
    # what the lost state had sent came, or was shown, only after the restored one had read everything
    *(30006896, 30007789, 60000155),
    # a field left out of all answers; a value that was left out, beside a blank that the older state took for unset
    *(60000314, 61000626),
    # somebody whose create quarantine held in the backup was made later, and deleted
    67000183,
)
"""Of states that were restored: bins that had been emptied, indexes that showed somebody late, deaths on the way."""
ARCHIVE_OF_SHARED = (
    # brought back between a look-up and a create; left out of what the restored state was told; an answer that frees
    # somebody else's address
    *(132_002_599, 132_010_351, 141_000_144, 144_000_547),
    # the world: a value that was left out when the state was taken up looks as if it was given when it is told
    200_003_708,
    # the oracle: and somebody replaced that value before it was told, and nothing else with it
    510_003_428,
    # the oracle: and somebody replaced it where another record held the same, which tells nothing of this one
    810_014_109,
    # the oracle: merged into a record that the backup did not know, by an address that was another's in it
    5_810_067,
)
"""Of restored states around which people change addresses, too."""
RESTORED = 60
TRUE = (3, 5, 11, 16, 27, 61, 66, 85)
"""Seeds that run on the engine's own State as well."""


@pytest.mark.parametrize(("seed", "options"), ARCHIVE)
def test_what_failed_once_holds(seed: int, options: dict[str, Any]) -> None:
    """Without what came later beside the stories: these stay what they were."""
    without = options.get("without", frozenset()) | {*LATER, *oddities.KINDS, *quirks.KINDS}
    assert run(seed, **options | {"without": without}).violation == ""


@pytest.mark.parametrize("seed", ARCHIVE_OF_ODDITIES)
def test_what_failed_once_by_what_platforms_do_holds(seed: int) -> None:
    """Without what came later."""
    assert run(seed, without=frozenset({*LATER, *quirks.KINDS})).violation == ""


@pytest.mark.parametrize("seed", ARCHIVE_OF_ALL)
def test_what_failed_once_by_all_that_befalls_holds(seed: int) -> None:
    assert run(seed).violation == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", seeds.firsts(0))
def test_nothing_is_lost_doubled_or_brought_back(first: int) -> None:
    seeds.hold(range(first, first + seeds.BATCH))


@pytest.mark.parametrize("seed", ARCHIVE_OF_RESTORED)
def test_a_restored_state_that_failed_once_holds(seed: int) -> None:
    """Without what came later."""
    assert restoring.run(seed, without=frozenset({"addresses", "sharing"}) | seeds.NEWEST).violation == ""


@pytest.mark.parametrize("seed", ARCHIVE_OF_SHARED)
def test_a_restored_state_among_changing_addresses_that_failed_once_holds(seed: int) -> None:
    assert restoring.run(seed, without=seeds.NEWEST).violation == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(20_000, 20_000 + RESTORED, 20))
def test_a_restored_state_brings_nobody_back_and_decides_nothing_in_silence(first: int) -> None:
    for seed in range(first, first + 20):
        assert restoring.run(seed).violation == "", f"seed {seed}"


@pytest.mark.parametrize("seed", TRUE)
def test_the_state_in_memory_is_as_good_as_the_true_one(seed: int) -> None:
    """Every call and commit comes at the same place, and all ends alike."""
    assert run(seed, true_state=True) == run(seed)


def test_a_seed_decides_everything() -> None:
    assert run(7) == run(7)
    assert run(7).trace != run(9).trace


def test_a_seed_decides_everything_in_every_process() -> None:
    """Nothing goes by the order of a set, which is another in each."""
    told = []
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        done = subprocess.run(
            [sys.executable, "-c", _TRACES], env=environment, capture_output=True, text=True, check=True
        )
        told.append(done.stdout.split())
    assert len(set(told[0])) == 4
    assert told[0] == told[1]


_TRACES = """
from tests.simulation import campaign, deals, restoring, scenario
campaign.quietly()
for outcome in (restoring.run(20), restoring.run(23), scenario.run(21), deals.run(20)):
    print(outcome.trace)
"""


@pytest.mark.parametrize("seed", range(20))
def test_the_order_and_size_of_pages_do_not_matter(seed: int) -> None:
    ended = []
    for size, shuffles in ((50, False), (1, True)):
        scenario = Scenario(seed, faults=False, without=frozenset({"meddling"}))
        for side in scenario.sides.values():
            side.habits = replace(side.habits, page_size=size, shuffles=shuffles, lag=0.0)
            side.pause = (0.0,)  # or more pages would mean more time
        assert scenario.run().violation == ""
        ended.append(
            {(side.name, id): row.values for side in scenario.sides.values() for id, row in side.live().items()}
        )
    assert ended[0] == ended[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds.EXHAUSTED[::2])
def test_a_death_at_any_boundary_changes_nothing_in_the_end(seed: int) -> None:
    seeds.dies_everywhere(seed)


def test_what_a_campaign_meets_is_told() -> None:
    """No combination of operation, fault and crash point is met that is not known; those never met are named."""
    tally = Tally()
    for seed in range(60):
        tally.add(run(seed))
    told = Coverage.of("port", tally.met)
    assert told.strange == ()
    assert len(told.met) > 25
    assert len(told.met) + len(told.never) == told.possible == len(possible("port"))
    summed = summary({"port": tally}, Counter(tally.faults), 1.0)
    assert summed["combinations"]["port"]["never"] == len(told.never)
    assert {"seeds", "events", "faults", "kinds", "violations"} <= summed.keys()


def test_the_oracle_sees_a_value_that_nobody_said() -> None:
    scenario = Scenario(11)
    check = scenario._check

    def meddled() -> None:
        for side in scenario.sides.values():
            for id in side.live():
                side.edit(id, {"title": "Value 999999"})
        check()

    scenario._check = meddled  # type: ignore[method-assign]
    assert "999999', which nobody said" in scenario.run().violation


def test_a_look_up_shows_only_what_its_answer_holds() -> None:
    scenario = Scenario(11)
    side = scenario.sides["beta"]
    side.habits, side.rates, side.boundary = Habits(), {}, lambda name: None
    for name in ("Value 0", "Value 1"):
        side.put({"email": "p0@x.example", "first": name})
    found = Seat(side, lambda: None).read("contacts", "email", ["p0@x.example"], ())
    assert [record.id for record in found.values()] == ["b002"]
    assert {value for _, name, value in side.shown if name == "first"} == {"Value 1"}
    scenario.workspace.close()


def test_a_failing_scenario_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where any write at all is held to be a fault, one act and one run are left."""
    monkeypatch.setattr(Scenario, "_check", _never_writes)
    failing = run(12)
    assert failing.violation
    options, small = shrink.shrunk(12, failing)
    assert small.violation
    assert options["until"] < Scenario(12).planned
    assert run(12, **options).violation == small.violation
    assert len(small.told) < len(failing.told)


def _never_writes(scenario: Scenario) -> None:
    if any(side.writes for side in scenario.sides.values()):
        raise Violation("P0: something was written")


def test_an_error_that_nobody_foresaw_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scenario, "_check", _breaks)
    assert _outcome("port", 12).violation.startswith("IndexError: of nothing (test_simulation.py:")


def _breaks(scenario: Scenario) -> None:
    raise IndexError("of nothing")
