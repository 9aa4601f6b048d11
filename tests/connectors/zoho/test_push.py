"""Writing to Zoho over its sandbox: upserts, updates, mixed results, consent, briefs, putting away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import ClosedloopError, InDoubt, PermissionMissing, QuotaExhausted, RecordRejected, RetryLater
from connectors.api import Connector, Operation, Verb
from connectors.sandbox import Answer, Call, FaultKind
from connectors.zoho.errors import classify, existing, place, row_error
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.zoho.kit import FIELDS, away, create, lead, opened, pushed, sent, update


def test_creates_and_updates_answer_with_what_stands_there(zoho: ZohoSandbox, connector: Connector) -> None:
    old, other = lead(zoho, "old@x.io"), zoho.put("users", {"email": "other@example.com"})
    results = pushed(
        connector,
        create("c", "new@x.io", First_Name="N", **{"Owner.id": other}),
        create("k", "OLD@x.io", First_Name="K", Email_Opt_Out=False),
        update("u", old, First_Name="O", Owner__id=other, Phone=None),
    )
    made = zoho.get("leads", results["c"].id)
    assert (results["c"].created, made["First_Name"], made["Owner"]) == (True, "N", other)
    assert (results["k"].created, results["k"].id) == (False, old)
    assert zoho.get("leads", old)["First_Name"] == "O"
    record = results["c"].record
    assert record is not None
    assert orjson.loads(record.raw) == {
        "Email": "new@x.io",
        "First_Name": "N",
        "Last_Name": "Ruiz",
        "Email_Opt_Out": False,
        "Owner": {"id": other},
    }


def test_a_batch_is_three_calls_at_most(zoho: ZohoSandbox, connector: Connector) -> None:
    """A write of a hundred rows, and what they became, fifty a call."""
    connector.check()
    before = connector.calls
    results = pushed(connector, *(create(str(n), f"p{n}@x.io") for n in range(100)))
    assert all(result.created for result in results.values())
    assert connector.calls - before == 3
    ids = {result.id for result in results.values()}
    assert len(ids) == 100
    pushed(connector, *(update(id, id, City=id) for id in ids), *(update(f"{id}+", id, State=id) for id in ids))
    assert all(row["City"] == row["State"] == row["id"] for row in zoho.all("leads"))
    assert [len(orjson.loads(line.body)["data"]) for line in sent(zoho, "PUT /Leads")] == [100, 100]


def test_rows_fail_by_themselves_and_tell_no_value(zoho: ZohoSandbox, connector: Connector) -> None:
    good, taken, locked = (lead(zoho, f"{n}@x.io", Closedloop_Id=n) for n in ("good", "taken", "locked"))
    converted = lead(zoho, "converted@x.io")
    zoho.convert(converted)
    zoho.store.locked.add(locked)
    results = pushed(
        connector,
        create("wrong", "secret-at-x"),
        create("bare", "bare@x.io", Company=None, Last_Name="Secret"),
        create("long", "long@x.io", First_Name="Secret" * 9),
        create("fine", "fine@x.io"),
        update("taken", good, Closedloop_Id="TAKEN"),
        update("gone", "6100000000000099999", First_Name="Secret"),
        update("converted", converted, First_Name="Secret"),
        update("owner", taken, Owner__id="77"),
        update("name", taken, **{"Owner.email": "secret@x.io"}),
        update("locked", locked, First_Name="Secret"),
        update("well", good, First_Name="Well"),
    )
    errors = {key: result.error for key, result in results.items() if result.error}
    assert {key: (error.code, error.field) for key, error in errors.items()} == {
        "wrong": ("INVALID_DATA", "Email"),
        "bare": ("MANDATORY_NOT_FOUND", "Company"),
        "long": ("INVALID_DATA", "First_Name"),
        "taken": ("duplicate", "Closedloop_Id"),
        "gone": ("merged_away", ""),
        "converted": ("converted", ""),
        "owner": ("INVALID_DATA", "Owner"),
        "name": ("lookup", "Owner"),
        "locked": ("RECORD_LOCKED", ""),
    }
    assert "at most 40 characters" in str(errors["long"])
    assert not any("ecret" in str(error) for error in errors.values())
    assert isinstance(errors.pop("locked"), RetryLater)
    assert all(isinstance(error, RecordRejected) for error in errors.values())
    assert zoho.get("leads", good)["First_Name"] == "Well"
    statuses = {line.status for line in zoho.log if line.method in ("POST", "PUT") and "Leads" in line.path}
    assert 207 in statuses


def test_a_call_in_which_every_row_fails_tells_each_one_s_reason(zoho: ZohoSandbox, connector: Connector) -> None:
    results = pushed(connector, create("a", "a"), create("b", "b@x.io", First_Name="x" * 41))
    assert {key: result.error and result.error.field for key, result in results.items()} == {
        "a": "Email",
        "b": "First_Name",
    }
    assert sent(zoho, "POST /Leads/upsert")[0].status == 400


@pytest.mark.parametrize("key", ["Closedloop_Id", "Email"])
def test_a_create_that_meets_a_unique_value_is_linked_only_to_the_same_person(
    zoho: ZohoSandbox, connector: Connector, key: str
) -> None:
    zoho.store.unique.append(("Leads", "Phone"))
    there = lead(zoho, "ana@x.io", Closedloop_Id="7", Phone="+49301")
    own = {"Closedloop_Id": "7", "Email": "ana@x.io"}
    # matched by the one key alone, so that the upsert does not see the other
    values = {"Last_Name": "R", "Company": "A", "Phone": "+49301", "First_Name": "F"}
    stranger = Operation("s", Verb.CREATE, "leads", {**values, key: "9@x.io"}, match={key: "9@x.io"})
    same = Operation("k", Verb.CREATE, "leads", {**values, key: own[key]}, match={key: own[key]})
    results = pushed(connector, stranger, same)
    assert (results["k"].id, results["k"].created) == (there, False)
    error = results["s"].error
    assert (error and error.code, error and error.field) == ("duplicate", "Phone")
    assert len(zoho.all("leads")) == 1


def refusing(zoho: ZohoSandbox, row: dict[str, Any]) -> Callable[[Call], Answer]:
    return lambda call: Answer.of({"data": [row]}, 400)


def test_a_duplicate_that_is_told_by_its_record_is_updated(zoho: ZohoSandbox, connector: Connector) -> None:
    """Between the look and the write somebody else made the person."""
    there = lead(zoho, "ana@x.io")
    details = {"api_name": "Email", "json_path": "$.data[0].Email", "duplicate_record": {"id": there}}
    row = {"code": "DUPLICATE_DATA", "details": details, "message": "duplicate data", "status": "error"}
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/Leads/upsert", answer=refusing(zoho, row))
    result = pushed(connector, create("c", "Ana@x.io", First_Name="Ana"))["c"]
    assert (result.id, result.created, result.error) == (there, False, None)
    assert zoho.get("leads", there)["First_Name"] == "Ana"


# what an answer does not prove


def shuffled(call: Call) -> Answer:
    """An answer whose rows stand in another order than those sent."""
    rows = orjson.loads(call.body)["data"]
    told = [{"code": "SUCCESS", "status": "success", "action": "insert", "details": {"id": r["City"]}} for r in rows]
    return Answer.of({"data": told[::-1]})


def test_an_answer_in_another_order_is_not_believed(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(2)]
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/Leads/upsert", answer=shuffled)
    results = pushed(connector, *(create(str(n), f"p{n}@x.io", City=id) for n, id in enumerate(ids)))
    assert all(isinstance(result.error, InDoubt) for result in results.values())
    zoho.inject(FaultKind.ANSWER, "PUT /crm/v8/Leads", answer=shuffled)
    results = pushed(connector, *(update(str(n), id, City=id) for n, id in enumerate(ids)))
    assert {key: result.id for key, result in results.items()} == {"0": ids[0], "1": ids[1]}  # ids tell whose they are


def test_a_refusal_that_speaks_of_another_row_is_not_believed(zoho: ZohoSandbox, connector: Connector) -> None:
    id = lead(zoho, "a@x.io")
    why = {"code": "INVALID_DATA", "details": {"api_name": "Phone", "json_path": "$.data[1].Phone"}, "status": "error"}
    rows = [why, {"code": "SUCCESS", "status": "success", "action": "insert", "details": {"id": id}}]
    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/Leads/upsert", answer=Answer.of({"data": rows}, 207))
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert all(isinstance(result.error, InDoubt) for result in results.values())


def test_a_row_that_is_missing_is_in_doubt(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()

    def short(call: Call) -> Answer:
        whole = zoho.answer(call)
        return Answer.of({"data": orjson.loads(whole.body)["data"][1:]}, whole.status)

    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/Leads/upsert", answer=short)
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert all(isinstance(result.error, InDoubt) for result in results.values())
    assert connector.read("leads", "Email", ["a@x.io", "b@x.io"], FIELDS).keys() == {"a@x.io", "b@x.io"}


def test_what_cannot_be_read_back_is_in_doubt(zoho: ZohoSandbox, connector: Connector) -> None:
    there = lead(zoho, "u@x.io")
    zoho.inject(FaultKind.ANSWER, "GET /crm/v8/Leads$", answer=Answer(503), times=18)
    results = pushed(connector, create("c", "c@x.io"), create("d", "d@x.io"), update("u", there, First_Name="U"))
    assert {type(results[key].error) for key in ("c", "d")} == {InDoubt}
    assert isinstance(results["u"].error, RetryLater)  # never sent
    assert connector.read("leads", "Email", ["c@x.io"], FIELDS).keys() == {"c@x.io"}


# lost answers


@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.NO_ANSWER, FaultKind.TRUNCATED])
def test_a_lost_answer_of_an_upsert_or_update_is_asked_again(
    zoho: ZohoSandbox, connector: Connector, kind: FaultKind
) -> None:
    id = lead(zoho, "u@x.io")
    for call in ("POST /crm/v8/Leads/upsert", "PUT /crm/v8/Leads"):
        zoho.inject(kind, call)
    results = pushed(connector, create("c", "c@x.io"), update("u", id, First_Name="U"))
    assert [result.error for result in results.values()] == [None, None]
    assert len(zoho.all("leads")) == 2


def test_an_answer_that_stays_lost_is_in_doubt(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.inject(FaultKind.LOST_ANSWER, "POST /crm/v8/Leads/upsert", times=9)
    result = pushed(connector, create("c", "c@x.io"))["c"]
    assert isinstance(result.error, InDoubt)
    assert connector.read("leads", "Email", ["c@x.io"], FIELDS).keys() == {"c@x.io"}
    assert len(zoho.all("leads")) == 1


def test_the_end_of_the_credits_ends_the_calls(zoho: ZohoSandbox, connector: Connector) -> None:
    id = lead(zoho, "u@x.io")
    connector.check()
    zoho.credits = zoho.spent + 2
    connector.check()
    zoho.credits = zoho.spent
    results = pushed(connector, create("a", "a@x.io"), update("u", id, First_Name="U"))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    assert len(sent(zoho, "PUT /Leads")) == 0


# consent


def test_an_opt_out_always_arrives_and_an_opt_in_never_does(zoho: ZohoSandbox, connector: Connector) -> None:
    person, out = lead(zoho, "in@x.io"), lead(zoho, "out@x.io", Email_Opt_Out=True)
    results = pushed(
        connector,
        update("out", person, Email_Opt_Out=True),
        update("in", out, Email_Opt_Out=False),
        update("cleared", out, Email_Opt_Out=None),
        create("new", "new@x.io", Email_Opt_Out=True),
        create("known", "out@x.io", Email_Opt_Out=False, First_Name="K"),
    )
    assert [key for key, result in results.items() if result.error] == ["in", "cleared"]
    assert {result.error.code for result in results.values() if result.error} == {"consent"}
    assert all(row["Email_Opt_Out"] for row in zoho.all("leads"))
    assert zoho.get("leads", out)["First_Name"] == "K"


# workflows


@pytest.mark.parametrize("workflows", [True, False])
def test_workflows_run_unless_told_otherwise(zoho: ZohoSandbox, clock: ManualClock, *, workflows: bool) -> None:
    connector = opened(zoho, clock, workflows=workflows)
    result = pushed(connector, create("c", "c@x.io"))["c"]
    assert bool(zoho.store.triggered) is workflows
    list(connector.push(away(Verb.ARCHIVE, "leads", result.id), []))
    assert sent(zoho, "DELETE /Leads")[0].query.get("wf_trigger") == (None if workflows else "false")
    connector.close()


# the hand-off brief


def brief(key: str, person: str, **more: Any) -> Operation:
    values = {"subject": "Qualified", "body": "Story", "person": person, "reference": f"ref-{key}", **more}
    return Operation(key, Verb.CREATE, "tasks", values, match={"reference": f"ref-{key}"})


def test_a_brief_is_a_task_for_the_person_s_owner_and_found_by_its_reference(
    zoho: ZohoSandbox, connector: Connector
) -> None:
    owner = zoho.put("users", {"email": "other@example.com"})
    person, contact = lead(zoho, "a@x.io", Owner=owner), zoho.put("contacts", {"Last_Name": "R"})
    operations = [
        brief("1", f"leads/{person}", body="Story " * 9_000),
        brief("2", f"contacts/{contact}"),
        brief("3", "accounts/1"),
        brief("4", "leads/6100000000000099999"),
    ]
    results = {result.key: result for result in connector.push(operations, [])}
    assert {key: result.error and result.error.code for key, result in results.items()} == {
        "1": None,
        "2": None,
        "3": "person",
        "4": "INVALID_DATA",
    }
    one, two = (zoho.get("tasks", results[key].id) for key in ("1", "2"))
    assert (one["Owner"], one["What_Id"], one["$se_module"]) == (owner, person, "Leads")
    assert (two["Owner"], two["Who_Id"], two["Status"]) == (zoho.user, contact, "Not Started")
    assert (one["Due_Date"], one["Subject"]) == ("2026-11-23", "Qualified")
    assert one["Description"].endswith("\n\nref-1")
    assert len(one["Description"]) == 32_000
    found = connector.read("tasks", "reference", ["ref-1", "ref-9"], [])
    assert {value: record.id for value, record in found.items()} == {"ref-1": results["1"].id}


def test_a_brief_whose_answer_is_lost_is_in_doubt_and_not_written_twice(
    zoho: ZohoSandbox, connector: Connector
) -> None:
    person = lead(zoho, "a@x.io")
    zoho.inject(FaultKind.LOST_ANSWER, "POST /crm/v8/Tasks")
    [result] = connector.push([brief("1", f"leads/{person}")], [])
    assert isinstance(result.error, InDoubt)
    assert len(zoho.all("tasks")) == 1
    assert connector.read("tasks", "reference", ["ref-1"], []).keys() == {"ref-1"}


# putting away


def test_what_was_created_can_be_put_away_again(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(4)]
    connector.check()
    zoho.inject(FaultKind.LOST_ANSWER, "DELETE /crm/v8/Leads")
    results = list(connector.push(away(Verb.ARCHIVE, "leads", *ids[:2], "6100000000000099999", "no-id"), []))
    assert [result.error for result in results] == [None] * 4
    assert [row["id"] for row in zoho.all("leads")] == ids[2:]
    assert {row["type"] for row in zoho.store.gone} == {"recycle"}
    task = zoho.put("tasks", {"Subject": "brief"})
    [result] = connector.push(away(Verb.ARCHIVE, "tasks", task), [])
    assert (result.error, zoho.all("tasks")) == (None, [])


def test_who_is_erased_is_out_of_the_bin_too(zoho: ZohoSandbox, connector: Connector) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(2)]
    zoho.remove("leads", ids[0])
    results = list(connector.push(away(Verb.ERASE, "leads", *ids, "6100000000000099999"), []))
    assert [result.error for result in results] == [None] * 3
    assert {row["id"]: row["type"] for row in zoho.store.gone} == dict.fromkeys(ids, "permanent")
    zoho.login.scopes = zoho.login.scopes.replace("ZohoCRM.settings.ALL", "")
    other = lead(zoho, "other@x.io")
    [result] = connector.push(away(Verb.ERASE, "leads", other), [])
    assert isinstance(result.error, PermissionMissing)


def test_a_delete_that_is_refused_says_why(zoho: ZohoSandbox, connector: Connector) -> None:
    id = lead(zoho, "a@x.io")
    row = {"code": "NO_PERMISSION", "details": {"id": id}, "message": "permission denied", "status": "error"}
    zoho.inject(FaultKind.ANSWER, "DELETE /crm/v8/Leads", answer=refusing(zoho, row))
    [result] = connector.push(away(Verb.ARCHIVE, "leads", id), [])
    assert isinstance(result.error, RecordRejected)
    assert result.error.code == "NO_PERMISSION"
    silent = Answer.of({"data": []})
    zoho.inject(FaultKind.ANSWER, "DELETE /crm/v8/Leads", answer=silent)
    [result] = connector.push(away(Verb.ARCHIVE, "leads", id), [])
    assert isinstance(result.error, InDoubt)


# what follows a write, and goes wrong


def wrong(zoho: ZohoSandbox) -> list[Answer]:
    over = {"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"}
    barred = {"code": "NO_PERMISSION", "details": {}, "message": "permission denied", "status": "error"}
    return [
        Answer.of(None, 503),
        Answer.of(over, 401),
        Answer.of(barred, 403),
        Answer.of({"code": "INVALID_DATA"}, 400),
    ]


@pytest.mark.parametrize("number", range(4))
def test_what_is_put_away_is_told_so_though_the_others_cannot_be_looked_for(
    zoho: ZohoSandbox, connector: Connector, number: int
) -> None:
    ids = [lead(zoho, f"p{n}@x.io") for n in range(2)]
    connector.check()
    zoho.inject(FaultKind.ANSWER, "GET /crm/v8/Leads", answer=wrong(zoho)[number], times=99)
    results = list(connector.push(away(Verb.ARCHIVE, "leads", *ids, "6100000000000099999"), []))
    assert [type(result.error) for result in results] == [type(None), type(None), InDoubt]


@pytest.mark.parametrize("number", range(3))
def test_a_create_that_met_a_record_which_cannot_be_looked_at_is_not_refused_for_good(
    zoho: ZohoSandbox, connector: Connector, number: int
) -> None:
    lead(zoho, "other@x.io", Closedloop_Id="id-1")
    connector.check()
    zoho.inject(FaultKind.ANSWER, "GET /crm/v8/Leads", answer=wrong(zoho)[number], times=99)
    [result] = pushed(connector, create("c", "new@x.io", Closedloop_Id="id-1")).values()
    assert result.error is not None
    assert not isinstance(result.error, RecordRejected | InDoubt)


def test_the_second_half_of_a_refused_call_has_its_results_whatever_befalls_the_first(
    zoho: ZohoSandbox, connector: Connector
) -> None:
    connector.check()

    def odd(call: Call) -> Answer:
        several = len(orjson.loads(call.body)["data"]) > 2
        return Answer.of({"code": "INVALID_REQUEST", "status": "error"}, 400) if several else Answer.of(None, 429)

    zoho.inject(FaultKind.ANSWER, "POST /crm/v8/Leads/upsert", answer=odd, times=99)
    results = pushed(connector, *(create(str(n), f"p{n}@x.io") for n in range(4)))
    assert {type(result.error) for result in results.values()} == {RetryLater}


def test_rows_that_are_refused_after_the_first_try_was_lost_are_in_doubt(
    zoho: ZohoSandbox, connector: Connector
) -> None:
    id = lead(zoho, "a@x.io")
    connector.check()
    zoho.inject(FaultKind.LOST_ANSWER, "PUT /crm/v8/Leads")
    row = {"code": "RECORD_LOCKED", "details": {"id": id}, "message": "locked", "status": "error"}
    zoho.inject(FaultKind.ANSWER, "PUT /crm/v8/Leads", answer=refusing(zoho, row), times=9)
    assert isinstance(pushed(connector, update("u", id, City="Rom"))["u"].error, InDoubt)
    assert zoho.get("leads", id)["City"] == "Rom"


def test_other_objects_are_not_written(connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.UPDATE, "deals", {"Stage": "x"}, id="1")], [])
    assert result.error is not None
    assert result.error.code == "read_only"
    assert list(connector.push([], [])) == []


# errors by themselves


def test_refusals_are_sorted_by_what_to_do(clock: ManualClock) -> None:
    def kind(status: int, code: str, left: int | None = None) -> type[ClosedloopError]:
        return type(classify(status, {}, {"code": code, "details": {}, "status": "error"}, left, clock))

    assert kind(429, "TOO_MANY_REQUESTS") is RetryLater
    assert kind(429, "TOO_MANY_REQUESTS", 0) is QuotaExhausted
    assert kind(403, "NO_PERMISSION") is PermissionMissing
    assert kind(401, "OAUTH_SCOPE_MISMATCH") is PermissionMissing
    assert kind(500, "INTERNAL_ERROR") is RetryLater
    assert kind(400, "INVALID_MODULE") is RecordRejected
    several = {
        "code": "MULTIPLE_OR_MULTI_ERRORS",
        "details": {"errors": [{"code": "INVALID_DATA", "details": {"api_name": "Phone"}}]},
    }
    assert row_error(several).field == "Phone"
    assert row_error({"code": "INVALID_DATA", "details": {"api_name": "ana@x.io is wrong"}}).field == ""
    assert existing({"code": "DUPLICATE_DATA", "details": {"id": "77"}}) == "77"
    assert existing({"code": "DUPLICATE_DATA", "details": None}) == ""
    assert place({"details": {"json_path": "$.data[17].Email"}}) == 17
