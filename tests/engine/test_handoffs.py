"""What sales is told of whoever is handed over: once, and where the person stands by then."""

from __future__ import annotations

from itertools import count

import pytest
from sqlalchemy import select

from config.errors import ClosedloopError
from connectors.api import Gone
from sync.insight.status import status
from sync.state.schema import activities, handoffs, leads, quarantine
from tests.engine.conftest import Loop
from tests.engine.memory import rejected, unreachable

CHIEF = {"email": "ana@x.io", "first": "Ana", "title": "Chief"}


def _handed_over(loop: Loop, why: ClosedloopError) -> tuple[str, str]:
    """Ana's records in marketing and as a prospect of sales, who could not be told yet."""
    ana = loop.alpha.put("contacts", CHIEF)
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana, "title": "Contact us"})
    loop.beta.refuse = lambda operation: why if operation.object == "tasks" else None
    loop.sync()
    loop.beta.refuse = lambda operation: None
    [prospect] = loop.beta.rows["prospects"]
    return ana, prospect


def _open(loop: Loop) -> list[str]:
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(quarantine.c.object).where(quarantine.c.state == "open")).scalars())


def test_a_brief_goes_to_whatever_its_person_was_converted_into(loop: Loop) -> None:
    _, prospect = _handed_over(loop, rejected(code="not_found"))
    assert _open(loop) == ["tasks"]
    contact = loop.beta.put("contacts", dict(loop.beta.rows["prospects"][prospect].values))
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, contact, "contacts")
    loop.settled()
    assert [task["person"] for task in loop.beta.all("tasks")] == [f"contacts/{contact}"]
    assert _open(loop) == []


def test_a_brief_about_somebody_who_is_gone_waits_until_they_are_back(loop: Loop) -> None:
    _, prospect = _handed_over(loop, unreachable())
    loop.beta.remove("prospects", prospect, Gone.ARCHIVED)
    tried = len(loop.beta.writes)
    loop.settled()
    assert (len(loop.beta.writes), _open(loop)) == (tried, [])
    loop.beta.put("prospects", CHIEF, prospect)
    loop.settled()
    assert [task["person"] for task in loop.beta.all("tasks")] == [f"prospects/{prospect}"]


def _briefs(loop: Loop) -> tuple[int, int]:
    """How many are still to be written, and how many were withdrawn."""
    with loop.workspace.state.read() as tx:
        told = status(tx)
    return told["briefs_due"], told["briefs_withdrawn"]


@pytest.mark.parametrize("gone", [Gone.DELETED, Gone.ERASED, Gone.ARCHIVED])
def test_a_brief_about_somebody_who_was_deleted_is_withdrawn_until_they_are_back(loop: Loop, gone: Gone) -> None:
    """Nothing waits for ever for somebody who is gone for good; that it was not written is told."""
    _, prospect = _handed_over(loop, unreachable())
    assert _briefs(loop) == (1, 0)
    loop.beta.remove("prospects", prospect, gone)
    loop.settled()
    assert _briefs(loop) == ((1, 0) if gone is Gone.ARCHIVED else (0, 1))
    loop.beta.put("prospects", CHIEF, prospect)
    loop.settled()
    assert _briefs(loop) == (0, 0)
    assert [task["person"] for task in loop.beta.all("tasks")] == [f"prospects/{prospect}"]


@pytest.mark.parametrize("first", ["ana", "bob"])
def test_whoever_was_handed_over_stays_so_when_sales_merges_them_with_another(loop: Loop, first: str) -> None:
    """Whichever of the two was known first, whose name stays, and also where they would not qualify any more."""
    numbers = count(1)
    loop.workspace.new_id = lambda: f"{next(numbers):032}"
    if first == "bob":
        loop.beta.put("contacts", {"email": "bob@x.io", "first": "Bob"})
        loop.sync()
    ana, prospect = _handed_over(loop, unreachable())
    loop.settled()
    handed = loop.alpha.rows["contacts"][ana].values["stage"]
    loop.alpha.edit("contacts", ana, {"title": "Clerk"})
    loop.alpha.rows["events"].clear()
    with loop.workspace.state.begin() as tx:
        tx.execute(activities.delete())
    if first == "ana":
        loop.beta.put("contacts", {"email": "bob@x.io", "first": "Bob"})
        loop.sync()
    [bob] = loop.beta.rows["contacts"]
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, bob, "contacts")
    loop.settled()
    with loop.workspace.state.read() as tx:
        [lead] = tx.execute(select(leads).where(leads.c.state == "live")).all()
    assert handed == "sales_qualified"
    assert lead.qualified_at
    assert lead.handed_off_at
    assert len(loop.beta.all("tasks")) == 1


@pytest.mark.parametrize("step", [1, -1])
def test_whoever_was_handed_over_stays_so_when_converted_into_somebody_new(loop: Loop, step: int) -> None:
    """Whose name comes first is chance: the new one is read by the very answers that tell of the conversion."""
    numbers = count(500, step)
    loop.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    ana, prospect = _handed_over(loop, unreachable())
    loop.settled()
    bob = loop.beta.put("contacts", {"email": "bob@x.io", "first": "Bob"})
    loop.beta.remove("prospects", prospect, Gone.CONVERTED, bob, "contacts")
    loop.alpha.edit("contacts", ana, {"title": "Clerk"})
    with loop.workspace.state.begin() as tx:
        before = tx.execute(select(leads.c.id, leads.c.qualified_at, leads.c.handed_off_at)).one()
        tx.execute(activities.delete())
    loop.alpha.rows["events"].clear()
    loop.settled()
    with loop.workspace.state.read() as tx:
        told = tx.execute(select(leads.c.id, leads.c.qualified_at, leads.c.handed_off_at)).one()
        [brief] = tx.execute(select(handoffs.c.lead)).scalars()
    assert all(before)
    assert (told, brief) == (before, before.id)
    assert loop.alpha.rows["contacts"][ana].values["stage"] == "sales_qualified"
