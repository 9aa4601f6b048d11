"""Google Analytics' quotas and faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.clock import ManualClock
from config.errors import QuotaExhausted, RetryLater
from connectors.api import Connector, Page
from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox
from connectors.sandbox import Answer, FaultKind
from tests.connectors.google_analytics.kit import FIELDS, asked, raws, spread
from tests.connectors.surroundings import pulled


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
