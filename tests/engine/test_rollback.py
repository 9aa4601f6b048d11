"""A platform that is rolled back is told from people's edits; nothing is written until a person says which way to go;
then both sides agree, and nothing that was known is lost that was not meant to be."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from sync import planfile
from sync.conflicts import listed
from sync.pull import pull_object
from sync.rollback import ACCEPT, PUT_BACK
from sync.runs import Options, Report, Runner
from tests.engine.conftest import Loop

PEOPLE = 8
HOUR = 3600
LIMITS = """
guards: {changed: {share: 100%, over: 0}, opted_out: {share: 100%, over: 0}, rolled_back: {share: 10%, over: 2}}
"""


@pytest.fixture
def loop_back(loop: Loop) -> Loop:
    """Eight people on both sides, in step; alpha takes whoever stands on beta."""
    for file, old, new in (
        ("closedloop.yaml", "first_run:", f"{LIMITS.strip()}\nfirst_run:"),
        ("mappings/alpha.yaml", 'create_when: "false"', 'create_when: "true"'),
    ):
        path = loop.folder / file
        path.write_text(path.read_text().replace(old, new))
    loop.reopen()
    for n in range(PEOPLE):
        values = {"email": f"p{n}@x.io", "first": f"P{n}", "title": "Clerk"}
        loop.beta.put("contacts", values, id=f"b{n}")
        loop.alpha.put("contacts", {**values, "consent": "subscribed"}, id=f"a{n}")
    loop.settled()
    return loop


def run(loop: Loop, command: str = "sync", names: tuple[str, ...] = ("alpha", "beta"), **options: Any) -> Report:
    loop.clock.advance(60)
    return Runner(loop.workspace).run(command, names, Options(**options))


def titles(loop: Loop) -> set[tuple[Any, Any]]:
    def of(side: Any, n: int) -> Any:
        return side.rows["contacts"][n].values.get("title")

    return {(of(loop.alpha, a), of(loop.beta, b)) for a, b in zip(ids(loop, "a"), ids(loop, "b"), strict=True)}


def ids(loop: Loop, letter: str) -> list[Any]:
    return [f"{letter}{n}" for n in range(PEOPLE)]


def rolled_back(loop: Loop) -> int:
    """Alpha is as it was before all titles changed on beta and somebody was made here; how much had been written."""
    kept = deepcopy(loop.alpha.rows)
    loop.clock.advance(2 * HOUR)
    for id in ids(loop, "b"):
        loop.beta.edit("contacts", id, {"title": "Chief"})
    loop.beta.put("contacts", {"email": "new@x.io", "first": "New"})
    loop.settled()
    assert titles(loop) == {("Chief", "Chief")}
    assert "new@x.io" in people(loop)
    loop.clock.advance(2 * HOUR)
    loop.alpha.rows.clear()
    loop.alpha.rows.update(kept)
    return written(loop)


def people(loop: Loop) -> list[str]:
    return sorted(row["email"] for row in loop.alpha.all("contacts"))


def written(loop: Loop) -> int:
    return len(loop.alpha.writes) + len(loop.beta.writes)


@pytest.mark.parametrize("command", ["sync", "backfill"])
def test_a_platform_that_was_rolled_back_holds_all_writes(loop_back: Loop, command: str) -> None:
    """A pull of news tells nothing of it: the newest records are looked at now and then."""
    before = rolled_back(loop_back)
    loop_back.beta.edit("contacts", "b0", {"title": "Boss"})
    for _ in range(2):
        report = run(loop_back, command)
        assert report.state == "held"
        assert report.needs_person
        assert f"alpha/contacts: {PEOPLE} of the newest {PEOPLE + 1} records came back older" in report.held["beta"].why
        assert "backfill alpha --rolled-back accept" in report.held["alpha"].fix
    assert written(loop_back) == before


def test_a_run_of_another_connection_writes_nothing_either(loop_back: Loop) -> None:
    before = rolled_back(loop_back)
    assert run(loop_back).state == "held"
    loop_back.beta.edit("contacts", "b0", {"title": "Boss"})
    assert run(loop_back, names=("beta",)).state == "held"
    assert written(loop_back) == before


def test_the_account_may_be_right(loop_back: Loop) -> None:
    rolled_back(loop_back)
    assert run(loop_back).state == "held"
    assert run(loop_back, "backfill", ("alpha",), choice=ACCEPT).state == "done"
    loop_back.settled()
    assert titles(loop_back) == {("Clerk", "Clerk")}
    assert "new@x.io" not in people(loop_back)
    assert run(loop_back, "backfill").counts["write"] == {}


def test_what_was_lost_may_be_put_back(loop_back: Loop) -> None:
    rolled_back(loop_back)
    assert run(loop_back).state == "held"
    assert run(loop_back, "backfill", ("alpha",), choice=PUT_BACK).state == "done"
    loop_back.settled()
    assert titles(loop_back) == {("Chief", "Chief")}
    assert people(loop_back).count("new@x.io") == 1
    assert run(loop_back, "backfill").counts["write"] == {}


@pytest.mark.parametrize("title", ["Boss", "Clerk"])
def test_an_edit_after_it_was_put_back_counts(loop_back: Loop, title: str) -> None:
    """Also one that gives again what the account had been rolled back to."""
    rolled_back(loop_back)
    run(loop_back)
    run(loop_back, "backfill", ("alpha",), choice=PUT_BACK)
    loop_back.settled()
    loop_back.clock.advance(60)
    loop_back.alpha.edit("contacts", "a0", {"title": title})
    loop_back.settled()
    assert titles(loop_back) == {("Chief", "Chief"), (title, title)}


def test_what_is_put_back_again_and_again_is_no_fight(loop_back: Loop) -> None:
    """The account lost it each time, and nobody there has set it back until somebody does."""
    rolled_back(loop_back)
    for _ in range(3):
        kept = deepcopy(loop_back.alpha.rows)
        assert run(loop_back).state == "held"
        assert run(loop_back, "backfill", ("alpha",), choice=PUT_BACK).state == "done"
        loop_back.settled()
        loop_back.clock.advance(2 * HOUR)
        loop_back.alpha.rows.clear()
        loop_back.alpha.rows.update(kept)
    run(loop_back)
    run(loop_back, "backfill", ("alpha",), choice=PUT_BACK)
    for side, id, title in ((loop_back.alpha, "a0", "Boss"), (loop_back.beta, "b0", "Chief")):
        loop_back.clock.advance(60)
        side.edit("contacts", id, {"title": title})
        loop_back.settled()
    assert titles(loop_back) == {("Chief", "Chief")}


@pytest.mark.parametrize("way", [ACCEPT, PUT_BACK])
def test_an_opt_out_that_was_rolled_back_stands(loop_back: Loop, way: str) -> None:
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(60)
    loop_back.alpha.edit("contacts", "a0", {"consent": "unsubscribed"})
    loop_back.settled()
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows.update(kept)
    run(loop_back)
    run(loop_back, "backfill", ("alpha",), choice=way)
    loop_back.settled()
    assert loop_back.alpha.rows["contacts"]["a0"].values["consent"] == "unsubscribed"
    assert loop_back.beta.rows["contacts"]["b0"].values["opted_out"] == "true"


@pytest.mark.parametrize(("way", "number"), [(ACCEPT, 2), (PUT_BACK, PEOPLE)])
def test_a_roll_back_that_only_takes_people_away_is_held_until_a_person_says(
    loop_back: Loop, way: str, number: int
) -> None:
    loop_back.clock.advance(2 * HOUR)
    for id in ids(loop_back, "a")[2:]:
        del loop_back.alpha.rows["contacts"][id]
    before = written(loop_back)
    for _ in range(2):
        report = run(loop_back)
        assert "alpha/contacts: 6 of the newest 8 records are not there any more" in report.held["beta"].why
        loop_back.clock.advance(2 * HOUR)
    assert written(loop_back) == before
    assert run(loop_back, "backfill", ("alpha",), choice=way).state == "done"
    loop_back.settled()
    assert len(people(loop_back)) == number


def opted_out(loop: Loop) -> dict[str, Any]:
    """The rows of alpha from before somebody opted out there, and nowhere else; hours have passed, and it was looked
    at just now."""
    kept = deepcopy(loop.alpha.rows)
    loop.clock.advance(60)
    for id in ids(loop, "a"):
        loop.alpha.edit("contacts", id, {"title": "Chief"})
    loop.alpha.edit("contacts", "a0", {"consent": "unsubscribed"})
    run(loop, names=("alpha",))
    loop.clock.advance(2 * HOUR)
    assert run(loop, names=("alpha",)).state == "done"
    return kept


@pytest.mark.parametrize("way", [ACCEPT, PUT_BACK])
def test_a_consent_that_comes_back_with_an_edit_is_not_believed(loop_back: Loop, way: str) -> None:
    """Somebody edited the record that was rolled back, before anybody had noticed that it was."""
    loop_back.alpha.rows.update(opted_out(loop_back))
    loop_back.alpha.edit("contacts", "a0", {"phone": "+49 30 1234567"})
    assert run(loop_back).state == "held"
    assert run(loop_back, "backfill", ("alpha",), choice=way).state == "done"
    loop_back.settled()
    assert loop_back.alpha.rows["contacts"]["a0"].values["consent"] == "unsubscribed"
    assert loop_back.beta.rows["contacts"]["b0"].values["opted_out"] == "true"


def test_whoever_consents_again_is_heard(loop_back: Loop) -> None:
    opted_out(loop_back)
    loop_back.alpha.edit("contacts", "a0", {"consent": "subscribed"})
    assert run(loop_back, names=("alpha",)).state == "done"
    loop_back.settled()
    assert loop_back.alpha.rows["contacts"]["a0"].values["consent"] == "subscribed"
    assert "opted_out" not in loop_back.beta.rows["contacts"]["b0"].values


@pytest.mark.parametrize("way", [ACCEPT, PUT_BACK])
def test_an_opt_out_on_a_record_that_is_not_there_any_more_stands(loop_back: Loop, way: str) -> None:
    """Nobody else had been told of it, and the person's other record says that they are subscribed."""
    path = loop_back.folder / "mappings/beta.yaml"
    path.write_text(path.read_text().replace('"true": unsubscribed', '"true": unsubscribed, "false": subscribed'))
    loop_back.reopen()
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(2 * HOUR)
    for id in ids(loop_back, "a"):
        loop_back.alpha.edit("contacts", id, {"title": "Chief"})
    loop_back.beta.put("contacts", {"email": "new@x.io", "opted_out": "false"}, id="new")
    loop_back.settled()
    made = next(id for id, row in loop_back.alpha.rows["contacts"].items() if row.values["email"] == "new@x.io")
    loop_back.alpha.edit("contacts", made, {"consent": "unsubscribed", "title": "Boss"})
    run(loop_back, names=("alpha",))
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows.clear()
    loop_back.alpha.rows.update(kept)
    assert run(loop_back).state == "held"
    run(loop_back, "backfill", ("alpha",), choice=way)
    loop_back.settled()
    assert loop_back.beta.rows["contacts"]["new"].values["opted_out"] == "true"
    if way == PUT_BACK:
        [again] = [row for row in loop_back.alpha.all("contacts") if row["email"] == "new@x.io"]
        assert (again["consent"], again["title"]) == ("unsubscribed", "Boss")


def test_what_is_given_while_the_account_is_held_stands_when_it_is_put_back(loop_back: Loop) -> None:
    """Of somebody with two records there, one of which is told as it is now in the answer that tells the other."""
    loop_back.alpha.put("contacts", {"email": "p0@x.io", "first": "P0", "title": "Clerk"}, id="z0")
    loop_back.settled()
    rolled_back(loop_back)
    assert run(loop_back).state == "held"
    loop_back.alpha.edit("contacts", "z0", {"title": "Boss"})
    assert run(loop_back, "backfill", ("alpha",), choice=PUT_BACK).state == "done"
    loop_back.settled()
    assert {loop_back.alpha.rows["contacts"][id].values["title"] for id in ("a0", "z0")} == {"Boss"}
    assert loop_back.beta.rows["contacts"]["b0"].values["title"] == "Boss"


@pytest.mark.parametrize("way", [ACCEPT, PUT_BACK])
def test_a_saved_plan_waits_until_a_person_has_said_which_way(loop_back: Loop, way: str) -> None:
    """It was made of what the account shows."""
    rolled_back(loop_back)
    loop_back.alpha.edit("contacts", "a3", {"phone": "+49 30 1234567"})
    assert run(loop_back).state == "held"
    plan = planfile.make_plan(loop_back.workspace, ["alpha", "beta"])
    before = written(loop_back)
    report = planfile.apply(loop_back.workspace, plan, Runner(loop_back.workspace)).report
    assert (report.state, set(report.held), written(loop_back)) == ("held", {"beta"}, before)
    assert report.counts["write"]["beta"]["contacts"]["held"] == len(plan.operations) == 1
    assert run(loop_back, "backfill", ("alpha",), choice=way).state == "done"
    assert planfile.apply(loop_back.workspace, plan, Runner(loop_back.workspace)).report.state == "done"


def two_titles(loop: Loop, last: str) -> None:
    """Somebody is Boss on alpha and Chief on beta, given a minute apart, the latter of the two on the side `last`."""
    said = [(loop.alpha, "a0", "Boss"), (loop.beta, "b0", "Chief")]
    for side, id, title in said if last == "beta" else reversed(said):
        loop.clock.advance(60)
        side.edit("contacts", id, {"title": title})


def stored(loop: Loop, *names: str) -> None:
    """What a run leaves that dies between its pull of these sides and its decisions."""
    known = loop.workspace
    for name in names:
        mapped = known.mapped(name)["contacts"]
        pull_object(known.state, known.connector(name), mapped, name, run="run_x", now=known.now)


@pytest.mark.parametrize("last", ["alpha", "beta"])
def test_of_two_values_that_nothing_was_decided_of_the_newer_one_is_put_back(loop_back: Loop, last: str) -> None:
    """A run had died between its pull and its decisions."""
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(2 * HOUR)
    two_titles(loop_back, last)
    stored(loop_back, "alpha", "beta")
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows.update(kept)
    run(loop_back, "backfill", ("alpha",), choice=PUT_BACK)
    loop_back.settled()
    newer = "Chief" if last == "beta" else "Boss"
    assert (newer, newer) in titles(loop_back)


def given_and_lost(loop: Loop, title: str | None) -> None:
    """Somebody gives alpha's record this title; a run dies between its pull and its decisions; alpha is rolled back."""
    kept = deepcopy(loop.alpha.rows)
    loop.clock.advance(2 * HOUR)
    loop.alpha.edit("contacts", "a0", {"title": title})
    stored(loop, "alpha")
    loop.clock.advance(2 * HOUR)
    loop.alpha.rows.update(kept)


@pytest.mark.parametrize("title", ["Boss", None])
def test_a_clearing_that_nothing_was_decided_of_is_put_back_as_a_value_is(loop_back: Loop, title: str | None) -> None:
    given_and_lost(loop_back, title)
    run(loop_back, "backfill", ("alpha",), choice=PUT_BACK)
    loop_back.settled()
    assert (title, title) in titles(loop_back)


def test_a_blank_that_says_nothing_is_not_put_back(loop_back: Loop) -> None:
    path = loop_back.folder / "mappings/alpha.yaml"
    path.write_text(path.read_text().replace("title, direction: both, on_blank: clear", "title, direction: both"))
    loop_back.reopen()
    loop_back.settled()
    given_and_lost(loop_back, None)
    run(loop_back, "backfill", ("alpha",), choice=PUT_BACK)
    loop_back.settled()
    assert titles(loop_back) == {("Clerk", "Clerk")}


@pytest.mark.parametrize(("last", "stands"), [("beta", "Chief"), ("alpha", "Boss")])
def test_what_was_given_before_what_is_put_back_and_is_heard_after_does_not_overturn_it(
    loop_back: Loop, last: str, stands: str
) -> None:
    """What is newer does. Nothing had been written by then."""
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(2 * HOUR)
    two_titles(loop_back, last)
    run(loop_back, names=("alpha",))
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows.update(kept)
    run(loop_back, "backfill", ("alpha",), choice=PUT_BACK, push=False)
    loop_back.settled()
    assert (stands, stands) in titles(loop_back)


def test_a_few_older_records_are_an_index_that_lags(loop_back: Loop) -> None:
    kept = deepcopy(loop_back.alpha.rows["contacts"]["a0"])
    loop_back.clock.advance(60)
    loop_back.alpha.edit("contacts", "a0", {"title": "Chief"})
    loop_back.settled()
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows["contacts"]["a0"] = kept
    assert run(loop_back, "backfill").state == "done"
    assert loop_back.beta.rows["contacts"]["b0"].values["title"] == "Chief"


def test_a_time_that_is_told_in_whole_seconds_is_none_that_went_back(loop_back: Loop) -> None:
    loop_back.clock.advance(2 * HOUR)
    for id in ids(loop_back, "a"):
        loop_back.alpha.edit("contacts", id, {"title": "Chief"})
        row = loop_back.alpha.rows["contacts"][id]
        row.version = row.version[:19] + ".900Z"
    assert run(loop_back, "backfill").state == "done"
    loop_back.clock.advance(2 * HOUR)
    for row in loop_back.alpha.rows["contacts"].values():
        row.version, row.values["first"] = row.version[:19] + ".000Z", "Ann"  # other bytes: it is looked at
    assert [run(loop_back, command).state for command in ("sync", "backfill")] == ["done", "done"]


def test_what_was_written_just_now_may_be_shown_late(loop_back: Loop) -> None:
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(60)
    for id in ids(loop_back, "b"):
        loop_back.beta.edit("contacts", id, {"title": "Chief"})
    loop_back.settled()
    now = loop_back.alpha.rows
    loop_back.alpha.rows = kept
    assert run(loop_back, "backfill").state == "done"
    loop_back.alpha.rows = now
    loop_back.settled()
    assert titles(loop_back) == {("Chief", "Chief")}


def chief_then_head(loop: Loop) -> Any:
    """All titles change on beta and are carried over; then they change there again, which nobody has heard. Alpha as it
    was before."""
    kept = deepcopy(loop.alpha.rows)
    loop.clock.advance(60)
    for title in ("Chief", "Head"):
        for id in ids(loop, "b"):
            loop.beta.edit("contacts", id, {"title": title})
        if title == "Chief":
            loop.settled()
    return kept


def show_late(loop: Loop, rows: Any) -> None:
    """Alpha's listings show these rows until the program starts again."""
    connector: Any = loop.workspace.connector("alpha")
    pull = connector.pull

    def late(*given: Any, **more: Any) -> Any:
        now, loop.alpha.rows = loop.alpha.rows, rows
        pages = list(pull(*given, **more))
        loop.alpha.rows = now
        return iter(pages)

    connector.pull = late


@pytest.mark.parametrize("way", [ACCEPT, PUT_BACK])
def test_what_a_listing_shows_late_is_no_roll_back_to_whoever_says_which_way(loop_back: Loop, way: str) -> None:
    """A run that was to accept it had written, and died; the one after it reads a listing that lags."""
    kept = chief_then_head(loop_back)
    show_late(loop_back, kept)
    assert run(loop_back, "backfill", ("alpha",), choice=way).state == "done"
    loop_back.reopen()
    run(loop_back, "backfill")
    loop_back.settled()
    assert titles(loop_back) == {("Head", "Head")}


@pytest.mark.parametrize(("way", "title"), [(ACCEPT, "Clerk"), (PUT_BACK, "Head")])
def test_what_was_known_just_now_and_is_older_when_asked_for_goes_the_way_that_is_said(
    loop_back: Loop, way: str, title: str
) -> None:
    loop_back.alpha.rows = chief_then_head(loop_back)
    assert run(loop_back, "backfill", ("alpha",), choice=way).state == "done"
    loop_back.settled()
    assert titles(loop_back) == {(title, title)}


def test_what_somebody_gave_last_is_heard_before_anything_is_put_back(loop_back: Loop) -> None:
    """A listing that lags does not show it yet; whoever is asked for by their ids tells it."""
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(60)
    for id in ids(loop_back, "b"):
        loop_back.beta.edit("contacts", id, {"title": "Chief"})
    loop_back.settled()
    loop_back.alpha.rows = kept
    loop_back.clock.advance(60)
    listed = deepcopy(kept)
    for id in ids(loop_back, "a"):
        loop_back.alpha.edit("contacts", id, {"title": "Head"})
    show_late(loop_back, listed)
    assert run(loop_back, "backfill", ("alpha",), choice=PUT_BACK).state == "done"
    loop_back.reopen()
    loop_back.settled()
    assert titles(loop_back) == {("Head", "Head")}


def test_who_took_out_what_a_write_in_doubt_gave_is_heard_after_it_was_put_back(loop_back: Loop) -> None:
    """When alpha's value was put back nobody knew yet that beta had ever had it: the blank there had said nothing."""
    loop_back.alpha.put("contacts", {"email": "new@x.io", "title": None, "consent": "subscribed"}, id="a8")
    loop_back.beta.put("contacts", {"email": "new@x.io"}, id="b8")
    loop_back.settled()
    kept = deepcopy(loop_back.alpha.rows)
    loop_back.clock.advance(2 * HOUR)
    for id in ids(loop_back, "a"):
        loop_back.alpha.edit("contacts", id, {"title": "Chief"})
    loop_back.settled()
    loop_back.alpha.edit("contacts", "a8", {"title": "Head"})
    loop_back.beta.lose_answers = 1
    run(loop_back)
    assert loop_back.beta.rows["contacts"]["b8"].values["title"] == "Head"
    loop_back.beta.edit("contacts", "b8", {"title": None})
    loop_back.clock.advance(2 * HOUR)
    loop_back.alpha.rows = kept
    assert run(loop_back, names=("alpha",)).state == "held"
    assert run(loop_back, "backfill", ("alpha",), choice=PUT_BACK).state == "done"
    for _ in range(3):
        run(loop_back)
    with loop_back.workspace.state.read() as tx:
        [question] = listed(tx)
    assert (question["field"], [option["value"] for option in question["options"]]) == ("title", ["Head", None])
    assert loop_back.beta.rows["contacts"]["b8"].values["title"] is None
