"""The laws of deciding, over whatever is there: merging does not depend on who came first, plans come to rest."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.model import CONSENT, LIFECYCLE, Field, FieldType, Rule
from sync.core.merge import Merged, merge
from sync.core.plan import Planned
from sync.core.views import RecordView
from tests.core.plans import lead, plainly, planned, record, target

ORDER = {"x": ("b", "a")}
OPTIONS = ("a", "b", "c")


def field(rule: Rule) -> dict[str, Field]:
    kind = FieldType.LIST if rule is Rule.UNION else FieldType.TEXT
    return {"x": Field("x", kind, "", rule, OPTIONS)}


def view(connection: str, at: str, value: str | None, blank: str, gone: str | None, rule: Rule) -> RecordView:
    said: Any = value
    if rule is Rule.UNION:
        said = [value] if value else []
    changed = {} if value else {"x": at}
    return RecordView(
        connection, "contacts", connection, {"x": said}, at, changed, {}, frozenset("x"), {"x": blank}, gone
    )


values = st.one_of(st.none(), st.sampled_from(OPTIONS))
blanks = st.sampled_from(["ignore", "clear", "known"])
fates = st.sampled_from([None, None, "deleted"])


@st.composite
def voices(draw: st.DrawFn, *, apart: bool) -> tuple[Rule, list[RecordView]]:
    """A rule and up to four records; `apart` gives each an instant of its own."""
    rule = draw(st.sampled_from(list(Rule)))
    names = draw(st.lists(st.sampled_from("abcd"), max_size=4, unique=True))
    instants = draw(st.permutations("1234")) if apart else [draw(st.sampled_from("123")) for _ in range(4)]
    made = [
        view(name, at, draw(values), draw(blanks), draw(fates), rule) for name, at in zip(names, instants, strict=False)
    ]
    return rule, made


def all_at_once(rule: Rule, records: list[RecordView], before: Merged | None = None) -> Merged:
    old = before or Merged({}, {}, ())
    return merge(records, field(rule), ORDER, old.values, old.reasons)


@settings(max_examples=150, deadline=None)
@given(voices(apart=False))
def test_merging_commutes(made: tuple[Rule, list[RecordView]]) -> None:
    rule, records = made
    merged = [all_at_once(rule, list(order)) for order in permutations(records)]
    assert all((one.values, one.undecided != ()) == (merged[0].values, merged[0].undecided != ()) for one in merged)
    assert all(one.reasons.keys() == merged[0].reasons.keys() for one in merged)


@settings(max_examples=150, deadline=None)
@given(voices(apart=False))
def test_merging_again_changes_nothing(made: tuple[Rule, list[RecordView]]) -> None:
    rule, records = made
    once = all_at_once(rule, records)
    twice = all_at_once(rule, records, once)
    assert (twice.values, twice.reasons) == (once.values, once.reasons)
    assert twice.undecided == once.undecided


@settings(max_examples=100, deadline=None)
@given(voices(apart=True))
def test_in_whatever_order_connections_arrive_the_lead_is_the_same(made: tuple[Rule, list[RecordView]]) -> None:
    """Of two words of one instant the first to arrive stays: that is why each has an instant of its own here. And a
    value that nobody says any more is kept, so what only a record gone before its time said is not looked at."""
    rule, records = made
    whole = all_at_once(rule, records)
    for order in permutations(records):
        grown: Merged | None = None
        for number in range(1, len(order) + 1):
            grown = all_at_once(rule, list(order[:number]), grown)
        if grown is not None and not whole.undecided:
            assert grown.values == whole.values
            assert {name: why.source for name, why in grown.reasons.items()} == {
                name: why.source for name, why in whole.reasons.items()
            }


# plans

contents = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["a@x.io", "b@x.io"]),
        "title": st.sampled_from(["Chief", "Clerk", "A title longer than is held", "unsayable", None]),
        "tags": st.sampled_from([[], ["a"], ["a", "b"], None]),
        "vip": st.sampled_from([True, False, None]),
        "email_consent": st.sampled_from([*CONSENT, None]),
        "lifecycle_stage": st.sampled_from([*LIFECYCLE, None]),
    },
)
bodies = contents.map(lambda content: plainly(content, False)[1])  # a record holds what a platform can
records = st.builds(
    lambda id, connection, body, gone: record(id, connection, body=body, gone=gone, hash=len(body)),
    st.sampled_from("1234"),
    st.sampled_from(["crm", "mail"]),
    bodies,
    st.sampled_from([None, None, None, "deleted"]),
)
targets = [target("crm"), target("crm", "prospects"), target("mail", creates="")]


@settings(max_examples=150, deadline=None)
@given(contents, st.lists(records, max_size=4, unique_by=lambda one: one.name))
def test_a_plan_follows_from_what_is_known_alone(values: dict[str, Any], found: list[RecordView]) -> None:
    one = planned(lead(values, *found), *targets).operations
    again = planned(lead(dict(reversed(values.items())), *reversed(found)), *targets).operations
    assert {operation.key for operation in one} == {operation.key for operation in again}
    assert [operation.key for operation in planned(lead(values, *found), *targets).operations] == [
        operation.key for operation in one
    ]
    assert len({operation.key for operation in one}) == len(one)


@settings(max_examples=150, deadline=None)
@given(contents, st.lists(records, max_size=4, unique_by=lambda one: one.name))
def test_a_plan_carried_out_leaves_nothing_to_plan(values: dict[str, Any], found: list[RecordView]) -> None:
    operations = planned(lead(values, *found), *targets).operations
    after = [_carried_out(one, operations) for one in found] + [
        record(operation.key, operation.connection, operation.object, body=dict(operation.after))
        for operation in operations
        if operation.verb == "create"
    ]
    assert planned(lead(values, *after), *targets).operations == []
    for operation in operations:
        assert all(change.old != change.new for change in operation.changes)


def _carried_out(one: RecordView, operations: list[Planned]) -> RecordView:
    written = [op.after for op in operations if (op.connection, op.record) == (one.connection, one.id)]
    body = {**one.body, **(written[0] if written else {})}
    return record(one.id, one.connection, body=body, gone=one.gone)
