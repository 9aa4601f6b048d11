"""Conditions on which deals are copied (`create_when`), in some worlds with deals: one with an amount, or one that is
closed. A deal that comes to meet it is copied then; one that was copied is followed whether it still does or not. Drawn
beside the story of a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

KIND = "conditions"
"""What is left out by this name in `without`."""
NAME = "condition on copies"
ALL, WORTH, CLOSED = "", "worth", "closed"
SAID: Mapping[str, str] = {ALL: "true", WORTH: "deal.amount.amount > 0.0", CLOSED: "deal.is_closed"}
"""Each as the mapping has it; its name is the remote field that it is about."""


def drawn(seed: int) -> str:
    """Which one this seed's world has."""
    return Random(f"{seed}-{KIND}").choice((ALL, ALL, ALL, ALL, WORTH, CLOSED))


def is_met(condition: str, values: Mapping[str, Any]) -> bool:
    """Whether a deal with these remote values is one that is copied."""
    return not condition or bool(values.get(condition))
