"""HubSpot's connector over its sandbox, through the real SDK and real sockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Gone, Operation, Request, Surroundings, Verb
from connectors.hubspot.sandbox import HubSpotSandbox
from connectors.sandbox import Answer
from tests.connectors.surroundings import Budget, Tokens, connect, pulled

FIELDS = ["email", "firstname", "lifecyclestage"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def portal(clock: ManualClock) -> Iterator[HubSpotSandbox]:
    with HubSpotSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, HubSpotSandbox)
        yield sandbox


@pytest.fixture
def hubspot(portal: HubSpotSandbox, clock: ManualClock) -> Iterator[Connector]:
    connector = connect(portal, clock)
    yield connector
    connector.close()


def fill(portal: HubSpotSandbox, number: int) -> list[str]:
    return [portal.put("contacts", {"email": f"p{n}@x.io", "firstname": f"P{n}"}) for n in range(number)]


def values(record: Any) -> dict[str, Any]:
    return orjson.loads(record.raw)  # type: ignore[no-any-return]


def push(hubspot: Connector, *operations: Operation) -> dict[str, Any]:
    results = list(hubspot.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(op.key for op in operations)
    return {result.key: result for result in results}


def update(key: str, id: str, **changed: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "contacts", changed, id=id)


def create(key: str, email: str, **more: Any) -> Operation:
    return Operation(key, Verb.CREATE, "contacts", {"email": email, **more}, match={"email": email})


def test_the_first_pull_lists_everything_and_then_the_archived(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = fill(portal, 250)
    portal.remove("contacts", ids[0])
    found, _ = pulled(hubspot, "contacts", None, FIELDS)
    assert {record.id for record in found if record.gone is None} == set(ids[1:])
    assert [(record.id, record.gone) for record in found if record.gone] == [(ids[0], Gone.ARCHIVED)]
    assert all(record.version == "2026-11-23T10:00:00.000Z" for record in found)


def test_every_cursor_of_a_first_pull_can_be_resumed(portal: HubSpotSandbox, hubspot: Connector) -> None:
    ids = set(fill(portal, 230))
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(10):
        page = next(iter(hubspot.pull("contacts", cursor, FIELDS)))
        seen |= {record.id for record in page.records}
        cursor = page.cursor
        if not page.more:
            break
    assert seen == ids


def test_a_later_pull_brings_only_what_changed_with_overlap(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    ids = fill(portal, 20)
    clock.advance(3600)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(3600)
    before = hubspot.calls
    nothing, cursor = pulled(hubspot, "contacts", cursor, FIELDS)
    assert nothing == []
    assert hubspot.calls - before == 2  # one search, one look at the archived
    portal.edit("contacts", ids[3], {"firstname": "New"})
    clock.advance(60)
    changed, cursor = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [record.id for record in changed] == [ids[3]]
    again, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [record.id for record in again] == [ids[3]]  # within the overlap: the index may lag


def test_a_row_that_the_index_shows_late_is_not_missed(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    fill(portal, 3)
    clock.advance(3600)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(600)
    portal.index_lag = 60
    late = portal.put("contacts", {"email": "late@x.io"})
    found, cursor = pulled(hubspot, "contacts", cursor, FIELDS)
    assert found == []
    clock.advance(120)
    found, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [record.id for record in found] == [late]


def test_a_bulk_change_beyond_ten_thousand_is_walked_by_id(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    ids = fill(portal, 10_300)  # all of one instant
    clock.advance(1)
    found, _ = pulled(hubspot, "contacts", cursor, ["email"])
    assert {record.id for record in found} == set(ids)


def test_a_merge_makes_a_new_record_and_the_old_ones_point_at_it(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    ids = fill(portal, 3)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(60)
    new = portal.merge("contacts", ids[0], ids[1])
    found, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    merged = {record.id: record.into for record in found if record.gone is Gone.MERGED}
    assert merged == {ids[0]: new, ids[1]: new}
    answered = hubspot.read("contacts", "id", [ids[0], ids[2], "999"], FIELDS)
    assert answered[ids[0]].id == new
    assert set(answered) == {ids[0], ids[2]}


def test_what_is_archived_later_is_noticed(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    ids = fill(portal, 3)
    clock.advance(3600)
    _, cursor = pulled(hubspot, "contacts", None, FIELDS)
    clock.advance(3600)
    portal.remove("contacts", ids[1])
    found, _ = pulled(hubspot, "contacts", cursor, FIELDS)
    assert [(record.id, record.gone) for record in found] == [(ids[1], Gone.ARCHIVED)]


def test_deals_know_their_stage_and_ties_are_a_stream_of_their_own(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock
) -> None:
    [contact] = fill(portal, 1)
    deal = portal.put("deals", {"dealname": "D", "pipeline": "default", "dealstage": "closedwon", "amount": "5"})
    found, _ = pulled(hubspot, "deals", None, ["dealname", "stage_label", "stage_won"])
    told = values(found[0])
    assert (told["stage_label"], told["stage_closed"], told["stage_won"]) == ("Closed won", True, True)
    clock.advance(3600)
    ties, cursor = pulled(hubspot, "deal_contacts", None, [])
    assert values(ties[0])["to_ids"] == []
    portal.associate("deals", deal, "contacts", contact)  # moves no modified time
    clock.advance(3600)
    quiet, cursor = pulled(hubspot, "deal_contacts", cursor, [])
    assert quiet == []
    clock.advance(6 * 3600)
    swept, _ = pulled(hubspot, "deal_contacts", cursor, [])
    assert values(swept[0])["to_ids"] == [contact]
    assert ties[0].id == swept[0].id


def test_a_contacts_companies_are_a_stream_too(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    [contact] = fill(portal, 1)
    company = portal.put("companies", {"name": "C"})
    portal.associate("contacts", contact, "companies", company)
    clock.advance(3600)
    [tie], cursor = pulled(hubspot, "contact_companies", None, [])
    assert (values(tie)["from_id"], values(tie)["to_ids"]) == (contact, [company])
    other = portal.put("companies", {"name": "D"})
    portal.associate("contacts", contact, "companies", other)
    portal.edit("contacts", contact, {"firstname": "moves the stamp"})
    [tie], _ = pulled(hubspot, "contact_companies", cursor, [])
    assert values(tie)["to_ids"] == sorted([company, other])


def test_events_owners_and_campaigns(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    [contact] = fill(portal, 1)
    portal.add_owner("rita@x.io", "Rita", "O")
    portal.add_campaign("Spring", "100", "2026-01-01T00:00:00Z")
    portal.record_activity(contact, "e_form_submission_v2", "2026-11-20T10:00:00.000Z", hs_form_name="Ask")
    portal.record_activity(contact, "e_something_else", "2026-11-20T11:00:00.000Z")
    found, cursor = pulled(hubspot, "events", None, [])
    assert [(values(r)["type"], values(r)["title"], values(r)["contact"]) for r in found] == [("form", "Ask", contact)]
    clock.advance(600)
    assert pulled(hubspot, "events", cursor, [])[0] == []
    [owner], _ = pulled(hubspot, "owners", None, [])
    assert values(owner)["email"] == "rita@x.io"
    [campaign], _ = pulled(hubspot, "campaigns", None, [])
    assert values(campaign)["hs_name"] == "Spring"


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


@pytest.mark.parametrize("kind", ["html", "truncated", "no_answer", "lost_answer", "charset"])
def test_a_broken_answer_is_asked_for_again(portal: HubSpotSandbox, hubspot: Connector, kind: str) -> None:
    ids = fill(portal, 2)
    portal.edit("contacts", ids[0], {"firstname": "Žöfia"})
    portal.inject(kind, "GET /crm/objects", times=2)
    found, _ = pulled(hubspot, "contacts", None, FIELDS)
    assert {record.id for record in found} == set(ids)


def test_a_platform_that_stays_broken_is_told(portal: HubSpotSandbox, hubspot: Connector) -> None:
    portal.inject("html", "GET", times=99)
    with pytest.raises(RetryLater):
        pulled(hubspot, "contacts", None, FIELDS)


@pytest.mark.parametrize(("policy", "seconds"), [("SECONDLY", 1.0), ("TEN_SECONDLY_ROLLING", 10.0)])
def test_limits_are_waited_for_by_their_policy(
    portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock, policy: str, seconds: float
) -> None:
    portal.inject("answer", "GET /crm/owners", answer=lambda call: portal.limited(policy))
    began = clock.now()
    pulled(hubspot, "owners", None, [])
    assert (clock.now() - began).total_seconds() >= seconds


def test_the_daily_limit_stops(portal: HubSpotSandbox, hubspot: Connector) -> None:
    portal.daily_limit = 0
    with pytest.raises(QuotaExhausted):
        hubspot.check()


def test_wrong_credentials_are_told_without_them(portal: HubSpotSandbox, clock: ManualClock) -> None:
    connector = connect(portal, clock, auth={"mode": "token", "token": Secret("pat-wrong")})
    with pytest.raises(AuthorizationLost) as caught:
        connector.check()
    assert "pat-wrong" not in str(caught.value)
    connector.close()
    with pytest.raises(Misconfigured):
        connect(portal, clock, auth={"mode": "token"})


def test_health_says_whose_account_it_is_and_what_is_left(portal: HubSpotSandbox, hubspot: Connector) -> None:
    health = hubspot.check()
    assert health.account_id == str(portal.portal)
    assert health.quotas[0].limit == 650_000


def test_describe_tells_types_options_and_what_is_read_only(hubspot: Connector) -> None:
    fields = hubspot.describe("contacts").fields
    assert "customer" in fields["lifecyclestage"].options
    assert not fields["createdate"].writable
    assert fields["email"].unique


def test_long_property_lists_are_not_put_into_the_address(portal: HubSpotSandbox, hubspot: Connector) -> None:
    names = [f"custom_property_with_a_long_name_{n}" for n in range(300)]
    for name in names:
        portal.add_property("contacts", name)
    id = portal.put("contacts", {"email": "a@x.io", names[299]: "here"})
    found, _ = pulled(hubspot, "contacts", None, names)
    assert {record.id: values(record)[names[299]] for record in found} == {id: "here"}


def test_a_webhook_is_believed_only_with_its_signature(portal: HubSpotSandbox, clock: ManualClock) -> None:
    connector = connect(portal, clock, auth={"mode": "token", "token": "t", "client_secret": Secret("shh")})
    body = orjson.dumps(
        [{"subscriptionType": "contact.creation", "objectId": 7}, {"subscriptionType": "x.y", "objectId": 8}]
    )
    sent = str(int(clock.now().timestamp() * 1000))
    signed = b"POST" + b"https://h/hook" + body + sent.encode()
    digest = base64.b64encode(hmac.new(b"shh", signed, hashlib.sha256).digest()).decode()
    headers = {"X-HubSpot-Signature-v3": digest, "X-HubSpot-Request-Timestamp": sent}
    notices = connector.verify(Request("POST", "https://h/hook", headers, body))
    assert [(notice.object, notice.id) for notice in notices] == [("contacts", "7"), ("contact_companies", "7")]
    for wrong in (
        Request("POST", "https://h/hook", headers, body + b" "),
        Request("POST", "https://h/other", headers, body),
        Request("POST", "https://h/hook", {}, body),
    ):
        with pytest.raises(AuthorizationLost):
            connector.verify(wrong)
    clock.advance(301)
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "https://h/hook", headers, body))
    connector.close()


def test_a_snapshot_brings_everything_back(portal: HubSpotSandbox, hubspot: Connector, clock: ManualClock) -> None:
    fill(portal, 5)
    with HubSpotSandbox(seed=2, clock=clock) as other:
        other.restore(portal.snapshot())
        connector = connect(other, clock)
        assert len(pulled(connector, "contacts", None, FIELDS)[0]) == 5
        connector.close()


def test_a_certificate_nobody_trusts_is_told(clock: ManualClock) -> None:
    """The SDK fails on its own while it tells of such a certificate."""

    class Secure(HubSpotSandbox):
        tls = True

    with Secure(seed=1, clock=clock) as sandbox:
        account = sandbox.account()
        connector = registry.platform("hubspot").open(
            Account("hubspot", "hubspot", account["auth"], {}, sandbox.base_url),
            Surroundings(clock, Budget(), Tokens()),
        )
        with pytest.raises(Misconfigured, match="certificate"):
            connector.check()
        connector.close()


@pytest.fixture
def app(portal: HubSpotSandbox, clock: ManualClock) -> Iterator[Connector]:
    connector = connect(portal, clock, auth=portal.oauth_account()["auth"])
    yield connector
    connector.close()


def grants(portal: HubSpotSandbox) -> int:
    return sum(line.path.startswith("/oauth/") for line in portal.log)


def test_an_access_token_is_renewed_before_it_ends_and_after_it_was_revoked(
    portal: HubSpotSandbox, app: Connector, clock: ManualClock
) -> None:
    assert app.check().missing_scopes == ()
    app.check()
    assert grants(portal) == 1
    clock.advance(1790)
    app.check()
    assert grants(portal) == 2
    portal.sessions.clear()
    app.check()
    assert grants(portal) == 3


def test_a_refused_refresh_token_is_told_as_lost_authorization(portal: HubSpotSandbox, app: Connector) -> None:
    portal.refresh_token = "another"
    with pytest.raises(AuthorizationLost):
        app.check()
    assert grants(portal) == 1


def test_scopes_that_were_not_granted_are_named(portal: HubSpotSandbox, app: Connector, clock: ManualClock) -> None:
    portal.scopes = tuple(name for name in portal.scopes if name != "crm.objects.deals.read")
    assert app.check().missing_scopes == ("crm.objects.deals.read",)
    by_token = connect(portal, clock)
    assert by_token.check().missing_scopes == ()
    assert by_token.check().notes  # nobody tells which scopes such a token has
    by_token.close()


def test_a_scope_that_stops_a_call_is_named(portal: HubSpotSandbox, app: Connector) -> None:
    told = {
        "status": "error",
        "category": "MISSING_SCOPES",
        "errors": [{"context": {"requiredGranularScopes": ["crm.objects.deals.read"]}}],
    }
    portal.inject("answer", "GET /crm/objects/.*/deals", answer=Answer.of(told, 403))
    with pytest.raises(PermissionMissing, match=r"crm\.objects\.deals\.read"):
        pulled(app, "deals", None, [])


@pytest.mark.parametrize("status", [423, 477, 502])
def test_a_platform_that_is_busy_or_moves_house_is_asked_again(
    portal: HubSpotSandbox, app: Connector, clock: ManualClock, status: int
) -> None:
    portal.inject("answer", "GET /crm/objects/", answer=Answer.of({}, status, {"Retry-After": "3"}))
    began = clock.now()
    pulled(app, "contacts", None, FIELDS)
    assert (clock.now() - began).total_seconds() >= (2 if status == 423 else 1)


def test_two_spellings_of_an_address_are_both_answered(portal: HubSpotSandbox, app: Connector) -> None:
    id = portal.put("contacts", {"email": "ana@x.io"})
    found = app.read("contacts", "email", ["Ana@x.io", "ANA@X.IO", "no@x.io"], ["email"])
    assert {value: record.id for value, record in found.items()} == {"Ana@x.io": id, "ANA@X.IO": id}
