"""Sessions of known leads: who is asked for, what comes of it, and what never does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import Misconfigured, QuotaExhausted, RetryLater
from connectors import registry
from connectors.api import Account, Connector, Record, Surroundings
from connectors.google_analytics import sessions
from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from connectors.google_analytics.sandbox_reports import CLIENT
from connectors.sandbox import Answer, Call
from tests.connectors.surroundings import Budget, Tokens, pulled

ANA, BOB, EVE = "1111111111.1700000000", "2222222222.1700000001", "3333333333.1700000002"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 15, tzinfo=UTC))


@pytest.fixture
def site(clock: ManualClock) -> Iterator[GoogleAnalyticsSandbox]:
    with GoogleAnalyticsSandbox(seed=2, clock=clock) as made:
        assert isinstance(made, GoogleAnalyticsSandbox)
        made.created = "2026-10-01T00:00:00.000Z"
        yield made


def opened(site: GoogleAnalyticsSandbox, clock: ManualClock, known: Sequence[str], **settings: Any) -> Connector:
    told = site.account()
    account = Account("ga", "google_analytics", told["auth"], {**told["settings"], **settings}, site.base_url)
    world = Surroundings(clock, Budget(), Tokens(), lambda key: known if key == "google_client_id" else ())
    return registry.platform("google_analytics").open(account, world)


def visit(site: GoogleAnalyticsSandbox, client: str, campaign: str, ago: int, hour: str = "10", **more: Any) -> None:
    day = site.today.fromordinal(site.today.toordinal() - ago).strftime("%Y%m%d")
    first = {"firstUserSourceMedium": "google / cpc", "firstUserCampaignName": "spring"}
    told = {CLIENT: client, "dateHour": f"{day}{hour}", "firstUserDefaultChannelGroup": "Paid Search", **first}
    site.visit(campaign, ago=ago, **{**told, **more})


def raws(records: Sequence[Record]) -> dict[str, Any]:
    return {record.id: orjson.loads(record.raw) for record in records}


def asked(site: GoogleAnalyticsSandbox) -> list[Any]:
    """The days and the ids of every report of sessions."""
    bodies = [orjson.loads(line.body) for line in site.log if line.path.endswith(":runReport")]
    return [
        (body["dateRanges"][0]["startDate"], body["dimensionFilter"]["filter"]["inListFilter"]["values"])
        for body in bodies
        if "dimensionFilter" in body
    ]


def test_a_known_client_gets_its_first_and_its_last_touch_and_nobody_else_is_told(
    site: GoogleAnalyticsSandbox, clock: ManualClock
) -> None:
    visit(site, ANA, "spring", 40, landingPage="/start")
    visit(site, ANA, "(direct)", 2, hour="08")
    visit(site, ANA, "autumn", 2, hour="17", landingPage="/offer", sessionMedium="email")
    visit(site, EVE, "spring", 3)
    connector = opened(site, clock, [BOB, ANA])
    told = raws(pulled(connector, "lead_sessions", None, [])[0])
    connector.close()
    assert set(told) == {ANA}
    assert told[ANA]["first"] == {
        "source": "google",
        "medium": "cpc",
        "campaign": "spring",
        "channel": "Paid Search",
        "evidence": "Google Analytics: google / cpc",
        "landing_page": "/start",
    }
    last = told[ANA]["last"]
    assert (last["source"], last["medium"], last["campaign"], last["landing_page"]) == (
        "google",
        "email",
        "autumn",
        "/offer",
    )
    assert last["evidence"] == "Google Analytics: google / email, 2026-11-21"
    assert (told[ANA]["sessions"], told[ANA]["sampled"]) == (3, False)
    assert asked(site) == [("2026-09-30", [ANA, BOB])]


def test_new_clients_are_read_from_the_first_day_and_known_ones_over_the_latest(
    site: GoogleAnalyticsSandbox, clock: ManualClock
) -> None:
    visit(site, ANA, "spring", 40, landingPage="/start")
    known = [ANA]
    connector = opened(site, clock, known)
    _, cursor = pulled(connector, "lead_sessions", None, [])
    again, cursor = pulled(connector, "lead_sessions", cursor, [])
    assert (again, len(asked(site))) == ([], 1)  # read an hour ago at most
    known.append(BOB)
    visit(site, BOB, "autumn", 1)
    told, cursor = pulled(connector, "lead_sessions", cursor, [])
    assert [record.id for record in told] == [BOB]
    assert asked(site)[1:] == [("2026-09-30", [BOB])]
    clock.advance(3600)
    visit(site, ANA, "autumn", 0)
    found = raws(pulled(connector, "lead_sessions", cursor, [])[0])
    assert asked(site)[2:] == [("2026-11-09", [ANA, BOB])]
    assert found[ANA]["last"]["campaign"] == "autumn"
    assert "landing_page" not in found[ANA]["first"]  # the window does not tell it, so what is known of it stays
    connector.close()


def test_a_pull_goes_on_after_any_page(
    site: GoogleAnalyticsSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CHUNK", 2)
    ids = [f"{number}.1" for number in range(1, 6)]
    for id in ids:
        visit(site, id, "spring", 1)
    connector = opened(site, clock, ids)
    cursor: str | None = None
    for later in (0, 3600):
        clock.advance(later)
        pages = list(connector.pull("lead_sessions", cursor, []))
        assert [len(page.records) for page in pages] == [2, 2, 1, 0]
        rest = pulled(connector, "lead_sessions", pages[1].cursor, [])[0]
        assert [record.id for record in rest] == ids[4:]
        cursor = pages[-1].cursor
    connector.close()


def test_long_reports_come_in_pages(
    site: GoogleAnalyticsSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ROWS", 3)
    for hour in range(10, 18):
        visit(site, ANA, "spring", 1, hour=str(hour))
    connector = opened(site, clock, [ANA])
    told = raws(pulled(connector, "lead_sessions", None, [])[0])
    connector.close()
    assert told[ANA]["sessions"] == 8
    assert len(asked(site)) == 3


def test_what_was_noted_of_a_report_is_kept(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    visit(site, ANA, "spring", 1)
    visit(site, BOB, "(not set)", 1, sessionSourceMedium="(not set)", firstUserSourceMedium="(other)")
    site.habits.sampled = True
    connector = opened(site, clock, [ANA, BOB])
    told = raws(pulled(connector, "lead_sessions", None, [])[0])
    connector.close()
    assert told[ANA]["sampled"] is True
    assert told[ANA]["last"]["evidence"].endswith(", sampled")
    assert [told[BOB][touch][part] for touch in ("first", "last") for part in ("source", "evidence")] == [None] * 4


def test_only_ids_of_googles_own_form_go_out(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    visit(site, ANA, "spring", 1)
    odd = ["ana@x.example", "+49 30 1234567", "Ana Ruiz", "GA1.1.1111111111.1700000000", ""]
    connector = opened(site, clock, [*odd, ANA])
    assert [record.id for record in pulled(connector, "lead_sessions", None, [])[0]] == [ANA]
    assert connector.read("lead_sessions", "client_id", [*odd, ANA], []).keys() == {ANA}
    assert connector.read("lead_sessions", "id", odd, []) == {}
    connector.close()
    assert site.leaks == []
    assert not [line for line in site.log for text in odd[:3] if text.encode() in line.body]


def test_without_the_dimension_nothing_is_asked_and_the_check_says_why(
    site: GoogleAnalyticsSandbox, clock: ManualClock
) -> None:
    connector = opened(site, clock, [ANA], client_dimension="")
    assert pulled(connector, "lead_sessions", None, []) == ([], "{}")
    assert connector.read("lead_sessions", "id", [ANA], []) == {}
    assert connector.calls == 0
    assert "client_dimension" in connector.check().notes[-1]
    connector.close()
    nobody = opened(site, clock, [])
    assert pulled(nobody, "lead_sessions", None, []) == ([], "{}")
    assert nobody.calls == 0
    nobody.close()


def test_a_dimension_that_the_property_has_not_is_named(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    site.custom = {}
    connector = opened(site, clock, [ANA])
    assert f"no dimension {CLIENT}" in connector.check().notes[-1]
    with pytest.raises(Misconfigured) as told:
        pulled(connector, "lead_sessions", None, [])
    assert (told.value.object, told.value.field) == ("lead_sessions", CLIENT)
    assert "settings.client_dimension" in str(told.value.fix)
    connector.close()


def test_a_quota_that_runs_out_stops_after_what_came(
    site: GoogleAnalyticsSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CHUNK", 1)
    for id in (ANA, BOB):
        visit(site, id, "spring", 1)
    connector = opened(site, clock, [ANA, BOB])
    pages = connector.pull("lead_sessions", None, [])
    first = next(pages)
    site.quotas.limits["tokensPerHour"] = 5
    with pytest.raises(QuotaExhausted):
        next(pages)
    site.quotas.limits["tokensPerHour"] = 40_000
    assert [record.id for record in first.records] == [ANA]
    assert [record.id for record in pulled(connector, "lead_sessions", first.cursor, [])[0]] == [BOB]
    connector.close()


def test_a_tenth_of_the_tokens_is_left_to_others(
    site: GoogleAnalyticsSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CHUNK", 1)
    site.quotas.limits["tokensPerHour"] = 60
    known = [f"{number}.1" for number in range(1, 13)]
    connector = opened(site, clock, known)
    told: list[str] = []
    with pytest.raises(QuotaExhausted):
        told.extend(page.cursor for page in connector.pull("lead_sessions", None, []))
    assert site.quotas.used["tokensPerHour"] == 55  # of 60, and 55 remained at most
    clock.advance(3600)
    site.quotas.limits["tokensPerHour"] = 40_000
    assert len(list(connector.pull("lead_sessions", told[-1], []))) >= len(known) - len(told) + 1
    connector.close()


def test_a_report_that_does_not_stand_still_is_tried_again_later(
    site: GoogleAnalyticsSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ROWS", 1)
    for hour in ("10", "11"):
        visit(site, ANA, "spring", 1, hour=hour)
    honest, hours = site.after, iter(range(100))

    def grows(call: Call, answer: Answer) -> Answer:
        if call.path.endswith(":runReport"):
            visit(site, ANA, "spring", 2, hour=f"{next(hours):02}")
        return honest(call, answer)

    monkeypatch.setattr(site, "after", grows)
    connector = opened(site, clock, [ANA])
    with pytest.raises(RetryLater, match="stand still"):
        pulled(connector, "lead_sessions", None, [])
    connector.close()


def test_more_clients_than_a_cursor_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LARGEST", 1)
    with pytest.raises(Misconfigured, match="More than 1 leads"):
        sessions.known_ids([ANA, BOB])
    assert sessions.known_ids([ANA, ANA]) == [ANA]
