"""Laws of the whole loop, over whatever stands on both sides: a sync comes to rest, an undo of it leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from config.clock import ManualClock
from sync import planfile
from sync.runs import Options, Runner
from sync.state.schema import meta
from sync.undo import Chosen, Left, reverse
from tests.engine.conftest import Loop, open_loop, write_project
from tests.engine.memory import Memory

CONSENTS = ("consent", "opted_out")
"""Remote fields that no program loosens: an undo leaves them."""

FEW = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without the search for the smallest example: each is a whole loop, and there is little in it."""

names = st.sampled_from(["Ana", "Bob", "Ann", "", None])
titles = st.sampled_from(["Chief", "Clerk", "Chief of all", "", None])


def people(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Up to four records, most of them of people who stand on the other side too."""
    one = st.fixed_dictionaries(
        {"email": st.sampled_from(["ana@x.io", "bob@x.io", "eve@x.io", "zoe@x.io"])},
        optional={"first": names, "title": titles, "phone": st.sampled_from(["+4930123456", "+12125550123"]), **more},
    )
    return st.lists(one, max_size=4, unique_by=lambda record: record["email"])


marketing = people(consent=st.sampled_from(["subscribed", "unsubscribed"]), stage=st.sampled_from(["lead", "customer"]))
sales = people(opted_out=st.sampled_from(["true", None]))
Edits = list[tuple[bool, int, str, str]]
edits = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from(["first", "title"]), st.sampled_from(["New", "Newer"])),
    max_size=3,
)


@contextmanager
def world(folder: Path, migrated: Path, here: list[dict[str, Any]], there: list[dict[str, Any]]) -> Iterator[Loop]:
    """A loop over these records, with the first run behind it and the first of alpha's people ready for sales."""
    shutil.copyfile(migrated, folder / "closedloop.db")
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    write_project(folder, f"sqlite:///{folder / 'closedloop.db'}")
    alpha, beta = Memory(clock), Memory(clock)
    for memory, found in ((alpha, here), (beta, there)):
        for number, values in enumerate(found):
            clock.advance(1)
            memory.put("contacts", values, id=f"c{number}")
    if here:
        alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": "c0"})
    loop = Loop(folder, clock, alpha, beta, open_loop(folder, clock, alpha, beta))
    with loop.workspace.state.begin() as tx:
        tx.execute(meta.insert(), [{"name": f"canary:{name}", "value": "before"} for name in ("alpha", "beta")])
    try:
        yield loop
    finally:
        loop.workspace.close()


def held(loop: Loop) -> dict[str, list[dict[str, Any]]]:
    """What stands on both sides: live records, without blanks and without consents."""
    return {
        f"{name}/{object}": sorted(
            (
                {key: value for key, value in row.items() if value not in (None, "") and key not in CONSENTS}
                for row in memory.all(object)
            ),
            key=str,
        )
        for name, memory in (("alpha", loop.alpha), ("beta", loop.beta))
        for object in ("contacts", "prospects", "tasks")
    }


def undone(loop: Loop, run: str) -> list[Left]:
    """Take the run back; what was left as it is."""
    with loop.workspace.state.read() as tx:
        made = reverse(tx, loop.workspace, Chosen(run=run))
        plan = planfile.Plan(loop.workspace.now(), planfile.state_id(tx), made.operations)
    assert (
        planfile.apply(loop.workspace, plan, Runner(loop.workspace), command="undo", choice=run).report.state == "done"
    )
    return made.left


@settings(max_examples=12, deadline=None, phases=FEW)
@given(here=marketing, there=sales)
def test_an_undo_of_a_sync_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, here: Any, there: Any
) -> None:
    with world(tmp_path_factory.mktemp("law"), migrated_sqlite, here, there) as loop:
        before = held(loop)
        report = loop.sync()
        left = undone(loop, report.run)
        assert [one for one in left if "opt-out" not in one.why] == []
        assert held(loop) == before
        assert loop.sync().counts["write"] == {}
        assert held(loop) == before


@settings(max_examples=12, deadline=None, phases=FEW)
@given(here=marketing, there=sales, changed=edits)
def test_a_sync_comes_to_rest_and_both_sides_agree(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, here: Any, there: Any, changed: Edits
) -> None:
    with world(tmp_path_factory.mktemp("law"), migrated_sqlite, here, there) as loop:
        loop.settled()
        for on_alpha, number, name, value in changed:
            memory = loop.alpha if on_alpha else loop.beta
            if f"c{number}" in memory.rows.get("contacts", {}):
                loop.clock.advance(1)
                memory.edit("contacts", f"c{number}", {name: value})
        loop.settled()
        stands = held(loop)
        loop.clock.advance(3600)
        report = Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
        assert (report.counts["write"], held(loop)) == ({}, stands)
        ours = {row["email"]: row for row in loop.alpha.all("contacts")}
        for row in (*loop.beta.all("contacts"), *loop.beta.all("prospects")):
            twin = ours.get(row["email"])
            for name in ("first", "title"):
                assert twin is None or (twin.get(name) or None) == (row.get(name) or None), name
