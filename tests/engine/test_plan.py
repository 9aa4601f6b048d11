"""Plans: printed, saved, applied exactly, refused where stale."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from config.errors import Misconfigured
from sync import planfile
from sync.runs import Runner
from sync.state.schema import journal
from tests.engine.conftest import Loop


def planned(loop: Loop) -> planfile.Plan:
    for number in range(3):
        loop.beta.put("contacts", {"email": f"p{number}@x.io", "title": "Clerk"})
        loop.clock.advance(1)
        loop.alpha.put("contacts", {"email": f"p{number}@x.io", "title": "Chief"})
    loop.sync(push=False)
    return planfile.make_plan(loop.workspace, ["alpha", "beta"])


def test_a_plan_says_what_changes_and_why_and_writes_nothing(loop: Loop) -> None:
    plan = planned(loop)
    assert plan.counts == {"beta": {"contacts": {"create": 0, "update": 3}}}
    [change] = plan.operations[0].changes
    assert (change.field, change.old, change.new) == ("title", "Clerk", "Chief")
    assert "alpha/contacts" in change.reason
    assert loop.beta.writes == []
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(func.count()).select_from(journal)).scalar() == 0


def test_making_a_plan_twice_gives_the_same(loop: Loop) -> None:
    first = planned(loop)
    assert planfile.make_plan(loop.workspace, ["alpha", "beta"]).operations == first.operations


def test_a_saved_plan_is_applied_exactly_and_stale_records_are_left(loop: Loop, tmp_path: Path) -> None:
    plan = planned(loop)
    path = tmp_path / "plan.json"
    planfile.save(plan, path)
    assert path.stat().st_mode & 0o777 == 0o600
    stale = next(iter(loop.beta.rows["contacts"]))
    loop.beta.edit("contacts", stale, {"title": "Boss"})
    loop.clock.advance(60)
    loaded = planfile.load(path)
    assert loaded.operations == plan.operations
    applied = planfile.apply(loop.workspace, loaded, Runner(loop.workspace))
    assert [op.record for op in applied.stale] == [stale]
    assert sorted(row["title"] for row in loop.beta.all("contacts")) == ["Boss", "Chief", "Chief"]
    row = applied.report.counts["write"]["beta"]["contacts"]
    assert (row["planned"], row["applied"], row["parked"]) == (3, 2, 1)
    assert applied.report.needs_person


@pytest.mark.parametrize(("account", "ahead"), [("acc-2", None), ("acc-1", 3 * 86_400.0), ("acc-1", None)])
def test_it_is_applied_to_the_account_it_was_made_for_by_a_clock_that_is_right(
    loop: Loop, account: str, ahead: float | None
) -> None:
    plan = planned(loop)
    loop.beta.account_id, loop.beta.ahead = account, ahead
    report = planfile.apply(loop.workspace, plan, Runner(loop.workspace)).report
    sound = (account, ahead) == ("acc-1", None)
    assert (report.state, len(loop.beta.writes)) == (("done", 3) if sound else ("failed", 0))
    assert [error.connection for error in report.errors] == ([] if sound else ["beta"])


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b'{"closedloop_plan": 1}', b"\xff\x00", b'{"closedloop_plan": 9}']
)
def test_what_is_no_plan_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(Misconfigured):
        planfile.parse(content)


def test_a_plan_of_another_state_is_refused(loop: Loop) -> None:
    plan = planned(loop)
    plan.state_id = "other"
    with pytest.raises(Misconfigured, match="another state"):
        planfile.apply(loop.workspace, plan, Runner(loop.workspace))
