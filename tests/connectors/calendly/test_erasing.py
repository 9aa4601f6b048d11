"""The only thing that is written to Calendly: the erasure of a person."""

from __future__ import annotations

import orjson

from config.clock import ManualClock
from config.errors import (
    InDoubt,
    PermissionMissing,
    RecordRejected,
)
from connectors.api import Connector, Operation, Result, Verb
from connectors.calendly.sandbox import CalendlySandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.calendly.kit import asked, told


def erasure(key: str, id: str, email: str = "") -> Operation:
    return Operation(key, Verb.ERASE, "invitees", {}, id=id, match={"email": email} if email else {})


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, []))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


def test_a_person_is_erased_by_every_address(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    one, two, other = (calendly.book(email) for email in ("ana@x.io", "ana@y.io", "bob@x.io"))
    results = pushed(connector, erasure("a", one, "ana@z.io"), erasure("b", two, "ana@z.io"), erasure("c", "x:y"))
    assert all(result.error is None for result in results.values())
    [call] = asked(calendly, "/deletion/invitees")
    assert orjson.loads(call.body) == {"emails": ["ana@x.io", "ana@y.io", "ana@z.io"]}
    clock.advance(3 * 24 * 3600)
    assert set(told(connector, "invitees", None)[0]) == {other}
    assert pushed(connector, erasure("a", one))["a"].error is None  # gone already: nobody to ask for
    assert len(asked(calendly, "/deletion/invitees")) == 1


def test_an_address_that_is_refused_does_not_stop_the_others(calendly: CalendlySandbox, connector: Connector) -> None:
    one, two = calendly.book("ana@x.io"), calendly.book("no address")
    results = pushed(connector, erasure("a", one), erasure("b", two))
    assert results["a"].error is None
    assert isinstance(results["b"].error, RecordRejected)
    assert "no address" not in str(results["b"].error)
    assert [email for email, _ in calendly.store.erasures] == ["ana@x.io"]


def test_everybody_has_a_result_where_one_is_refused_and_the_log_in_ends_after_it(
    calendly: CalendlySandbox, connector: Connector
) -> None:
    ids = [calendly.book(email) for email in ("no address", "ana@x.io", "bob@x.io")]
    calendly.inject(FaultKind.ANSWER, "POST .*/deletion/invitees", skip=2, times=99, answer=Answer.of(None, 403))
    results = pushed(connector, *(erasure(id, id) for id in ids))
    assert [type(results[id].error) for id in ids] == [RecordRejected, PermissionMissing, PermissionMissing]
    assert len(asked(calendly, "/deletion/invitees")) == 2


def test_an_erasure_that_is_refused_after_the_first_try_was_lost_is_in_doubt(
    calendly: CalendlySandbox, connector: Connector
) -> None:
    one = calendly.book("ana@x.io")
    calendly.inject(FaultKind.LOST_ANSWER, "POST .*/deletion/invitees")
    calendly.inject(FaultKind.ANSWER, "POST .*/deletion/invitees", times=9, answer=Answer.of(None, 403))
    assert isinstance(pushed(connector, erasure("a", one))["a"].error, InDoubt)
    assert [email for email, _ in calendly.store.erasures] == ["ana@x.io"]


def test_only_an_enterprise_may_erase(calendly: CalendlySandbox, connector: Connector) -> None:
    calendly.plan = "teams"
    ids = [calendly.book(f"p{n}@x.io") for n in range(60)]
    results = pushed(connector, *(erasure(id, id) for id in ids))
    assert {type(result.error) for result in results.values()} == {PermissionMissing}
    assert len(asked(calendly, "/deletion/invitees")) == 1  # the rest is not asked for


def test_a_lost_answer_of_an_erasure_is_asked_again_then_in_doubt(
    calendly: CalendlySandbox, connector: Connector
) -> None:
    id = calendly.book("ana@x.io")
    calendly.inject(FaultKind.LOST_ANSWER, "POST /data")
    assert pushed(connector, erasure("a", id))["a"].error is None
    calendly.inject(FaultKind.NO_ANSWER, "POST /data", times=99)
    assert isinstance(pushed(connector, erasure("a", id))["a"].error, InDoubt)


def test_nothing_else_is_written(connector: Connector) -> None:
    create = Operation("c", Verb.CREATE, "invitees", {"email": "a@x.io"}, match={"email": "a@x.io"})
    cancel = Operation("m", Verb.ARCHIVE, "meetings", {}, id="x:y")
    before = connector.calls
    results = pushed(connector, create, cancel)
    assert {getattr(result.error, "code", "") for result in results.values()} == {"read_only"}
    assert connector.calls == before
