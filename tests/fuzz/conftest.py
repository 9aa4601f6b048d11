"""The in-memory platforms of the engine's tests, for strings that go round the whole loop."""

from __future__ import annotations

from tests.engine.conftest import loop

__all__ = ["loop"]
