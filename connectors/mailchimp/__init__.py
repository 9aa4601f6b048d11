"""Mailchimp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    from connectors.mailchimp.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    from connectors.mailchimp.sandbox import MailchimpSandbox

    return MailchimpSandbox(**options)


platform = Platform("mailchimp", Path(__file__).parent, _open, _sandbox)
