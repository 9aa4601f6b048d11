"""Bulk writes whose answers are lost, and processes that end in the middle of one: nothing is sent twice."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt, QuotaExhausted, RetryLater
from connectors.api import Connector, Verb
from connectors.sandbox import Answer, FaultKind
from connectors.zoho import bulk_write
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import connect
from tests.connectors.zoho.kit import FIELDS, away, by_hundreds, create, errors, lead, opened, people, pushed, sent

UPLOAD, CREATE = "POST /crm/v8/upload", "POST /crm/bulk/v8/write"
LOOK, RESULT = "GET /crm/bulk/v8/write/.*", "GET /v2/crm/.*/bulk-write/.*"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_write, "FROM", 3)


# lost answers: before the effect, and after it


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER, FaultKind.TRUNCATED])
@pytest.mark.parametrize("step", [UPLOAD, LOOK, RESULT])
def test_a_lost_answer_of_a_call_that_does_nothing_is_asked_again(
    zoho: ZohoSandbox, connector: Connector, kind: FaultKind, step: str
) -> None:
    connector.check()
    zoho.inject(kind, step)
    results = pushed(connector, *people(4))
    assert {k for k, _ in errors(results).values()} <= (
        {InDoubt} if (step, kind) == (RESULT, FaultKind.TRUNCATED) else set()
    )
    assert len(zoho.writes.made) == 1
    assert by_hundreds(zoho) == 0
    assert len(zoho.all("leads")) == 4


@pytest.mark.parametrize(("kind", "made"), [(FaultKind.LOST_ANSWER, 1), (FaultKind.NO_ANSWER, 0)])
def test_a_job_whose_answer_is_lost_is_in_doubt_waited_for_and_never_sent_twice(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock, kind: FaultKind, made: int
) -> None:
    connector.check()
    zoho.writes.takes = 120
    zoho.inject(kind, CREATE)
    results = pushed(connector, *people(4), create("later", "later@x.io"))
    assert {key: error for key, (error, _) in errors(results).items()} == {
        **{f"op{n}": InDoubt for n in range(4)},
        "later": RetryLater,  # nothing more is sent while the job may be at work
    }
    with pytest.raises(RetryLater, match="may be at work"):  # nobody looks for what is still on its way
        connector.read("leads", "Closedloop_Id", ["cl_0"], FIELDS)
    assert {error for error, _ in errors(pushed(connector, *people(4))).values()} == {RetryLater}
    assert len(zoho.writes.made) == made
    clock.advance(1000)
    found = connector.read("leads", "Closedloop_Id", [f"cl_{n}" for n in range(4)], FIELDS)
    assert len(found) == 4 * made
    if not found:
        assert errors(pushed(connector, *people(4))) == {}
    assert len(zoho.writes.made) == 1
    assert len(zoho.all("leads")) == 4


def test_a_job_that_was_never_asked_for_is_no_hindrance(zoho: ZohoSandbox, connector: Connector) -> None:
    """A request that did not arrive leaves nothing behind."""
    connector.check()
    zoho.inject(FaultKind.ANSWER, CREATE, answer=lambda call: zoho.error(429, "TOO_MANY_REQUESTS"), times=9)
    results = pushed(connector, *people(4))
    assert {kind for kind, _ in errors(results).values()} == {RetryLater}
    zoho.faults.clear()
    assert connector.read("leads", "Closedloop_Id", ["cl_0"], FIELDS) == {}
    assert errors(pushed(connector, *people(4))) == {}
    assert len(zoho.writes.made) == 1


def test_a_result_that_cannot_be_had_leaves_the_rows_in_doubt(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.writes.links_die = True
    results = pushed(connector, *people(4), create("other", "other@x.io"))
    assert {key: kind for key, (kind, _) in errors(results).items()} == {f"op{n}": InDoubt for n in range(4)}
    assert len(connector.read("leads", "Closedloop_Id", [f"cl_{n}" for n in range(4)], FIELDS)) == 4


def test_a_result_at_another_host_than_zoho_s_gets_no_credential(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()

    def elsewhere(call: Any) -> Answer:
        body = orjson.loads(zoho.answer(call).body)
        return Answer.of({**body, "result": {"download_url": "https://files.example/x.zip"}})

    zoho.inject(FaultKind.ANSWER, LOOK, answer=elsewhere, times=9)
    assert {kind for kind, _ in errors(pushed(connector, *people(4))).values()} == {InDoubt}


def test_a_host_of_files_that_lets_nobody_in_is_no_lost_log_in(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    shut = Answer.of({"ERROR_CODE": 401, "ERROR_MESSAGE": "Unauthorized"}, 401)
    zoho.inject(FaultKind.ANSWER, UPLOAD, answer=shut, times=9)
    assert errors(pushed(connector, *people(4))) == {}
    assert by_hundreds(zoho) == 4


def test_a_job_that_takes_too_long_stops_what_follows(
    zoho: ZohoSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    monkeypatch.setattr(bulk_write, "LONGEST_JOB", 20.0)
    zoho.writes.takes = 600
    results = pushed(connector, *people(4), create("later", "later@x.io"))
    assert {key: kind for key, (kind, _) in errors(results).items()} == {
        **{f"op{n}": InDoubt for n in range(4)},
        "later": RetryLater,
    }
    with pytest.raises(RetryLater, match="still at work"):
        connector.read("leads", "id", ["6100000000000000001"], FIELDS)
    clock.advance(600)
    assert len(connector.read("leads", "Closedloop_Id", ["cl_0", "cl_3"], FIELDS)) == 2
    assert len(sent(zoho, "POST /write")) == 1


def test_the_end_of_the_credits_in_the_middle_leaves_no_doubt_about_what_was_not_sent(
    zoho: ZohoSandbox, connector: Connector
) -> None:
    connector.check()
    zoho.inject(FaultKind.ANSWER, CREATE, answer=exhausted(zoho))
    results = pushed(connector, *people(4), create("later", "later@x.io"))
    assert {kind for kind, _ in errors(results).values()} == {QuotaExhausted}
    assert len(results) == 5
    assert zoho.all("leads") == []


def exhausted(zoho: ZohoSandbox) -> Any:
    def answer(call: Any) -> Answer:
        told = zoho.error(429, "TOO_MANY_REQUESTS")
        return Answer(told.status, told.body, {**told.headers, "X-API-CREDITS-REMAINING": "0"})

    return answer


# crashes


class Crash(BaseException):
    """The process ends."""


@pytest.mark.parametrize("step", ["upload", "start", "job", "download"])
@pytest.mark.parametrize("after", [False, True])
def test_after_a_crash_the_job_is_found_again(
    zoho: ZohoSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool
) -> None:
    first = opened(zoho, clock)
    kept = first._world.tokens  # type: ignore[attr-defined]
    whole = getattr(first._client.__class__, step)  # type: ignore[attr-defined]

    def crashing(self: Any, *given: Any) -> Any:
        if after:
            whole(self, *given)
        raise Crash

    zoho.writes.takes = 30
    with monkeypatch.context() as patch:
        patch.setattr(first._client.__class__, step, crashing)  # type: ignore[attr-defined]
        with pytest.raises(Crash):
            list(first.push(people(4), FIELDS))
    first.close()
    was_made = step in ("job", "download") or (step, after) == ("start", True)
    assert len(zoho.writes.made) == was_made
    second = recovered(zoho, clock, kept)
    for _ in range(20):  # as the engine does: look first, and send what is not there
        try:
            found = second.read("leads", "Closedloop_Id", [f"cl_{n}" for n in range(4)], FIELDS)
            break
        except RetryLater:
            clock.advance(60)
    assert len(found) == (4 if was_made else 0)
    if not found:
        assert errors(pushed(second, *people(4))) == {}
    assert len(zoho.writes.made) == 1
    assert len(zoho.all("leads")) == 4
    second.close()


def recovered(zoho: ZohoSandbox, clock: ManualClock, kept: Any) -> Connector:
    made = connect(zoho, clock)
    made._world.tokens.update(kept)  # type: ignore[attr-defined]
    return made


def test_a_job_that_zoho_no_longer_knows_is_forgotten(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    tokens = connector._world.tokens  # type: ignore[attr-defined]
    tokens.put("bulk-write-leads", orjson.dumps({"job": "77", "until": "2030-01-01T00:00:00.000000Z"}).decode())
    assert connector.read("leads", "Email", ["a@x.io"], FIELDS) == {}
    assert tokens.get("bulk-write-leads") == ""


def test_nobody_is_erased_while_a_job_may_bring_them_back(
    zoho: ZohoSandbox, connector: Connector, clock: ManualClock
) -> None:
    person = lead(zoho, "p0@x.io", Closedloop_Id="cl_0")
    connector.check()
    zoho.inject(FaultKind.LOST_ANSWER, CREATE)
    pushed(connector, *people(4))
    [result] = connector.push(away(Verb.ERASE, "leads", person), [])
    assert isinstance(result.error, RetryLater)
    clock.advance(1000)
    [result] = connector.push(away(Verb.ERASE, "leads", person), [])
    assert result.error is None
    assert person not in {row["id"] for row in zoho.all("leads")}
