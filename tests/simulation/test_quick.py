"""The state in memory shows what stands there, however often it was asked before."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, func, select, update

from config.clock import ManualClock
from sync.state import rows
from sync.state.database import State, upsert
from sync.state.schema import meta, records, streams
from sync.streams import stream_for
from tests.simulation.quick import OFTEN, Memory
from tests.simulation.world import START

NOTED = select(meta.c.value).where(meta.c.name == bindparam("of"))
COUNTED = select(func.count()).select_from(records).join(streams, streams.c.id == records.c.stream)
CHANGED = update(meta).where(meta.c.name == bindparam("of")).values(value=bindparam("to"))


@pytest.fixture
def state() -> State:
    memory = Memory()
    memory.renew()
    return memory.state(ManualClock(START))


def noted(state: State) -> str | None:
    with state.read() as tx:
        found: str | None = tx.execute(NOTED, {"of": "a"}).scalar()
        return found


def counted(state: State) -> int:
    with state.read() as tx:
        return int(tx.execute(COUNTED).scalar_one())


def note(state: State, value: str) -> None:
    with state.begin() as tx:
        tx.execute(upsert(meta, tx, update=["value"]), [{"name": "a", "value": value}])


def break_off(state: State) -> None:
    """Something goes wrong after a write was seen by its own transaction."""
    with state.begin() as tx:
        tx.execute(CHANGED, {"of": "a", "to": "undone"})
        assert tx.execute(NOTED, {"of": "a"}).scalar() == "undone"
        raise ZeroDivisionError


def test_every_write_is_seen_by_the_next_look(state: State) -> None:
    for number in range(OFTEN * 2):
        note(state, str(number))
        assert noted(state) == str(number)


def test_an_update_is_seen_whether_or_not_it_finds_anything(state: State) -> None:
    for number in range(OFTEN * 2):
        with state.begin() as tx:
            tx.execute(CHANGED, {"of": "a", "to": str(number)})
        assert noted(state) is None
    for number in range(OFTEN * 2):
        note(state, "new")
        with state.begin() as tx:
            tx.execute(CHANGED, {"of": "a", "to": str(number)})
        assert noted(state) == str(number)


def test_what_was_undone_is_not_there(state: State) -> None:
    note(state, "kept")
    for _ in range(OFTEN * 2):
        with pytest.raises(ZeroDivisionError):
            break_off(state)
        assert noted(state) == "kept"


def test_rows_that_are_written_in_plain_sql_are_seen_through_a_join(state: State) -> None:
    with state.begin() as tx:
        stream = stream_for(tx, "alpha", "contacts", "lead").id
    for number in range(OFTEN * 2):
        assert counted(state) == number
        with state.begin() as tx:
            names = ("stream", "id", "raw_hash", "hash", "body", "first_at")
            rows.insert(tx, records, names, [(stream, str(number), 0, 0, "{}", "2026")])
    assert counted(state) == OFTEN * 2


def test_a_new_scenario_knows_nothing_of_the_last() -> None:
    memory = Memory()
    for _ in range(OFTEN * 2):
        memory.renew()
        state = memory.state(ManualClock(START))
        assert noted(state) is None
        note(state, "old")
        assert noted(state) == "old"
