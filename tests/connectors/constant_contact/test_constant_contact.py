"""The Constant Contact connector over its sandbox, over real sockets: pulling, reading, log-in, limits."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, QuotaExhausted, RecordRejected
from config.secrets import Secret
from connectors.api import Account, Connector, Gone, Request, Surroundings
from connectors.constant_contact import client as wire
from connectors.constant_contact.client import Client
from connectors.constant_contact.sandbox import ConstantContactSandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.constant_contact.opened import FIELDS, create, opened, pushed, raws
from tests.connectors.surroundings import Budget, Tokens, connect, pulled

ACTIVITY = ["type", "created_time", "contact_id", "campaign_id", "link_url"]


# pull


def test_a_record_tells_names_in_place_of_ids_and_only_what_was_asked_for(
    cc: ConstantContactSandbox, connector: Connector
) -> None:
    choices = [{"choice_id": n, "choice_label": label} for n, label in enumerate(("Red", "Blue"))]
    cc.put("contact_custom_fields", {"name": "colour", "type": "multi_select", "choices": choices})
    cc.put("contact_custom_fields", {"name": "plan", "type": "single_select", "choices": choices})
    id = cc.put(
        "contacts",
        {
            "email": "Ana@X.io",
            "first_name": "Ana",
            "tags": ["vip", "customer"],
            "lists": ["General Interest"],
            "custom_fields": {"crm_id": "7", "colour": ["Blue", "Red"], "plan": ["Red"]},
            "phones": {"home": "+493011", "mobile": "+49171"},
            "address": {"city": "Berlin", "country": "DE"},
        },
    )
    fields = [
        "id", "email", "first_name", "last_name", "permission_to_send", "taggings", "list_memberships", "tags.customer",
        "tags.none", "lists.General Interest", "custom_fields.crm_id", "custom_fields.colour", "custom_fields.plan",
        "custom_fields.none", "phone", "phones.mobile", "phones.work", "address.city", "address.street",
    ]  # fmt: skip
    [record] = pulled(connector, "contacts", None, fields)[0]
    assert orjson.loads(record.raw) == {
        "id": id,
        "email": "Ana@X.io",
        "first_name": "Ana",
        "last_name": None,
        "permission_to_send": "implicit",
        "taggings": ["customer", "vip"],
        "list_memberships": ["General Interest"],
        "tags": {"customer": True, "none": False},
        "lists": {"General Interest": True},
        "custom_fields": {"crm_id": "7", "colour": ["Blue", "Red"], "plan": "Red", "none": None},
        "phone": "+493011",
        "phones": {"mobile": "+49171", "work": None},
        "address": {"city": "Berlin", "street": None},
    }
    assert record.version == "2026-11-23T10:00:00.000Z"
    asked = next(line.query for line in cc.log if line.path == "/v3/contacts")
    parts = {"custom_fields", "taggings", "list_memberships", "phone_numbers", "street_addresses"}
    assert set(asked["include"].split(",")) == parts
    cc.log.clear()
    pulled(connector, "contacts", None, ["email"])
    [line] = cc.log  # no parts, and nothing looked up for them
    assert "include" not in line.query


def test_an_incremental_pull_overlaps_and_costs_two_calls_when_nothing_happened(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    first = cc.put("contacts", {"email": "a@x.io", "first_name": "A"})
    clock.advance(3600)
    cc.put("contacts", {"email": "b@x.io"})
    clock.advance(60)
    _, cursor = pulled(connector, "contacts", None, FIELDS)
    clock.advance(60)
    records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    assert [row["email"] for row in raws(records)] == ["b@x.io"]  # the overlap
    clock.advance(600)
    _, cursor = pulled(connector, "contacts", cursor, FIELDS)
    cc.edit("contacts", first, {"first_name": "Ann"})
    records, cursor = pulled(connector, "contacts", cursor, FIELDS)
    assert [row["first_name"] for row in raws(records)] == ["Ann"]
    clock.advance(3600)
    _, cursor = pulled(connector, "contacts", cursor, FIELDS)
    clock.advance(3600)
    before = connector.calls
    assert pulled(connector, "contacts", cursor, FIELDS)[0] == []
    assert connector.calls - before == 2  # what changed, and who opted out


@pytest.mark.parametrize("incremental", [False, True])
def test_a_pull_goes_on_from_every_cursor(
    cc: ConstantContactSandbox,
    connector: Connector,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    incremental: bool,
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    start = pulled(connector, "contacts", None, FIELDS)[1] if incremental else None
    clock.advance(600)
    for number in range(10):
        cc.put("contacts", {"email": f"p{number}@x.io"})
    for number in range(4):
        cc.unsubscribe(f"p{number}@x.io")
    cursors: list[str | None] = [start]
    whole: list[list[str]] = []
    for page in connector.pull("contacts", start, FIELDS):
        whole.append([record.id for record in page.records])
        cursors.append(page.cursor)
    assert set(chain(*whole)) == {row["id"] for row in cc.all("contacts")}
    assert len(whole) == (6 if incremental else 4)
    for number, cursor in enumerate(cursors[:-1]):
        records, last = pulled(connector, "contacts", cursor, FIELDS)
        assert [record.id for record in records] == list(chain(*whole[number:]))
        assert orjson.loads(last)["since"] == "2026-11-23T10:10:00.000Z"


def test_the_first_page_tells_how_many_there_are(
    cc: ConstantContactSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    for number in range(5):
        cc.put("contacts", {"email": f"p{number}@x.io"})
    assert next(connector.pull("contacts", None, FIELDS)).total == 5


def test_an_opt_out_does_not_move_the_contact_s_time_and_is_seen_all_the_same(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    id = cc.put("contacts", {"email": "a@x.io"})
    cc.put("contacts", {"email": "b@x.io"})
    clock.advance(600)
    _, cursor = pulled(connector, "contacts", None, FIELDS)
    clock.advance(3600)
    before = cc.get("contacts", id)
    cc.unsubscribe("a@x.io", "too many")
    assert cc.get("contacts", id)["permission_to_send"] == "unsubscribed"
    assert cc.store.rows["contacts"][id]["updated_at"] == before["created_at"]
    records, _ = pulled(connector, "contacts", cursor, [*FIELDS, "opt_out_reason", "opt_out_source"])
    [raw] = raws(records)
    assert (raw["permission_to_send"], raw["opt_out_reason"], raw["opt_out_source"]) == (
        "unsubscribed", "too many", "Contact",
    )  # fmt: skip
    assert records[0].version == "2026-11-23T11:10:00.000Z"  # the address's time: newer than what was known


def test_deleted_contacts_are_gone_and_come_in_no_first_pull(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(2)]
    cc.remove("contacts", cc.put("contacts", {"email": "old@x.io"}))
    clock.advance(600)
    records, cursor = pulled(connector, "contacts", None, FIELDS)
    assert [record.id for record in records] == ids
    clock.advance(3600)
    cc.remove("contacts", ids[0])
    [record] = pulled(connector, "contacts", cursor, FIELDS)[0]
    assert (record.id, record.gone) == (ids[0], Gone.DELETED)
    assert connector.read("contacts", "id", ids, FIELDS).keys() == {ids[1]}


def test_a_link_that_has_grown_old_makes_the_walk_begin_anew_but_not_for_ever(
    cc: ConstantContactSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    everybody = {cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(8)}
    first = next(iter(connector.pull("contacts", None, FIELDS)))
    cc.forget_cursors()
    records, last = pulled(connector, "contacts", first.cursor, FIELDS)
    assert {record.id for record in records} == everybody
    assert "again" not in orjson.loads(last)
    pages = connector.pull("contacts", None, FIELDS)

    def ever_older() -> None:
        for _ in range(20):
            next(pages)
            cc.forget_cursors()

    with pytest.raises(RecordRejected):
        ever_older()


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
    records, _ = pulled(connector, "email_activity", None, ACTIVITY)
    assert events(records) == [("email_click", person)]
    connector.close()
    with pytest.raises(Misconfigured, match="tracking"):
        opened(cc, clock, tracking="sends,likes")


# read and describe


def test_reading_by_id_and_by_address(cc: ConstantContactSandbox, connector: Connector) -> None:
    a = cc.put("contacts", {"email": "A@x.io"})
    gone = cc.put("contacts", {"email": "gone@x.io"})
    cc.remove("contacts", gone)
    found = connector.read("contacts", "email", ["a@X.io", "gone@x.io", "no@x.io"], FIELDS)
    assert {value: record.id for value, record in found.items()} == {"a@X.io": a}
    assert connector.read("contacts", "id", [a, gone, cc.store.id(), "../x"], FIELDS).keys() == {a}
    with pytest.raises(Misconfigured):
        connector.read("contacts", "crm_id", ["x"], FIELDS)
    with pytest.raises(Misconfigured, match="no object"):
        connector.read("deals", "id", ["x"], FIELDS)


def test_describe_tells_the_account_s_own_fields(cc: ConstantContactSandbox, connector: Connector) -> None:
    choices = [{"choice_id": 1, "choice_label": "Gold"}]
    cc.put("contact_custom_fields", {"name": "level", "label": "Level", "type": "single_select", "choices": choices})
    cc.put("contact_custom_fields", {"name": "since", "type": "date"})
    schema = connector.describe("contacts")
    assert schema.open_ended == ("tags.", "lists.")
    level = schema.fields["custom_fields.level"]
    assert (level.type, level.label, level.options) == ("choice", "Level", ("Gold",))
    assert schema.fields["custom_fields.since"].type == "date"
    assert (schema.fields["first_name"].length, schema.fields["opt_out_date"].writable) == (50, False)
    assert connector.describe("campaigns").fields == {}


# log-in, limits, errors


def test_check_tells_the_account_and_what_is_missing(cc: ConstantContactSandbox, connector: Connector) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name, health.missing_scopes) == ("p07e1l4nd0b1x", "Sandbox Bakery", ())
    cc.login.scopes = "contact_data account_read offline_access"
    cc.login.access.clear()
    cc.login.minted = ""
    cc.privileges.remove("ui:campaign:metrics")
    assert connector.check().missing_scopes == ("campaign_data", "privilege ui:campaign:metrics")
    with pytest.raises(PermissionMissing):
        pulled(connector, "campaigns", None, ["name"])
    assert pulled(connector, "contacts", None, FIELDS)[0] == []


@pytest.mark.parametrize("rotates", [True, False])
def test_refresh_tokens_rotate_or_last_and_a_401_is_healed(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock, *, rotates: bool
) -> None:
    cc.login.rotates = rotates
    cc.put("contacts", {"email": "a@x.io"})
    assert len(pulled(connector, "contacts", None, FIELDS)[0]) == 1
    clock.advance(86_400)
    assert len(pulled(connector, "contacts", None, FIELDS)[0]) == 1
    clock.advance(60)
    cc.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "contacts", None, FIELDS)[0]) == 1
    assert (cc.login.first in cc.login.refresh) is not rotates
    assert [line.status for line in cc.log if line.path == wire.TOKEN] == [200, 200, 200]
    clock.advance(181 * 86_400)
    with pytest.raises(AuthorizationLost, match="refresh token"):
        pulled(connector, "contacts", None, FIELDS)


def test_an_app_without_a_secret_tells_its_id(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    cc.login.public = True
    connector = opened(cc, clock)
    assert connector.check().account_id
    [grant] = [line for line in cc.log if line.path == wire.TOKEN]
    assert b"client_id=sandbox-app" in grant.body
    assert b"client_secret" not in grant.body
    connector.close()


def test_a_lost_answer_of_the_log_in_is_no_lost_write(cc: ConstantContactSandbox, connector: Connector) -> None:
    cc.login.rotates = False
    cc.inject(FaultKind.LOST_ANSWER, f"POST {wire.TOKEN}")
    assert pushed(connector, create("c", "a@x.io"))["c"].created


def test_what_is_missing_in_auth_is_named(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.client_id, auth\.client_secret"):
        connect(cc, clock, auth={"refresh_token": Secret("y")})
    with pytest.raises(Misconfigured, match="permission_if_new"):
        opened(cc, clock, permission_if_new="explicit")


def test_too_many_calls_in_a_second_are_waited_for_and_the_day_s_end_ends_the_run(
    cc: ConstantContactSandbox, connector: Connector, clock: ManualClock
) -> None:
    cc.per_second = 1
    for _ in range(3):
        connector.check()
    throttled = [line for line in cc.log if line.status == 429]
    assert throttled
    cc.per_second, cc.daily = 0, cc.used
    with pytest.raises(QuotaExhausted) as told:
        connector.check()
    assert told.value.until == datetime(2026, 11, 24, tzinfo=UTC)
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert all(isinstance(result.error, QuotaExhausted) for result in results.values())
    refused = len([line for line in cc.log if line.status == 429])
    clock.advance(14 * 3600)
    connector.check()
    assert len([line for line in cc.log if line.status == 429]) == refused


def test_the_rate_is_shared_by_all_accounts_of_the_app() -> None:
    def key(connection: str, app: str) -> str:
        auth: dict[str, Secret | str] = {"client_id": app, "client_secret": Secret("s"), "refresh_token": Secret("r")}
        world = Surroundings(ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), Budget(), Tokens())
        client = Client(Account(connection, "constant_contact", auth), world)
        client.close()
        return client.rest.lane_key("general")

    assert key("one", "app") == key("two", "app") != key("one", "other")
    assert "app" not in key("one", "app").partition(":")[2]


def test_broken_answers_are_asked_again(cc: ConstantContactSandbox, connector: Connector) -> None:
    cc.put("contacts", {"email": "a@x.io"})
    connector.check()
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER):
        cc.inject(kind, "GET /v3/contacts")
    cc.inject(FaultKind.ANSWER, "GET /v3/contacts", answer=Answer(503, b"<html>"))
    assert len(pulled(connector, "contacts", None, FIELDS)[0]) == 1


def test_webhooks_are_refused(connector: Connector) -> None:
    with pytest.raises(Misconfigured, match="polled"):
        connector.verify(Request("POST", "https://x/hook", {}, b"{}"))


# the sandbox itself


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> ConstantContactSandbox:
        sandbox = ConstantContactSandbox(seed=4, clock=clock)
        person = sandbox.put("contacts", {"email": "a@x.io", "tags": ["t"]})
        sandbox.send(sandbox.put("campaigns", {"name": "News"}), [person])
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.put("contacts", {"email": "b@x.io"})
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
