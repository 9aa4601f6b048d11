"""Who is who: matches, merges, conversions, and what is left to a person."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import func, select

from config.clock import ManualClock
from connectors.api import Account, Connector, Gone, Platform, Surroundings
from sync.runs import Options, Runner
from sync.state.schema import conflicts, leads, records
from sync.workspace import Workspace
from tests.engine.conftest import Loop, write_project
from tests.engine.memory import Memory, MemoryConnector
from tests.simulation.clocks import Watch


def live(loop: Loop) -> int:
    with loop.workspace.state.read() as tx:
        return tx.execute(select(func.count()).select_from(leads).where(leads.c.state == "live")).scalar_one()


def links(loop: Loop) -> set[str]:
    with loop.workspace.state.read() as tx:
        return set(tx.execute(select(records.c.lead).where(records.c.lead.is_not(None))).scalars())


def test_the_same_address_is_one_lead(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "ANA@x.io "})
    loop.beta.put("contacts", {"email": "ana@X.io"})
    loop.beta.put("prospects", {"email": "ana@x.io"})
    loop.sync(push=False)
    assert live(loop) == 1


def test_a_record_without_any_key_is_a_lead_of_its_own(loop: Loop) -> None:
    loop.beta.put("contacts", {"first": "Nobody"})
    loop.beta.put("contacts", {"first": "Nobody else"})
    loop.sync(push=False)
    assert live(loop) == 2


def test_a_changed_address_keeps_the_link(loop: Loop) -> None:
    ours = loop.alpha.put("contacts", {"email": "ana@x.io"})
    theirs = loop.beta.put("contacts", {"email": "ana@x.io"})
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ours, {"email": "ana@new.io"})
    loop.settled()
    assert live(loop) == 1
    assert loop.beta.rows["contacts"][theirs].values["email"] == "ana@new.io"


def test_a_record_merged_before_we_knew_of_it_brings_no_second_lead(loop: Loop) -> None:
    """Nor a twin there of whom it was merged into: that record's own address says who it is."""
    loser = loop.beta.put("contacts", {"email": "old@x.io"}, "b1")
    winner = loop.beta.put("contacts", {"email": "ana@x.io"}, "b2")
    loop.beta.remove("contacts", loser, Gone.MERGED, into=winner)
    loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.settled()
    assert (live(loop), len(links(loop))) == (1, 1)
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(conflicts.c.id).where(conflicts.c.state == "open")).all() == []


def test_a_record_merged_into_one_that_is_seen_later_brings_no_second_lead(loop: Loop) -> None:
    """As where a first pull is cut off between the two: the other platform's record of them was seen meanwhile."""
    loop.beta.page_size, loop.beta.breaks_after = 1, 1
    loser = loop.beta.put("contacts", {"email": "old@x.io"}, "b1")
    winner = loop.beta.put("contacts", {"email": "ana@x.io"}, "b2")
    loop.beta.remove("contacts", loser, Gone.MERGED, into=winner)
    loop.sync(push=False)
    loop.beta.breaks_after = None
    loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.settled()
    assert (live(loop), len(links(loop))) == (1, 1)
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(conflicts.c.id).where(conflicts.c.state == "open")).all() == []


@pytest.mark.parametrize(
    ("object", "gone", "told"),
    [
        ("contacts", Gone.MERGED, "together"),
        ("contacts", Gone.MERGED, "later"),
        ("prospects", Gone.CONVERTED, "later"),
    ],
)
def test_who_lives_on_as_a_record_that_was_put_away_unseen_is_whoever_that_was(
    loop: Loop, object: str, gone: Gone, told: str
) -> None:
    """Its end is all that was ever told of it."""
    loser = loop.beta.put(object, {"email": "old@x.io"})
    loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.sync(push=False)
    assert live(loop) == 2
    loop.clock.advance(5)
    loop.beta.remove(object, loser, gone, into="b9", into_object="contacts")
    if told == "later":
        loop.sync(push=False)
    loop.beta.put("contacts", {"email": "ana@x.io"}, "b9")
    loop.beta.remove("contacts", "b9", Gone.ARCHIVED)
    loop.sync(push=False)
    assert (live(loop), len(links(loop))) == (1, 1)


@pytest.mark.parametrize(("object", "gone"), [("contacts", Gone.MERGED), ("prospects", Gone.CONVERTED)])
def test_who_lives_on_as_a_record_whose_end_was_told_before_is_whoever_that_was(
    loop: Loop, object: str, gone: Gone
) -> None:
    """It said nothing then; it is asked for once it means somebody."""
    loser = loop.beta.put(object, {"email": "old@x.io"})
    loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.beta.put("contacts", {"email": "ana@x.io"}, "b9")
    loop.beta.remove("contacts", "b9", Gone.ARCHIVED)
    loop.sync(push=False)
    assert live(loop) == 2
    loop.clock.advance(3600)  # no pull of news tells it again
    loop.beta.remove(object, loser, gone, into="b9", into_object="contacts")
    loop.sync(push=False)
    loop.sync(push=False)
    assert (live(loop), len(links(loop))) == (1, 1)


def test_of_who_lives_on_as_a_record_that_was_deleted_unseen_it_is_known(loop: Loop) -> None:
    """Where the platform tells nothing else of it, either."""
    ours = loop.alpha.put("contacts", {"email": "ana@x.io"})
    loser = loop.beta.put("contacts", {"email": "ana@x.io"})
    loop.sync(push=False)
    loop.clock.advance(5)
    loop.beta.put("contacts", {}, "b9")
    loop.beta.remove("contacts", loser, Gone.MERGED, into="b9")
    loop.beta.remove("contacts", "b9")
    loop.sync(push=False)
    with loop.workspace.state.read() as tx:
        found = {row.id: (row.lead, row.gone) for row in tx.execute(select(records))}
    assert {lead for lead, _ in found.values()} == links(loop)
    assert {id: gone for id, (_, gone) in found.items()} == {ours: None, loser: "merged", "b9": "deleted"}
    assert live(loop) == len(links(loop)) == 1


def test_who_was_deleted_unseen_is_nobody(loop: Loop) -> None:
    loop.beta.put("contacts", {"email": "ana@x.io"}, "b9")
    loop.beta.remove("contacts", "b9")
    loop.sync(push=False)
    assert live(loop) == 0


@pytest.mark.parametrize("told", ["together", "later"])
def test_a_merge_that_brings_an_address_of_another_along_says_whose_the_record_is(loop: Loop, told: str) -> None:
    """Of a further address that was somebody else's before the merge it was asked then: it makes nobody one with them,
    and the record that they live on as is not left to nobody."""
    mapping = loop.folder / "mappings" / "beta.yaml"
    mark = "      - {remote: first, field: first_name, direction: both}\n"
    mapping.write_text(mapping.read_text().replace(mark, mark + "      - {remote: others, field: emails}\n"))
    loop.reopen()
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"})
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"})
    loop.sync(push=False)
    known = {"email": "ana@x.io", "others": ["bob@x.io"], "first": "Ana"}
    before = loop.beta.put("contacts", {**known, "others": []}, "b2")
    loop.sync(push=False)
    loop.clock.advance(5)
    loop.beta.edit("contacts", before, known)
    loop.sync(push=False)
    loop.clock.advance(5)
    heir = {**known, "email": "new@x.io", "others": ["ana@x.io", "bob@x.io"]}
    if told == "later":  # the end comes with an earlier page than what they live on as
        loop.beta.page_size, loop.beta.breaks_after = 1, 1
        loop.beta.put("contacts", heir, "b9")
        loop.beta.remove("contacts", before, Gone.MERGED, into="b9")
        loop.sync(push=False)
        loop.beta.breaks_after = None
    else:
        loop.beta.put("contacts", heir, "b1")
        loop.beta.remove("contacts", before, Gone.MERGED, into="b1")
    loop.sync(push=False)
    with loop.workspace.state.read() as tx:
        found = {row.id: row.lead for row in tx.execute(select(records))}
    assert None not in found.values()
    assert found["b9" if told == "later" else "b1"] == found[before]
    assert live(loop) == 2


def test_which_of_two_others_a_merged_person_is_a_person_decides(loop: Loop) -> None:
    """The record that they live on as bears a key of each."""
    for name in ("alpha", "beta"):
        mapping = loop.folder / "mappings" / f"{name}.yaml"
        first = "      - {remote: first, field: first_name, direction: both}\n"
        mapping.write_text(mapping.read_text().replace(first, first + "      - {remote: hub, field: hubspot_id}\n"))
    loop.reopen()
    loser = loop.beta.put("contacts", {"email": "old@x.io"}, "b1")
    loop.beta.remove("contacts", loser, Gone.MERGED, into="b2")
    loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.alpha.put("contacts", {"email": "bob@x.io", "hub": "7"})
    loop.sync(push=False)
    loop.beta.put("contacts", {"email": "ana@x.io", "hub": "7"}, "b2")
    loop.sync(push=False)
    assert live(loop) == 3
    with loop.workspace.state.read() as tx:
        [question] = tx.execute(select(conflicts))
    assert (question.kind, question.record, question.state) == ("match", "b2", "open")


def test_a_merge_on_a_platform_makes_one_lead_of_two(loop: Loop) -> None:
    loser = loop.beta.put("contacts", {"email": "old@x.io"})
    winner = loop.beta.put("contacts", {"email": "new@x.io"})
    loop.alpha.put("contacts", {"email": "old@x.io"})
    loop.sync(push=False)
    assert live(loop) == 2
    loop.clock.advance(5)
    loop.beta.remove("contacts", loser, Gone.MERGED, into=winner)
    loop.sync(push=False)
    assert live(loop) == 1
    assert len(links(loop)) == 1


def test_what_a_merge_carried_over_is_a_persons_word_when_it_is_given_again(loop: Loop) -> None:
    """After somebody gave another value elsewhere: the record was told since the merge."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.beta.put("contacts", {"email": "ana@x.io", "title": "Chief"}, "b1")
    loop.beta.put("contacts", {"email": "ana@x.io"}, "b2")
    loop.settled()
    loop.clock.advance(5)
    loop.beta.remove("contacts", "b1", Gone.MERGED, into="b2")
    loop.beta.edit("contacts", "b2", {"title": "Chief"})
    for side, id, title in ((loop.alpha, ana, "Boss"), (loop.beta, "b2", "Chief")):
        loop.settled()
        loop.clock.advance(5)
        side.edit("contacts", id, {"title": title})
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["title"] == "Chief"
    assert loop.beta.rows["contacts"]["b2"].values["title"] == "Chief"


def test_what_a_conversion_carried_over_in_a_field_that_no_answer_had_is_no_news(loop: Loop) -> None:
    """The contact was told since without the field, which was hidden, and somebody gave another value elsewhere."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.beta.put("prospects", {"email": "ana@x.io", "first": "Ana", "title": "Clerk"}, "p1")
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ana, {"title": "Chief"})
    loop.clock.advance(5)
    values = loop.beta.rows["prospects"]["p1"].values
    loop.beta.remove("prospects", "p1", Gone.CONVERTED, into="c1", into_object="contacts")
    loop.beta.put("contacts", {name: value for name, value in values.items() if name != "title"}, "c1")
    loop.sync(push=False)
    loop.clock.advance(5)
    loop.beta.edit("contacts", "c1", {"title": values["title"]})
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["title"] == "Chief"
    assert loop.beta.rows["contacts"]["c1"].values["title"] == "Chief"


def test_who_is_merged_with_one_who_was_merged_further_is_one_with_all_of_them(loop: Loop) -> None:
    """All of it is told at once, as when somebody clears up duplicates."""
    numbers = count()  # the first lead stays
    loop.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    for number in "3214":
        loop.beta.put("contacts", {"email": f"ana{number}@x.io"}, f"b{number}")
        loop.sync(push=False)
    loop.beta.put("contacts", {"email": "ana1@x.io"}, "c1")
    loop.sync(push=False)
    assert live(loop) == 4
    loop.clock.advance(5)
    for lose, keep in (("b1", "b2"), ("b2", "b3"), ("c1", "b4")):
        loop.beta.remove("contacts", lose, Gone.MERGED, into=keep)
    loop.sync(push=False)
    assert (live(loop), len(links(loop))) == (1, 1)
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(conflicts.c.id)).all() == []


@pytest.mark.parametrize(("blank", "stands"), [({}, "Boss"), ({"title": None}, "Chief")])
def test_what_an_answer_left_out_of_what_a_conversion_made_came_with_it(
    loop: Loop, blank: dict[str, None], stands: str
) -> None:
    """Where the record was told to be blank there somebody filled it, be it with the same."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io"})
    prospect = loop.beta.put("prospects", {"email": "ana@x.io", "title": "Chief"})
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ana, {"title": "Boss"})
    loop.clock.advance(5)
    contact = loop.beta.put("contacts", {"email": "ana@x.io", **blank})
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, into=contact, into_object="contacts")
    loop.sync(push=False)
    loop.clock.advance(5)
    loop.beta.edit("contacts", contact, {"title": "Chief"})
    Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["title"] == stands
    assert loop.beta.rows["contacts"][contact].values["title"] == stands


@pytest.mark.parametrize("waits", [False, True])
def test_what_we_gave_what_a_conversion_made_replaced_nothing_that_it_was_made_of(loop: Loop, waits: bool) -> None:
    """The other's newest word went with it, by a clock that is ahead; who says something later is heard."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io"})
    prospect = loop.beta.put("prospects", {"email": "ana@x.io"})
    loop.settled()
    loop.alpha.edit("contacts", ana, {"title": "Boss"})
    loop.beta.edit("prospects", prospect, {"title": "Chief"})
    loop.beta.rows["prospects"][prospect].version = "2026-03-01T20:00:00.000Z"
    loop.sync(push=False)
    contact = loop.beta.put("contacts", {"email": "ana@x.io"})  # no title
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, into=contact, into_object="contacts")
    loop.sync()
    assert loop.beta.rows["contacts"][contact].values["title"] == "Boss"
    if waits:
        loop.settled()
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ana, {"title": "Head"})
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["title"] == "Head"
    assert loop.beta.rows["contacts"][contact].values["title"] == "Head"


@pytest.mark.parametrize("told", ["at once", "before", "after"])
def test_two_who_live_on_as_a_third_record_with_the_addresses_of_both_are_one(loop: Loop, told: str) -> None:
    """As HubSpot merges two contacts: into a new one. Nobody is asked, whatever the order in which it is told."""
    mapping = loop.folder / "mappings" / "alpha.yaml"
    first = "      - {remote: first, field: first_name, direction: both}\n"
    more = "      - {remote: more, field: emails, transform: [{multi: ';'}]}\n"
    mapping.write_text(mapping.read_text().replace(first, first + more))
    loop.reopen()
    for id, email in (("c1", "ana@x.io"), ("c2", "anna@x.io")):
        loop.alpha.put("contacts", {"email": email}, id)
        loop.beta.put("contacts", {"email": email}, id)
    loop.settled()
    assert live(loop) == 2
    loop.clock.advance(5)
    if told == "after":
        loop.alpha.remove("contacts", "c2", Gone.MERGED, into="c3")
        loop.settled()
    loop.alpha.put("contacts", {"email": "ana@x.io", "more": "anna@x.io"}, "c3")
    if told == "before":
        loop.settled()
        assert live(loop) == 2
    loop.clock.advance(5)
    for id in ("c1", "c2"):
        loop.alpha.remove("contacts", id, Gone.MERGED, into="c3")
    report, *_ = loop.settled()
    assert (live(loop), len(links(loop))) == (1, 1)
    assert report.counts["pull"]["alpha"]["contacts"]["parked"] == 0
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(conflicts.c.id).where(conflicts.c.state == "open")).all() == []
        assert tx.execute(select(records.c.id).where(records.c.lead.is_(None))).all() == []
    assert [row["email"] for row in loop.beta.all("contacts")] == ["ana@x.io", "anna@x.io"]


def test_two_who_live_on_as_a_record_that_is_seen_later_are_one(loop: Loop) -> None:
    """Whatever its address is then."""
    for id, email in (("c1", "ana@x.io"), ("c2", "anna@x.io")):
        loop.alpha.put("contacts", {"email": email}, id)
    loop.settled()
    loop.clock.advance(5)
    for id in ("c1", "c2"):
        loop.alpha.remove("contacts", id, Gone.MERGED, into="c3")
    loop.settled()
    assert live(loop) == 1
    loop.alpha.put("contacts", {"email": "new@x.io"}, "c3")
    loop.settled()
    assert (live(loop), len(links(loop))) == (1, 1)


def test_a_converted_prospect_is_followed_to_its_contact(loop: Loop) -> None:
    prospect = loop.beta.put("prospects", {"email": "ana@x.io"})
    loop.sync(push=False)
    contact = loop.beta.put("contacts", {"email": "ana.private@y.io"})
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, into=contact, into_object="contacts")
    loop.sync(push=False)
    assert live(loop) == 1
    assert len(links(loop)) == 1


def test_a_conversion_is_followed_whichever_side_comes_first(loop: Loop) -> None:
    contact = loop.beta.put("contacts", {"email": "ana.private@y.io"})
    loop.sync(push=False)
    prospect = loop.beta.put("prospects", {"email": "ana@x.io"})
    loop.sync(push=False)
    assert live(loop) == 2
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, into=contact, into_object="contacts")
    loop.sync(push=False)
    assert live(loop) == 1


@pytest.mark.parametrize("days", [0, 40])
def test_what_a_converted_prospect_held_and_its_contact_is_given_again_counts_from_now(loop: Loop, days: int) -> None:
    """Also where the prospect bore a time far in the future: it ended when it was converted."""
    loop.beta.clock = Watch(loop.clock, days * 86400)
    prospect = loop.beta.put("prospects", {"email": "ana@x.io", "title": "Boss"})
    loop.beta.clock = loop.clock
    ana = loop.alpha.put("contacts", {"email": "ana@x.io"})
    loop.settled()
    loop.clock.advance(60)
    contact = loop.beta.put("contacts", {"email": "ana@x.io", "title": "Boss"})
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, into=contact, into_object="contacts")
    loop.settled()
    for side, id, title in ((loop.alpha, ana, "Chief"), (loop.beta, contact, "Boss")):
        loop.clock.advance(60)
        side.edit("contacts", id, {"title": title})
        loop.settled()
        assert [row["title"] for row in (*loop.alpha.all("contacts"), *loop.beta.all("contacts"))] == [title, title]


def test_an_address_of_somebody_else_is_left_to_a_person(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "ana@x.io"})
    bob = loop.alpha.put("contacts", {"email": "bob@x.io"})
    loop.sync(push=False)
    loop.clock.advance(5)
    loop.alpha.edit("contacts", bob, {"email": "ana@x.io"})
    report = loop.sync(push=False)
    assert report.counts["pull"]["alpha"]["contacts"]["parked"] == 1
    with loop.workspace.state.read() as tx:
        [question] = tx.execute(select(conflicts))
    assert (question.kind, question.record, question.state) == ("match", bob, "open")
    assert live(loop) == 2


def test_a_deleted_record_is_not_made_again(loop: Loop) -> None:
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    loop.settled()
    [prospect] = loop.beta.rows["prospects"]
    loop.beta.remove("prospects", prospect)
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ana, {"first": "Anna"})
    loop.settled()
    assert loop.beta.all("prospects") == []
    assert list(loop.beta.rows["prospects"]) == [prospect]


def test_two_accounts_that_gave_the_same_id_are_two_people(tmp_path: Path, state_url: str) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    write_project(tmp_path, state_url)
    file = tmp_path / "closedloop.yaml"
    for name in ("alpha", "beta"):
        file.write_text(file.read_text().replace(f"{name}: {{auth", f"{name}: {{platform: hubspot, auth"))
        mapping = tmp_path / "mappings" / f"{name}.yaml"
        mapping.write_text(mapping.read_text().replace(f"platform: {name}", "platform: hubspot"))
    one, two = Memory(clock), Memory(clock)
    one.put("contacts", {"email": "ana@x.io"}, id="7")
    two.put("contacts", {"email": "bob@x.io"}, id="7")
    sides = {"alpha": one, "beta": two}

    def open(account: Account, surroundings: Surroundings) -> Connector:
        return MemoryConnector(sides[account.connection])

    hubspot = Platform("hubspot", tmp_path / "alpha", open, None)
    with Workspace.open(tmp_path, clock=clock, find=lambda name: hubspot) as workspace:
        Runner(workspace).run("sync", ("alpha", "beta"), Options(push=False))
        with workspace.state.read() as tx:
            found = tx.execute(select(records.c.lead).where(records.c.id == "7")).scalars().all()
    assert len(found) == 2
    assert len(set(found)) == 2
