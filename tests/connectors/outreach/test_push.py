"""Writing to Outreach over its sandbox: results, consent, sequences, briefs, lost answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    InDoubt,
    PermissionMissing,
    RecordRejected,
)
from connectors.api import Connector, Operation, Verb
from connectors.outreach.sandbox import OutreachSandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.outreach.kit import FIELDS, call_of, create, opened, pushed, raws
from tests.connectors.surroundings import pulled


def update(key: str, id: str, **values: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "prospects", {name.replace("__", "."): v for name, v in values.items()}, id=id)


# push


def test_creates_and_updates_answer_with_what_stands_there(outreach: OutreachSandbox, connector: Connector) -> None:
    old = outreach.put("prospects", {"emails": ["old@x.io", "kept@x.io"], "workPhones": ["1", "2"]})
    results = pushed(
        connector,
        create("c", "new@x.io", firstName="N", workPhone="+49301", owner=outreach.user),
        update("u", old, email="fresh@x.io", workPhone=None, firstName="O"),
    )
    made = outreach.get("prospects", results["c"].id)
    assert results["c"].created
    assert (made["emails"], made["workPhones"], made["owner"]) == (["new@x.io"], ["+49301"], outreach.user)
    assert results["c"].record is not None
    assert orjson.loads(results["c"].record.raw)["email"] == "new@x.io"
    held = outreach.get("prospects", old)
    assert (held["emails"], held["workPhones"]) == (["fresh@x.io", "kept@x.io"], ["2"])
    assert not results["u"].created


def test_an_update_of_plain_fields_is_one_call(outreach: OutreachSandbox, connector: Connector) -> None:
    id = outreach.put("prospects", {"email": "a@x.io"})
    connector.check()
    before = connector.calls
    pushed(connector, update("u", id, firstName="A"))
    assert connector.calls - before == 1


def test_a_create_that_meets_a_known_address_becomes_an_update(outreach: OutreachSandbox, connector: Connector) -> None:
    there = outreach.put("prospects", {"emails": ["main@x.io", "a@x.io"], "workPhones": ["1", "2"]})
    result = pushed(connector, create("c", "A@x.io", firstName="New", workPhone="3", emailOptedOut=False))["c"]
    assert (result.id, result.created, result.error) == (there, False, None)
    held = outreach.get("prospects", there)
    assert (held["emails"], held["firstName"], held["workPhones"]) == (["main@x.io", "a@x.io"], "New", ["3", "2"])


def test_refusals_are_of_their_record_alone_and_tell_no_value(outreach: OutreachSandbox, connector: Connector) -> None:
    taken = outreach.put("prospects", {"email": "taken@x.io"})
    other = outreach.put("prospects", {"email": "other@x.io"})
    outreach.excluded.add("rival.io")
    results = pushed(
        connector,
        create("excluded", "secret@rival.io"),
        update("duplicate", other, email="taken@x.io"),
        create("long", "l@x.io", firstName="Secretname" * 9),
        create("unknown", "k@x.io", nosuch="Secret"),
        update("gone", "999999", firstName="Secret"),
        update("gone_too", "999998", email="secret@x.io"),
        create("tie", "t@x.io", owner="nobody"),
        update("fine", taken, firstName="F"),
    )
    errors = {key: result.error for key, result in results.items()}
    assert {key: (error.code, error.field) for key, error in errors.items() if error} == {
        "excluded": ("excluded", "email"),
        "duplicate": ("duplicate", "email"),
        "long": ("validationError", "firstName"),
        "unknown": ("permittedParams.unknownAttribute", "nosuch"),
        "gone": ("merged_away", ""),
        "gone_too": ("merged_away", ""),
        "tie": ("invalid", "user"),
    }
    assert all(isinstance(error, RecordRejected) and "ecret" not in str(error) for error in errors.values() if error)
    assert "is too long (maximum is 50 characters)" in str(errors["long"])


@pytest.mark.parametrize("granular", [True, False])
def test_an_opt_out_always_arrives_and_an_opt_in_never_does(
    outreach: OutreachSandbox, connector: Connector, *, granular: bool
) -> None:
    outreach.store.granular = granular
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(3)]
    out = outreach.put("prospects", {"email": "out@x.io", "optedOut": True})
    results = pushed(
        connector,
        update("flag", ids[0], emailOptedOut=True),
        update("status", ids[1], emailsOptStatus="opted_out", firstName="S"),
        update("general", ids[2], optedOut=True),
        update("in", out, optedOut=False),
        update("in_too", out, emailsOptStatus="opted_in"),
        update("cleared", out, emailOptedOut=None),
        create("new", "new@x.io", emailOptedOut=False, firstName="N"),
        create("known", "out@x.io", emailOptedOut=False, firstName="K"),
    )
    assert [key for key, result in results.items() if result.error] == ["in", "in_too", "cleared"]
    assert {result.error.code for result in results.values() if result.error} == {"consent"}
    assert all(outreach.get("prospects", id)["emailOptedOut"] for id in (*ids, out))
    assert outreach.get("prospects", ids[0])["optedOut"] is (not granular)
    assert outreach.get("prospects", out)["optedOutAt"]
    told = results["flag"].record
    assert told is not None
    assert orjson.loads(told.raw)["emailOptedOut"] is True


def test_prospects_are_added_to_a_sequence_once_and_only_where_that_is_right(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    outreach.login.rotates = False  # two connectors that share no tokens
    sequence, deaf, locked = (
        outreach.put("sequences", {"name": name, **more})
        for name, more in (("s", {}), ("t", {"transactional": True}), ("l", {"locked": True}))
    )
    fields = ["email", f"sequences.{sequence}"]
    a = outreach.put("prospects", {"email": "a@x.io"})
    done = outreach.put("prospects", {"email": "done@x.io"})
    out = outreach.put("prospects", {"email": "out@x.io", "optedOut": True})
    outreach.edit("sequence_states", outreach.enrol(done, sequence), {"state": "finished"})
    asked = {f"sequences__{sequence}": True}
    operations = [
        update("a", a, **asked),
        update("again", a, **asked),
        update("done", done, **asked),
        update("out", out, **asked),
        update("deaf", a, **{f"sequences__{deaf}": True}),
        update("locked", a, **{f"sequences__{locked}": True}),
        update("none", a, sequences__999=True),
        create("new", "new@x.io", **{f"sequences.{sequence}": True}),
    ]
    results = {result.key: result for result in connector.push(operations, fields)}
    states = [(row["prospect"], row["sequence"]) for row in outreach.all("sequence_states")]
    assert states == [(done, sequence), (a, sequence), (results["new"].id, sequence)]
    assert [key for key, result in results.items() if result.error] == ["out", "deaf", "locked", "none"]
    assert {row["email"]: row["sequences"] for row in raws(pulled(connector, "prospects", None, fields)[0])} == {
        "a@x.io": {sequence: True},
        "done@x.io": {sequence: True},
        "out@x.io": {sequence: False},
        "new@x.io": {sequence: True},
    }
    bare = opened(outreach, clock, mailbox="")
    [result] = bare.push([update("m", a, **asked)], fields)
    assert result.error is not None
    assert result.error.code == "mailbox"
    bare.close()


def test_a_lost_answer_of_a_create_is_in_doubt_and_found_again(outreach: OutreachSandbox, connector: Connector) -> None:
    connector.check()
    outreach.inject(FaultKind.LOST_ANSWER, "POST /api/v2/prospects")
    results = pushed(connector, create("lost", "lost@x.io"), create("next", "next@x.io"))
    assert isinstance(results["lost"].error, InDoubt)
    assert results["next"].created
    assert connector.read("prospects", "email", ["lost@x.io"], FIELDS).keys() == {"lost@x.io"}
    assert len(outreach.all("prospects")) == 2


def test_a_lost_answer_of_an_update_is_asked_again(outreach: OutreachSandbox, connector: Connector) -> None:
    id = outreach.put("prospects", {"email": "a@x.io"})
    outreach.inject(FaultKind.LOST_ANSWER, "PATCH")
    assert pushed(connector, update("u", id, firstName="A"))["u"].error is None
    outreach.inject(FaultKind.TRUNCATED, "PATCH", times=9)
    assert isinstance(pushed(connector, update("u", id, firstName="B"))["u"].error, InDoubt)
    assert outreach.get("prospects", id)["firstName"] == "B"


def test_a_brief_is_a_task_for_the_owner_and_found_by_its_reference(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    outreach.login.rotates = False  # two connectors that share no tokens
    owner = outreach.put("users", {"email": "other@example.com"})
    mine = outreach.put("prospects", {"email": "a@x.io", "owner": owner})
    free = outreach.put("prospects", {"email": "b@x.io"})
    words = {"subject": "Qualified", "body": "Story " * 20_000}
    operations = [
        Operation(key, Verb.CREATE, "tasks", {**words, "person": f"prospects/{person}", "reference": f"ref-{key}"})
        for key, person in (("1", mine), ("2", free))
    ]
    results = {result.key: result for result in connector.push(operations, [])}
    assert all(result.created and result.error is None for result in results.values())
    tasks = {row["id"]: row for row in outreach.all("tasks")}
    assert tasks[results["1"].id]["owner"] == owner
    assert tasks[results["2"].id]["owner"] == outreach.user
    assert tasks[results["1"].id]["note"].endswith("\n\nref-1")
    found = connector.read("tasks", "reference", ["ref-1", "ref-9"], [])
    assert {value: record.id for value, record in found.items()} == {"ref-1": results["1"].id}
    bare = opened(outreach, clock, task_owner="")
    outcomes = {result.key: result.error for result in bare.push(operations, [])}
    assert outcomes["1"] is None
    assert isinstance(outcomes["2"], RecordRejected)
    bare.close()


def test_what_was_created_can_be_put_away_again(outreach: OutreachSandbox, connector: Connector) -> None:
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(3)]
    connector.check()
    outreach.inject(FaultKind.LOST_ANSWER, f"DELETE /api/v2/prospects/{ids[0]}")
    results = list(connector.push([Operation(id, Verb.ARCHIVE, "prospects", {}, id=id) for id in (*ids[:2], "99")], []))
    assert [(result.key, result.id, result.error) for result in results] == [(id, id, None) for id in (*ids[:2], "99")]
    assert [row["id"] for row in outreach.all("prospects")] == [ids[2]]
    task = outreach.put("tasks", {"prospect": ids[2], "note": "brief"})
    [result] = connector.push([Operation("t", Verb.ARCHIVE, "tasks", {}, id=task)], [])
    assert result.error is None
    assert outreach.all("tasks") == []
    outreach.login.scopes = outreach.login.scopes.replace("prospects.all", "prospects.read prospects.write")
    [result] = connector.push([Operation("p", Verb.ARCHIVE, "prospects", {}, id=ids[2])], [])
    assert isinstance(result.error, PermissionMissing)


def test_other_objects_are_not_written(connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.UPDATE, "accounts", {"name": "x"}, id="1")], [])
    assert result.error is not None
    assert result.error.code == "read_only"


# the sandbox itself


def test_the_connector_never_asks_for_a_batch(outreach: OutreachSandbox, connector: Connector) -> None:
    """Without ids a batch hits every prospect."""
    connector.check()
    outreach.put("prospects", {"email": "a@x.io"})
    call = call_of(outreach, "batches/actions/prospectsDestroyAll", {})
    outreach.answer(replace(call, method="POST", body=b"{}"))
    assert outreach.all("prospects") == []
    outreach.log.clear()
    pushed(connector, create("c", "a@x.io"))
    assert not [line for line in outreach.log if "/batches" in line.path or "/imports" in line.path]


# what follows a write, and goes wrong

WRONG = [Answer.of(None, 503), Answer.of(None, 401), Answer.of(None, 403), Answer.of(None, 422), Answer.of([], 200)]


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: str(answer.status))
@pytest.mark.parametrize("step", ["GET .*/sequenceStates", "GET .*/sequences", "POST .*/sequenceStates"])
def test_who_was_written_and_is_not_in_the_sequence_is_in_doubt(
    outreach: OutreachSandbox, clock: ManualClock, step: str, answer: Answer
) -> None:
    """Where the sequence is all that was asked for, nothing was done."""
    sequence = outreach.put("sequences", {"name": "Welcome"})
    person = outreach.put("prospects", {"email": "a@x.io"})
    name = f"sequences__{sequence}"
    connector = opened(outreach, clock, mailbox=outreach.mailbox)
    outreach.inject(FaultKind.ANSWER, step, answer=answer, times=99)
    results = pushed(
        connector,
        create("c", "new@x.io", **{f"sequences.{sequence}": True}),
        update("u", person, firstName="N", **{name: True}),
    )
    assert {type(result.error) for result in results.values()} == {InDoubt}
    assert (outreach.get("prospects", person)["firstName"], len(outreach.all("prospects"))) == ("N", 2)
    alone = pushed(connector, update("a", person, **{name: True}))["a"].error
    assert alone is not None
    assert isinstance(alone, InDoubt) == (step.startswith("POST") and answer.status in (503, 200))
    connector.close()


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: str(answer.status))
def test_who_was_written_is_told_so_though_what_they_hold_cannot_be_looked_up(
    outreach: OutreachSandbox, connector: Connector, answer: Answer
) -> None:
    outreach.inject(FaultKind.ANSWER, "GET .*/(stages|sequenceStates)", answer=answer, times=99)
    wanted = [*FIELDS, "stageName", "sequences.7"]
    [result] = connector.push([create("c", "new@x.io", firstName="N")], wanted)
    assert (result.error, result.created, result.record) == (None, True, None)
