"""One person with several addresses, and a record for each of them on one platform: none of the addresses is lost."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import select

from config.clock import stamp
from config.errors import RetryLater
from connectors.api import Gone
from sync.cli.look import show_lead
from sync.duplicates import link
from sync.insight.explain import explain, find
from sync.state.schema import conflicts, leads, quarantine
from tests.engine.conftest import Loop

pytestmark = pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
"""What is decided here is decided by the core, whatever the database."""


@pytest.fixture
def loop(loop: Loop) -> Loop:
    """Alpha knows a main address and further ones, as HubSpot does."""
    mapping = loop.folder / "mappings" / "alpha.yaml"
    first = "      - {remote: first, field: first_name, direction: both}\n"
    more = "      - {remote: more, field: emails, transform: [{multi: ';'}]}\n"
    mapping.write_text(mapping.read_text().replace(first, first + more))
    loop.reopen()
    return loop


@pytest.fixture
def two(loop: Loop) -> Loop:
    """Ana has two addresses at alpha, and a record for each of them at beta."""
    loop.alpha.put("contacts", {"email": "a@x.io", "more": "b@x.io", "first": "Ana"}, "ana")
    loop.beta.put("contacts", {"email": "a@x.io", "first": "Ana"}, "one")
    loop.beta.put("contacts", {"email": "b@x.io", "first": "Ana"}, "two")
    loop.settled()
    return loop


def held(loop: Loop) -> tuple[str, ...]:
    """The addresses of the living records: alpha's, then beta's by id."""
    rows = [*loop.alpha.rows["contacts"].values(), *(loop.beta.rows["contacts"][id] for id in sorted(ids(loop)))]
    return tuple(str(row.values["email"]) for row in rows if row.gone is None)


def ids(loop: Loop) -> set[str]:
    return {row.id for row in loop.beta.rows["contacts"].values() if row.gone is None}


def test_who_was_made_with_the_main_address_and_is_given_another_before_any_run_has_changed_it(loop: Loop) -> None:
    """Though somebody joined there by the old one meanwhile."""
    mapping = loop.folder / "mappings" / "alpha.yaml"
    mapping.write_text(mapping.read_text().replace('create_when: "false"', 'create_when: "true"'))
    loop.reopen()
    loop.beta.put("contacts", {"email": "a@x.io", "first": "Ana"}, "one")
    loop.sync()
    [made] = loop.alpha.rows["contacts"]
    loop.alpha.put("contacts", {"email": "a@x.io", "title": "Chief"}, "two")
    loop.clock.advance(5)
    loop.alpha.edit("contacts", made, {"email": "new@x.io"})
    loop.settled()
    assert held(loop) == ("new@x.io",) * 3


def edit(loop: Loop, where: str, email: str, **more: str) -> None:
    loop.clock.advance(5)
    side = loop.alpha if where == "ana" else loop.beta
    side.edit("contacts", where, {"email": email, **more})


def told(loop: Loop, who: str = "a@x.io") -> dict[str, Any]:
    with loop.workspace.state.read() as tx:
        lead = find(tx, who)
        assert lead
        return explain(tx, loop.workspace, lead)


def is_quiet(loop: Loop) -> bool:
    """One lead, nobody asked, nothing refused; that nothing is left to write is what `settled` waits for."""
    with loop.workspace.state.read() as tx:
        live = tx.execute(select(leads.c.id).where(leads.c.state == "live")).all()
        asked = [*tx.execute(select(conflicts).where(conflicts.c.state == "open")), *tx.execute(select(quarantine))]
    return (len(live), asked) == (1, [])


def test_each_record_keeps_its_address(two: Loop) -> None:
    assert held(two) == ("a@x.io", "a@x.io", "b@x.io")
    assert is_quiet(two)
    assert told(two)["values"]["email"] == told(two, "b@x.io")["values"]["email"] == "a@x.io"


def test_other_fields_go_to_both(two: Loop) -> None:
    two.clock.advance(5)
    two.alpha.edit("contacts", "ana", {"phone": "030 123456", "title": "Boss"})
    two.settled()
    assert [(row["title"], row["phone"]) for row in two.beta.all("contacts")] == [("Boss", "+4930123456")] * 2
    assert held(two) == ("a@x.io", "a@x.io", "b@x.io")


@pytest.mark.parametrize("where", ["ana", "one"])
def test_a_change_of_the_main_address_goes_to_those_that_had_it(two: Loop, where: str) -> None:
    edit(two, where, "c@x.io")
    two.settled()
    assert held(two) == ("c@x.io", "c@x.io", "b@x.io")
    assert is_quiet(two)


@pytest.mark.parametrize("where", ["one", "three"])
def test_all_that_had_it_are_given_the_new_one_also_later(two: Loop, where: str) -> None:
    """Also where their platform takes nothing for a while, and alpha calls the old one a further one by then."""
    two.beta.put("contacts", {"email": "a@x.io"}, "three")
    two.settled()
    edit(two, where, "c@x.io")
    two.beta.refuse = lambda operation: RetryLater("Not now.", after=1)
    two.sync()
    edit(two, "ana", "c@x.io", more="b@x.io;a@x.io")
    two.sync()
    two.sync()
    two.beta.refuse = lambda operation: None
    two.settled()
    assert held(two) == ("c@x.io", "c@x.io", "c@x.io", "b@x.io")
    assert is_quiet(two)


def test_a_change_of_a_further_address_replaces_no_other(two: Loop) -> None:
    edit(two, "two", "d@x.io")
    two.settled()
    assert held(two) == ("a@x.io", "a@x.io", "d@x.io")
    assert is_quiet(two)
    assert told(two, "d@x.io")["values"]["emails"] == ["b@x.io", "d@x.io"]


def test_where_a_further_address_becomes_the_main_one_both_keep_theirs(two: Loop) -> None:
    edit(two, "ana", "b@x.io", more="a@x.io")
    two.settled()
    assert held(two) == ("b@x.io", "a@x.io", "b@x.io")
    assert is_quiet(two)
    edit(two, "two", "c@x.io")  # and the other way round from now on
    edit(two, "one", "d@x.io")
    two.settled()
    assert held(two) == ("c@x.io", "d@x.io", "c@x.io")
    assert is_quiet(two)


def test_so_they_do_where_the_platform_does_not_say_which_is_a_further_one(two: Loop) -> None:
    edit(two, "ana", "b@x.io", more="")
    two.settled()
    assert held(two) == ("b@x.io", "a@x.io", "b@x.io")
    assert is_quiet(two)


def test_two_records_that_swap_their_addresses_change_nothing_elsewhere(two: Loop) -> None:
    edit(two, "one", "b@x.io")
    edit(two, "two", "a@x.io")
    two.settled()
    assert held(two) == ("a@x.io", "b@x.io", "a@x.io")
    assert is_quiet(two)


def test_what_was_written_over_before_is_put_right_by_hand(loop: Loop) -> None:
    """Both records were given the main address once."""
    loop.alpha.put("contacts", {"email": "a@x.io", "more": "b@x.io"}, "ana")
    for id in ("one", "two"):
        loop.beta.put("contacts", {"email": "a@x.io"}, id)
    loop.settled()
    edit(loop, "two", "b@x.io")
    loop.settled()
    assert held(loop) == ("a@x.io", "a@x.io", "b@x.io")
    assert is_quiet(loop)


def test_a_state_of_before_the_rule_keeps_what_is_left(two: Loop) -> None:
    """Its leads do not say who had which address."""
    with two.workspace.state.begin() as tx:
        bare = select(leads.c.reasons).where(leads.c.state == "live")
        text = tx.execute(bare).scalar_one().replace('"holders"', '"x"').replace('"beside"', '"y"')
        tx.execute(leads.update().values(reasons=text))
    edit(two, "ana", "c@x.io", more="b@x.io;a@x.io")
    two.settled()
    assert held(two) == ("c@x.io", "c@x.io", "b@x.io")
    assert is_quiet(two)


def test_the_only_record_follows_the_main_address(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "a@x.io", "more": "b@x.io"}, "ana")
    loop.beta.put("contacts", {"email": "a@x.io"}, "one")
    loop.settled()
    edit(loop, "ana", "b@x.io", more="a@x.io")
    loop.settled()
    assert held(loop) == ("b@x.io", "b@x.io")
    edit(loop, "one", "c@x.io")
    loop.settled()
    assert held(loop) == ("c@x.io", "c@x.io")
    assert is_quiet(loop)


@pytest.mark.parametrize("refused", [0, 2])
def test_of_two_that_are_merged_there_the_one_left_is_given_the_main_address(two: Loop, refused: int) -> None:
    two.clock.advance(5)
    two.beta.remove("contacts", "one", Gone.MERGED, into="two")
    two.beta.edit("contacts", "two", {"title": "Boss"})
    two.beta.refuse = lambda operation: RetryLater("Not now.", after=1)
    for _ in range(refused):
        two.sync()
    two.beta.refuse = lambda operation: None
    two.settled()
    assert held(two) == ("a@x.io", "a@x.io")
    assert [field["beside"] for field in told(two)["fields"] if field["field"] == "email"] == [[]]
    assert two.alpha.rows["contacts"]["ana"].values["title"] == "Boss"
    assert is_quiet(two)
    edit(two, "two", "c@x.io")
    two.settled()
    assert held(two) == ("c@x.io", "c@x.io")


@pytest.mark.parametrize("chain", [("one", "two"), ("one", "zoe"), ("one", "two", "zoe")])
def test_of_several_that_are_left_it_is_the_one_that_was_merged(two: Loop, chain: tuple[str, ...]) -> None:
    edit(two, "ana", "a@x.io", more="b@x.io;c@x.io;d@x.io")
    for id, email in (("tom", "c@x.io"), ("zoe", "d@x.io")):
        two.beta.put("contacts", {"email": email, "first": "Ana"}, id)
    two.settled()
    before = {id: two.beta.rows["contacts"][id].values["email"] for id in ids(two)}
    two.clock.advance(5)
    for gone, into in pairwise(chain):
        two.beta.remove("contacts", gone, Gone.MERGED, into=into)
    two.settled()
    after = {id: two.beta.rows["contacts"][id].values["email"] for id in ids(two)}
    assert after == {**{id: before[id] for id in after}, chain[-1]: "a@x.io"}
    assert is_quiet(two)


def test_a_merge_into_the_other_hangs_nowhere(two: Loop) -> None:
    two.clock.advance(5)
    two.beta.remove("contacts", "two", Gone.MERGED, into="one")
    two.settled()
    edit(two, "ana", "c@x.io")
    two.settled()
    assert held(two) == ("c@x.io", "c@x.io")
    assert is_quiet(two)


def test_an_address_changed_on_the_one_left_is_heard(two: Loop) -> None:
    two.clock.advance(5)
    two.beta.remove("contacts", "one", Gone.MERGED, into="two")
    edit(two, "two", "c@x.io")
    two.settled()
    assert held(two) == ("c@x.io", "c@x.io")
    assert is_quiet(two)


def test_where_only_further_addresses_are_left_one_is_the_main_one(two: Loop) -> None:
    two.clock.advance(5)
    two.beta.remove("contacts", "one")
    two.alpha.remove("contacts", "ana")
    two.settled()
    assert held(two) == ("b@x.io",)
    assert told(two, "b@x.io")["values"]["email"] == "b@x.io"


def test_where_no_record_has_the_main_one_any_more_one_is_given_it(two: Loop) -> None:
    two.beta.put("contacts", {"email": "c@x.io"}, "zoe")
    edit(two, "ana", "a@x.io", more="b@x.io;c@x.io")
    two.settled()
    assert held(two) == ("a@x.io", "a@x.io", "b@x.io", "c@x.io")
    two.clock.advance(5)
    two.beta.remove("contacts", "one")
    two.settled()
    assert held(two) == ("a@x.io", "a@x.io", "c@x.io")
    assert is_quiet(two)


@pytest.mark.parametrize("first", ["ana", "bob"])
def test_two_people_merged_on_one_side_keep_their_addresses_on_the_other(loop: Loop, first: str) -> None:
    """Whichever of the two leads lives on: the side that merged them says which address is the main one."""
    emails = {"ana": "a@x.io", "bob": "b@x.io"}
    for name in (first, *({"ana", "bob"} - {first})):
        loop.alpha.put("contacts", {"email": emails[name]}, name)
        loop.beta.put("contacts", {"email": emails[name]}, {"ana": "one", "bob": "two"}[name])
        loop.settled()
    edit(loop, "two", "b2@x.io")
    loop.settled()
    loop.clock.advance(5)
    loop.alpha.remove("contacts", "bob", Gone.MERGED, into="ana")
    loop.alpha.edit("contacts", "ana", {"more": "b2@x.io"})
    loop.settled()
    assert held(loop) == ("a@x.io", "a@x.io", "b2@x.io")
    assert is_quiet(loop)


def test_two_leads_that_a_person_calls_one_keep_their_addresses_everywhere(loop: Loop) -> None:
    for name, id, email in (("ana", "one", "a@x.io"), ("bob", "two", "b@x.io")):
        loop.alpha.put("contacts", {"email": email}, name)
        loop.beta.put("contacts", {"email": email}, id)
        loop.settled()
    edit(loop, "two", "b2@x.io")
    loop.settled()
    with loop.workspace.state.begin() as tx:
        link(tx, loop.workspace, str(find(tx, "a@x.io")), str(find(tx, "b2@x.io")))
    loop.settled()
    assert held(loop) == ("a@x.io", "b2@x.io", "a@x.io", "b2@x.io")
    assert is_quiet(loop)


@pytest.mark.parametrize(
    ("order", "given", "stand"),
    [
        ("cat one two", {}, ("a@x.io", "a@x.io", "b@x.io")),
        ("cat one two", {"cat": "2026-03-01T12:00:00.000Z"}, ("c@x.io", "c@x.io", "b@x.io")),
        ("one two cat", {}, ("c@x.io", "c@x.io", "b@x.io")),
        ("cat zoe one two", {}, ("c@x.io", "a@x.io", "b@x.io", "c@x.io")),
    ],
)
def test_a_further_address_of_who_becomes_another_is_one_of_theirs(
    loop: Loop, order: str, given: dict[str, str], stand: tuple[str, ...]
) -> None:
    """However new it is it is not their main one: that is the main one of either, or that of the lead that stays, where
    both have a record at beta."""
    people = {"cat": "c@x.io", "zoe": "c@x.io", "one": "a@x.io", "two": "b@x.io"}
    numbers = count()  # of two leads the first stays
    loop.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    for name in order.split():
        side = loop.alpha if name == "cat" else loop.beta
        side.put("contacts", {"email": people[name]}, name)
        side.rows["contacts"][name].version = given.get(name, stamp(loop.clock.now()))
        loop.settled()
        loop.clock.advance(5)
    for other in ("b@x.io", "c@x.io"):
        with loop.workspace.state.begin() as tx:
            link(tx, loop.workspace, str(find(tx, "a@x.io")), str(find(tx, other)))
        loop.settled()
    assert held(loop) == stand
    assert is_quiet(loop)


def test_who_joins_while_the_main_address_is_changed_does_not_follow(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "a@x.io", "more": "b@x.io"}, "ana")
    loop.beta.put("contacts", {"email": "a@x.io"}, "one")
    loop.settled()
    loop.beta.put("contacts", {"email": "b@x.io"}, "two")
    edit(loop, "one", "c@x.io")
    loop.settled()
    assert held(loop) == ("c@x.io", "c@x.io", "b@x.io")
    assert is_quiet(loop)


def test_nor_where_the_main_one_stood_on_a_record_that_we_made_and_that_changes_first(loop: Loop) -> None:
    """Nothing has happened to the lead since it was made there, so that nobody noted yet that it has the main one."""
    mapping = loop.folder / "mappings" / "beta.yaml"
    contacts = "  contacts: \n    kind: lead\n"
    mapping.write_text(mapping.read_text().replace(contacts, contacts + '    create_when: "true"\n'))
    loop.reopen()
    loop.alpha.put("contacts", {"email": "a@x.io", "more": "b@x.io"}, "ana")
    loop.settled()
    [made] = ids(loop)
    edit(loop, made, "c@x.io")
    loop.clock.advance(5)
    loop.beta.put("contacts", {"email": "b@x.io"}, "zoe")
    loop.settled()
    assert sorted(held(loop)) == ["b@x.io", "c@x.io", "c@x.io"]
    assert loop.beta.rows["contacts"]["zoe"].values["email"] == "b@x.io"
    assert is_quiet(loop)


@pytest.mark.parametrize(
    ("which", "then"), [("three", ("c@x.io", "c@x.io", "b@x.io")), ("two", ("a@x.io", "a@x.io", "c@x.io"))]
)
def test_a_record_made_by_a_conversion_is_what_the_one_before_was(two: Loop, which: str, then: tuple[str, ...]) -> None:
    """Somebody is converted, and their address changed on the way: the main one, or the further one."""
    two.beta.put("prospects", {"email": {"three": "a@x.io", "two": "b@x.io"}[which]}, "lead")
    two.beta.remove("contacts", "two", Gone.DELETED) if which == "two" else None
    two.settled()
    two.clock.advance(5)
    two.beta.put("contacts", {"email": "c@x.io"}, "zoe")
    two.beta.remove("prospects", "lead", Gone.CONVERTED, into="zoe", into_object="contacts")
    two.settled()
    assert sorted(held(two)) == sorted((*then, *(["c@x.io"] if which == "three" else [])))
    assert is_quiet(two)


@pytest.mark.parametrize("first", ["what it made", "what was converted"])
def test_an_address_changed_before_a_conversion_is_heard(loop: Loop, first: str) -> None:
    """Whichever of the two records is seen first, and though there is another one of the old address."""
    mapping = loop.folder / "mappings" / "beta.yaml"
    name = "      - {remote: first, field: first_name, direction: both}\n"
    mapping.write_text(mapping.read_text().replace(name, name + "      - {remote: hub, field: hubspot_id}\n"))
    loop.reopen()
    loop.alpha.put("contacts", {"email": "a@x.io"}, "ana")
    loop.beta.put("prospects", {"email": "a@x.io", "hub": "7"}, "lead")
    loop.beta.put("prospects", {"email": "a@x.io"}, "other")
    loop.settled()
    loop.clock.advance(5)
    loop.beta.rows["prospects"]["lead"].values["email"] = "c@x.io"
    if first == "what was converted":
        loop.beta.remove("prospects", "lead", Gone.CONVERTED, into="zoe", into_object="contacts")
        loop.sync()
    loop.beta.put("contacts", {"email": "c@x.io", "hub": "7"}, "zoe")
    if first == "what it made":
        loop.sync()
        loop.clock.advance(5)
        loop.beta.remove("prospects", "lead", Gone.CONVERTED, into="zoe", into_object="contacts")
    loop.settled()
    assert held(loop) == ("c@x.io", "c@x.io")
    assert loop.beta.rows["prospects"]["other"].values["email"] == "c@x.io"
    assert is_quiet(loop)


def test_nobody_is_asked_where_a_person_decides_the_address(two: Loop) -> None:
    two.rule("email", "ask")
    two.clock.advance(5)
    two.alpha.edit("contacts", "ana", {"title": "Boss"})
    two.settled()
    assert held(two) == ("a@x.io", "a@x.io", "b@x.io")
    assert is_quiet(two)


def test_explain_says_who_keeps_another_address(two: Loop) -> None:
    found = told(two)
    [email] = [field for field in found["fields"] if field["field"] == "email"]
    assert email["beside"] == [{"source": "beta/contacts/two", "value": "b@x.io"}]
    assert email["over"] == []
    console = Console(record=True, width=200)
    show_lead(found, console)
    assert "beta/contacts …two keeps b@x.io, another of their addresses." in console.export_text()
