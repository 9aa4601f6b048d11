"""Which operations follow from what is known: tables for updates, creates, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mappings.model import Values
from sync.core.plan import NAME, Change, Fate, Planned, fingerprint, standing
from sync.core.views import UNDECIDED, Provenance
from tests.core.plans import FIELDS, lead, nothing_refused, plainly, planned, record, refusing, target

TOLD = "alpha/contacts/title says so since 5 (most_recent)"

# updates


def test_what_differs_is_written_and_nothing_else() -> None:
    here = record(body={"email": "a@x.io", "title": "Clerk", "vip": True}, changed={"title": "3"}, hash=7)
    outcome = planned(lead({"email": "a@x.io", "title": "Chief", "vip": True}, here))
    [operation] = outcome.operations
    assert operation == Planned(
        connection="crm",
        object="contacts",
        verb="update",
        lead="ld_1",
        record="1",
        changes=(Change("title", "R_title", "Clerk", "Chief", TOLD, "5", "3"),),
        values={"R_title": "Chief"},
        match={"R_email": "a@x.io"},
        seen=7,
    )
    assert outcome.problems == []
    assert (operation.after, operation.before, operation.times) == (
        {"title": "Chief"},
        {"title": "Clerk"},
        {"title": ["3", "5"]},
    )


def test_a_record_that_holds_it_all_is_left_alone() -> None:
    here = record(body={"email": "a@x.io", "title": "Chief"})
    assert planned(lead({"email": "a@x.io", "title": "Chief"}, here)).operations == []


def test_changes_come_by_name_and_a_value_without_a_reason_has_none() -> None:
    here = record(body={})
    outcome = planned(replace(lead({"vip": True, "title": "Chief", "email": "a@x.io"}, here), reasons={}))
    [operation] = outcome.operations
    assert [change.field for change in operation.changes] == ["email", "title", "vip"]
    assert {(change.reason, change.at, change.since) for change in operation.changes} == {("", "", "")}


def test_a_field_that_is_not_pushed_is_not_written() -> None:
    narrow = target(pushed=frozenset({"email"}))
    assert planned(lead({"title": "Chief"}, record()), narrow).operations == []


def test_a_field_that_the_lead_does_not_have_is_not_written() -> None:
    assert planned(lead({}, record(body={"title": "Clerk"}))).operations == []


def test_a_difference_that_the_platform_cannot_hold_is_none() -> None:
    here = record(body={"title": "A very l"})
    assert planned(lead({"title": "A very long title"}, here)).operations == []
    [operation] = planned(lead({"title": "A very long title"}, record())).operations
    assert operation.after == {"title": "A very l"}


def test_no_over_nothing_is_no_news_but_no_over_yes_is() -> None:
    assert planned(lead({"vip": False}, record())).operations == []
    assert planned(lead({"vip": False}, record(body={"vip": True}))).operations[0].after == {"vip": False}
    assert planned(lead({"vip": True}, record(body={"vip": None}))).operations[0].after == {"vip": True}


@pytest.mark.parametrize(("blank", "name"), [(None, "title"), ([], "tags")])
def test_a_blank_is_written_only_where_somebody_cleared_it(blank: Any, name: str) -> None:
    cleared = Provenance("alpha/contacts/1", "5", "most_recent", cleared=True)
    kept = replace(cleared, cleared=False)
    held = ["a"] if name == "tags" else "Clerk"
    [operation] = planned(lead({name: blank}, record(body={name: held}), **{name: cleared})).operations
    assert operation.after == {name: blank}
    assert planned(lead({name: blank}, record(body={name: held}), **{name: kept})).operations == []
    without = replace(lead({name: blank}, record(body={name: held})), reasons={})
    assert planned(without).operations == []
    blanks: list[Any] = [None, []]
    for nothing in blanks:
        assert planned(lead({name: blank}, record(body={name: nothing}), **{name: cleared})).operations == []


@pytest.mark.parametrize(
    ("name", "have", "want", "written"),
    [
        ("email_consent", "subscribed", "unsubscribed", True),
        ("email_consent", "unsubscribed", "subscribed", False),
        ("email_consent", "unknown", "unknown", False),
        ("email_consent", None, "subscribed", True),
        ("email_consent", "odd", "subscribed", True),
        ("email_consent", "subscribed", "odd", False),
        ("lifecycle_stage", "lead", "customer", True),
        ("lifecycle_stage", "customer", "lead", False),
        ("title", "b", "a", True),
    ],
)
def test_consent_closes_and_a_stage_moves_forward(name: str, have: Any, want: Any, written: bool) -> None:
    outcome = planned(lead({name: want}, record(body={name: have})))
    assert bool(outcome.operations) is written


def test_a_field_that_nobody_knows_is_written_as_it_is() -> None:
    assert planned(lead({"title": "b"}, record(body={"title": "a"})), fields={}).operations


def test_what_a_person_is_still_to_decide_goes_nowhere() -> None:
    here = record(body={"title": "Clerk"})
    open_ = {"title": Provenance("a", "1", UNDECIDED)}
    [operation] = planned(lead({"title": "Chief", "vip": True}, here, **open_)).operations
    assert operation.after == {"vip": True}


# what the platform made of it, and what a person took back


def test_what_the_platform_made_of_a_value_stands() -> None:
    here = record(body={"title": "CHIEF"}, held={"title": ("Chief", "CHIEF")})
    assert planned(lead({"title": "Chief"}, here)).operations == []
    assert planned(lead({"title": "Head"}, here)).operations
    assert planned(lead({"title": "Chief"}, replace(here, body={"title": "Clerk"}))).operations
    assert planned(lead({"title": "Chief"}, replace(here, held={"vip": ("Chief", "CHIEF")}))).operations


def test_a_wish_that_was_taken_back_is_not_made_again() -> None:
    here = record(body={"title": "Clerk"}, pinned={"title": (fingerprint("Chief"), fingerprint("Clerk"))})
    assert planned(lead({"title": "Chief"}, here)).operations == []
    assert planned(lead({"title": "Head"}, here)).operations
    assert planned(lead({"title": "Chief"}, replace(here, body={"title": "Buyer"}))).operations
    assert planned(lead({"vip": True}, here)).operations


# what is refused, and what cannot be said


def test_a_value_that_was_refused_is_left_out_and_the_rest_goes() -> None:
    here = record(body={"email": "a@x.io"})
    held = refusing(("crm", "contacts", "1", "ld_1", "title", "Chief"))
    [operation] = planned(lead({"title": "Chief", "vip": True}, here), refused=held).operations
    assert (operation.after, operation.values) == ({"vip": True}, {"R_vip": True})
    assert planned(lead({"title": "Head"}, here), refused=held).operations
    assert planned(lead({"title": "Chief"}, here), refused=held).operations == []


def test_each_field_is_looked_at_whatever_became_of_the_one_before() -> None:
    """Fields come in no order: each in turn is the one that is refused, or is not to be said."""
    wish: dict[str, Any] = {"email": "b@x.io", "title": "Chief", "vip": True}
    for name in wish:
        held = refusing(("crm", "contacts", "1", "ld_1", name, wish[name]))
        [operation] = planned(lead(wish, record(body={"email": "a@x.io"})), refused=held).operations
        assert set(operation.after) == set(wish) - {name}
    cut = record(body={"email": "a@x.io", "title": "A very l"})
    [operation] = planned(lead({**wish, "title": "A very long title"}, cut)).operations
    assert set(operation.after) == {"email", "vip"}


def test_an_operation_that_was_refused_as_a_whole_is_not_sent_again() -> None:
    held = refusing(("crm", "contacts", "1", "ld_1", "", {"R_title": "Chief"}))
    assert planned(lead({"title": "Chief"}, record()), refused=held).operations == []
    assert planned(lead({"title": "Head"}, record()), refused=held).operations
    outcome = planned(lead({"title": "Chief"}, record("1"), record("2")), refused=held)
    assert [operation.record for operation in outcome.operations] == ["2"]


def test_what_cannot_be_said_is_told_and_the_rest_goes() -> None:
    where = target()
    outcome = planned(lead({"title": "unsayable", "vip": True}, record()), where)
    assert outcome.problems == [(where, "1", "title", "has no such value")]
    [operation] = outcome.operations
    assert operation.values == {"R_vip": True}


# which records


def test_every_live_record_is_brought_into_line() -> None:
    records = [record("1"), record("2", gone="deleted"), record("3", object="prospects"), record("4")]
    outcome = planned(lead({"title": "Chief"}, *records), target(), target(object="prospects"))
    assert [(op.object, op.record) for op in outcome.operations] == [
        ("contacts", "1"),
        ("prospects", "3"),
        ("contacts", "4"),
    ]


def test_an_object_that_takes_no_updates_or_is_no_target_is_left_alone() -> None:
    assert planned(lead({"title": "Chief"}, record()), target(can_update=False)).operations == []
    assert planned(lead({"title": "Chief"}, record()), target(object="prospects")).operations == []


def test_the_key_it_is_known_by_now_is_told() -> None:
    here = record(body={"email": "old@x.io"})
    assert standing(here, target()) == {"R_email": "old@x.io"}
    assert standing(here, target(match=("title", "email"))) == {"R_email": "old@x.io"}
    assert standing(record(body={"email": None}), target()) == {}
    silent = target(express=lambda values, creating: ({}, {}, {}))
    assert standing(here, silent) == {}
    twofold = record(body={"email": "old@x.io", "title": "Clerk"})
    assert standing(twofold, target(match=("email", "title"))) == {"R_email": "old@x.io", "R_title": "Clerk"}


# creates


def test_a_lead_without_a_record_gets_one() -> None:
    outcome = planned(lead({"email": "a@x.io", "title": "Chief", "vip": None, "tags": []}), target(handoff=True))
    reason = "alpha/contacts/email says so since 5 (most_recent)"
    assert outcome.operations == [
        Planned(
            connection="crm",
            object="contacts",
            verb="create",
            lead="ld_1",
            record="",
            changes=(
                Change("email", "R_email", None, "a@x.io", reason, "5"),
                Change("title", "R_title", None, "Chief", TOLD, "5"),
            ),
            values={"Made": "yes", "R_email": "a@x.io", "R_title": "Chief"},
            match={"R_email": "a@x.io"},
            seen=0,
            why="create_when",
            handoff=True,
        )
    ]


def test_nobody_is_made_where_one_stands_or_stood() -> None:
    ana = {"email": "a@x.io"}
    for gone in (None, "deleted", "merged", "filtered"):
        here = record(body=ana, gone=gone)
        assert planned(lead(ana, here)).operations == []
    elsewhere = record(connection="other", body=ana)
    assert [op.verb for op in planned(lead(ana, elsewhere)).operations] == ["create"]


def test_nobody_is_made_without_a_wish_or_a_way() -> None:
    ana = {"email": "a@x.io"}
    assert planned(lead(ana), target(creates="")).operations == []
    assert planned(lead(ana), target(can_create=False)).operations == []


def test_the_first_object_of_a_connection_that_wants_one_makes_it() -> None:
    ana = {"email": "a@x.io"}
    first, second = target(object="prospects", creates=""), target()
    other = target("mail")
    outcome = planned(lead(ana), first, second, target(object="third"), other)
    assert [(op.connection, op.object) for op in outcome.operations] == [("crm", "contacts"), ("mail", "contacts")]


def test_nobody_is_made_without_the_key_that_finds_them_again() -> None:
    outcome = planned(lead({"title": "Chief"}), target(), target(object="prospects"))
    assert outcome.operations == []
    assert planned(lead({"title": "Chief"}), target(match=())).operations
    assert planned(lead({"title": "Chief"}), target(match=("email", "title"))).operations[0].match == {
        "R_title": "Chief"
    }


def test_what_cannot_be_said_is_left_out_of_a_new_record_and_told() -> None:
    where = target()
    outcome = planned(lead({"email": "a@x.io", "title": "unsayable"}), where)
    assert outcome.problems == [(where, "", "title", "has no such value")]
    assert outcome.operations[0].values == {"Made": "yes", "R_email": "a@x.io"}


def test_what_was_refused_is_left_out_of_a_new_record() -> None:
    held = refusing(("crm", "contacts", "", "ld_1", "title", "Chief"))
    outcome = planned(lead({"email": "a@x.io", "title": "Chief"}), refused=held)
    [operation] = outcome.operations
    assert operation.after == {"email": "a@x.io"}
    assert operation.values == {"Made": "yes", "R_email": "a@x.io"}
    key = refusing(("crm", "contacts", "", "ld_1", "email", "a@x.io"))
    assert planned(lead({"email": "a@x.io", "title": "Chief"}), refused=key).operations == []


def test_a_new_record_that_was_refused_as_a_whole_is_not_sent_again() -> None:
    ana = {"email": "a@x.io"}
    held = refusing(("crm", "contacts", "", "ld_1", "", {"Made": "yes", "R_email": "a@x.io"}))
    assert planned(lead(ana), target(), target(object="prospects"), refused=held).operations == []
    assert planned(lead({**ana, "vip": True}), refused=held).operations


def test_a_field_that_is_not_pushed_is_no_part_of_a_new_record() -> None:
    narrow = target(pushed=frozenset({"email"}))
    assert planned(lead({"email": "a@x.io", "title": "Chief"}), narrow).operations[0].after == {"email": "a@x.io"}


# deletions

ARCHIVE = Fate("archive", "alpha/contacts/1 was deleted there")


def test_who_was_deleted_elsewhere_is_put_away_with_what_it_held_and_nobody_is_made() -> None:
    here = record(body={"email": "a@x.io", "title": "Clerk", "vip": None, "odd": 1}, changed={"title": "3"}, hash=7)
    gone = record("2", gone="archived")
    outcome = planned(lead({"title": "Chief"}, here, gone), target(can_archive=True), target("mail"), fate=ARCHIVE)
    assert outcome.operations == [
        Planned(
            connection="crm",
            object="contacts",
            verb="archive",
            lead="ld_1",
            record="1",
            changes=(
                Change("email", "R_email", "a@x.io", None, "", "", ""),
                Change("title", "R_title", "Clerk", None, "", "", "3"),
            ),
            values={},
            match={"R_email": "a@x.io"},
            seen=7,
            why="alpha/contacts/1 was deleted there",
        )
    ]
    assert outcome.problems == []


def test_where_it_was_put_away_once_a_record_is_kept_in_step() -> None:
    fate = replace(ARCHIVE, done=frozenset({"crm"}))
    where = target(can_archive=True)
    [operation] = planned(lead({"title": "Chief"}, record()), where, fate=fate).operations
    assert operation.verb == "update"
    assert planned(lead({"email": "a@x.io"}), where, fate=fate).operations == []


@pytest.mark.parametrize(
    ("values", "can", "why"), [({"open_deals": 0}, True, "in a deal"), ({"open_deals": None}, False, "no program can")]
)
def test_who_cannot_be_put_away_is_told(values: Any, can: bool, why: str) -> None:
    where = target(can_archive=can)
    outcome = planned(lead(values, record(), record("2", object="other")), where, fate=ARCHIVE)
    assert outcome.operations == []
    [(place, id, name, told)] = outcome.problems
    assert (place, id, name) == (where, "1", "")
    assert told.startswith(ARCHIVE.why)
    assert why in told


def test_what_is_unlinked_is_left_alone() -> None:
    outcome = planned(lead({"title": "Chief"}, record()), fate=Fate("unlink", "gone"))
    assert (outcome.operations, outcome.problems) == ([], [])


# identity


def test_the_same_wish_over_the_same_record_has_the_same_name() -> None:
    [one] = planned(lead({"title": "Chief", "vip": True}, record(hash=1))).operations
    [same] = planned(lead({"vip": True, "title": "Chief"}, record(hash=1))).operations
    assert one.key == same.key
    assert one.key.startswith("op_")
    assert one.op("run_1") == f"{one.key}:run_1"
    different = [
        replace(one, connection="x"),
        replace(one, object="x"),
        replace(one, verb="x"),
        replace(one, lead="x"),
        replace(one, record="x"),
        replace(one, seen=2),
        replace(one, values={"R_title": "Head"}),
    ]
    assert len({one.key, *(other.key for other in different)}) == 8


def test_a_fingerprint_does_not_see_the_order_of_members() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    values: list[Any] = [None, "", 0, False, [], {}, "a"]
    assert len({fingerprint(value) for value in values}) == 7


def test_the_surroundings_of_these_tests_speak_as_a_platform_does() -> None:
    assert plainly({"title": "unsayable"}, False) == ({}, {}, {"title": "has no such value"})
    assert not nothing_refused("crm")
    assert set(FIELDS) >= {"email", "title"}


def test_a_create_tells_what_it_says_by_name_and_not_what_it_leaves_blank() -> None:
    def lossily(values: Values, creating: bool) -> tuple[dict[str, Any], Values, Mapping[str, str]]:
        remote, back, wrong = plainly(values, creating)
        return remote, {**back, "vip": None, "tags": []}, wrong

    wanted = lead({"title": "Head", "email": "ana@x.io", "vip": True, "tags": ["a"]})
    [operation] = planned(wanted, target(express=lossily)).operations
    assert [change.field for change in operation.changes] == ["email", "title"]


def test_of_two_records_of_one_object_one_bears_the_leads_name() -> None:
    """A platform takes it no second time, and would refuse whatever is written with it. One of each object bears it."""
    named = target(pushed=frozenset({NAME, "title"}), match=(NAME, "email"))
    leads = target(object="leads", pushed=frozenset({NAME}), match=(NAME,))
    body = {NAME: None, "title": "Head"}
    one, two, three = record("1", body=body), record("2", body=body), record("3", object="leads", body={NAME: None})
    wanted = lead({NAME: "ld_1", "title": "Chief"}, one, two, three)
    written = {op.record: op.after for op in planned(wanted, named, leads).operations}
    assert written == {"1": {NAME: "ld_1", "title": "Chief"}, "2": {"title": "Chief"}, "3": {NAME: "ld_1"}}
    bearing = lead({NAME: "ld_1"}, one, replace(two, body={NAME: "ld_1"}))
    assert planned(bearing, named).operations == []
    other = target(pushed=frozenset({NAME}), match=("email",))
    assert [op.record for op in planned(lead({NAME: "ld_1"}, one, two), other).operations] == ["1", "2"]


def test_of_records_beside_the_main_address_one_takes_it_where_no_other_can() -> None:
    """One that is only read cannot: it holds the old one for good."""
    bodies = {"1": {"email": "a@x.io"}, "2": {"email": "b@x.io"}, "3": {"email": "c@x.io"}}
    one, two, three = (record(id, body=body) for id, body in bodies.items())
    beside = Provenance("alpha/contacts/9", "5", "most_recent", beside=((two.name, "b@x.io"), (three.name, "c@x.io")))
    wanted = lead({"email": "d@x.io"}, replace(one, object="read"), two, three, email=beside)
    read = target(object="read", can_update=False)
    assert [op.record for op in planned(wanted, target(), read).operations] == ["2"]
    assert [op.record for op in planned(replace(wanted, records=(one, two, three)), target()).operations] == ["1"]
    kept = lead({"email": "a@x.io"}, replace(one, object="read"), two, three, email=beside)
    assert planned(kept, target(), read).operations == []


def test_of_records_beside_the_main_address_the_heir_of_the_one_that_had_it_takes_it() -> None:
    """Also where that lived on as another which was merged in its turn. An heir of a further address is none."""
    two, three = record("2", body={"email": "b@x.io"}), record("3", body={"email": "c@x.io"})
    beside = Provenance("alpha/contacts/9", "5", "most_recent", beside=((two.name, "b@x.io"), (three.name, "c@x.io")))
    had = record("4", body={"email": "a@x.io"}, gone="merged", into="contacts/5")
    between = record("5", body={"email": "d@x.io"}, gone="merged", into="contacts/3")
    other = record("6", body={"email": "e@x.io"}, gone="merged", into="contacts/2")
    deleted = record("7", body={"email": "a@x.io"}, gone="deleted")
    for gone in ((replace(had, into="contacts/3"), other), (had, between, other), (between, had, other, deleted)):
        wanted = lead({"email": "a@x.io"}, *gone, two, three, email=beside)
        assert [op.record for op in planned(wanted).operations] == ["3"]


def test_a_record_beside_the_main_address_takes_it_only_where_it_is_written_and_nobody_has_it() -> None:
    two, three = record("2", object="read", body={"email": "b@x.io"}), record("3", body={"email": "c@x.io"})
    beside = Provenance("alpha/contacts/9", "5", "most_recent", beside=((two.name, "b@x.io"), (three.name, "c@x.io")))
    places = target(), target(object="read", can_update=False)
    wanted = lead({"email": "a@x.io"}, two, three, email=beside)
    assert [op.record for op in planned(wanted, *places).operations] == ["3"]
    read = record("4", object="read", body={"email": "d@x.io"}), record("5", object="read", body={"email": "a@x.io"})
    assert planned(replace(wanted, records=(*read, two, three)), *places).operations == []
