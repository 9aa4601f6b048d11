"""The people who answer what the engine asks, each question by one of its options, once the world is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Connection, select

from sync.conflicts import Answer, answer, listed
from sync.parked import OLDER
from sync.state.schema import leads, records, streams
from sync.withheld import WRITE
from sync.workspace import Workspace
from tests.simulation.process import plain
from tests.simulation.side import email_of

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario
    from tests.simulation.scenario import Scenario

_FIELDS = {"first_name": "first", "title": "title", "held": "title", "email": "email"}


def answered(scenario: Scenario) -> bool:
    """Answer all that is open; whether anything was."""
    with plain(scenario.workspace.state) as tx:
        asked = [question for question in listed(tx) if question["kind"] != "match"]
        for question in asked:
            _answer(scenario, tx, question)
    return bool(asked)


def put_right(scenario: PairScenario, command: Workspace) -> bool:
    """The same over HTTP, where all that is asked is about records whose time was ahead, and that are told older since:
    people take what was said last. Whether anything was asked."""
    with command.state.begin() as tx:
        asked = [question for question in listed(tx) if question["why"] == OLDER]
        for question in asked:
            last = max(question["options"], key=lambda option: scenario.number(option["value"]) or 0)
            scenario.told.append(f"{question['field']} of {question['lead']}: it is {last['value']!r}")
            answer(tx, command, question["id"], Answer(take=last["source"]))
    return bool(asked)


def _answer(scenario: Scenario, tx: Connection, question: dict[str, Any]) -> None:
    if question["kind"] == WRITE:
        _let(scenario, tx, question)
        return
    email = _email(scenario, tx, question["lead"])
    option = scenario.people.rng.choice(question["options"])
    scenario.people.decided[(email, _FIELDS[question["field"]])] = option["value"]
    scenario._say(f"{question['field']} of {email}: it is {option['value']!r}")
    answer(tx, scenario.workspace, question["id"], Answer(take=option["source"]))


def _let(scenario: Scenario, tx: Connection, question: dict[str, Any]) -> None:
    """Whoever was deleted there is left deleted; the others may be made."""
    email, side = _email(scenario, tx, question["lead"]), scenario.sides[question["connection"]]
    gone = any(row.gone and scenario.people.one(side.whose[row.id]) == email for row in side.rows().values())
    scenario._say(f"{question['field']} {email} on {side.name}: {'leave' if gone else 'write'}")
    answer(tx, scenario.workspace, question["id"], Answer(leave=gone, write=not gone))


def _email(scenario: Scenario, tx: Connection, lead: str) -> str:
    if scenario.mixed:
        mine = select(streams.c.connection, records.c.id).join(streams, streams.c.id == records.c.stream)
        side, id = tx.execute(mine.where(records.c.lead == lead)).all()[0]
        return scenario.people.one(scenario.sides[side].whose[id])
    body = orjson.loads(tx.execute(select(leads.c.body).where(leads.c.id == lead)).scalar_one())
    return scenario.people.one(email_of(body))
