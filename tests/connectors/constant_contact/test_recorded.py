"""Constant Contact's recorded answers through the connector's reading side, and the sandbox held beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, ClosedloopError, PermissionMissing, QuotaExhausted, RecordRejected
from connectors.constant_contact.client import classify
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.constant_contact.truth import (
    EXPLAINED,
    bodies,
    connected,
    measure,
    recorded_differences,
    told,
    unread,
)
from tests.connectors.recorded import exchanges
from tests.connectors.surroundings import pulled

CLOCK = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


def test_recorded_bodies_are_read_without_loss() -> None:
    lost = {file: unread(file) for file in bodies()}
    print(f"{len(lost)} bodies")
    assert len(lost) >= 6
    assert lost == {file: [] for file in lost}


def test_a_walk_over_the_recorded_pages_follows_their_links() -> None:
    """The second page is asked for by the link alone: nothing may be added to it."""
    asked: list[dict[str, str]] = []

    def answers(page: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            asked.append(dict(call.query))
            return Answer.of(bodies()[page])

        return answer

    with connected() as (cc, connector):
        for page in ("1-first-page", "2-second-page"):
            cc.inject(FaultKind.ANSWER, "GET /v3/contacts$", answer=answers(page))
        told(cc, "GET /v3/contact_custom_fields", bodies()["custom-fields"])
        records, _ = pulled(connector, "contacts", None, ["email", "custom_fields.hobby"])
    raws = [orjson.loads(record.raw) for record in records]
    assert [raw["email"] for raw in raws] == ["dlang@example.com", "person.93eeb15652@example.com"]
    assert [raw["custom_fields"]["hobby"] for raw in raws] == ["Skiing", None]
    assert [record.version for record in records] == ["2024-10-30T18:56:35.000Z", "2024-07-16T16:43:21.000Z"]
    assert asked[1] == {"cursor": "bGltaXQ9MSZuZXh0PTI="}
    assert asked[0]["include"] == "custom_fields"


def test_the_recorded_error_has_a_class_and_the_forms_that_are_told_of_have_theirs() -> None:
    error = classify(400, {}, bodies()["contact-ids-error"], clock=CLOCK)
    assert isinstance(error, RecordRejected)
    assert (error.code, "Descriptive" in str(error)) == ("contacts.api.validation.error", False)
    forms: list[tuple[int, object, type[ClosedloopError]]] = [
        (401, {"error_key": "unauthorized", "error_message": "Unauthorized"}, AuthorizationLost),
        (403, [{"error_key": "forbidden"}], PermissionMissing),
        (403, {"message": "Forbidden"}, PermissionMissing),
        (429, {"error_key": "quota_exceeded", "error_message": "Limit Exceeded"}, QuotaExhausted),
        (418, None, RecordRejected),
        (400, [], RecordRejected),
        (400, ["x"], RecordRejected),
    ]
    for status, body, kind in forms:
        assert isinstance(classify(status, {}, body, clock=CLOCK), kind), (status, body)


@pytest.mark.parametrize("message", ["Email already exists for contact 1618ae62-4752-11e9-9c8a-fa163e6b01c1", ""])
def test_a_conflict_names_the_contact_where_it_says_so(message: str) -> None:
    error = classify(409, {}, [{"error_key": "contacts.api.conflict", "error_message": message}], clock=CLOCK)
    told = (error.code, error.record)
    assert told == (("duplicate", "1618ae62-4752-11e9-9c8a-fa163e6b01c1") if message else ("conflict", ""))


UNTOLD = {
    "deleted_at": "the record is gone",
    "notes": "a log that people write; not a field",
    "sms_channel": "consent to texts is not touched",
}
ELSEWHERE = {"contact_id": "id", "email_address": "email", "street_addresses": "address.city", "phone_numbers": "phone"}


def test_every_member_that_others_saw_of_a_contact_is_told_or_left_out_for_a_reason() -> None:
    """Beside the bodies stands an index of the members that their takers saw of each object."""
    [index] = [one["response_body"] for one in exchanges("constant_contact") if one["file"].endswith("schemas.json")]
    seen = set(index["modules"]["root"]["objects"]["contacts"]["fields"])
    with connected() as (cc, connector):
        cc.put("contact_custom_fields", {"name": "hobby"})
        fields = connector.describe("contacts").fields
    known = {
        ELSEWHERE.get(name, "custom_fields.hobby" if name == "custom_fields" else name) for name in seen - set(UNTOLD)
    }
    assert known <= set(fields)
    assert set(UNTOLD) <= seen


def test_the_sandbox_answers_in_the_recorded_shape() -> None:
    print(sorted(recorded_differences()))
    assert recorded_differences() == {one for one in EXPLAINED if one in recorded_differences()}


def test_the_numbers_are_what_was_counted() -> None:
    truth = measure()
    print(truth)
    assert truth.bodies >= 6
    assert truth.operations >= 20
    assert (truth.unread, truth.invalid, truth.differences - truth.explained) == (0, 0, 0)
