"""What a copy of a deal should hold, so which operation follows; laws of it, whatever the values are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.model import DEAL_FIELDS, Values
from sync.core.copies import DealTarget, on_account_of, plan_copy
from sync.core.plan import Outcome, Planned, Target, fingerprint
from sync.core.views import DealView, LeadView, RecordView
from tests.core.plans import Express, nothing_refused, plainly, refusing

HOME = "crm/deals/7"
PERSON = RecordView("tool", "contacts", "1", {}, "1")
LEAD = LeadView("ld_1", {"email": "ana@x.io"}, {})


def deal(**body: Any) -> DealView:
    return DealView("crm", "deals", "7", body, "2026-03-01T09:00:00.000Z")


def copy(body: Values, **more: Any) -> RecordView:
    return RecordView("tool", "deals", "c", {"home": HOME, **body}, "1", hash=5, **more)


def into(wants: bool = True, express: Express = plainly, **more: Any) -> DealTarget:
    remote = {name: f"R_{name}" for name in DEAL_FIELDS}
    target = Target("tool", "deals", frozenset(DEAL_FIELDS), ("home",), remote, express, lambda lead: "", **more)
    return DealTarget(target, lambda deal, lead: wants)


def plan(
    of: DealView,
    held: RecordView | None = None,
    person: RecordView | None = PERSON,
    target: DealTarget | None = None,
    refused: Any = nothing_refused,
) -> Outcome:
    return plan_copy(of, LEAD, target or into(), person, held, refused)


def changes(outcome: Outcome) -> dict[str, tuple[Any, Any]]:
    [operation] = outcome.operations
    return {change.field: (change.old, change.new) for change in operation.changes}


def test_a_copy_is_made_with_its_home_and_its_person_and_says_why() -> None:
    [made] = plan(deal(name="Big", is_won=True, lost_reason=None)).operations
    assert made == Planned(
        connection="tool",
        object="deals",
        verb="create",
        lead="ld_1",
        record="",
        changes=made.changes,
        values={"Made": "yes", "R_name": "Big", "R_is_won": True, "R_home": HOME, "person": "contacts/1"},
        match={"R_home": HOME},
        seen=0,
        why=f"copy of {HOME}, for a person who stands here",
        about=HOME,
    )
    assert {change.reason for change in made.changes} == {f"{HOME} says so since 2026-03-01 09:00:00 (the deal's home)"}


@pytest.mark.parametrize(
    ("person", "target"),
    [(None, into()), (PERSON, into(wants=False)), (PERSON, into(can_create=False))],
    ids=["nobody stands there", "create_when does not hold", "the platform makes none"],
)
def test_where_none_is_to_be_made_none_is(person: RecordView | None, target: DealTarget) -> None:
    assert plan(deal(name="Big"), None, person, target) == Outcome()


def test_a_copy_gets_what_changed_at_home_and_no_more() -> None:
    held = copy({"name": "Big", "stage": "One", "source": "theirs"})
    outcome = plan(deal(name="Big", stage="Two"), held)
    assert changes(outcome) == {"stage": ("One", "Two")}
    [operation] = outcome.operations
    assert (operation.verb, operation.record, operation.seen, operation.why) == ("update", "c", 5, f"{HOME} changed")
    assert "person" not in operation.values


def test_what_is_blank_at_home_is_cleared_and_what_home_does_not_tell_is_left() -> None:
    held = copy({"lost_reason": "price", "type": "new"})
    assert changes(plan(deal(lost_reason=None), held)) == {"lost_reason": ("price", None)}


def test_a_name_of_home_that_somebody_blanked_is_written_again() -> None:
    assert changes(plan(deal(), copy({"home": None}))) == {"home": (None, HOME)}


@pytest.mark.parametrize("held", [copy({}, gone="deleted"), copy({"name": "Big"})])
def test_a_copy_that_is_gone_or_in_line_is_left_alone(held: RecordView) -> None:
    assert plan(deal(name="Big"), held) == Outcome()
    assert plan(deal(name="Other"), copy({"name": "Big"}), target=into(can_update=False)) == Outcome()


def test_what_the_platform_made_of_a_value_and_what_was_taken_back_stay() -> None:
    rewritten = copy({"name": "BIG"}, held={"name": ("Big", "BIG")})
    assert plan(deal(name="Big"), rewritten) == Outcome()
    pinned = copy({"name": "Old"}, pinned={"name": (fingerprint("Big"), fingerprint("Old"))})
    assert plan(deal(name="Big"), pinned) == Outcome()


def test_what_was_refused_is_left_out_by_its_deal() -> None:
    place = ("tool", "deals", HOME, "ld_1")
    [made] = plan(deal(name="Big", stage="x"), refused=refusing((*place, "stage", "x"))).operations
    assert "R_stage" not in made.values
    whole = refusing((*place, "", dict(made.values)))
    assert plan(deal(name="Big"), refused=whole) == Outcome()


def test_what_cannot_be_said_is_told_of_the_deal_and_the_rest_goes_on() -> None:
    outcome = plan(deal(name="Big", stage="unsayable"))
    assert [(record, field, why) for _, record, field, why in outcome.problems] == [
        (HOME, "stage", "has no such value")
    ]
    assert len(outcome.operations) == 1


def test_a_copy_is_made_for_the_first_who_stands_there_and_kept_for_the_first_of_all() -> None:
    standing = {"ld_2": PERSON}.get
    assert on_account_of(["ld_1", "ld_2"], standing, copied=False) == ("ld_2", PERSON)
    assert on_account_of(["ld_1"], standing, copied=False) == ("", None)
    assert on_account_of(["ld_1", "ld_2"], standing, copied=True) == ("ld_1", None)
    assert on_account_of([], standing, copied=True) == ("", None)


VALUES = st.dictionaries(
    st.sampled_from([name for name in DEAL_FIELDS if name != "home"]),
    st.none() | st.booleans() | st.text("abc", max_size=3) | st.just({"amount": "5", "currency": "EUR"}),
)


def applied(held: Values, outcome: Outcome) -> Values:
    return {**held, **{change.field: change.new for op in outcome.operations for change in op.changes}}


@given(home=VALUES, held=VALUES)
def test_after_one_write_a_copy_is_in_line_and_stays_so(home: Values, held: Values) -> None:
    body = applied({"home": HOME, **held}, plan(deal(**home), copy(held)))
    assert plan(deal(**home), copy(body)) == Outcome()
    for name, value in home.items():
        assert body.get(name) == value or (not body.get(name) and value in (None, False))


@given(home=VALUES)
def test_a_new_copy_is_in_line_with_its_home(home: Values) -> None:
    [made] = plan(deal(**home)).operations
    assert plan(deal(**home), copy(dict(made.after))) == Outcome()


@given(home=VALUES, held=VALUES)
def test_a_copy_is_never_made_twice_and_never_put_away(home: Values, held: Values) -> None:
    assert {operation.verb for operation in plan(deal(**home), copy(held)).operations} <= {"update"}
