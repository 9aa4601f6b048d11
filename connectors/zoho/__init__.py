"""Zoho CRM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    from connectors.zoho.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    from connectors.zoho.sandbox import ZohoSandbox

    return ZohoSandbox(**options)


platform = Platform("zoho", Path(__file__).parent, _open, _sandbox)
