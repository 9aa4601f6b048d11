"""LinkedIn: lead-gen forms in, outcomes back, and what Sales Navigator lets its customers have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    from connectors.linkedin.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    from connectors.linkedin.sandbox import LinkedInSandbox

    return LinkedInSandbox(**options)


platform = Platform("linkedin", Path(__file__).parent, _open, _sandbox)
