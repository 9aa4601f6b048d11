"""Constant Contact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    from connectors.constant_contact.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    from connectors.constant_contact.sandbox import ConstantContactSandbox

    return ConstantContactSandbox(**options)


platform = Platform("constant_contact", Path(__file__).parent, _open, _sandbox)
