"""Every write is accounted for: refused, lost, rewritten, repeated."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from config.errors import InDoubt
from connectors.api import Operation
from sync.planning import plan_batches
from sync.push import send
from sync.replay import replay
from sync.runs import Options, Runner
from sync.state.schema import journal, meta, quarantine
from tests.engine.conftest import Loop
from tests.engine.memory import rejected, unreachable


@pytest.fixture(autouse=True)
def _past_the_first_run(loop: Loop) -> None:
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])


def pair(loop: Loop, **mine: object) -> tuple[str, str]:
    """One person on both sides, alpha's record the newer one."""
    theirs = loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ann", "title": "Clerk", "phone": "030 1"})
    loop.clock.advance(5)
    ours = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief", **mine})
    return ours, theirs


def test_a_refused_field_does_not_hold_up_the_others(loop: Loop) -> None:
    _, theirs = pair(loop)
    loop.beta.refuse = lambda op: rejected("title", "too_long") if "title" in op.values else None
    loop.sync()
    row = loop.beta.rows["contacts"][theirs].values
    assert (row["first"], row["title"]) == ("Ana", "Clerk")
    with loop.workspace.state.read() as tx:
        [entry] = tx.execute(select(quarantine).where(quarantine.c.state == "open"))
    assert (entry.field, entry.code, entry.connection) == ("title", "too_long", "beta")
    assert loop.sync().counts["write"] == {}


def test_a_refused_write_that_is_let_go_waits_for_what_its_lead_has_yet_to_become(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run died when it had stored an edit, and nothing was decided of it yet."""
    ours, theirs = pair(loop)
    loop.beta.refuse = lambda op: rejected("title", "too_long") if "title" in op.values else None
    loop.sync()
    loop.alpha.edit("contacts", ours, {"title": "Boss"})

    def dies(*told: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr("sync.decide.merge_batch", dies)
        with pytest.raises(Died):
            loop.sync()
    with loop.workspace.state.read() as tx:
        replay(loop.workspace, tx.execute(select(quarantine.c.id)).scalars().all())
    loop.beta.refuse = lambda operation: None
    loop.sync()
    assert loop.alpha.rows["contacts"][ours].values["title"] == "Boss"
    assert loop.beta.rows["contacts"][theirs].values["title"] == "Boss"


def test_what_a_run_has_written_already_is_not_sent_again_by_it(loop: Loop) -> None:
    """Nor is a connector called for nothing."""
    pair(loop)
    loop.sync(push=False)
    runner = Runner(loop.workspace)
    run = runner.open("sync", ("alpha", "beta"), Options())
    planned = [operation for batch in plan_batches(loop.workspace, run) for operation in batch.operations]
    with runner._attempt(run) as attempt:
        assert send(loop.workspace, attempt.ledger, planned) == {}
        assert send(loop.workspace, attempt.ledger, planned) == {}
        assert attempt.ledger.total("write", "parked") == len(planned) > 0
    assert len(loop.alpha.writes) + len(loop.beta.writes) == len(planned)


def test_a_record_whose_id_changes_with_its_address_is_no_second_one(loop: Loop) -> None:
    """Nor is who is given the old address, and the old id with it, taken for the one who had it."""
    loop.know_by_address()
    who = {}
    for name in ("ana", "bob"):
        loop.beta.put("contacts", {"email": f"{name}@x.io", "first": name})
        who[name] = loop.alpha.put("contacts", {"email": f"{name}@x.io", "first": name})
    loop.settled()
    for name, address in (("ana", "new@x.io"), ("bob", "ana@x.io")):
        loop.clock.advance(5)
        loop.alpha.edit("contacts", who[name], {"email": address})
        told = loop.sync().counts["write"]["beta"]["contacts"]
        assert (told["planned"], told["applied"]) == (1, 1)
    loop.clock.advance(5)
    loop.beta.edit("contacts", "ana@x.io", {"title": "Chief"})
    loop.settled()
    rows = {id: (row.values["first"], row.values.get("title")) for id, row in loop.beta.rows["contacts"].items()}
    assert rows == {"new@x.io": ("ana", None), "ana@x.io": ("bob", "Chief")}
    assert loop.alpha.rows["contacts"][who["bob"]].values["title"] == "Chief"
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(quarantine)).all() == []


def test_a_refused_value_is_tried_again_when_it_changes(loop: Loop) -> None:
    ours, theirs = pair(loop)
    loop.beta.refuse = lambda op: rejected("title") if op.values.get("title") == "Chief" else None
    loop.sync()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ours, {"title": "Head"})
    loop.settled()
    assert loop.beta.rows["contacts"][theirs].values["title"] == "Head"
    with loop.workspace.state.read() as tx:
        assert [row.state for row in tx.execute(select(quarantine))] == ["resolved"]


def test_a_value_that_was_refused_of_a_record_that_was_to_be_made_is_told_of_that_record(loop: Loop) -> None:
    """Once it is there, and no more of one that is not; and is over when another goes through."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    loop.beta.refuse = lambda op: rejected("title", "too_long") if "title" in op.values else None
    loop.sync()
    loop.settled()
    [made] = loop.beta.rows["prospects"]

    def told() -> set[tuple[str, str]]:
        with loop.workspace.state.read() as tx:
            rows = tx.execute(select(quarantine).where(quarantine.c.state == "open"))
            return {(row.record, row.field) for row in rows}

    assert told() == {(made, "title")}
    loop.beta.refuse = lambda op: None
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ana, {"title": "Boss"})
    loop.settled()
    assert told() == set()


def test_a_lost_answer_is_looked_up_and_not_sent_again(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    ana = next(iter(loop.alpha.rows["contacts"]))
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    loop.beta.lose_answers = 1
    report = loop.sync()
    assert report.counts["write"]["beta"]["prospects"]["parked"] == 1
    loop.settled()
    assert len(loop.beta.all("prospects")) == 1
    assert len([op for op in loop.beta.writes if op.object == "prospects"]) == 1
    assert len(loop.beta.all("tasks")) == 1


class Died(BaseException):
    """The process ends here."""


@dataclass
class Slow:
    """A platform that takes a minute for each prospect, and gives no answer to the second, which it makes later."""

    loop: Loop
    dies: bool = False
    late: list[Operation] = field(default_factory=list)
    seen: int = 0

    def __call__(self, operation: Operation) -> InDoubt | None:
        if operation.object != "prospects":
            return None
        self.loop.clock.advance(60)
        self.seen += 1
        if self.seen != 2:
            return None
        self.late.append(operation)
        if self.dies:
            raise Died
        return InDoubt("No answer came.")

    def at_last(self) -> None:
        for operation in self.late:
            self.loop.beta.put("prospects", dict(operation.values))
        self.late.clear()


def two_ready(loop: Loop) -> None:
    for name in ("ana", "bob"):
        person = loop.alpha.put("contacts", {"email": f"{name}@x.io", "title": "Chief"})
        loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person})


def soon(loop: Loop) -> None:
    loop.clock.advance(10)
    Runner(loop.workspace).run("sync", ("alpha", "beta"), Options(approve=True))


def test_the_last_of_many_is_in_doubt_from_when_it_was_sent(loop: Loop) -> None:
    """It was meant two minutes before, when the first of them was."""
    two_ready(loop)
    loop.beta.refuse = slow = Slow(loop)
    loop.sync()
    soon(loop)
    slow.at_last()
    loop.settled()
    assert sorted(row["email"] for row in loop.beta.all("prospects")) == ["ana@x.io", "bob@x.io"]


def test_what_a_process_died_over_is_in_doubt_from_when_that_is_seen(loop: Loop) -> None:
    """When it left nobody knows: perhaps just before."""
    two_ready(loop)
    loop.beta.refuse = slow = Slow(loop, dies=True)
    with pytest.raises(Died):
        loop.sync()
    soon(loop)
    slow.at_last()
    loop.settled()
    assert sorted(row["email"] for row in loop.beta.all("prospects")) == ["ana@x.io", "bob@x.io"]


def test_what_never_comes_is_sent_again_in_the_end(loop: Loop) -> None:
    two_ready(loop)
    loop.beta.refuse = Slow(loop)
    loop.settled()
    loop.settled()
    assert sorted(row["email"] for row in loop.beta.all("prospects")) == ["ana@x.io", "bob@x.io"]


def test_an_unreachable_platform_is_tried_again_by_the_next_run(loop: Loop) -> None:
    _, theirs = pair(loop)
    loop.beta.refuse = lambda op: unreachable()
    report = loop.sync()
    assert report.state == "failed"
    assert report.counts["write"]["beta"]["contacts"]["held"] == 1
    loop.beta.refuse = lambda op: None
    loop.settled()
    assert loop.beta.rows["contacts"][theirs].values["first"] == "Ana"


def test_what_the_platform_rewrites_is_not_fought_over(loop: Loop) -> None:
    _, theirs = pair(loop)
    loop.beta.rewrite = lambda values: {k: str(v).upper() if k == "title" else v for k, v in values.items()}
    reports = loop.settled()
    assert loop.beta.rows["contacts"][theirs].values["title"] == "CHIEF"
    assert loop.alpha.all("contacts")[0]["title"] == "Chief"
    assert reports[-1].counts["write"] == {}


def test_a_rewrite_seen_only_in_the_echo_is_no_edit(loop: Loop) -> None:
    _, theirs = pair(loop)
    loop.beta.returns_records = False
    loop.beta.rewrite = lambda values: {k: str(v).upper() if k == "title" else v for k, v in values.items()}
    loop.settled()
    assert loop.beta.rows["contacts"][theirs].values["title"] == "CHIEF"
    assert loop.alpha.all("contacts")[0]["title"] == "Chief"


ROUNDED = (
    ("annual_revenue", ", transform: [{money: EUR}]", "1234.56", "1235"),
    ("annual_revenue", ", transform: [{money: EUR}]", "12.345", 12.35),
    ("postal_code", "", "12.50", 12.5),
    ("email_consent_at", ", transform: [{datetime: seconds}]", "2026-03-01T23:30:00.000Z", "2026-03-02"),
    ("email_consent_at", ", transform: [{datetime: seconds}]", "2026-02-27T10:20:30.000Z", "2026-02-27T11:20:30Z"),
)


@pytest.mark.parametrize("returns", [True, False])
@pytest.mark.parametrize(("name", "read", "given", "kept"), ROUNDED)
def test_a_number_or_a_time_that_a_platform_rounds_does_not_go_back(
    loop: Loop, name: str, read: str, given: str, kept: object, returns: bool
) -> None:
    """Nor is it written again. Whoever gives another value there is heard."""
    for of in ("alpha", "beta"):
        path = loop.folder / "mappings" / f"{of}.yaml"
        line = "      - {remote: title, field: title, direction: both, on_blank: clear}\n"
        path.write_text(
            path.read_text().replace(line, f"{line}      - {{remote: x, field: {name}, direction: both{read}}}\n")
        )
    loop.reopen()
    ours, theirs = pair(loop, x=given)
    loop.beta.returns_records = returns
    loop.beta.rewrite = lambda values: {**values, **({"x": kept} if "x" in values else {})}
    loop.settled()
    assert loop.beta.rows["contacts"][theirs].values["x"] == kept
    loop.clock.advance(10)
    loop.beta.edit("contacts", theirs, {"first": "Anna"})
    loop.settled()
    assert loop.alpha.rows["contacts"][ours].values["x"] == given
    assert loop.alpha.rows["contacts"][ours].values["first"] == "Anna"
    assert sum("x" in operation.values for operation in loop.beta.writes) == 1
    assert not any("x" in operation.values for operation in loop.alpha.writes)
    loop.clock.advance(10)
    other = "2026-03-04T05:06:07.000Z" if name == "email_consent_at" else "777"
    loop.beta.edit("contacts", theirs, {"x": other})
    loop.settled()
    assert str(loop.alpha.rows["contacts"][ours].values["x"])[:16] == other[:16]


def test_what_a_platform_fills_in_a_record_that_it_makes_is_heard_with_its_answer(loop: Loop) -> None:
    """The run that made it takes it on: until a pull tells of it, another write could go over it."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    loop.beta.rewrite = lambda values: {"phone": "+49301", **values}
    loop.sync()
    assert [row["phone"] for row in loop.beta.all("prospects")] == ["+49301"]
    assert loop.alpha.rows["contacts"][ana].values["phone"] == "+49301"


def test_every_write_is_in_the_journal_with_before_after_and_why(loop: Loop) -> None:
    pair(loop)
    loop.sync()
    with loop.workspace.state.read() as tx:
        rows = list(tx.execute(select(journal).where(journal.c.connection == "beta", journal.c.object == "contacts")))
    assert {row.state for row in rows} == {"settled"}
    assert '"first_name":"Ann"' in rows[0].before
    assert '"first_name":"Ana"' in rows[0].after
    assert "alpha/contacts" in rows[0].reasons


def test_newer_edits_go_both_ways_field_by_field(loop: Loop) -> None:
    ours, theirs = pair(loop)
    loop.settled()
    loop.clock.advance(10)
    loop.beta.edit("contacts", theirs, {"title": "Boss"})
    loop.alpha.edit("contacts", ours, {"first": "Anna"})
    loop.settled()
    for row in (loop.alpha.rows["contacts"][ours].values, loop.beta.rows["contacts"][theirs].values):
        assert (row["first"], row["title"]) == ("Anna", "Boss")


def test_a_clearing_travels_and_an_unset_blank_does_not(loop: Loop) -> None:
    ours, theirs = pair(loop)
    loop.settled()
    loop.clock.advance(10)
    loop.alpha.edit("contacts", ours, {"title": "", "first": ""})
    loop.settled()
    row = loop.beta.rows["contacts"][theirs].values
    assert row["title"] is None  # on_blank: clear
    assert row["first"] == "Ana"  # on_blank: ignore


def test_consent_only_tightens(loop: Loop) -> None:
    ours, theirs = pair(loop, consent="subscribed")
    loop.beta.edit("contacts", theirs, {"opted_out": "true"})
    loop.settled()
    assert loop.alpha.rows["contacts"][ours].values["consent"] == "unsubscribed"
    loop.clock.advance(10)
    loop.alpha.edit("contacts", ours, {"consent": "subscribed"})
    loop.beta.edit("contacts", theirs, {"opted_out": None})
    loop.settled()
    assert loop.beta.rows["contacts"][theirs].values["opted_out"] is None
