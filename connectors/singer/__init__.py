"""Any Singer tap as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.api import Account, Connector, Platform, Surroundings


def _open(account: Account, surroundings: Surroundings) -> Connector:
    from connectors.singer.connector import open

    return open(account, surroundings)


def _sandbox(**options: Any) -> Any:
    from connectors.singer.sandbox import SingerSandbox

    return SingerSandbox(**options)


platform = Platform("singer", Path(__file__).parent, _open, _sandbox)
