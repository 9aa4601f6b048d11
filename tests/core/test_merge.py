"""Whose value survives: tables for every rule, and the law that order of arrival does not matter."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.model import LEAD_FIELDS, Field, FieldType, Rule
from sync.core.merge import Decision, merge
from sync.core.outcomes import fold, stage_voice
from sync.core.resolve import keys, match, record_key
from sync.core.views import DealView, Provenance, RecordView


def record(connection: str, at: str, blank: str = "ignore", gone: str | None = None, **body: Any) -> RecordView:
    return RecordView(
        connection,
        "contacts",
        connection,
        body,
        at,
        pulled=frozenset(body),
        on_blank=dict.fromkeys(body, blank),
        gone=gone,
        changed=dict.fromkeys((name for name, value in body.items() if value is None), at),
    )


def only(rule: Rule, kind: FieldType = FieldType.TEXT, options: tuple[str, ...] = ()) -> dict[str, Field]:
    return {"x": Field("x", kind, "", rule, options)}


@pytest.mark.parametrize(
    ("rule", "records", "winner"),
    [
        (Rule.MOST_RECENT, [record("a", "1", x="old"), record("b", "2", x="new")], "new"),
        (Rule.MOST_RECENT, [record("a", "1", x="old"), record("b", "2", x=None)], "old"),
        (Rule.MOST_RECENT, [record("a", "1", x="old"), record("b", "2", "clear", x=None)], None),
        (Rule.PREFER, [record("a", "9", x="theirs"), record("b", "1", x="ours")], "ours"),
        (Rule.PREFER, [record("a", "9", x="theirs"), record("b", "1", "known", x=None)], None),
        (Rule.PREFER_UNLESS_BLANK, [record("a", "9", x="theirs"), record("b", "1", "known", x=None)], "theirs"),
        (Rule.FIRST_SEEN, [record("a", "2", x="later"), record("b", "1", x="first")], "first"),
        (Rule.FIRST_SEEN, [record("b", "1", gone="deleted", x="first"), record("a", "2", x="later")], "first"),
        (Rule.MOST_RECENT, [record("a", "1", x="live"), record("b", "2", gone="deleted", x="dead")], "live"),
    ],
)
def test_the_rules(rule: Rule, records: list[RecordView], winner: Any) -> None:
    merged = merge(records, only(rule), {"x": ("b",)}, {}, {})
    assert merged.values["x"] == winner
    assert merged.reasons["x"].rule == rule.value


def test_consent_takes_the_most_closed_and_the_stage_the_furthest() -> None:
    records = [
        record("a", "3", email_consent="subscribed", lifecycle_stage="lead"),
        record("b", "1", email_consent="unsubscribed", lifecycle_stage="opportunity"),
        record("c", "2", gone="archived", email_consent="bounced", lifecycle_stage="subscriber"),
    ]
    merged = merge(records, LEAD_FIELDS, {}, {}, {})
    assert merged.values["email_consent"] == "bounced"
    assert merged.values["lifecycle_stage"] == "opportunity"
    assert merged.reasons["email_consent"].over[0][1] == "subscribed"


def test_a_union_holds_what_any_record_holds() -> None:
    fields = only(Rule.UNION, FieldType.LIST)
    assert merge([record("a", "1", x=["b", "a"]), record("b", "2", x=["c"])], fields, {}, {}, {}).values["x"] == [
        "a",
        "b",
        "c",
    ]


def test_what_no_record_says_any_more_is_kept() -> None:
    before = {"x": "kept"}
    why = {"x": Provenance("a/contacts/a", "1", "most_recent")}
    merged = merge([record("a", "2", gone="deleted", x="gone")], only(Rule.MOST_RECENT), {}, before, why)
    assert merged.values == before
    assert merged.reasons == why


def test_ask_leaves_two_values_to_a_person() -> None:
    records = [record("a", "1", x="one"), record("b", "2", x="two")]
    merged = merge(records, only(Rule.ASK), {}, {}, {})
    assert "x" not in merged.values
    assert [voice.value for voice in merged.undecided[0].options] == ["one", "two"]
    assert merge([records[0], record("b", "2", x="one")], only(Rule.ASK), {}, {}, {}).undecided == ()


def decided(records: list[RecordView], **decision: Any) -> Any:
    merged = merge(records, only(Rule.ASK), {}, {}, {}, decisions={"x": Decision(at="9", **decision)})
    return "undecided" if merged.undecided else merged.values["x"]


def test_a_decision_holds_while_nothing_new_is_said() -> None:
    heard = (("a/contacts/a", "one"), ("b/contacts/b", "two"))
    one, two = record("a", "1", x="one"), record("b", "2", x="two")
    assert decided([one, two], value="two", heard=heard) == "two"
    assert decided([record("a", "3", x="two"), two], value="two", heard=heard) == "two"
    assert decided([record("a", "3", x="three"), two], value="two", heard=heard) == "undecided"
    assert decided([one, two], value="three", heard=heard) == "three"


def test_always_holds_whatever_is_said() -> None:
    one, two = record("a", "3", x="new"), record("b", "2", x="two")
    assert decided([one, two], value="old", always=True) == "old"
    assert decided([one, two], value="old", source="a/contacts/a", always=True) == "new"
    assert decided([two, record("c", "1", x="else")], value="old", source="a/contacts/a", always=True) == "undecided"


values = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
views = st.builds(
    record,
    connection=st.sampled_from(["a", "b", "c", "d"]),
    at=st.sampled_from(["1", "2", "3"]),
    blank=st.sampled_from(["ignore", "clear", "known"]),
    gone=st.sampled_from([None, None, "deleted"]),
    x=values,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(views, max_size=4, unique_by=lambda view: view.connection), st.sampled_from(list(Rule)))
def test_the_order_of_arrival_does_not_matter(records: list[RecordView], rule: Rule) -> None:
    kind = FieldType.LIST if rule is Rule.UNION else FieldType.TEXT
    if rule is Rule.UNION:
        records = [record(r.connection, r.first_at, x=[r.body["x"]] if r.body["x"] else []) for r in records]
    fields = only(rule, kind, ("a", "b", "c"))
    merged = [merge(list(order), fields, {"x": ("b", "a")}, {}, {}) for order in permutations(records)]
    assert all(one.values == merged[0].values for one in merged)
    again = merge(records, fields, {"x": ("b", "a")}, merged[0].values, merged[0].reasons)
    assert again.values == merged[0].values


def deal(id: str, at: str, **body: Any) -> DealView:
    return DealView("crm", "deals", id, body, at)


def test_deals_fold_into_outcomes() -> None:
    won = deal(
        "1",
        "2",
        is_closed=True,
        is_won=True,
        close_date="2026-01-02",
        stage="Won",
        amount={"amount": "10.5", "currency": "EUR"},
    )
    more = deal(
        "2",
        "3",
        is_closed=True,
        is_won=True,
        close_date="2026-02-02",
        stage="Won",
        amount={"amount": "4.5", "currency": "EUR"},
    )
    other = deal(
        "3", "1", is_closed=True, is_won=True, close_date="2026-03-02", amount={"amount": "99", "currency": "USD"}
    )
    folded, why = fold([more, won, other])
    assert folded["won_amount"] == {"amount": "15", "currency": "EUR"}
    assert folded["customer_since"] == "2026-01-02"
    assert folded["won_deals"] == 3
    assert folded["is_customer"] is True
    assert why["is_customer"].source == "crm/deals/1"
    voice = stage_voice([more, won])
    assert voice is not None
    assert voice.value == "customer"


def test_a_lost_deal_tells_its_reason_and_no_deal_tells_nothing() -> None:
    lost = deal("1", "1", is_closed=True, is_won=False, close_date="2026-01-02", lost_reason="price", stage="Lost")
    folded, _ = fold([lost])
    assert (folded["is_customer"], folded["lost_reason"], folded["open_deals"]) == (False, "price", 0)
    assert fold([]) == ({}, {})
    assert stage_voice([]) is None


def test_keys_are_shared_between_platforms() -> None:
    assert keys("hubspot", "7", {"email": "a@x.io", "emails": ["b@x.io"]}) == (
        ("hubspot_id", "7"),
        ("email", "a@x.io"),
        ("email", "b@x.io"),
    )
    assert ("hubspot_id", "7") in keys("salesforce", "003", {"hubspot_id": "7"})


def test_an_id_that_two_accounts_may_have_given_is_nobodys_key() -> None:
    assert keys("hubspot", "7", {"email": "a@x.io"}, vague={"hubspot"}) == (("email", "a@x.io"),)
    assert keys("salesforce", "003", {"hubspot_id": "7"}, vague={"hubspot"}) == (("salesforce_id", "003"),)


def test_a_match_is_never_a_guess() -> None:
    owners = {("email", "a@x.io"): "ld_1", ("email", "b@x.io"): "ld_2", ("closedloop_id", "ld_3"): "ld_3"}
    both = [("email", "a@x.io"), ("email", "b@x.io")]
    assert match(both, owners, None).rivals == (("ld_1", both[0]), ("ld_2", both[1]))
    assert match(both[:1], owners, None).lead == "ld_1"
    assert match(both, owners, "ld_9").lead == "ld_9"
    assert match([("email", "new@x.io")], owners, None).lead == ""
    assert match([*both, ("closedloop_id", "ld_3")], owners, None).lead == "ld_3"
    survivor = record_key("crm", "contacts", "5")
    assert match([*both, survivor], {**owners, survivor: "ld_4"}, None).lead == "ld_4"
