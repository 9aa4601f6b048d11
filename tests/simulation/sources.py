"""Platforms that are only pulled, or only told outcomes, beside one that can be written to: what people do there, what
their mappings need for it, and how often an outcome was counted.

Whatever strikes, an outcome is told once. Where a repeat would count twice and an answer was lost, it is shown as
unsure; then it may have been counted, once at most.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Connection, select

from connectors import registry
from mappings.model import Kind
from sync.state.schema import conversions, quarantine
from tests.simulation.oracle import Violation


def _books(sandbox: Any, email: str, said: Mapping[str, str]) -> None:
    sandbox.book(email, name=" ".join(said.values()), **said)


def _answers(sandbox: Any, email: str, said: Mapping[str, str]) -> None:
    sandbox.submit({"EMAIL": email, "LAST_NAME": said["last_name"]})


ACTS: Mapping[str, tuple[tuple[str, ...], Callable[[Any, str, Mapping[str, str]], None]]] = {
    "calendly": (("first_name", "last_name"), _books),
    "linkedin": (("last_name",), _answers),
}
"""What people do on a platform that nobody writes to: they say who they are, and give these fields values."""

QUALIFIED = "\"lead.event == 'qualified'\""
_TELLS_WHEN = re.compile(
    r"(    kind: conversion\n(?:    (?!create_when)[^\n]*\n)*    create_when: )[^\n]*\n(?:      [^\n]*\n)*"
)


def _counted_by_google(sandbox: Any) -> Counter[str]:
    return Counter(str(event["client_id"]) for event in sandbox.events)


def _counted_by_linkedin(sandbox: Any) -> Counter[str]:
    return Counter(str(name).rpartition("/")[2] for name in sandbox.events.events)


_COUNTED: Mapping[str, tuple[str, Callable[[Any], Counter[str]]]] = {
    "google_analytics": ("client", _counted_by_google),
    "linkedin": ("event", _counted_by_linkedin),
}


def names() -> list[str]:
    """The platforms with a sandbox over HTTP that take part so."""
    return [name for name in registry.names() if name in ACTS or name in _COUNTED]


def takes_outcomes(name: str) -> bool:
    return any(facts.kind is Kind.CONVERSION for facts in registry.facts(name).objects.values())


def pulled(name: str) -> list[str]:
    """The objects that are pulled in a scenario: people, else figures."""
    objects = registry.facts(name).objects
    for kind in (Kind.LEAD, Kind.FIGURE):
        if found := [object for object, facts in objects.items() if facts.kind is kind and facts.pull]:
            return found[:1]
    return []


def adapted(mapping: str) -> str:
    """A mapping that tells whoever qualified. Google's client id is taken from the first name, which nobody edits here:
    no platform of ours has a field for it by itself."""
    told = _TELLS_WHEN.sub(lambda found: f"{found[1]}{QUALIFIED}\n", mapping)
    told = "".join(line for line in told.splitlines(keepends=True) if "remote: person." not in line)
    return told.replace("field: google_client_id", "field: first_name")


def client_of(email: str) -> str:
    """The client id of a person at Google."""
    return f"{int.from_bytes(email.encode()[:4], 'big')}.1700000000"


def check_outcomes(tx: Connection, name: str, sandbox: Any, emails: Mapping[str, str], out: Collection[str]) -> None:
    """Each outcome was counted once, or is shown as unsure and was counted once at most. `emails` are by lead; of who
    opted out (`out`) nothing need be told, and that is shown; it may have been counted before, its answer lost."""
    if name not in _COUNTED:
        return
    by, count = _COUNTED[name]
    counted = count(sandbox)
    shown = set(tx.execute(select(quarantine.c.record).where(quarantine.c.state == "open")).scalars())
    rows = tx.execute(select(conversions).where(conversions.c.connection == name)).all()
    if {row.lead for row in rows} != set(emails):
        raise Violation(f"P2: outcomes of {len(rows)} leads, and there are {len(emails)}")
    for row in rows:
        number = counted[client_of(emails[row.lead]) if by == "client" else row.event_id]
        if row.state == "sent" and number != 1:
            raise Violation(f"P3: an outcome was told {number} times to {name}")
        if row.state == "unsure" and (number > 1 or row.event_id not in shown):
            raise Violation(f"P3: an unsure outcome was told {number} times to {name}, or is not shown")
        if row.state == "refused" and emails[row.lead] in out and number <= 1 and row.event_id in shown:
            continue
        if row.state not in ("sent", "unsure", "merged"):
            raise Violation(f"P31: an outcome is {row.state} for ever at {name}")
