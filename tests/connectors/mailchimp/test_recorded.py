"""Mailchimp's recorded answers through the connector's reading side, and the sandbox held beside them."""

from __future__ import annotations

from config.errors import RecordRejected
from tests.connectors.mailchimp.truth import EXPLAINED, compared, errors, replay


def test_recorded_members_are_read_without_loss() -> None:
    number, lost = replay()
    print(f"{number} members")
    assert lost == []
    assert number > 100


def test_recorded_errors_have_a_class() -> None:
    found = errors()
    for one, error in found:
        assert isinstance(error, RecordRejected)
        if one["response_body"].get("errors"):
            assert error.field == "merge_fields.LTV"
        if one["status"] == 404:
            assert error.code == "resource_not_found"
    print(f"{len(found)} errors")
    assert len(found) > 30


def test_the_sandbox_answers_in_the_recorded_shape() -> None:
    assert compared() - set(EXPLAINED) == set()
