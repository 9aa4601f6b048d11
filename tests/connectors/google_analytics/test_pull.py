"""The figures that the Google Analytics connector reads over its sandbox, over real sockets."""

from __future__ import annotations

import orjson
import pytest

from config.clock import ManualClock
from config.errors import Misconfigured, RetryLater
from connectors.api import Connector, Gone, Record
from connectors.google_analytics import pull as pulling
from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.google_analytics.kit import FIELDS, asked, opened, raws, spread
from tests.connectors.surroundings import pulled

COST = [*FIELDS, "landingPage", "advertiserAdCost", "advertiserAdClicks"]


def gone(records: list[Record]) -> set[str]:
    return {record.id for record in records if record.gone is Gone.DELETED}


def days(site: GoogleAnalyticsSandbox) -> list[str]:
    """The days that reports were asked for, in order, without what came twice running."""
    found = [orjson.loads(line.body)["dateRanges"][0]["startDate"] for line in asked(site)]
    return [day for number, day in enumerate(found) if day != ([*found[:number]] or [""])[-1]]


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
