"""The Calendly connector over its sandbox, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    AuthorizationLost,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Connector, Gone, Operation, Record, Request, Result, Verb
from connectors.calendly import client as wire
from connectors.calendly import pull as pulling
from connectors.calendly.objects import names, question_name
from connectors.calendly.sandbox import HOOK_SECRET, CalendlySandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.surroundings import connect, pulled

SECRETS = ("access_token", "client_secret", "refresh_token", "webhook_secret")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def calendly(clock: ManualClock) -> Iterator[CalendlySandbox]:
    with CalendlySandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, CalendlySandbox)
        yield sandbox


@pytest.fixture
def connector(calendly: CalendlySandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(calendly, clock)
    yield made
    made.close()


def opened(calendly: CalendlySandbox, clock: ManualClock, **settings: Any) -> Connector:
    told = calendly.account()["auth"]
    auth = {name: Secret(value) if name in SECRETS else value for name, value in told.items()}
    return connect(calendly, clock, auth=auth, **settings)


def ahead(clock: ManualClock, **more: float) -> str:
    return stamp(clock.now() + timedelta(**more))


def raw(record: Record) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(record.raw)
    return told


def told(connector: Connector, object: str, cursor: str | None) -> tuple[dict[str, dict[str, Any]], str]:
    """What a pull tells, by id as the engine takes it (the last of each), and the cursor after it."""
    records, cursor = pulled(connector, object, cursor, [])
    return {record.id: raw(record) for record in records}, cursor


def asked(calendly: CalendlySandbox, path: str) -> list[Any]:
    return [line for line in calendly.log if line.path.endswith(path)]


# people and meetings


def test_a_booking_is_a_person_and_a_meeting(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    answers = [
        {"question": "Company name?", "answer": "Acme", "position": 0},
        {"question": "Your number", "answer": "+34 600 000 000", "position": 1},
        {"question": "Company name?", "answer": "again", "position": 2},
    ]
    tracking = {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "spring"}
    start = ahead(clock, days=3)
    id = calendly.book("Ana@X.io", start, name="Ana Maria Ruiz", questions_and_answers=answers, tracking=tracking)
    person = told(connector, "invitees", None)[0][id]
    assert (person["email"], person["given_name"], person["family_name"]) == ("Ana@X.io", "Ana Maria", "Ruiz")
    assert person["phone"] == "+34 600 000 000"
    assert person["answers"] == {"company_name": "Acme", "your_number": "+34 600 000 000", "company_name_2": "again"}
    assert person["tracking"]["utm_campaign"] == "spring"
    assert person["host"] == calendly.user
    meeting = told(connector, "meetings", None)[0][id]
    assert (meeting["state"], meeting["title"], meeting["moves"]) == ("booked", "Demo", 0)
    assert wire.uuid(meeting["event_type"]) == calendly.event_type
    assert datetime.fromisoformat(meeting["starts_at"]) == datetime.fromisoformat(start)
    assert (meeting["invitee"], meeting["email"]) == (id, "Ana@X.io")
    assert meeting["detail"] == "with Rita Ortega; came by newsletter / email / spring"


@pytest.mark.parametrize(
    ("told", "made"),
    [
        ({"name": "Ana Ruiz", "first_name": None, "last_name": None}, ("Ana", "Ruiz")),
        ({"name": None, "first_name": "Ana Maria", "last_name": "Ruiz Gil"}, ("Ana Maria", "Ruiz Gil")),
        ({"name": "Ana", "first_name": None, "last_name": None}, (None, "Ana")),
        ({"name": None}, (None, None)),
    ],
)
def test_a_name_is_told_as_one_or_as_two(told: dict[str, Any], made: tuple[Any, Any]) -> None:
    assert names(told) == made


def test_questions_make_plain_names() -> None:
    assert question_name("What's your  Budget (€)?") == "what_s_your_budget"
    assert question_name("???") == "question"
    assert question_name("Größe") == "grösse"


def test_the_number_to_be_called_at_goes_before_an_answer(calendly: CalendlySandbox, connector: Connector) -> None:
    calendly.book("a@x.io", location={"type": "outbound_call", "location": "+49 30 1"})
    calendly.book("b@x.io", location={"type": "inbound_call", "location": "+49 30 2"})
    calendly.book("c@x.io", text_reminder_number="+49 170 3")
    people = told(connector, "invitees", None)[0].values()
    assert {row["email"]: row["phone"] for row in people} == {"a@x.io": "+49 30 1", "b@x.io": None, "c@x.io": None}
    assert not asked(calendly, "/event_types")  # nobody answered a question


def test_a_moved_meeting_is_one_meeting_with_its_latest_time(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    first = calendly.book("ana@x.io", ahead(clock, days=3), tracking={"utm_source": "ads"})
    _, cursor = told(connector, "meetings", None)
    clock.advance(3600)
    second = calendly.move(first, ahead(clock, days=5))
    clock.advance(3600)
    found, cursor = told(connector, "meetings", cursor)
    assert set(found) == {first}
    assert (found[first]["state"], found[first]["moves"], found[first]["invitee"]) == ("booked", 1, second)
    third = calendly.move(second, ahead(clock, days=9))
    at = calendly.get("meetings", third.partition(":")[0])["start_time"]
    clock.advance(3600)
    found, cursor = told(connector, "meetings", cursor)
    assert set(found) == {first}
    assert (found[first]["starts_at"], found[first]["moves"]) == (at, 2)
    assert found[first]["tracking"]["utm_source"] == "ads"  # a move does not carry the link along
    calendly.cancel(third, reason="found another")
    clock.advance(3600)
    found, _ = told(connector, "meetings", cursor)
    assert set(found) == {first}
    assert (found[first]["state"], found[first]["title"]) == ("cancelled", "cancelled: Demo")
    assert found[first]["detail"] == (
        "with Rita Ortega; moved 2 times; cancelled by the invitee: found another; came by ads"
    )
    people, _ = told(connector, "invitees", None)
    assert set(people) == {first, second, third}  # three bookings of one address


def test_a_meeting_that_is_moved_out_of_sight_is_followed_there(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    first = calendly.book("ana@x.io", ahead(clock, days=3))
    _, cursor = told(connector, "meetings", None)
    clock.advance(3600)
    calendly.move(first, ahead(clock, days=300))
    found, _ = told(connector, "meetings", cursor)
    assert (found[first]["state"], found[first]["moves"]) == ("booked", 1)


def test_of_an_erased_first_booking_the_meeting_keeps_its_id(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    first = calendly.book("ana@x.io", ahead(clock, days=3))
    second = calendly.move(first, ahead(clock, days=5))
    del calendly.store.rows["invitees"][first.partition(":")[2]]
    found, _ = told(connector, "meetings", None)
    assert {id: row["invitee"] for id, row in found.items()} == {first: second}


def test_a_seat_given_back_leaves_the_others_theirs(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    one = calendly.book("a@x.io", ahead(clock, days=1), seats=5)
    event = one.partition(":")[0]
    other = calendly.book("b@x.io", event=event)
    _, cursor = told(connector, "meetings", None)
    clock.advance(3600)
    calendly.cancel(one)
    found, _ = told(connector, "meetings", cursor)
    assert {id: row["state"] for id, row in found.items()} == {one: "cancelled", other: "booked"}


def test_who_did_not_come_is_seen_within_a_day_and_taken_back(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    id = calendly.book("ana@x.io", ahead(clock, hours=1))
    clock.advance(600)
    _, cursor = told(connector, "meetings", None)
    clock.advance(4 * 3600)
    calendly.miss(id)  # which the event does not tell
    found, cursor = told(connector, "meetings", cursor)
    assert found == {}
    clock.advance(20 * 3600)
    found, cursor = told(connector, "meetings", cursor)
    assert (found[id]["state"], found[id]["title"]) == ("no_show", "did not come: Demo")
    clock.advance(3600)
    assert told(connector, "meetings", cursor)[0] == {}
    calendly.miss(id, missed=False)
    clock.advance(24 * 3600)
    assert told(connector, "meetings", cursor)[0][id]["state"] == "booked"


def test_a_seat_that_its_event_does_not_tell_of_is_seen_within_a_day(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    calendly.store.group_bumps = False
    one = calendly.book("a@x.io", ahead(clock, days=9), seats=5)
    clock.advance(600)
    cursors = [told(connector, object, None)[1] for object in ("invitees", "meetings")]
    clock.advance(3600)
    other = calendly.book("b@x.io", event=one.partition(":")[0])
    clock.advance(3600)
    assert [told(connector, o, c)[0] for o, c in zip(("invitees", "meetings"), cursors, strict=True)] == [{}, {}]
    clock.advance(24 * 3600)
    for object, cursor in zip(("invitees", "meetings"), cursors, strict=True):
        assert other in told(connector, object, cursor)[0]


def test_event_types_and_members_are_told(calendly: CalendlySandbox, connector: Connector) -> None:
    calendly.put("event_types", {"name": "Old", "active": False})
    calendly.edit("event_types", calendly.put("event_types", {"name": "Gone"}), {"deleted_at": "2026-11-01T00:00:00Z"})
    records, _ = pulled(connector, "event_types", None, [])
    assert {raw(r).get("name"): (raw(r).get("status"), r.gone) for r in records} == {
        "Demo": ("active", None),
        "Old": ("off", None),
        None: (None, Gone.DELETED),
    }
    bob = calendly.put("users", {"name": "Bob"})
    people, _ = told(connector, "users", None)
    assert {id: row["email"] for id, row in people.items()} == {
        calendly.user: "rita.ortega@example.com",
        bob: "bob@example.com",
    }


# sweeps


def test_an_incremental_pull_asks_only_for_what_changed_and_overlaps(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [calendly.book(f"p{n}@x.io", ahead(clock, days=n)) for n in range(1, 6)]
    clock.advance(3600)
    found, cursor = told(connector, "invitees", None)
    assert set(found) == set(ids)
    clock.advance(3600)
    before = connector.calls
    found, cursor = told(connector, "invitees", cursor)
    assert found == {}
    assert connector.calls - before == 1
    calendly.cancel(ids[3])
    clock.advance(60)
    found, cursor = told(connector, "invitees", cursor)
    assert {id: row["status"] for id, row in found.items()} == {ids[3]: "canceled"}
    clock.advance(60)
    assert set(told(connector, "invitees", cursor)[0]) == {ids[3]}  # the overlap


def test_bookings_far_ahead_and_late_changes_are_seen_within_a_week(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    old = calendly.book("old@x.io", ahead(clock, days=-90))
    found, cursor = told(connector, "invitees", None)
    assert set(found) == {old}
    clock.advance(3600)
    far = calendly.book("far@x.io", ahead(clock, days=400))
    calendly.edit("invitees", old, {"name": "Changed"})
    calendly.edit("meetings", old.partition(":")[0], {})
    for _ in range(6):
        clock.advance(24 * 3600)
        found, cursor = told(connector, "invitees", cursor)
        assert found == {}
    clock.advance(24 * 3600)
    found, cursor = told(connector, "invitees", cursor)
    assert set(found) == {old, far}
    clock.advance(24 * 3600)
    assert told(connector, "invitees", cursor)[0] == {}


def test_horizons_are_settings(calendly: CalendlySandbox, clock: ManualClock) -> None:
    connector = opened(calendly, clock, past_days=2, future_days=3, wide_every=10**9)
    _, cursor = told(connector, "invitees", None)
    clock.advance(3600)
    days = {n: calendly.book(f"p{n}@x.io", ahead(clock, days=n)) for n in (-3, -1, 2, 4)}
    found, _ = told(connector, "invitees", cursor)
    assert set(found) == {days[-1], days[2]}
    connector.close()


def test_the_first_pull_may_begin_at_a_day(calendly: CalendlySandbox, connector: Connector, clock: ManualClock) -> None:
    calendly.book("old@x.io", ahead(clock, days=-1))
    clock.advance(3600)
    since = stamp(clock.now())
    clock.advance(3600)
    new = calendly.book("new@x.io", ahead(clock, days=600))
    records, _ = pulled(connector, "invitees", None, [], since=since)
    assert {record.id for record in records} == {new}


def small(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(wire, "PAGE", size)
    monkeypatch.setattr(pulling, "FIRST", size)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("object", ["invitees", "meetings"])
def test_a_pull_goes_on_from_every_cursor(
    calendly: CalendlySandbox,
    connector: Connector,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    object: str,
    *,
    plain: bool,
) -> None:
    small(monkeypatch, 3)
    calendly.plain_pages = plain
    ids = [calendly.book(f"p{n}@x.io", ahead(clock, hours=n)) for n in range(10)]
    for start in (None, "later"):
        first: str | None = None
        if start:
            _, first = told(connector, object, None)
            clock.advance(3600)
            for id in ids:
                calendly.edit("meetings", id.partition(":")[0], {})
        cursors, whole = [first], []
        for page in connector.pull(object, first, []):
            whole.append([record.id for record in page.records])
            cursors.append(page.cursor)
            assert page.more == (len(whole) < 4)
        assert list(chain(*whole)) == ids
        for number, cursor in enumerate(cursors[1:-1], 1):
            records, last = pulled(connector, object, cursor, [])
            assert [record.id for record in records] == list(chain(*whole[number:]))
            assert last == cursors[-1]


def test_a_page_token_that_has_grown_old_is_walked_around(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, 3)
    ids = {calendly.book(f"p{n}@x.io", ahead(clock, hours=n)) for n in range(10)}
    pages = connector.pull("invitees", None, [])
    first = next(pages)
    calendly.forget_pages()
    later, _ = told(connector, "invitees", first.cursor)
    assert {record.id for record in first.records} | set(later) == ids
    pages = connector.pull("invitees", None, [])
    found = {record.id for record in next(pages).records}
    calendly.forget_pages()
    assert found | {record.id for page in pages for record in page.records} == ids


def test_a_sweep_that_cannot_go_on_says_so(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every token is refused, and more events start at one instant than a page holds: an error, no endless round."""
    small(monkeypatch, 2)
    for n in range(6):
        calendly.book(f"p{n}@x.io", ahead(clock, hours=1))
    refusal = Answer.of({"title": "Invalid Argument", "details": [{"parameter": "page_token", "message": ""}]}, 400)

    def refuse(call: Call) -> Answer:
        return refusal if "page_token" in call.query else calendly.answer(call)

    calendly.inject(FaultKind.ANSWER, "GET /scheduled_events$", times=99, answer=refuse)
    with pytest.raises(RecordRejected) as refused:
        told(connector, "invitees", None)
    assert refused.value.code == wire.BAD_PAGE


def test_what_changes_during_a_sweep_is_seen_by_the_next(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, 2)
    ids = [calendly.book(f"p{n}@x.io", ahead(clock, hours=n)) for n in range(5)]
    clock.advance(3600)
    cursor = ""
    for number, page in enumerate(connector.pull("meetings", None, [])):
        cursor = page.cursor
        clock.advance(600)
        if number == 1:
            calendly.cancel(ids[0])
    assert told(connector, "meetings", cursor)[0][ids[0]]["state"] == "cancelled"


def test_meetings_ask_for_nothing_that_invitees_asked_for(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    for n in range(4):
        calendly.book(f"p{n}@x.io", ahead(clock, days=n))
    told(connector, "invitees", None)
    before = connector.calls
    assert len(told(connector, "meetings", None)[0]) == 4
    assert connector.calls - before == 1


def test_what_is_kept_of_a_first_pull_is_bounded_and_lives_through_a_pause(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, 2)
    monkeypatch.setattr("connectors.calendly.objects.KEPT", 3)
    for n in range(5):
        calendly.book(f"p{n}@x.io", ahead(clock, days=n))
    first = next(connector.pull("invitees", None, []))
    pulled(connector, "invitees", first.cursor, [])
    before = len([line for line in calendly.log if line.path.endswith("/invitees")])
    assert len(told(connector, "meetings", None)[0]) == 5
    assert len([line for line in calendly.log if line.path.endswith("/invitees")]) - before == 2


def test_a_check_asks_anew_who_the_user_is(calendly: CalendlySandbox, connector: Connector) -> None:
    connector.check()
    calendly.edit("users", calendly.user, {"email": "rita@other.example"})
    assert connector.check().account_name == "other.example"


# reading


def test_reading_by_id_and_by_address(calendly: CalendlySandbox, connector: Connector, clock: ManualClock) -> None:
    first = calendly.book("ana@x.io", ahead(clock, days=1))
    second = calendly.move(first, ahead(clock, days=2))
    gone = "0" * 8
    assert set(connector.read("invitees", "id", [first, second, f"{gone}:{gone}", "../x", ""], [])) == {first, second}
    meetings = connector.read("meetings", "id", [second], [])
    assert (meetings[second].id, raw(meetings[second])["invitee"]) == (first, second)
    assert meetings[second].revised
    clock.advance(60)
    last = calendly.book("ana@x.io", ahead(clock, days=4))
    assert {email: r.id for email, r in connector.read("invitees", "email", ["ana@x.io", "no@x.io"], []).items()} == {
        "ana@x.io": last
    }
    assert set(connector.read("event_types", "id", [calendly.event_type, gone], [])) == {calendly.event_type}
    assert set(connector.read("users", "id", [calendly.user, "a/b"], [])) == {calendly.user}
    with pytest.raises(Misconfigured, match="by name"):
        connector.read("invitees", "name", ["Ana"], [])


def test_an_event_that_is_erased_while_it_is_read_is_nobody_s(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [calendly.book(f"p{n}@x.io", ahead(clock, days=n)) for n in range(3)]
    missing = Answer.of({"title": "Resource Not Found", "message": ""}, 404)
    calendly.inject(FaultKind.ANSWER, f"{ids[1].partition(':')[0]}/invitees", answer=missing)
    assert set(told(connector, "invitees", None)[0]) == {ids[0], ids[2]}


# erasing


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


# log-in, limits, refusals


def test_refresh_tokens_work_once_and_a_401_in_the_middle_is_healed(
    calendly: CalendlySandbox, clock: ManualClock
) -> None:
    calendly.oauth = True
    connector = opened(calendly, clock)
    assert connector.check().missing_scopes == ()
    used = calendly.login.first
    assert calendly.login.refresh != [used]
    clock.advance(3 * 3600)
    told(connector, "users", None)
    assert len(asked(calendly, "/oauth/token")) == 2
    calendly.login.access.clear()
    told(connector, "users", None)
    assert len(asked(calendly, "/oauth/token")) == 3
    calendly.login.access.clear()
    calendly.login.refresh.clear()
    with pytest.raises(AuthorizationLost, match="connect the account again"):
        told(connector, "users", None)
    connector.close()


def test_a_log_in_that_did_not_arrive_is_asked_again_and_a_lost_pair_is_lost(
    calendly: CalendlySandbox, clock: ManualClock
) -> None:
    """The refresh token is dead once Calendly used it: only a person can connect again."""
    calendly.oauth = True
    calendly.inject(FaultKind.NO_ANSWER, "POST /oauth/token")
    connector = opened(calendly, clock)
    assert connector.check().account_id
    clock.advance(3 * 3600)
    calendly.inject(FaultKind.LOST_ANSWER, "POST /oauth/token")
    with pytest.raises(AuthorizationLost, match="connect the account again"):
        told(connector, "users", None)
    connector.close()


def test_a_personal_token_that_is_revoked_says_so(calendly: CalendlySandbox, clock: ManualClock) -> None:
    auth = {"mode": "token", "access_token": Secret("revoked")}
    connector = connect(calendly, clock, auth=auth)
    with pytest.raises(AuthorizationLost, match="new token"):
        connector.check()
    assert connector.calls == 1
    connector.close()


def test_what_is_missing_in_auth_is_named(calendly: CalendlySandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.access_token\."):
        connect(calendly, clock, auth={"mode": "token"})
    with pytest.raises(Misconfigured, match=r"auth\.client_secret, auth\.refresh_token"):
        connect(calendly, clock, auth={"mode": "oauth", "client_id": "x"})
    with pytest.raises(Misconfigured, match="whose"):
        opened(calendly, clock, whose="nobody")


def test_the_minute_s_limit_is_waited_for(calendly: CalendlySandbox, connector: Connector, clock: ManualClock) -> None:
    """The reset tells the seconds that are left."""
    calendly.per_minute = 3
    clock.advance(20)
    began = clock.now()
    for _ in range(4):
        told(connector, "users", None)
    assert 40 <= (clock.now() - began).total_seconds() < 60
    assert calendly.log[-1].status == 200


def test_missing_scopes_are_named(calendly: CalendlySandbox, connector: Connector, clock: ManualClock) -> None:
    calendly.login.scopes = "users:read organizations:read event_types:read"
    health = connector.check()
    assert health.missing_scopes == ("scheduled_events:read",)
    assert "owner or admin" in health.notes[0]
    with pytest.raises(PermissionMissing, match="scope"):
        told(connector, "invitees", None)
    calendly.oauth = True
    calendly.login.scopes = "users:read scheduled_events:write event_types:read"
    other = opened(calendly, clock)
    before = other.calls
    assert other.check().missing_scopes == ("organizations:read",)
    assert other.calls - before == 2  # the grant tells: nothing is tried
    other.close()
    calendly.login.scopes = "default"  # a token of the time before scopes
    assert connector.check().missing_scopes == ()


def test_a_plain_user_sees_their_own_meetings(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    bob = calendly.put("users", {"name": "Bob"})
    mine, _ = calendly.book("a@x.io"), calendly.book("b@x.io", host=bob)
    calendly.role = "user"
    assert set(connector.check().missing_scopes) == {
        "organizations:read", "event_types:read", "scheduled_events:read",
    }  # fmt: skip
    with pytest.raises(PermissionMissing, match="owner or admin"):
        told(connector, "invitees", None)
    own = opened(calendly, clock, whose="user")
    health = own.check()
    assert (health.account_id, health.missing_scopes) == (calendly.user, ())
    assert set(told(own, "invitees", None)[0]) == {mine}
    assert set(told(own, "users", None)[0]) == {calendly.user}
    own.close()


def test_check_tells_the_organization_and_the_minute(calendly: CalendlySandbox, connector: Connector) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name) == (calendly.store.organization, "example.com")
    assert [(quota.used, quota.limit, quota.window) for quota in health.quotas] == [(4, 500, "minute")]


def test_broken_answers_are_asked_again(calendly: CalendlySandbox, connector: Connector) -> None:
    calendly.book("a@x.io")
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        calendly.inject(kind, "GET /scheduled_events")
    calendly.inject(FaultKind.ANSWER, "GET /scheduled_events", answer=Answer(502, b"<html>"))
    assert len(told(connector, "invitees", None)[0]) == 1
    calendly.inject(FaultKind.ANSWER, "GET /users/me", answer=Answer.of({"resource": []}))
    calendly.inject(FaultKind.ANSWER, "GET /event_types", answer=Answer.of({"collection": {}}))
    for object in ("event_types",):
        with pytest.raises(RetryLater, match="unknown shape"):
            told(connector, object, None)


def test_refusals_repeat_no_value() -> None:
    error = wire.classify(400, {}, {"details": [{"parameter": "ana@x.io is bad", "message": "ana@x.io"}]})
    assert isinstance(error, RecordRejected)
    assert "ana" not in str(error)
    plan = wire.classify(403, {}, {"message": "Please upgrade your Calendly account to Professional."})
    assert (plan.code, str(plan)) == ("plan", "Calendly's plan does not include this. Upgrade the plan.")
    assert "contacts:read" in str(wire.classify(403, {}, {"message": "Requires contacts:read for ana@x.io"}))
    assert wire.classify(409, {}, None).code == "already_exists"
    assert isinstance(wire.classify(424, {}, {}), RetryLater)
    late = wire.classify(429, {"x-ratelimit-reset": "1893456000"}, {})
    assert isinstance(late, RetryLater)
    assert late.after == 60.0


def test_describe_tells_live_fields(calendly: CalendlySandbox, connector: Connector) -> None:
    schema = connector.describe("invitees")
    assert (schema.fields["email"].type, schema.fields["tracking.utm_source"].type) == ("email", "text")
    assert schema.fields["answers.company_name"].label == "Company name?"
    assert schema.open_ended == ("answers.",)
    assert connector.describe("meetings").fields["state"].options == ("booked", "cancelled", "no_show")
    assert not any(f.writable for object in ("users", "meetings") for f in connector.describe(object).fields.values())
    with pytest.raises(Misconfigured, match="has no object"):
        connector.describe("contacts")


@pytest.mark.parametrize("object", ["users", "event_types", "invitees", "meetings"])
def test_what_is_told_is_described_and_what_is_described_is_told(
    calendly: CalendlySandbox, connector: Connector, object: str
) -> None:
    calendly.cancel(calendly.book("a@x.io"))
    members = set(next(iter(told(connector, object, None)[0].values())))
    described = {name for name in connector.describe(object).fields if "." not in name}
    untold = {
        "cancel_url", "reschedule_url", "reconfirmation", "invitee_scheduled_by", "booking_method", "profile",
        "kind_description", "description_html", "custom_questions", "duration_options", "locations", "position",
    }  # fmt: skip
    assert members - untold <= described
    assert described - members <= {"uri"}


# webhooks


def test_webhooks_are_believed_by_their_signature_for_three_minutes(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock
) -> None:
    calendly.hook()
    first = calendly.book("ana@x.io", ahead(clock, days=1))
    second = calendly.move(first, ahead(clock, days=2))
    calendly.miss(second)
    calendly.edit("event_types", calendly.event_type, {"name": "Call"})
    got: list[tuple[str, str]] = []

    def receive(headers: Any, body: bytes) -> int:
        got.extend((n.object, n.id) for n in connector.verify(Request("POST", "https://x/hook", headers, body)))
        return 204

    assert calendly.deliver(receive, backwards=True) == 5
    assert got[0] == ("event_types", calendly.event_type)
    assert [id for object, id in got if object == "meetings"] == [second, first, second, first]
    assert {(n.object, n.id) for n in noticed(connector, clock, "invitee_no_show.created", invitee(first))} == {
        ("invitees", first), ("meetings", first),
    }  # fmt: skip
    assert noticed(connector, clock, "routing_form_submission.created", {"uri": "x"}) == []
    body = b'{"event":"invitee.created","payload":{}}'
    good = header(clock, body)
    assert connector.verify(Request("POST", "u", {"calendly-webhook-signature": good}, body)) == []
    for wrong in ("", good.upper(), good.replace("v1", "v0"), f"{good}0", "t=ä,v1=ö", "t=,v1="):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": wrong}, body))
    with pytest.raises(AuthorizationLost, match="wrong"):
        connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": good}, body + b" "))
    clock.advance(180)
    assert connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": good}, body)) == []
    clock.advance(1)
    with pytest.raises(AuthorizationLost, match="old"):
        connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": good}, body))


def header(clock: ManualClock, body: bytes) -> str:
    at = str(int(clock.now().timestamp()))
    return f"t={at},v1={hmac.new(HOOK_SECRET.encode(), at.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def invitee(id: str) -> dict[str, Any]:
    event, _, mine = id.partition(":")
    return {"invitee": f"https://api.calendly.com/scheduled_events/{event}/invitees/{mine}"}


def noticed(connector: Connector, clock: ManualClock, event: str, payload: dict[str, Any]) -> list[Any]:
    body = orjson.dumps({"event": event, "payload": payload})
    return connector.verify(Request("POST", "u", {"Calendly-Webhook-Signature": header(clock, body)}, body))


def test_webhooks_need_their_secret_and_unsigned_ones_are_refused(
    calendly: CalendlySandbox, clock: ManualClock
) -> None:
    connector = connect(calendly, clock, auth={"access_token": Secret("x")})
    with pytest.raises(AuthorizationLost, match=r"auth\.webhook_secret"):
        connector.verify(Request("POST", "u", {}, b"{}"))
    connector.close()


def test_a_delivery_is_stamped_anew_and_given_up_after_a_day(calendly: CalendlySandbox, clock: ManualClock) -> None:
    hook = calendly.hook("invitee.created")
    calendly.book("ana@x.io")
    stamps: list[str] = []

    def receive(headers: Any, body: bytes) -> int:
        stamps.append(headers["Calendly-Webhook-Signature"])
        return 500

    for _ in range(3):
        assert calendly.deliver(receive) == 1
        clock.advance(12 * 3600)
    assert len(set(stamps)) == 3
    assert calendly.get("hooks", hook)["state"] == "disabled"
    calendly.book("bob@x.io")
    assert calendly.deliver(receive) == 0


# the sandbox itself


def call(calendly: CalendlySandbox, method: str, path: str, body: Any = None, **query: str) -> Any:
    token = {"authorization": f"Bearer {calendly.account()['auth']['access_token']}"}
    answer = calendly.answer(Call(method, path, query, token, orjson.dumps(body) if body is not None else b""))
    return answer.status, orjson.loads(answer.body) if answer.body else None


def test_the_sandbox_has_the_habits_of_calendly(calendly: CalendlySandbox) -> None:
    whose = {"organization": calendly.get("users", calendly.user)["current_organization"]}
    status, body = call(calendly, "GET", "/scheduled_events", **whose, count="101")
    assert (status, body["details"][0]["parameter"]) == (400, "count")
    assert call(calendly, "GET", "/scheduled_events")[0] == 400
    assert call(calendly, "GET", "/scheduled_events", **whose, sort="updated_at:asc")[0] == 400
    for n in range(3):
        calendly.book(f"p{n}@x.io")
    _, body = call(calendly, "GET", "/scheduled_events", **whose, count="2")
    token = body["pagination"]["next_page_token"]
    assert call(calendly, "GET", "/scheduled_events", **whose, count="2", page_token=token)[0] == 200
    assert call(calendly, "GET", "/scheduled_events", **whose, count="1", page_token=token)[0] == 400
    hook = {"url": "https://x.example/", "events": ["invitee.created"], **whose, "scope": "organization"}
    status, body = call(calendly, "POST", "/webhook_subscriptions", hook)
    assert (status, "signing_key" in body["resource"]) == (201, False)
    assert call(calendly, "POST", "/webhook_subscriptions", hook)[0] == 409
    path = body["resource"]["uri"].removeprefix("https://api.calendly.com")
    assert call(calendly, "DELETE", path) == (204, None)
    assert call(calendly, "DELETE", path)[0] == 404
    missed = {"invitee": calendly.all("invitees")[0]["uri"]}
    _, body = call(calendly, "POST", "/invitee_no_shows", missed)
    assert call(calendly, "POST", "/invitee_no_shows", missed)[0] == 409
    assert call(calendly, "DELETE", body["resource"]["uri"].removeprefix("https://api.calendly.com"))[0] == 204
    assert calendly.all("invitees")[0]["no_show"] is None


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> CalendlySandbox:
        sandbox = CalendlySandbox(seed=4, clock=clock)
        sandbox.move(sandbox.put("invitees", {"email": "a@x.io"}), ahead(clock, days=1))
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.book("b@x.io")
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
