"""Outcomes told to LinkedIn, over real sockets: what is sent, what is refused, whom nothing is sent of."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import AuthorizationLost, InDoubt, Misconfigured, PermissionMissing, QuotaExhausted, RecordRejected
from connectors.api import Connector, Operation, Result, Verb
from connectors.linkedin import push as pushing
from connectors.linkedin.errors import BatchRejected, classify
from connectors.linkedin.push import rules_of
from connectors.linkedin.sandbox import LinkedInSandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.linkedin.kit import opened

FIELDS = ("event", "event_id", "at", "consent")
EVENTS = "POST /rest/conversionEvents"


def outcome(number: int, event: str = "won", **values: Any) -> Operation:
    plain = {
        "event": event,
        "event_id": f"e{number}",
        "at": "2026-11-20T10:00:00.000Z",
        "email": f"p{number}@x.example",
    }
    told = {name: value for name, value in {**plain, **values}.items() if value is not None}
    return Operation(f"k{number}", Verb.CREATE, "conversions", told, match={"event_id": f"e{number}"})


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


def sent(linkedin: LinkedInSandbox) -> list[int]:
    """How many events each call carried."""
    lines = [line for line in linkedin.log if line.path == "/rest/conversionEvents"]
    return [len(orjson.loads(line.body)["elements"]) for line in lines]


def test_an_outcome_arrives_with_all_that_is_known(linkedin: LinkedInSandbox, connector: Connector) -> None:
    names = {"first_name": "Ana", "last_name": "Ruiz", "title": "Chief", "company": "X", "country": "DE"}
    more = {"li_fat_id": "abc", "lead": "249592fc-6", "external_id": "c-1", "consent": "subscribed"}
    money = {"amount": "1200.50", "currency": "EUR"}
    result = pushed(connector, outcome(1, email=" Ana@X.example", **names, **more, **money))["k1"]
    assert (result.id, result.created, result.error) == ("e1", True, None)
    [event] = linkedin.all("conversions")
    assert event == {
        "conversion": "urn:lla:llaPartnerConversion:103",
        "conversionHappenedAt": 1795168800000,
        "conversionValue": {"currencyCode": "EUR", "amount": "1200.50"},
        "eventId": "e1",
        "user": {
            "userIds": [
                {"idType": "SHA256_EMAIL", "idValue": hashlib.sha256(b"ana@x.example").hexdigest()},
                {"idType": "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "idValue": "abc"},
            ],
            "userInfo": {
                "firstName": "Ana",
                "lastName": "Ruiz",
                "title": "Chief",
                "companyName": "X",
                "countryCode": "DE",
            },
            "lead": "urn:li:leadGenFormResponse:249592fc-6",
            "externalIds": ["c-1"],
        },
    }
    assert "ana@x.example" not in linkedin.log[-1].body.decode().lower()


def test_user_ids_may_be_none_and_half_a_name_is_left_out(linkedin: LinkedInSandbox, connector: Connector) -> None:
    results = pushed(
        connector,
        outcome(1, email=None, lead="r-1", first_name="Ana"),
        outcome(2, email=None, first_name="Ana", last_name="Ruiz"),
        outcome(3, email=None, first_name="Ana"),
    )
    assert [key for key, result in results.items() if result.error] == ["k3"]
    assert results["k3"].error is not None
    assert results["k3"].error.code == "nobody"
    users = [event["user"] for event in linkedin.all("conversions")]
    assert users == [
        {"userIds": [], "lead": "urn:li:leadGenFormResponse:r-1"},
        {"userIds": [], "userInfo": {"firstName": "Ana", "lastName": "Ruiz"}},
    ]


def test_nothing_is_sent_of_whoever_opted_out(linkedin: LinkedInSandbox, connector: Connector) -> None:
    consents = ("unsubscribed", "complained", "erased", "subscribed", "unknown", "bounced")
    results = pushed(connector, *(outcome(n, consent=consent) for n, consent in enumerate(consents)))
    assert [key for key, result in results.items() if result.error] == ["k0", "k1", "k2"]
    assert {event["eventId"] for event in linkedin.all("conversions")} == {"e3", "e4", "e5"}
    bodies = b"".join(line.body for line in linkedin.log)
    assert hashlib.sha256(b"p0@x.example").hexdigest().encode() not in bodies
    # a mapping that does not say who opted out sends nothing at all
    [result] = connector.push([outcome(9)], ["event", "email"])
    assert result.error is not None
    assert result.error.code == "consent"


def test_what_linkedin_would_refuse_is_refused_here(linkedin: LinkedInSandbox, connector: Connector) -> None:
    now = linkedin.clock.now()
    results = pushed(
        connector,
        outcome(1, at=stamp(now - timedelta(days=91))),
        outcome(2, at=stamp(now + timedelta(days=2))),
        outcome(3, at=stamp(now + timedelta(hours=13))),  # today, somewhere
        outcome(4, at=stamp(now - timedelta(days=89))),
        outcome(5, at="soon"),
        outcome(6, "lost"),
        outcome(7, amount="5"),
        outcome(8, amount="much", currency="EUR"),
        outcome(9, amount="1E+3", currency="eur"),
    )
    codes = {key: result.error.code for key, result in results.items() if result.error}
    assert codes == {
        "k1": "too_old",
        "k2": "future",
        "k5": "required",
        "k6": "no_rule",
        "k7": "invalid",
        "k8": "invalid",
    }
    told = {event["eventId"]: event for event in linkedin.all("conversions")}
    assert told["e3"]["conversionHappenedAt"] == round(now.timestamp() * 1000)
    assert told["e9"]["conversionValue"] == {"currencyCode": "EUR", "amount": "1000"}
    assert sent(linkedin) == [3]
    assert all(isinstance(result.error, RecordRejected | None) for result in results.values())


def test_an_outcome_of_now_is_not_of_the_future_by_a_clock_that_is_ahead(
    linkedin: LinkedInSandbox, clock: ManualClock
) -> None:
    ours = ManualClock(clock.now() + timedelta(seconds=45))
    made = opened(linkedin, ours)
    made.check()
    assert pushed(made, outcome(1, at=stamp(ours.now())))["k1"].error is None
    made.close()
    [told] = linkedin.all("conversions")
    assert told["conversionHappenedAt"] == round(clock.now().timestamp() * 1000)


def test_a_repeat_counts_once_and_outcomes_go_to_their_rules(linkedin: LinkedInSandbox, connector: Connector) -> None:
    operations = [outcome(1), outcome(2, "qualified"), outcome(3)]
    pushed(connector, *operations)
    pushed(connector, *operations)
    rules = {event["eventId"]: event["conversion"].rpartition(":")[2] for event in linkedin.all("conversions")}
    assert rules == {"e1": "103", "e2": "101", "e3": "103"}
    assert sent(linkedin) == [2, 1] * 2


def test_batches_are_bounded(linkedin: LinkedInSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "EVENTS", 4)
    results = pushed(connector, *(outcome(n) for n in range(10)))
    assert all(result.error is None for result in results.values())
    assert sent(linkedin) == [4, 4, 2]


def test_the_largest_batch_goes_in_one_call(linkedin: LinkedInSandbox, connector: Connector) -> None:
    results = pushed(connector, *(outcome(n) for n in range(5001)))
    assert all(result.error is None for result in results.values())
    assert sent(linkedin) == [5000, 1]


def refusing(message: str, bad: set[str], status: int = 400) -> Any:
    """LinkedIn's refusal of the elements whose event ids are `bad`; None where there is none of these."""

    def answer(call: Any) -> Answer:
        ids = [one["eventId"] for one in orjson.loads(call.body)["elements"]]
        wrong = [number for number, id in enumerate(ids) if id in bad]
        assert wrong, "the batch was good"
        lines = message.format(*wrong, wrong=wrong)
        return Answer.of({"status": status, "code": "X", "message": lines}, status)

    return answer


def test_elements_that_a_refusal_names_are_dropped_and_the_rest_is_sent(
    linkedin: LinkedInSandbox, connector: Connector
) -> None:
    words = "Index: {0}, ERROR :: /user/userInfo/lastName :: field is required\n"
    words += "Index: {0}, ERROR :: /conversionValue/amount :: secret cannot be coerced\n"
    words += "Index: {1}, ERROR :: /user/userIds/0/idType :: secret is not a valid enum"
    linkedin.inject(FaultKind.ANSWER, EVENTS, answer=refusing(words, {"e3", "e7"}, 422))
    times = "Conversion time should be within 90 days and not exceed current time, indices {wrong} (0-indexed)."
    linkedin.inject(FaultKind.ANSWER, EVENTS, answer=refusing(times, {"e0", "e9"}))
    results = pushed(connector, *(outcome(n) for n in range(10)))
    errors = {key: result.error for key, result in results.items() if result.error}
    assert {key: (error.code, error.field) for key, error in errors.items()} == {
        "k3": ("invalid", "user.userInfo.lastName"),
        "k7": ("invalid", "user.userIds.0.idType"),
        "k0": ("too_old", ""),
        "k9": ("too_old", ""),
    }
    assert all("secret" not in str(error) for error in errors.values())
    assert "field is required" in str(errors["k3"])
    assert {event["eventId"] for event in linkedin.all("conversions")} == {f"e{n}" for n in (1, 2, 4, 5, 6, 8)}
    assert sent(linkedin) == [6]  # the two that were refused never reached the sandbox's own log


def test_the_sandbox_refuses_in_the_words_that_are_parsed(linkedin: LinkedInSandbox) -> None:
    good = {
        "conversion": "urn:lla:llaPartnerConversion:103",
        "conversionHappenedAt": 1795168800000,
        "user": {"userIds": []},
    }
    old = {**good, "conversionHappenedAt": 1}
    number = {**good, "conversionValue": {"currencyCode": "EUR", "amount": 5}}
    bare = {"conversion": good["conversion"], "conversionHappenedAt": 1795168800000, "user": {}}
    answer = linkedin.events.take([good, number, bare, {**good, "user": {"userIds": [], "userInfo": {}}}], batch=True)
    refused = classify(answer.status, {}, orjson.loads(answer.body), "v")
    assert isinstance(refused, BatchRejected)
    assert {n: error.field for n, error in refused.refused.items()} == {
        1: "conversionValue.amount",
        2: "user.userIds",
        3: "user.userInfo.firstName",
    }
    answer = linkedin.events.take([good, old, old], batch=True)
    refused = classify(answer.status, {}, orjson.loads(answer.body), "v")
    assert isinstance(refused, BatchRejected)
    assert set(refused.refused) == {1, 2}
    linkedin.rule("104", "tag", "INSIGHT_TAG_URL_MATCH_RULES")
    tag = {**good, "conversion": "urn:lla:llaPartnerConversion:104"}
    answer = linkedin.events.take([good, tag], batch=True)
    refused = classify(answer.status, {}, orjson.loads(answer.body), "v")
    assert isinstance(refused, BatchRejected)
    assert [error.code for error in refused.refused.values()] == ["method"]
    assert linkedin.events.take([good], batch=False) == Answer(201)
    assert linkedin.events.take([good] * 5001, batch=True).status == 400
    assert linkedin.all("conversions") == [good]


def test_a_refusal_that_names_nobody_is_narrowed_down(linkedin: LinkedInSandbox, connector: Connector) -> None:
    def answer(call: Any) -> Answer:
        ids = [one["eventId"] for one in orjson.loads(call.body)["elements"]]
        if "e5" in ids:
            return Answer.of({"status": 400, "code": "ODD", "message": "something is wrong"}, 400)
        return linkedin.answer(call)

    linkedin.inject(FaultKind.ANSWER, EVENTS, times=99, answer=answer)
    results = pushed(connector, *(outcome(n) for n in range(8)))
    assert [key for key, result in results.items() if result.error] == ["k5"]
    assert len(linkedin.all("conversions")) == 7


def test_an_answer_of_some_success_is_narrowed_down_and_never_read_by_position(
    linkedin: LinkedInSandbox, connector: Connector
) -> None:
    linkedin.events.partly = [3]  # the third element that comes, once
    results = pushed(connector, *(outcome(n) for n in range(8)))
    assert all(result.error is None for result in results.values())
    assert len(linkedin.all("conversions")) == 8
    short = Answer.of({"elements": [{"status": 201}]})
    linkedin.inject(FaultKind.ANSWER, EVENTS, answer=short)
    assert pushed(connector, outcome(20), outcome(21))["k21"].error is None
    linkedin.inject(FaultKind.ANSWER, EVENTS, times=1, answer=Answer.of({"elements": []}))
    assert isinstance(pushed(connector, outcome(22))["k22"].error, InDoubt)
    linkedin.inject(FaultKind.ANSWER, EVENTS, times=1, answer=Answer.of({"elements": [{"status": 422}]}))
    assert isinstance(pushed(connector, outcome(23))["k23"].error, RecordRejected)


@pytest.mark.parametrize("status", [503, 401, 429, 403])
def test_what_was_part_of_some_success_is_in_doubt_where_it_cannot_be_sent_again(
    linkedin: LinkedInSandbox, connector: Connector, status: int
) -> None:
    """LinkedIn has taken some of them, and nobody knows which."""
    linkedin.events.partly = [3]
    linkedin.inject(FaultKind.ANSWER, EVENTS, skip=2, times=99, answer=Answer.of({"message": "x"}, status))
    results = pushed(connector, *(outcome(n) for n in range(8)))
    assert len(linkedin.all("conversions")) == 8
    assert [type(results[f"k{n}"].error) for n in range(8)] == [type(None)] * 4 + [InDoubt] * 4


def test_a_lost_answer_is_asked_again_and_in_doubt_where_it_stays_lost(
    linkedin: LinkedInSandbox, connector: Connector
) -> None:
    linkedin.inject(FaultKind.LOST_ANSWER, EVENTS)
    assert pushed(connector, outcome(1))["k1"].error is None
    linkedin.inject(FaultKind.LOST_ANSWER, EVENTS, times=6)
    assert isinstance(pushed(connector, outcome(2))["k2"].error, InDoubt)
    linkedin.inject(FaultKind.ANSWER, EVENTS, times=6, answer=Answer(503))
    assert isinstance(pushed(connector, outcome(3))["k3"].error, InDoubt)
    assert pushed(connector, outcome(2))["k2"].error is None
    assert [event["eventId"] for event in linkedin.all("conversions")] == ["e1", "e2"]


def test_a_rule_that_is_not_there_stops_its_own_outcomes_only(linkedin: LinkedInSandbox, connector: Connector) -> None:
    del linkedin.events.rules["101"]
    results = pushed(connector, outcome(1, "qualified"), outcome(2), outcome(3, "qualified"))
    assert [type(results[key].error) for key in ("k1", "k3")] == [PermissionMissing] * 2
    assert "conversion_rules" in str(results["k1"].error)
    assert results["k2"].error is None
    with pytest.raises(Misconfigured, match="qualified is in none"):
        connector.check()


def test_check_knows_rules_of_another_method_and_rules_switched_off(
    linkedin: LinkedInSandbox, connector: Connector
) -> None:
    linkedin.rule("101", "qualified", "INSIGHT_TAG_JAVASCRIPT_EVENT")
    with pytest.raises(Misconfigured, match="another method"):
        connector.check()
    linkedin.rule("101", "qualified", enabled=False)
    with pytest.raises(Misconfigured, match="switched off"):
        connector.check()


def test_quota_and_credentials_stop_all_the_rest(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.daily["conversionEvents"] = 0
    results = pushed(connector, outcome(1), outcome(2, "qualified"))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    linkedin.daily.clear()
    linkedin.clock.advance(86_400)  # type: ignore[attr-defined]
    linkedin.login.revoked.append(linkedin.login.first)
    before = connector.calls
    results = pushed(connector, outcome(1), outcome(2, "qualified"))
    assert all(isinstance(result.error, AuthorizationLost) for result in results.values())
    assert connector.calls - before == 1
    assert linkedin.all("conversions") == []


def test_rules_are_ids_or_urns() -> None:
    assert rules_of("qualified=1, won = urn:lla:llaPartnerConversion:2,,x") == {
        "qualified": "urn:lla:llaPartnerConversion:1",
        "won": "urn:lla:llaPartnerConversion:2",
    }
    assert rules_of(None) == {}
