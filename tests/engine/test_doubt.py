"""Writes whose answers were lost, and what people did before they were looked up, or before an answer came."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from config.errors import InDoubt, RecordRejected
from connectors.api import Gone, Operation, Verb
from sync.conflicts import Answer, answer, listed
from sync.push import DOUBT
from sync.runs import Options, Runner
from sync.state.schema import quarantine
from tests.engine.conftest import Loop
from tests.engine.memory import unreachable
from tests.engine.test_writes import _past_the_first_run, pair
from tests.simulation.clocks import Watch

__all__ = ["_past_the_first_run"]


@pytest.fixture
def named(loop: Loop) -> Loop:
    """The loop where beta keeps our name of each lead, by a clock that is behind alpha's."""
    path = loop.folder / "mappings" / "beta.yaml"
    first = "      - {remote: first, field: first_name, direction: both}\n"
    path.write_text(
        path.read_text().replace(first, f"{first}      - {{remote: key, field: closedloop_id, direction: push}}\n")
    )
    loop.reopen()
    loop.beta.clock = Watch(loop.clock, -5000)
    return loop


def created_unheard(loop: Loop) -> tuple[str, str]:
    """Ana's contact, and the prospect that was made of it by a create whose answer was lost."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    loop.beta.lose_answers = 1
    loop.sync()
    [made] = loop.beta.rows["prospects"]
    return ana, made


def test_whoever_changed_what_a_create_in_doubt_gave_spoke_after_it(named: Loop) -> None:
    ana, made = created_unheard(named)
    named.beta.edit("prospects", made, {"title": "Boss"})
    named.settled()
    assert named.alpha.rows["contacts"][ana].values["title"] == "Boss"
    assert [row["title"] for row in named.beta.all("prospects")] == ["Boss"]


@pytest.mark.parametrize("lost", [0, 1])
def test_who_was_put_away_before_anybody_looked_and_is_brought_back_says_nothing_new(loop: Loop, lost: int) -> None:
    """The create was found undone, hours ago: what the record holds is our own word. So it is where the answer of the
    next one was lost, too, and the record that this one made holds another word by now."""
    path = loop.folder / "mappings" / "beta.yaml"
    first = "      - {remote: first, field: first_name, direction: both}\n"
    key = "      - {remote: key, field: closedloop_id, direction: both}\n"
    path.write_text(path.read_text().replace(first, first + key))
    loop.reopen()
    ana, made = created_unheard(loop)
    away = loop.beta.rows["prospects"].pop(made)
    loop.clock.advance(DOUBT + 60)
    loop.alpha.edit("contacts", ana, {"title": "Boss"})
    loop.beta.lose_answers = lost
    loop.settled()
    for _ in range(2):
        loop.clock.advance(2 * 3600)
        loop.sync()
    loop.beta.put("prospects", away.values, id=made)
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["title"] == "Boss"
    assert {row["title"] for row in loop.beta.all("prospects")} == {"Boss"}


def test_what_a_create_in_doubt_gave_is_a_persons_word_when_it_is_given_again(named: Loop) -> None:
    """The create is watched for an hour, and had given it once."""
    ana, made = created_unheard(named)
    for title in ("Boss", "Chief"):
        named.clock.advance(5)
        named.beta.edit("prospects", made, {"title": title})
        named.settled()
        assert named.alpha.rows["contacts"][ana].values["title"] == title
    assert [row["title"] for row in named.beta.all("prospects")] == ["Chief"]


def test_whoever_changed_what_an_update_in_doubt_gave_spoke_after_it(named: Loop) -> None:
    ours, theirs = pair(named)
    named.settled()
    named.alpha.edit("contacts", ours, {"title": "Head"})
    named.beta.lose_answers = 1
    named.sync()
    named.beta.edit("contacts", theirs, {"title": "Boss"})
    named.settled()
    for side in (named.alpha, named.beta):
        assert [row["title"] for row in side.all("contacts")] == ["Boss"]


def test_what_a_pull_brought_of_a_write_in_doubt_replaces_nothing_before_it_is_looked_up(
    named: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done between the look-up and the pull of a run that dies then, and the next run is not about that platform,
    whose clock is ahead: what it holds looks newest."""

    def dies(*told: object) -> None:
        raise KeyboardInterrupt

    named.beta.clock = Watch(named.clock, 5000)
    ours, _ = pair(named)
    named.settled()
    named.alpha.edit("contacts", ours, {"title": "Head"})
    named.beta.lose_answers = 1
    named.sync()
    named.alpha.edit("contacts", ours, {"title": "Boss"})
    with monkeypatch.context() as patch:
        patch.setattr("sync.steps.pull.recover", lambda *told: None)
        patch.setattr("sync.steps.push.recover", dies)
        with pytest.raises(KeyboardInterrupt):
            named.sync()
    report = named.sync(names=("alpha",))
    assert (report.state, report.counts["write"]) == ("done", {})
    assert named.alpha.rows["contacts"][ours].values["title"] == "Boss"
    named.settled()
    for side in (named.alpha, named.beta):
        assert [row["title"] for row in side.all("contacts")] == ["Boss"]


def readdressed(loop: Loop) -> str:
    """Ana's contact at alpha. Beta, where an address is all that a record is known by, was told another one, and its
    answer was lost; by now she has a third."""
    loop.know_by_address()
    ours, _ = pair(loop)
    loop.settled()
    loop.alpha.edit("contacts", ours, {"email": "new@x.io", "title": "Head"})
    loop.beta.lose_answers = 1
    loop.sync()
    loop.clock.advance(DOUBT)
    loop.alpha.edit("contacts", ours, {"email": "newer@x.io"})
    return ours


def test_a_record_whose_id_changed_with_an_address_in_doubt_is_no_second_one(loop: Loop) -> None:
    ours = readdressed(loop)
    loop.beta.edit("contacts", "new@x.io", {"title": "Boss"})
    loop.settled()
    assert list(loop.beta.rows["contacts"]) == ["newer@x.io"]
    assert loop.beta.rows["contacts"]["newer@x.io"].values["title"] == "Boss"
    assert loop.alpha.rows["contacts"][ours].values["title"] == "Boss"
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(quarantine)).all() == []


def test_who_has_that_address_and_has_not_opted_out_as_she_had_may_be_somebody_else(loop: Loop) -> None:
    """Her opt-out, of which nobody else was told yet, stands."""
    loop.know_by_address()
    ours, _ = pair(loop, consent="subscribed")
    loop.settled()
    loop.alpha.refuse = lambda operation: unreachable()
    loop.beta.edit("contacts", "ana@x.io", {"opted_out": "true"})
    loop.alpha.edit("contacts", ours, {"email": "new@x.io"})
    loop.beta.lose_answers = 1
    loop.sync()
    loop.beta.edit("contacts", "new@x.io", {"opted_out": None})
    loop.clock.advance(DOUBT)
    loop.alpha.refuse = lambda operation: None
    loop.settled()
    assert loop.alpha.rows["contacts"][ours].values["consent"] == "unsubscribed"


def test_who_has_that_address_and_is_known_by_it_already_is_no_other(loop: Loop) -> None:
    """Ana was given Bob's address at alpha, beta was told it and did nothing, her record there is deleted in silence,
    and Bob joins beta."""
    loop.know_by_address()
    ours, _ = pair(loop)
    loop.settled()
    loop.beta.refuse = lambda operation: RecordRejected("Not now.") if operation.verb is Verb.CREATE else None
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"})
    loop.sync()
    loop.alpha.edit("contacts", ours, {"email": "bob@x.io"})
    loop.beta.refuse = lambda operation: InDoubt("No answer.")
    loop.sync()
    del loop.beta.rows["contacts"]["ana@x.io"]
    loop.beta.put("contacts", {"email": "bob@x.io", "title": "Boss"})
    loop.clock.advance(DOUBT)
    loop.beta.refuse = lambda operation: None
    loop.settled()
    assert loop.alpha.rows["contacts"][ours].values["title"] != "Boss"
    assert loop.beta.rows["contacts"]["bob@x.io"].values.get("first") != "Ann"


@pytest.mark.parametrize("some_have_none", [False, True])
def test_who_has_that_address_is_somebody_else_where_ids_outlast_addresses(loop: Loop, some_have_none: bool) -> None:
    """The record is gone, and no listing tells: what is blank with who came by its new address was not cleared by
    anybody."""
    ours, theirs = pair(loop)
    loop.settled()
    if some_have_none:
        loop.know_by_address()
        loop.beta.by_address = False
    loop.alpha.edit("contacts", ours, {"email": "new@x.io"})
    loop.beta.lose_answers = 1
    loop.sync()
    del loop.beta.rows["contacts"][theirs]
    loop.beta.put("contacts", {"email": "new@x.io", "first": "Ana", "title": None, "phone": None, "number": 7})
    loop.clock.advance(DOUBT)
    loop.settled()
    assert loop.alpha.rows["contacts"][ours].values["title"] == "Chief"
    assert [row["title"] for row in loop.beta.all("contacts")] == ["Chief"]


def test_whoever_took_out_what_an_update_in_doubt_gave_spoke_after_it(named: Loop) -> None:
    """There was a value before: the blank is no doubt of the write's."""
    ours, theirs = pair(named)
    named.alpha.edit("contacts", ours, {"title": "Clerk"})
    named.settled()
    named.alpha.edit("contacts", ours, {"title": "Head"})
    named.beta.lose_answers = 1
    named.sync()
    named.beta.edit("contacts", theirs, {"title": None})
    named.settled()
    for side in (named.alpha, named.beta):
        assert [row.get("title") for row in side.all("contacts")] == [None]


def test_whoever_is_told_of_by_an_answer_alone_spoke_after_what_they_replaced(loop: Loop) -> None:
    """By a clock that is behind the other's, where the value stood on both sides from the beginning."""
    loop.alpha.clock = Watch(loop.clock, -5000)
    ours = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Clerk"})
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Clerk"})

    def meanwhile(operation: Operation) -> None:
        loop.alpha.edit("contacts", ours, {"title": "Boss"})
        loop.alpha.refuse = lambda operation: None

    loop.alpha.refuse = meanwhile
    loop.settled()
    for side in (loop.alpha, loop.beta):
        assert [row["title"] for row in side.all("contacts")] == ["Boss"]


def test_whoever_changed_what_a_create_gave_spoke_after_it_where_the_look_up_finds_another(named: Loop) -> None:
    """The first of the two bears our name, and is told by the next pull."""
    ana, made = created_unheard(named)
    named.beta.edit("prospects", made, {"title": "Boss"})
    named.beta.put("prospects", {"email": "ana@x.io"})
    named.settled()
    assert named.alpha.rows["contacts"][ana].values["title"] == "Boss"
    assert {row["title"] for row in named.beta.all("prospects")} == {"Boss"}


def test_what_somebody_gave_a_record_that_a_create_met_is_heard_with_the_answer(loop: Loop) -> None:
    """An index that lags may not show it before the field is written again."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})

    def meanwhile(operation: Operation) -> None:
        if operation.object == "prospects":
            loop.beta.put("prospects", {"email": "ana@x.io", "phone": "+4930123456"})
            loop.beta.refuse = lambda operation: None

    loop.beta.refuse = meanwhile
    loop.sync()
    assert loop.alpha.rows["contacts"][ana].values["phone"] == "+4930123456"


def test_a_value_taken_out_of_what_a_create_made_is_asked_about_where_the_look_up_finds_another(named: Loop) -> None:
    """A second record of the person came to stand in its place; the first bears our name."""
    _, made = created_unheard(named)
    named.beta.edit("prospects", made, {"title": None})
    named.beta.put("prospects", {"email": "ana@x.io"})
    named.settled()
    assert named.beta.rows["prospects"][made].values["title"] is None
    with named.workspace.state.begin() as tx:
        [question] = listed(tx)
        [blank] = [option for option in question["options"] if not option["value"]]
        answer(tx, named.workspace, question["id"], Answer(take=blank["source"]))
    named.settled()
    for row in (*named.alpha.all("contacts"), *named.beta.all("prospects")):
        assert not row.get("title")
    with named.workspace.state.read() as tx:
        assert not listed(tx)


@pytest.mark.parametrize("whose", ["the mapping's", "the account's"])
def test_a_field_that_was_made_anew_is_not_asked_about_where_a_create_is_watched(named: Loop, whose: str) -> None:
    """Its blanks are nobody's: they are filled again."""
    project, mapping = named.folder / "closedloop.yaml", named.folder / "mappings" / "beta.yaml"
    project.write_text(project.read_text() + "\nguards: {describe_every: 1s}\n")
    named.reopen()
    ana, made = created_unheard(named)
    named.settled()
    told = mapping.read_text()
    if whose == "the mapping's":
        mapping.write_text("\n".join(line for line in told.splitlines() if "remote: title" not in line))
        named.reopen()
    else:
        named.beta.schema["prospects"] = ["email", "first", "phone", "opted_out", "origin", "key"]
    named.clock.advance(60)
    named.settled()
    named.beta.schema.clear()
    named.beta.rows["prospects"][made].values["title"] = None
    mapping.write_text(told)
    named.reopen()
    named.clock.advance(60)
    named.settled()
    assert named.alpha.rows["contacts"][ana].values["title"] == "Chief"
    assert named.beta.rows["prospects"][made].values["title"] == "Chief"
    with named.workspace.state.read() as tx:
        assert not listed(tx)


def test_nor_is_it_an_answer_to_an_update_that_a_process_died_over(named: Loop) -> None:
    """When that left nobody knows: it is looked up for a while yet, and all has been read by then."""

    def dies(operation: Operation) -> None:
        raise KeyboardInterrupt

    ours, theirs = pair(named)
    named.alpha.edit("contacts", ours, {"title": "Clerk"})
    named.settled()
    named.alpha.edit("contacts", ours, {"title": "Head"})
    named.beta.refuse = dies
    with pytest.raises(KeyboardInterrupt):
        named.sync()
    named.beta.refuse = lambda operation: None
    named.beta.edit("contacts", theirs, {"job": None})
    mapping = named.folder / "mappings" / "beta.yaml"
    mapping.write_text(mapping.read_text().replace("remote: title", "remote: job"))
    named.reopen()
    named.settled()
    [row] = named.beta.all("contacts")
    assert (named.alpha.rows["contacts"][ours].values["title"], row["job"]) == ("Head", "Head")


def test_what_was_away_when_a_create_in_doubt_was_looked_up_is_looked_for_again(named: Loop) -> None:
    """It is brought back where no pull has told it yet, and many a platform would make a second one."""
    ana = named.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    named.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    named.beta.lose_answers = 1
    named.sync()
    away = dict(named.beta.rows["prospects"])
    named.beta.rows["prospects"].clear()
    named.clock.advance(DOUBT)
    named.beta.refuse = lambda operation: unreachable() if operation.object == "prospects" else None
    named.sync()
    named.sync()
    named.beta.rows["prospects"].update(away)
    named.beta.refuse = lambda operation: None
    named.settled()
    made = [one for one in named.beta.writes if (one.object, one.verb) == ("prospects", Verb.CREATE)]
    assert len(made) == 1
    assert list(named.beta.rows["prospects"]) == list(away)


def test_an_address_that_a_create_in_doubt_meant_is_a_persons_word_where_another_record_comes_to_have_it(
    loop: Loop,
) -> None:
    """Two people turned out to be one: the one's second record is deleted, and its address entered at the other's."""
    unheard = [InDoubt("No answer came.")]
    loop.beta.refuse = lambda operation: unheard.pop() if unheard else None
    ana = _asked(loop, "ana@x.io")
    loop.sync()
    second = loop.beta.put("prospects", {"email": "ana@x.io"})
    loop.clock.advance(DOUBT)
    loop.settled()
    bea = _asked(loop, "bea@x.io")
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.remove("contacts", ana, Gone.MERGED, into=bea)
    loop.settled()
    assert loop.alpha.rows["contacts"][bea].values["email"] == "bea@x.io"
    [hers] = [id for id, row in loop.beta.rows["prospects"].items() if row.values["email"] == "bea@x.io"]
    loop.clock.advance(5)
    loop.beta.remove("prospects", second)
    loop.beta.edit("prospects", hers, {"email": "ana@x.io"})
    loop.settled()
    assert loop.alpha.rows["contacts"][bea].values["email"] == "ana@x.io"
    assert loop.beta.rows["prospects"][hers].values["email"] == "ana@x.io"


def test_so_it_is_where_the_look_up_finds_that_record(loop: Loop) -> None:
    unheard = [InDoubt("No answer came.")]
    loop.beta.refuse = lambda operation: unheard.pop() if unheard else None
    ana = _asked(loop, "ana@x.io")
    loop.sync()
    bea = _asked(loop, "bea@x.io")
    _soon(loop)
    [hers] = loop.beta.rows["prospects"]
    loop.alpha.remove("contacts", ana, Gone.MERGED, into=bea)
    _soon(loop)
    loop.beta.edit("prospects", hers, {"email": "ana@x.io"})
    loop.clock.advance(DOUBT)
    loop.settled()
    assert loop.alpha.rows["contacts"][bea].values["email"] == "ana@x.io"
    assert [row["email"] for row in loop.beta.all("prospects")] == ["ana@x.io"]


def _soon(loop: Loop) -> None:
    """A sync before what is in doubt can be judged."""
    loop.clock.advance(5)
    Runner(loop.workspace).run("sync", ("alpha", "beta"), Options(approve=True))


def _asked(loop: Loop, email: str) -> str:
    """Somebody new at alpha, who qualifies."""
    loop.clock.advance(5)
    person = loop.alpha.put("contacts", {"email": email, "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person})
    return person
