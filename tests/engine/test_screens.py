"""What people read, word for word, from one small history: golden files, the same on both databases.

`CLOSEDLOOP_RECORD=1` writes them anew; read the difference before committing it.
"""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path

import pytest
from rich.console import Console

from sync import planfile
from sync.cli import show
from sync.cli.look import show_funnel, show_lead, show_status
from sync.insight.explain import explain, find
from sync.insight.report import funnel
from sync.insight.status import status
from tests.engine.conftest import Loop
from tests.engine.memory import rejected

GOLDEN = Path(__file__).parent / "golden"


class Screen:
    """A screen of some width, and what it shows held against a golden file."""

    def __init__(self, width: int = 140) -> None:
        self.written = io.StringIO()
        self.console = Console(file=self.written, width=width, highlight=False, color_system=None)

    def shows(self, name: str) -> None:
        text = "\n".join(line.rstrip() for line in self.written.getvalue().splitlines()) + "\n"
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("CLOSEDLOOP_RECORD"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def history(loop: Loop) -> Loop:
    """Ana was won, Bob lost, Eva's title is refused, somebody's phone cannot be read; campaigns cost money."""
    numbers = itertools.count(1)
    loop.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    for name, source, title in (("ana", "organic", "Chief"), ("bob", "paid", "Chief"), ("eva", "paid", "Clerk")):
        values = {"email": f"{name}@x.io", "first": name.title(), "title": title, "source": source}
        person = loop.alpha.put("contacts", values)
        if title == "Chief":
            event = {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person, "title": f"Ask, says {name}"}
            loop.alpha.put("events", event)
    loop.alpha.put("contacts", {"email": "odd@x.io", "phone": "call me", "first": "Odd \x1b[31m", "source": "[red]"})
    loop.settled()
    prospects = {row.values["email"]: id for id, row in loop.beta.rows["prospects"].items()}
    for name, won in (("ana", True), ("bob", False)):
        stage = "Closed Won" if won else "Closed Lost"
        deal = {"name": name, "amount": "1200", "stage": stage, "closed": True, "won": won, "close_date": "2026-03-02"}
        id = loop.beta.put("deals", {**deal, "lost_reason": None if won else "price"})
        tie = {"from_object": "deals", "from_id": id, "to_object": "prospects", "to_ids": [prospects[f"{name}@x.io"]]}
        loop.beta.put("deal_contacts", tie)
    loop.beta.refuse = lambda op: rejected("title") if op.values.get("title") == "CEO" else None
    loop.settled()
    loop.clock.advance(3600)
    loop.beta.edit("prospects", prospects["bob@x.io"], {"title": "Director"})
    loop.alpha.edit("contacts", next(iter(loop.alpha.rows["contacts"])), {"title": "CEO"})
    loop.sync()
    loop.clock.advance(7200)
    return loop


@pytest.mark.parametrize("width", [140, 80])
def test_the_report(history: Loop, width: int) -> None:
    screen = Screen(width)
    with history.workspace.state.read() as tx:
        show_funnel(funnel(tx, "source", "EUR"), screen.console)
    screen.shows(f"report-{width}")


def test_the_report_as_csv(history: Loop) -> None:
    screen = Screen()
    with history.workspace.state.read() as tx:
        screen.written.write(funnel(tx, "month", "EUR").csv())
    screen.shows("report-csv")


def test_the_status(history: Loop) -> None:
    screen = Screen()
    with history.workspace.state.read() as tx:
        show_status(status(tx), history.clock.now(), screen.console)
    screen.shows("status")


@pytest.mark.parametrize("who", ["ana", "bob", "odd"])
def test_a_lead_explained(history: Loop, who: str) -> None:
    screen = Screen()
    with history.workspace.state.read() as tx:
        lead = find(tx, f"{who}@x.io")
        assert lead is not None
        show_lead(explain(tx, history.workspace, lead), screen.console)
    screen.shows(f"explain-{who}")


def test_a_plan(history: Loop) -> None:
    history.beta.refuse = lambda op: None
    contact = next(id for id, row in history.alpha.rows["contacts"].items() if row.values["email"] == "bob@x.io")
    history.alpha.edit("contacts", contact, {"first": "Robert", "title": ""})
    history.alpha.put("contacts", {"email": "new@x.io", "first": "Nina", "title": "Chief", "source": "paid"})
    person = next(id for id, row in history.alpha.rows["contacts"].items() if row.values["email"] == "new@x.io")
    history.alpha.put("events", {"type": "form", "at": "2026-03-01T10:00:00Z", "person": person, "title": "Ask"})
    history.sync(push=False)
    screen = Screen()
    show.operations(planfile.make_plan(history.workspace, ("alpha", "beta")).operations, screen.console, 3)
    screen.shows("plan")


def test_what_the_first_writes_would_be(loop: Loop) -> None:
    numbers = itertools.count(1)
    loop.workspace.new_id = lambda: f"ld_{next(numbers):025d}"
    person = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "title": "Chief"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": person, "title": "Ask"})
    report = loop.sync(approve=False)
    assert report.state == "held"
    screen = Screen()
    show.waiting(report.waiting, screen.console)
    report.seconds = 1.0
    show.report(report, screen.console)
    screen.shows("first-writes")
    assert loop.beta.writes == []
