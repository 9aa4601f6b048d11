"""What nearly every run asks and nearly always finds empty is answered by an index, not by going through a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from sync import decide, guards, planning, push, resolve
from sync.state.database import State

ASKED: Mapping[str, tuple[Any, Mapping[str, Any], str]] = {
    "stirred": (resolve._STIRRED, {}, "records_dirty"),
    "stirred, activities": (resolve._STIRRED, {}, "activities_dirty"),
    "stirred, leads": (resolve._STIRRED, {}, "leads_dirty"),
    "to link": (resolve._DIRTY, {"limit": 500}, "records_dirty"),
    "to be passed on": (resolve._CHANGED, {"kinds": ["deal"], "limit": 500}, "records_dirty"),
    "happened": (resolve._HAPPENED, {"limit": 500}, "activities_dirty"),
    "to merge": (decide._TO_MERGE, {"limit": 500}, "leads_dirty"),
    "to plan": (planning._TO_PLAN, {"after": ""}, "leads_dirty"),
    "due": (guards._DUE, {}, "leads_dirty"),
    "of unknown fate here": (push._OPEN, {"of": "crm"}, "journal_open"),
    "of unknown fate anywhere": (push._ALL_OPEN, {}, "journal_open"),
    "in doubt": (push._UNSURE, {}, "journal_open"),
}


@pytest.mark.parametrize("name", ASKED)
def test_it_is_answered_by_its_index(name: str, state: State) -> None:
    if state.dialect != "sqlite":
        pytest.skip("SQLite takes partial indexes only word for word; PostgreSQL sees what a condition implies")
    statement, given, index = ASKED[name]
    with state.read() as tx:
        seen: list[tuple[str, Any]] = []
        note = lambda *told: seen.append((told[2], told[3]))  # noqa: E731
        sa.event.listen(state.engine, "before_cursor_execute", note)
        tx.execute(statement, given)
        sa.event.remove(state.engine, "before_cursor_execute", note)
        text, values = seen[-1]  # before it comes BEGIN
        steps = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    assert any(f"INDEX {index}" in step for step in steps), steps
