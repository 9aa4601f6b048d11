"""People who opt out by themselves, over HTTP and beside the story of a seed: it is heard everywhere, nothing opts them
in again, and nobody else is opted out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.api import Operation, Verb
from mappings.model import Values
from sync.core.plan import Target
from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

CONSENT = "email_consent"
OUT = ("unsubscribed", "complained", "erased")
NAME = "opted out"
LINKS: Mapping[str, Callable[[Any, str], None]] = {"constant_contact": lambda box, email: box.unsubscribe(email)}
"""Platforms that take whole records only: whom the account itself takes off between the look and the write is put back
by it unseen. So while a run is at work people leave by the link in a mail; nothing puts those back."""


@dataclass
class OptOuts:
    """Those of one scenario."""

    seed: int
    allowed: bool
    said: set[str] = field(default_factory=set)  # e-mails

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}-opt-outs")
        drawn = self.rng.choice((0.0, 0.0, 0.0, 0.3, 0.6))
        self.rate = drawn if self.allowed else 0.0

    def act(self, scenario: PairScenario) -> None:
        """Perhaps somebody opts out where they stand."""
        if not self.rate or self.rng.random() >= self.rate:
            return
        name = self.rng.choice(sorted(scenario.objects))
        here = [one for one in scenario._people(name) if _speaks(scenario, name, one[0]) and one[2].get("email")]
        if not here:
            return
        target, id, held = self.rng.choice(here)
        known = {key: held[key] for key in target.match if held.get(key)}
        remote, _, _ = target.express({CONSENT: OUT[0]}, False)
        if not remote or scenario.beside.addresses.hides(name, id, held):
            return
        match = scenario._match(target, target.express(known, False)[0])
        if scenario.acting and name in LINKS:
            LINKS[name](scenario.pair.sandboxes[name], str(held["email"]))
        else:
            scenario._push(name, Operation("leave", Verb.UPDATE, target.object, remote, id, match))
        self.said.add(scenario.beside.addresses.person(held))
        scenario.wire.met[f"beside/{NAME}"] += 1
        scenario.told.append(f"{name}: {held['email']} opts out")

    def check(self, scenario: PairScenario, found: Mapping[str, list[Values]]) -> None:
        """P16: who opted out anywhere may be sent nothing anywhere. P16b: nobody else is opted out."""
        mistaken = scenario.beside.addresses.mistaken
        for name, email, consent in _standing(scenario, found):
            if email in mistaken:
                continue
            if email in self.said and consent not in OUT:
                raise Violation(f"P16: {email} opted out, and stands as {consent} on {name}")
            if email not in self.said and consent in OUT:
                raise Violation(f"P16b: {email} never opted out, and stands as {consent} on {name}")


def _speaks(scenario: PairScenario, name: str, target: Target) -> bool:
    """Whether consents are both read and written there."""
    return CONSENT in target.pushed & scenario.hand.mapped(name)[target.object].pulled


def _standing(scenario: PairScenario, found: Mapping[str, list[Values]]) -> Iterator[tuple[str, str, str]]:
    for name, rows in found.items():
        if all(_speaks(scenario, name, target) for target in scenario.objects[name]):
            whose = scenario.beside.addresses.person
            yield from ((name, whose(row), str(row.get(CONSENT))) for row in rows if row.get("email"))
