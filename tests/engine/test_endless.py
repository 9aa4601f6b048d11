"""A platform, or what sits in its place, that gives ever new pages: the pull ends, what came is kept, and the next run
goes on after it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from config.errors import Misconfigured
from sync.runs import Options, Report, Runner
from sync.state.schema import records, streams
from tests.engine.conftest import Loop

BOUND = 60


@pytest.fixture
def bounded(loop: Loop) -> Loop:
    file = loop.folder / "closedloop.yaml"
    file.write_text(file.read_text() + f"guards: {{pages: {BOUND}}}\n")
    loop.reopen()
    loop.beta.put("contacts", {"email": "bob@x.io", "first": "Bob"})
    return loop


def held(loop: Loop) -> tuple[int, int, bool]:
    """How many contacts of alpha are known, where among invented ones the next pull begins, and whether it is whole."""
    with loop.workspace.state.read() as tx:
        mine = (streams.c.connection == "alpha") & (streams.c.object == "contacts")
        stream = tx.execute(sa.select(streams).where(mine)).one()
        known = tx.execute(sa.select(sa.func.count()).where(records.c.stream == stream.id)).scalar_one()
    return known, int(stream.cursor) if (stream.cursor or "").isdigit() else 0, bool(stream.complete)


def told(report: Report) -> Misconfigured:
    [error] = report.errors
    assert isinstance(error, Misconfigured)
    assert (error.connection, error.code) == ("alpha", "endless")
    assert "guards.pages" in error.fix
    return error


def test_ever_new_pages_of_records_end(bounded: Loop) -> None:
    bounded.alpha.invents = "records"
    error = told(bounded.sync())
    assert error.object == "contacts"
    known, cursor, complete = held(bounded)
    assert known == cursor >= BOUND, "what came is kept, and the cursor stands after it"
    assert known < 2 * BOUND
    assert not complete
    with bounded.workspace.state.read() as tx:
        mine = (streams.c.connection == "beta") & (streams.c.object == "contacts")
        assert tx.execute(sa.select(streams.c.complete).where(mine)).scalar_one(), "others are pulled all the same"
    told(bounded.sync())
    again, after, _ = held(bounded)
    assert again == after >= 2 * BOUND, "the next run goes on where this one stopped"


def test_ever_new_pages_without_records_end(bounded: Loop) -> None:
    bounded.alpha.invents = "pages"
    told(bounded.sync())
    assert BOUND <= held(bounded)[1] < 2 * BOUND


def test_ever_new_calls_that_come_to_no_page_end(bounded: Loop) -> None:
    bounded.alpha.invents = "calls"
    assert "60 calls" in told(bounded.sync()).what
    assert held(bounded) == (0, 0, False)


def test_the_pages_of_a_run_count_over_all_its_slices(bounded: Loop) -> None:
    """The daemon takes a run in slices, each by an attempt of its own."""
    bounded.alpha.invents = "records"
    runner = Runner(bounded.workspace)
    run = runner.open("sync", ("alpha",), Options())
    slices = 1
    while not runner.slice(run, 10.0):
        slices += 1
        assert slices < 3 * BOUND, "it does not end"
    assert slices > 2
    assert BOUND <= held(bounded)[0] < 2 * BOUND


def test_an_account_of_many_pages_is_read_to_its_end(bounded: Loop) -> None:
    for number in range(3 * (BOUND - 1)):
        bounded.alpha.put("contacts", {"email": f"p{number}@x.io"})
    assert bounded.sync(push=False).errors == []
    known, complete = held(bounded)[::2]
    assert (known, complete) == (3 * (BOUND - 1), True)
