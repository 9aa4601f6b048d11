"""Writing to Mailchimp over its sandbox, through the real SDK: batches, consent, tags, lost answers."""

from __future__ import annotations

from typing import Any

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, InDoubt, RecordRejected, RetryLater
from connectors.api import Connector, Operation, Verb
from connectors.mailchimp.client import subscriber_hash
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.sandbox import Answer
from tests.connectors.mailchimp.kit import FIELDS, fill, values


def update(key: str, id: str, email: str, **changed: Any) -> Operation:
    named = {name.replace("__", "."): value for name, value in changed.items()}
    return Operation(key, Verb.UPDATE, "members", named, id=id, match={"email_address": email})


def create(key: str, email: str, **more: Any) -> Operation:
    named = {name.replace("__", "."): value for name, value in more.items()}
    return Operation(key, Verb.CREATE, "members", {"email_address": email, **named}, match={"email_address": email})


def push(mailchimp: Connector, *operations: Operation) -> dict[str, Any]:
    results = list(mailchimp.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(op.key for op in operations)
    return {result.key: result for result in results}


def test_many_optouts_are_one_batch_operation(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 120)
    chimp.batches.forgetful = 1
    before = mailchimp.calls
    out = {"status": "unsubscribed", "tags__left": True}
    operations = [update(f"k{n}", id, f"p{n}@x.io", **out) for n, id in enumerate(ids)]
    operations.append(update("gone", "no", "nobody@x.io", status="unsubscribed"))
    results = push(mailchimp, *operations)
    assert mailchimp.calls - before < 12
    assert isinstance(results["k0"].error, InDoubt)  # done, and missing in the results: nobody calls that success
    assert isinstance(results["gone"].error, RecordRejected)
    assert all(results[f"k{n}"].error is None and results[f"k{n}"].id == ids[n] for n in range(1, 120))
    assert {member["status"] for member in chimp.all("members")} == {"unsubscribed"}
    assert values(results["k7"].record)["tags"] == {"left": True}


@pytest.mark.parametrize("kind", ["truncated", "html", "lost_answer"])
def test_a_batch_operation_whose_result_is_lost_is_in_doubt(
    chimp: MailchimpSandbox, mailchimp: Connector, kind: str
) -> None:
    ids = fill(chimp, 110)
    chimp.inject(kind, "GET /3.0/batch-results", times=9)
    operations = [update(f"k{n}", id, f"p{n}@x.io", status="unsubscribed") for n, id in enumerate(ids)]
    assert all(isinstance(result.error, InDoubt) for result in push(mailchimp, *operations).values())


def test_a_batch_operation_that_never_ends_is_in_doubt(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = fill(chimp, 110)
    chimp.inject("answer", "GET /3.0/batches/", times=999, answer=Answer.of({"id": "x", "status": "started"}))
    began = clock.now()
    operations = [update(f"k{n}", id, f"p{n}@x.io", status="unsubscribed") for n, id in enumerate(ids)]
    assert all(isinstance(result.error, InDoubt) for result in push(mailchimp, *operations).values())
    assert (clock.now() - began).total_seconds() <= 3700


def test_a_result_on_a_strange_host_is_not_fetched(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 110)
    strange = {"id": "x", "status": "finished", "response_body_url": "http://evil.invalid/x.tar.gz"}
    chimp.inject("answer", "GET /3.0/batches/", answer=Answer.of(strange))
    operations = [update(f"k{n}", id, f"p{n}@x.io", status="unsubscribed") for n, id in enumerate(ids)]
    assert all(isinstance(result.error, InDoubt) for result in push(mailchimp, *operations).values())


def test_interest_groups_are_written_by_their_names(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 6)
    chimp.categories["c1"] = {"title": "Likes", "interests": {"i1": "Tea", "i2": "Coffee"}}
    operations = [
        Operation(
            f"k{n}",
            Verb.UPDATE,
            "members",
            {"interests.Likes/Tea": True, "interests.Likes/Coffee": None},
            id=id,
            match={"email_address": f"p{n}@x.io"},
        )
        for n, id in enumerate(ids)
    ]
    for some in (operations[:1], operations[1:]):  # one by one, and in a batch
        assert all(result.error is None for result in push(mailchimp, *some).values())
    assert all(member["interests"] == {"i1": True, "i2": False} for member in chimp.all("members"))
    assert mailchimp.describe("members").fields["interests.Likes/Tea"].type == "boolean"


def test_who_was_there_already_is_not_called_new(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    fill(chimp, 5)
    there = [create(f"old{n}", f"p{n}@x.io", merge_fields__FNAME="N") for n in range(5)]
    new = [create(f"new{n}", f"n{n}@x.io", merge_fields__FNAME="N") for n in range(5)]
    for some in (there[:1] + new[:1], there[1:] + new[1:]):  # one by one, and in a batch
        for key, result in push(mailchimp, *some).items():
            assert result.error is None
            assert result.created == key.startswith("new"), key


def test_a_change_to_an_archived_member_is_no_success(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 8)
    for id in ids[:6]:
        chimp.remove("members", id)
    operations = [update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="N") for n, id in enumerate(ids)]
    for some in (operations[:1], operations[1:]):
        for key, result in push(mailchimp, *some).items():
            assert (result.error is not None and result.error.code == "gone") == (key not in ("k6", "k7")), key


def test_many_changes_and_their_tags_cost_a_few_calls(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 600)
    before = mailchimp.calls
    results = push(
        mailchimp,
        *(
            update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="New", tags__customer=True)
            for n, id in enumerate(ids)
        ),
    )
    assert mailchimp.calls - before == 7  # two batches; the tag looked up twice, made, and set twice
    assert all(result.error is None for result in results.values())
    assert {results[f"k{n}"].id for n in range(600)} == set(ids)
    assert values(results["k0"].record)["tags"] == {"customer": True}
    assert all(member["tags"][0]["name"] == "customer" for member in chimp.all("members"))
    gone = push(mailchimp, *(update(f"k{n}", ids[n], f"p{n}@x.io", tags__customer=False) for n in range(10)))
    assert all(result.error is None for result in gone.values())
    assert sum(not member["tags"] for member in chimp.all("members")) == 10


def test_a_bad_row_of_a_batch_fails_alone(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    chimp.forget("erased@x.io")
    chimp.put("members", {"email_address": "there@x.io"})
    results = push(
        mailchimp,
        *(create(f"k{n}", f"n{n}@x.io", merge_fields__FNAME="N") for n in range(5)),
        create("bad", "no address"),
        create("erased", "erased@x.io"),
        create("there", "There@x.io", merge_fields__FNAME="Known"),
    )
    assert {key for key, result in results.items() if result.error} == {"bad", "erased"}
    assert isinstance(results["erased"].error, RecordRejected)
    assert results["there"].error is None
    assert chimp.get("members", results["there"].id)["merge_fields"]["FNAME"] == "Known"


def test_somebody_new_without_evidence_is_not_subscribed(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    push(
        mailchimp,
        create("bare", "a@x.io", status="subscribed"),
        create("proven", "b@x.io", status="subscribed", timestamp_opt="2026-01-01T00:00:00+00:00"),
        create("out", "c@x.io", status="unsubscribed"),
    )
    states = {member["email_address"]: member["status"] for member in chimp.all("members")}
    assert states == {"a@x.io": "transactional", "b@x.io": "subscribed", "c@x.io": "unsubscribed"}


def test_nobody_who_left_is_ever_subscribed_again(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 3)
    chimp.unsubscribe("p0@x.io")
    chimp.bounce("p1@x.io")
    results = push(
        mailchimp,
        update("left", ids[0], "p0@x.io", status="subscribed"),
        create("again", "p0@x.io", status="subscribed", timestamp_opt="2026-01-01T00:00:00+00:00"),
        update("name", ids[1], "p1@x.io", merge_fields__FNAME="Still"),
        update("out", ids[2], "p2@x.io", status="unsubscribed"),
    )
    assert results["left"].error.code == "consent"
    states = [chimp.get("members", id)["status"] for id in ids]
    assert states == ["unsubscribed", "cleaned", "unsubscribed"]
    assert results["name"].error is None
    # a new member may be asked for; for one who is there that is refused, and asked again without a status
    assert all(line.status == 400 for line in chimp.log if b'"status":"subscribed"' in line.body)


def test_a_new_address_moves_the_member(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    [id] = fill(chimp, 1)
    result = push(mailchimp, update("k", id, "p0@x.io", email_address="new@x.io"))["k"]
    assert result.id == id
    assert [member["email_address"] for member in chimp.all("members")] == ["new@x.io"]


def test_a_new_address_whose_answer_was_lost_is_written_again(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    [id] = fill(chimp, 1)
    chimp.inject("lost_answer", "PATCH")
    assert push(mailchimp, update("k", id, "p0@x.io", email_address="new@x.io"))["k"].error is None
    assert [member["email_address"] for member in chimp.all("members")] == ["new@x.io"]


def test_so_it_is_where_an_address_is_all_that_a_member_is_known_by(
    chimp: MailchimpSandbox, mailchimp: Connector
) -> None:
    """Nobody stands under the old one any more. Who stands under the new one as somebody else is left alone."""
    chimp.store.with_contact_ids = False
    fill(chimp, 2)
    chimp.inject("lost_answer", "PATCH")
    by, new = subscriber_hash("p0@x.io"), subscriber_hash("new@x.io")
    moved = {"email_address": "new@x.io", "merge_fields__FNAME": "N"}
    result = push(mailchimp, update("k", by, "p0@x.io", **moved))["k"]
    assert (result.error, result.id) == (None, new)
    error = push(mailchimp, update("k", by, "p0@x.io", email_address="p1@x.io", merge_fields__FNAME="N"))["k"].error
    assert isinstance(error, RecordRejected)
    assert error.code == "resource_not_found"
    nobody = push(mailchimp, update("k", by, "p0@x.io", email_address="free@x.io"))["k"].error
    assert isinstance(nobody, RecordRejected)
    named = {member["email_address"]: member["merge_fields"]["FNAME"] for member in chimp.all("members")}
    assert named == {"new@x.io": "N", "p1@x.io": "P1"}


def test_many_that_were_moved_already_are_found(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    chimp.store.with_contact_ids = False
    fill(chimp, 100)
    operations = [
        update(f"k{n}", subscriber_hash(f"p{n}@x.io"), f"p{n}@x.io", email_address=f"n{n}@x.io") for n in range(100)
    ]
    for _ in range(2):  # all of them, and once more as if nobody had been told
        results = push(mailchimp, *operations)
        assert {key: result.id for key, result in results.items()} == {
            f"k{n}": subscriber_hash(f"n{n}@x.io") for n in range(100)
        }


def test_an_address_that_was_passed_on_meanwhile_leads_to_nobody_else(
    chimp: MailchimpSandbox, mailchimp: Connector
) -> None:
    """Nor is a changed one taken back by a write of something else."""
    ids = fill(chimp, 2)
    chimp.edit("members", ids[0], {"email_address": "own@x.io"})
    chimp.edit("members", ids[1], {"email_address": "p0@x.io"})
    assert push(mailchimp, update("k", ids[0], "p0@x.io", merge_fields__FNAME="N"))["k"].error is None
    named = {member["email_address"]: member["merge_fields"]["FNAME"] for member in chimp.all("members")}
    assert named == {"own@x.io": "N", "p0@x.io": "P1"}


def test_an_address_that_another_member_has_is_refused(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 2)
    error = push(mailchimp, update("k", ids[0], "p0@x.io", email_address="p1@x.io"))["k"].error
    assert isinstance(error, RecordRejected)
    assert error.code == "member_exists"
    assert len(chimp.all("members")) == 2


def test_a_write_that_only_a_gateway_answered_is_in_doubt(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    [id] = fill(chimp, 1)
    chimp.inject("answer", "PATCH", times=9, answer=Answer(502, b"", {"content-type": "text/html"}))
    error = push(mailchimp, update("k", id, "p0@x.io", merge_fields__FNAME="N"))["k"].error
    assert isinstance(error, InDoubt)


def test_a_lost_answer_is_repeated_where_that_is_safe(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    chimp.inject("lost_answer", "PUT")
    assert push(mailchimp, create("k", "a@x.io"))["k"].error is None
    assert len(chimp.all("members")) == 1
    chimp.inject("lost_answer", "POST .*/segments$", times=9)
    tagged = push(mailchimp, *(create(f"k{n}", f"t{n}@x.io", tags__vip=True) for n in range(6)))
    assert {type(result.error) for result in tagged.values()} == {InDoubt}


def test_a_tag_that_was_refused_is_no_success(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 6)
    chimp.tag(ids[0], "customer")
    operations = [update(f"k{n}", id, f"p{n}@x.io", tags__customer=True) for n, id in enumerate(ids)]
    chimp.forget("p4@x.io")
    results = push(mailchimp, *operations)
    assert {key for key, result in results.items() if result.error} == {"k4"}


def test_a_batch_refused_as_a_whole_is_halved(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    def refuse(call: Any) -> Answer:
        poisoned = any(row["email_address"] == "n3@x.io" for row in call.json["members"])
        return chimp.problem(400, "Bad Request", "poison") if poisoned else chimp.answer(call)

    chimp.inject("answer", "POST /3.0/lists/[^/]+$", times=99, answer=refuse)
    results = push(mailchimp, *(create(f"k{n}", f"n{n}@x.io") for n in range(8)))
    assert [key for key, result in results.items() if result.error] == ["k3"]


def test_a_server_error_on_what_must_not_be_repeated_is_in_doubt(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 6)
    chimp.inject("answer", "POST .*/segments$", answer=Answer(504, b"", {"content-type": "text/html"}))
    results = push(mailchimp, *(update(f"k{n}", id, f"p{n}@x.io", tags__new=True) for n, id in enumerate(ids)))
    assert {type(result.error) for result in results.values()} == {InDoubt}
    assert sum("/segments" in line.path for line in chimp.log) == 0


def test_lost_credentials_stop_a_push(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 3)
    refused = Answer(401, b'{"title":"API Key Invalid","status":401}', {"content-type": "application/problem+json"})
    chimp.inject("answer", "PATCH", times=9, answer=refused)
    mailchimp.describe("members")  # what answers are read with is known then
    before = mailchimp.calls
    results = push(mailchimp, *(update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="N") for n, id in enumerate(ids)))
    assert {type(result.error) for result in results.values()} == {AuthorizationLost}
    assert mailchimp.calls - before == 1


def test_a_member_who_had_gone_is_not_made_anew(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 6)
    del chimp.store.members[subscriber_hash("p2@x.io")]
    operations = [update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="N") for n, id in enumerate(ids)]
    results = push(mailchimp, *operations)
    assert [key for key, result in results.items() if result.error] == ["k2"]
    assert "p2@x.io" not in {member["email_address"] for member in chimp.all("members")}


def test_two_writes_to_one_member_keep_their_order(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 5)
    operations = [update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="first") for n, id in enumerate(ids)]
    operations.append(update("later", ids[0], "p0@x.io", merge_fields__FNAME="second"))
    push(mailchimp, *operations)
    assert chimp.get("members", ids[0])["merge_fields"]["FNAME"] == "second"


def test_what_cannot_be_written_is_refused_and_addresses_nest(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    [id] = fill(chimp, 1)
    group = Operation("g", Verb.UPDATE, "members", {"interests.A/B": True}, id=id, match={"email_address": "p0@x.io"})
    city = {"merge_fields.ADDRESS.city": "Rom", "merge_fields.ADDRESS.addr1": "Via"}
    address = Operation("a", Verb.UPDATE, "members", city, id=id, match={"email_address": "p0@x.io"})
    results = push(mailchimp, group, address)
    assert results["g"].error.code == "unknown_group"
    assert chimp.get("members", id)["merge_fields"]["ADDRESS"] == {"city": "Rom", "addr1": "Via"}


def test_nothing_is_written_whose_answer_could_not_be_read(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    """The interest groups are asked for first, and all of them: the write would pass for one that was never sent."""
    [id] = fill(chimp, 1)
    chimp.inject("answer", "GET .*/interest-categories", answer=Answer.of({}, 429), times=6)
    with pytest.raises(RetryLater):
        push(mailchimp, update("k", id, "p0@x.io", merge_fields__FNAME="New"))
    assert chimp.get("members", id)["merge_fields"]["FNAME"] == "P0"
    assert push(mailchimp, update("k", id, "p0@x.io", merge_fields__FNAME="New"))["k"].error is None


@pytest.mark.parametrize("number", [1, 5])
def test_a_member_who_was_written_and_not_tagged_is_in_doubt(
    chimp: MailchimpSandbox, mailchimp: Connector, number: int
) -> None:
    ids = fill(chimp, number)
    chimp.inject("answer", "POST .*/(tags|segments)", answer=Answer.of({}, 429), times=6)
    operations = [
        update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="New", tags__Ours=True) for n, id in enumerate(ids)
    ]
    assert all(isinstance(result.error, InDoubt) for result in push(mailchimp, *operations).values())
    assert {member["merge_fields"]["FNAME"] for member in chimp.all("members")} == {"New"}
