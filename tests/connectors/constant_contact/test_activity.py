"""Constant Contact's campaigns, and what people did with them, over its sandbox."""

from __future__ import annotations

from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import Misconfigured, RecordRejected
from connectors.api import Connector, Gone, Page
from connectors.constant_contact import client as wire
from connectors.constant_contact.sandbox import ConstantContactSandbox
from tests.connectors.constant_contact.opened import opened, raws
from tests.connectors.surroundings import pulled

ACTIVITY = ["type", "created_time", "contact_id", "campaign_id", "link_url"]


def test_campaigns_tell_their_figures_and_removed_ones_are_gone(
    cc: ConstantContactSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    people = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(3)]
    sent, draft, removed, last = (cc.put("campaigns", {"name": name}) for name in ("News", "Draft", "Old", "Last"))
    cc.send(sent, people)
    cc.send(last, people[:1])
    for person in (people[0], people[0], people[1]):
        cc.happen(sent, person, "opens")
    cc.happen(sent, people[2], "bounces")
    cc.remove("campaigns", removed)
    pages = list(connector.pull("campaigns", None, ["name", "sends"]))
    assert [len(page.records) for page in pages] == [2, 2]
    records = {record.id: record for page in pages for record in page.records}
    assert records[removed].gone is Gone.DELETED
    told = orjson.loads(records[sent].raw)
    assert [told[name] for name in ("name", "current_status", "sends", "opens", "bounces", "optouts")] == [
        "News", "Done", 3, 2, 1, 0,
    ]  # fmt: skip
    assert orjson.loads(records[draft].raw)["sends"] is None
    assert [r.id for r in pulled(connector, "campaigns", pages[0].cursor, [])[0]] == [removed, last]
    assert connector.read("campaigns", "id", [sent, removed, "no"], []).keys() == {sent}


# what people did


def events(records: list[Any]) -> list[tuple[str, str]]:
    return [(row["type"], row["contact_id"]) for row in raws(records)]


def test_events_come_once_each_and_only_of_campaigns_whose_figures_moved(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    people = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(3)]
    news, quiet, draft = (cc.put("campaigns", {"name": name}) for name in ("News", "Quiet", "Draft"))
    cc.send(news, people)
    cc.send(quiet, people[:1])
    cc.happen(news, people[0], "opens")
    cc.happen(news, people[1], "bounces", bounce_code="F")
    cc.happen(news, people[2], "bounces", bounce_code="V")  # a machine on holiday: the mail arrived
    records, cursor = pulled(connector, "email_activity", None, ACTIVITY)
    sends = [("email_sent", person) for person in people]
    assert sorted(events(records)) == sorted(
        [*sends, ("email_sent", people[0]), ("email_open", people[0]), ("email_bounce", people[1])]
    )
    [bounce] = [row for row in raws(records) if row["type"] == "email_bounce"]
    assert (bounce["detail"], bounce["campaign_name"], bounce["campaign_id"]) == ("mailbox full", "News", news)
    assert not [line for line in cc.log if draft in line.path]

    clock.advance(7200)
    _, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)  # once more, for figures run ahead of events
    clock.advance(7200)
    before = connector.calls
    records, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    assert (records, connector.calls - before) == ([], 2)  # the list of campaigns, and their figures

    cc.happen(news, people[1], "clicks")
    cc.happen(news, people[0], "opens")
    cc.happen(news, people[0], "optouts", opt_out_reason="boring")
    clock.advance(60)
    cc.log.clear()
    records, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    assert sorted(events(records)) == sorted(
        [("email_click", people[1]), ("email_open", people[0]), ("email_unsubscribe", people[0])]
    )
    told = {row["type"]: row for row in raws(records)}
    assert told["email_click"]["link_url"] == "https://shop.example/offer"
    assert told["email_unsubscribe"]["detail"] == "boring"
    read = {line.path.rpartition("/")[2] for line in cc.log if "/tracking/" in line.path}
    assert read == {"opens", "clicks", "optouts"}


def test_figures_that_run_ahead_of_events_lose_none(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    person = cc.put("contacts", {"email": "a@x.io"})
    news = cc.put("campaigns", {"name": "News"})
    cc.send(news, [person])
    _, cursor = pulled(connector, "email_activity", None, ACTIVITY)
    clock.advance(60)
    _, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    clock.advance(60)
    at = clock.now().isoformat()
    cc.happen(news, person, "opens", at)
    held = cc.store.events.pop()
    count = cc.reports._events
    cc.reports._events = lambda row, kind: [*count(row, kind), *([held] if kind == "em_opens" else [])]  # type: ignore[method-assign]
    records, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    assert records == []  # told by the figures only
    cc.reports._events = count  # type: ignore[method-assign]
    cc.store.events.append(held)
    clock.advance(60)
    assert events(pulled(connector, "email_activity", cursor, ACTIVITY)[0]) == [("email_open", person)]


def test_figures_that_lag_bring_their_events_later(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    person = cc.put("contacts", {"email": "a@x.io"})
    news = cc.put("campaigns", {"name": "News"})
    cc.send(news, [person])
    cursor = pulled(connector, "email_activity", None, ACTIVITY)[1]
    for _ in range(2):
        clock.advance(600)
        _, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    cc.reports.lag = 1800
    cc.happen(news, person, "clicks")
    clock.advance(600)
    records, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    assert records == []
    clock.advance(1800)
    assert events(pulled(connector, "email_activity", cursor, ACTIVITY)[0]) == [("email_click", person)]


def test_an_event_that_shows_up_late_is_not_lost(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    """It happened before the last reading of its kind, and was not told then."""
    people = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(2)]
    news = cc.put("campaigns", {"name": "News"})
    cc.send(news, people)
    clock.advance(600)
    cc.happen(news, people[0], "opens")
    happened = stamp(clock.now())
    clock.advance(600)
    cursor = pulled(connector, "email_activity", None, ACTIVITY)[1]
    clock.advance(600)
    _, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    cc.happen(news, people[1], "opens", happened)
    clock.advance(600)
    records, _ = pulled(connector, "email_activity", cursor, ACTIVITY)
    assert ("email_open", people[1]) in events(records)


def test_events_are_resumed_from_every_cursor_and_read_back_only_as_far_as_needed(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    monkeypatch.setattr("connectors.constant_contact.tracking.LOOKED_AT", 1)
    people = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(7)]
    campaigns = [cc.put("campaigns", {"name": f"C{n}"}) for n in range(2)]
    for campaign in campaigns:
        cc.send(campaign, people)
        for person in people:
            cc.happen(campaign, person, "opens")
        clock.advance(60)
    cursors: list[str | None] = [None]
    whole: list[list[str]] = []
    for page in connector.pull("email_activity", None, ACTIVITY):
        whole.append([record.id for record in page.records])
        cursors.append(page.cursor)
    everything = list(chain(*whole))
    assert len(everything) == len(set(everything)) == 28
    for number, cursor in enumerate(cursors[:-1]):
        assert [record.id for record in pulled(connector, "email_activity", cursor, ACTIVITY)[0]] == list(
            chain(*whole[number:])
        )
    cursor = cursors[-1]
    for _ in range(2):
        clock.advance(7200)
        _, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    clock.advance(7200)
    cc.happen(campaigns[0], people[0], "opens")
    cc.log.clear()
    assert len(pulled(connector, "email_activity", cursor, ACTIVITY)[0]) == 1
    assert len([line for line in cc.log if "/tracking/" in line.path]) == 1  # the first page goes back far enough


def test_links_that_have_grown_old_are_walked_around_but_not_for_ever(
    cc: ConstantContactSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    monkeypatch.setattr("connectors.constant_contact.tracking.LOOKED_AT", 1)
    people = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(4)]
    for name in ("One", "Two"):
        cc.send(cc.put("campaigns", {"name": name}), people)
    found: list[Any] = []
    for number, page in enumerate(connector.pull("email_activity", None, ACTIVITY)):
        found += page.records
        if number in (0, 3):
            cc.forget_cursors()
    assert len({record.id for record in found}) == 8

    stored: list[Page] = []

    def ever_older() -> None:
        for page in connector.pull("email_activity", None, ACTIVITY):
            stored.append(page)
            cc.forget_cursors()

    with pytest.raises(RecordRejected):
        ever_older()
    came = [*(record for page in stored for record in page.records)]
    came += pulled(connector, "email_activity", stored[-1].cursor, ACTIVITY)[0]  # the next pull overcomes it
    assert len({record.id for record in came}) == 8


def test_old_campaigns_are_not_looked_at_and_a_resend_is_another_activity(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    person = cc.put("contacts", {"email": "a@x.io"})
    old = cc.put("campaigns", {"name": "Old"})
    cc.send(old, [person])
    _, cursor = pulled(connector, "email_activity", None, ACTIVITY)
    clock.advance(40 * 86_400)
    _, cursor = pulled(connector, "email_activity", cursor, ACTIVITY)
    assert orjson.loads(cursor)["seen"] == {}
    clock.advance(60)
    cc.happen(old, person, "opens")
    assert pulled(connector, "email_activity", cursor, ACTIVITY)[0] == []
    again = cc.put("campaigns", {"name": "Again"})
    row = cc.store.rows["campaigns"][again]
    row["campaign_activities"].append({"campaign_activity_id": cc.store.id(), "role": "resend"})
    cc.send(again, [person])
    cc.log.clear()
    pulled(connector, "email_activity", cursor, ACTIVITY)
    read = {line.path.split("/")[4] for line in cc.log if "/tracking/" in line.path}
    assert read == {
        one["campaign_activity_id"] for one in row["campaign_activities"] if one["role"] in ("primary_email", "resend")
    }


def test_only_the_wanted_kinds_are_read_and_a_removed_campaign_stops_nothing(
    cc: ConstantContactSandbox, clock: ManualClock
) -> None:
    connector = opened(cc, clock, tracking="clicks, optouts")
    person = cc.put("contacts", {"email": "a@x.io"})
    news, gone = (cc.put("campaigns", {"name": name}) for name in ("News", "Gone"))
    for campaign in (news, gone):
        cc.send(campaign, [person])
        cc.happen(campaign, person, "clicks")
    cc.remove("campaigns", gone)  # its figures are a 404, for the others as well
    records, cursor = pulled(connector, "email_activity", None, ACTIVITY)
    assert events(records) == [("email_click", person)]
    clock.advance(60)
    cc.happen(news, person, "clicks")
    pages = connector.pull("email_activity", cursor, ACTIVITY)
    waiting = next(pages).cursor  # it is known what is to be read
    assert orjson.loads(waiting)["jobs"]
    del cc.store.rows["campaigns"][news]
    assert pulled(connector, "email_activity", waiting, ACTIVITY)[0] == []
    connector.close()
    with pytest.raises(Misconfigured, match="tracking"):
        opened(cc, clock, tracking="sends,likes")
