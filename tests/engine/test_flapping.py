"""Two platforms that insist on different values are not fought with for ever; what they fight over is told."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from sync.ledger import Ledger
from sync.planning import plan_batches
from sync.replay import replay
from sync.state.schema import quarantine
from tests.engine.conftest import Loop

ROUNDS = 12


@pytest.fixture
def stubborn(loop: Loop) -> Loop:
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief"}, id="a1")
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief"}, id="b1")
    loop.settled()
    return loop


def insist(loop: Loop, rounds: int = ROUNDS, **fields: tuple[Any, Any]) -> int:
    """Something on each side sets its own value again after every sync; how many writes came of it."""
    before = len(loop.alpha.writes) + len(loop.beta.writes)
    for _ in range(rounds):
        for memory, id, which in ((loop.alpha, "a1", 0), (loop.beta, "b1", 1)):
            row = memory.rows["contacts"][id]
            wrong = {name: values[which] for name, values in fields.items() if row.values.get(name) != values[which]}
            if wrong:
                loop.clock.advance(1)
                memory.edit("contacts", id, wrong)
        loop.sync()
    return len(loop.alpha.writes) + len(loop.beta.writes) - before


def told(loop: Loop, state: str = "open") -> list[Any]:
    with loop.workspace.state.read() as tx:
        mine = (quarantine.c.code == "flapping") & (quarantine.c.state == state)
        return list(tx.execute(select(quarantine).where(mine).order_by(quarantine.c.connection)))


def test_a_fight_ends_and_is_told_with_both_values(stubborn: Loop) -> None:
    assert insist(stubborn, title=("Head", "Boss")) <= 7
    rows = told(stubborn)
    assert rows
    for row in rows:
        assert (row.object, row.field) == ("contacts", "title")
        assert "Head" in row.reason
        assert "Boss" in row.reason
        assert "quarantine replay" in row.fix
    assert insist(stubborn, 3, title=("Head", "Boss")) == 0
    assert stubborn.alpha.rows["contacts"]["a1"].values["title"] == "Head"
    assert stubborn.beta.rows["contacts"]["b1"].values["title"] == "Boss"


def test_the_records_other_fields_go_on(stubborn: Loop) -> None:
    insist(stubborn, title=("Head", "Boss"))
    stubborn.clock.advance(1)
    stubborn.alpha.edit("contacts", "a1", {"first": "Anna"})
    stubborn.sync()
    assert stubborn.beta.rows["contacts"]["b1"].values["first"] == "Anna"
    assert told(stubborn)


def test_another_value_is_no_part_of_the_fight(stubborn: Loop) -> None:
    insist(stubborn, title=("Head", "Boss"))
    stubborn.clock.advance(1)
    stubborn.alpha.edit("contacts", "a1", {"title": "Queen"})
    stubborn.settled()
    assert stubborn.beta.rows["contacts"]["b1"].values["title"] == "Queen"
    assert "beta" not in {row.connection for row in told(stubborn)}


def test_a_person_lets_it_go_on_and_it_is_told_again(stubborn: Loop) -> None:
    insist(stubborn, title=("Head", "Boss"))
    stubborn.clock.advance(60)
    replay(stubborn.workspace, [row.id for row in told(stubborn)])
    assert told(stubborn) == []
    assert 0 < insist(stubborn, title=("Head", "Boss")) <= 7
    assert told(stubborn)


def test_an_edit_now_and_then_is_no_fight(stubborn: Loop) -> None:
    for _ in range(8):
        for title in ("Head", "Boss"):
            stubborn.clock.advance(12 * 3600)
            stubborn.alpha.edit("contacts", "a1", {"title": title})
            stubborn.sync()
            assert stubborn.beta.rows["contacts"]["b1"].values["title"] == title
    assert told(stubborn) == []


def test_an_opt_out_is_written_as_often_as_it_takes(stubborn: Loop) -> None:
    stubborn.alpha.edit("contacts", "a1", {"consent": "unsubscribed"})
    stubborn.sync()
    for _ in range(6):
        stubborn.clock.advance(1)
        stubborn.beta.edit("contacts", "b1", {"opted_out": None})
        stubborn.sync()
        assert stubborn.beta.rows["contacts"]["b1"].values["opted_out"] == "true"
    assert told(stubborn) == []


def test_the_project_may_fight_for_ever(stubborn: Loop) -> None:
    project = stubborn.folder / "closedloop.yaml"
    project.write_text(project.read_text() + "\nguards: {flapping: 0}\n")
    stubborn.reopen()
    assert insist(stubborn, title=("Head", "Boss")) >= ROUNDS
    assert told(stubborn) == []


def test_a_dry_look_stores_nothing(stubborn: Loop) -> None:
    insist(stubborn, title=("Head", "Boss"))
    replay(stubborn.workspace, [row.id for row in told(stubborn)])
    with stubborn.workspace.state.begin() as tx:
        tx.execute(update(quarantine).values(last_at="0"))  # as if never told: the day's writes count again
    for ledger in (None, Ledger("run")):
        batches = list(plan_batches(stubborn.workspace, "run", ledger=ledger))
        assert [operation for batch in batches for operation in batch.operations] == []
        assert bool(told(stubborn)) is (ledger is not None)
