"""Where the journal cannot be written nothing is written anywhere else: the entry comes first, or no write comes."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from config.errors import StateUnusable
from sync.state.schema import journal, meta
from tests.engine.conftest import Loop

FULL = {
    "sqlite": "CREATE TRIGGER full_disk BEFORE {when} ON journal "
    "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
    "postgresql": "CREATE TRIGGER full_disk BEFORE {when} ON journal FOR EACH ROW EXECUTE FUNCTION full_disk()",
}
RAISING = (
    "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN "
    "RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$ LANGUAGE plpgsql"
)


@pytest.fixture
def ready(loop: Loop) -> Loop:
    """Somebody to be handed over, and somebody to be written to on both sides."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    ana = next(iter(loop.alpha.rows["contacts"]))
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana})
    loop.beta.put("contacts", {"email": "ana@x.io", "first": "Ana"})
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])
    return loop


def fill(loop: Loop, when: str) -> None:
    """From now on the journal takes nothing of this kind."""
    dialect = loop.workspace.state.dialect
    with loop.workspace.state.begin() as tx:
        if dialect == "postgresql":
            tx.exec_driver_sql(RAISING)
        tx.exec_driver_sql(FULL[dialect].format(when=when))


def make_room(loop: Loop) -> None:
    there = " ON journal" if loop.workspace.state.dialect == "postgresql" else ""
    with loop.workspace.state.begin() as tx:
        tx.exec_driver_sql(f"DROP TRIGGER full_disk{there}")


def states(loop: Loop) -> list[str]:
    with loop.workspace.state.read() as tx:
        return list(tx.execute(select(journal.c.state)).scalars())


def test_without_its_entry_in_the_journal_no_write_leaves(ready: Loop) -> None:
    fill(ready, "INSERT")
    with pytest.raises(StateUnusable, match="disk is full"):
        ready.sync()
    assert (ready.alpha.writes, ready.beta.writes, states(ready)) == ([], [], [])
    make_room(ready)
    ready.settled()
    assert ready.alpha.writes
    assert set(states(ready)) == {"settled"}


def test_where_what_came_of_a_write_cannot_be_kept_no_other_leaves_there(ready: Loop) -> None:
    fill(ready, "UPDATE")
    for _ in range(3):
        with pytest.raises(StateUnusable, match="disk is full"):
            ready.sync()
    sent = [*ready.alpha.writes, *ready.beta.writes]
    assert len(sent) == states(ready).count("sent") == 2  # one on each side
    make_room(ready)
    ready.settled()
    everything = [(op.object, op.id, tuple(op.values.items())) for op in (*ready.alpha.writes, *ready.beta.writes)]
    assert len(everything) == len(set(everything))
    assert "sent" not in states(ready)
