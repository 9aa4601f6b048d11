"""What marketing and sales promised each other: which period a thing belongs to, what counts, and how it stands."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from rich.console import Console

from config.project import Goal
from sync.checkup import check
from sync.cli.look import show_goals
from sync.insight.goals import Standing, _state, period, standings
from tests.engine.conftest import Loop

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("every", "day", "name", "first", "after"),
    [
        ("week", date(2027, 1, 2), "2026-W53", "2026-12-28", "2027-01-04"),
        ("week", date(2026, 3, 2), "2026-W10", "2026-03-02", "2026-03-09"),
        ("month", date(2026, 12, 31), "2026-12", "2026-12-01", "2027-01-01"),
        ("quarter", date(2026, 12, 1), "2026-Q4", "2026-10-01", "2027-01-01"),
        ("quarter", date(2026, 3, 31), "2026-Q1", "2026-01-01", "2026-04-01"),
        ("year", date(2026, 7, 1), "2026", "2026-01-01", "2027-01-01"),
    ],
)
def test_periods(every: str, day: date, name: str, first: str, after: str) -> None:
    found = period(every, day, BERLIN)
    assert (found.name, found.first.isoformat(), found.after.isoformat()) == (name, first, after)
    assert found.holds(first)
    assert not found.holds(after)
    assert not found.holds("2020-01-01")


def test_an_instant_belongs_to_the_day_that_it_is_there() -> None:
    march = period("month", date(2026, 3, 5), BERLIN)
    assert (march.starts, march.ends) == ("2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z")  # summer time between
    assert march.holds("2026-02-28T23:00:00.000Z")
    assert not march.holds("2026-02-28T22:59:59.999Z")
    assert not march.holds("2026-03-31T22:00:00.000Z")
    assert march.elapsed("2026-02-01T00:00:00.000Z") == 0
    assert march.elapsed("2026-04-01T00:00:00.000Z") == 1
    assert 0.49 < march.elapsed("2026-03-16T11:00:00.000Z") < 0.51


COUNTED: dict[str, Any] = {"count": "qualified"}
RATE: dict[str, Any] = {"count": "win_rate"}


@pytest.mark.parametrize(
    ("goal", "value", "elapsed", "state"),
    [
        ({**COUNTED, "at_least": 10}, 10, 0.1, "reached"),
        ({**COUNTED, "at_least": 10}, 5, 0.5, "on track"),
        ({**COUNTED, "at_least": 10}, 4, 0.5, "behind"),
        ({**COUNTED, "at_least": 10}, 9, 1, "missed"),
        ({**COUNTED, "at_most": 10}, 10, 0.5, "on track"),
        ({**COUNTED, "at_most": 10}, 10, 1, "reached"),
        ({**COUNTED, "at_most": 10}, 11, 0.5, "missed"),  # it cannot come down again
        ({**RATE, "at_least": "25%"}, 0.25, 0.9, "on track"),  # a rate can fall until the end
        ({**RATE, "at_least": "25%"}, 0.2, 0.1, "behind"),
        ({**RATE, "at_least": "25%"}, 0.25, 1, "reached"),
        ({**RATE, "at_least": "25%"}, 0.2, 1, "missed"),
        ({**RATE, "at_most": "25%"}, 0.3, 0.5, "behind"),
        ({**RATE, "at_most": "25%"}, 0.3, 1, "missed"),
        ({**RATE, "at_least": "25%"}, None, 1, "no figures"),
    ],
)
def test_how_a_goal_stands(goal: dict[str, Any], value: float | None, elapsed: float, state: str) -> None:
    assert _state(Goal.model_validate(goal), None if value is None else Decimal(str(value)), elapsed) == state


@pytest.mark.parametrize(
    ("goal", "why"),
    [
        ({"count": "qualified"}, "at_least or at_most"),
        ({"count": "qualified", "at_least": 1, "at_most": 2}, "at_least or at_most"),
        ({"count": "win_rate", "at_least": 25}, "write 25%"),
        ({"count": "revenue", "at_least": 25, "where": "lead.title == 'x'"}, "counts deals"),
        ({"count": "happiness", "at_least": 1}, "Input should be"),
        ({"count": "leads", "at_least": 1, "every": "day"}, "Input should be"),
        ({"count": "leads", "at_least": "many"}, "valid number"),
    ],
)
def test_goals_that_are_none(goal: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Goal.model_validate(goal)


GOALS = """
goals:
  - {count: leads, at_least: 4}
  - {count: qualified, at_least: 2, where: "lead.original_source == 'organic'"}
  - {name: Called within a day, count: followed_up, within: 1d, at_least: 90%}
  - {count: customers, at_least: 1, every: quarter}
  - {count: win_rate, at_least: 40%, every: quarter}
  - {count: revenue, at_least: 1000, every: year}
  - {count: opportunities, at_most: 5, every: week}
"""


def with_goals(loop: Loop, goals: str = GOALS) -> None:
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text() + goals)
    loop.reopen()


def standing(loop: Loop) -> dict[tuple[str, str], Standing]:
    with loop.workspace.state.read() as tx:
        return {(one.goal.title, one.period.name): one for one in standings(tx, loop.workspace)}


def at(loop: Loop, month: int, day: int, hour: int = 0) -> None:
    loop.clock.advance((datetime(2026, month, day, hour, tzinfo=UTC) - loop.clock.now()).total_seconds())


def happened(loop: Loop, type: str, person: str, when: str) -> None:
    loop.alpha.put("events", {"type": type, "at": when, "person": person, "title": type})


def deal(loop: Loop, prospect: str, name: str, won: bool, close_date: str) -> None:
    closed = {"stage": "Closed", "closed": True, "won": won, "close_date": close_date}
    id = loop.beta.put("deals", {"name": name, "amount": "700", **closed})
    tie = {"from_object": "deals", "from_id": id, "to_object": "prospects", "to_ids": [prospect]}
    loop.beta.put("deal_contacts", tie)


def test_figures_of_leads_and_deals_by_period(loop: Loop) -> None:
    with_goals(loop)
    at(loop, 3, 10, 8)
    people = {}
    for name, source in (("ana", "organic"), ("bob", "organic"), ("eva", "paid"), ("tom", "paid")):
        people[name] = loop.alpha.put("contacts", {"email": f"{name}@x.io", "title": "Chief", "source": source})
        happened(loop, "form", people[name], "2026-03-10T07:00:00Z")
    loop.settled()
    happened(loop, "call", people["ana"], "2026-03-10T20:00:00Z")  # in time
    happened(loop, "email_open", people["bob"], "2026-03-10T20:00:00Z")  # that is not sales
    happened(loop, "call", people["bob"], "2026-03-13T08:00:00Z")  # too late
    prospects = {row.values["email"]: id for id, row in loop.beta.rows["prospects"].items()}
    deal(loop, prospects["ana@x.io"], "first", won=True, close_date="2026-03-11")
    deal(loop, prospects["bob@x.io"], "second", won=False, close_date="2026-03-12")
    loop.beta.put("deals", {"name": "nobody's", "amount": "9", "closed": True, "won": True, "close_date": "2026-03-12"})
    loop.settled()

    at(loop, 3, 10, 18)  # before the day is over: eva and tom may still be called
    early = standing(loop)[("Called within a day", "2026-03")]
    assert (early.value, early.of) == (Decimal(1), 1)

    at(loop, 3, 20)
    found = standing(loop)
    told = {key: (one.value, one.of, one.state) for key, one in found.items() if not key[1].endswith(("02", "Q4"))}
    assert told[("leads", "2026-03")] == (Decimal(4), None, "reached")
    assert told[("qualified", "2026-03")] == (Decimal(2), None, "reached")
    assert told[("Called within a day", "2026-03")] == (Decimal("0.25"), 4, "behind")
    assert told[("customers", "2026-Q1")] == (Decimal(1), None, "reached")
    assert told[("win rate", "2026-Q1")] == (Decimal("0.5"), 2, "on track")
    assert told[("revenue", "2026")] == (Decimal(700), None, "on track")
    assert told[("opportunities", "2026-W12")][2] == "on track"
    assert (found[("leads", "2026-02")].value, found[("leads", "2026-02")].state) == (Decimal(0), "missed")
    assert found[("win rate", "2025-Q4")].state == "no figures"
    before = found[("qualified", "2026-02")]  # nobody was asked then
    assert (before.value, before.state) == (None, "no figures")

    at(loop, 4, 2)
    later = standing(loop)
    assert (later[("leads", "2026-03")].state, later[("leads", "2026-04")].value) == ("reached", Decimal(0))
    assert later[("Called within a day", "2026-03")].state == "missed"


def test_a_deal_in_another_currency_is_won_and_is_no_revenue(loop: Loop) -> None:
    with_goals(loop, GOALS.replace("goals:", "goals:", 1))
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text().replace("currency: EUR", "currency: USD"))
    loop.reopen()
    person = loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief", "source": "organic"})
    happened(loop, "form", person, "2026-03-01T08:00:00Z")
    loop.settled()
    [prospect] = loop.beta.rows["prospects"]
    deal(loop, prospect, "first", won=True, close_date="2026-03-01")
    loop.settled()
    found = standing(loop)
    assert found[("revenue", "2026")].value == 0
    assert found[("win rate", "2026-Q1")].value == 1


def test_the_screen_and_the_json(loop: Loop) -> None:
    assert standing(loop) == {}
    with_goals(loop)
    with loop.workspace.state.read() as tx:
        found = standings(tx, loop.workspace)
    screen = io.StringIO()
    show_goals(found, "EUR", Console(file=screen, width=120))
    text = screen.getvalue()
    assert "Called within a day" in text
    assert "at least 90.0%" in text
    assert "at most 5" in text
    assert "no figures" in text
    first = found[1].plain()
    assert first == {
        "goal": "leads",
        "count": "leads",
        "period": "2026-03",
        "from": "2026-03-01",
        "until": "2026-04-01",
        "at_least": 4.0,
        "at_most": None,
        "value": 0.0,
        "of": None,
        "state": "behind",
    }


def test_check_knows_whom_a_goal_may_ask_about(loop: Loop) -> None:
    with_goals(loop)
    file = loop.folder / "closedloop.yaml"

    def told() -> list[str]:  # of the goals: the platforms of these tests are installed nowhere
        return [str(one) for one in check(loop.folder).problems if "connector" not in str(one)]

    assert told() == []
    file.write_text(file.read_text().replace("lead.original_source", "lead.origin_source"))
    [problem] = told()
    assert "lead has no 'origin_source'. (did you mean 'original_source'?)" in problem
