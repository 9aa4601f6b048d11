"""Whose value survives: tables for every rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mappings.model import LEAD_FIELDS, Field, FieldType, Rule
from sync.core.merge import PERSON, Decision, Undecided, Voice, merge
from sync.core.views import UNDECIDED, Provenance, RecordView


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


@pytest.mark.parametrize(
    ("mine", "theirs", "stands"),
    [
        (record("a", "1", x=None), record("b", "2", x="replaced"), "kept"),
        (record("a", "1", x=None), record("b", "5", x="newer"), "newer"),
        (record("a", "1", "clear", x=None), record("b", "2", x="older"), None),
        (record("a", "1", gone="deleted", x=None), record("b", "2", x="older"), "older"),
    ],
)
def test_a_blank_that_says_nothing_brings_back_nothing_older(
    mine: RecordView, theirs: RecordView, stands: str | None
) -> None:
    """It was blanked where the value came from, and the others had not been told that value yet."""
    blanked = replace(mine, changed={"x": "4"})
    why = {"x": Provenance("a/contacts/a", "3", "most_recent")}
    assert merge([blanked, theirs], only(Rule.MOST_RECENT), {}, {"x": "kept"}, why).values["x"] == stands


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


def test_a_decision_of_one_moment_hears_again_what_is_given_later() -> None:
    answer = {"value": "two", "heard": (("a/contacts/a", "one"),), "once": True}
    two = record("b", "2", x="two")
    assert decided([record("a", "1", x="one"), two], **answer) == "two"
    assert decided([record("a", "9+", x="one"), two], **answer) == "undecided"


def test_always_holds_whatever_is_said() -> None:
    one, two = record("a", "3", x="new"), record("b", "2", x="two")
    assert decided([one, two], value="old", always=True) == "old"
    assert decided([one, two], value="old", source="a/contacts/a", always=True) == "new"
    assert decided([two, record("c", "1", x="else")], value="old", source="a/contacts/a", always=True) == "undecided"


def test_a_contested_field_is_asked_about_whatever_its_rule_and_the_others_keep_theirs() -> None:
    fields = {name: Field(name, FieldType.TEXT, "") for name in ("x", "y")}
    records = [record("a", "1", x="one", y="one"), record("b", "2", x="two", y="two")]
    asked = merge(records, fields, {}, {}, {}, contested={"x": ()})
    assert asked.values == {"y": "two"}
    assert [open_.field for open_ in asked.undecided] == ["x"]
    assert merge(records, fields, {}, {}, {}).values == {"x": "two", "y": "two"}
    answer = Decision(value=None, at="9", heard=(("a/contacts/a", "one"), ("b/contacts/b", "two")), whatever=True)
    told = merge(records, fields, {}, {}, {}, decisions={"x": answer, "y": replace(answer, whatever=False)})
    assert told.values == {"x": None, "y": "two"}
    assert (told.reasons["x"].rule, told.reasons["x"].cleared) == ("decided", True)


def test_what_was_lost_of_a_contested_field_is_a_voice_as_long_as_nobody_says_it() -> None:
    fields = {"x": Field("x", FieldType.TEXT, "")}
    lost = Voice("a/contacts/a", "a", "two", "3", "3", lost=True)
    one, other = record("a", "1", x="one"), record("b", "2", x="one")
    [asked] = merge([one, other], fields, {}, {}, {}, contested={"x": (lost,)}).undecided
    assert [(voice.value, voice.lost) for voice in asked.options] == [("one", False), ("one", False), ("two", True)]
    two = record("b", "2", x="two")
    [asked] = merge([one, two], fields, {}, {}, {}, contested={"x": (lost,)}).undecided
    assert [voice.lost for voice in asked.options] == [False, False]
    alone = merge([], fields, {}, {}, {}, contested={"x": (lost,)})
    assert (alone.values, alone.undecided) == ({"x": "two"}, ())


# who has a say


@pytest.mark.parametrize(
    ("rule", "heard"),
    [(Rule.MOST_RECENT, "Head of Sales"), (Rule.FIRST_SEEN, "Head of Sales"), (Rule.FURTHEST, "Head")],
)
def test_what_a_platform_made_of_our_word_is_no_other_word(rule: Rule, heard: str) -> None:
    """Unless it says of itself that it stands further: then that is what it says."""
    cut = replace(record("a", "2026-01-01", title="Head"), held={"title": ("Head of Sales", "Head")})
    fields = {"title": Field("title", FieldType.CHOICE, "", rule, ("Head of Sales", "Head"))}
    assert merge([cut], fields, {}, {}, {}).values == {"title": heard}
    edited = replace(cut, body={"title": "Chief"})
    fields = {"title": Field("title", FieldType.TEXT, "")}
    assert merge([edited], fields, {}, {}, {}).values == {"title": "Chief"}


def test_a_field_that_is_not_pulled_has_no_say() -> None:
    pushed_only = RecordView("a", "contacts", "a", {"x": "old"}, "9", pulled=frozenset())
    merged = merge([pushed_only, record("b", "1", x="new")], only(Rule.MOST_RECENT), {}, {}, {})
    assert merged.values == {"x": "new"}
    assert merged.reasons["x"].over == ()


def test_a_field_that_no_record_has_is_nobodys() -> None:
    merged = merge([record("a", "1", y="else")], only(Rule.MOST_RECENT), {}, {}, {})
    assert (merged.values, merged.reasons, merged.undecided) == ({}, {}, ())


def test_what_the_engine_computes_is_not_merged_and_does_not_end_the_rest() -> None:
    fields = {"n": Field("n", FieldType.TEXT, "", derived=True), **only(Rule.MOST_RECENT)}
    assert merge([record("a", "1", n="3", x="y")], fields, {}, {}, {}).values == {"x": "y"}


@pytest.mark.parametrize("blank", [None, []])
@pytest.mark.parametrize(("policy", "changed", "speaks"), [
    ("ignore", True, False),
    ("clear", True, True),
    ("clear", False, False),
    ("known", False, True),
])  # fmt: skip
def test_when_a_blank_speaks(blank: Any, policy: str, changed: bool, speaks: bool) -> None:
    mine = RecordView(
        "b",
        "contacts",
        "b",
        {"x": blank},
        "2",
        {"x": "2"} if changed else {},
        pulled=frozenset({"x"}),
        on_blank={"x": policy},
    )
    merged = merge([record("a", "1", x="old"), mine], only(Rule.MOST_RECENT), {}, {}, {})
    assert merged.values["x"] == (blank if speaks else "old")
    assert merged.reasons["x"].cleared is speaks


def test_a_blank_is_no_earliest_day() -> None:
    blank = record("a", "1", "known", x="")
    fields = only(Rule.FIRST_SEEN, FieldType.DATE)
    assert merge([blank, record("b", "2", x="2026-01-01")], fields, {}, {}, {}).values["x"] == "2026-01-01"


def test_a_blank_without_a_policy_says_nothing() -> None:
    mine = RecordView("b", "contacts", "b", {"x": None}, "2", {"x": "2"}, pulled=frozenset({"x"}))
    assert merge([mine], only(Rule.MOST_RECENT), {}, {}, {}).values == {}


@pytest.mark.parametrize(
    ("rule", "speaks"),
    [(rule, rule in (Rule.MOST_RESTRICTIVE, Rule.FURTHEST, Rule.FIRST_SEEN)) for rule in Rule],
)
def test_which_words_of_a_record_that_is_gone_still_count(rule: Rule, speaks: bool) -> None:
    kind = FieldType.LIST if rule is Rule.UNION else FieldType.TEXT
    gone = record("a", "1", gone="deleted", x=["a"] if rule is Rule.UNION else "a")
    assert bool(merge([gone], only(rule, kind, ("a",)), {}, {}, {}).values) is speaks


def test_the_engines_own_voice_is_heard_on_its_field_alone() -> None:
    own = [Voice("closedloop", "closedloop", "customer", "5", "5")]
    fields = {name: LEAD_FIELDS[name] for name in ("lifecycle_stage", "email_consent")}
    merged = merge([record("a", "1", email_consent="subscribed")], fields, {}, {}, {}, own=own)
    assert merged.values == {"lifecycle_stage": "customer", "email_consent": "subscribed"}
    assert merged.reasons["lifecycle_stage"].source == "closedloop"
    assert merge([], only(Rule.MOST_RECENT), {}, {}, {}, own=own, own_field="x").values == {"x": "customer"}


# which reason is told


def test_a_reason_tells_the_losers_and_since_when() -> None:
    records = [record("a", "1", x="one"), record("b", "2", x="two"), record("c", "3", x="two")]
    merged = merge(records, only(Rule.MOST_RECENT), {}, {}, {})
    assert merged.reasons["x"] == Provenance(
        "c/contacts/c", "3", "most_recent", (("a/contacts/a", "one", "1"),), cleared=False
    )


def test_a_union_has_no_losers() -> None:
    merged = merge([record("a", "1", x=["b"]), record("b", "2", x=["c"])], only(Rule.UNION, FieldType.LIST), {}, {}, {})
    assert merged.reasons["x"] == Provenance("b/contacts/b", "2", "union")


def test_a_field_that_changed_counts_from_its_change() -> None:
    old = RecordView("a", "contacts", "a", {"x": "a"}, "1", {"x": "9"}, pulled=frozenset("x"))
    assert merge([old, record("b", "5", x="b")], only(Rule.MOST_RECENT), {}, {}, {}).values["x"] == "a"


def test_the_value_is_kept_with_its_reason_or_without() -> None:
    fields = only(Rule.MOST_RECENT)
    assert merge([], fields, {}, {"x": "old"}, {}).reasons == {}
    assert merge([], fields, {}, {"x": "old"}, {}).values == {"x": "old"}
    assert merge([], fields, {}, {}, {"x": Provenance("a", "1", "ask")}).reasons == {}


def test_what_is_undecided_keeps_the_old_value_and_says_so() -> None:
    records = [record("a", "1", x="one"), record("b", "2", x="two")]
    why = {"x": Provenance("a/contacts/a", "1", "ask")}
    fields = {**only(Rule.ASK), "y": Field("y", FieldType.TEXT, "")}
    merged = merge([*records, record("c", "1", y="z")], fields, {}, {"x": "one"}, why)
    assert merged.values == {"x": "one", "y": "z"}
    assert merged.reasons["x"] == Provenance("a/contacts/a", "1", UNDECIDED)
    assert merged.undecided == (Undecided("x", merged.undecided[0].options),)
    assert merge(records, only(Rule.ASK), {}, {}, {}).reasons == {}


# ties


@pytest.mark.parametrize("incumbent", ["a", "b"])
def test_a_tie_falls_to_whom_it_fell_before(incumbent: str) -> None:
    records = [record("a", "1", x="a"), record("b", "1", x="b")]
    why = {"x": Provenance(f"{incumbent}/contacts/{incumbent}", "0", "most_recent")}
    for rule in (Rule.MOST_RECENT, Rule.PREFER, Rule.FURTHEST):
        merged = merge(records, only(rule, options=()), {}, {}, why)
        assert merged.values["x"] == incumbent, rule


def test_a_tie_without_history_falls_to_the_name() -> None:
    records = [record("b", "1", x="b"), record("a", "1", x="a")]
    assert merge(records, only(Rule.MOST_RECENT), {}, {}, {}).values["x"] == "b"
    assert merge(records, only(Rule.FURTHEST), {}, {}, {}).values["x"] == "a"
    assert merge(records, only(Rule.FIRST_SEEN), {}, {}, {}).values["x"] == "a"


def test_of_those_that_reached_a_stage_the_first_said_so() -> None:
    fields = only(Rule.FURTHEST, options=("low", "high"))
    records = [record("a", "3", x="high"), record("b", "2", x="high"), record("c", "1", x="low")]
    merged = merge(records, fields, {}, {}, {})
    assert (merged.values["x"], merged.reasons["x"].source) == ("high", "b/contacts/b")


def test_a_stage_that_is_no_option_is_behind_them_all() -> None:
    fields = only(Rule.FURTHEST, options=("low", "high"))
    assert merge([record("a", "1", x="odd"), record("b", "2", x="low")], fields, {}, {}, {}).values["x"] == "low"


# the prefer rules


def test_the_first_of_the_order_that_speaks_is_preferred() -> None:
    records = [record("a", "9", x="a"), record("b", "8", x="b"), record("c", "7", x="c")]
    for rule in (Rule.PREFER, Rule.PREFER_UNLESS_BLANK):
        assert merge(records, only(rule), {"x": ("z", "c", "b")}, {}, {}).values["x"] == "c"
        assert merge(records, only(rule), {"y": ("c",)}, {}, {}).values["x"] == "a"
        assert merge(records, only(rule), {}, {}, {}).values["x"] == "a"


def test_where_all_are_blank_the_preferred_blank_counts() -> None:
    records = [record("a", "9", "known", x=None), record("b", "1", "known", x=None)]
    merged = merge(records, only(Rule.PREFER_UNLESS_BLANK), {"x": ("b",)}, {}, {})
    assert (merged.values, merged.reasons["x"].source) == ({"x": None}, "b/contacts/b")


# first seen


def test_the_first_source_is_that_of_the_record_that_began_first() -> None:
    born = RecordView("a", "contacts", "a", {"x": "a", "created_at": "0"}, "9", pulled=frozenset(["x"]))
    assert merge([born, record("b", "5", x="b")], only(Rule.FIRST_SEEN), {}, {}, {}).values["x"] == "a"
    assert merge([record("a", "5", x="a"), record("b", "4", x="b")], only(Rule.FIRST_SEEN), {}, {}, {}).values["x"] == (
        "b"
    )


def test_of_one_beginning_the_earlier_word_is_first() -> None:
    late = RecordView("a", "contacts", "a", {"x": "late"}, "1", {"x": "9"}, pulled=frozenset(["x"]))
    assert merge([late, record("b", "1", x="soon")], only(Rule.FIRST_SEEN), {}, {}, {}).values["x"] == "soon"


@pytest.mark.parametrize("kind", [FieldType.DATE, FieldType.DATETIME])
def test_the_first_day_is_the_earliest_whoever_says_so(kind: FieldType) -> None:
    records = [record("a", "1", x="2026-02-01"), record("b", "9", x="2026-01-01"), record("c", "0", "known", x=None)]
    merged = merge(records, only(Rule.FIRST_SEEN, kind), {}, {}, {})
    assert merged.values["x"] == "2026-01-01"
    tied = [record("b", "1", x="2026-01-01"), record("a", "1", x="2026-01-01")]
    assert merge(tied, only(Rule.FIRST_SEEN, kind), {}, {}, {}).reasons["x"].source == "a/contacts/a"


def test_a_blank_is_first_only_where_nobody_says_more() -> None:
    blank = record("a", "1", "known", x=None)
    assert merge([blank, record("b", "2", x="b")], only(Rule.FIRST_SEEN), {}, {}, {}).values["x"] == "b"
    assert merge([blank], only(Rule.FIRST_SEEN), {}, {}, {}).values == {"x": None}
    assert merge([blank], only(Rule.FIRST_SEEN, FieldType.DATE), {}, {}, {}).values == {"x": None}


# a person's answers


def test_an_answer_counts_from_when_it_was_given_and_says_by_whom() -> None:
    records = [record("a", "1", x="one"), record("b", "2", x="two")]
    given = Decision("three", "9", always=True)
    merged = merge(records, only(Rule.ASK), {}, {}, {}, decisions={"x": given})
    assert merged.values == {"x": "three"}
    assert merged.undecided == ()
    told = (("a/contacts/a", "one", "1"), ("b/contacts/b", "two", "2"))
    assert merged.reasons["x"] == Provenance(PERSON, "9", "decided", told)


def test_an_answer_is_heeded_only_where_the_rule_asks() -> None:
    records = [record("a", "1", x="one"), record("b", "2", x="two")]
    given = {"x": Decision("three", "9", always=True)}
    assert merge(records, only(Rule.MOST_RECENT), {}, {}, {}, decisions=given).values == {"x": "two"}
    others = {"y": given["x"]}
    assert merge(records, only(Rule.ASK), {}, {}, {}, decisions=others).values == {}


def test_an_answer_does_not_end_the_merge() -> None:
    fields = {**only(Rule.ASK), "y": Field("y", FieldType.TEXT, "")}
    given = {"x": Decision("three", "9", always=True)}
    assert merge([record("a", "1", x="one", y="z")], fields, {}, {}, {}, decisions=given).values == {
        "x": "three",
        "y": "z",
    }


# answers that records outlive


def standing(rule: Rule, *records: RecordView, **more: Any) -> Any:
    """What stands where a person answered "mid" over a's "high"."""
    fields = only(rule, options=("low", "mid", "high"))
    answer = Decision("mid", "5", heard=(("a/contacts/a", "high"),), whatever=True, **more)
    return merge(records, fields, {}, {}, {}, decisions={"x": answer}).values["x"]


@pytest.mark.parametrize("rule", [Rule.FURTHEST, Rule.MOST_RESTRICTIVE])
def test_who_joins_and_says_less_takes_back_nothing_that_a_person_answered_where_a_field_goes_one_way(
    rule: Rule,
) -> None:
    """A record made since is no objection to the answer, unless it says that it stands further."""
    heard = record("a", "1", x="high")
    assert standing(rule, heard, record("b", "9", x="low"), once=True) == "mid"
    assert standing(rule, heard, record("b", "9", x="odd"), once=True) == "mid"
    assert standing(rule, heard, record("b", "9", x="high"), once=True) == "high"
    assert standing(rule, record("a", "9", x="low"), once=True) == "low", "who was heard says something new"
    assert standing(rule, heard, record("b", "9", x="low")) == "high", "an answer of another kind falls as ever"


def test_who_joins_overturns_an_answer_of_one_moment_where_a_field_goes_either_way() -> None:
    assert standing(Rule.MOST_RECENT, record("a", "1", x="high"), record("b", "9", x="low"), once=True) == "low"


def test_an_address_beside_the_main_one_is_heard_where_a_person_takes_its_record_at_its_word_for_good() -> None:
    main = [record("hub", "1", email="m@x.io"), record("crm", "1", email="m@x.io")]
    two, three = (replace(record("crm", at, email=f"{at}@x.io"), id=at) for at in ("2", "3"))
    fields = {"email": LEAD_FIELDS["email"]}
    given = Decision("m@x.io", "5", source=two.name, whatever=True)
    heard = merge([*main, two, three], fields, {}, {}, {}, decisions={"email": replace(given, always=True)})
    assert heard.values == {"email": "2@x.io"}
    assert {source for source, _, _ in heard.reasons["email"].over} == {one.name for one in main}
    once = merge([*main, two, three], fields, {}, {}, {}, decisions={"email": given})
    assert once.values == {"email": "m@x.io"}
    assert once.reasons["email"].rule == "decided"


@pytest.mark.parametrize("rule", [Rule.MOST_RESTRICTIVE, Rule.FURTHEST])
@pytest.mark.parametrize(("before", "value"), [(None, "mid"), ("low", "mid"), ("high", "high")])
def test_what_was_kept_stands_where_no_record_says_anything(rule: Rule, before: str | None, value: str) -> None:
    """It takes nothing back that the lead came to since."""
    fields = only(rule, options=("low", "mid", "high"))
    kept = {"x": Decision("mid", "5", since="3", once=True, whatever=True)}
    known = {"x": before} if before else {}
    found = merge([record("a", "1")], fields, {}, known, {}, decisions=kept)
    assert found.values == {"x": value}
    answered = {"x": replace(kept["x"], once=False)}
    assert merge([record("a", "1")], fields, {}, known, {}, decisions=answered).values == known
