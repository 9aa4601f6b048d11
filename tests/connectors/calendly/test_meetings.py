"""What the Calendly connector tells of people and their meetings, over its sandbox, over real sockets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from config.clock import ManualClock
from config.errors import (
    Misconfigured,
)
from connectors.api import Connector, Gone
from connectors.calendly import client as wire
from connectors.calendly.objects import names, question_name
from connectors.calendly.sandbox import CalendlySandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.calendly.kit import ahead, asked, raw, told
from tests.connectors.surroundings import pulled

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
