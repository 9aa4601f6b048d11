"""A person changes a mapping: what its new form says is carried through, and nothing is emptied by it."""

from __future__ import annotations

import pytest

from connectors.api import Verb
from sync.conflicts import listed
from sync.drift import frozen
from sync.runs import Options, Runner
from sync.state.schema import meta
from tests.engine.conftest import Loop

TITLE = "      - {remote: title, field: title, direction: both, on_blank: clear}\n"


@pytest.fixture(autouse=True)
def _past_the_first_run(loop: Loop) -> None:
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])


def remap(loop: Loop, old: str, new: str, name: str = "alpha") -> None:
    """Somebody writes another entry into a connection's mapping, and the program starts again."""
    path = loop.folder / "mappings" / f"{name}.yaml"
    told = path.read_text()
    assert old in told
    path.write_text(told.replace(old, new, 1))
    loop.reopen()


def known(loop: Loop, title: str | None) -> tuple[str, str]:
    """Somebody who is known on both sides, whose title only alpha may have had."""
    theirs = loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": None})
    loop.clock.advance(5)
    ours = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": title})
    return ours, theirs


def titles(loop: Loop) -> list[object]:
    every = [memory.all("contacts") for memory in (loop.alpha, loop.beta)]
    return [next(row for row in rows if row["email"] == "ana@x.io").get("title") for rows in every]


def test_an_entry_that_goes_both_ways_now_is_written_though_no_record_changed(loop: Loop) -> None:
    remap(loop, TITLE, TITLE.replace("both", "pull"))
    ours, _ = known(loop, None)
    loop.settled()
    loop.clock.advance(10)
    loop.beta.edit("contacts", next(iter(loop.beta.rows["contacts"])), {"title": "Chief"})
    loop.settled()
    assert titles(loop) == [None, "Chief"]
    remap(loop, TITLE.replace("both", "pull"), TITLE)
    loop.settled()
    assert loop.alpha.rows["contacts"][ours].values["title"] == "Chief"


@pytest.mark.parametrize("between", [True, False])
def test_a_field_that_takes_anothers_place_empties_nothing(loop: Loop, between: bool) -> None:
    """Nor does one that comes back blank; and once all of it was read, a blank is a person's again."""
    ours, _ = known(loop, "Chief")
    loop.settled()
    assert titles(loop) == ["Chief", "Chief"]
    other = TITLE.replace("remote: title", "remote: job")
    if between:
        remap(loop, TITLE, "")
        loop.settled()
        loop.alpha.edit("contacts", ours, {"title": None})
        remap(loop, "      - {remote: phone", f"{TITLE}      - {{remote: phone")
    else:
        loop.alpha.edit("contacts", ours, {"job": None})
        remap(loop, TITLE, other)
    loop.settled()
    read = "title" if between else "job"
    assert loop.beta.all("contacts")[0]["title"] == "Chief"
    assert loop.alpha.rows["contacts"][ours].values[read] == "Chief"
    loop.clock.advance(60)
    loop.alpha.edit("contacts", ours, {read: None})
    loop.settled()
    assert loop.beta.all("contacts")[0]["title"] is None


@pytest.mark.parametrize("whose", ["the mapping's", "the account's"])
def test_nor_where_an_index_that_lags_left_the_record_out_when_all_was_read(loop: Loop, whose: str) -> None:
    """It is told an hour later at the latest, and until then all has not been read."""
    project = loop.folder / "closedloop.yaml"
    project.write_text(project.read_text() + "\nguards: {describe_every: 1s}\n")
    loop.reopen()
    ours, _ = known(loop, "Chief")
    loop.alpha.put("contacts", {"email": "bob@x.io"})
    loop.settled()
    without = "      - {remote: phone"
    if whose == "the mapping's":
        remap(loop, TITLE, "")
    else:
        loop.alpha.schema["contacts"] = ["email", "first", "phone", "source", "stage", "consent", "customer_since"]
    loop.clock.advance(60)
    loop.settled()
    loop.clock.advance(60)
    loop.alpha.schema.clear()
    loop.alpha.edit("contacts", ours, {"title": None})
    if whose == "the mapping's":
        remap(loop, without, f"{TITLE}{without}")
    row = loop.alpha.rows["contacts"].pop(ours)
    loop.sync()
    loop.alpha.rows["contacts"][ours] = row
    loop.clock.advance(1800)
    for _ in range(2):
        Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    assert titles(loop) == ["Chief", "Chief"]
    loop.clock.advance(60)
    loop.alpha.edit("contacts", ours, {"title": None})
    loop.settled()
    assert titles(loop)[0] is None


@pytest.mark.parametrize("title", ["Chief", None])
def test_nor_does_it_where_what_was_written_to_the_other_is_in_doubt(loop: Loop, title: str | None) -> None:
    """A blank in what was not read yet is nobody's answer to the write, nor anything to ask about."""
    ours, theirs = known(loop, title)
    loop.settled()
    loop.clock.advance(10)
    loop.beta.edit("contacts", theirs, {"title": "Boss"})
    loop.alpha.lose_answers = 1
    loop.sync()
    loop.alpha.edit("contacts", ours, {"job": None})
    remap(loop, TITLE, TITLE.replace("remote: title", "remote: job"))
    loop.settled()
    assert (loop.alpha.all("contacts")[0]["job"], loop.beta.all("contacts")[0]["title"]) == ("Boss", "Boss")
    with loop.workspace.state.read() as tx:
        assert listed(tx) == []


def test_a_field_that_is_gone_is_found_gone_where_its_entry_is_put_back(loop: Loop) -> None:
    """Though the account was asked for its fields not long ago: nothing is written to it."""
    known(loop, "Chief")
    loop.settled()
    remap(loop, TITLE, "")
    loop.settled()
    loop.alpha.schema["contacts"] = ["email", "first", "phone", "source", "stage", "consent", "customer_since"]
    remap(loop, "      - {remote: phone", f"{TITLE}      - {{remote: phone")
    loop.beta.edit("contacts", next(iter(loop.beta.rows["contacts"])), {"title": "Boss"})
    written = len(loop.alpha.writes)
    loop.settled()
    with loop.workspace.state.read() as tx:
        assert frozen(tx, ["alpha"]) == {"alpha": {"contacts": ["title"]}}
    later = loop.alpha.writes[written:]
    assert not any("title" in one.values for one in later if one.verb is Verb.UPDATE)


def test_a_changed_rule_decides_all_leads_anew(loop: Loop) -> None:
    """A question of a field that was asked about goes away; and no run finds anything to do twice."""
    loop.rule("title", "ask")
    loop.beta.put("contacts", {"email": "ana@x.io", "title": "Buyer"})
    loop.clock.advance(5)
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Clerk"})
    loop.settled()
    assert titles(loop) == ["Clerk", "Buyer"]
    loop.rule("title", "prefer, order: [beta]")
    loop.settled()
    assert titles(loop) == ["Buyer", "Buyer"]
    with loop.workspace.state.read() as tx:
        assert listed(tx) == []
    loop.rule("title", "")
    loop.settled()
    assert titles(loop) == ["Buyer", "Buyer"]


def test_a_changed_rule_is_carried_to_where_a_field_goes_one_way(loop: Loop) -> None:
    """And back again."""
    remap(loop, TITLE, TITLE.replace("both", "pull"))
    known(loop, "Clerk")
    loop.clock.advance(5)
    loop.settled()
    loop.clock.advance(5)
    loop.beta.edit("contacts", next(iter(loop.beta.rows["contacts"])), {"title": "Chief"})
    loop.settled()
    assert titles(loop) == ["Clerk", "Chief"]
    loop.rule("title", "prefer, order: [alpha]")
    loop.settled()
    assert titles(loop) == ["Clerk", "Clerk"]
