"""A few records that are told older than they are known are no account that was rolled back: a person is asked of each.

No index lags so long. Somebody restored a record, or the time that it had borne was one that no clock had shown yet.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from config.clock import stamp
from sync.conflicts import Answer, answer, listed
from sync.pull import pull_object
from sync.runs import Report
from tests.engine.conftest import Loop
from tests.engine.deals import Deals, ana, both, deal, values
from tests.engine.memory import Memory, MemoryConnector
from tests.engine.test_rollback import HOUR, loop_back, run, titles

__all__ = ["both", "loop_back"]


def asked(loop: Loop) -> list[dict[str, Any]]:
    with loop.workspace.state.read() as tx:
        return listed(tx)


def restored(loop: Loop, where: Memory, record: str, **values: str) -> Report:
    """Alpha's record of a person is as it was before somebody gave them these values on a record of `where`."""
    kept = deepcopy(loop.alpha.rows["contacts"]["a0"])
    loop.clock.advance(2 * HOUR)
    where.edit("contacts", record, values)
    loop.settled()
    loop.clock.advance(2 * HOUR)
    loop.alpha.rows["contacts"]["a0"] = kept
    return run(loop, "backfill")


@pytest.mark.parametrize(("take", "title"), [("alpha/contacts/a0", "Clerk"), ("beta/contacts/b0", "Chief")])
def test_one_record_that_is_told_older_is_asked_about(loop_back: Loop, take: str, title: str) -> None:
    assert restored(loop_back, loop_back.beta, "b0", title="Chief").state == "done"
    [question] = asked(loop_back)
    assert (question["field"], question["why"]) == ("title", "older")
    assert {option["value"] for option in question["options"]} == {"Clerk", "Chief"}
    run(loop_back, "backfill")
    assert [row["id"] for row in asked(loop_back)] == [question["id"]]
    with loop_back.workspace.state.begin() as tx:
        answer(tx, loop_back.workspace, question["id"], Answer(take=take))
    loop_back.settled()
    assert titles(loop_back) == {("Clerk", "Clerk"), (title, title)}
    assert run(loop_back, "backfill").counts["write"] == {}


def test_its_opt_out_is_put_back_without_a_question(loop_back: Loop) -> None:
    restored(loop_back, loop_back.alpha, "a0", consent="unsubscribed")
    loop_back.settled()
    assert loop_back.alpha.rows["contacts"]["a0"].values["consent"] == "unsubscribed"
    assert asked(loop_back) == []


def pulled(loop: Loop, name: str = "alpha") -> None:
    """What a run leaves that dies between its pull of a connection and its decisions."""
    known = loop.workspace
    mapped = known.mapped(name)["contacts"]
    pull_object(known.state, known.connector(name), mapped, name, run="run_x", now=known.now)


def said_and_lost(loop: Loop, id: str, title: str, then: str = "") -> Report:
    """Somebody gives a record of alpha this title, and `then` beta's another; both are stored, and nothing is decided.
    Then alpha's is as it was."""
    kept = deepcopy(loop.alpha.rows["contacts"][id])
    kept.values.setdefault("title", None)
    loop.clock.advance(2 * HOUR)
    loop.alpha.edit("contacts", id, {"title": title})
    pulled(loop)
    if then:
        loop.clock.advance(60)
        loop.beta.edit("contacts", "b0", {"title": then})
        pulled(loop, "beta")
    loop.clock.advance(2 * HOUR)
    loop.alpha.rows["contacts"][id] = kept
    return run(loop, "backfill")


@pytest.mark.parametrize("always", [False, True])
def test_a_value_that_no_other_record_was_sent_yet_may_be_taken(loop_back: Loop, always: bool) -> None:
    said_and_lost(loop_back, "a0", "Boss")
    [question] = asked(loop_back)
    told = {(option["source"], option["value"]) for option in question["options"]}
    assert told == {("alpha/contacts/a0", "Clerk"), ("beta/contacts/b0", "Clerk"), ("lost:alpha/contacts/a0", "Boss")}
    run(loop_back, "backfill")
    assert [row["options"] for row in asked(loop_back)] == [question["options"]]
    with loop_back.workspace.state.begin() as tx:
        answer(tx, loop_back.workspace, question["id"], Answer(take="lost:alpha/contacts/a0", always=always))
    loop_back.settled()
    assert ("Boss", "Boss") in titles(loop_back)
    assert (asked(loop_back), run(loop_back, "backfill").counts["write"]) == ([], {})


def test_what_else_was_lost_of_it_since_may_be_taken_too(loop_back: Loop) -> None:
    """The question stands while a record of the other side is told older as well."""
    said_and_lost(loop_back, "a0", "Boss")
    kept = deepcopy(loop_back.beta.rows["contacts"]["b0"])
    loop_back.clock.advance(2 * HOUR)
    loop_back.beta.edit("contacts", "b0", {"title": "Head"})
    run(loop_back)
    loop_back.clock.advance(2 * HOUR)
    loop_back.beta.rows["contacts"]["b0"] = kept
    run(loop_back, "backfill")
    [question] = asked(loop_back)
    assert {option["value"] for option in question["options"]} == {"Clerk", "Boss", "Head"}


def test_a_value_that_was_overtaken_by_then_may_not(loop_back: Loop) -> None:
    said_and_lost(loop_back, "a0", "Boss", then="Chief")
    [question] = asked(loop_back)
    assert {option["value"] for option in question["options"]} == {"Clerk", "Chief"}


def test_a_value_is_kept_over_a_blank_that_says_nothing(loop_back: Loop) -> None:
    path = loop_back.folder / "mappings/alpha.yaml"
    path.write_text(path.read_text().replace("title, direction: both, on_blank: clear", "title, direction: both"))
    loop_back.reopen()
    loop_back.beta.put("contacts", {"email": "new@x.io"}, id="new")
    loop_back.settled()
    [id] = [id for id, row in loop_back.alpha.rows["contacts"].items() if row.values["email"] == "new@x.io"]
    said_and_lost(loop_back, id, "Boss")
    loop_back.settled()
    assert asked(loop_back) == []
    assert loop_back.beta.rows["contacts"]["new"].values["title"] == "Boss"
    assert loop_back.alpha.rows["contacts"][id].values["title"] == "Boss"


@pytest.mark.parametrize("before", [None, "lead"])
def test_a_stage_that_nothing_was_decided_of_is_put_back_where_no_record_has_any(
    loop_back: Loop, before: str | None
) -> None:
    """A run had died between its pull and its decisions; the record was restored to when it had no stage yet."""
    kept = deepcopy(loop_back.alpha.rows["contacts"]["a0"])
    kept.values["stage"] = None
    loop_back.clock.advance(2 * HOUR)
    if before:
        loop_back.alpha.edit("contacts", "a0", {"stage": before})
        loop_back.settled()
        loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.edit("contacts", "a0", {"stage": "opportunity"})
    pulled(loop_back)
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows["contacts"]["a0"] = kept
    run(loop_back, "backfill")
    loop_back.settled()
    assert loop_back.alpha.rows["contacts"]["a0"].values["stage"] == "opportunity"
    assert (asked(loop_back), run(loop_back, "backfill").counts["write"]) == ([], {})


def test_an_opt_out_of_somebody_who_was_no_lead_yet_is_put_back(loop_back: Loop) -> None:
    """All writes wait until it is known whose it was."""
    alpha = loop_back.alpha
    alpha.put("contacts", {"email": "new@x.io", "consent": "subscribed"}, id="new")
    pulled(loop_back)
    kept = deepcopy(alpha.rows["contacts"]["new"])
    loop_back.clock.advance(2 * HOUR)
    alpha.edit("contacts", "new", {"consent": "unsubscribed"})
    pulled(loop_back)
    loop_back.clock.advance(2 * HOUR)
    alpha.rows["contacts"]["new"] = kept
    report = run(loop_back, "backfill")
    assert (sorted(report.held), report.counts["write"]) == (["alpha", "beta"], {})
    loop_back.settled()
    assert alpha.rows["contacts"]["new"].values["consent"] == "unsubscribed"
    assert run(loop_back, "backfill").held == {}


def test_an_edit_after_one_whose_time_was_ahead_is_asked_about_once_that_has_come(loop_back: Loop) -> None:
    loop_back.alpha.edit("contacts", "a0", {"title": "Head"})
    loop_back.alpha.rows["contacts"]["a0"].version = stamp(loop_back.clock.now().replace(hour=23))
    loop_back.settled()
    assert ("Head", "Head") in titles(loop_back)
    loop_back.clock.advance(60)
    loop_back.alpha.edit("contacts", "a0", {"title": "Boss"})
    loop_back.clock.advance(48 * HOUR)
    run(loop_back, "backfill")
    [question] = asked(loop_back)
    assert {option["value"] for option in question["options"]} == {"Boss", "Head"}


def a_deal_restored(both: Deals) -> tuple[str, Report]:
    """A deal of beta that was of 900, then of 950, and is of 900 again by a restored backup."""
    home = deal(both, ana(both)[1])
    kept = deepcopy(both.beta.rows["deals"][home])
    both.settled()
    both.clock.advance(2 * HOUR)
    both.beta.edit("deals", home, {"amount": "950"})
    both.settled()
    assert both.mine()[0]["worth"] == "950"
    both.clock.advance(2 * HOUR)
    both.beta.rows["deals"][home] = kept
    return home, run(both, "backfill")


def test_a_deal_that_is_told_older_is_what_its_home_shows(both: Deals) -> None:
    home, report = a_deal_restored(both)
    assert (report.state, asked(both)) == ("done", [])
    both.settled()
    assert (both.mine()[0]["worth"], values(both)["open_amount"]["amount"]) == ("900", "900")
    both.beta.edit("deals", home, {"amount": "970"})
    both.settled()
    assert both.mine()[0]["worth"] == "970"
    assert run(both, "backfill").counts["write"] == {}


def test_a_copy_that_is_told_older_is_written_anew(both: Deals) -> None:
    home = deal(both, ana(both)[1])
    both.settled()
    [copy] = both.alpha.rows["deals"]
    kept = deepcopy(both.alpha.rows["deals"][copy])
    both.clock.advance(2 * HOUR)
    both.beta.edit("deals", home, {"amount": "950"})
    both.settled()
    both.clock.advance(2 * HOUR)
    both.alpha.rows["deals"][copy] = kept
    run(both, "backfill")
    both.settled()
    assert (both.mine()[0]["worth"], values(both)["open_amount"]["amount"]) == ("950", "950")


def test_a_deal_that_only_a_listing_tells_older_is_what_it_is_when_it_is_asked_for(
    both: Deals, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = deal(both, ana(both)[1])
    kept = deepcopy(both.beta.rows["deals"][home])
    both.clock.advance(2 * HOUR)
    both.beta.edit("deals", home, {"amount": "950"})
    both.settled()
    both.clock.advance(2 * HOUR)
    now, both.beta.rows["deals"][home] = both.beta.rows["deals"][home], kept
    read = MemoryConnector.read

    def asked_for(of: MemoryConnector, object: str, key: str, *more: Any) -> Any:
        if key == "id" and object == "deals" and of.memory is both.beta:
            both.beta.rows["deals"][home] = now
        return read(of, object, key, *more)

    monkeypatch.setattr(MemoryConnector, "read", asked_for)
    run(both, "backfill")
    both.settled()
    assert both.mine()[0]["worth"] == "950"
