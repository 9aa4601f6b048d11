"""Undo: what a run wrote is taken back, what people changed since stays, and nothing comes back by itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import select

from config.clock import stamp
from config.errors import Misconfigured
from connectors.api import Gone
from sync import planfile
from sync.core.plan import Planned
from sync.runs import Options, Report, Runner
from sync.state.schema import journal, meta
from sync.undo import Chosen, Left, connections_of, reverse
from tests.engine.conftest import Loop
from tests.simulation.clocks import Watch


@pytest.fixture(autouse=True)
def _past_the_first_run(loop: Loop) -> None:
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])


def planned(loop: Loop, **chosen: str) -> tuple[list[Planned], list[Left]]:
    """What would take the chosen writes back, after a look at the platforms."""
    loop.clock.advance(60)
    Runner(loop.workspace).run("plan", ("alpha", "beta"), Options(push=False))
    with loop.workspace.state.read() as tx:
        made = reverse(tx, loop.workspace, Chosen(**chosen))
    return made.operations, made.left


def undo(loop: Loop, **chosen: str) -> Report:
    operations, _ = planned(loop, **chosen)
    with loop.workspace.state.read() as tx:
        plan = planfile.Plan(loop.workspace.now(), planfile.state_id(tx), operations)
    told = Chosen(**chosen).told()
    return planfile.apply(loop.workspace, plan, Runner(loop.workspace), command="undo", choice=told).report


def pair(loop: Loop, **mine: object) -> tuple[str, str]:
    """One person on both sides, alpha's record the newer one."""
    theirs = loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ann", "title": "Clerk"})
    loop.clock.advance(5)
    return loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief", **mine}), theirs


def handed(loop: Loop) -> str:
    """One person who is ready for sales and unknown there."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    return ana


def holds(loop: Loop, record: str) -> dict[str, Any]:
    return loop.beta.rows["contacts"][record].values


def quiet(loop: Loop) -> bool:
    """Whether two more syncs and a backfill write nothing."""
    reports = [loop.sync(), loop.sync()]
    loop.clock.advance(60)
    reports.append(Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options(bulk=True)))
    return all(report.counts["write"] == {} for report in reports)


def test_values_are_given_back_and_stay_so(loop: Loop) -> None:
    ours, theirs = pair(loop)
    run = loop.sync().run
    assert holds(loop, theirs)["title"] == "Chief"
    report = undo(loop, run=run)
    assert (report.state, report.command) == ("done", "undo")
    assert (holds(loop, theirs)["first"], holds(loop, theirs)["title"]) == ("Ann", "Clerk")
    assert quiet(loop)
    assert loop.alpha.rows["contacts"][ours].values["title"] == "Chief"


def test_a_source_that_changes_is_written_again(loop: Loop) -> None:
    ours, theirs = pair(loop)
    undo(loop, run=loop.sync().run)
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ours, {"title": "Head"})
    loop.settled()
    assert (holds(loop, theirs)["first"], holds(loop, theirs)["title"]) == ("Ann", "Head")
    loop.alpha.edit("contacts", ours, {"title": "Chief"})
    loop.settled()
    assert holds(loop, theirs)["title"] == "Chief"


def test_what_people_changed_since_stays(loop: Loop) -> None:
    ours, theirs = pair(loop)
    run = loop.sync().run
    loop.clock.advance(5)
    loop.beta.edit("contacts", theirs, {"title": "Boss"})
    operations, left = planned(loop, run=run)
    assert [change.field for op in operations for change in op.changes] == ["first_name"]
    assert [(entry.field, entry.why) for entry in left] == [("title", "it was changed since")]
    undo(loop, run=run)
    loop.settled()
    for row in (holds(loop, theirs), loop.alpha.rows["contacts"][ours].values):
        assert row["title"] == "Boss"
    assert holds(loop, theirs)["first"] == "Ann"


def test_an_undo_can_be_undone(loop: Loop) -> None:
    _, theirs = pair(loop)
    run = loop.sync().run
    back = undo(loop, run=run).run
    assert planned(loop, run=run)[0] == []
    assert undo(loop, run=back).counts["write"]["beta"]["contacts"]["applied"] == 1
    assert (holds(loop, theirs)["first"], holds(loop, theirs)["title"]) == ("Ana", "Chief")
    assert quiet(loop)


def test_what_a_later_run_wrote_is_its_own(loop: Loop) -> None:
    ours, theirs = pair(loop)
    first = loop.sync().run
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ours, {"title": "Head"})
    second = loop.sync().run
    operations, left = planned(loop, run=first)
    assert [change.field for op in operations for change in op.changes] == ["first_name"]
    assert [entry.why for entry in left] == [f"it was written again by {second}: undo that first"]
    undo(loop, run=second)
    assert holds(loop, theirs)["title"] == "Chief"
    assert quiet(loop)


def test_filters_choose_among_the_writes(loop: Loop) -> None:
    _, theirs = pair(loop)
    loop.beta.put("contacts", {"email": "bob@x.io", "first": "Rob", "title": "Clerk"})
    loop.clock.advance(5)
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob", "title": "Clerk"})
    loop.settled()
    with loop.workspace.state.read() as tx:
        lead = tx.execute(select(journal.c.lead).where(journal.c.record == theirs)).scalars().first()
        assert lead
        assert connections_of(tx, Chosen(lead=lead)) == ["beta"]
    assert planned(loop, lead=lead, connection="alpha")[0] == []
    operations, _ = planned(loop, lead=lead, object="contacts")
    assert [op.record for op in operations] == [theirs]
    undo(loop, lead=lead)
    assert sorted(row["first"] for row in loop.beta.all("contacts")) == ["Ann", "Bob"]
    assert quiet(loop)


def test_what_was_made_is_put_away_with_its_brief_and_not_made_again(loop: Loop) -> None:
    handed(loop)
    run = loop.settled()[0].run
    assert len(loop.beta.all("prospects")) == len(loop.beta.all("tasks")) == 1
    undo(loop, run=run)
    assert loop.beta.all("prospects") == loop.beta.all("tasks") == []
    assert [row.gone for row in loop.beta.rows["prospects"].values()] == [Gone.ARCHIVED]
    assert quiet(loop)
    assert loop.beta.all("prospects") == []
    operations, left = planned(loop, run=run)
    assert operations == []
    assert {(entry.object, entry.why) for entry in left if entry.connection == "beta"} == {
        ("prospects", "the record is gone"),
        ("tasks", "the record is gone"),
    }


def test_what_was_put_away_comes_back_when_the_undo_is_undone(loop: Loop) -> None:
    handed(loop)
    run = loop.settled()[0].run
    back = undo(loop, run=run, object="prospects").run
    undo(loop, run=back)
    [row] = loop.beta.all("prospects")
    assert (row["email"], row["first"], row["title"]) == ("ana@x.io", "Ana", "Chief")
    assert quiet(loop)


def test_a_made_record_that_people_work_with_is_left(loop: Loop) -> None:
    handed(loop)
    run = loop.settled()[0].run
    [prospect] = loop.beta.rows["prospects"]
    loop.clock.advance(300)
    loop.beta.edit("prospects", prospect, {"phone": "+493012345"})
    operations, left = planned(loop, run=run, object="prospects")
    assert operations == []
    assert [entry.why for entry in left] == ["people changed phone since"]


def filling(loop: Loop) -> None:
    """The CRM fills in a telephone number, tells when it made a record, and its clock is another."""
    path = loop.folder / "mappings" / "beta.yaml"
    first = "      - {remote: first, field: first_name, direction: both}\n"
    path.write_text(path.read_text().replace(first, f"{first}      - {{remote: made, field: created_at}}\n"))
    loop.reopen()
    beta = loop.beta
    beta.rewrite = lambda values: (
        {"phone": "+493012345", "made": stamp(beta.clock.now()), **values} if "email" in values else values
    )


AHEAD, BEHIND = 14_400, -14_400


@pytest.mark.parametrize(("off", "answers"), [(AHEAD, True), (AHEAD, False), (BEHIND, False)])
def test_what_a_platform_filled_in_is_no_persons_by_whatever_clock(loop: Loop, off: float, answers: bool) -> None:
    filling(loop)
    loop.beta.clock, loop.beta.returns_records = Watch(loop.clock, off), answers
    handed(loop)
    undo(loop, run=loop.settled()[0].run, object="prospects")
    assert loop.beta.all("prospects") == []


@pytest.mark.parametrize(
    ("off", "answers", "seen"),
    [(AHEAD, True, True), (AHEAD, False, False), (BEHIND, True, False), (BEHIND, False, True)],
)
def test_what_a_person_gave_a_made_record_is_theirs_by_whatever_clock(
    loop: Loop, off: float, answers: bool, seen: bool
) -> None:
    filling(loop)
    loop.beta.clock, loop.beta.returns_records = Watch(loop.clock, off), answers
    handed(loop)
    run = loop.sync().run
    if seen:
        loop.sync()
    [prospect] = loop.beta.rows["prospects"]
    loop.clock.advance(30)
    loop.beta.edit("prospects", prospect, {"phone": "+493054321"})
    operations, left = planned(loop, run=run, object="prospects")
    assert operations == []
    assert [entry.why for entry in left] == ["people changed phone since"]


def test_what_a_person_gave_between_two_of_our_writes_is_theirs(loop: Loop) -> None:
    ana = handed(loop)
    loop.settled()
    [prospect] = loop.beta.rows["prospects"]
    loop.clock.advance(300)
    loop.beta.edit("prospects", prospect, {"phone": "+493054321"})
    loop.settled()
    loop.alpha.edit("contacts", ana, {"title": "Chief of Staff"})
    loop.settled()
    operations, left = planned(loop, connection="beta", object="prospects")
    assert operations == []
    assert [entry.why for entry in left] == ["people changed phone since"]


def test_a_made_record_with_a_deal_is_left(loop: Loop) -> None:
    handed(loop)
    run = loop.settled()[0].run
    [prospect] = loop.beta.rows["prospects"]
    deal = loop.beta.put("deals", {"name": "Big", "stage": "Open"})
    tie = {"from_object": "deals", "from_id": deal, "to_object": "prospects", "to_ids": [prospect]}
    loop.beta.put("deal_contacts", tie)
    operations, left = planned(loop, run=run, object="prospects")
    assert operations == []
    assert [entry.why for entry in left] == ["it is in a deal"]


def test_a_record_that_was_there_before_is_not_put_away(loop: Loop) -> None:
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief"})
    loop.sync()
    hidden = loop.beta.put("prospects", {"email": "ana@x.io", "first": "Anna"})
    loop.beta.rows["prospects"][hidden].version = "2000-01-01T00:00:00.000000Z"  # no pull brings it
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    run = loop.sync().run
    assert len(loop.beta.all("prospects")) == 1
    operations, left = planned(loop, run=run, object="prospects")
    assert operations == []
    assert "may have been there before" in left[0].why


def test_an_opt_out_is_not_taken_back(loop: Loop) -> None:
    ours, theirs = pair(loop, consent="subscribed")
    loop.beta.edit("contacts", theirs, {"opted_out": "true"})
    run = loop.settled()[0].run
    assert loop.alpha.rows["contacts"][ours].values["consent"] == "unsubscribed"
    operations, left = planned(loop, run=run, connection="alpha")
    assert "email_consent" not in {change.field for op in operations for change in op.changes}
    assert [(entry.field, entry.why) for entry in left] == [
        ("email_consent", "an opt-out is not taken back by a program")
    ]


def test_a_stage_that_is_given_back_is_said_to_go_backwards(loop: Loop) -> None:
    ana = handed(loop)
    loop.alpha.edit("contacts", ana, {"stage": "lead"})
    run = loop.settled()[0].run
    assert loop.alpha.rows["contacts"][ana].values["stage"] == "sales_qualified"
    assert not any(write.backwards for write in loop.alpha.writes)
    undo(loop, run=run, connection="alpha")
    assert loop.alpha.rows["contacts"][ana].values["stage"] == "lead"
    assert loop.alpha.writes[-1].backwards == {"stage"}


def test_a_lost_answer_of_an_undo_is_no_persons_edit(loop: Loop) -> None:
    ours, theirs = pair(loop)
    run = loop.sync().run
    loop.beta.lose_answers = 1
    report = undo(loop, run=run)
    assert report.counts["write"]["beta"]["contacts"]["parked"] == 1
    assert holds(loop, theirs)["title"] == "Clerk"
    assert quiet(loop)
    assert loop.alpha.rows["contacts"][ours].values["title"] == "Chief"
    assert holds(loop, theirs)["title"] == "Clerk"


def test_an_undo_whose_record_moves_meanwhile_is_stale(loop: Loop) -> None:
    _, theirs = pair(loop)
    operations, _ = planned(loop, run=loop.sync().run)
    loop.beta.edit("contacts", theirs, {"title": "Boss"})
    with loop.workspace.state.read() as tx:
        plan = planfile.Plan(loop.workspace.now(), planfile.state_id(tx), operations)
    assert len(planfile.apply(loop.workspace, plan, Runner(loop.workspace), command="undo", choice="x").stale) == 1
    assert holds(loop, theirs)["title"] == "Boss"


def test_an_unknown_run_is_told(loop: Loop) -> None:
    with loop.workspace.state.read() as tx, pytest.raises(Misconfigured, match="no such run"):
        connections_of(tx, Chosen(run="run_nothing"))


@pytest.mark.parametrize("seed", range(6))
def test_undo_after_apply_is_nothing(loop: Loop, seed: int) -> None:
    """The law: after any history, a run and its undo leave the platforms as they were, and nothing more is written."""
    rng = random.Random(seed)
    people = [pair_of(loop, number, rng) for number in range(6)]
    loop.settled()
    for _ in range(rng.randrange(1, 4)):
        for ours, theirs in people:
            if rng.random() < 0.6:
                side, record = rng.choice([(loop.alpha, ours), (loop.beta, theirs)])
                side.edit("contacts", record, edit(rng))
            loop.clock.advance(rng.randrange(1, 4))
        if rng.random() < 0.5:
            loop.settled()
    before = snapshot(loop)
    run = loop.sync().run
    undo(loop, run=run)
    assert snapshot(loop) == before
    assert quiet(loop)
    assert snapshot(loop) == before


def pair_of(loop: Loop, number: int, rng: random.Random) -> tuple[str, str]:
    made = []
    for side in rng.sample([loop.alpha, loop.beta], 2):
        made.append((side, side.put("contacts", {"email": f"p{number}@x.io", **edit(rng)})))
        loop.clock.advance(1)
    made.sort(key=lambda pair: pair[0] is loop.beta)
    return made[0][1], made[1][1]


def edit(rng: random.Random) -> dict[str, Any]:
    drawn = {"first": f"F{rng.randrange(1000)}", "title": f"T{rng.randrange(1000)}", "phone": "+4930" + "1" * 6}
    names = rng.sample(sorted(drawn), rng.randrange(1, 4))
    return {name: (None if name == "title" and rng.random() < 0.3 else drawn[name]) for name in names}


def snapshot(loop: Loop) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.values.items() if value is not None}
        for side in (loop.alpha, loop.beta)
        for row in side.rows["contacts"].values()
        if row.gone is None
    ]
