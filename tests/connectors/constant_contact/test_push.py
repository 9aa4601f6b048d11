"""Writing to Constant Contact's sandbox: nothing is lost, nobody is subscribed again, many go in bulk."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt, Misconfigured, RecordRejected, RetryLater
from connectors.api import Connector, Operation, Verb
from connectors.constant_contact.sandbox import ConstantContactSandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.constant_contact.opened import FIELDS, create, opened, pushed, raws, update

FULL = {
    "first_name": "Ana",
    "last_name": "Ortega",
    "job_title": "CEO",
    "company_name": "Acme",
    "birthday_month": 11,
    "birthday_day": 24,
    "anniversary": "2006-11-15",
}


def full(cc: ConstantContactSandbox, email: str, **more: Any) -> str:
    """A contact with everything that one can have."""
    values = {
        **FULL,
        "tags": ["vip"],
        "lists": ["General Interest"],
        "custom_fields": {"crm_id": "7", "hobby": "Skiing"},
        "phones": {"home": "+1 555 0100", "mobile": "+1 555 0101"},
        "address": {"street": "1 Way", "city": "Boston"},
    }
    return cc.put("contacts", {"email": email, **values, **more})


def writes(cc: ConstantContactSandbox) -> Counter[str]:
    return Counter(line.method for line in cc.log if line.method != "GET" and line.path.startswith("/v3"))


# updates


def test_an_update_loses_nothing_that_it_does_not_change(cc: ConstantContactSandbox, connector: Connector) -> None:
    id = full(cc, "a@x.io")
    cc.store.rows["contacts"][id]["pronouns"] = "she"  # a property of a later version
    before = cc.get("contacts", id)
    result = pushed(connector, update("u", id, job_title="CTO"))["u"]
    after = cc.get("contacts", id)
    assert {name for name in before if before[name] != after.get(name)} == {"job_title"}
    assert (after["job_title"], after["pronouns"]) == ("CTO", "she")
    assert result.record is not None
    assert orjson.loads(result.record.raw)["job_title"] == "CTO"
    body = orjson.loads(next(line.body for line in cc.log if line.method == "PUT"))
    assert not {"custom_fields", "taggings", "list_memberships", "phone_numbers", "street_addresses"} & set(body)


def test_the_sandbox_does_set_to_nothing_what_a_put_leaves_out(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    id = full(cc, "a@x.io")
    connector.check()
    token = next(reversed(cc.login.access))
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = orjson.dumps({"update_source": "Account", "first_name": "Bea"})
    assert cc.answer(Call("PUT", f"/v3/contacts/{id}", {}, headers, body)).status == 200
    after = cc.get("contacts", id)
    assert (after["first_name"], after.get("last_name"), after["email"]) == ("Bea", None, None)
    assert after["tags"] == ["vip"]


def test_lists_of_a_contact_change_in_one_place_and_keep_the_rest(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    cc.put("contact_lists", {"name": "News"})
    choices = [{"choice_id": n, "choice_label": label} for n, label in enumerate(("Gold", "Silver"))]
    cc.put("contact_custom_fields", {"name": "level", "type": "single_select", "choices": choices})
    id = full(cc, "a@x.io")
    values = {
        "custom_fields__crm_id": 8,
        "custom_fields__level": "silver",
        "tags__customer": True,
        "lists__News": True,
        "lists__General Interest": False,
        "phone": "+49301",
        "phones__work": None,
        "address__city": "Salem",
    }
    result = pushed(connector, update("u", id, **values))["u"]
    assert result.error is None
    after = cc.get("contacts", id)
    assert after["custom_fields"] == {"hobby": "Skiing", "crm_id": "8", "level": ["1"]}
    assert (after["tags"], after["lists"]) == (["vip", "customer"], ["News"])
    assert after["phones"] == {"mobile": "+1 555 0101", "home": "+49301"}  # the main number stays of its kind
    [address] = after["street_addresses"]
    assert (address["kind"], address["street"], address["city"]) == ("home", "1 Way", "Salem")
    pushed(connector, update("u", id, tags__vip=False, custom_fields__hobby=None, phone=None, job_title=None))
    after = cc.get("contacts", id)
    assert (after["tags"], after["phones"], after.get("job_title")) == (
        ["customer"], {"mobile": "+1 555 0101"}, None,
    )  # fmt: skip
    assert set(after["custom_fields"]) == {"crm_id", "level"}
    assert [row["name"] for row in cc.all("contact_tags")] == ["vip", "customer"]


def test_a_tag_that_somebody_else_made_meanwhile_is_used(cc: ConstantContactSandbox, connector: Connector) -> None:
    id = cc.put("contacts", {"email": "a@x.io"})
    pushed(connector, update("u", id, tags__one=True))
    cc.put("contact_tags", {"name": "two"})
    assert pushed(connector, update("u", id, tags__two=True))["u"].error is None
    assert cc.get("contacts", id)["tags"] == ["one", "two"]
    assert len(cc.all("contact_tags")) == 2


def test_a_tag_that_is_made_at_the_same_moment_is_used_too(cc: ConstantContactSandbox, connector: Connector) -> None:
    id = cc.put("contacts", {"email": "a@x.io"})

    def taken(call: Call) -> Answer:
        cc.put("contact_tags", {"name": "customer"})
        return Answer.of([{"error_key": "contacts.api.conflict", "error_message": "It already exists."}], 409)

    cc.inject(FaultKind.ANSWER, "POST /v3/contact_tags", answer=taken)
    assert pushed(connector, update("u", id, tags__customer=True))["u"].error is None
    assert cc.get("contacts", id)["tags"] == ["customer"]
    cc.inject(FaultKind.LOST_ANSWER, "POST /v3/contact_tags")
    assert pushed(connector, update("u", id, tags__vip=True))["u"].error is None
    assert cc.get("contacts", id)["tags"] == ["customer", "vip"]


def test_a_contact_without_an_address_is_read_and_written(cc: ConstantContactSandbox, connector: Connector) -> None:
    """One of the kind that is texted only."""
    id = cc.put("contacts", {"email": "a@x.io", "first_name": "Ana"})
    del cc.store.rows["contacts"][id]["email_address"]
    assert raws(list(connector.read("contacts", "id", [id], FIELDS).values()))[0]["email"] is None
    assert pushed(connector, update("u", id, job_title="CTO"))["u"].error is None
    assert cc.get("contacts", id)["first_name"] == "Ana"
    assert pushed(connector, update("u", id, email="b@x.io"))["u"].error is None
    assert cc.get("contacts", id)["email"] == "b@x.io"


def test_refusals_are_of_their_record_alone_and_tell_no_value(cc: ConstantContactSandbox, connector: Connector) -> None:
    taken = cc.put("contacts", {"email": "taken@x.io"})
    other = cc.put("contacts", {"email": "other@x.io"})
    many = cc.put("contacts", {"email": "many@x.io", "custom_fields": {f"f{n}": "x" for n in range(25)}})
    cc.put("contact_custom_fields", {"name": "extra"})
    cc.put("contact_custom_fields", {"name": "pick", "type": "single_select", "choices": []})
    results = pushed(
        connector,
        update("duplicate", other, email="taken@x.io"),
        create("long", "l@x.io", first_name="Secretname" * 9),
        create("bad", "secret.io"),
        update("gone", cc.store.id(), first_name="Secret"),
        update("field", other, custom_fields__none="Secret"),
        update("choice", other, custom_fields__pick="Secret"),
        update("list", other, lists__none=True),
        update("full", many, custom_fields__extra="Secret"),
        update("kind", other, phones__fax="Secret"),
        update("part", other, address__planet="Secret"),
        update("read_only", other, created_at="Secret"),
        create("nobody", "", first_name="Secret"),
        update("fine", taken, first_name="F"),
    )
    errors = {key: result.error for key, result in results.items() if result.error}
    assert {key: (error.code, error.field) for key, error in errors.items()} == {
        "duplicate": ("duplicate", "email"),
        "long": ("contacts.api.validation.error", "first_name"),
        "bad": ("contacts.api.validation.error", "email"),
        "gone": ("merged_away", ""),
        "field": ("unknown_field", "custom_fields.none"),
        "choice": ("choice", "custom_fields.pick"),
        "list": ("unknown_list", "lists.none"),
        "full": ("full", "custom_fields"),
        "kind": ("unknown_field", "phones.fax"),
        "part": ("unknown_field", "address.planet"),
        "read_only": ("read_only", "created_at"),
        "nobody": ("no_email", ""),
    }
    assert all(isinstance(error, RecordRejected) and "ecret" not in str(error) for error in errors.values())
    assert "expected maxLength: 50" in str(errors["long"])


def test_a_lost_answer_of_an_update_is_read_anew_and_written_again(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    id = full(cc, "a@x.io")
    cc.inject(FaultKind.LOST_ANSWER, "PUT")
    assert pushed(connector, update("u", id, job_title="CTO"))["u"].error is None
    cc.inject(FaultKind.LOST_ANSWER, "PUT", times=9)
    result = pushed(connector, update("u", id, job_title="CFO"))["u"]
    assert (type(result.error), result.id) == (InDoubt, id)
    assert (cc.get("contacts", id)["job_title"], cc.get("contacts", id)["company_name"]) == ("CFO", "Acme")


def test_a_conflict_with_another_writer_takes_one_more_round(cc: ConstantContactSandbox, connector: Connector) -> None:
    id = full(cc, "a@x.io")

    def meanwhile(call: Call) -> Answer:
        cc.edit("contacts", id, {"last_name": "Meanwhile"})
        told = [{"error_key": "contacts.api.conflict", "error_message": "The contact was changed."}]
        return Answer.of(told, 409)

    cc.inject(FaultKind.ANSWER, "PUT", answer=meanwhile)
    assert pushed(connector, update("u", id, job_title="CTO"))["u"].error is None
    assert (cc.get("contacts", id)["last_name"], cc.get("contacts", id)["job_title"]) == ("Meanwhile", "CTO")


@pytest.mark.parametrize("done", [True, False])
def test_what_somebody_gave_between_two_rounds_is_not_written_over(
    cc: ConstantContactSandbox, connector: Connector, done: bool
) -> None:
    """The first one's answer was lost, or it was refused: the second one sees what they gave."""
    id = full(cc, "a@x.io")

    def meanwhile(call: Call) -> Answer:
        if done:
            cc.answer(call)
        cc.edit("contacts", id, {"job_title": "Baker"})
        told = [{"error_key": "contacts.api.conflict", "error_message": "The contact was changed."}]
        return Answer.of({}, 504) if done else Answer.of(told, 409)

    cc.inject(FaultKind.ANSWER, "PUT", answer=meanwhile)
    result = pushed(connector, update("u", id, job_title="CTO", company_name="Acme"))["u"]
    assert (type(result.error), result.id) == (InDoubt, id)
    assert cc.get("contacts", id)["job_title"] == "Baker"


@pytest.mark.parametrize("told", [{}, {"contact_id": "other", "first_name": "O"}, [], {"contacts": []}])
def test_nothing_is_written_over_what_could_not_be_read(
    cc: ConstantContactSandbox, connector: Connector, told: Any
) -> None:
    """An answer that is no contact must not become a PUT that empties one."""
    id = full(cc, "a@x.io")
    before = cc.get("contacts", id)
    cc.inject(FaultKind.ANSWER, f"GET /v3/contacts/{id}", times=9, answer=Answer.of(told))
    assert pushed(connector, update("u", id, job_title="CTO"))["u"].error is not None
    cc.faults.clear()
    cc.inject(FaultKind.ANSWER, f"GET /v3/contacts/{id}", times=9, answer=Answer.of({"contact_id": id}))
    assert pushed(connector, update("u", id, job_title="CTO"))["u"].error is not None
    assert cc.get("contacts", id) == before
    assert not writes(cc)


# creates


def test_somebody_new_gets_no_permission_that_is_not_recorded(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    cc.login.rotates = False  # connectors that share no tokens
    for wanted in ("not_set", "implicit"):
        clock.advance(1)
        connector = opened(cc, clock, permission_if_new=wanted)
        results = pushed(
            connector,
            create("unknown", f"unknown.{wanted}@x.io", first_name="U", tags__new=True, phones__mobile="+49171"),
            create("out", f"out.{wanted}@x.io", permission_to_send="unsubscribed", opt_out_reason="asked"),
        )
        assert all(result.created and result.record is not None for result in results.values())
        told = cc.get("contacts", results["unknown"].id)
        assert (told["permission_to_send"], told["opt_in_source"], told["lists"], told["tags"]) == (
            wanted, "Account", ["General Interest"], ["new"],
        )  # fmt: skip
        out = cc.get("contacts", results["out"].id)
        assert (out["permission_to_send"], out["opt_out_reason"], out["lists"]) == ("unsubscribed", "asked", [])
        connector.close()


def test_who_agreed_comes_in_by_the_sign_up_form(cc: ConstantContactSandbox, connector: Connector) -> None:
    cc.put("contact_custom_fields", {"name": "crm_id"})
    agreed = {"permission_to_send": "explicit", "first_name": "Ana"}
    result = pushed(
        connector, create("c", "ana@x.io", **agreed, phone="+49301", address__city="Bonn", custom_fields__crm_id="7")
    )["c"]
    assert (result.created, result.error, result.record) == (True, None, None)
    told = cc.get("contacts", result.id)
    assert (told["permission_to_send"], told["opt_in_source"], told["lists"]) == (
        "explicit", "Contact", ["General Interest"],
    )  # fmt: skip
    assert (told["first_name"], told["custom_fields"], told["street_addresses"][0]["city"]) == (
        "Ana", {"crm_id": "7"}, "Bonn",
    )  # fmt: skip
    # what the form cannot say, and an address that is too long for it, go by a plain create
    long = f"{'x' * 50}@x.io"
    pushed(connector, create("long", long, **agreed), create("tag", "tag@x.io", **agreed, tags__t=True))
    assert cc.store.contact_of(long)
    posted = [line.path for line in cc.log if line.method == "POST" and "/contacts" in line.path]
    assert posted == ["/v3/contacts/sign_up_form", "/v3/contacts", "/v3/contacts"]


def test_an_account_with_confirmed_opt_in_asks_the_person_first(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    cc.people.confirms = True
    id = pushed(connector, create("c", "ana@x.io", permission_to_send="explicit"))["c"].id
    assert cc.get("contacts", id)["permission_to_send"] == "pending_confirmation"
    assert raws(list(connector.read("contacts", "id", [id], FIELDS).values()))[0]["permission_to_send"] == (
        "pending_confirmation"
    )


@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.ANSWER])
def test_the_form_is_an_upsert_that_may_be_sent_again(
    cc: ConstantContactSandbox, connector: Connector, kind: FaultKind
) -> None:
    busy = Answer.of([{"error_key": "contacts.api.conflict", "error_message": "Try again."}], 409)
    cc.inject(kind, "POST /v3/contacts/sign_up_form", answer=busy)
    result = pushed(connector, create("c", "ana@x.io", permission_to_send="explicit"))["c"]
    assert (result.created, result.error) == (True, None)
    assert len(cc.all("contacts")) == 1


def test_a_create_that_meets_a_contact_becomes_an_update(cc: ConstantContactSandbox, connector: Connector) -> None:
    id = full(cc, "Ana@x.io")
    for operation in (create("c", "ana@X.io", job_title="CTO"), create("c", "ana@x.io", permission_to_send="explicit")):
        result = pushed(connector, operation)["c"]
        assert (result.id, result.created, result.error) == (id, False, None)
    held = cc.get("contacts", id)
    assert (held["job_title"], held["last_name"], held["permission_to_send"]) == ("CTO", "Ortega", "implicit")
    # by the address, where the refusal names no id
    told = [{"error_key": "contacts.api.conflict", "error_message": "Validation failed: EmailAddress is not unique"}]
    cc.inject(FaultKind.ANSWER, "POST /v3/contacts$", answer=Answer.of(told, 409))
    assert pushed(connector, create("c", "ana@x.io", job_title="CEO"))["c"].id == id


def test_a_deleted_contact_comes_back_only_where_that_is_wanted(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    cc.login.rotates = False
    id = full(cc, "a@x.io", permission_to_send="unsubscribed")
    cc.remove("contacts", id)
    for more in ({}, {"permission_to_send": "explicit"}):
        error = pushed(connector, create("c", "a@x.io", **more))["c"].error
        assert (error and error.code, error and error.record) == ("deleted", id)
    assert cc.all("contacts") == []
    clock.advance(1)
    willing = opened(cc, clock, revive=True)
    assert pushed(willing, create("c", "a@x.io", permission_to_send="explicit"))["c"].id == id
    assert cc.get("contacts", id).get("deleted_at") is None
    assert cc.get("contacts", id)["permission_to_send"] == "unsubscribed"
    willing.close()


def test_a_lost_answer_of_a_create_is_in_doubt_and_found_again(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    connector.check()
    cc.inject(FaultKind.LOST_ANSWER, "POST /v3/contacts")
    results = pushed(connector, create("lost", "lost@x.io"), create("next", "next@x.io"))
    assert isinstance(results["lost"].error, InDoubt)
    assert results["next"].created
    assert connector.read("contacts", "email", ["lost@x.io"], FIELDS).keys() == {"lost@x.io"}


def test_a_list_that_is_not_there_stops_the_creates(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    connector = opened(cc, clock, list="Nosuch")
    assert isinstance(pushed(connector, create("c", "a@x.io"))["c"].error, Misconfigured)
    connector.close()


# consent


def test_an_opt_out_arrives_and_an_opt_in_never_does(cc: ConstantContactSandbox, connector: Connector) -> None:
    ids = [full(cc, f"p{n}@x.io", permission_to_send="explicit") for n in range(2)]
    out = full(cc, "out@x.io", permission_to_send="unsubscribed")
    left = full(cc, "left@x.io")
    cc.unsubscribe("left@x.io", "boring")
    results = pushed(
        connector,
        update("out", ids[0], permission_to_send="unsubscribed", opt_out_reason="asked sales"),
        update("in", out, permission_to_send="explicit"),
        update("back", out, permission_to_send="implicit"),
        update("cleared", out, permission_to_send=None),
        update("plain", out, job_title="CTO"),
        update("again", left, permission_to_send="unsubscribed", job_title="CTO"),
        create("known", "out@x.io", permission_to_send="explicit", first_name="K"),
        create("unknown", "left@x.io", permission_to_send="not_set", first_name="L"),
    )
    assert {key: result.error.code for key, result in results.items() if result.error} == dict.fromkeys(
        ("in", "back", "cleared"), "consent"
    )
    permissions = [cc.get("contacts", id)["permission_to_send"] for id in (*ids, out, left)]
    assert permissions == ["unsubscribed", "explicit", "unsubscribed", "unsubscribed"]
    told = cc.get("contacts", ids[0])
    assert (told["opt_out_source"], told["opt_out_reason"], told["last_name"]) == ("Account", "asked sales", "Ortega")
    kept = cc.get("contacts", left)
    sent = [orjson.loads(line.body) for line in cc.log if line.method == "PUT" and line.path.endswith(left)]
    assert [body["email_address"]["opt_out_source"] for body in sent] == ["Contact", "Contact"]
    assert (kept["opt_out_source"], kept["opt_out_reason"], kept["job_title"]) == ("Contact", "boring", "CTO")
    assert not [line for line in cc.log if "sign_up_form" in line.path or "resubscribe" in line.path]


def test_whatever_is_written_nobody_is_subscribed_again(cc: ConstantContactSandbox, connector: Connector) -> None:
    """The form would bring back whoever left: the sandbox shows that, and the connector does not use it there."""
    cc.put("contacts", {"email": "left@x.io"})
    cc.unsubscribe("left@x.io")
    connector.check()
    pushed(connector, create("c", "left@x.io", permission_to_send="explicit", first_name="L"))
    row = cc.store.contact_of("left@x.io")
    assert row is not None
    assert row["email_address"]["permission_to_send"] == "unsubscribed"
    token = next(reversed(cc.login.access))
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = orjson.dumps({"email_address": "left@x.io", "list_memberships": [cc.list]})
    cc.answer(Call("POST", "/v3/contacts/sign_up_form", {}, headers, body))
    assert row["email_address"]["permission_to_send"] == "explicit"


# archive


def test_what_was_created_can_be_put_away_again(cc: ConstantContactSandbox, connector: Connector) -> None:
    ids = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(3)]
    gone = [ids[0], ids[1], cc.store.id()]
    connector.check()
    cc.inject(FaultKind.LOST_ANSWER, f"DELETE /v3/contacts/{ids[0]}")
    results = list(connector.push([Operation(id, Verb.ARCHIVE, "contacts", {}, id=id) for id in gone], []))
    assert [(result.key, result.id, result.error) for result in results] == [(id, id, None) for id in gone]
    assert [row["id"] for row in cc.all("contacts")] == [ids[2]]
    [result] = connector.push([Operation("k", Verb.ERASE, "contacts", {}, id=ids[2])], [])
    assert result.error is not None
    assert result.error.code == "read_only"


def test_other_objects_are_not_written(connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.UPDATE, "campaigns", {"name": "x"}, id="1")], [])
    assert result.error is not None
    assert result.error.code == "read_only"
    assert list(connector.push([], [])) == []


# what was written, and refused or not told afterwards


def test_nothing_is_written_whose_answer_could_not_be_read(cc: ConstantContactSandbox, connector: Connector) -> None:
    """The names of tags are asked for first: a write that was done would pass for one that was never sent."""
    cc.inject(FaultKind.ANSWER, "GET /v3/contact_tags", answer=Answer.of(None, 500), times=9)
    with pytest.raises(RetryLater):
        list(connector.push([create("c", "a@x.io")], [*FIELDS, "taggings"]))
    assert cc.all("contacts") == []
    cc.faults.clear()
    assert [result.error for result in connector.push([create("c", "a@x.io")], [*FIELDS, "taggings"])] == [None]


def test_a_write_whose_answer_was_lost_is_in_doubt_whatever_is_answered_then(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    id = full(cc, "a@x.io")
    cc.inject(FaultKind.LOST_ANSWER, "PUT")
    cc.inject(FaultKind.ANSWER, "PUT", answer=Answer.of(None, 429), times=9)
    assert isinstance(pushed(connector, update("u", id, job_title="CTO"))["u"].error, InDoubt)
    assert cc.get("contacts", id)["job_title"] == "CTO"


@pytest.mark.parametrize("status", [400, 429])
def test_who_was_made_and_whose_reason_was_refused_is_in_doubt(
    cc: ConstantContactSandbox, connector: Connector, status: int
) -> None:
    cc.inject(FaultKind.ANSWER, "PUT", answer=Answer.of(None, status), times=9)
    made = create("c", "a@x.io", permission_to_send="unsubscribed", opt_out_reason="Enough")
    assert isinstance(pushed(connector, made)["c"].error, InDoubt)
    assert len(cc.all("contacts")) == 1
