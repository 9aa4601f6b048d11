"""The loop of the engine's own tests, for what goes round it whole."""

from __future__ import annotations

from tests.engine.conftest import loop

__all__ = ["loop"]
