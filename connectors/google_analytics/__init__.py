"""Google Analytics 4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    from connectors.google_analytics.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    from connectors.google_analytics.sandbox import GoogleAnalyticsSandbox

    return GoogleAnalyticsSandbox(**options)


platform = Platform("google_analytics", Path(__file__).parent, _open, _sandbox)
