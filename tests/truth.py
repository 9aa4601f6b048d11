"""`python -m tests.truth`: every platform held against truth that we did not write; the last line is JSON.

Recorded answers go through the reading side, requests are validated against the vendors' descriptions, the sandboxes'
answers are compared with both. Exits 1 where something was lost, is invalid, or differs without an explanation.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from dataclasses import asdict

import pytest

from connectors import registry
from tests.connectors.truth import Truth

OURS = "connectors."
"""Where the platforms live that are held here; third parties hold their own."""


def platforms() -> list[str]:
    """Our own platforms that were held against something. A generic source has no vendor to be held against."""
    own = [name for name in registry.names() if registry.platform(name).open.__module__.startswith(OURS)]
    return [name for name in own if importlib.util.find_spec(f"tests.connectors.{name}.truth") is not None]


def measure(name: str) -> Truth:
    """What holds of one platform. pytest's Skipped where the material is not at hand."""
    found: Truth = importlib.import_module(f"tests.connectors.{name}.truth").measure()
    return found


def sound(truth: Truth) -> bool:
    """Whether nothing is lost, invalid or unexplained."""
    return not truth.unread and not truth.invalid and truth.differences == truth.explained


def main() -> int:
    """Print the table and the JSON line."""
    found: dict[str, Truth] = {}
    try:
        for name in platforms():
            found[name] = measure(name)
    except pytest.skip.Exception as error:
        sys.stdout.write(f"nothing measured: {error}\n{{}}\n")
        return 0
    names = list(Truth.__dataclass_fields__)
    sys.stdout.write(f"{'platform':20}" + "".join(f"{name:>13}" for name in names) + "\n")
    for name, truth in found.items():
        row = "".join(f"{value:>13}" for value in asdict(truth).values())
        sys.stdout.write(f"{name:20}{row}{'' if sound(truth) else '  UNSOUND'}\n")
    sys.stdout.write(json.dumps({name: asdict(truth) for name, truth in found.items()}) + "\n")
    return 0 if all(map(sound, found.values())) else 1


if __name__ == "__main__":
    raise SystemExit(main())
