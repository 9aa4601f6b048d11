"""Mailchimp's connector over its sandbox, through the real SDK and real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, InDoubt, Misconfigured, PermissionMissing, RecordRejected, RetryLater
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Gone, Operation, Request, Surroundings, Verb
from connectors.mailchimp.client import Client, subscriber_hash
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.mailchimp.sandbox_login import KEY
from connectors.sandbox import Answer
from tests.connectors.surroundings import Budget, Tokens, connect, pulled

FIELDS = ["email_address", "merge_fields.FNAME", "status", "tags.customer"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def chimp(clock: ManualClock) -> Iterator[MailchimpSandbox]:
    with MailchimpSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, MailchimpSandbox)
        yield sandbox


@pytest.fixture
def mailchimp(chimp: MailchimpSandbox, clock: ManualClock) -> Iterator[Connector]:
    connector = connect(chimp, clock)
    yield connector
    connector.close()


def fill(chimp: MailchimpSandbox, number: int) -> list[str]:
    return [
        chimp.put("members", {"email_address": f"p{n}@x.io", "merge_fields": {"FNAME": f"P{n}"}}) for n in range(number)
    ]


def values(record: Any) -> dict[str, Any]:
    return orjson.loads(record.raw)  # type: ignore[no-any-return]


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


def test_a_pull_brings_every_status_and_the_archived_last(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = fill(chimp, 5)
    chimp.unsubscribe("p1@x.io")
    chimp.bounce("p2@x.io")
    chimp.remove("members", ids[3])
    found, _ = pulled(mailchimp, "members", None, FIELDS)
    assert {record.id: values(record)["status"] for record in found if not record.gone} == {
        ids[0]: "subscribed",
        ids[1]: "unsubscribed",
        ids[2]: "cleaned",
        ids[4]: "subscribed",
    }
    assert [(record.id, record.gone) for record in found if record.gone] == [(ids[3], Gone.ARCHIVED)]


def test_pages_of_a_thousand_can_be_resumed_at_every_cursor(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    ids = set(fill(chimp, 2300))
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(10):
        page = next(iter(mailchimp.pull("members", cursor, FIELDS)))
        seen |= {record.id for record in page.records}
        cursor = page.cursor
        if not page.more:
            break
    assert seen == ids


def test_a_later_pull_brings_what_changed_in_two_calls(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = fill(chimp, 30)
    clock.advance(3600)
    _, cursor = pulled(mailchimp, "members", None, FIELDS)
    clock.advance(3600)
    chimp.edit("members", ids[7], {"merge_fields": {"FNAME": "New"}})
    before = mailchimp.calls
    found, cursor = pulled(mailchimp, "members", cursor, FIELDS)
    assert [record.id for record in found] == [ids[7]]
    assert mailchimp.calls - before == 2
    assert pulled(mailchimp, "members", cursor, FIELDS)[0][0].id == ids[7]  # the overlap


def test_a_change_that_is_shown_late_is_not_missed(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = fill(chimp, 3)
    clock.advance(3600)
    _, cursor = pulled(mailchimp, "members", None, FIELDS)
    chimp.edit("members", ids[1], {"merge_fields": {"FNAME": "Late"}})
    late = chimp.store.members[subscriber_hash("p1@x.io")]
    late["last_changed"] = (clock.now() - timedelta(seconds=200)).isoformat()  # changed before the pull, shown after it
    found, _ = pulled(mailchimp, "members", cursor, FIELDS)
    assert [record.id for record in found] == [ids[1]]


def test_a_changed_address_keeps_its_record(chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock) -> None:
    [id] = fill(chimp, 1)
    clock.advance(60)
    chimp.edit("members", id, {"email_address": "new@x.io"})
    [record], _ = pulled(mailchimp, "members", None, FIELDS)
    assert (record.id, values(record)["email_address"]) == (id, "new@x.io")


def test_an_account_without_contact_ids_goes_by_the_hash(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    chimp.store.with_contact_ids = False
    fill(chimp, 1)
    [record], _ = pulled(mailchimp, "members", None, FIELDS)
    assert record.id == subscriber_hash("p0@x.io")


def test_campaigns_and_what_members_did(chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock) -> None:
    fill(chimp, 2)
    campaign = chimp.add_campaign("News", "2026-11-20T10:00:00Z", to=["p0@x.io", "p1@x.io"])
    chimp.add_campaign("Quiet", "2026-11-19T10:00:00Z")
    chimp.record_activity(campaign, "p0@x.io", "open", "2026-11-20T11:00:00Z")
    chimp.record_activity(campaign, "p0@x.io", "click", "2026-11-20T11:01:00Z", "https://x.io")
    chimp.record_activity(campaign, "p1@x.io", "bounce", "2026-11-20T10:01:00Z")
    [told, _], _ = pulled(mailchimp, "campaigns", None, [])
    assert (values(told)["title"], values(told)["emails_sent"], values(told)["unique_opens"]) == ("News", 2, 1)
    found, cursor = pulled(mailchimp, "email_activity", None, [])
    kinds = ["email_bounce", "email_click", "email_open", "email_sent", "email_sent"]
    assert sorted(values(record)["type"] for record in found) == kinds
    assert len({record.id for record in found}) == 5
    clock.advance(3600)
    chimp.record_activity(campaign, "p1@x.io", "open", "2026-11-23T10:59:00Z")
    chimp.record_activity(campaign, "p0@x.io", "unsub", "2026-11-23T10:59:30Z")
    before = mailchimp.calls
    found, cursor = pulled(mailchimp, "email_activity", cursor, [])
    told = {(values(r)["type"], values(r)["email_address"]) for r in found}
    assert told == {("email_open", "p1@x.io"), ("email_unsubscribe", "p0@x.io")}
    assert mailchimp.calls - before == 3  # the reports, and of the one campaign that moved what moved
    before = mailchimp.calls
    assert pulled(mailchimp, "email_activity", cursor, [])[0] == []
    assert mailchimp.calls - before == 1


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


def test_ten_connections_are_waited_for_by_everybody(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    budget = Budget()
    account = chimp.account()
    world = Surroundings(clock, budget, Tokens())
    connector = registry.platform("mailchimp").open(
        Account("mailchimp", "mailchimp", account["auth"], account["settings"], chimp.base_url), world
    )
    chimp.crowded = 2
    connector.check()
    connector.close()
    assert len(budget.blocked) == 2
    assert budget.taken == connector.calls


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


@pytest.mark.parametrize("kind", ["html", "truncated", "no_answer"])
def test_a_broken_answer_is_asked_for_again(chimp: MailchimpSandbox, mailchimp: Connector, kind: str) -> None:
    ids = fill(chimp, 2)
    chimp.inject(kind, "GET .*members", times=2)
    assert {record.id for record in pulled(mailchimp, "members", None, FIELDS)[0]} == set(ids)


def test_a_lost_answer_is_repeated_where_that_is_safe(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    chimp.inject("lost_answer", "PUT")
    assert push(mailchimp, create("k", "a@x.io"))["k"].error is None
    assert len(chimp.all("members")) == 1
    chimp.inject("lost_answer", "POST .*/segments$", times=9)
    tagged = push(mailchimp, *(create(f"k{n}", f"t{n}@x.io", tags__vip=True) for n in range(6)))
    assert {type(result.error) for result in tagged.values()} == {InDoubt}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, b"", RetryLater),
        (403, b"", RetryLater),
        (504, b"<html>", RetryLater),
        (403, b'{"title":"Forbidden","status":403}', PermissionMissing),
        (403, b'{"title":"User Disabled","status":403}', AuthorizationLost),
        (401, b'{"title":"API Key Invalid","status":401}', AuthorizationLost),
    ],
)
def test_errors_are_sorted_by_title(
    chimp: MailchimpSandbox, mailchimp: Connector, status: int, body: bytes, error: type[Exception]
) -> None:
    chimp.inject("answer", "GET", times=99, answer=Answer(status, body, {"content-type": "application/problem+json"}))
    with pytest.raises(error):
        mailchimp.check()


def test_the_sdks_server_placeholder_does_not_touch_addresses(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    """The SDK replaces "server" anywhere in the URL by the data centre."""
    client = Client(_account(chimp), Surroundings(ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), Budget(), Tokens()))
    with pytest.raises(RecordRejected):
        client.call("GET", "/lists/a6b5da1054/members/observer@server.example")
    assert chimp.log[-1].path.endswith("observer@server.example")
    client.close()


def test_the_sdks_connection_per_call_is_replaced_by_one(chimp: MailchimpSandbox, mailchimp: Connector) -> None:
    for _ in range(3):
        mailchimp.check()
    pools = mailchimp._client._session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    [pool] = [pools[key] for key in pools.keys()]  # noqa: SIM118 - a container of its own kind
    assert pool.num_connections == 1


def _account(chimp: MailchimpSandbox) -> Account:
    return Account("m", "mailchimp", {"api_key": KEY}, {"audience": "a6b5da1054"}, chimp.base_url)


@pytest.mark.parametrize("key", ["nodash", "abc-evil.example/", "abc-US19", "abc-us19@x"])
def test_a_key_that_names_no_data_centre_makes_no_host(key: str, clock: ManualClock) -> None:
    account = Account("m", "mailchimp", {"api_key": Secret(key)}, {"audience": "a"})
    with pytest.raises(Misconfigured) as caught:
        Client(account, Surroundings(clock, Budget(), Tokens()))
    assert key not in str(caught.value)


def test_settings_that_are_missing_are_told(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match="audience"):
        connect(chimp, clock, audience="")


def test_describe_tells_merge_fields_and_takes_any_tag(mailchimp: Connector) -> None:
    schema = mailchimp.describe("members")
    assert schema.fields["merge_fields.FNAME"].length == 255
    assert not schema.fields["member_rating"].writable
    assert "tags." in schema.open_ended


def test_a_webhook_is_believed_only_with_its_signature(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    connector = connect(chimp, clock, auth={"api_key": KEY, "signing_secret": Secret("shh")})
    headers, body = chimp.delivery("unsubscribe", "ana@x.io", "shh", action="unsub", reason="manual")
    assert connector.verify(Request("POST", "u", headers, body))[0].id == "ana@x.io"
    for wrong in (Request("POST", "u", headers, body + b"x"), Request("POST", "u", {}, body)):
        with pytest.raises(AuthorizationLost):
            connector.verify(wrong)
    clock.advance(400)
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", headers, body))
    connector.close()


def test_a_webhook_without_a_signature_is_believed_by_the_token_of_its_address(
    chimp: MailchimpSandbox, clock: ManualClock
) -> None:
    _, body = chimp.delivery("profile", "ana@x.io", "shh")
    connector = connect(chimp, clock, auth={"api_key": KEY, "webhook_token": Secret("long-and-random")})
    assert connector.verify(Request("POST", "https://h/hooks/m/long-and-random", {}, body))[0].id == "ana@x.io"
    for url in ("https://h/hooks/m", "https://h/hooks/m/long-and-randon", "https://h/hooks/m/?token=long-and-random"):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", url, {}, body))
    connector.close()
    secrets = {"signing_secret": Secret("shh"), "webhook_token": Secret("long-and-random")}
    both = connect(chimp, clock, auth={"api_key": KEY, **secrets})
    with pytest.raises(AuthorizationLost):  # signed ones are to come: the token alone proves nothing any more
        both.verify(Request("POST", "https://h/hooks/m/long-and-random", {}, body))
    both.close()


def test_a_snapshot_brings_everything_back(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    fill(chimp, 5)
    with MailchimpSandbox(seed=2, clock=clock) as other:
        other.restore(chimp.snapshot())
        connector = connect(other, clock)
        assert len(pulled(connector, "members", None, FIELDS)[0]) == 5
        connector.close()


def test_a_member_edited_while_pages_turn_takes_no_other_along(
    chimp: MailchimpSandbox, mailchimp: Connector, clock: ManualClock
) -> None:
    ids = []
    for number in range(1500):
        ids.append(chimp.put("members", {"email_address": f"p{number}@x.io"}))
        clock.advance(1)
    pages = mailchimp.pull("members", None, FIELDS)
    seen = {record.id for record in next(pages).records}
    clock.advance(30)
    chimp.edit("members", ids[3], {"merge_fields": {"FNAME": "Moved"}})
    cursor = ""
    for page in pages:
        seen |= {record.id for record in page.records}
        cursor = page.cursor
    assert seen == set(ids)
    assert ids[3] in {record.id for record in pulled(mailchimp, "members", cursor, FIELDS)[0]}


def test_nobody_is_subscribed_by_a_setting(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match="status_if_new"):
        connect(chimp, clock, status_if_new="subscribed")


def test_an_audience_that_is_not_there_is_told(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    connector = connect(chimp, clock, audience="nope")
    with pytest.raises(Misconfigured, match="no audience"):
        connector.check()
    connector.close()


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
    before = mailchimp.calls
    results = push(mailchimp, *(update(f"k{n}", id, f"p{n}@x.io", merge_fields__FNAME="N") for n, id in enumerate(ids)))
    assert {type(result.error) for result in results.values()} == {AuthorizationLost}
    assert mailchimp.calls - before == 1


@pytest.mark.parametrize("header", ["t=²,v1=x", "t=1,v1=ü", "", "t=,v1=", "nonsense"])
def test_a_hostile_signature_is_refused_by_name(chimp: MailchimpSandbox, clock: ManualClock, header: str) -> None:
    connector = connect(chimp, clock, auth={"api_key": KEY, "signing_secret": Secret("shh")})
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", {"X-Mailchimp-Signature": header}, b"x"))
    connector.close()


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
