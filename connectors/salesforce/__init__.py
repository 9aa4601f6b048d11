"""Salesforce: leads, contacts, accounts, opportunities with contact roles, campaigns with members, tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    """The connector of an account; the SDK is imported here and not before."""
    from connectors.salesforce.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    """A new sandbox; `options` are those of `connectors.sandbox.Sandbox`."""
    from connectors.salesforce.sandbox import SalesforceSandbox

    return SalesforceSandbox(**options)


platform = Platform(name="salesforce", folder=Path(__file__).parent, open=_open, sandbox=_sandbox)
