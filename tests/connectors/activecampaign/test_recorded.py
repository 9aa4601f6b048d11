"""ActiveCampaign's recorded exchanges through the connector, and the sandbox held beside them."""

from __future__ import annotations

import re
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import Any

from config.clock import unstamp
from config.errors import Misconfigured, RecordRejected
from connectors.activecampaign.client import classify
from tests.connectors.activecampaign.truth import (
    EXPLAINED,
    UNUSED,
    client,
    path_of,
    recorded,
    replay_all,
    rows_of,
    shapes,
    unused,
)


def kind(exchange: Any) -> str:
    return f"{exchange['method']} {re.sub(r'[0-9]+', '1', path_of(exchange))} {exchange['status']}"


def test_every_recorded_answer_is_read_without_loss() -> None:
    bodies, lost = replay_all()
    print(f"{bodies} of {len(recorded())} answers replayed")
    assert lost == set()
    assert bodies > 250


def test_what_is_not_replayed_is_never_called_and_every_reason_is_used() -> None:
    left = Counter(kind(one) for one in recorded() if unused(one))
    print(dict(left))
    paths = {path_of(one) for one in recorded() if unused(one)}
    for path in paths:
        written = path in ("accounts", "users", "lists", "dealGroups", "dealStages", "fields", "dealCustomFieldMeta")
        known = path.startswith((*UNUSED, "accounts/", "users/", "dealCustomFieldData"))
        assert written or known, path
    assert [reason for reason in UNUSED if not any(path.startswith(reason) for path in paths)] == []


def test_recorded_refusals_have_a_class() -> None:
    codes: Counter[str] = Counter()
    for one in recorded():
        if one["status"] >= 300:
            error = classify(one["status"], {}, one["response_body"])
            codes[f"{type(error).__name__} {error.code}"] += 1
            assert isinstance(error, Misconfigured if one["status"] == 301 else RecordRejected)
            assert not re.search(r"id \d", str(error))
    print(dict(codes))
    assert codes["RecordRejected 404"] >= 10
    assert codes["Misconfigured "] == 1


def test_times_with_an_offset_are_the_true_ones_and_those_called_utc_are_not() -> None:
    """`udate` beside the answer's own `Date`: within a minute. `updated_utc_timestamp` is hours away from it."""
    checked = 0
    for one in recorded():
        if one["method"] != "POST" or path_of(one) != "contactTags":
            continue
        answered = parsedate_to_datetime(one["headers"]["Date"][0])
        [contact] = one["response_body"]["contacts"]
        assert abs((unstamp(contact["udate"]) - answered).total_seconds()) < 60
        called = unstamp(contact["updated_utc_timestamp"].replace(" ", "T") + "+00:00")
        assert abs((called - answered).total_seconds()) > 3600
        checked += 1
    assert checked == 5


def test_tags_and_custom_fields_move_a_contact_s_time_of_change() -> None:
    """A contact that was just made, a second later with a tag or a value: its `udate` is no longer its `cdate`."""
    moved: Counter[str] = Counter()
    for one in recorded():
        path = path_of(one)
        if one["method"] == "POST" and path in ("contactTags", "fieldValues"):
            [contact] = one["response_body"]["contacts"]
            moved[path] += contact["udate"] > contact["cdate"]
    print(dict(moved))
    assert moved["contactTags"] > 0
    assert moved["fieldValues"] > 0


def test_a_deal_s_value_is_whole_cents_whatever_was_sent() -> None:
    deals = {one["response_body"]["deal"]["id"]: one for one in recorded() if kind(one) == "POST deals 201"}
    [shown] = [one["response_body"]["deal"] for one in recorded() if kind(one) == "GET deals/1 200"]
    sent = deals[shown["id"]]["request_body"]["deal"]["value"]
    assert (sent, deals[shown["id"]]["response_body"]["deal"]["value"], shown["value"]) == (156.24, 156.24, "156")


def test_the_sandbox_answers_in_the_recorded_shape() -> None:
    found = shapes()
    differing = {name: sorted(some) for name, some in found.items() if some}
    print(f"{len(found)} calls, {sum(map(len, differing.values()))} differences")
    assert {name: set(some) - set(EXPLAINED) for name, some in differing.items() if set(some) - set(EXPLAINED)} == {}
    assert {difference for some in differing.values() for difference in some} == set(EXPLAINED)
    assert len(found) >= 24


def test_a_member_that_is_read_wrongly_is_noticed() -> None:
    """The check itself."""
    [one] = [one for one in recorded() if kind(one) == "GET users/me 200"]
    row = one["response_body"]["user"]
    with client() as (_, made):
        assert rows_of("users", [row], [row], made) == set()
        assert rows_of("users", [row], [{**row, "email": "other"}], made) == {"users.email"}
        assert rows_of("users", [], [row], made) == {"users ids"}
