"""Outcomes are told to a platform that takes them: each once, none that is history, none that nobody may know of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.clock import ManualClock, stamp
from config.errors import ClosedloopError, InDoubt, RetryLater
from connectors.api import Operation
from sync import duplicates
from sync import forget as forgetting
from sync.insight.explain import explain
from sync.insight.status import status
from sync.planfile import make_plan
from sync.replay import replay
from sync.runs import Options, Runner
from sync.state.schema import conversions, leads, quarantine
from sync.workspace import Workspace
from tests.engine.conftest import MANIFEST, PROJECT, Loop, write_project
from tests.engine.memory import Memory, platform, rejected

TAKES = """
  outcomes: {{kind: conversion, about: outcomes, pull: false, push: [create], max_age: 30, repeats: {repeats}}}
"""
MAPPING = """
platform: gamma
objects:
  outcomes:
    kind: conversion
    match: [event_id]
    create_when: "lead.event in ['qualified', 'won'] && lead.email_consent != 'unsubscribed'"
    fields:
      - remote: name
        field: event
        direction: push
        transform: [{values: {map: {qualify_lead: qualified, close_convert_lead: won}}}]
      - {remote: event_id, field: event_id, direction: push}
      - {remote: at, field: event_at, direction: push}
      - {remote: amount, field: event_value, direction: push, transform: [{money: EUR}]}
      - {remote: person, field: email, direction: push}
"""


class Three(Loop):
    """The loop, and a third platform that takes outcomes."""

    gamma: Memory


@pytest.fixture(params=["true", "false"], ids=["repeats are told", "repeats are counted"])
def three(request: pytest.FixtureRequest, tmp_path: Path, state_url: str) -> Iterator[Three]:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    write_project(tmp_path, state_url)
    (tmp_path / "gamma").mkdir()
    manifest = MANIFEST.format(name="gamma") + TAKES.format(repeats=request.param).lstrip("\n")
    (tmp_path / "gamma" / "manifest.yaml").write_text(manifest)
    (tmp_path / "mappings" / "gamma.yaml").write_text(MAPPING)
    text = PROJECT.format(state=state_url).replace("  beta: {auth", "  gamma: {auth: {mode: none}}\n  beta: {auth")
    (tmp_path / "closedloop.yaml").write_text(text)
    sides = {name: Memory(clock) for name in ("alpha", "beta", "gamma")}
    found = {name: platform(name, tmp_path / name, side) for name, side in sides.items()}
    workspace = Workspace.open(tmp_path, clock=clock, find=found.__getitem__)
    three = Three(tmp_path, clock, sides["alpha"], sides["beta"], workspace)
    three.gamma = sides["gamma"]
    yield three
    workspace.close()


def sync(three: Three, **more: Any) -> Any:
    three.clock.advance(60)
    return Runner(three.workspace).run("sync", three.workspace.connections, Options(approve=True, **more))


def repeats(three: Three) -> bool:
    return three.workspace.manifest("gamma").objects["outcomes"].repeats


def states(three: Three) -> dict[str, str]:
    with three.workspace.state.read() as tx:
        return {row.event: row.state for row in tx.execute(select(conversions))}


def refused(three: Three) -> list[Any]:
    with three.workspace.state.read() as tx:
        return list(tx.execute(select(quarantine).where(quarantine.c.connection == "gamma")))


def chief(three: Three, **more: Any) -> str:
    values = {"email": "ana@x.io", "title": "Chief", "consent": "subscribed", **more}
    contact = three.alpha.put("contacts", values)
    at = stamp(three.clock.now())
    three.alpha.put("events", {"type": "form", "at": at, "person": contact, "title": "Contact us"})
    return contact


def win(three: Three, day: str = "2026-03-01") -> str:
    [(person, _)] = three.beta.rows["prospects"].items()
    money = {"name": "Deal", "amount": "900", "closed": True, "won": True, "close_date": day}
    deal = three.beta.put("deals", money)
    tie = {"from_object": "deals", "from_id": deal, "to_object": "prospects", "to_ids": [person]}
    three.beta.put("deal_contacts", tie)
    return deal


def test_each_outcome_is_told_once(three: Three) -> None:
    chief(three)
    sync(three)
    assert [(row["name"], row["person"]) for row in three.gamma.all("outcomes")] == [("qualify_lead", "ana@x.io")]
    win(three)
    sync(three)
    assert [row["name"] for row in three.gamma.all("outcomes")] == ["qualify_lead", "close_convert_lead"]
    assert three.gamma.all("outcomes")[1]["amount"] == "900"
    report = sync(three)
    assert "gamma" not in report.counts["write"]
    assert states(three) == {"qualified": "sent", "won": "sent"}
    [op] = [op for op in three.gamma.writes if op.values["name"] == "close_convert_lead"]
    assert op.match == {"event_id": op.values["event_id"]}


def test_what_happened_long_ago_is_history(three: Three) -> None:
    chief(three)
    sync(three)
    win(three, (three.clock.now() - timedelta(days=31)).date().isoformat())
    sync(three)
    assert [row["name"] for row in three.gamma.all("outcomes")] == ["qualify_lead"]


def test_nothing_is_told_of_who_opted_out(three: Three) -> None:
    contact = chief(three)
    sync(three)
    three.alpha.edit("contacts", contact, {"consent": "unsubscribed"})
    win(three)
    sync(three)
    assert [row["name"] for row in three.gamma.all("outcomes")] == ["qualify_lead"]


def test_the_first_outcomes_wait_for_a_yes_and_a_plan_shows_them(three: Three) -> None:
    chief(three)
    three.clock.advance(60)
    report = Runner(three.workspace).run("sync", three.workspace.connections, Options())
    assert report.waiting["gamma"].creates == {"outcomes": 1}
    assert three.gamma.all("outcomes") == []
    [planned] = [op for op in make_plan(three.workspace, ("gamma",)).operations if op.object == "outcomes"]
    assert planned.why == "outcome: qualified"
    with three.workspace.state.read() as tx:
        assert status(tx)["conversions_due"] == 1
    sync(three)
    assert len(three.gamma.all("outcomes")) == 1


def test_what_is_refused_waits_for_a_person(three: Three) -> None:
    chief(three)
    three.gamma.refuse = lambda operation: rejected() if operation.object == "outcomes" else None
    report = sync(three)
    assert report.needs_person
    assert states(three) == {"qualified": "refused"}
    three.gamma.refuse = lambda operation: None
    sync(three)
    assert three.gamma.all("outcomes") == []
    [entry] = refused(three)
    replay(three.workspace, [entry.id])
    sync(three)
    assert len(three.gamma.all("outcomes")) == 1
    assert [entry.state for entry in refused(three)] == ["resolved"]


def lost(operation: Operation) -> ClosedloopError | None:
    """The answer is lost, and so was the outcome: nothing is found when it is looked up."""
    return InDoubt("The answer was lost.") if operation.object == "outcomes" else None


def test_a_lost_answer_is_asked_again_only_where_a_repeat_is_known(three: Three) -> None:
    chief(three)
    three.gamma.refuse = lost
    sync(three)
    three.gamma.refuse = lambda operation: None
    sync(three)
    sync(three)
    assert len(three.gamma.all("outcomes")) == int(repeats(three))
    assert states(three) == {"qualified": "sent" if repeats(three) else "unsure"}
    if not repeats(three):
        [entry] = refused(three)
        assert entry.code == "in_doubt"
        replay(three.workspace, [entry.id])
        sync(three)
        assert len(three.gamma.all("outcomes")) == 1


def test_a_lost_answer_is_looked_up_where_it_can_be(three: Three) -> None:
    chief(three)
    three.gamma.lose_answers = 1
    sync(three)
    sync(three)
    sync(three)
    assert len([op for op in three.gamma.writes if op.object == "outcomes"]) == 1
    assert states(three) == {"qualified": "sent"}


def linked(three: Three) -> str:
    """Ana, of whom an outcome has gone out, and Anna are one; the lead that stays."""
    with three.workspace.state.begin() as tx:
        keep = duplicates.link(tx, three.workspace, "ana@x.io", "anna@y.io")
        assert set(tx.execute(select(conversions.c.lead)).scalars()) == {keep}
    return keep


@pytest.mark.parametrize("order", [("ana@x.io", "anna@y.io"), ("anna@y.io", "ana@x.io")])
def test_an_outcome_of_a_lead_that_became_another_is_not_told_again(three: Three, order: tuple[str, str]) -> None:
    """Whichever of the two stays; not even while it is in doubt."""
    numbers = count(1)
    three.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    for email in order:
        if email == "ana@x.io":
            chief(three)
            three.gamma.lose_answers = 1
        else:
            three.alpha.put("contacts", {"email": email})
        sync(three)
    linked(three)
    sync(three)
    three.clock.advance(600)
    sync(three)
    sync(three)
    told = [op for op in three.gamma.writes if op.object == "outcomes"]
    assert len({op.match["event_id"] for op in told}) == 1
    assert len(three.gamma.all("outcomes")) == 1


def test_an_explanation_names_them_and_forgetting_removes_them(three: Three) -> None:
    chief(three)
    sync(three)
    with three.workspace.state.read() as tx:
        [lead] = tx.execute(select(leads.c.id)).scalars()
        [told] = explain(tx, three.workspace, lead)["conversions"]
    assert (told["event"], told["state"]) == ("qualified", "sent")
    made = forgetting.erasure(three.workspace, "ana@x.io")
    forgetting.forget(three.workspace, made, Runner(three.workspace))
    assert states(three) == {}


def both(three: Three) -> None:
    """Ana and Anna both qualify."""
    chief(three)
    chief_too = three.alpha.put("contacts", {"email": "anna@y.io", "title": "Chief"})
    at = stamp(three.clock.now())
    three.alpha.put("events", {"type": "form", "at": at, "person": chief_too, "title": "Contact us"})


def noted(three: Three) -> list[str]:
    with three.workspace.state.read() as tx:
        return sorted(tx.execute(select(conversions.c.state)).scalars())


def told(three: Three) -> list[str]:
    return [row["name"] for row in three.gamma.all("outcomes")]


def link(three: Three) -> None:
    with three.workspace.state.begin() as tx:
        duplicates.link(tx, three.workspace, "ana@x.io", "anna@y.io")


def test_of_two_who_became_one_what_neither_was_told_of_is_told_once(three: Three) -> None:
    both(three)
    three.gamma.refuse = lambda operation: RetryLater("Not now.")
    sync(three)
    assert noted(three) == ["due", "due"]
    link(three)
    assert noted(three) == ["due", "merged"]
    three.gamma.refuse = lambda operation: None
    sync(three)
    sync(three)
    assert told(three) == ["qualify_lead"]
    assert noted(three) == ["merged", "sent"]


@pytest.mark.parametrize("step", [1, -1])
def test_of_two_who_became_one_nothing_is_told_that_was_told_of_either(three: Three, step: int) -> None:
    """Not even where a person lets go what was refused of the other: its entry is over."""
    numbers = count(500, step)
    three.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    both(three)
    refuse = {"anna@y.io": rejected()}
    three.gamma.refuse = lambda operation: refuse.get(operation.values.get("person", ""))
    sync(three)
    assert noted(three) == ["refused", "sent"]
    [entry] = refused(three)
    link(three)
    three.gamma.refuse = lambda operation: None
    replay(three.workspace, [entry.id])
    sync(three)
    assert told(three) == ["qualify_lead"]
    assert noted(three) == ["merged", "sent"]
    assert [entry.state for entry in refused(three)] == ["resolved"]


def test_of_two_who_became_one_the_one_in_doubt_is_looked_up_first(three: Three) -> None:
    """What may have been told is not told a second time under the name of the other."""
    both(three)
    answers = {"ana@x.io": RetryLater("Not now."), "anna@y.io": InDoubt("The answer was lost.")}
    three.gamma.refuse = lambda operation: answers.get(operation.values.get("person", ""))
    sync(three)
    three.gamma.refuse = lambda operation: None
    assert noted(three) == ["due", "due"]
    link(three)
    three.clock.advance(600)
    sync(three)
    sync(three)
    assert len(told(three)) == int(repeats(three))
    assert noted(three) == ["merged", "sent" if repeats(three) else "unsure"]
    assert len(refused(three)) == int(not repeats(three))
