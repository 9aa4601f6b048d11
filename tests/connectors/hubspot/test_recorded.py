"""HubSpot's recorded answers through the connector's reading side, and the sandbox held beside them."""

from __future__ import annotations

from collections import Counter

from config.errors import RecordRejected, RetryLater
from tests.connectors.hubspot.truth import EXPLAINED, compared, errors, replay


def test_recorded_records_are_read_without_loss() -> None:
    read = replay()
    print(f"{read.bodies} bodies, {read.records} records")
    assert read.lost == ()
    assert read.bodies > 600
    assert read.records > 50


def test_recorded_errors_have_a_class() -> None:
    found: Counter[type] = Counter()
    for one, error in errors():
        assert isinstance(error, RetryLater if one["status"] == 429 else RecordRejected), one["file"]
        if isinstance(error, RetryLater):
            assert error.after == 1.0  # all of them are secondly limits, though none names its policy
        found[type(error)] += 1
    print(found)
    assert found[RetryLater] > 60
    assert found[RecordRejected] > 50


def test_the_sandbox_answers_in_the_recorded_shape() -> None:
    found = compared()
    assert {kind: some - set(EXPLAINED) for kind, some in found.items()} == {kind: set() for kind in found}
