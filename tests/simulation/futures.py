"""Times that no clock has shown yet, over HTTP and beside the story of a seed: a platform stamps an edit hours, days or
weeks ahead (S8), for one edit or for a while; and one answers with rows newer than the bound that was asked for (S6).

What is ahead is heard at the latest when its time has come; nothing else may wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import orjson

from config.clock import ManualClock
from connectors.api import Operation, Verb
from connectors.sandbox import Call
from tests.simulation.clocks import Watch

AHEAD = (timedelta(hours=5), timedelta(days=2), timedelta(days=40))
STAMPED, BEYOND = "time ahead", "newer than asked"
_LATEST = "2999-12-31T23:59:59"


def _mailchimp(call: Call) -> Call:
    if "before_last_changed" not in call.query:
        return call
    return replace(call, query={**call.query, "before_last_changed": f"{_LATEST}+00:00"})


def _salesforce(call: Call) -> Call:
    asked = call.query.get("q", "")
    return replace(call, query={**call.query, "q": re.sub(r"(SystemModstamp <= )\S+", rf"\g<1>{_LATEST}Z", asked)})


def _zoho(call: Call) -> Call:
    if not call.path.endswith("/coql"):
        return call
    asked = re.sub(r"(Modified_Time <= )'[^']+'", rf"\g<1>'{_LATEST}+00:00'", call.json["select_query"])
    return replace(call, body=orjson.dumps({"select_query": asked}))


UNBOUND: Mapping[str, Callable[[Call], Call]] = {"mailchimp": _mailchimp, "salesforce": _salesforce, "zoho": _zoho}
"""Platforms whose pulls ask for rows up to a bound, and a call as a platform takes it that does not heed it."""

TIMED: Mapping[str, str] = {"constant_contact": "permission_to_send"}
"""Platforms that keep the time of an opt-out beside the record's own, and the field that says it: that one would stay
ahead when the record has a true time again, and the later of the two is the record's version."""


@dataclass
class Futures:
    """Those of one scenario, between two platforms."""

    seed: int
    allowed: bool
    names: Sequence[str]
    clock: ManualClock
    sandboxes: Mapping[str, Any]
    met: Callable[[str], None]
    fast: float = 0.0  # seconds by which the engine's clock is ahead: what is past on it is told back by an edit
    ahead: dict[tuple[str, str], timedelta] = field(default_factory=dict)  # (platform, e-mail) whose last edit is ahead

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}-futures")
        self.rate = self.rng.choice((0.0, 0.0, 0.0, 0.2, 0.5)) if self.allowed else 0.0
        self.by = self.rng.choice(AHEAD)
        heedless = [name for name in self.names if name in UNBOUND and self.rng.random() < 0.25]
        self.heedless = frozenset(heedless) if self.allowed else frozenset()

    @property
    def longest(self) -> float:
        """By how many seconds an edit is ahead: by the engine's clock, too."""
        return self.by.total_seconds() + self.fast

    @contextmanager
    def stamping(self, name: str, operation: Operation) -> Iterator[None]:
        """Inside, somebody writes there, and it may be stamped ahead. Where an index lags nothing is: an older state
        could not be told from an edit with a true time. Nor is whoever joins where a pull's bound would hide them,
        nor an opt-out whose time would stay."""
        store, email = self.sandboxes[name].store, _email(operation)
        self.ahead.pop((name, email), None)
        drawn = self.rate and self.rng.random() < self.rate
        hidden = operation.verb is Verb.CREATE and name in UNBOUND
        stays = TIMED.get(name) in operation.values
        if not drawn or hidden or stays or getattr(self.sandboxes[name], "index_lag", None):
            yield
            return
        self.ahead[(name, email)] = self.by
        self.met(STAMPED)
        before = store.clock
        store.clock = Watch(self.clock, self.longest)
        try:
            yield
        finally:
            store.clock = before

    def taken(self, sandbox: Any, call: Call) -> Call:
        """The engine's call, as the platform takes it."""
        if sandbox.name not in self.heedless:
            return call
        taken = UNBOUND[sandbox.name](call)
        if taken != call:
            self.met(BEYOND)
        return taken

    def waiting(self) -> set[str]:
        """Whose last edit a pull need not have brought yet: their record is newer than the bound that it asks for."""
        return {email for name, email in self.ahead if name in UNBOUND}


def _email(operation: Operation) -> str:
    told = [*operation.match.values(), *operation.values.values()]
    return next((str(value).lower() for value in told if "@" in str(value)), "")
