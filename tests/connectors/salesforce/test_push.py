"""Writing over the sandbox: each way, partial failure, duplicates, doubt, bulk, briefs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, InDoubt, QuotaExhausted, RecordRejected, RetryLater
from connectors.api import Connector, Operation, Result, Verb
from connectors.salesforce import push as module
from connectors.salesforce.sandbox import SalesforceSandbox
from connectors.sandbox import Answer
from tests.connectors.salesforce.conftest import Open

KEY = "Closedloop_Id__c"


def create(n: int, *, keyed: bool = True, **values: Any) -> Operation:
    email = f"p{n}@example.com"
    match = {KEY: f"c{n}", "Email": email} if keyed else {"Email": email}
    given = {"Email": email, "LastName": f"L{n}", "Company": "C", **({KEY: f"c{n}"} if keyed else {}), **values}
    return Operation(f"op{n}", Verb.CREATE, "leads", given, match=match)


def update(key: str, id: str, **values: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "leads", values, id=id)


def push(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, []))
    assert sorted(r.key for r in results) == sorted(o.key for o in operations), "exactly one result each"
    return {result.key: result for result in results}


def writes(org: SalesforceSandbox) -> list[str]:
    return [
        f"{line.method} {line.path.partition('v66.0')[2]}"
        for line in org.log
        if line.method in ("POST", "PATCH") and "/data/" in line.path
    ]


@pytest.mark.parametrize("keyed", [True, False])
def test_creates_in_batches_of_200(org: SalesforceSandbox, connector: Connector, keyed: bool) -> None:
    results = push(connector, *(create(n, keyed=keyed) for n in range(401)))
    assert all(result.created and not result.error for result in results.values())
    path = f"PATCH /composite/sobjects/Lead/{KEY}" if keyed else "POST /composite/sobjects"
    assert writes(org) == [path] * 3
    assert org.get("leads", results["op7"].id)["Email"] == "p7@example.com"


def test_a_repeated_create_changes_nothing_more(org: SalesforceSandbox, connector: Connector) -> None:
    first = push(connector, create(1))["op1"]
    again = push(connector, create(1))["op1"]
    assert (again.id, again.created) == (first.id, False)
    assert len(org.all("leads")) == 1


def test_a_create_without_key_links_the_person_who_stands_there(org: SalesforceSandbox, connector: Connector) -> None:
    there = org.put("leads", {"Email": "P1@example.com", "LastName": "Old", "Company": "C"})
    result = push(connector, create(1, keyed=False, Title="CEO"))["op1"]
    assert (result.id, result.created) == (there, False)
    assert org.get("leads", there)["Title"] == "CEO"


def test_updates_touch_only_what_is_given_and_none_clears(org: SalesforceSandbox, connector: Connector) -> None:
    id = push(connector, create(1, Title="CEO", City="Rom"))["op1"].id
    assert push(connector, update("u", id, City=None))["u"].id == id
    assert (org.get("leads", id)["City"], org.get("leads", id)["Title"]) == (None, "CEO")


def test_bad_rows_are_refused_and_the_others_written(org: SalesforceSandbox, connector: Connector) -> None:
    org.add_rule("leads", lambda row: "No Acme here: secret@example.com" if row["Company"] == "Acme" else None)
    results = push(
        connector,
        create(1),
        create(2, LastName=None),
        create(3, FirstName="x" * 41),
        create(4, Email="nonsense"),
        create(5, Status="Nope"),
        create(6, Company="Acme"),
        create(7, Nope__c="x"),
        create(8, CreatedDate="2026-01-01T00:00:00Z"),
        create(9),
    )
    told = {key: (r.error.code, r.error.field) for key, r in results.items() if isinstance(r.error, RecordRejected)}
    assert told == {
        "op2": ("REQUIRED_FIELD_MISSING", "LastName"),
        "op3": ("STRING_TOO_LONG", "FirstName"),
        "op4": ("INVALID_EMAIL_ADDRESS", "Email"),
        "op5": ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Status"),
        "op6": ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ""),
        "op7": ("INVALID_FIELD", "Nope__c"),
        "op8": ("INVALID_FIELD_FOR_INSERT_UPDATE", "CreatedDate"),
    }
    assert {row["Email"] for row in org.all("leads")} == {"p1@example.com", "p9@example.com"}
    shown = " ".join(str(r.error) for r in results.values())
    assert "nonsense" not in shown
    assert "secret@" not in shown, "no field value in a message"


def test_locked_rows_are_tried_again(org: SalesforceSandbox, connector: Connector) -> None:
    org.lock_rows = 3
    results = push(connector, *(create(n) for n in range(5)))
    assert all(result.created for result in results.values())
    org.lock_rows = 100
    [result] = push(connector, update("u", results["op1"].id, City="Rom")).values()
    assert isinstance(result.error, RetryLater)


def test_a_row_that_is_done_is_told_once_though_the_call_for_a_locked_one_ends_it_all(
    org: SalesforceSandbox, connector: Connector
) -> None:
    org.lock_rows = 1
    full = Answer.of([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}], 403)
    org.inject("answer", "composite/sobjects", skip=1, times=9, answer=full)
    told = list(connector.push([create(1), create(2)], []))
    assert sorted((result.key, type(result.error)) for result in told) == [("op1", QuotaExhausted), ("op2", type(None))]


def test_a_duplicate_rule_links_the_same_person_only(org: SalesforceSandbox, connector: Connector) -> None:
    there = org.put("leads", {"Email": "p1@example.com", "LastName": "Old", "Company": "C"})
    org.duplicate_rule = True
    result = push(connector, create(1, Title="CEO"))["op1"]
    assert (result.id, result.created, result.error) == (there, False, None)
    assert org.get("leads", there)["Title"] == "CEO"


def test_a_duplicate_of_somebody_else_is_refused(org: SalesforceSandbox, connector: Connector) -> None:
    there = org.put("leads", {"Email": "p1@example.com", "LastName": "Old", "Company": "C"})
    org.duplicate_rule = True
    other = Operation(
        "x", Verb.CREATE, "leads", {"Email": "p1@example.com", "LastName": "N", "Company": "C"}, match={KEY: "c9"}
    )
    error = push(connector, other)["x"].error
    assert isinstance(error, RecordRejected)
    assert error.code == "DUPLICATES_DETECTED"
    assert there in error.what
    assert org.get("leads", there)["LastName"] == "Old"


def test_a_unique_value_of_another_record_is_refused(org: SalesforceSandbox, connector: Connector) -> None:
    a, b = push(connector, create(1), create(2)).values()
    error = push(connector, update("u", b.id, **{KEY: "c1"}))["u"].error
    assert isinstance(error, RecordRejected)
    assert error.code == "DUPLICATE_VALUE"
    assert a.id[:15] in error.what


def test_gone_records_are_refused(org: SalesforceSandbox, connector: Connector) -> None:
    a, b, c = (result.id for result in push(connector, create(1), create(2), create(3)).values())
    org.remove("leads", a)
    org.convert(b)
    results = push(connector, update("a", a, City="X"), update("b", b, City="X"), update("c", c, City="X"))
    assert results["c"].error is None
    assert {getattr(results[k].error, "code", "") for k in "ab"} == {
        "ENTITY_IS_DELETED",
        "CANNOT_UPDATE_CONVERTED_LEAD",
    }


def test_one_record_comes_once_in_a_batch(org: SalesforceSandbox, connector: Connector) -> None:
    id = push(connector, create(1))["op1"].id
    org.log.clear()
    push(connector, update("a", id, City="A"), update("b", id, City="B"))
    assert len(writes(org)) == 2
    assert org.get("leads", id)["City"] == "B"


def test_opt_outs_are_written_and_never_taken_back(org: SalesforceSandbox, connector: Connector) -> None:
    id = push(connector, create(1, HasOptedOutOfEmail=True))["op1"].id
    push(connector, update("u", id, HasOptedOutOfEmail=False, DoNotCall=None, City="Rom"))
    assert (org.get("leads", id)["HasOptedOutOfEmail"], org.get("leads", id)["City"]) == (True, "Rom")


@pytest.mark.parametrize("kind", ["lost_answer", "truncated", "html"])
def test_a_lost_answer_of_a_plain_create_is_in_doubt(org: SalesforceSandbox, connector: Connector, kind: str) -> None:
    org.inject(kind, "POST .*/composite/sobjects$")
    results = push(connector, create(1, keyed=False), create(2, keyed=False))
    assert all(isinstance(result.error, InDoubt) for result in results.values())
    found = connector.read("leads", "Email", ["p1@example.com", "p2@example.com"], ["Email"])
    assert len(found) == (0 if kind == "html" else 2)


@pytest.mark.parametrize("kind", ["lost_answer", "truncated", "no_answer", "html"])
def test_a_lost_answer_of_an_upsert_is_repeated(org: SalesforceSandbox, connector: Connector, kind: str) -> None:
    org.inject(kind, f"PATCH .*/{KEY}$")
    assert push(connector, create(1))["op1"].error is None
    assert len(org.all("leads")) == 1


def test_an_error_500_on_a_plain_create_is_in_doubt(org: SalesforceSandbox, connector: Connector) -> None:
    answer = Answer.of([{"message": "An unexpected error occurred", "errorCode": "UNKNOWN"}], 500)
    org.inject("answer", "POST .*/composite/sobjects$", answer=answer)
    assert isinstance(push(connector, create(1, keyed=False))["op1"].error, InDoubt)


@pytest.mark.parametrize("way", [create(1), create(1, keyed=False)])
def test_a_write_that_a_gateway_answered_is_in_doubt(org: SalesforceSandbox, open_org: Open, way: Operation) -> None:
    """Also where it is asked for again, and the session is over by then. What may make two is not asked for again."""
    connector = open_org("session")
    for status in (502, 401):
        refused = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        answer = Answer.of(refused if status == 401 else None, status)
        org.inject("answer", "(PATCH|POST) .*/composite/sobjects", answer=answer)
    assert isinstance(push(connector, way)["op1"].error, InDoubt)
    assert len(org.faults) - sum(fault.times for fault in org.faults) == (2 if way.match.get(KEY) else 1)


def test_missing_rows_are_in_doubt_and_never_success(org: SalesforceSandbox, connector: Connector) -> None:
    ids = [r.id for r in push(connector, create(1), create(2)).values()]
    short = Answer.of([{"id": ids[1], "success": True, "errors": []}])
    org.inject("answer", "PATCH .*/composite/sobjects$", answer=short)
    results = push(connector, update("a", ids[0], City="X"), update("b", ids[1], City="X"))
    assert isinstance(results["a"].error, InDoubt)
    assert results["b"].id == ids[1]


def test_swapped_rows_are_matched_by_id(org: SalesforceSandbox, connector: Connector) -> None:
    ids = [r.id for r in push(connector, create(1), create(2)).values()]
    swapped = Answer.of([{"id": id, "success": True, "errors": []} for id in reversed(ids)])
    org.inject("answer", "PATCH .*/composite/sobjects$", answer=swapped)
    results = push(connector, update("a", ids[0], City="X"), update("b", ids[1], City="X"))
    assert [results["a"].id, results["b"].id] == ids


def test_a_refused_call_is_halved_until_the_row_is_found(org: SalesforceSandbox, connector: Connector) -> None:
    def refuse(call: Any) -> Answer:
        if b"poison" in call.body:
            return Answer.of([{"message": "Cannot deserialize", "errorCode": "JSON_PARSER_ERROR"}], 400)
        return org.answer(call)

    org.inject("answer", f"PATCH .*/{KEY}$", answer=refuse, times=99)
    results = push(connector, *(create(n, City="poison" if n == 5 else "Rom") for n in range(8)))
    assert [key for key, result in results.items() if result.error] == ["op5"]


def test_quota_stops_the_rest_without_sending_it(org: SalesforceSandbox, connector: Connector) -> None:
    connector.check()
    org.used = org.daily_limit
    there = org.put("leads", {"LastName": "Old", "Company": "C"})
    results = push(connector, *(update(f"op{n}", there, City=str(n)) for n in range(3)))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    assert len(writes(org)) == 1  # three of one record are three calls
    results = push(connector, *(create(n) for n in range(401)))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    assert len(writes(org)) == 1  # the look whether they stand there tells it already


def test_somebody_made_since_the_last_pull_is_updated_and_not_made_again(
    org: SalesforceSandbox, connector: Connector
) -> None:
    """Another program, or a person, was faster: our external id tells nothing of that, the address does."""
    there = org.put("leads", {"LastName": "Old", "Company": "C", "Email": "p1@example.com"})
    results = push(connector, create(1), create(2))
    assert (results["op1"].id, results["op1"].created, results["op2"].created) == (there, False, True)
    assert [row["LastName"] for row in org.all("leads") if row["Email"] == "p1@example.com"] == ["L1"]


def test_the_last_of_the_allowance_is_left_to_others(
    org: SalesforceSandbox, open_org: Open, clock: ManualClock
) -> None:
    connector = open_org()
    org.used = 95_500
    connector.describe("leads")
    with pytest.raises(QuotaExhausted) as caught:
        connector.read("leads", "id", ["00Q5g0000000001EAA"], [])
    assert caught.value.until is not None
    clock.advance(1000)
    org.used = 10
    assert connector.read("leads", "id", ["00Q5g0000000001EAA"], []) == {}


def test_a_lost_authorization_stops_the_rest(org: SalesforceSandbox, open_org: Open) -> None:
    connector = open_org("session")
    org.expire_sessions()
    results = push(connector, *(create(n) for n in range(3)))
    assert all(isinstance(result.error, AuthorizationLost) for result in results.values())


def test_only_people_and_briefs_are_written(connector: Connector) -> None:
    deal = Operation("d", Verb.UPDATE, "opportunities", {"Amount": 1}, id="006000000000000AAA")
    assert isinstance(push(connector, deal)["d"].error, RecordRejected)


# bulk


@pytest.fixture
def small_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BULK_FROM", 10)


@pytest.mark.usefixtures("small_bulk")
def test_many_creates_go_as_one_bulk_job(org: SalesforceSandbox, connector: Connector) -> None:
    org.lock_rows = 2
    operations = [create(n, LastName='O\'Hara, "Bob"\nü') for n in range(20)]
    operations[3] = create(3, Company=None)
    results = push(connector, *operations)
    assert isinstance(results["op3"].error, RecordRejected)
    assert sum(result.created for result in results.values()) == 19
    assert org.get("leads", results["op5"].id)["LastName"] == 'O\'Hara, "Bob"\nü'
    assert len([w for w in writes(org) if w == "POST /jobs/ingest"]) == 1


@pytest.mark.usefixtures("small_bulk")
def test_bulk_updates_clear_with_none_and_leave_the_rest(org: SalesforceSandbox, connector: Connector) -> None:
    ids = {k: r.id for k, r in push(connector, *(create(n, City="Rom", Title="CEO") for n in range(12))).items()}
    operations = [update(k, id, **({"City": None} if k == "op1" else {"Title": "CTO"})) for k, id in ids.items()]
    results = push(connector, *operations)
    assert all(result.id == ids[key] for key, result in results.items())
    assert (org.get("leads", ids["op1"])["City"], org.get("leads", ids["op1"])["Title"]) == (None, "CEO")
    assert (org.get("leads", ids["op2"])["City"], org.get("leads", ids["op2"])["Title"]) == ("Rom", "CTO")


@pytest.mark.usefixtures("small_bulk")
@pytest.mark.parametrize("match", ["POST .*/jobs/ingest$", "PATCH .*/jobs/ingest/750", "GET .*/jobs/ingest"])
def test_bulk_survives_lost_answers(org: SalesforceSandbox, connector: Connector, match: str) -> None:
    org.inject("lost_answer", match)
    results = push(connector, *(create(n) for n in range(12)))
    assert all(result.created for result in results.values())
    assert len(org.all("leads")) == 12


@pytest.mark.usefixtures("small_bulk")
def test_a_lost_upload_starts_nothing(org: SalesforceSandbox, connector: Connector) -> None:
    org.inject("lost_answer", "PUT .*/batches")
    results = push(connector, *(create(n) for n in range(12)))
    assert all(isinstance(result.error, RetryLater) for result in results.values())
    assert org.all("leads") == []
    assert next(iter(org.bulk.jobs.values())).facts["state"] == "Aborted"


@pytest.mark.usefixtures("small_bulk")
def test_a_job_refused_as_a_whole_is_sent_in_collections(org: SalesforceSandbox, connector: Connector) -> None:
    org.bulk.fail_next = True
    results = push(connector, *(create(n) for n in range(12)))
    assert all(result.created for result in results.values())
    assert writes(org)[-1] == f"PATCH /composite/sobjects/Lead/{KEY}"


@pytest.mark.usefixtures("small_bulk")
def test_a_job_that_broke_off_is_in_doubt(org: SalesforceSandbox, connector: Connector) -> None:
    broken = Answer.of({"state": "Failed", "numberRecordsProcessed": 5})
    org.inject("answer", "GET .*/jobs/ingest/750", answer=broken)
    results = push(connector, *(create(n) for n in range(12)))
    assert all(isinstance(result.error, InDoubt) for result in results.values())


@pytest.mark.usefixtures("small_bulk")
def test_the_session_may_end_in_the_middle_of_a_bulk_job(org: SalesforceSandbox, connector: Connector) -> None:
    """The SDK's bulk handlers keep their first token for ever (simple-salesforce #619); ours renew it."""
    org.session_calls = 2
    results = push(connector, *(create(n) for n in range(12)))
    assert all(result.created for result in results.values())


SESSION_OVER = Answer.of([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], 401)
USED_UP = Answer.of([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}], 403)
BROKEN = Answer(200, b'"sf__Id","sf__Created"\n"1"\n', {"content-type": "text/csv"})


@pytest.mark.usefixtures("small_bulk")
@pytest.mark.parametrize("answer", [Answer.of(None, 503), SESSION_OVER, USED_UP, BROKEN])
@pytest.mark.parametrize("look", ["ingest/750[^/]*$", "successfulResults", "failedResults", "unprocessedrecords"])
def test_a_job_that_cannot_be_looked_at_is_in_doubt(
    org: SalesforceSandbox, open_org: Open, look: str, answer: Answer
) -> None:
    """It is at work, or done: none of its rows was never sent. What was told before is told."""
    connector = open_org("session")
    org.inject(
        "answer",
        f"GET .*/jobs/ingest/.*{look}" if "/750" not in look else f"GET .*/jobs/{look}",
        answer=answer,
        times=99,
    )
    results = push(connector, *(create(n) for n in range(11)), create(11, Company=None))
    assert next(iter(org.bulk.jobs.values())).facts["state"] != "Open"
    refused = results.pop("op11").error
    assert isinstance(refused, RecordRejected if look == "unprocessedrecords" else InDoubt)
    kept = look in ("failedResults", "unprocessedrecords")
    assert {type(result.error) for result in results.values()} == {type(None) if kept else InDoubt}


@pytest.mark.usefixtures("small_bulk")
@pytest.mark.parametrize("answer", [Answer.of(None, 503), SESSION_OVER])
def test_a_job_whose_start_is_not_known_is_in_doubt(org: SalesforceSandbox, open_org: Open, answer: Answer) -> None:
    connector = open_org("session")
    org.inject("lost_answer", "PATCH .*/jobs/ingest/750", times=1)
    org.inject("answer", "(PATCH|GET) .*/jobs/ingest/750", times=99, answer=answer)
    results = push(connector, *(create(n) for n in range(12)))
    assert {type(result.error) for result in results.values()} == {InDoubt}
    assert next(iter(org.bulk.jobs.values())).facts["state"] != "Open"


def test_what_a_half_was_told_holds_whatever_befalls_the_other(org: SalesforceSandbox, connector: Connector) -> None:
    def refuse(call: Any) -> Answer:
        if call.body.count(b'"Email"') > 2:
            return Answer.of([{"message": "Cannot deserialize", "errorCode": "JSON_PARSER_ERROR"}], 400)
        return USED_UP if b"p3@" in call.body else org.answer(call)

    org.inject("answer", f"PATCH .*/{KEY}$", answer=refuse, times=99)
    results = push(connector, *(create(n) for n in range(4)))
    assert {key: type(result.error) for key, result in results.items()} == {
        "op0": type(None),
        "op1": type(None),
        "op2": QuotaExhausted,
        "op3": QuotaExhausted,
    }
    assert len(org.all("leads")) == 2


@pytest.mark.parametrize("answer", [Answer.of(None, 503), SESSION_OVER, USED_UP])
def test_who_was_written_beside_a_duplicate_is_told_though_that_one_cannot_be_looked_at(
    org: SalesforceSandbox, open_org: Open, answer: Answer
) -> None:
    org.put("leads", {"Email": "other@example.com", "LastName": "L1", KEY: "c1x", "Company": "C"})
    connector = open_org("session")
    named = [
        {"statusCode": "DUPLICATE_VALUE", "message": "duplicate value found: x on record with id: 00Q5g0000000001"}
    ]

    def one_is_there(call: Any) -> Answer:
        rows = orjson.loads(org.answer(call).body)
        return Answer.of([{"success": False, "errors": named}, *rows[1:]])

    org.inject("answer", f"PATCH .*/{KEY}$", answer=one_is_there)
    org.inject("answer", "GET .*/query", skip=1, times=99, answer=answer)
    results = push(connector, create(1), create(2))
    assert results["op2"].error is None
    assert not isinstance(results["op1"].error, InDoubt | RecordRejected | None)


# briefs


def test_a_brief_is_a_task_found_by_its_reference(org: SalesforceSandbox, connector: Connector) -> None:
    person = push(connector, create(1))["op1"].id
    values = {"subject": "Ana", "body": "why\nso", "person": f"leads/{person}", "reference": "closedloop-brief-1"}
    brief = Operation("b", Verb.CREATE, "tasks", values, match={"reference": "closedloop-brief-1"})
    assert connector.read("tasks", "reference", ["closedloop-brief-1"], []) == {}
    id = push(connector, brief)["b"].id
    task = org.get("tasks", id)
    assert (task["WhoId"], task["Subject"]) == (person, "Ana")
    assert task["Description"].startswith("why\nso")
    found = connector.read("tasks", "reference", ["closedloop-brief-1", "closedloop-brief-11"], [])
    assert {key: record.id for key, record in found.items()} == {"closedloop-brief-1": id}
    assert orjson.loads(found["closedloop-brief-1"].raw)["PersonId"] == person


def test_a_brief_whose_answer_is_lost_is_found(org: SalesforceSandbox, connector: Connector) -> None:
    person = push(connector, create(1))["op1"].id
    values = {"subject": "Ana", "body": "why", "person": f"leads/{person}", "reference": "r1"}
    org.inject("lost_answer", "POST .*/composite/sobjects")
    brief = Operation("b", Verb.CREATE, "tasks", values, match={"reference": "r1"})
    assert isinstance(push(connector, brief)["b"].error, InDoubt)
    assert set(connector.read("tasks", "reference", ["r1"], [])) == {"r1"}


@pytest.mark.parametrize("verb", [Verb.ARCHIVE, Verb.ERASE])
def test_what_is_put_away_goes_into_the_bin_once(org: SalesforceSandbox, connector: Connector, verb: Verb) -> None:
    ids = [org.put("leads", {"LastName": f"L{n}", "Company": "C", "Email": f"p{n}@example.com"}) for n in range(3)]
    away = [Operation(f"a{n}", verb, "leads", {}, id=id) for n, id in enumerate(ids[:2])]
    assert not any(result.error for result in push(connector, *away).values())
    assert [lead["Id"] for lead in org.all("leads")] == [ids[2]]
    assert not any(result.error for result in push(connector, *away).values())  # it is away, as was wished
    assert len(org.all("leads")) == 1
