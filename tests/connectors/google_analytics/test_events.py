"""Outcomes to Google Analytics over its sandbox: what leaves, what never may, what is lost, and who is erased."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.clock import ManualClock, stamp
from config.errors import AuthorizationLost, ClosedloopError, InDoubt, PermissionMissing, RecordRejected, RetryLater
from connectors.api import Connector, Operation, Result, Verb
from connectors.google_analytics.events import FIELDS, event_of
from connectors.google_analytics.guard import refuse_personal
from connectors.google_analytics.sandbox import API_SECRET, GoogleAnalyticsSandbox
from connectors.google_analytics.senders import KEPT, body_of, indexes
from connectors.sandbox import Answer, FaultKind
from tests.connectors.google_analytics.kit import opened
from tests.connectors.surroundings import Tokens

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
ANA = "1234567890.1700000000"
BOTH = ("measurement_protocol", "data_manager")


@pytest.fixture(params=BOTH)
def either(site: GoogleAnalyticsSandbox, clock: ManualClock, request: pytest.FixtureRequest) -> Iterator[Connector]:
    """A connector that sends by each of the two ways."""
    made = opened(site, clock, send_by=request.param)
    yield made
    made.close()


def outcome(key: str, name: str = "qualify_lead", client: str | None = ANA, **values: Any) -> Operation:
    told = {"name": name, "client_id": client, "event_id": f"cl_{key}", "at": stamp(NOW - timedelta(hours=1))}
    whole = {**told, **{n.replace("__", "."): v for n, v in values.items()}}
    return Operation(key, Verb.CREATE, "lead_events", whole, match={"event_id": f"cl_{key}"})


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, []))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


def refusal(result: Result) -> tuple[str, str]:
    assert isinstance(result.error, RecordRejected), result
    return result.error.field, result.error.code


def bodies(site: GoogleAnalyticsSandbox, path: str = "/mp/collect") -> list[Any]:
    return [orjson.loads(line.body) for line in site.log if line.path == path]


# what leaves


def test_an_outcome_arrives_as_the_recommended_event(site: GoogleAnalyticsSandbox, either: Connector) -> None:
    won = outcome("1", "close_convert_lead", value="1200.50", currency="EUR", params__plan="gold")
    lost = outcome("2", "close_unconvert_lead", reason="no budget", session_id="1700000123")
    results = pushed(either, won, lost)
    assert [(r.id, r.created, r.error) for r in results.values()] == [
        (f"{ANA}/cl_1", True, None),
        (f"{ANA}/cl_2", True, None),
    ]
    one, two = site.all()
    assert (one["name"], one["client_id"]) == ("close_convert_lead", ANA)
    assert one["params"] == {"plan": "gold", "currency": "EUR", "value": 1200.5, "event_id": "cl_1"}
    assert one["at"] == int((NOW - timedelta(hours=1)).timestamp() * 1_000_000)
    assert two["params"] == {
        "unconvert_lead_reason": "no budget",
        "session_id": "1700000123",
        "event_id": "cl_2",
    }
    assert (site.dropped, site.leaks) == ([], [])


@pytest.mark.parametrize(
    ("name", "param"),
    [
        ("generate_lead", "lead_source"),
        ("disqualify_lead", "disqualified_lead_reason"),
        ("working_lead", "lead_status"),
        ("close_unconvert_lead", "unconvert_lead_reason"),
        ("close_convert_lead", ""),
    ],
)
def test_a_reason_goes_where_google_expects_it(
    site: GoogleAnalyticsSandbox, connector: Connector, name: str, param: str
) -> None:
    pushed(connector, outcome("1", name, reason="web"))
    [event] = site.all()
    assert set(event["params"]) == {"event_id", *([param] if param else [])}


def test_a_body_is_of_one_client_and_one_instant_and_of_twenty_five_events(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    many = [outcome(f"a{number}") for number in range(27)]
    other = [outcome("b", client="99.1700000000"), outcome("c", at=stamp(NOW - timedelta(hours=2)))]
    results = pushed(connector, *many, *other, outcome("d", user_id="u-7"))
    assert all(result.error is None for result in results.values())
    assert sorted(len(body["events"]) for body in bodies(site)) == [1, 1, 1, 2, 25]
    assert len(site.all()) == 30


def test_the_future_is_now_and_a_blank_is_nothing(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    pushed(connector, outcome("1", at=stamp(NOW + timedelta(hours=9)), reason=None, value=None, currency=None))
    [event] = site.all()
    assert event["at"] == int(NOW.timestamp() * 1_000_000)
    assert event["params"] == {"event_id": "cl_1"}


def test_consent_is_only_ever_withdrawn(site: GoogleAnalyticsSandbox, either: Connector) -> None:
    denied = outcome("1", ad_user_data="DENIED", ad_personalization="DENIED")
    results = pushed(either, denied, outcome("2", ad_user_data="GRANTED"))
    assert refusal(results["2"]) == ("ad_user_data", "choice")
    [event] = site.all()
    assert sorted(event["consent"].values()) in (["DENIED"] * 2, ["CONSENT_DENIED"] * 2)


# what never leaves


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"client": None}, ("client_id", "missing")),
        ({"client": "GA1.1.1234567890.1700000000"}, ("client_id", "form")),
        ({"client": "ana@x.io"}, ("client_id", "form")),
        ({"name": "purchase"}, ("name", "choice")),
        ({"at": stamp(NOW - timedelta(hours=73))}, ("at", "too_old")),
        ({"at": "yesterday"}, ("at", "form")),
        ({"at": None}, ("at", "missing")),
        ({"value": "12"}, ("currency", "missing")),
        ({"value": "12", "currency": "euro"}, ("currency", "form")),
        ({"value": "many", "currency": "EUR"}, ("value", "type")),
        ({"value": "nan", "currency": "EUR"}, ("value", "type")),
        ({"colour": "red"}, ("colour", "unknown")),
        ({"reason": "x" * 101, "name": "working_lead"}, ("lead_status", "too_long")),
        ({"params__ga_x": "1"}, ("params.ga_x", "name")),
        ({"params__user_id": "1"}, ("params.user_id", "name")),
        ({"params__a-b": "1"}, ("params.a-b", "name")),
        ({f"params__p{n}": "1" for n in range(23)}, ("params.", "too_many")),
        ({"params__list": ["a"]}, ("list", "type")),
        ({"user_id": "Ana Díaz"}, ("user_id", "form")),
        ({"user_id": "x" * 65}, ("user_id", "form")),
        ({"session_id": "abc"}, ("session_id", "form")),
        ({"event_id": "a b"}, ("event_id", "form")),
    ],
)
def test_what_google_would_drop_is_refused_here(
    site: GoogleAnalyticsSandbox, connector: Connector, values: dict[str, Any], refused: tuple[str, str]
) -> None:
    results = pushed(connector, outcome("bad", **values), outcome("good"))
    assert refusal(results["bad"]) == refused
    assert results["good"].error is None
    assert len(bodies(site)) == 1


PERSON = {
    "person__email": "Ana.Diaz@x.io",
    "person__phone": "+4915112345678",
    "person__first_name": "Ana",
    "person__last_name": "Díaz",
}


@pytest.mark.parametrize(
    "values",
    [
        {"reason": "ask ana.diaz@x.io"},
        {"reason": "ana.diaz%40x.io"},
        {"reason": "call +49 151 1234 5678"},
        {"reason": "0151 / 12345678"},
        {"reason": "(030) 123-45678"},
        {"reason": "00 44 20 7946 0958"},
        {"params__note": "ANA"},
        {"params__note": "Ana Diaz did not answer"},
        {"params__note": "diaz ana"},
        {"params__note": "number 4915112345678 is wrong"},
        {"user_id": "ana.diaz@x.io"},
        {"user_id": "+4915112345678"},
        {"user_id": "015112345678"},
        {"event_id": "ana@x.io"},
        {"params__page": "/thanks?mail=other%40y.example"},
    ],
)
def test_nothing_personal_leaves(site: GoogleAnalyticsSandbox, either: Connector, values: dict[str, Any]) -> None:
    results = pushed(either, outcome("1", "working_lead", **PERSON, **values))
    assert isinstance(results["1"].error, RecordRejected)
    told = str(results["1"].error)
    assert not any(word in told for word in ("ANA", "iaz", "1511", "x.io", "y.example"))
    assert (site.all(), site.log) == ([], [])


@pytest.mark.parametrize(
    "values",
    [
        {"reason": "will decide on 2026-12-01"},
        {"reason": "price: 1,200.50 EUR of 20000"},
        {"reason": "Anaconda was cheaper"},
        {"params__plan": "gold 2026"},
        {"params__ref": "0a1b2c3d"},
        {"user_id": "0a1b2c3d-1234-5678-9012-aabbccddeeff"},
        {"event_id": "cl_12345678901234567890123456789012"},
    ],
)
def test_what_is_not_personal_leaves(
    site: GoogleAnalyticsSandbox, connector: Connector, values: dict[str, Any]
) -> None:
    [result] = pushed(connector, outcome("1", "working_lead", **PERSON, **values)).values()
    assert result.error is None
    assert not any(name.startswith("person") for event in site.all() for name in event["params"])


@given(
    st.from_regex(r"[a-z0-9]{1,12}@[a-z0-9]{1,12}\.(com|io|example)", fullmatch=True)
    | st.from_regex(r"\+[1-9][0-9]{1,2} ?[0-9]{3,4}[ -]?[0-9]{4,6}", fullmatch=True),
    st.text(alphabet="abc ÄÖ.,!", max_size=20),
    st.text(alphabet="xyz ,!", max_size=20),
)
def test_addresses_and_numbers_are_found_wherever_they_stand(personal: str, before: str, after: str) -> None:
    with pytest.raises(RecordRejected):
        refuse_personal({"p": f"{before} {personal} {after}"}, {}, {})


@pytest.mark.parametrize("number", [2**53 + 2, -(2**70), 10**400, float("inf"), float("nan")])
def test_a_number_that_json_would_change_is_refused(number: float) -> None:
    with pytest.raises(RecordRejected) as refused:
        event_of(Operation("1", Verb.CREATE, "lead_events", {**outcome("1").values, "params.note": number}), NOW)
    assert refused.value.field == "note"


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "params.note", "params.plan"]),
        st.one_of(st.none(), st.text(max_size=120), st.integers(), st.floats(), st.booleans(), st.just(ANA)),
    )
)
def test_any_values_make_a_sound_event_or_a_named_refusal(values: dict[str, Any]) -> None:
    usual = outcome("1").values
    try:
        event = event_of(Operation("1", Verb.CREATE, "lead_events", {**usual, **values}), NOW)
    except RecordRejected as error:
        assert error.field
        assert error.code
        return
    body = body_of([event])
    assert len(orjson.dumps(body)) < 130_000 / 25
    assert not any(name.startswith("person") for name in body["events"][0]["params"])


# validation


def test_the_debug_server_is_asked_first_and_its_refusals_are_the_events_own(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    said = {
        "validationMessages": [
            {"fieldPath": "events[1].params.plan", "validationCode": "VALUE_INVALID", "description": "secret value"}
        ]
    }
    site.inject(FaultKind.ANSWER, "debug", answer=Answer.of(said))
    results = pushed(connector, outcome("1"), outcome("2"), outcome("3"))
    assert refusal(results["2"]) == ("events[1].params.plan", "VALUE_INVALID")
    assert "secret value" not in str(results["2"].error)
    assert [event["params"]["event_id"] for event in site.all()] == ["cl_1", "cl_3"]
    assert [line.path for line in site.log] == ["/mp/collect"]
    whole = {"validationMessages": [{"fieldPath": "client_id", "validationCode": "VALUE_REQUIRED"}]}
    site.inject(FaultKind.ANSWER, "debug", answer=Answer.of(whole))
    assert {refusal(r) for r in pushed(connector, outcome("4"), outcome("5")).values()} == {
        ("client_id", "VALUE_REQUIRED")
    }


def test_validation_can_be_left_out(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    connector = opened(site, clock, validate=False)
    pushed(connector, outcome("1"))
    assert [line.path for line in site.log] == ["/mp/collect"]
    connector.close()


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER, FaultKind.HTML])
def test_a_debug_server_that_does_not_answer_is_asked_again_and_nothing_was_sent(
    site: GoogleAnalyticsSandbox, connector: Connector, kind: FaultKind
) -> None:
    site.inject(kind, "debug")
    assert pushed(connector, outcome("1"))["1"].error is None
    site.inject(kind, "debug", times=99)
    results = pushed(connector, outcome("2"), outcome("3", client="99.1700000000"))
    assert {type(result.error) for result in results.values()} == {RetryLater}
    assert len(site.all()) == 1


def test_places_in_a_body_name_their_events() -> None:
    assert indexes("events[2].params", 3) == [2]
    assert indexes("events[7].name", 3) == [0, 1, 2]
    assert indexes("events[0].a, events[1].b", 3) == [0, 1]


# faults


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER])
def test_a_lost_answer_of_the_measurement_protocol_is_in_doubt_and_never_sent_again(
    site: GoogleAnalyticsSandbox, connector: Connector, kind: FaultKind
) -> None:
    site.inject(kind, "POST /mp/collect")
    results = pushed(connector, outcome("1"), outcome("2"), outcome("3", client="99.1700000000"))
    assert [type(results[key].error) for key in "123"] == [InDoubt, InDoubt, type(None)]
    assert len(site.all()) == (3 if kind is FaultKind.LOST_ANSWER else 1)
    assert connector.read("lead_events", "event_id", ["cl_1", "cl_2"], []) == {}
    assert connector.read("lead_events", "id", [f"{ANA}/cl_1"], []) == {}


def test_a_server_error_of_the_measurement_protocol_is_in_doubt(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    site.inject(FaultKind.ANSWER, "POST /mp/collect", answer=Answer(503))
    assert isinstance(pushed(connector, outcome("1"))["1"].error, InDoubt)
    assert site.all() == []


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER, FaultKind.TRUNCATED, FaultKind.HTML])
def test_a_lost_answer_of_the_data_manager_is_asked_for_again_and_counted_once(
    site: GoogleAnalyticsSandbox, clock: ManualClock, kind: FaultKind
) -> None:
    connector = opened(site, clock, send_by="data_manager")
    site.inject(kind, "events:ingest")
    results = pushed(connector, outcome("1"), outcome("2"))
    assert all(result.error is None for result in results.values())
    assert [event["params"]["event_id"] for event in site.all()] == ["cl_1", "cl_2"]
    found = connector.read("lead_events", "event_id", ["cl_1", "cl_9"], [])
    assert {value: record.id for value, record in found.items()} == {"cl_1": f"{ANA}/cl_1"}
    assert connector.read("lead_events", "id", [f"{ANA}/cl_2"], []).keys() == {f"{ANA}/cl_2"}
    clock.advance(300)
    assert connector.check().notes == ()  # a repeat that Google has thrown away is no fault
    connector.close()


def test_an_answer_of_the_data_manager_that_stays_lost_is_in_doubt(
    site: GoogleAnalyticsSandbox, clock: ManualClock
) -> None:
    connector = opened(site, clock, send_by="data_manager")
    site.inject(FaultKind.LOST_ANSWER, "events:ingest", times=99)
    assert isinstance(pushed(connector, outcome("1"))["1"].error, InDoubt)
    assert connector.read("lead_events", "event_id", ["cl_1"], []) == {}
    site.faults.clear()
    site.inject(FaultKind.ANSWER, "events:ingest", answer=Answer.of({}))
    assert isinstance(pushed(connector, outcome("2"))["2"].error, InDoubt)
    connector.close()


def test_what_the_data_manager_took_is_done_though_no_note_of_it_can_be_kept(
    site: GoogleAnalyticsSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the notes: these events are no such that were never sent."""

    def held(tokens: Tokens, name: str) -> AbstractContextManager[None]:
        if name == KEPT:
            raise RetryLater("Somebody else is at it.")
        return nullcontext()

    connector = opened(site, clock, send_by="data_manager")
    monkeypatch.setattr(Tokens, "alone", held)
    assert pushed(connector, outcome("1"))["1"].error is None
    assert len(site.all()) == 1
    connector.close()


def test_what_the_data_manager_refuses_is_taken_out_and_the_rest_sent(
    site: GoogleAnalyticsSandbox, clock: ManualClock
) -> None:
    connector = opened(site, clock, send_by="data_manager")
    wrong = [{"field": "events[1].conversion_value", "description": "1200", "reason": "INVALID_NUMBER"}]
    fault = site.error(400, "INVALID_ARGUMENT", "There was a problem.", fields=wrong)
    site.inject(FaultKind.ANSWER, "events:ingest", answer=fault)
    results = pushed(connector, outcome("1"), outcome("2"), outcome("3"))
    assert refusal(results["2"]) == ("conversion_value", "INVALID_ARGUMENT")
    assert [event["params"]["event_id"] for event in site.all()] == ["cl_1", "cl_3"]
    connector.close()


def test_a_destination_that_is_wrong_refuses_all(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    connector = opened(site, clock, send_by="data_manager", measurement_id="G-OTHER")
    results = pushed(connector, outcome("1"), outcome("2"))
    assert {refusal(result) for result in results.values()} == {
        ("destinations[0].product_destination_id", "INVALID_ARGUMENT")
    }
    connector.close()


def test_check_tells_what_became_of_the_latest_requests(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    connector = opened(site, clock, send_by="data_manager")
    pushed(connector, outcome("1"))
    site.requests["request-1"]["status"] = "FAILED"
    assert connector.check().notes == ()  # still being worked on
    clock.advance(300)
    [note] = connector.check().notes
    assert note.endswith("INVALID_EVENT")
    assert connector.read("lead_events", "event_id", ["cl_1"], []) == {}
    connector.close()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"measurement_id": ""}, AuthorizationLost),
        ({"send_by": "data_manager", "measurement_id": ""}, AuthorizationLost),
    ],
)
def test_sending_without_a_stream_stops_with_a_word(
    site: GoogleAnalyticsSandbox, clock: ManualClock, settings: dict[str, Any], kind: type[ClosedloopError]
) -> None:
    connector = opened(site, clock, **settings)
    results = pushed(connector, outcome("1"), outcome("2"))
    assert {type(result.error) for result in results.values()} == {kind}
    connector.close()


def test_a_role_that_is_too_small_stops_the_rest(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    site.role = "viewer"
    connector = opened(site, clock, send_by="data_manager")
    results = pushed(connector, outcome("1"), outcome("2"))
    assert {type(result.error) for result in results.values()} == {PermissionMissing}
    connector.close()


def test_the_secret_in_the_address_is_in_no_log(
    site: GoogleAnalyticsSandbox, connector: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        connector.check()
        pushed(connector, outcome("1"))
    assert "runReport" in caplog.text
    assert API_SECRET not in caplog.text


# erasure, and other verbs


def test_a_client_is_erased_once_for_all_its_events(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    pushed(connector, outcome("1"), outcome("2"), outcome("3", client="99.1700000000"))
    erase = [Operation(key, Verb.ERASE, "lead_events", {}, id=f"{ANA}/cl_{key}") for key in "12"]
    named = Operation("n", Verb.ERASE, "lead_events", {}, id="x", match={"client_id": "77.1"})
    results = pushed(connector, *erase, named, Operation("bad", Verb.ERASE, "lead_events", {}, id="whoever"))
    assert {key: type(result.error) for key, result in results.items()} == {
        "1": type(None),
        "2": type(None),
        "n": type(None),
        "bad": RecordRejected,
    }
    assert site.erased == [ANA, "77.1"]
    assert [event["client_id"] for event in site.all()] == ["99.1700000000"]


def test_an_erasure_that_got_no_answer_is_asked_for_again_and_one_without_the_role_stops(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    erase = [Operation(key, Verb.ERASE, "lead_events", {}, id=f"{key}.1/cl_1") for key in "12"]
    site.inject(FaultKind.LOST_ANSWER, "submitUserDeletion", times=6)
    assert {type(result.error) for result in pushed(connector, *erase).values()} == {RetryLater}
    assert {type(result.error) for result in pushed(connector, *erase).values()} == {type(None)}
    site.role = "viewer"
    assert {type(result.error) for result in pushed(connector, *erase).values()} == {PermissionMissing}


def test_other_verbs_and_objects_are_refused(connector: Connector) -> None:
    update = Operation("u", Verb.UPDATE, "lead_events", {"name": "x"}, id="1")
    figure = Operation("f", Verb.CREATE, "figures", {"sessions": 1})
    assert {refusal(result)[1] for result in pushed(connector, update, figure).values()} == {"read_only"}
    assert list(connector.push([], [])) == []
