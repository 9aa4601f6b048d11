"""What must hold of somebody between two platforms, judged by what was said of them and what stands there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mappings.model import Values
from sync.core.plan import Target
from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

WHOLE = frozenset({"constant_contact"})
"""Platforms that take whole records only: what was found blank there goes back as a blank, over whatever somebody wrote
into it since."""


def check_person(
    scenario: PairScenario, email: str, people: Mapping[str, Sequence[tuple[Target, str, Values]]]
) -> None:
    """Somebody stands once on each platform, with what was said of them and nothing else."""
    addresses, theirs = scenario.beside.addresses, {}
    for name, every in people.items():
        rows = [one for one in every if addresses.person(one[2]) == email]
        if not rows and (name, email) in addresses.waiting.unmade:
            continue
        if len(rows) != 1:
            raise Violation(f"{'P2' if not rows else 'P3'}: {email} stands {len(rows)} times on {name}")
        theirs[name] = rows[0]
    for one in scenario.pair.spoken:
        _check_field(scenario, email, one, {name: values.get(one) for name, (_, _, values) in theirs.items()})
    if addresses.judged:
        addresses.check(email, theirs)


def _check_field(scenario: PairScenario, email: str, name: str, held: Mapping[str, Any]) -> None:
    values = set(held.values())
    if len(values) > 1:
        raise Violation(f"P1: {name} of {email} differs: {held}")
    [value] = values
    mine = {number for number, said in enumerate(scenario.said) if (said.email, said.name) == (email, name)}
    if not mine:
        if scenario.number(value) is not None:
            raise Violation(f"P5: {name} of {email} is {value!r}, which nobody said of it")
        return
    # what was said while the engine was at work, and written over before anybody was shown it, it cannot have heard
    heard = {number for number in mine if not scenario.meddles or number in scenario.heard}
    if value is None and not heard and WHOLE.intersection(scenario.names):
        return
    standing = mine - {other for number in heard for other in scenario.said[number].replaced}
    if scenario.number(value) not in standing:
        raise Violation(f"P4: {name} of {email} is {value!r}; may be {sorted(standing)}")
