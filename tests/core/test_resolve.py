"""Which lead is this record: links first, then keys, never a guess."""

from __future__ import annotations

from sync.core.resolve import Match, keys, match, record_key


def test_keys_are_shared_between_platforms() -> None:
    assert keys("hubspot", "7", {"email": "a@x.io", "emails": ["b@x.io"]}) == (
        ("hubspot_id", "7"),
        ("email", "a@x.io"),
        ("email", "b@x.io"),
    )
    assert keys("salesforce", "003", {"hubspot_id": 7, "closedloop_id": "ld_1", "title": "x"}) == (
        ("salesforce_id", "003"),
        ("hubspot_id", "7"),
        ("closedloop_id", "ld_1"),
    )


def test_keys_come_once_and_blanks_are_none() -> None:
    assert keys("hubspot", "7", {"hubspot_id": "7", "email": "a@x.io", "emails": ["a@x.io", ""]}) == (
        ("hubspot_id", "7"),
        ("email", "a@x.io"),
    )
    assert keys("hubspot", "7", {"email": None, "emails": None, "salesforce_id": ""}) == (("hubspot_id", "7"),)
    assert keys("unheard_of", "7", {"email": "a@x.io"}) == (("email", "a@x.io"),)


def test_an_id_that_two_accounts_may_have_given_is_nobodys_key() -> None:
    assert keys("hubspot", "7", {"email": "a@x.io"}, vague={"hubspot"}) == (("email", "a@x.io"),)
    assert keys("salesforce", "003", {"hubspot_id": "7"}, vague={"hubspot"}) == (("salesforce_id", "003"),)


def test_a_record_is_a_key_of_its_own() -> None:
    assert record_key("crm", "contacts", "5") == ("record", "crm/contacts/5")


def test_a_match_is_never_a_guess() -> None:
    owners = {("email", "a@x.io"): "ld_1", ("email", "b@x.io"): "ld_2", ("closedloop_id", "ld_3"): "ld_3"}
    both = [("email", "a@x.io"), ("email", "b@x.io")]
    assert match(both, owners, None) == Match(rivals=(("ld_1", both[0]), ("ld_2", both[1])))
    assert match(both[:1], owners, None) == Match("ld_1", both[0])
    assert match([("email", "new@x.io"), both[1]], owners, None) == Match("ld_2", both[1])
    assert match([("email", "new@x.io")], owners, None) == Match()


def test_a_link_stays_whatever_the_keys_say() -> None:
    owners = {("email", "a@x.io"): "ld_1"}
    assert match([("email", "a@x.io")], owners, "ld_9") == Match("ld_9")


def test_two_keys_of_one_lead_are_one_claim_and_the_stronger_is_told() -> None:
    owners = {("hubspot_id", "7"): "ld_1", ("email", "a@x.io"): "ld_1"}
    assert match(list(owners), owners, None) == Match("ld_1", ("hubspot_id", "7"))


def test_a_platforms_own_word_and_our_own_id_decide_alone() -> None:
    survivor, ours = record_key("crm", "contacts", "5"), ("closedloop_id", "ld_3")
    owners = {("email", "a@x.io"): "ld_1", survivor: "ld_4", ours: "ld_3"}
    assert match([("email", "a@x.io"), ours], owners, None) == Match("ld_3", ours)
    assert match([("email", "a@x.io"), survivor], owners, None) == Match("ld_4", survivor)


def test_certain_is_what_a_platforms_own_word_or_our_own_id_decided() -> None:
    assert match([("closedloop_id", "one")], {("closedloop_id", "one"): "one"}, None).is_certain
    assert match([("record", "a/b/1")], {("record", "a/b/1"): "one"}, None).is_certain
    assert match([("email", "a@x.io")], {("email", "a@x.io"): "one"}, None).is_certain is False
    assert match([("email", "a@x.io")], {}, "one").is_certain is False
    assert Match().is_certain is False
