"""What the tests of Mailchimp share: filling an audience, writing, looking at what came back."""

from __future__ import annotations

from typing import Any

import orjson

from connectors.mailchimp.sandbox import MailchimpSandbox

FIELDS = ["email_address", "merge_fields.FNAME", "status", "tags.customer"]


def fill(chimp: MailchimpSandbox, number: int) -> list[str]:
    return [
        chimp.put("members", {"email_address": f"p{n}@x.io", "merge_fields": {"FNAME": f"P{n}"}}) for n in range(number)
    ]


def values(record: Any) -> dict[str, Any]:
    return orjson.loads(record.raw)  # type: ignore[no-any-return]
