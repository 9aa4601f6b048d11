"""Writing to HubSpot over its sandbox, through the real SDK: batches, stages, consent, briefs, lost answers."""

from __future__ import annotations

from typing import Any

import pytest

from config.errors import (
    InDoubt,
    RecordRejected,
)
from connectors.api import Connector, Operation, Verb
from connectors.hubspot.sandbox import HubSpotSandbox
from connectors.sandbox import Answer
from tests.connectors.hubspot.kit import FIELDS, fill, values


def push(hubspot: Connector, *operations: Operation) -> dict[str, Any]:
    results = list(hubspot.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(op.key for op in operations)
    return {result.key: result for result in results}


def update(key: str, id: str, **changed: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "contacts", changed, id=id)


def create(key: str, email: str, **more: Any) -> Operation:
    return Operation(key, Verb.CREATE, "contacts", {"email": email, **more}, match={"email": email})


@pytest.mark.parametrize("address", ["p1@x.io", "old@x.io"])
def test_an_address_that_another_contact_has_is_refused(
    portal: HubSpotSandbox, hubspot: Connector, address: str
) -> None:
    """Its main one, or a further one; the other rows of the batch are written."""
    ids = fill(portal, 3)
    portal.edit("contacts", ids[1], {"email": "old@x.io"})
    portal.edit("contacts", ids[1], {"email": "p1@x.io"})
    results = push(hubspot, update("taken", ids[0], email=address), update("good", ids[2], firstname="New"))
    assert [key for key, result in results.items() if result.error] == ["taken"]
    assert isinstance(results["taken"].error, RecordRejected)
    assert portal.get("contacts", ids[0])["email"] == "p0@x.io"
    assert portal.get("contacts", ids[2])["firstname"] == "New"


def test_what_was_the_main_address_is_told_as_a_further_one(portal: HubSpotSandbox, hubspot: Connector) -> None:
    """By it HubSpot finds the contact: whoever gets it next must not be written there."""
    ids = fill(portal, 2)
    results = push(hubspot, update("moves", ids[0], email="new@x.io"), update("stays", ids[1], firstname="New"))
    assert values(results["moves"].record)["hs_additional_emails"] == "p0@x.io"
    assert "hs_additional_emails" not in values(results["stays"].record)
    portal.inject(
        "answer", "POST .*/batch/read", times=9, answer=Answer(400, b"{}", {"content-type": "application/json"})
    )
    assert isinstance(push(hubspot, update("moves", ids[0], email="newer@x.io"))["moves"].error, InDoubt)


@pytest.mark.parametrize("status_207", [False, True])
def test_a_bad_row_does_not_hold_up_the_others(portal: HubSpotSandbox, hubspot: Connector, status_207: bool) -> None:
    portal.status_207 = status_207
    ids = fill(portal, 3)
    results = push(
        hubspot,
        update("good", ids[0], firstname="New"),
        update("bad", ids[1], lifecyclestage="nonsense"),
        create("new", "new@x.io", firstname="N"),
        create("wrong", "no address"),
    )
    assert results["good"].error is None
    assert values(results["good"].record)["firstname"] == "New"
    assert isinstance(results["bad"].error, RecordRejected)
    assert results["bad"].error.field == "lifecyclestage"
    assert "nonsense" not in str(results["bad"].error)
    assert results["new"].created
    assert results["wrong"].error.code == "invalid_email"


def test_a_stage_goes_back_where_that_is_meant_and_nowhere_else(portal: HubSpotSandbox, hubspot: Connector) -> None:
    one, other = fill(portal, 2)
    for id in (one, other):
        portal.edit("contacts", id, {"lifecyclestage": "customer"})
    stage = {"lifecyclestage": "lead"}
    meant = Operation("meant", Verb.UPDATE, "contacts", stage, id=one, backwards=frozenset(stage))
    results = push(hubspot, meant, update("late", other, firstname="New", **stage))
    assert values(results["meant"].record)["lifecyclestage"] == "lead"
    assert (results["late"].error, values(results["late"].record)["lifecyclestage"]) == (None, "customer")
    assert [portal.get("contacts", id)["lifecyclestage"] for id in (one, other)] == ["lead", "customer"]
    assert portal.get("contacts", other)["firstname"] == "New"


def test_an_upsert_of_somebody_known_updates(portal: HubSpotSandbox, hubspot: Connector) -> None:
    [known] = fill(portal, 1)
    result = push(hubspot, create("k", "P0@X.io", firstname="Again"))["k"]
    assert (result.id, result.created) == (known, False)
    assert len(portal.all("contacts")) == 1


def test_a_contact_is_found_by_each_of_its_addresses(portal: HubSpotSandbox, hubspot: Connector) -> None:
    """A create by a further one updates it, and makes that its main one; the main one of before is kept."""
    known, other = fill(portal, 2)
    portal.edit("contacts", known, {"email": "new@x.io"})
    found = hubspot.read("contacts", "email", ["P0@x.io", "new@x.io", "p1@x.io", "p2@x.io"], FIELDS)
    assert {address: record.id for address, record in found.items()} == {
        "P0@x.io": known,
        "new@x.io": known,
        "p1@x.io": other,
    }
    result = push(hubspot, create("k", "p0@x.io", firstname="Again"))["k"]
    assert (result.id, result.created) == (known, False)
    held = portal.get("contacts", known)
    assert (held["email"], held["hs_additional_emails"]) == ("p0@x.io", "new@x.io")


def test_who_is_merged_keeps_all_addresses(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 3)
    new = portal.merge("contacts", portal.merge("contacts", ids[0], ids[1]), ids[2])
    found = hubspot.read("contacts", "email", ["p0@x.io", "p1@x.io", "p2@x.io"], FIELDS)
    assert {record.id for record in found.values()} == {new}
    assert len(found) == 3


def test_a_row_missing_from_the_answer_is_never_taken_for_done(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 3)
    portal.merge("contacts", ids[0], ids[1])
    results = push(hubspot, update("gone", ids[0], firstname="X"), update("here", ids[2], firstname="Y"))
    assert results["gone"].error.code == "merged_away"
    assert results["here"].error is None


def test_two_writes_to_one_record_go_in_two_batches(portal: HubSpotSandbox, hubspot: Connector) -> None:
    [id] = fill(portal, 1)
    results = push(
        hubspot,
        update("a", id, firstname="A"),
        update("b", id, firstname="B"),
        create("c", "z@x.io"),
        create("d", "Z@x.io"),
    )
    assert all(result.error is None for result in results.values())
    assert results["c"].id == results["d"].id


def test_a_batch_refused_as_a_whole_is_halved_to_the_row_to_blame(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 8)

    def refuse(call: Any) -> Answer:
        told = {"status": "error", "category": "CONFLICT", "message": "Existing ID: 1"}
        poisoned = any(row["id"] == ids[5] for row in call.json["inputs"])
        return Answer.of(told, 409) if poisoned else portal.answer(call)

    portal.inject("answer", "batch/update", times=99, answer=refuse)
    results = push(hubspot, *(update(f"k{n}", id, firstname="New") for n, id in enumerate(ids)))
    assert [key for key, result in results.items() if result.error] == ["k5"]


def test_a_hundred_and_fifty_changes_cost_two_calls(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 150)
    before = hubspot.calls
    push(hubspot, *(update(f"k{n}", id, firstname="New") for n, id in enumerate(ids)))
    assert hubspot.calls - before == 2


def test_an_opt_out_is_written_and_an_opt_in_never(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 2)
    consent = "hs_email_optout"
    results = push(
        hubspot,
        Operation("out", Verb.UPDATE, "contacts", {consent: "true"}, id=ids[0]),
        Operation("in", Verb.UPDATE, "contacts", {consent: "false", "firstname": "N"}, id=ids[1]),
    )
    assert portal.get("contacts", ids[1])["firstname"] == "P1"  # refused as a whole, nothing of it is written
    assert results["out"].error is None
    assert results["in"].error.code == "consent"
    assert set(portal.opted_out) == {"p0@x.io"}


def test_a_brief_is_a_note_that_can_be_found_again(portal: HubSpotSandbox, hubspot: Connector) -> None:
    [contact] = fill(portal, 1)
    values_ = {"subject": "S", "body": "<b>line</b>\nnext", "person": f"contacts/{contact}", "reference": "ref-1"}
    [result] = hubspot.push([Operation("k", Verb.CREATE, "notes", values_, match={"reference": "ref-1"})], [])
    assert portal.store.ties[f"notes/{result.id}"]["contacts"] == [contact]
    assert "&lt;b&gt;line" in portal.get("notes", result.id)["hs_note_body"]
    assert hubspot.read("notes", "reference", ["ref-1", "ref-2"], [])["ref-1"].id == result.id


def test_a_write_whose_answer_is_lost_is_in_doubt_when_it_cannot_be_repeated(
    portal: HubSpotSandbox, hubspot: Connector
) -> None:
    [contact] = fill(portal, 1)
    portal.inject("lost_answer", "POST .*/notes$")
    values_ = {"subject": "S", "body": "B", "person": f"contacts/{contact}", "reference": "ref-9"}
    [result] = hubspot.push([Operation("k", Verb.CREATE, "notes", values_, match={"reference": "ref-9"})], [])
    assert isinstance(result.error, InDoubt)
    assert "ref-9" in hubspot.read("notes", "reference", ["ref-9"], [])
    portal.inject("lost_answer", "batch/update")
    assert push(hubspot, update("u", contact, firstname="New"))["u"].error is None  # repeatable: sent again


def test_a_write_that_only_a_gateway_answered_is_in_doubt_whatever_is_answered_then(
    portal: HubSpotSandbox, hubspot: Connector
) -> None:
    [contact] = fill(portal, 1)
    for status in (502, 401):
        portal.inject("answer", "batch/update", answer=Answer.of(None, status))
    assert isinstance(push(hubspot, update("u", contact, firstname="New"))["u"].error, InDoubt)
    assert [fault.times for fault in portal.faults] == [0, 0]


def test_so_is_one_whose_token_ran_out_first(portal: HubSpotSandbox, app: Connector) -> None:
    """The gateway answers the call that is made with the new token; what may make two is not asked for again."""
    [contact] = fill(portal, 1)
    for status in (401, 502, 403):
        portal.inject("answer", "POST .*/notes$|batch/update", answer=Answer.of(None, status))
    assert isinstance(push(app, update("u", contact, firstname="New"))["u"].error, InDoubt)
    portal.faults.clear()
    for status in (401, 502):
        portal.inject("answer", "POST .*/notes$", answer=Answer.of(None, status))
    brief = {"person": f"contacts/{contact}", "subject": "S", "body": "B", "reference": "ref-1"}
    assert isinstance(push(app, Operation("n", Verb.CREATE, "notes", brief))["n"].error, InDoubt)
    assert [fault.times for fault in portal.faults] == [0, 0]
    assert portal.all("notes") == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"results": null}', b'{"results": [{"id": 7}]}'])
def test_a_batch_whose_answer_cannot_be_read_is_in_doubt(
    portal: HubSpotSandbox, hubspot: Connector, body: bytes
) -> None:
    [contact] = fill(portal, 1)

    def spoiled(call: Any) -> Answer:
        portal.answer(call)
        return Answer(200, body, {"content-type": "application/json"})

    portal.inject("answer", "batch/(update|upsert)", times=2, answer=spoiled)
    assert isinstance(push(hubspot, update("u", contact, firstname="New"))["u"].error, InDoubt)
    assert isinstance(push(hubspot, create("c", "c@x.io"))["c"].error, InDoubt)


WRONG = [
    Answer.of(None, 503),
    Answer.of(None, 401),
    Answer.of(None, 403),
    Answer.of({"category": "VALIDATION_ERROR"}, 400),
]


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: str(answer.status))
def test_who_was_written_and_whose_opt_out_went_wrong_is_in_doubt(
    portal: HubSpotSandbox, hubspot: Connector, answer: Answer
) -> None:
    """Of an opt-out alone nothing was done before: it is refused, or was never sent."""
    [contact] = fill(portal, 1)
    portal.inject("answer", "unsubscribe-all", times=99, answer=answer)
    results = push(hubspot, create("c", "c@x.io", hs_email_optout=True))
    results |= push(hubspot, update("u", contact, firstname="New", hs_email_optout=True))
    assert {type(result.error) for result in results.values()} == {InDoubt}
    alone = push(hubspot, update("a", contact, hs_email_optout=True))["a"].error
    assert isinstance(alone, InDoubt) == (answer.status == 503)
    assert alone is not None


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: str(answer.status))
def test_a_stage_that_was_blanked_to_go_back_and_was_not_written_is_in_doubt(
    portal: HubSpotSandbox, hubspot: Connector, answer: Answer
) -> None:
    [contact] = fill(portal, 1)
    portal.edit("contacts", contact, {"lifecyclestage": "customer"})
    stage = {"lifecyclestage": "lead"}
    meant = Operation("meant", Verb.UPDATE, "contacts", stage, id=contact, backwards=frozenset(stage))
    portal.inject("answer", "batch/update", skip=1, times=99, answer=answer)
    assert isinstance(push(hubspot, meant)["meant"].error, InDoubt)
    assert not portal.get("contacts", contact)["lifecyclestage"]
    portal.faults.clear()
    stage = {"lifecyclestage": "nonsense"}
    meant = Operation("meant", Verb.UPDATE, "contacts", stage, id=contact, backwards=frozenset(stage))
    assert isinstance(push(hubspot, meant)["meant"].error, InDoubt)


def test_an_opt_out_that_the_answer_leaves_out_is_written_all_the_same(
    portal: HubSpotSandbox, hubspot: Connector
) -> None:
    [contact] = fill(portal, 1)
    portal.inject("answer", "batch/update", answer=Answer.of({"status": "COMPLETE", "results": []}))
    assert push(hubspot, update("u", contact, hs_email_optout=True))["u"].error is None
    assert portal.get("contacts", contact)["hs_email_optout"] == "true"
