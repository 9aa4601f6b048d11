"""Mailchimp's wire format, pinned: an SDK upgrade that changes a call turns this red; bodies fit the published spec."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from config.clock import ManualClock
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.mailchimp.sandbox_login import KEY
from connectors.mailchimp.sandbox_store import AUDIENCE
from connectors.sandbox import Logged
from tests.connectors.mailchimp.kit import values
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import RECORDING, play, shown, told, validate
from tests.shared import shared

CASSETTES = Path(__file__).parent / "cassettes"
FIELDS = ["email_address", "merge_fields.FNAME", "status", "tags.customer"]


def world() -> tuple[MailchimpSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    sandbox = MailchimpSandbox(seed=1, clock=clock)
    for number in range(8):
        sandbox.put("members", {"email_address": f"p{number}@example.com", "merge_fields": {"FNAME": "Žofia"}})
    sandbox.unsubscribe("p1@example.com")
    campaign = sandbox.add_campaign("News", "2026-11-20T10:00:00Z")
    sandbox.record_activity(campaign, "p0@example.com", "open", "2026-11-20T11:00:00Z")
    return sandbox, clock


def connector(clock: ManualClock, base: str) -> Connector:
    account = Account("mailchimp", "mailchimp", {"api_key": KEY}, {"audience": AUDIENCE}, base)
    return registry.platform("mailchimp").open(account, Surroundings(clock, Budget(), Tokens()))


def tour(mailchimp: Connector, clock: ManualClock) -> list[Any]:
    """Every sort of call once."""
    out: list[Any] = [mailchimp.check().account_id, len(mailchimp.describe("members").fields)]
    cursor = ""
    ids: dict[str, str] = {}
    for object in ("campaigns", "email_activity", "members"):
        for page in mailchimp.pull(object, None, FIELDS):
            out += [shown(record) for record in page.records]
            ids |= {str(values(record).get("email_address")): record.id for record in page.records}
            cursor = page.cursor
    clock.advance(3600)
    out += [shown(record) for page in mailchimp.pull("members", cursor, FIELDS) for record in page.records]
    many = [_update(ids, number, {"merge_fields.FNAME": "N", "tags.customer": True}) for number in range(2, 8)]
    new = [_create(number) for number in range(4)]
    one = [_update(ids, 0, {"status": "unsubscribed"})]
    out += [told(result) for operations in (many, new, one) for result in mailchimp.push(operations, FIELDS)]
    out += [told(result) for result in mailchimp.push([_create(9)], FIELDS)]
    return [*out, *sorted(mailchimp.read("members", "email_address", ["p2@example.com", "no@example.com"], FIELDS))]


def _update(ids: dict[str, str], number: int, values: dict[str, Any]) -> Operation:
    email = f"p{number}@example.com"
    match = {"email_address": email}
    return Operation(f"u{number}", Verb.UPDATE, "members", values, id=ids[email], match=match)


def _create(number: int) -> Operation:
    email = f"n{number}@example.com"
    values = {"email_address": email, "merge_fields.FNAME": "New"}
    return Operation(f"c{number}", Verb.CREATE, "members", values, match={"email_address": email})


def test_the_wire_format_stands() -> None:
    sandbox, clock = world()
    if RECORDING:
        sandbox.start()
    mailchimp = connector(clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(mailchimp, clock))
    mailchimp.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert KEY not in text
    assert "uthorization" not in text


@cache
def spec(name: str) -> Any:
    text = shared("specs", "mailchimp", f"{name}.yml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


_PLACES = (
    ("PUT", r"/lists/\w+/members/\w+$", "members", "/lists/{list_id}/members/{subscriber_hash}"),
    ("PATCH", r"/lists/\w+/members/\w+$", "members", "/lists/{list_id}/members/{subscriber_hash}"),
    ("POST", r"/lists/\w+/members/\w+/tags$", "members", "/lists/{list_id}/members/{subscriber_hash}/tags"),
    ("POST", r"/lists/\w+$", "list-id", "/lists/{list_id}"),
    ("POST", r"/lists/\w+/segments$", "segments", "/lists/{list_id}/segments"),
    ("POST", r"/lists/\w+/segments/\d+$", "segments", "/lists/{list_id}/segments/{segment_id}"),
)


def described(line: Logged) -> tuple[str, Any] | None:
    for method, pattern, file, template in _PLACES:
        if line.method == method and re.search(pattern, line.path):
            place = spec(file)["paths"].get(template, {}).get(method.lower())
            if place is None:
                return None
            schema = next(p["schema"] for p in place["parameters"] if p["in"] == "body")
            return f"{method} {template}", {**schema, "definitions": spec(file).get("definitions", {})}
    return None


def toured() -> MailchimpSandbox:
    """The sandbox after the tour."""
    spec("members")
    sandbox, clock = world()
    with sandbox:
        mailchimp = connector(clock, sandbox.base_url)
        tour(mailchimp, clock)
        mailchimp.close()
    return sandbox


def test_sent_bodies_fit_the_published_spec() -> None:
    checked = validate(toured().log, described)
    print(dict(checked))
    assert len(checked) >= 4
