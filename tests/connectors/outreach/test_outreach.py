"""The Outreach connector over its sandbox, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
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
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Connector, Gone, Operation, Request, Result, Verb
from connectors.outreach import client as wire
from connectors.outreach import pull as pulling
from connectors.outreach.sandbox import OutreachSandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.surroundings import connect, pulled

FIELDS = ["email", "otherEmails", "firstName", "emailOptedOut", "owner", "stageName"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def outreach(clock: ManualClock) -> Iterator[OutreachSandbox]:
    with OutreachSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, OutreachSandbox)
        yield sandbox


@pytest.fixture
def connector(outreach: OutreachSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(outreach, clock)
    yield made
    made.close()


def opened(outreach: OutreachSandbox, clock: ManualClock, **settings: Any) -> Connector:
    auth = {
        name: Secret(value) if name in ("client_secret", "refresh_token", "webhook_secret") else value
        for name, value in outreach.account()["auth"].items()
    }
    return connect(outreach, clock, auth=auth, **settings)


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


def create(key: str, email: str, **values: Any) -> Operation:
    return Operation(key, Verb.CREATE, "prospects", {"email": email, **values}, match={"email": email})


def update(key: str, id: str, **values: Any) -> Operation:
    return Operation(key, Verb.UPDATE, "prospects", {name.replace("__", "."): v for name, v in values.items()}, id=id)


def pushed(connector: Connector, *operations: Operation) -> dict[str, Result]:
    results = list(connector.push(operations, FIELDS))
    assert sorted(result.key for result in results) == sorted(operation.key for operation in operations)
    return {result.key: result for result in results}


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


def call_of(outreach: OutreachSandbox, path: str, query: dict[str, str]) -> Call:
    token = next(reversed(outreach.login.access))
    headers = {"authorization": f"Bearer {token}", "content-type": wire.MEDIA}
    return Call("GET", f"/api/v2/{path}", query, headers, b"")


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


# push


def test_creates_and_updates_answer_with_what_stands_there(outreach: OutreachSandbox, connector: Connector) -> None:
    old = outreach.put("prospects", {"emails": ["old@x.io", "kept@x.io"], "workPhones": ["1", "2"]})
    results = pushed(
        connector,
        create("c", "new@x.io", firstName="N", workPhone="+49301", owner=outreach.user),
        update("u", old, email="fresh@x.io", workPhone=None, firstName="O"),
    )
    made = outreach.get("prospects", results["c"].id)
    assert results["c"].created
    assert (made["emails"], made["workPhones"], made["owner"]) == (["new@x.io"], ["+49301"], outreach.user)
    assert results["c"].record is not None
    assert orjson.loads(results["c"].record.raw)["email"] == "new@x.io"
    held = outreach.get("prospects", old)
    assert (held["emails"], held["workPhones"]) == (["fresh@x.io", "kept@x.io"], ["2"])
    assert not results["u"].created


def test_an_update_of_plain_fields_is_one_call(outreach: OutreachSandbox, connector: Connector) -> None:
    id = outreach.put("prospects", {"email": "a@x.io"})
    connector.check()
    before = connector.calls
    pushed(connector, update("u", id, firstName="A"))
    assert connector.calls - before == 1


def test_a_create_that_meets_a_known_address_becomes_an_update(outreach: OutreachSandbox, connector: Connector) -> None:
    there = outreach.put("prospects", {"emails": ["main@x.io", "a@x.io"], "workPhones": ["1", "2"]})
    result = pushed(connector, create("c", "A@x.io", firstName="New", workPhone="3", emailOptedOut=False))["c"]
    assert (result.id, result.created, result.error) == (there, False, None)
    held = outreach.get("prospects", there)
    assert (held["emails"], held["firstName"], held["workPhones"]) == (["main@x.io", "a@x.io"], "New", ["3", "2"])


def test_refusals_are_of_their_record_alone_and_tell_no_value(outreach: OutreachSandbox, connector: Connector) -> None:
    taken = outreach.put("prospects", {"email": "taken@x.io"})
    other = outreach.put("prospects", {"email": "other@x.io"})
    outreach.excluded.add("rival.io")
    results = pushed(
        connector,
        create("excluded", "secret@rival.io"),
        update("duplicate", other, email="taken@x.io"),
        create("long", "l@x.io", firstName="Secretname" * 9),
        create("unknown", "k@x.io", nosuch="Secret"),
        update("gone", "999999", firstName="Secret"),
        update("gone_too", "999998", email="secret@x.io"),
        create("tie", "t@x.io", owner="nobody"),
        update("fine", taken, firstName="F"),
    )
    errors = {key: result.error for key, result in results.items()}
    assert {key: (error.code, error.field) for key, error in errors.items() if error} == {
        "excluded": ("excluded", "email"),
        "duplicate": ("duplicate", "email"),
        "long": ("validationError", "firstName"),
        "unknown": ("permittedParams.unknownAttribute", "nosuch"),
        "gone": ("merged_away", ""),
        "gone_too": ("merged_away", ""),
        "tie": ("invalid", "user"),
    }
    assert all(isinstance(error, RecordRejected) and "ecret" not in str(error) for error in errors.values() if error)
    assert "is too long (maximum is 50 characters)" in str(errors["long"])


@pytest.mark.parametrize("granular", [True, False])
def test_an_opt_out_always_arrives_and_an_opt_in_never_does(
    outreach: OutreachSandbox, connector: Connector, *, granular: bool
) -> None:
    outreach.store.granular = granular
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(3)]
    out = outreach.put("prospects", {"email": "out@x.io", "optedOut": True})
    results = pushed(
        connector,
        update("flag", ids[0], emailOptedOut=True),
        update("status", ids[1], emailsOptStatus="opted_out", firstName="S"),
        update("general", ids[2], optedOut=True),
        update("in", out, optedOut=False),
        update("in_too", out, emailsOptStatus="opted_in"),
        update("cleared", out, emailOptedOut=None),
        create("new", "new@x.io", emailOptedOut=False, firstName="N"),
        create("known", "out@x.io", emailOptedOut=False, firstName="K"),
    )
    assert [key for key, result in results.items() if result.error] == ["in", "in_too", "cleared"]
    assert {result.error.code for result in results.values() if result.error} == {"consent"}
    assert all(outreach.get("prospects", id)["emailOptedOut"] for id in (*ids, out))
    assert outreach.get("prospects", ids[0])["optedOut"] is (not granular)
    assert outreach.get("prospects", out)["optedOutAt"]
    told = results["flag"].record
    assert told is not None
    assert orjson.loads(told.raw)["emailOptedOut"] is True


def test_prospects_are_added_to_a_sequence_once_and_only_where_that_is_right(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    outreach.login.rotates = False  # two connectors that share no tokens
    sequence, deaf, locked = (
        outreach.put("sequences", {"name": name, **more})
        for name, more in (("s", {}), ("t", {"transactional": True}), ("l", {"locked": True}))
    )
    fields = ["email", f"sequences.{sequence}"]
    a = outreach.put("prospects", {"email": "a@x.io"})
    done = outreach.put("prospects", {"email": "done@x.io"})
    out = outreach.put("prospects", {"email": "out@x.io", "optedOut": True})
    outreach.edit("sequence_states", outreach.enrol(done, sequence), {"state": "finished"})
    asked = {f"sequences__{sequence}": True}
    operations = [
        update("a", a, **asked),
        update("again", a, **asked),
        update("done", done, **asked),
        update("out", out, **asked),
        update("deaf", a, **{f"sequences__{deaf}": True}),
        update("locked", a, **{f"sequences__{locked}": True}),
        update("none", a, sequences__999=True),
        create("new", "new@x.io", **{f"sequences.{sequence}": True}),
    ]
    results = {result.key: result for result in connector.push(operations, fields)}
    states = [(row["prospect"], row["sequence"]) for row in outreach.all("sequence_states")]
    assert states == [(done, sequence), (a, sequence), (results["new"].id, sequence)]
    assert [key for key, result in results.items() if result.error] == ["out", "deaf", "locked", "none"]
    assert {row["email"]: row["sequences"] for row in raws(pulled(connector, "prospects", None, fields)[0])} == {
        "a@x.io": {sequence: True},
        "done@x.io": {sequence: True},
        "out@x.io": {sequence: False},
        "new@x.io": {sequence: True},
    }
    bare = opened(outreach, clock, mailbox="")
    [result] = bare.push([update("m", a, **asked)], fields)
    assert result.error is not None
    assert result.error.code == "mailbox"
    bare.close()


def test_a_lost_answer_of_a_create_is_in_doubt_and_found_again(outreach: OutreachSandbox, connector: Connector) -> None:
    connector.check()
    outreach.inject(FaultKind.LOST_ANSWER, "POST /api/v2/prospects")
    results = pushed(connector, create("lost", "lost@x.io"), create("next", "next@x.io"))
    assert isinstance(results["lost"].error, InDoubt)
    assert results["next"].created
    assert connector.read("prospects", "email", ["lost@x.io"], FIELDS).keys() == {"lost@x.io"}
    assert len(outreach.all("prospects")) == 2


def test_a_lost_answer_of_an_update_is_asked_again(outreach: OutreachSandbox, connector: Connector) -> None:
    id = outreach.put("prospects", {"email": "a@x.io"})
    outreach.inject(FaultKind.LOST_ANSWER, "PATCH")
    assert pushed(connector, update("u", id, firstName="A"))["u"].error is None
    outreach.inject(FaultKind.TRUNCATED, "PATCH", times=9)
    assert isinstance(pushed(connector, update("u", id, firstName="B"))["u"].error, InDoubt)
    assert outreach.get("prospects", id)["firstName"] == "B"


def test_a_brief_is_a_task_for_the_owner_and_found_by_its_reference(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    outreach.login.rotates = False  # two connectors that share no tokens
    owner = outreach.put("users", {"email": "other@example.com"})
    mine = outreach.put("prospects", {"email": "a@x.io", "owner": owner})
    free = outreach.put("prospects", {"email": "b@x.io"})
    words = {"subject": "Qualified", "body": "Story " * 20_000}
    operations = [
        Operation(key, Verb.CREATE, "tasks", {**words, "person": f"prospects/{person}", "reference": f"ref-{key}"})
        for key, person in (("1", mine), ("2", free))
    ]
    results = {result.key: result for result in connector.push(operations, [])}
    assert all(result.created and result.error is None for result in results.values())
    tasks = {row["id"]: row for row in outreach.all("tasks")}
    assert tasks[results["1"].id]["owner"] == owner
    assert tasks[results["2"].id]["owner"] == outreach.user
    assert tasks[results["1"].id]["note"].endswith("\n\nref-1")
    found = connector.read("tasks", "reference", ["ref-1", "ref-9"], [])
    assert {value: record.id for value, record in found.items()} == {"ref-1": results["1"].id}
    bare = opened(outreach, clock, task_owner="")
    outcomes = {result.key: result.error for result in bare.push(operations, [])}
    assert outcomes["1"] is None
    assert isinstance(outcomes["2"], RecordRejected)
    bare.close()


def test_what_was_created_can_be_put_away_again(outreach: OutreachSandbox, connector: Connector) -> None:
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(3)]
    connector.check()
    outreach.inject(FaultKind.LOST_ANSWER, f"DELETE /api/v2/prospects/{ids[0]}")
    results = list(connector.push([Operation(id, Verb.ARCHIVE, "prospects", {}, id=id) for id in (*ids[:2], "99")], []))
    assert [(result.key, result.id, result.error) for result in results] == [(id, id, None) for id in (*ids[:2], "99")]
    assert [row["id"] for row in outreach.all("prospects")] == [ids[2]]
    task = outreach.put("tasks", {"prospect": ids[2], "note": "brief"})
    [result] = connector.push([Operation("t", Verb.ARCHIVE, "tasks", {}, id=task)], [])
    assert result.error is None
    assert outreach.all("tasks") == []
    outreach.login.scopes = outreach.login.scopes.replace("prospects.all", "prospects.read prospects.write")
    [result] = connector.push([Operation("p", Verb.ARCHIVE, "prospects", {}, id=ids[2])], [])
    assert isinstance(result.error, PermissionMissing)


def test_other_objects_are_not_written(connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.UPDATE, "accounts", {"name": "x"}, id="1")], [])
    assert result.error is not None
    assert result.error.code == "read_only"


# log-in, limits, errors


def test_tokens_rotate_and_a_401_in_the_middle_is_healed(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    outreach.put("prospects", {"email": "a@x.io"})
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1
    clock.advance(7200)
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1
    clock.advance(120)
    outreach.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1
    assert outreach.login.first not in outreach.login.refresh
    grants = [line for line in outreach.log if line.path == "/oauth/token"]
    assert [line.status for line in grants] == [200, 200, 200]
    clock.advance(15 * 86_400)
    with pytest.raises(AuthorizationLost, match="refresh token"):
        pulled(connector, "prospects", None, FIELDS)


def test_a_second_token_within_the_minute_is_waited_for(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    outreach.login.access.clear()
    began = clock.now()
    connector.check()
    assert timedelta(seconds=59) < clock.now() - began < timedelta(seconds=200)


def test_a_lost_answer_of_the_log_in_is_not_taken_for_a_lost_write(
    outreach: OutreachSandbox, connector: Connector
) -> None:
    outreach.login.rotates = False
    outreach.inject(FaultKind.LOST_ANSWER, "POST /oauth/token")
    result = pushed(connector, create("c", "a@x.io"))["c"]
    assert (result.created, result.error) == (True, None)


def test_the_hour_s_limit_ends_the_calls_and_a_short_wait_is_waited_for(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    outreach.hourly = outreach.used
    with pytest.raises(QuotaExhausted) as told:
        connector.check()
    assert told.value.until == datetime(2026, 11, 23, 11, tzinfo=UTC)
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    clock.advance(3600 - 30)
    assert pushed(connector, create("a", "a@x.io"))["a"].created  # half a minute is waited for


def test_maintenance_tells_its_end_as_an_instant(
    outreach: OutreachSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    outreach.maintenance = stamp(clock.now() + timedelta(minutes=30))
    with pytest.raises(RetryLater) as told:
        connector.check()
    assert 1795 < told.value.after <= 1800
    result = pushed(connector, create("c", "a@x.io"))["c"]
    assert isinstance(result.error, RetryLater)  # it was not let in: nothing is in doubt


def test_a_missing_scope_stops_its_object_and_is_named(outreach: OutreachSandbox, connector: Connector) -> None:
    outreach.login.scopes = outreach.login.scopes.replace("calls.all", "") + " tasks.read"
    outreach.login.scopes = outreach.login.scopes.replace("tasks.all", "")
    assert connector.check().missing_scopes == ("calls.read", "tasks.write")
    with pytest.raises(PermissionMissing, match=r"calls\.read"):
        pulled(connector, "calls", None, ["at"])
    assert pulled(connector, "accounts", None, ["name"])[0] == []


def test_check_tells_the_org_and_the_hour(outreach: OutreachSandbox, connector: Connector) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name) == (f"user-{outreach.user}", "example.com")
    assert [(quota.used, quota.limit) for quota in health.quotas] == [(1, 10_000)]


def test_broken_answers_are_asked_again(outreach: OutreachSandbox, connector: Connector) -> None:
    outreach.put("prospects", {"email": "a@x.io"})
    connector.check()
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        outreach.inject(kind, "GET /api/v2/prospects")
    outreach.inject(FaultKind.ANSWER, "GET /api/v2/prospects", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "prospects", None, FIELDS)[0]) == 1


def test_describe_tells_live_fields(connector: Connector) -> None:
    fields = connector.describe("prospects").fields
    assert (fields["firstName"].length, fields["firstName"].writable) == (50, True)
    assert not fields["updatedAt"].writable
    assert fields["updatedAt"].type == "datetime"
    assert (fields["email"].type, fields["owner"].type, fields["stageName"].writable) == ("email", "reference", False)
    assert connector.describe("prospects").open_ended == ("sequences.",)
    before = connector.calls
    assert "customId" in connector.describe("accounts").fields
    assert connector.calls == before


def test_what_is_missing_in_auth_is_named(outreach: OutreachSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.client_secret, auth\.redirect_uri"):
        connect(outreach, clock, auth={"client_id": "x", "refresh_token": Secret("y")})


# webhooks


def test_webhooks_are_believed_by_their_signature_only(outreach: OutreachSandbox, connector: Connector) -> None:
    outreach.hook(version=2)
    ids = [outreach.put("prospects", {"email": f"p{n}@x.io"}) for n in range(2)]
    outreach.store.deliveries.clear()
    outreach.edit("prospects", ids[0], {"firstName": "A"})
    outreach.merge(ids[0], ids[1])
    deal = outreach.deal("d", [ids[0]])
    mail = outreach.mail(ids[0], "Hello")
    got: list[tuple[str, str]] = []
    events: list[str] = []

    def receive(headers: Any, body: bytes) -> int:
        events.append(orjson.loads(body)["meta"]["eventName"])
        got.extend((n.object, n.id) for n in connector.verify(Request("POST", "https://x/hook", headers, body)))
        return 500  # counts as delivered all the same

    waiting = len(outreach.store.deliveries)
    assert outreach.deliver(receive) == waiting
    assert got[0] == ("prospects", ids[0])
    assert ("prospects", ids[1]) in got  # destroyed
    assert {("opportunities", deal), ("opportunity_prospects", deal)} <= set(got)
    assert "mailing.created" in events
    assert mail not in {id for _, id in got}

    body = b'{"data":{"type":"prospect","id":1}}'
    good = hmac.new(b"sandbox-webhook-secret", body, hashlib.sha256).hexdigest()
    assert [n.id for n in connector.verify(Request("POST", "u", {"OUTREACH-WEBHOOK-SIGNATURE": good}, body))] == ["1"]
    for headers in ({}, {"Outreach-Webhook-Signature": good.upper()}, {"Outreach-Webhook-Signature": "ä"}):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", headers, body))
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", {"Outreach-Webhook-Signature": good}, body + b" "))


def test_a_delivery_without_an_answer_is_tried_four_times(outreach: OutreachSandbox) -> None:
    outreach.hook("account")
    outreach.put("accounts", {"name": "A"})
    assert outreach.deliver(lambda headers, body: None) == 4


# the sandbox itself


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> OutreachSandbox:
        sandbox = OutreachSandbox(seed=4, clock=clock)
        sandbox.deal("d", [sandbox.put("prospects", {"email": "a@x.io"})])
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.put("prospects", {"email": "b@x.io"})
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state


def test_the_connector_never_asks_for_a_batch(outreach: OutreachSandbox, connector: Connector) -> None:
    """Without ids a batch hits every prospect."""
    connector.check()
    outreach.put("prospects", {"email": "a@x.io"})
    call = call_of(outreach, "batches/actions/prospectsDestroyAll", {})
    outreach.answer(replace(call, method="POST", body=b"{}"))
    assert outreach.all("prospects") == []
    outreach.log.clear()
    pushed(connector, create("c", "a@x.io"))
    assert not [line for line in outreach.log if "/batches" in line.path or "/imports" in line.path]
