"""What sales is told of whoever is handed over: once, and where the person stands by then."""

from __future__ import annotations

from sqlalchemy import select

from config.errors import ClosedloopError
from connectors.api import Gone
from sync.state.schema import quarantine
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
