"""Narrow pages, over HTTP and beside the story of a seed: a page holds one row or two, a call asks for two keys and
writes two rows, so that the three people of a scenario fill several (T8); and what leads to the next page grows too old
between two of them (T11), in the platform's own words.

What an account's platform caps at two thousand is capped at two here: the numbers are the connectors' own constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Any
from unittest.mock import patch

AGED, NARROW = "page link too old", "narrow pages"

CAPS: Mapping[str, tuple[str, ...]] = {
    "activecampaign": ("client.PAGE", "client.IDS", "push.IDS", "push.FEW"),
    "calendly": ("client.PAGE", "objects.PAGE"),
    "constant_contact": ("client.PAGE", "bulk.PAGE"),
    "hubspot": ("client.BATCH", "client.SEARCH_PAGE", "connector.SEARCH_PAGE", "writes.BATCH"),
    "linkedin": ("client.PAGE", "pull.PAGE"),
    "mailchimp": ("connector.PAGE", "writes.BATCH"),
    "outreach": ("client.PAGE", "client.IDS", "push.IDS"),
    "salesforce": ("push.BATCH",),
    "zoho": ("client.PAGE", "pull.PAGE", "client.IDS", "coql.MOST", "coql.FEW", "push.BATCH", "sandbox_list.BY_PAGE"),
}
"""Platform -> its constants that say how many rows a call may hold."""
LEAST = {"linkedin": 2}
"""Platforms of whose pages one row is the last of the page before."""


def _of_store(sandbox: Any) -> None:
    sandbox.store.age += 1


def _of_sandbox(sandbox: Any) -> None:
    sandbox.age += 1


def _locators(sandbox: Any) -> None:
    sandbox.rest.locators.clear()


AGES: Mapping[str, Callable[[Any], None]] = {
    "calendly": _of_sandbox,
    "constant_contact": _of_store,
    "outreach": _of_sandbox,
    "salesforce": _locators,
    "zoho": _of_sandbox,
}
"""Platforms whose page links end, and how those that are out end now. (The others go on by an id or a number.)"""


@dataclass
class Narrow:
    """What one scenario has of it."""

    seed: int
    allowed: bool
    names: Sequence[str]
    sandboxes: Mapping[str, Any]
    met: Callable[[str], None]

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}-narrow")
        size = self.rng.choice((0, 0, 1, 2, 2))
        self.size = size if self.allowed else 0
        self.rate = self.rng.choice((0.0, 0.05, 0.2)) if self.size else 0.0

    @contextmanager
    def pages(self) -> Iterator[None]:
        """Inside, pages are narrow."""
        with ExitStack() as stack:
            for name in self.names if self.size else ():
                self.met(NARROW)
                size = max(self.size, LEAST.get(name, 1))
                for place in CAPS.get(name, ()):
                    module, _, constant = place.rpartition(".")
                    stack.enter_context(patch.object(import_module(f"connectors.{name}.{module}"), constant, size))
                if name == "salesforce":
                    stack.enter_context(patch.object(self.sandboxes[name], "page_size", self.size))
            yield

    def age(self, sandbox: Any) -> None:
        """Perhaps all page links that are out end before this call."""
        if self.rate and sandbox.name in AGES and self.rng.random() < self.rate:
            AGES[sandbox.name](sandbox)
            self.met(AGED)
