"""No answers of a real Google Analytics property are at hand; its documents describe them, and the sandbox is held
against those, member by member."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.google_analytics.sandbox_reports import METRICS
from tests.connectors.google_analytics.truth import EXPLAINED, document, hold


def test_the_sandbox_answers_as_the_documents_describe() -> None:
    held = hold()
    print(dict(held.answers))
    assert held.differences - EXPLAINED == set()
    assert held.differences >= EXPLAINED, "explained, but no longer so"
    assert len(held.answers) == 9


@pytest.mark.parametrize(
    ("name", "kind", "members"),
    [
        ("analyticsdata.v1beta", "RunReportResponse", {"rows", "rowCount", "metadata", "propertyQuota", "kind"}),
        (
            "analyticsdata.v1beta",
            "ResponseMetaData",
            {"currencyCode", "timeZone", "dataLossFromOtherRow", "samplingMetadatas", "subjectToThresholding"},
        ),
        (
            "analyticsdata.v1beta",
            "PropertyQuota",
            {
                "tokensPerDay",
                "tokensPerHour",
                "tokensPerProjectPerHour",
                "serverErrorsPerProjectPerHour",
                "potentiallyThresholdedRequestsPerHour",
            },
        ),
        ("analyticsdata.v1beta", "MetricMetadata", {"apiName", "type", "uiName", "blockedReasons"}),
        ("datamanager.v1", "RequestStatusPerDestination", {"requestStatus", "errorInfo"}),
    ],
)
def test_what_is_read_of_an_answer_is_described(name: str, kind: str, members: set[str]) -> None:
    assert members <= set(document(name)["schemas"][kind]["properties"])


def test_the_documents_say_that_what_remains_is_told_and_the_limit_is_not() -> None:
    quota = document("analyticsdata.v1beta")["schemas"]["QuotaStatus"]["properties"]
    assert quota["consumed"]["description"] == "Quota consumed by this request."
    told = document("analyticsdata.v1beta")["schemas"]["PropertyQuota"]["properties"]
    assert "200,000 tokens per day" in told["tokensPerDay"]["description"]
    assert "14,000 tokens per project per hour" in told["tokensPerProjectPerHour"]["description"]


def test_whole_numbers_of_64_bits_are_texts_in_a_request() -> None:
    request: Any = document("analyticsdata.v1beta")["schemas"]["RunReportRequest"]["properties"]
    assert (request["limit"]["type"], request["offset"]["type"]) == ("string", "string")


def test_the_sandbox_knows_types_of_metrics_that_there_are() -> None:
    types = document("analyticsdata.v1beta")["schemas"]["MetricMetadata"]["properties"]["type"]["enum"]
    assert set(METRICS.values()) <= set(types)
