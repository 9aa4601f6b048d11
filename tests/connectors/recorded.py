"""Exchanges recorded by others from the real platforms, and what two answers have in common in shape."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Any

from tests.shared import shared

Exchange = dict[str, Any]


@cache
def exchanges(platform: str) -> tuple[Exchange, ...]:
    """All recorded exchanges and bodies of a platform; skips where they are not at hand."""
    path = shared("recorded", "load.py")
    spec = importlib.util.spec_from_file_location("recorded_load", path)
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return tuple(loader.load(platform))


def differences(recorded: Any, ours: Any, where: str = "") -> set[str]:
    """Members that the recorded answer has and ours has not, or of another type; lists by their first element."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        found = {f"{where}.{name} is missing" for name in recorded if name not in ours}
        for name in recorded.keys() & ours.keys():
            found |= differences(recorded[name], ours[name], f"{where}.{name}")
        return found
    if isinstance(recorded, list) and isinstance(ours, list):
        return differences(recorded[0], ours[0], f"{where}[]") if recorded and ours else set()
    if recorded is None or ours is None or type(recorded) is type(ours):
        return set()
    if isinstance(recorded, int | float) and isinstance(ours, int | float):
        return set()
    return {f"{where} is {type(recorded).__name__}, ours {type(ours).__name__}"}
