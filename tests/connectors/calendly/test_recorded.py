"""Calendly's recorded answers through the connector's reading side, and the sandbox held beside them and the vendor's
own description."""

from __future__ import annotations

import orjson
import pytest

from config.errors import AuthorizationLost, RecordRejected, RetryLater
from connectors.calendly.client import GONE, Client, classify
from connectors.sandbox import Answer, Call
from tests.connectors.calendly import truth
from tests.connectors.calendly.truth import bodies, rows, told, world
from tests.connectors.surroundings import pulled


def test_recorded_bodies_are_read_without_loss() -> None:
    found = truth.replay()
    print(f"{found.bodies} bodies, {found.values} values")
    assert found.lost == ()
    assert found.bodies == len((*truth.USERS, *truth.TYPES, *truth.EVENTS, *truth.INVITEES))
    assert found.values > 400


def test_no_recorded_body_is_left_out_without_a_reason() -> None:
    read = {*truth.USERS, *truth.TYPES, *truth.EVENTS, *truth.INVITEES, *truth.REFUSALS, *truth.LOGIN}
    assert set(bodies()) == read | truth.unread()
    assert not read & truth.unread()


def test_a_list_goes_on_by_the_token_in_a_recorded_link() -> None:
    """Recorded pages name the next one by a link only; its token is asked for at the account's own host."""
    event = {**rows(bodies()["scheduled_events_001"])[1], "uri": "https://api.calendly.com/scheduled_events/EV201"}
    asked: list[str] = []

    def page(call: Call) -> Answer:
        asked.append(call.query.get("page_token", ""))
        return Answer.of(bodies()[f"scheduled_event_invitees_201_page{len(asked)}"])

    with world() as (sandbox, connector):
        told(sandbox, "/scheduled_events", truth.alone({"resource": event}))
        sandbox.inject("answer", "GET /scheduled_events/EV201/invitees$", times=2, answer=page)
        records, _ = pulled(connector, "invitees", None, [])
    assert [record.id for record in records] == ["EV201:INV003", "EV201:INV002", "EV201:INV001"]
    assert asked == ["", truth.page_tokens()[0]]
    assert set(truth.page_tokens()) == {"NEXT_PAGE_TOKEN"}


def test_a_recorded_booking_that_was_moved_out_of_reach_is_told_as_it_is() -> None:
    """Its next booking is named, but was not recorded: as far as one can see it is gone. The first names it all."""
    moved = rows(bodies()["scheduled_event_invitee_301"])[0]
    with world() as (sandbox, connector):
        told(sandbox, "/scheduled_events/EV301/invitees/INV001", {"resource": moved})
        told(sandbox, "/scheduled_events/EV301", bodies()["scheduled_event_001"])
        record = connector.read("meetings", "id", ["EV301:INV001"], [])["EV301:INV001"]
    raw = orjson.loads(record.raw)
    assert record.id == "EV301_OLD1:INV001"
    assert (raw["state"], raw["moves"], raw["tracking"]) == ("cancelled", 1, moved["tracking"])
    assert raw["reason"] == moved["cancellation"]["reason"]


def test_recorded_errors_have_a_class() -> None:
    missing = classify(404, {}, bodies()["error_404_not_found"])
    assert isinstance(missing, RecordRejected)
    assert missing.code == GONE
    with world() as (sandbox, connector):
        page = Answer(200, bodies()["not_json"].encode(), {"content-type": "text/html"})
        sandbox.inject("answer", "GET /users/me", times=99, answer=page)
        with pytest.raises(RetryLater, match="no JSON"):
            connector.check()


def test_a_recorded_token_answer_opens_and_a_recorded_refusal_ends_the_connection() -> None:
    with world() as (sandbox, connector):
        client: Client = connector._client  # type: ignore[attr-defined]
        sandbox.inject("answer", "POST /oauth/token", answer=Answer.of(bodies()["refresh_token"]))
        assert client._exchange({})["access_token"] == bodies()["refresh_token"]["access_token"]
        assert client.scopes() == set()  # `default`: of the time before scopes
        refusal = Answer.of(bodies()["error_400_invalid_grant"], 400)
        sandbox.inject("answer", "POST /oauth/token", answer=refusal)
        with pytest.raises(AuthorizationLost):
            client._exchange({})


def test_the_sandbox_answers_in_the_recorded_and_described_shape() -> None:
    found = truth.compared()
    print(f"{len(found)} differences: {sorted(found)}")
    assert found == set(truth.EXPLAINED)


def test_the_comparison_sees_what_is_missing() -> None:
    with world() as (sandbox, _):
        told = truth.ours(sandbox)
    del told["scheduled_event_001"]["resource"]["event_guests"]
    told["event_types_001"]["collection"][0].pop("locations")
    told["user_001"]["resource"]["email"] = 7
    assert truth.unlike(told) | truth.undescribed(told) == {
        "scheduled_event_001.resource.event_guests is missing",
        "Event.: required",
        "event_types.locations is missing",
        "user_001.resource.email is str, ours int",
        "User.email: type",
    }
