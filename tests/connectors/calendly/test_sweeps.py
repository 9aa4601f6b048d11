"""How the Calendly connector goes through a calendar that moves: from when to when, and from which cursor."""

from __future__ import annotations

from itertools import chain

import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    RecordRejected,
)
from connectors.api import Connector
from connectors.calendly import client as wire
from connectors.calendly import pull as pulling
from connectors.calendly.sandbox import CalendlySandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.calendly.kit import ahead, opened, told
from tests.connectors.surroundings import pulled


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


def test_a_pull_goes_on_where_its_token_grows_old_more_than_once(
    calendly: CalendlySandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all that was seen starts at one instant, from which on the window was asked for anew already."""
    small(monkeypatch, 2)
    ids = {calendly.book(f"p{n}@x.io", ahead(clock, hours=1)) for n in range(6)}
    cursor = next(connector.pull("invitees", None, [])).cursor
    for _ in range(2):
        calendly.forget_pages()
        cursor = next(connector.pull("invitees", cursor, [])).cursor
    calendly.forget_pages()
    assert set(told(connector, "invitees", cursor)[0]) == ids


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
