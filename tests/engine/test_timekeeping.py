"""A clock that is days off is told, and nothing is read, written or thrown away by it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from config.clock import stamp
from connectors.api import Health
from sync.checkup import check_online
from sync.conflicts import listed
from sync.runs import Options, Runner
from sync.state.schema import journal
from sync.timekeeping import difference
from tests.engine.conftest import Loop
from tests.simulation.clocks import Watch

DAY = 86_400.0


@pytest.fixture
def known(loop: Loop) -> Loop:
    """Ana on both sides, in step."""
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Clerk"}, id="b1")
    loop.alpha.put(
        "contacts", {"email": "ana@x.io", "first": "Ana", "title": "Clerk", "consent": "subscribed"}, id="a1"
    )
    loop.settled()
    loop.alpha.edit("contacts", "a1", {"title": "Chief"})
    loop.settled()
    return loop


def values(loop: Loop) -> list[Any]:
    with loop.workspace.state.read() as tx:
        return [row.after for row in tx.execute(select(journal.c.after).order_by(journal.c.id))]


@pytest.mark.parametrize(("ahead", "told"), [(3 * DAY, "3 days ahead of"), (-1_100 * DAY, "1,100 days behind")])
def test_nothing_is_read_or_written_by_a_clock_that_is_days_off(known: Loop, ahead: float, told: str) -> None:
    known.alpha.edit("contacts", "a1", {"title": "Boss"})
    known.alpha.ahead = known.beta.ahead = ahead
    pulls, writes = known.alpha.pulls, len(known.beta.writes)
    report = known.sync()
    assert report.state == "failed"
    assert {error.connection for error in report.errors} == {"alpha", "beta"}
    assert all(told in error.what and error.code == "clock" for error in report.errors)
    assert (known.alpha.pulls, len(known.beta.writes)) == (pulls, writes)
    assert {error.what for error in check_online(known.workspace).errors.values()} == {report.errors[0].what}
    known.alpha.ahead = known.beta.ahead = 5 * 3600.0
    known.settled()
    assert known.beta.rows["contacts"]["b1"].values["title"] == "Boss"


@pytest.mark.parametrize("reached", [True, False])
def test_nothing_grows_old_by_a_clock_that_no_platform_bears_out(known: Loop, reached: bool) -> None:
    before = values(known)
    assert "{}" not in before
    known.clock.advance(1_100 * DAY)
    if reached:
        known.alpha.ahead = 1_100 * DAY
    else:
        known.alpha.account_id = known.beta.account_id = "another"
    assert known.sync().state == "failed"
    assert values(known) == before
    known.alpha.ahead, known.alpha.account_id, known.beta.account_id = None, "acc-1", "acc-1"
    known.sync()
    assert set(values(known)) == {"{}"}


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (None, ""),
        (59.0, ""),
        (-300.0, "this machine's clock is 5 min behind this platform's"),
        (3 * 3600.0, "this machine's clock is 3 h ahead of this platform's"),
    ],
)
def test_what_check_says_of_the_clock(ahead: float | None, told: str) -> None:
    assert difference(Health("1", "Acme", ahead=ahead)) == told


# what a platform's clock tells where ours is hours behind it


@pytest.fixture
def behind(known: Loop) -> Loop:
    """Our clock is set two hours back, and both platforms tell."""
    for side in (known.alpha, known.beta):
        side.clock, side.ahead = Watch(known.clock, 7_200), -7_200.0
    known.clock.advance(60)
    return known


def titles(loop: Loop) -> list[str]:
    loop.settled()
    return [side.rows["contacts"][id].values["title"] for side, id in ((loop.alpha, "a1"), (loop.beta, "b1"))]


def test_a_time_far_ahead_counts_from_when_it_was_read_by_the_clock_of_its_platform(behind: Loop) -> None:
    """By ours it was given before what the other platform tells."""
    behind.beta.edit("contacts", "b1", {"title": "Boss"})
    behind.clock.advance(60)
    behind.alpha.edit("contacts", "a1", {"title": "Queen"})
    behind.alpha.rows["contacts"]["a1"].version = stamp(behind.clock.now() + timedelta(days=9))
    assert titles(behind) == ["Queen", "Queen"]


def test_what_an_index_shows_late_is_no_time_that_was_ahead_and_is_true_again(behind: Loop) -> None:
    """What it shows is hours old by its time, and what is known was hours ahead by our clock."""
    row = behind.beta.rows["contacts"]["b1"]
    before = dict(row.values), row.version
    behind.alpha.edit("contacts", "a1", {"title": "Queen"})
    behind.sync()
    after = dict(row.values), row.version
    assert after[0]["title"] == "Queen"
    row.values, row.version = before
    Runner(behind.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    assert behind.alpha.rows["contacts"]["a1"].values["title"] == "Queen"
    row.values, row.version = after
    assert titles(behind) == ["Queen", "Queen"]


def test_by_the_clock_of_its_platform_a_record_is_old_enough_to_be_asked_about(behind: Loop) -> None:
    """What is told older than it has been known for more than an hour there goes to a person, and is not left in
    silence: its time was hours ahead when it was read, and is not any more."""
    behind.alpha.edit("contacts", "a1", {"title": "Queen"})
    behind.alpha.rows["contacts"]["a1"].version = stamp(behind.clock.now() + timedelta(hours=5))
    behind.settled()
    behind.clock.advance(60)
    behind.alpha.edit("contacts", "a1", {"title": "King"})
    behind.clock.advance(4.5 * 3600)
    Runner(behind.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    with behind.workspace.state.read() as tx:
        [asked] = listed(tx)
    assert (asked["why"], {option["value"] for option in asked["options"]}) == ("older", {"Queen", "King"})
