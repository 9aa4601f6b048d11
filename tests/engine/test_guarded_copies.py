"""What holds a copy until a person has looked: refusals, first writes, plans, guards, fights, poor mappings."""

from __future__ import annotations

import pytest

from config.errors import Misconfigured
from sync.planfile import apply, dump, make_plan, parse
from sync.replay import replay
from sync.runs import Options, Runner
from tests.engine.conftest import MARKETING
from tests.engine.deals import COPY, DEALS, Deals, ana, both, complaints, deal
from tests.engine.memory import rejected

__all__ = ["both"]


def test_what_is_refused_waits_for_a_person_each_deal_by_itself(both: Deals) -> None:
    _, prospect = ana(both)
    homes = [deal(both, prospect), deal(both, prospect, name="Second")]
    both.alpha.refuse = lambda operation: rejected() if operation.object == "deals" else None
    both.sync()
    report = both.sync()
    assert not report.counts["write"], "what was refused is not sent again"
    assert sorted(row.record for row in complaints(both)) == sorted(f"beta/deals/{home}" for home in homes)
    both.alpha.refuse = lambda operation: None
    replay(both.workspace, [row.id for row in complaints(both)])
    both.settled()
    assert len(both.alpha.all("deals")) == 2
    assert complaints(both) == []


def test_a_value_that_cannot_be_said_is_left_out_and_told(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect, stage="Nowhere")
    both.settled()
    assert both.mine() == [{name: value for name, value in COPY.items() if name != "stage"}]
    [copy] = both.alpha.rows["deals"]
    assert {(row.record, row.field) for row in complaints(both, "not_expressible")} == {(copy, "stage")}
    both.clock.advance(60)
    both.beta.edit("deals", home, {"stage": "Negotiation"})
    both.settled()
    assert both.mine() == [COPY]
    assert complaints(both) == []


def test_first_copies_wait_for_a_yes(both: Deals) -> None:
    _, prospect = ana(both)
    deal(both, prospect)
    report = both.sync(approve=False)
    assert report.state == "held"
    assert report.waiting["alpha"].creates == {"deals": 1}
    assert both.alpha.all("deals") == []


def test_a_plan_shows_copies_and_is_applied_exactly(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.sync(push=False)
    plan = make_plan(both.workspace, ("alpha", "beta"))
    [planned] = [op for op in plan.operations if op.object == "deals"]
    assert planned.why == f"copy of beta/deals/{home}, for a person who stands here"
    assert {change.field: change.reason.partition(" since ")[0] for change in planned.changes}["amount"] == (
        f"beta/deals/{home} says so"
    )
    applied = apply(both.workspace, parse(dump(plan)), Runner(both.workspace))
    assert applied.stale == []
    assert both.mine() == [COPY]
    again = apply(both.workspace, parse(dump(plan)), Runner(both.workspace))
    assert "deals" in [op.object for op in again.stale]
    both.settled()
    assert len(both.alpha.all("deals")) == 1


def test_too_many_copies_at_once_are_held(both: Deals) -> None:
    _, prospect = ana(both)
    file = both.folder / "closedloop.yaml"
    file.write_text(file.read_text() + "guards: {changed: {share: 1%, over: 3}}\n")
    both.reopen()
    deal(both, prospect)
    both.settled()
    both.clock.advance(60)
    for number in range(4):
        deal(both, prospect, name=f"Deal {number}")
    report = both.sync()
    assert (report.state, report.held["alpha"].planned) == ("held", {"deals": {"create": 4}})
    assert len(both.alpha.all("deals")) == 1
    both.clock.advance(60)
    Runner(both.workspace).run("sync", ("alpha", "beta"), Options(large=True))
    assert len(both.alpha.all("deals")) == 5


def test_a_field_of_a_copy_that_is_fought_over_is_left_to_a_person(both: Deals) -> None:
    _, prospect = ana(both)
    deal(both, prospect)
    both.settled()
    [id] = both.alpha.rows["deals"]
    for worth in ("1", "2", "3", "4"):
        both.clock.advance(600)
        both.alpha.edit("deals", id, {"worth": worth})
        both.sync()
    assert [(row.record, row.field) for row in complaints(both, "flapping")] == [(id, "amount")]
    assert both.mine()[0]["worth"] == "4"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{remote: title, field: name, direction: push}", "{remote: title, field: name, direction: both}", "both ways"),
        ("match: [home]", "match: [name]", "name of their home"),
        ("{remote: home, field: home, direction: push}", "{remote: x, field: type}", "name of their home"),
        ("deal.name", "deal.nam", "deal.nam"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(both: Deals, old: str, new: str, told: str) -> None:
    text = (MARKETING + DEALS.lstrip("\n")).replace(old, new)
    with pytest.raises(Misconfigured) as caught:
        both.reopened(text)
    both.reopened(MARKETING)
    assert told in " ".join(map(str, caught.value.problems))
