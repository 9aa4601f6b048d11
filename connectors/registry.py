"""Which platforms are installed: ours and third parties', by the entry-point group `closedloop.connectors`."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points

from config.errors import Misconfigured
from connectors import manifest
from connectors.api import Platform

GROUP = "closedloop.connectors"


def names() -> list[str]:
    """The names of all installed platforms, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


@cache
def platform(name: str) -> Platform:
    """The platform `name`. Raises Misconfigured with the nearest name when there is none."""
    for entry in entry_points(group=GROUP, name=name):
        found = entry.load()
        if isinstance(found, Platform):
            return found
    near = get_close_matches(name, names(), n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Installed are: {', '.join(names())}."
    raise Misconfigured(f"There is no connector for the platform {name!r}.", fix=hint)


@cache
def facts(name: str) -> manifest.Manifest:
    """The manifest of the platform `name`."""
    return manifest.load(platform(name).folder)
