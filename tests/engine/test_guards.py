"""Guards: a run is held before it does harm, says what it would have done, and how to let it through."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from config.clock import stamp
from config.errors import Misconfigured
from config.project import Guards, Limit
from connectors.api import Gone, Operation
from sync.cli import show
from sync.insight.status import status
from sync.runs import Options, Report, Runner
from tests.engine.conftest import Loop

LIMITS = """
guards:
  changed: {share: 50%, over: 2}
  opted_out: {share: 10%, over: 1}
  deleted: {share: 5%, over: 0}
  emptied: {share: 20%, over: 3}
"""


@pytest.fixture
def guarded(loop: Loop) -> Loop:
    """Six people on both sides, in step, under small limits."""
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text() + LIMITS)
    loop.reopen()
    for n in range(6):
        values = {"email": f"p{n}@x.io", "first": f"P{n}", "title": "Clerk"}
        loop.beta.put("contacts", values)
        loop.alpha.put("contacts", {**values, "consent": "subscribed"})
    loop.settled()
    loop.alpha.writes.clear()
    loop.beta.writes.clear()
    return loop


def edit(loop: Loop, number: int, **values: object) -> None:
    loop.clock.advance(5)
    for id in list(loop.alpha.rows["contacts"])[:number]:
        loop.alpha.edit("contacts", id, dict(values))


def run(loop: Loop, command: str = "sync", **options: Any) -> Report:
    loop.clock.advance(60)
    return Runner(loop.workspace).run(command, ("alpha", "beta"), Options(**options))


def test_the_first_writes_are_not_held_twice(loop: Loop) -> None:
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text() + LIMITS)
    loop.reopen()
    for n in range(6):
        loop.beta.put("contacts", {"email": f"p{n}@x.io", "title": "Clerk"})
        loop.clock.advance(1)
        loop.alpha.put("contacts", {"email": f"p{n}@x.io", "title": "Chief"})
    assert run(loop, approve=True).state == "done"
    assert len(loop.beta.writes) == 6


def _limited(loop: Loop) -> None:
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text() + LIMITS)
    loop.reopen()


def _dies_at_the_third_write(loop: Loop) -> None:
    """A process dies within the first writes at beta; the next one finds the last of them too young to be looked up."""

    def dies(operation: Operation) -> None:
        if len(loop.beta.writes) == 2:
            raise KeyboardInterrupt

    loop.beta.refuse = dies
    with pytest.raises(KeyboardInterrupt):
        run(loop, approve=True)
    loop.beta.refuse = lambda operation: None
    loop.clock.advance(-59)
    run(loop, approve=True)
    loop.clock.advance(600)


def test_what_a_process_that_died_left_of_the_first_writes_is_not_held(loop: Loop) -> None:
    _limited(loop)
    for n in range(6):
        loop.beta.put("contacts", {"email": f"p{n}@x.io", "title": "Clerk"})
        loop.clock.advance(1)
        loop.alpha.put("contacts", {"email": f"p{n}@x.io", "title": "Chief"})
    _dies_at_the_third_write(loop)
    assert run(loop).held == {}
    assert {contact["title"] for contact in loop.beta.all("contacts")} == {"Chief"}


def test_what_follows_elsewhere_from_first_writes_that_died_is_not_held(loop: Loop) -> None:
    """Sales is made six prospects; that they are is told to marketing only when it is known."""
    _limited(loop)
    for n in range(6):
        ana = loop.alpha.put("contacts", {"email": f"p{n}@x.io", "title": "Chief"})
        loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    _dies_at_the_third_write(loop)
    assert run(loop).held == {}
    assert {contact["stage"] for contact in loop.alpha.all("contacts")} == {"sales_qualified"}


def test_a_large_change_is_held_and_told_and_let_through(guarded: Loop) -> None:
    edit(guarded, 5, title="Chief")
    report = run(guarded)
    assert (report.state, report.needs_person) == ("held", True)
    assert guarded.beta.writes == []
    hold = report.held["beta"]
    assert hold.why == "5 of 6 records would be changed (allowed are 3)"
    assert hold.planned == {"contacts": {"update": 5}}
    assert len(hold.sample) == 5
    row = report.counts["write"]["beta"]["contacts"]
    assert (row["planned"], row["held"], row["applied"]) == (5, 5, 0)
    screen = io.StringIO()
    show.report(report, Console(file=screen, width=140, color_system=None))
    assert "allowed are 3" in screen.getvalue()
    assert "--allow-large-change" in screen.getvalue()
    assert run(guarded).state == "held"
    assert run(guarded, large=True).state == "done"
    assert len(guarded.beta.writes) == 5
    assert run(guarded).state == "done"


def test_what_is_within_the_limits_goes_on(guarded: Loop) -> None:
    edit(guarded, 3, title="Chief")
    assert run(guarded).state == "done"
    assert len(guarded.beta.writes) == 3


def test_other_connections_go_on(guarded: Loop) -> None:
    edit(guarded, 5, title="Chief")
    last = list(guarded.beta.rows["contacts"])[-1]
    guarded.beta.edit("contacts", last, {"first": "Zoe"})
    report = run(guarded)
    assert list(report.held) == ["beta"]
    assert [op.values["first"] for op in guarded.alpha.writes] == ["Zoe"]


def test_many_opt_outs_are_held_though_few_records_change(guarded: Loop) -> None:
    edit(guarded, 2, consent="unsubscribed")
    report = run(guarded)
    assert report.held["beta"].why == "2 of 6 records would be opted out (allowed are 1)"
    assert guarded.beta.writes == []


def test_one_opt_out_is_not(guarded: Loop) -> None:
    edit(guarded, 1, consent="unsubscribed")
    assert run(guarded).state == "done"
    assert len(guarded.beta.writes) == 1


@pytest.mark.parametrize("command", ["backfill", "sync"])
def test_an_emptied_account_is_held_until_it_is_back(guarded: Loop, command: str) -> None:
    kept = guarded.alpha.rows["contacts"]
    guarded.alpha.rows["contacts"] = {}
    first = next(iter(guarded.beta.rows["contacts"]))
    report = run(guarded, "backfill", bulk=True)
    assert report.state == "held"
    assert "brought 0 records, and 6 were known" in report.held["alpha"].why
    guarded.beta.edit("contacts", first, {"title": "Boss"})
    assert run(guarded, command).held.keys() == {"alpha"}
    assert guarded.alpha.writes == []
    guarded.alpha.rows["contacts"] = kept
    assert run(guarded, command).state == "done"
    assert [op.values["title"] for op in guarded.alpha.writes] == ["Boss"]


def test_an_account_that_is_meant_to_be_empty_is_let_through(guarded: Loop) -> None:
    guarded.alpha.rows["contacts"] = {}
    assert run(guarded, "backfill", bulk=True, large=True).state == "done"
    assert run(guarded).state == "done"


def test_another_account_is_never_let_through(guarded: Loop) -> None:
    edit(guarded, 1, title="Chief")
    guarded.beta.account_id = "acc-2"
    report = run(guarded, large=True)
    assert report.state == "failed"
    assert isinstance(report.error, Misconfigured)
    assert guarded.beta.writes == []


# fields that go


class Fleeting(list[str]):
    """The fields of an object, others each time that they are asked for; the last stay."""

    def __init__(self, *told: list[str]) -> None:
        super().__init__()
        self._told = list(told)

    def __iter__(self) -> Iterator[str]:
        return iter(self._told.pop(0) if len(self._told) > 1 else self._told[0])


def names(loop: Loop) -> list[str]:
    return sorted({"email", "first", "title", "phone", "opted_out", "origin"})


def test_a_vanished_field_is_frozen_and_the_rest_goes_on(guarded: Loop) -> None:
    guarded.beta.schema["contacts"] = [name for name in names(guarded) if name != "title"]
    guarded.clock.advance(3600)
    edit(guarded, 1, title="Chief", first="Anna")
    report = run(guarded)
    assert (report.state, report.needs_person) == ("done", True)
    assert report.frozen == {"beta": {"contacts": ["title"]}}
    [write] = guarded.beta.writes
    assert dict(write.values) == {"first": "Anna"}
    with guarded.workspace.state.read() as tx:
        assert status(tx)["frozen"] == [{"connection": "beta", "object": "contacts", "fields": "title"}]
    guarded.reopen()
    edit(guarded, 2, title="Head")
    assert run(guarded).counts["write"] == {}


def test_a_field_that_is_back_is_read_and_written_again(guarded: Loop) -> None:
    guarded.beta.schema["contacts"] = [name for name in names(guarded) if name != "title"]
    guarded.clock.advance(3600)
    run(guarded)
    edit(guarded, 1, title="Chief")
    run(guarded)
    guarded.beta.schema["contacts"] = names(guarded)
    guarded.clock.advance(3600)
    pulls = guarded.beta.pulls
    report = run(guarded)
    assert report.frozen == {}
    assert guarded.beta.pulls > pulls
    assert [op.values["title"] for op in guarded.beta.writes] == ["Chief"]


def test_a_field_that_was_made_anew_empties_nothing_elsewhere(guarded: Loop) -> None:
    """Its blanks are nobody's: they are filled again. A blank that comes after that is somebody's."""
    guarded.beta.schema["contacts"] = [name for name in names(guarded) if name != "title"]
    guarded.clock.advance(3600)
    run(guarded)
    guarded.beta.schema["contacts"] = names(guarded)
    for row in guarded.beta.rows["contacts"].values():
        row.values["title"] = None
    guarded.clock.advance(3600)
    run(guarded, large=True)
    guarded.settled()
    assert [row["title"] for row in guarded.alpha.all("contacts")] == ["Clerk"] * 6
    assert [row["title"] for row in guarded.beta.all("contacts")] == ["Clerk"] * 6
    guarded.clock.advance(60)
    guarded.beta.edit("contacts", next(iter(guarded.beta.rows["contacts"])), {"title": None})
    guarded.settled()
    assert [row["title"] for row in guarded.alpha.all("contacts")] == [None, *["Clerk"] * 5]


@pytest.mark.parametrize("told", [True, False], ids=["told at once", "told later"])
def test_nor_does_it_on_a_record_that_was_put_away_meanwhile(guarded: Loop, told: bool) -> None:
    """It is back after all was read, and nothing had told of it since."""
    beta, without = guarded.beta, [name for name in names(guarded) if name != "title"]
    [first, *_] = beta.rows["contacts"]
    beta.remove("contacts", first, Gone.ARCHIVED)
    guarded.settled()
    beta.schema["contacts"] = without
    guarded.clock.advance(3600)
    run(guarded)
    beta.schema["contacts"] = names(guarded)
    for row in beta.rows["contacts"].values():
        row.values["title"] = None
    for _ in range(2):
        guarded.clock.advance(3600)
        run(guarded, large=True)
    if not told:
        del beta.rows["contacts"][first].values["title"]
    row = beta.rows["contacts"][first]
    guarded.clock.advance(60)
    row.gone, row.version = None, stamp(guarded.clock.now())
    guarded.sync(push=told)
    if not told:
        guarded.clock.advance(60)
        beta.edit("contacts", first, {"title": None})
    guarded.settled()
    assert [row["title"] for row in guarded.alpha.all("contacts")] == ["Clerk"] * 6


def test_a_field_that_is_gone_again_before_all_was_read_empties_nothing_elsewhere(guarded: Loop) -> None:
    """It was there when the run began to read, and not when its records were told: nothing is known of its blanks."""
    without = [name for name in names(guarded) if name != "title"]
    guarded.beta.schema["contacts"] = without
    guarded.clock.advance(3600)
    run(guarded)
    for row in guarded.beta.rows["contacts"].values():
        del row.values["title"]
    guarded.beta.schema["contacts"] = Fleeting(names(guarded), without)
    guarded.clock.advance(3600)
    run(guarded)
    guarded.beta.schema = {"contacts": names(guarded)}
    for id in guarded.beta.rows["contacts"]:
        guarded.beta.edit("contacts", id, {"title": None})
    guarded.clock.advance(3600)
    run(guarded, large=True)
    guarded.settled()
    assert [row["title"] for row in guarded.alpha.all("contacts")] == ["Clerk"] * 6
    assert [row["title"] for row in guarded.beta.all("contacts")] == ["Clerk"] * 6


def test_the_fields_are_asked_for_once_an_hour(guarded: Loop) -> None:
    def calls(command: Callable[[], object]) -> int:
        before = sum(guarded.workspace.calls.values())
        command()
        return sum(guarded.workspace.calls.values()) - before

    usual = calls(lambda: run(guarded))
    guarded.clock.advance(3600)
    objects = sum(len(guarded.workspace.objects(name)) for name in guarded.workspace.connections)
    people = 2  # objects whose newest records are looked at: see `sync.rollback`
    assert calls(lambda: run(guarded)) == usual + objects + people
    assert calls(lambda: run(guarded)) == usual


# limits


@pytest.mark.parametrize(
    ("limit", "number", "total", "breaks"),
    [
        (Limit(share=0.5, over=10), 10, 4, False),
        (Limit(share=0.5, over=10), 11, 4, True),
        (Limit(share=0.5, over=10), 50, 100, False),
        (Limit(share=0.5, over=10), 51, 100, True),
        (Limit(share=0.5, over=10, number=20), 21, 100, True),
        (Limit(share=0.5, over=10, number=20), 20, 100, False),
        (Limit(share=1, over=0), 10_000, 1, False),
        (Limit(share=1, over=0, number=5), 6, 100, True),
        (Limit(share=0, over=0), 1, 100, True),
    ],
)
def test_when_a_limit_breaks(limit: Limit, number: int, total: int, breaks: bool) -> None:
    assert limit.breaks(number, total) is breaks


def test_a_share_is_written_with_a_percent_sign() -> None:
    assert Guards.model_validate({"changed": {"share": "12.5%", "over": 1}}).changed.share == 0.125
    for wrong in ("lots", "150%", -1, 2):
        with pytest.raises(ValidationError):
            Guards.model_validate({"changed": {"share": wrong, "over": 1}})
