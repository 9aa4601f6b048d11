"""What the Outreach connector reads over its sandbox, over real sockets: pulls, cursors, sweeps, records by id."""

from __future__ import annotations

from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    Misconfigured,
    RecordRejected,
)
from connectors.api import Connector, Gone
from connectors.outreach import client as wire
from connectors.outreach import pull as pulling
from connectors.outreach.sandbox import OutreachSandbox
from tests.connectors.outreach.kit import FIELDS, call_of, opened, raws
from tests.connectors.surroundings import pulled

# pull


def test_a_record_tells_what_was_asked_for_and_no_more(outreach: OutreachSandbox, connector: Connector) -> None:
    values = {"emails": ["Ana@X.io", "a@y.io"], "firstName": "Ana", "workPhones": ["1", "2"], "title": "CEO"}
    id = outreach.put("prospects", {**values, "owner": outreach.user, "stage": outreach.stages["Engaged"]})
    records, _ = pulled(connector, "prospects", None, ["id", *FIELDS, "workPhone"])
    assert raws(records) == [
        {
            "id": id,
            "email": "ana@x.io",
            "otherEmails": ["a@y.io"],
            "firstName": "Ana",
            "emailOptedOut": False,
            "owner": outreach.user,
            "stageName": "Engaged",
            "workPhone": "1",
        }
    ]
    assert records[0].version == stamp(outreach.clock.now())


def test_an_incremental_pull_sees_what_changed_and_overlaps(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    first = outreach.put("prospects", {"email": "a@x.io", "firstName": "A"})
    clock.advance(3600)
    outreach.put("prospects", {"email": "b@x.io"})
    clock.advance(60)
    _, cursor = pulled(connector, "prospects", None, FIELDS)
    clock.advance(60)
    records, cursor = pulled(connector, "prospects", cursor, FIELDS)
    assert [row["email"] for row in raws(records)] == ["b@x.io"]  # the overlap
    clock.advance(600)
    _, cursor = pulled(connector, "prospects", cursor, FIELDS)
    outreach.edit("prospects", first, {"firstName": "Ann"})
    records, cursor = pulled(connector, "prospects", cursor, FIELDS)
    assert [row["firstName"] for row in raws(records)] == ["Ann"]
    clock.advance(3600)
    _, cursor = pulled(connector, "prospects", cursor, FIELDS)
    clock.advance(600)
    before = connector.calls
    assert pulled(connector, "prospects", cursor, FIELDS)[0] == []
    assert connector.calls - before == 2  # what changed, and who unsubscribed by a link
    before = connector.calls
    assert pulled(connector, "accounts", pulled(connector, "accounts", None, ["name"])[1], ["name"])[0] == []
    assert connector.calls - before == 2


def test_filters_carry_milliseconds_and_calls_ask_for_mapped_fields_only(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    clock.advance(0.123456)
    _, cursor = pulled(connector, "prospects", None, FIELDS)
    pulled(connector, "prospects", cursor, FIELDS)
    asked = [line.query for line in outreach.log if line.path.endswith("/prospects")]
    assert asked[1]["filter[updatedAt]"] == "2026-11-23T09:55:00.123Z..inf"
    assert set(asked[0]["fields[prospect]"].split(",")) == {
        "updatedAt", "trashedAt", "emails", "firstName", "emailOptedOut", "owner", "stage",
    }  # fmt: skip
    refused = outreach.answer(call_of(outreach, "prospects", {"filter[updatedAt]": "2026-11-23T09:55:00.123456Z..inf"}))
    assert refused.status == 400


@pytest.mark.parametrize("by_offset", [False, True])
def test_a_pull_goes_on_from_every_cursor(
    outreach: OutreachSandbox,
    connector: Connector,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    by_offset: bool,
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    outreach.by_offset = by_offset
    for number in range(10):
        outreach.put("prospects", {"email": f"p{number}@x.io"})
        clock.advance(number % 2)
    cursors: list[str | None] = [None]
    whole: list[list[str]] = []
    for page in connector.pull("prospects", None, FIELDS):
        whole.append([record.id for record in page.records])
        cursors.append(page.cursor)
    assert sorted(chain(*whole)) == sorted(row["id"] for row in outreach.all("prospects"))
    for number, cursor in enumerate(cursors[:-1]):
        records, last = pulled(connector, "prospects", cursor, FIELDS)
        assert [record.id for record in records] == list(chain(*whole[number:]))
        assert orjson.loads(last)["since"] == orjson.loads(cursors[-1] or "")["since"] or cursor is None


def test_an_edit_during_a_walk_is_seen(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    ids = []
    for number in range(5):
        ids.append(outreach.put("prospects", {"email": f"p{number}@x.io", "firstName": "old"}))
        clock.advance(1)
    seen: dict[str, str] = {}
    for page in connector.pull("prospects", None, FIELDS):
        seen |= {record.id: orjson.loads(record.raw)["firstName"] for record in page.records}
        if len(seen) == 2:
            outreach.edit("prospects", ids[0], {"firstName": "new"})
    assert seen == dict.fromkeys(ids, "old") | {ids[0]: "new"}


def test_a_cursor_that_has_grown_old_is_walked_around(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    for number in range(8):
        outreach.put("prospects", {"email": f"p{number}@x.io"})
        clock.advance(1)
    pages = connector.pull("prospects", None, FIELDS)
    first = next(pages)
    outreach.forget_cursors()
    records, _ = pulled(connector, "prospects", first.cursor, FIELDS)
    assert {record.id for record in (*first.records, *records)} == {row["id"] for row in outreach.all("prospects")}
    # and one that grows old in the middle of a walk
    pages = connector.pull("prospects", None, FIELDS)
    found = list(next(pages).records)
    outreach.forget_cursors()
    for page in pages:
        found += page.records
    assert {record.id for record in found} == {row["id"] for row in outreach.all("prospects")}


def test_a_cursor_that_grows_old_twice_in_one_place_is_walked_around(
    outreach: OutreachSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    for number in range(5):
        outreach.put("prospects", {"email": f"p{number}@x.io"})
    cursor = next(connector.pull("prospects", None, FIELDS)).cursor
    for _ in range(3):
        outreach.forget_cursors()
        cursor = next(connector.pull("prospects", cursor, FIELDS)).cursor
    records, _ = pulled(connector, "prospects", cursor, FIELDS)
    outreach.forget_cursors()
    again, _ = pulled(connector, "prospects", cursor, FIELDS)
    assert {record.id for record in again} == {row["id"] for row in outreach.all("prospects")}
    assert {record.id for record in records} < {record.id for record in again}


def test_paging_by_offset_ends_at_ten_thousand_and_the_walk_does_not(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.outreach.sandbox_list.CAP", 6)
    monkeypatch.setattr(wire, "PAGE", 3)
    outreach.by_offset = True
    for number in range(20):
        outreach.put("accounts", {"name": f"n{number}"})
        clock.advance(1)
    records, _ = pulled(connector, "accounts", None, ["name"])
    assert {row["name"] for row in raws(records)} == {f"n{number}" for number in range(20)}


def test_a_walk_that_cannot_go_on_says_so(
    outreach: OutreachSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows of one instant than offsets reach: an error, not an endless round."""
    monkeypatch.setattr("connectors.outreach.sandbox_list.CAP", 4)
    monkeypatch.setattr(wire, "PAGE", 2)
    outreach.by_offset = True
    for number in range(9):
        outreach.put("accounts", {"name": f"n{number}"})
    with pytest.raises(RecordRejected):
        pulled(connector, "accounts", None, ["name"])


def test_trashed_prospects_are_gone_and_merged_ones_say_nothing(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(3)]
    _, cursor = pulled(connector, "prospects", None, FIELDS)
    clock.advance(3600)
    outreach.remove("prospects", ids[0])
    outreach.merge(ids[1], ids[2])
    records, _ = pulled(connector, "prospects", cursor, FIELDS)
    told = {record.id: record for record in records}
    assert told[ids[0]].gone is Gone.DELETED
    assert orjson.loads(told[ids[1]].raw)["otherEmails"] == ["p2@x.io"]
    assert ids[2] not in told
    assert connector.read("prospects", "id", ids, FIELDS).keys() == {ids[1]}


def test_an_unsubscribe_is_seen_even_if_the_prospect_does_not_say_that_it_changed(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    outreach.unsubscribe_bumps = False
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(5)]
    mails = [outreach.mail(id, "Hello") for id in ids]
    clock.advance(600)
    _, cursor = pulled(connector, "prospects", None, FIELDS)
    clock.advance(3600)
    for mail in mails[:3]:
        outreach.happen(mail, "unsubscribed")
    cursors = [cursor]
    told: dict[str, bool] = {}
    for page in connector.pull("prospects", cursor, FIELDS):
        told |= {record.id: orjson.loads(record.raw)["emailOptedOut"] for record in page.records}
        cursors.append(page.cursor)
    assert told == dict.fromkeys(ids[:3], True)
    later, _ = pulled(connector, "prospects", cursors[2], FIELDS)  # in the middle of the opt-outs
    assert [record.id for record in later] == [ids[2]]
    outreach.forget_cursors()
    anew, _ = pulled(connector, "prospects", cursors[2], FIELDS)
    assert [record.id for record in anew] == ids[:3]


def test_mailings_tell_what_happened_once_each(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    prospect = outreach.put("prospects", {"email": "a@x.io"})
    sequence = outreach.put("sequences", {"name": "Inbound"})
    mail = outreach.mail(prospect, "Hello", sequence=sequence)
    outreach.happen(mail, "opened")
    records, cursor = pulled(connector, "mailings", None, [])
    assert {(row["type"], row["prospect"], row["sequence"]) for row in raws(records)} == {
        ("email_sent", prospect, sequence),
        ("email_open", prospect, sequence),
    }
    clock.advance(60)
    for what in ("opened", "clicked", "replied", "bounced", "unsubscribed"):
        outreach.happen(mail, what)
    again, _ = pulled(connector, "mailings", cursor, [])
    ids = {record.id for record in (*records, *again)}
    assert len(ids) == 2 + 5  # the delivery is the same record, the second open another
    assert sorted({row["type"] for row in raws(again)}) == [
        "campaign_response", "email_bounce", "email_click", "email_open", "email_sent", "email_unsubscribe",
    ]  # fmt: skip


def test_calls_tasks_and_sequence_states_tell_person_time_and_outcome(
    outreach: OutreachSandbox, connector: Connector
) -> None:
    prospect = outreach.put("prospects", {"email": "a@x.io"})
    sequence = outreach.put("sequences", {"name": "Inbound", "enabled": True, "deliverCount": 4})
    outreach.put("calls", {"prospect": prospect, "dialedAt": "2026-11-20T10:00:00.000Z", "outcome": "Answered"})
    outreach.put("tasks", {"prospect": prospect, "state": "complete", "completedAt": "2026-11-21T10:00:00.000Z"})
    state = outreach.enrol(prospect, sequence)
    outreach.edit("sequence_states", state, {"repliedAt": "2026-11-22T10:00:00.000Z", "positiveReplyCount": 1})
    assert raws(pulled(connector, "calls", None, ["at", "prospect", "outcome"])[0]) == [
        {"at": "2026-11-20T10:00:00.000Z", "prospect": prospect, "outcome": "Answered"}
    ]
    assert raws(pulled(connector, "tasks", None, ["at", "prospect", "state"])[0]) == [
        {"at": "2026-11-21T10:00:00.000Z", "prospect": prospect, "state": "complete"}
    ]
    assert raws(pulled(connector, "sequence_states", None, ["repliedAt", "prospect", "sentiment", "sequence"])[0]) == [
        {"repliedAt": "2026-11-22T10:00:00.000Z", "prospect": prospect, "sentiment": "positive", "sequence": sequence}
    ]
    assert raws(pulled(connector, "sequences", None, ["name", "status", "deliverCount"])[0]) == [
        {"name": "Inbound", "status": "on", "deliverCount": 4}
    ]
    assert raws(pulled(connector, "users", None, [])[0]) == [
        {"id": outreach.user, "email": "rita.ortega@example.com", "name": "Rita Ortega", "active": True}
    ]


@pytest.mark.parametrize("won_stages", ["", "Signed"])
def test_opportunities_tell_stage_and_outcome(outreach: OutreachSandbox, clock: ManualClock, won_stages: str) -> None:
    connector = opened(outreach, clock, won_stages=won_stages)
    won, lost, open_ = (outreach.deal(name, [], amount=5, amountPrecise="5.25") for name in ("won", "lost", "open"))
    outreach.close(won, won=True, day="2026-11-20")
    outreach.close(lost, won=False, day="2026-11-20", reason="price")
    outreach.edit("opportunities", open_, {"probability": 25})
    fields = ["name", "value", "stageName", "stageClosed", "stageWon", "winProbability", "lostReason"]
    told = {row["name"]: row for row in raws(pulled(connector, "opportunities", None, fields)[0])}
    assert told["won"]["stageWon"] is (not won_stages)  # named stages are the only ones that mean won
    assert (told["lost"]["stageWon"], told["lost"]["lostReason"]) == (False, "price")
    assert [told[name]["stageClosed"] for name in ("won", "lost", "open")] == [True, True, False]
    assert (told["open"]["winProbability"], told["open"]["value"]) == ("0.25", "5.25")
    outreach.remove("opportunities", open_)
    assert [r.gone for r in pulled(connector, "opportunities", None, fields)[0] if r.id == open_] == [Gone.DELETED]
    connector.close()


def test_who_is_in_an_opportunity_is_swept_and_followed(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "SWEPT", 2)
    people = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(3)]
    deals = [outreach.deal(f"d{n}", people[: n + 1]) for n in range(3)]
    alone = outreach.deal("alone", [])
    clock.advance(600)
    records, cursor = pulled(connector, "opportunity_prospects", None, [])
    ties = {row["from_id"]: row["to_ids"] for row in raws(records)}
    assert ties == {**{deal: people[: n + 1] for n, deal in enumerate(deals)}, alone: []}
    clock.advance(3600)
    outreach.put("opportunity_prospects", {"opportunity": alone, "prospect": people[0], "role": "User"})
    records, cursor = pulled(connector, "opportunity_prospects", cursor, [])
    assert [(r.id, orjson.loads(r.raw)["to_ids"], orjson.loads(r.raw)["role"]) for r in records] == [
        (alone, [people[0]], "User")
    ]
    role = next(row for row in outreach.all("opportunity_prospects") if row["opportunity"] == alone)
    outreach.remove("opportunity_prospects", role["id"])  # told by nothing
    clock.advance(3600)
    _, cursor = pulled(connector, "opportunity_prospects", cursor, [])
    clock.advance(3600)
    assert pulled(connector, "opportunity_prospects", cursor, [])[0] == []
    clock.advance(86_400)
    cursors = []
    swept: list[Any] = []
    for page in connector.pull("opportunity_prospects", cursor, []):
        swept += page.records
        cursors.append(page.cursor)
    assert {row["from_id"]: row["to_ids"] for row in raws(swept)}[alone] == []
    rest, _ = pulled(connector, "opportunity_prospects", cursors[0], [])
    assert [record.id for record in rest] == [record.id for record in swept[2:]]
    assert connector.read("opportunity_prospects", "id", [deals[0]], []).keys() == {deals[0]}


# read


def test_reading_by_id_and_by_any_address(outreach: OutreachSandbox, connector: Connector) -> None:
    a = outreach.put("prospects", {"emails": ["a@x.io", "second@x.io"]})
    b = outreach.put("prospects", {"emails": ["b@x.io", "odd,one@x.io"]})
    found = connector.read("prospects", "email", ["SECOND@x.io", "odd,one@x.io", "no@x.io"], FIELDS)
    assert {value: record.id for value, record in found.items()} == {"SECOND@x.io": a, "odd,one@x.io": b}
    assert connector.read("prospects", "id", [a, "999999", "no-id"], FIELDS).keys() == {a}
    with pytest.raises(Misconfigured):
        connector.read("prospects", "externalId", ["x"], FIELDS)
