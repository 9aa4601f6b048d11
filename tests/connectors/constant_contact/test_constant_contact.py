"""The Constant Contact connector over its sandbox, over real sockets: pulling, reading, log-in, limits."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, QuotaExhausted, RecordRejected
from config.secrets import Secret
from connectors.api import Account, Connector, Gone, Page, Request, Surroundings
from connectors.constant_contact import client as wire
from connectors.constant_contact.client import Client
from connectors.constant_contact.sandbox import ConstantContactSandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.constant_contact.opened import FIELDS, create, opened, pushed, raws
from tests.connectors.surroundings import Budget, Tokens, connect, pulled

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
    stored: list[Page] = []

    def ever_older() -> None:
        for page in connector.pull("contacts", None, FIELDS):
            stored.append(page)
            cc.forget_cursors()

    with pytest.raises(RecordRejected):
        ever_older()
    assert len(stored) < 20
    records, _ = pulled(connector, "contacts", stored[-1].cursor, FIELDS)  # which the next pull overcomes
    assert {record.id for record in records} == everybody


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
    assert b"client_id=sandbox-public-app" in grant.body
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
