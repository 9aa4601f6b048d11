"""The first run: matches and links, writes nothing before a yes, then a few writes first."""

from __future__ import annotations

import pytest

from sync.runs import Options, Report, Runner
from tests.engine.conftest import Loop
from tests.engine.memory import rejected


def people(loop: Loop, number: int) -> None:
    for n in range(number):
        loop.alpha.put("contacts", {"email": f"p{n}@x.io", "first": f"P{n}", "title": "Chief"})
        loop.beta.put("contacts", {"email": f"p{n}@x.io", "first": "Old", "title": "Clerk"})
        loop.clock.advance(1)


def test_nothing_is_written_before_a_yes(loop: Loop) -> None:
    people(loop, 5)
    loop.alpha.put("contacts", {"email": "only@x.io", "title": "Chief"})
    report = loop.sync(approve=False)
    assert report.state == "held"
    assert loop.alpha.writes == []
    assert loop.beta.writes == []
    waiting = report.waiting["alpha"]
    assert waiting.updates == {"contacts": 5}
    assert waiting.matched == 6
    assert report.waiting.keys() == {"alpha"}
    assert report.counts["write"]["alpha"]["contacts"] == {
        "planned": 5,
        "applied": 0,
        "unchanged": 0,
        "held": 5,
        "quarantined": 0,
        "parked": 0,
    }
    assert report.needs_person
    assert waiting.sample[0].changes[0].reason


def test_a_yes_lets_the_writes_through(loop: Loop) -> None:
    people(loop, 5)
    loop.sync(approve=False)
    loop.settled()
    assert {row["title"] for row in loop.alpha.all("contacts")} == {"Clerk"}


def test_a_refused_canary_stops_the_rest(loop: Loop) -> None:
    people(loop, 8)
    loop.alpha.refuse = lambda operation: rejected()
    report = loop.sync()
    assert report.state == "failed"
    assert "first 2 writes" in str(report.error)
    assert report.counts["write"]["alpha"]["contacts"]["quarantined"] == 2
    assert loop.alpha.writes == []


def test_the_counts_add_up(loop: Loop) -> None:
    people(loop, 7)
    loop.alpha.put("contacts", {"email": "no address", "first": "Bad"})
    report = loop.sync()
    for objects in report.counts["pull"].values():
        for row in objects.values():
            assert row["pulled"] == sum(row[s] for s in ("applied", "unchanged", "held", "quarantined", "parked"))
    for objects in report.counts["write"].values():
        for row in objects.values():
            assert row["planned"] == sum(row[s] for s in ("applied", "unchanged", "held", "quarantined", "parked"))
    assert report.counts["pull"]["alpha"]["contacts"]["quarantined"] == 1
    assert report.needs_person


def seen(report: Report) -> dict[str, str]:
    return {name: waiting.digest for name, waiting in report.waiting.items()}


def answered(loop: Loop, shown: dict[str, str]) -> Report:
    loop.clock.advance(60)
    return Runner(loop.workspace).run("sync", ("alpha", "beta"), Options(shown=shown))


def test_a_yes_is_to_what_was_shown(loop: Loop) -> None:
    people(loop, 5)
    shown = seen(loop.sync(approve=False))
    assert shown.keys() == {"alpha"}
    report = answered(loop, shown)
    assert (report.state, report.waiting) == ("done", {})
    assert {row["title"] for row in loop.alpha.all("contacts")} == {"Clerk"}
    assert loop.sync(approve=False).state == "done"  # the account is open from now on


@pytest.mark.parametrize("change", ["one more", "another value"])
def test_what_changed_after_it_was_shown_is_not_written_by_that_yes(loop: Loop, change: str) -> None:
    people(loop, 5)
    shown = seen(loop.sync(approve=False))
    loop.clock.advance(60)
    if change == "one more":
        people(loop, 6)
    else:
        loop.beta.edit("contacts", next(iter(loop.beta.rows["contacts"])), {"title": "Owner"})
    report = answered(loop, shown)
    assert report.state == "held"
    assert loop.alpha.writes == []
    fresh = seen(report)
    assert fresh.keys() == {"alpha"}
    assert fresh != shown
    assert answered(loop, fresh).state == "done"
    assert loop.alpha.writes


def test_a_yes_to_one_account_is_none_to_another(loop: Loop) -> None:
    people(loop, 5)
    shown = seen(loop.sync(approve=False))
    assert answered(loop, {"beta": shown["alpha"]}).state == "held"
    assert answered(loop, {}).state == "held"
    assert loop.alpha.writes == []
