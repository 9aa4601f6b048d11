"""What `closedloop connectors` shows of a platform, word for word."""

from __future__ import annotations

import io

from rich.console import Console

from connectors.manifest import Manifest
from sync.cli.setup import show_connector

FACTS = Manifest.model_validate(
    {
        "name": "mail",
        "title": "Mail [beta]",
        "about": "Marketing mail.",
        "api": "v1",
        "sdk": "httpx",
        "hosts": ["api.mail.example"],
        "auth": {
            "key": {"about": "A key.", "secrets": ["key"]},
            "oauth": {
                "about": "An app.",
                "secrets": ["refresh_token"],
                "grant": {"authorize": "https://mail.example/a", "token": "https://mail.example/t"},
            },
        },
        "objects": {
            "people": {"kind": "lead", "about": "People.", "push": ["create"]},
            "campaigns": {"kind": "campaign", "about": "Campaigns."},
        },
        "exemptions": {"bulk": "There is no bulk interface.", "deals": "Mail [beta] has no deals."},
    }
)

SCREEN = """\
Mail [beta] (mail), API v1, by httpx
  reads    people, campaigns
  writes   people
  log-in   key, oauth (closedloop connect)
  keeps    22 of 23 rules: facts, light, health, secrets, schema, unknown, pull, resume,
incremental, deletes, read, push, upsert, lost_answers, consent, archive, erase, brief, copies,
webhooks, faults, sandbox
  exempt   bulk: There is no bulk interface.
  besides  deals: Mail [beta] has no deals.
"""


def test_a_platform_and_its_place_on_the_quality_scale() -> None:
    written = io.StringIO()
    show_connector(FACTS, Console(file=written, width=100, highlight=False, color_system=None))
    assert "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n" == SCREEN
