"""From a delivery to the other side's record, over real sockets; and deliveries that nobody sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.hooks.surroundings import House, house, hubspot_event, hubspot_signed

ANA = "ana@people.example"


def fill(made: Any) -> None:
    made["hubspot"].put("contacts", {"email": ANA, "firstname": "Ana"})
    made["mailchimp"].put("members", {"email_address": ANA, "status": "subscribed", "merge_fields": {"FNAME": "Ana"}})


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Any]]:
    with house(tmp_path_factory.mktemp("loop"), "hubspot", "mailchimp", rounds=2, fill=fill) as both:
        yield both


def ana(made: Any) -> str:
    [id] = [id for id, row in made["hubspot"].store.rows["contacts"].items() if row["properties"]["email"] == ANA]
    return str(id)


def first_name(made: Any) -> str:
    [member] = [row for row in made["mailchimp"].all("members") if row["email_address"] == ANA]
    return str(member["merge_fields"]["FNAME"])


def test_a_change_is_on_the_other_side_within_seconds(loop: tuple[House, Any]) -> None:
    one, made = loop
    made["hubspot"].edit("contacts", ana(made), {"firstname": "Anna"})
    body = hubspot_event(ana(made))
    began = time.monotonic()
    assert one.send("hubspot", body, hubspot_signed(body)) == 200
    one.until(lambda: first_name(made) == "Anna", 20)
    assert time.monotonic() - began < 20
    assert one.metric("closedloop_webhooks_total", connection="hubspot", outcome="received") == 1


def test_a_replay_inside_the_window_has_no_second_effect(loop: tuple[House, Any]) -> None:
    one, made = loop
    body = hubspot_event(ana(made))
    headers = hubspot_signed(body)
    made["hubspot"].edit("contacts", ana(made), {"firstname": "Anne"})
    assert one.send("hubspot", body, headers) == 200
    one.until(lambda: first_name(made) == "Anne")
    number, writes = len(one.runs()), sum(line.method != "GET" for line in made["mailchimp"].log)
    assert [one.send("hubspot", body, headers) for _ in range(3)] == [200] * 3
    one.until(lambda: len(one.runs()) > number and one.runs()[-1].state == "done")
    time.sleep(0.5)
    assert len(one.runs()) == number + 1
    assert sum(line.method != "GET" for line in made["mailchimp"].log) == writes


def flips(body: bytes, headers: dict[str, str]) -> Iterator[tuple[bytes, dict[str, str]]]:
    """The delivery with one bit of its body, or of a header that proves it, turned over."""
    for place in range(0, len(body), 7):
        yield body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :], headers
    for name in ("X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"):
        for place in range(0, len(headers[name]), 5):
            told = headers[name]
            yield body, {**headers, name: told[:place] + chr(ord(told[place]) ^ 1) + told[place + 1 :]}


def test_a_bit_flipped_anywhere_is_refused_and_has_no_effect(loop: tuple[House, Any]) -> None:
    one, made = loop
    number, before = len(one.runs()), one.metric("closedloop_webhooks_total", connection="hubspot", outcome="refused")
    body = hubspot_event(ana(made))
    wrong = list(flips(body, hubspot_signed(body)))
    assert {one.send("hubspot", *flipped) for flipped in wrong} == {401}
    for at in (time.time() - 400, time.time() + 400):
        assert one.send("hubspot", body, hubspot_signed(body, at=at)) == 401
    assert one.send("hubspot", body) == 401
    assert one.send("hubspot", body, hubspot_signed(body), "/elsewhere") == 401  # signed for another address
    assert one.metric("closedloop_webhooks_total", connection="hubspot", outcome="refused") == before + len(wrong) + 4
    with one.workspace.state.read() as tx:
        assert tx.exec_driver_sql("select count(*) from hints").scalar() == 0
    assert len(one.runs()) == number


def test_what_is_no_door_is_not_found(loop: tuple[House, Any]) -> None:
    one, _ = loop
    for path in (
        "/",
        "/hooks",
        "/hooks/",
        "/hooks/nobody",
        "/hooks/hubspot/a/b",
        "/metrics",
        "/healthz",
        "/hooks/HubSpot",
    ):
        answer = httpx.post(one.base + path, trust_env=False)
        assert (answer.status_code, answer.content) == (404, b""), path
    assert httpx.get(f"{one.base}/hooks/hubspot", trust_env=False).status_code == 405
    assert httpx.put(f"{one.base}/hooks/hubspot", trust_env=False).status_code == 405


def test_what_came_and_what_waits_is_told(loop: tuple[House, Any]) -> None:
    from sync.insight.status import status

    one, _ = loop
    with one.workspace.state.read() as tx:
        told = status(tx)["webhooks"]
    assert [(row["connection"], row["pending"]) for row in told] == [("hubspot", 0)]
    assert told[0]["last_at"]
    one.daemon.metrics.ticked(one.workspace)
    assert one.metric("closedloop_hints_pending", connection="hubspot") == 0
