"""The Google Analytics connector over its sandbox, over real sockets: figures, quotas, faults, log-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    AuthorizationLost,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
)
from config.secrets import Secret
from connectors import registry
from connectors.api import Connector, Gone, Page, Record, Request
from connectors.google_analytics import pull as pulling
from connectors.google_analytics.login import EDIT, INGEST, READ
from connectors.google_analytics.sandbox import API_SECRET, GoogleAnalyticsSandbox
from connectors.sandbox import Answer, Call, FaultKind
from mappings.compiler import read_mapping
from tests.connectors.surroundings import connect, pulled

FIELDS = ["date", "campaign", "sessionSource", "sessions", "totalUsers", "totalRevenue"]
COST = [*FIELDS, "landingPage", "advertiserAdCost", "advertiserAdClicks"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 15, tzinfo=UTC))


@pytest.fixture
def site(clock: ManualClock) -> Iterator[GoogleAnalyticsSandbox]:
    with GoogleAnalyticsSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, GoogleAnalyticsSandbox)
        yield sandbox


@pytest.fixture
def connector(site: GoogleAnalyticsSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(site, clock)
    yield made
    made.close()


def opened(site: GoogleAnalyticsSandbox, clock: ManualClock, **settings: Any) -> Connector:
    secret = ("client_secret", "refresh_token", "api_secret")
    auth = {n: Secret(v) if n in secret else v for n, v in site.account()["auth"].items()}
    return connect(site, clock, auth=auth, **settings)


def raws(records: list[Record]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records if record.gone is None]


def gone(records: list[Record]) -> set[str]:
    return {record.id for record in records if record.gone is Gone.DELETED}


def days(site: GoogleAnalyticsSandbox) -> list[str]:
    """The days that reports were asked for, in order, without what came twice running."""
    found = [orjson.loads(line.body)["dateRanges"][0]["startDate"] for line in asked(site)]
    return [day for number, day in enumerate(found) if day != ([*found[:number]] or [""])[-1]]


def asked(site: GoogleAnalyticsSandbox) -> list[Any]:
    return [line for line in site.log if line.path.endswith(":runReport")]


def spread(site: GoogleAnalyticsSandbox, most: int = 20) -> None:
    site.created = stamp(site.clock.now() - timedelta(days=most))
    for ago in range(most):
        site.visit("Spring", ago=ago, sessions=ago + 1, totalUsers=1, totalRevenue="1.5")


# pull


def test_a_figure_tells_its_day_its_campaign_and_what_was_told_of_the_whole(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    site.visit("Spring", ago=1, sessions=3, totalUsers=2, totalRevenue="12.50")
    site.visit(ago=1, sessions=4)
    records, _ = pulled(connector, "figures", None, FIELDS)
    direct, spring = sorted(raws(records), key=lambda row: row["sessionCampaignName"])
    assert spring == {
        "date": "20261122",
        "sessionCampaignName": "Spring",
        "campaign": "Spring",
        "sessionSource": "google",
        "sessions": "3",
        "totalUsers": "2",
        "totalRevenue": "12.5",
        "report": "visits",
        "currencyCode": "USD",
        "timeZone": "America/New_York",
        "sampled": False,
        "thresholded": False,
        "incomplete": False,
    }
    assert (direct["sessionCampaignName"], direct["campaign"], direct["sessions"]) == ("(direct)", None, "4")


def test_a_first_pull_reads_every_day_of_the_property_and_the_next_ones_the_last_days(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    spread(site)
    records, cursor = pulled(connector, "figures", None, FIELDS)
    assert [row["sessions"] for row in raws(records)] == [str(n) for n in range(20, 0, -1)]
    assert len({record.id for record in records}) == 20
    assert days(site)[0] == "2026-11-03"
    site.log.clear()
    before = connector.calls
    records, cursor = pulled(connector, "figures", cursor, FIELDS)  # within the hour: the property only is asked
    assert (records, connector.calls - before) == ([], 1)
    clock.advance(3700)
    records, cursor = pulled(connector, "figures", cursor, FIELDS)
    assert days(site) == ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"]
    site.log.clear()
    clock.advance(86_400)
    _, cursor = pulled(connector, "figures", cursor, FIELDS)  # the first of a new day goes further back
    assert (days(site)[0], days(site)[-1], len(days(site))) == ("2026-11-09", "2026-11-24", 16)
    site.log.clear()
    clock.advance(20 * 86_400)
    pulled(connector, "figures", cursor, FIELDS)  # after a rest: all days since, and those before it that still moved
    assert (days(site)[0], days(site)[-1]) == ("2026-11-10", "2026-12-14")


def test_the_settings_choose_the_first_day_and_the_trailing_ones(
    site: GoogleAnalyticsSandbox, clock: ManualClock
) -> None:
    connector = opened(site, clock, start="2026-11-20", trailing_days=1, nightly_days=2, refresh_every=0)
    _, cursor = pulled(connector, "figures", None, FIELDS)
    assert days(site) == ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"]
    site.log.clear()
    _, cursor = pulled(connector, "figures", cursor, FIELDS)
    assert days(site) == ["2026-11-22", "2026-11-23"]
    site.log.clear()
    pulled(connector, "figures", None, FIELDS, since="2026-11-23T04:00:00.000Z")  # the 22nd still, over there
    assert days(site) == ["2026-11-22", "2026-11-23"]
    connector.close()


def test_the_day_is_the_propertys_own(site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock) -> None:
    clock.advance(13 * 3600)  # the 24th in UTC, the 23rd in New York
    pulled(connector, "figures", None, FIELDS)
    assert days(site)[-1] == "2026-11-23"


def test_a_day_is_replaced_and_what_it_no_longer_has_is_gone(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    day = site.visit("Spring", ago=2, sessions=5)
    site.visit("Autumn", ago=2, sessions=7)
    first, cursor = pulled(connector, "figures", None, FIELDS)
    known = {row["campaign"]: record.id for record, row in zip(first, raws(first), strict=True)}
    site.restate(day, "Spring", "Autumn")
    clock.advance(3700)
    records, cursor = pulled(connector, "figures", cursor, FIELDS)
    assert gone(records) == {known["Spring"]}
    assert [(record.id, row["sessions"]) for record, row in zip(records, raws(records), strict=False)] == [
        (known["Autumn"], "12")
    ]
    site.restate(day, "Autumn", "Spring")
    clock.advance(3700)
    records, cursor = pulled(connector, "figures", cursor, FIELDS)
    assert gone(records) == {known["Autumn"]}
    assert [row["campaign"] for row in raws(records)] == ["Spring"]
    clock.advance(3700)
    assert gone(pulled(connector, "figures", cursor, FIELDS)[0]) == set()
    assert connector.read("figures", "id", [*known.values(), "1"], FIELDS).keys() == {known["Spring"]}


def test_days_that_stand_still_leave_the_cursor(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    spread(site)
    _, cursor = pulled(connector, "figures", None, FIELDS)
    assert min(orjson.loads(cursor)["held"]) == "2026-11-09"
    assert all(len(names) == 12 for names in orjson.loads(cursor)["held"].values())


def test_what_ads_cost_comes_as_records_of_its_own(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    site.visit("Spring", landingPage="/a", sessions=2, advertiserAdCost="3.25", advertiserAdClicks=2)
    site.visit("Spring", landingPage="/b", sessions=1, advertiserAdCost="1", advertiserAdClicks=1)
    records, _ = pulled(connector, "figures", None, COST)
    told = raws(records)
    assert {(row["landingPage"], row["sessions"]) for row in told if row["report"] == "visits"} == {
        ("/a", "2"),
        ("/b", "1"),
    }
    [cost] = [row for row in told if row["report"] == "cost"]
    assert (cost["campaign"], cost["advertiserAdCost"], cost["advertiserAdClicks"]) == ("Spring", "4.25", "3")
    assert "sessions" not in cost
    assert "landingPage" not in cost


def test_a_pull_goes_on_from_every_cursor(
    site: GoogleAnalyticsSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "PAGE", 3)
    for number in range(8):
        site.visit(f"C{number}", ago=1, landingPage=f"/{number}", advertiserAdCost=1)
        site.visit(f"C{number}", landingPage=f"/{number}")
    cursors: list[str | None] = [None]
    whole: list[list[str]] = []
    for page in connector.pull("figures", None, COST, since="2026-11-22T12:00:00.000Z"):
        whole.append([record.id for record in page.records])
        cursors.append(page.cursor)
    assert len({id for ids in whole for id in ids}) == 8 + 8 + 8
    for number, cursor in enumerate(cursors[1:-1], 1):
        records, last = pulled(connector, "figures", cursor, COST)
        assert [record.id for record in records] == [id for ids in whole[number:] for id in ids]
        assert last == cursors[-1]


def test_a_day_that_changes_between_two_pages_is_begun_anew(
    site: GoogleAnalyticsSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "PAGE", 2)
    for number in range(5):
        site.visit(f"C{number}")
    seen: list[str] = []
    changed = False
    for page in connector.pull("figures", None, FIELDS, since="2026-11-23T12:00:00.000Z"):
        seen += [row["campaign"] for row in raws(list(page.records))]
        if not changed:
            site.visit("A first one")
            changed = True
    assert set(seen) == {"A first one", *(f"C{number}" for number in range(5))}
    assert seen[-6:] == sorted(set(seen))

    def grown(call: Call) -> Answer:
        site.visit(f"More {len(site.visits)}")
        return site.answer(call)

    site.inject(FaultKind.ANSWER, "runReport", times=99, answer=grown)
    with pytest.raises(RetryLater, match="do not stand still"):
        pulled(connector, "figures", None, FIELDS, since="2026-11-23T12:00:00.000Z")


def test_the_flags_of_the_numbers_stand_on_every_record(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    for number in range(6):
        site.visit(f"C{number}", sessions=6 - number, totalUsers=6 - number)
    site.habits.cardinality, site.habits.threshold, site.habits.sampled = 3, 2, True
    records, _ = pulled(connector, "figures", None, FIELDS)
    told = raws(records)
    assert {(row["sampled"], row["thresholded"], row["incomplete"]) for row in told} == {(True, True, True)}
    assert [(row["campaign"], row["sessions"]) for row in told if row["sessionCampaignName"] == "(other)"] == [
        (None, "5")
    ]


def test_custom_dimensions_are_asked_for_by_their_names(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    site.put("figures", {"customEvent:lead_ref": "r1"})
    records, _ = pulled(connector, "figures", None, ["date", "customEvent:lead_ref", "keyEvents", "sessions"])
    assert [row["customEvent:lead_ref"] for row in raws(records)] == ["r1"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (["date", "sessionz", "sessions"], "sessionz"),
        (["date", "sessions", *(f"customEvent:{n}" for n in range(9))], "customEvent:0"),
        (["landingPage", "country", "deviceCategory", "eventName", "sessionMedium", "customEvent:lead_ref",
          "sessionDefaultChannelGroup", "sessionSource", "campaign", "sessions"], ""),
    ],
)  # fmt: skip
def test_a_mapping_that_no_report_can_serve_is_named(
    site: GoogleAnalyticsSandbox, connector: Connector, fields: list[str], named: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        pulled(connector, "figures", None, fields)
    assert caught.value.field == named
    assert asked(site) == []


def test_fields_that_do_not_go_together_are_named_by_google(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    fault = "Please remove dimension landingPage to make the request compatible."
    site.inject(FaultKind.ANSWER, "runReport", answer=site.error(400, "INVALID_ARGUMENT", fault))
    with pytest.raises(Misconfigured) as caught:
        pulled(connector, "figures", None, FIELDS)
    assert (caught.value.field, caught.value.code) == ("landingPage", "INVALID_ARGUMENT")


def test_a_day_of_too_many_rows_is_an_error_and_no_loss(
    site: GoogleAnalyticsSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "LARGEST", 2)
    for number in range(3):
        site.visit(f"C{number}")
    with pytest.raises(Misconfigured, match="more than 2 rows"):
        pulled(connector, "figures", None, FIELDS)


# quotas and faults


def test_a_pull_stops_at_a_tenth_of_the_tokens_after_what_came(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    spread(site)
    site.quotas.price, site.quotas.limits["tokensPerProjectPerHour"] = 10, 110
    pages: list[Page] = []
    with pytest.raises(QuotaExhausted) as caught:
        pages.extend(connector.pull("figures", None, FIELDS))
    assert caught.value.until == clock.now() + timedelta(hours=1)
    assert len(pages) == 10  # 10 remain of the 100 that remained at first
    clock.advance(3600)
    with pytest.raises(QuotaExhausted):
        pages.extend(connector.pull("figures", pages[-1].cursor, FIELDS))
    clock.advance(3600)
    pages.extend(connector.pull("figures", pages[-1].cursor, FIELDS))
    found = [row["sessions"] for page in pages for row in raws(list(page.records))]
    assert found == [str(n) for n in range(20, 0, -1)]


@pytest.mark.parametrize(
    ("bucket", "until"),
    [
        ("tokensPerDay", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("tokensPerHour", datetime(2026, 11, 23, 16, tzinfo=UTC)),
    ],
)
def test_a_refusal_for_want_of_tokens_says_until_when(
    site: GoogleAnalyticsSandbox, connector: Connector, bucket: str, until: datetime
) -> None:
    site.quotas.limits[bucket] = 1
    with pytest.raises(QuotaExhausted) as caught:
        pulled(connector, "figures", None, FIELDS)
    assert caught.value.until == until  # the day of the quota ends at midnight on the Pacific coast


def test_too_many_calls_at_once_are_waited_for(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    busy = site.error(429, "RESOURCE_EXHAUSTED", "Exhausted concurrent requests quota.")
    site.inject(FaultKind.ANSWER, "runReport", answer=busy, times=2)
    spread(site, 2)
    assert len(pulled(connector, "figures", None, FIELDS)[0]) == 2


def test_a_failing_api_is_asked_three_times_and_never_until_it_locks(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    spread(site, 2)
    site.failing = 2
    assert len(pulled(connector, "figures", None, FIELDS)[0]) == 2
    site.failing = 99
    began = clock.now()
    while clock.now() < began + timedelta(minutes=30):
        with pytest.raises((RetryLater, QuotaExhausted)) as caught:
            pulled(connector, "figures", None, FIELDS)
        clock.advance(60)
    assert site.quotas.failures < 10
    assert isinstance(caught.value, QuotaExhausted)
    assert caught.value.until is not None
    site.failing = 0
    clock.advance((caught.value.until - clock.now()).total_seconds())
    assert len(pulled(connector, "figures", None, FIELDS)[0]) == 2


def test_failures_of_others_count_too(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    spread(site, 2)
    site.quotas.turn()
    site.quotas.failures = 9
    with pytest.raises(QuotaExhausted):
        pulled(connector, "figures", None, FIELDS)
    assert len(asked(site)) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"kind":"analyticsData#runReport","rowCount":7}', b"[]", b"null"])
def test_an_answer_that_is_no_report_is_no_empty_day(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock, body: bytes
) -> None:
    spread(site, 2)
    _, cursor = pulled(connector, "figures", None, FIELDS)
    clock.advance(3700)
    site.inject(FaultKind.ANSWER, "runReport", answer=Answer(200, body), times=9)
    with pytest.raises(RetryLater):
        pulled(connector, "figures", cursor, FIELDS)


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER, FaultKind.TRUNCATED, FaultKind.HTML])
def test_a_report_that_was_lost_is_asked_for_again(
    site: GoogleAnalyticsSandbox, connector: Connector, kind: FaultKind
) -> None:
    spread(site, 2)
    site.inject(kind, "runReport")
    assert len(pulled(connector, "figures", None, FIELDS)[0]) == 2


# log-in, check, describe


def test_a_token_is_renewed_when_it_ends_or_is_refused(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    clock.advance(3590)
    connector.check()
    assert len(site.login.access) == 2
    site.login.access.clear()
    connector.check()
    site.login.withdrawn = True
    site.login.access.clear()
    with pytest.raises(AuthorizationLost, match="invalid_grant"):
        connector.check()


def test_a_service_account_logs_in_by_its_key(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    auth = {n: Secret(v) if n != "mode" else v for n, v in site.service_account().items()}
    connector = connect(site, clock, auth=auth)
    assert connector.check().missing_scopes == ()
    clock.advance(3600)
    spread(site, 2)
    assert len(pulled(connector, "figures", None, FIELDS)[0]) == 2
    assert {scopes for _, scopes in site.login.access.values()} == {f"{READ} {EDIT}"}
    connector.close()
    wider = connect(site, clock, auth=auth, send_by="data_manager")
    wider.check()
    assert f"{READ} {EDIT} {INGEST}" in {scopes for _, scopes in site.login.access.values()}
    wider.close()


@pytest.mark.parametrize("key", ["no json", "[]", '{"client_email": "a"}'])
def test_what_is_no_key_file_is_said_at_once(site: GoogleAnalyticsSandbox, clock: ManualClock, key: str) -> None:
    with pytest.raises(Misconfigured, match="no key file"):
        connect(site, clock, auth={"mode": "service_account", "service_account_key": Secret(key)})


def test_a_key_that_cannot_sign_and_one_that_is_unknown(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    told = orjson.loads(site.login.key_file())
    for change, kind in (({"private_key": "x"}, Misconfigured), ({"client_email": "no@x.example"}, AuthorizationLost)):
        key = Secret(orjson.dumps({**told, **change}).decode())
        connector = connect(site, clock, auth={"mode": "service_account", "service_account_key": key})
        with pytest.raises(kind):
            connector.check()
        connector.close()


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"property": "G-1"}, "number of a property"), ({"send_by": "pigeon"}, "none that there is")],
)
def test_wrong_settings_are_said_at_once(
    site: GoogleAnalyticsSandbox, clock: ManualClock, settings: dict[str, Any], what: str
) -> None:
    with pytest.raises(Misconfigured, match=what):
        opened(site, clock, **settings)


def test_a_property_that_is_not_there_is_named(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    connector = opened(site, clock, property="987")
    with pytest.raises(Misconfigured, match="no property 987"):
        connector.check()
    connector.close()


def test_settings_of_days_are_days(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    for name, value in (("start", "soon"), ("trailing_days", "x")):
        connector = opened(site, clock, **{name: value})
        with pytest.raises(Misconfigured, match=name):
            pulled(connector, "figures", None, FIELDS)
        connector.close()


def test_missing_log_in_members_are_named(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.client_secret, auth\.refresh_token"):
        connect(site, clock, auth={"mode": "oauth", "client_id": "a"})


def test_check_tells_the_property_its_tokens_and_what_is_not_ready(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name) == ("123456789", "Example site")
    assert (health.missing_scopes, health.notes) == ((), ())
    assert {(quota.window, quota.used, quota.limit) for quota in health.quotas} == {
        ("tokens a day", 5, 200_000),
        ("tokens an hour", 5, 40_000),
        ("tokens of this project an hour", 5, 14_000),
    }
    site.key_events.remove("qualify_lead")
    assert connector.check().notes == ("qualify_lead: no key events of the property, so they count as no conversions",)


@pytest.mark.parametrize(
    ("auth", "settings", "note"),
    [
        ({}, {"measurement_id": ""}, "no measurement_id"),
        ({}, {"measurement_id": "G-OTHER"}, "no web stream G-OTHER"),
        ({"api_secret": Secret("other")}, {}, "none of the stream's"),
        ({"api_secret": ""}, {}, "no api_secret"),
    ],
)
def test_check_finds_what_the_measurement_protocol_would_swallow(
    site: GoogleAnalyticsSandbox, clock: ManualClock, auth: dict[str, Any], settings: dict[str, Any], note: str
) -> None:
    connector = connect(site, clock, auth={**site.account()["auth"], **auth}, **settings)
    [told] = connector.check().notes
    assert note in told
    assert API_SECRET not in told
    connector.close()


def test_scopes_and_roles_that_are_missing_are_named(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    site.login.scopes = READ
    assert connector.check().missing_scopes == (EDIT,)
    for change, code in (
        ({"role": "none"}, "PERMISSION_DENIED"),
        ({"role": "viewer", "enabled": False}, "SERVICE_DISABLED"),
    ):
        for name, value in change.items():
            setattr(site, name, value)
        with pytest.raises(PermissionMissing) as caught:
            connector.check()
        assert caught.value.code == code
    site.login.scopes, site.login.access = "", {}
    with pytest.raises(PermissionMissing) as caught:
        connector.check()
    assert caught.value.code == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


def test_describe_tells_what_the_property_has_and_the_log_in_may_see(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    site.blocked = ["advertiserAdCost"]
    fields = connector.describe("figures").fields
    assert {"customEvent:lead_ref", "keyEvents", "campaign", "sampled"} <= set(fields)
    assert "advertiserAdCost" not in fields
    assert (fields["date"].type, fields["sessions"].type, fields["totalRevenue"].type) == ("date", "integer", "number")
    assert not any(field.writable for field in fields.values())
    events = connector.describe("lead_events")
    assert events.open_ended == ("params.",)
    assert events.fields["name"].required


def test_the_ready_mapping_fits_a_report(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    mapping, _ = read_mapping(registry.platform("google_analytics").folder / "mapping.yaml")
    fields = [entry.remote for entry in mapping.objects["figures"].fields]
    assert set(fields) <= set(connector.describe("figures").fields)
    site.visit("Spring", advertiserAdCost=1)
    records, _ = pulled(connector, "figures", None, fields)
    assert sorted(row["report"] for row in raws(records)) == ["cost", "visits"]
    assert all(len(orjson.loads(line.body)["metrics"]) <= 10 for line in asked(site))


def test_there_are_no_webhooks_and_no_other_objects(connector: Connector) -> None:
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "https://x.example", {}, b"{}"))
    with pytest.raises(Misconfigured):
        connector.describe("people")
    with pytest.raises(Misconfigured):
        connector.pull("lead_events", None, [])
    with pytest.raises(Misconfigured):
        connector.read("figures", "campaign", ["x"], FIELDS)


def test_the_sandbox_takes_its_state_back_and_repeats_itself(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    spread(site, 3)
    records, _ = pulled(connector, "figures", None, FIELDS)
    state = site.snapshot()
    other = GoogleAnalyticsSandbox(seed=9, clock=clock)
    other.restore(state)
    assert other.snapshot() == state
    with other:
        second = opened(other, clock)
        assert pulled(second, "figures", None, FIELDS)[0] == records
        second.close()
