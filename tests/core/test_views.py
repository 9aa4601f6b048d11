"""What a merge or a conversion carries over is no news; and how a reason is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync.core.views import OURSELVES, UNDECIDED, Provenance, RecordView, inherited

OLD, NEW = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"


def record(id: str, body: dict[str, Any], first_at: str, **more: Any) -> RecordView:
    return RecordView("crm", "leads", id, body, first_at, **more)


def test_what_a_conversion_carried_over_counts_from_when_it_was_said() -> None:
    lead = record("1", {"title": "Chief", "city": "Rome"}, OLD, gone="converted", into="leads/2")
    contact = record("2", {"title": "Chief", "city": "Oslo", "company": None}, NEW)
    told = {view.id: view for view in inherited([lead, contact])}
    assert told["2"].at("title") == OLD
    assert told["2"].at("city") == NEW
    assert told["2"].at("company") == NEW
    assert told["1"] == lead


def test_a_later_date_is_not_inherited_and_nothing_comes_from_another_connection() -> None:
    later = record("1", {"title": "Chief"}, NEW, gone="merged", into="leads/2")
    earlier = record("2", {"title": "Chief"}, OLD)
    assert list(inherited([later, earlier])) == [later, earlier]
    heir = record("2", {"title": "Chief"}, NEW)
    elsewhere = replace(record("1", {"title": "Chief"}, OLD), connection="mail")
    assert list(inherited([elsewhere, heir])) == [elsewhere, heir]


def test_a_conversion_seen_first_by_what_it_made_carries_too_and_what_was_changed_there_since_does_not() -> None:
    living = record("1", {"title": "Chief", "city": "Rome"}, OLD)
    heir = record("2", {"title": "Chief", "city": "Rome"}, NEW, changed={"city": NEW})
    told = {view.id: view for view in inherited([living, heir])}
    assert told["2"].at("title") == OLD
    assert told["2"].at("city") == NEW


def test_what_a_conversion_made_says_otherwise_replaced_what_it_was_made_with_by_whatever_clock() -> None:
    ahead, ours = "2026-02-01T04:00:00.000Z", "2026-02-01T00:10:00.000Z"
    lead = record("1", {"title": "Chief", "city": "Rome"}, ahead, gone="converted", into="leads/2")
    contact = record("2", {"title": "Chief", "city": "Oslo", "company": "Granit"}, ours)
    told = {view.id: view for view in inherited([lead, contact])}
    assert told["2"].at("title") == ahead
    assert told["2"].at("city") == "2026-02-01T04:00:00.001Z"
    assert told["2"].at("company") == ours


CUT: dict[str, Any] = {"held": {"title": ("Chief of all", "Chief")}}
"""The platform had cut off what we wrote."""


@pytest.mark.parametrize("ended", [{"gone": "converted", "into": "leads/2"}, {}])
def test_what_a_platform_had_made_of_a_value_of_ours_is_that_on_the_record_that_it_was_carried_to(ended: Any) -> None:
    """Nor was it a person's there, once the whole is gone elsewhere."""
    heir = record("2", {"title": "Chief", "city": "Oslo"}, NEW)
    old = record("1", {"title": "Chief", "city": "Oslo"}, OLD, **CUT, **ended)
    assert {view.id: dict(view.held) for view in inherited([old, heir])} == {"1": CUT["held"], "2": CUT["held"]}


@pytest.mark.parametrize(
    ("was", "holds", "since", "own"),
    [
        ("Chief", "Boss", NEW, {}),
        ("Boss", "Boss", NEW, {}),
        ("Chief", "Chief", "2025-01-01T00:00:00.000Z", {}),
        ("Chief", "Chief", NEW, {"title": ("Chief.", "Chief")}),
    ],
)
def test_what_was_given_there_is_nothing_that_the_platform_made_of_it(
    was: str, holds: str, since: str, own: Any
) -> None:
    heir = record("2", {"title": holds}, since, held=own)
    old = record("1", {"title": was}, OLD, gone="merged", into="leads/2", **CUT)
    assert next(dict(view.held) for view in inherited([old, heir]) if view.id == "2") == own


def test_of_two_that_were_converted_into_one_the_first_made_it() -> None:
    """The other's newer word is gone with it: what the contact says otherwise is no newer for that."""
    ended, later = "2026-02-01T00:01:00.000Z", "2026-02-01T00:30:00.000Z"
    lead = record("1", {"title": "Chief"}, OLD, gone="converted", into="leads/3", version=ended)
    other = record("2", {"title": "Boss"}, NEW, gone="converted", into="leads/3", version=later)
    contact = record("3", {"title": "Chief"}, ended)
    assert [view.at("title") for view in inherited([lead, other, contact])] == [OLD, NEW, OLD]
    both = [replace(lead, version=ended), replace(other, version=ended)]
    assert [view.at("title") for view in inherited([*both, contact])] == [OLD, NEW, OLD]
    given, boss = (
        replace(contact, body={"title": "Head"}),
        replace(other, changed={"title": "2026-02-01T00:20:00.000Z"}),
    )
    assert [view.at("title") for view in inherited([lead, boss, given])] == [OLD, boss.at("title"), ended]


@pytest.mark.parametrize(("how", "first_at"), [("merged", NEW), ("converted", OLD)])
def test_a_record_that_was_there_before_keeps_its_own_dates(how: str, first_at: str) -> None:
    lead = record("1", {"title": "Chief"}, OLD, changed={"title": "2026-02-01T04:00:00.000Z"}, gone=how, into="leads/2")
    contact = record("2", {"title": "Boss"}, first_at)
    assert list(inherited([lead, contact])) == [lead, contact]


def test_what_the_heir_was_given_since_is_no_last_word_of_the_one_that_ended() -> None:
    """Nor does it make an heir that the conversion made look like one that was there already."""
    given = "2026-03-01T00:00:00.000Z"
    lead = record("1", {"title": "Chief"}, OLD, changed={"title": given}, gone="converted", into="leads/2", version=NEW)
    contact = record("2", {"title": "Chief"}, NEW, changed={"title": given})
    [_, heir] = inherited([lead, contact])
    assert heir.at("title") == given
    [_, heir] = inherited([lead, replace(contact, body={"title": "Boss"}, changed={"title": NEW})])
    assert heir.at("title") == "2026-03-01T00:00:00.001Z"


def test_a_value_given_by_hand_is_that_persons_though_a_deleted_record_had_the_same() -> None:
    """A deleted record lives on as nobody: nothing is carried over what people say since."""
    deleted = record("1", {"title": "Chief"}, OLD, gone="deleted")
    given = record("2", {"title": "Chief"}, NEW, changed={"title": NEW})
    assert list(inherited([deleted, given])) == [deleted, given]


def test_of_two_that_were_first_seen_at_once_neither_was_made_of_the_other() -> None:
    one = record("1", {"title": "Chief"}, NEW, changed={"title": OLD})
    other = record("2", {"title": "Chief"}, NEW)
    assert list(inherited([one, other])) == [one, other]


@pytest.mark.parametrize("names", ["123", "321", "213", "132"])
def test_what_came_over_twice_is_as_old_as_it_was_at_the_first(names: str) -> None:
    """A record that was merged into another, and that one converted, all told at once, in whatever order."""
    first, second, third = list(names)
    clerk, between = {"title": "Clerk"}, "2026-01-15T00:00:00.000Z"
    found = [
        record(first, clerk, OLD, gone="merged", into=f"leads/{second}"),
        record(second, clerk, between, changed={"title": NEW}, gone="converted", into=f"leads/{third}"),
        record(third, clerk, NEW),
    ]
    records = inherited(sorted(found, key=lambda one: one.id))
    assert {one.at("title") for one in records} == {OLD}
    assert [one.id for one in records] == ["1", "2", "3"]


def test_of_all_records_of_a_person_each_carries_to_its_own_heir() -> None:
    merged = record("1", {"company": None, "title": "Chief"}, OLD, gone="merged", into="leads/3")
    beside = record("2", {"title": "Buyer"}, OLD)
    heir = record("3", {"company": None, "title": "Chief"}, NEW)
    told = {view.id: view for view in inherited([merged, beside, heir])}
    assert told["3"].at("title") == OLD
    assert told["2"] == beside


@pytest.mark.parametrize(
    ("first_at", "made"), [("2026-01-31T00:00:00.000Z", False), ("2026-01-31T00:00:00.001Z", True)]
)
def test_who_was_there_a_day_before_the_last_word_of_the_converted_was_not_made_by_it(
    first_at: str, made: bool
) -> None:
    """No two clocks are a whole day apart. What was said at the very end was said by the one that ended."""
    lead = record("1", {"title": "Chief"}, OLD, changed={"title": NEW}, gone="converted", into="leads/2", version=NEW)
    contact = record("2", {"title": "Boss"}, first_at)
    [_, heir] = inherited([lead, contact])
    assert heir.at("title") == ("2026-02-01T00:00:00.001Z" if made else first_at)


# how a reason is told


def test_a_reason_says_who_since_when_by_which_rule_and_over_how_many() -> None:
    why = Provenance("crm/leads/1", "2026-03-01T09:30:00.000Z", "most_recent")
    assert why.told() == "crm/leads/1 says so since 2026-03-01 09:30:00 (most_recent)"
    over = (("crm/leads/2", "Boss", OLD), ("crm/leads/3", "Clerk", OLD))
    assert replace(why, over=over).told() == f"{why.told()}, over 2 other"


def test_the_engine_and_an_open_question_have_names_that_people_read_in_reasons() -> None:
    told = Provenance(OURSELVES, "2026-03-01T09:30:00.000Z", UNDECIDED).told()
    assert told == "closedloop says so since 2026-03-01 09:30:00 (undecided)"
