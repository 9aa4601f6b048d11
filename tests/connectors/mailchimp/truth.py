"""Mailchimp held against what others recorded and what the vendor described: the replays and comparisons, as values.

`test_recorded.py` and `test_wire.py` judge them, and `measure` counts them.
"""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson

from config.clock import ManualClock
from config.errors import ClosedloopError
from connectors.api import Gone
from connectors.mailchimp.client import classify
from connectors.mailchimp.connector import MailchimpConnector, member_id
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.mailchimp.sandbox_login import KEY
from connectors.mailchimp.sandbox_store import AUDIENCE
from connectors.sandbox import Call
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import connect
from tests.connectors.truth import Truth
from tests.connectors.wire import judged

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))

EXPLAINED = {
    ".status_if_new is missing": "an older author's fixture holds the request's member",
    # members of the answer that older recordings have and current ones spell otherwise, or that nobody reads
    ".contact_id is missing": "the switch with_contact_ids",
    ".last_note is missing": "notes are not kept by the sandbox",
    ".marketing_permissions is missing": "the sandbox's audience has no GDPR fields",
    ".unsubscribe_reason is missing": "told of unsubscribed members only",
    ".sms_phone_number is missing": "no SMS in the sandbox",
    ".sms_subscription_status is missing": "no SMS in the sandbox",
    ".sms_subscription_last_updated is missing": "no SMS in the sandbox",
}
"""Where the sandbox's shape differs from a recorded one, and why."""


def members() -> list[dict[str, Any]]:
    """Every recorded member body, alone or in a list."""
    found = []
    for one in exchanges("mailchimp"):
        body = one["response_body"]
        if not isinstance(body, dict) or (one["status"] or 200) >= 400:
            continue
        rows = body.get("members") if isinstance(body.get("members"), list) else [body]
        found += [
            row for row in rows or [] if isinstance(row, dict) and "email_address" in row and "merge_fields" in row
        ]
    return found


def replay() -> tuple[int, list[str]]:
    """Every recorded member through the connector: how many, and what was lost of them."""
    connector = connect(MailchimpSandbox(seed=1, clock=CLOCK, port=1), CLOCK)
    assert isinstance(connector, MailchimpConnector)
    lost: list[str] = []
    seen = members()
    with closing(connector):
        connector._groups = {}
        for number, member in enumerate(seen):
            lost += [f"member {number}: {what}" for what in _lost(connector, member)]
    return len(seen), lost


def _lost(connector: MailchimpConnector, member: dict[str, Any]) -> list[str]:
    record = connector._record(member)
    told = orjson.loads(record.raw)
    kept = {
        "id": record.id == member_id(member),
        "status": (record.gone is Gone.ARCHIVED) == (member.get("status") == "archived"),
        "merge_fields": told["merge_fields"] == member["merge_fields"],
        "email_address": told["email_address"] == member["email_address"],
        "tags": set(told.get("tags", {})) == {tag["name"] for tag in member.get("tags") or []},
        "last_changed": record.version.startswith((member.get("last_changed") or "")[:10]),
    }
    missing = set(member) - set(told) - {"_links", "last_changed", "stats"}
    return [*(name for name, whole in kept.items() if not whole), *sorted(missing)]


def errors() -> list[tuple[Any, ClosedloopError]]:
    """Every recorded refusal, and the class that it is sorted into."""
    return [
        (one, classify(one["status"], one["response_body"], "mailchimp"))
        for one in exchanges("mailchimp")
        if one["url"] and (one["status"] or 0) >= 400 and isinstance(one["response_body"], dict)
    ]


def ask(sandbox: MailchimpSandbox, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {KEY}"}
    answer = sandbox.answer(Call(method, f"/3.0{path}", {}, headers, orjson.dumps(body) if body is not None else b""))
    return answer.status, orjson.loads(answer.body) if answer.body else None


def compared() -> set[str]:
    """Where the sandbox's members and refusals differ in shape from the recorded ones."""
    sandbox = MailchimpSandbox(seed=1, clock=CLOCK)
    id = sandbox.put("members", {"email_address": "a@x.io"})
    sandbox.tag(id, "t")
    _, ours = ask(sandbox, "GET", f"/lists/{AUDIENCE}/members/{sandbox.get('members', id)['id']}")
    found = {difference for member in members() for difference in differences(member, ours)}
    found = {one for one in found if not re.match(r"\.(merge_fields|interests|_links|location|stats)\b", one)}
    missing = ask(sandbox, "GET", f"/lists/{AUDIENCE}/members/{'0' * 32}")
    sandbox.add_merge_field("LTV", "number")
    wrong = {"email_address": "b@x.io", "status_if_new": "subscribed", "merge_fields": {"LTV": "x"}}
    invalid = ask(sandbox, "PUT", f"/lists/{AUDIENCE}/members/x", wrong)
    for one in exchanges("mailchimp"):
        if one["method"] == "GET" and one["status"] == 404 and "/members/" in str(one["url"]):
            found |= _unlike(one, *missing)
        if one["method"] == "PUT" and one["status"] == 400:
            found |= _unlike(one, *invalid)
    return found


def _unlike(one: Any, status: int, body: Any) -> set[str]:
    told = differences(one["response_body"], body)
    return told if status == one["status"] else {*told, f"status {one['status']} is {status}"}


def measure() -> Truth:
    """The counts of all that is above, and of the bodies that a tour sends."""
    from tests.connectors.mailchimp.test_wire import described, toured

    number, lost = replay()
    seen = compared()
    operations, invalid = judged(toured().log, described)
    return Truth(
        number + len(errors()), len(lost), len(operations), len(invalid), len(seen), len(seen & set(EXPLAINED))
    )
