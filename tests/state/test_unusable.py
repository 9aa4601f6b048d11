"""A database that cannot be used is told in words, with what to do; nothing is half written and no secret shown."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.clock import ManualClock
from config.errors import ClosedloopError, StateUnusable
from sync.state.database import State, upsert
from sync.state.schema import meta
from tests.conftest import MakeState


@pytest.fixture
def at(tmp_path: Path, clock: ManualClock) -> Callable[[str], State]:
    return lambda name: State.open(f"sqlite:///{tmp_path / name}", clock=clock)


def _fill(state: State, megabytes: int) -> None:
    with state.begin() as tx:
        for number in range(megabytes):
            tx.execute(meta.insert().values(name=f"fill{number}", value="x" * 1_000_000))


def test_a_new_file_belongs_to_its_owner_alone(at: Callable[[str], State], tmp_path: Path) -> None:
    at("new.db").close()
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_a_full_disk(at: Callable[[str], State]) -> None:
    state = at("full.db")
    with state.read() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
    sa.event.listen(state.engine, "connect", lambda c, _: c.execute(f"PRAGMA max_page_count={pages + 20}"))
    state.engine.dispose()
    with pytest.raises(StateUnusable, match=r"disk is full.*Make room") as refused:
        _fill(state, 3)
    assert isinstance(refused.value.__cause__, sa.exc.DBAPIError)
    with state.read() as tx:
        assert tx.execute(sa.select(meta).where(meta.c.name.like("fill%"))).all() == []
    with state.begin() as tx:
        tx.execute(meta.insert().values(name="small", value="fits"))
    state.close()


def test_a_full_disk_of_the_server(state: State) -> None:
    """PostgreSQL's own words for it, raised by a real server."""
    if state.engine.dialect.name != "postgresql":
        pytest.skip("SQLite's disk is filled for real above")
    words = 'could not extend file "base/5/16384": No space left on device'
    refuse = sa.text(f"DO $$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = 'disk_full'; END $$")
    half = meta.insert().values(name="half", value="written")
    with pytest.raises(StateUnusable, match=r"disk is full.*Make room"), state.begin() as tx:
        [tx.execute(statement) for statement in (half, refuse)]
    with state.read() as tx:
        assert tx.execute(sa.select(meta).where(meta.c.name == "half")).all() == []


def test_a_read_only_file(at: Callable[[str], State], tmp_path: Path) -> None:
    at("closed.db").close()
    (tmp_path / "closed.db").chmod(0o444)
    with pytest.raises(StateUnusable, match="read-only"):
        at("closed.db")


@pytest.mark.parametrize("content", [b"no database but a letter" * 300, b"SQLite format 3\0" + b"\xff" * 8192])
def test_garbage(at: Callable[[str], State], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "garbage.db").write_bytes(content)
    with pytest.raises(StateUnusable):
        at("garbage.db")
    assert (tmp_path / "garbage.db").read_bytes() == content


def test_a_torn_file(at: Callable[[str], State], tmp_path: Path) -> None:
    state = at("torn.db")
    _fill(state, 2)
    state.close()
    whole = (tmp_path / "torn.db").read_bytes()
    (tmp_path / "torn.db").write_bytes(whole[:4096] + b"\0" * (len(whole) - 4096))
    with pytest.raises(StateUnusable):
        at("torn.db")


def test_a_folder_in_place_of_the_file(at: Callable[[str], State], tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StateUnusable):
        at("folder.db")


def test_another_program_holds_the_file(at: Callable[[str], State], tmp_path: Path) -> None:
    state = at("held.db")
    sa.event.listen(state.engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout=50"))
    state.engine.dispose()
    other = sqlite3.connect(tmp_path / "held.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnusable, match="Another program"):
        _fill(state, 1)
    with state.read() as tx:
        assert tx.execute(sa.select(meta.c.name)).all()
    other.execute("ROLLBACK")
    other.close()
    _fill(state, 1)
    state.close()


def test_no_server_and_no_password_in_the_message(clock: ManualClock) -> None:
    with pytest.raises(StateUnusable) as refused:
        State.open("postgresql://ana:hunter2@127.0.0.1:1/nowhere", clock=clock)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.__cause__)


@pytest.mark.parametrize(
    "url", ["", "closedloop.db", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:port/d", "sqlite://"]
)
def test_an_address_that_is_none(url: str, clock: ManualClock) -> None:
    with pytest.raises(ClosedloopError) as refused:
        State.open(url, clock=clock)
    assert "hunter2" not in str(refused.value)


def test_a_refused_statement_shows_no_values(state: State) -> None:
    row = {"name": "ana@x.io", "value": "private"}
    with pytest.raises(StateUnusable) as refused, state.begin() as tx:
        tx.execute(meta.insert(), [row, row])
    assert "private" not in str(refused.value)
    assert "private" not in str(refused.value.__cause__)


def test_a_transaction_inside_a_transaction_is_a_mistake_at_once(state: State) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"), state.begin(), state.begin():
        pass
    with state.begin(), state.read() as tx:
        assert tx.execute(sa.select(meta.c.name)).all()


def test_a_reader_sees_one_view_while_others_write(make_state: MakeState) -> None:
    one, other = make_state(), make_state()
    count = sa.select(sa.func.count()).select_from(meta)
    with one.read() as tx:
        before = tx.execute(count).scalar_one()
        with other.begin() as writing:
            writing.execute(meta.insert().values(name="later", value="x"))
        assert tx.execute(count).scalar_one() == before
    with one.read() as tx:
        assert tx.execute(count).scalar_one() == before + 1


def test_many_threads_write_and_read(state: State) -> None:
    def work(number: int) -> None:
        for _ in range(10):
            with state.begin(durable=number % 2 == 0) as tx:
                add = tx.execute(sa.select(meta.c.value).where(meta.c.name == "n").with_for_update()).scalar() or "0"
                tx.execute(upsert(meta, tx, update=["value"]), [{"name": "n", "value": str(int(add) + 1)}])

    work(0)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with state.read() as tx:
        assert tx.execute(sa.select(meta.c.value).where(meta.c.name == "n")).scalar() == "70"
