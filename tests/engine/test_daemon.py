"""The daemon: when runs are due, both engines behind the port, a clean stop, a reload, health and metrics."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from config.clock import ManualClock
from config.project import ConnectionConfig
from sync.daemon import Daemon, next_due
from sync.engine.api import Engine, Slice
from sync.engine.durable import DurableEngine
from sync.engine.inline import InlineEngine
from sync.metrics import Metrics, listen
from tests.engine.conftest import Loop, open_loop, write_project
from tests.engine.memory import Memory

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("settings", "last", "due"),
    [
        ({"every": "5m"}, None, NOON),
        ({"every": "5m"}, NOON - timedelta(minutes=2), NOON + timedelta(minutes=3)),
        ({"every": "5m"}, NOON - timedelta(hours=5), NOON - timedelta(hours=5) + timedelta(minutes=5)),
        ({"cron": "30 * * * *"}, NOON, NOON + timedelta(minutes=30)),
        ({"every": "5m", "jitter": "60s"}, NOON, NOON + timedelta(minutes=5, seconds=30)),
    ],
)
def test_when_a_run_is_due(settings: dict[str, str], last: datetime | None, due: datetime) -> None:
    assert next_due(ConnectionConfig.model_validate(settings), last, NOON, 0.5) == due


class Counter:
    """A slice function that finishes a run after three slices."""

    def __init__(self) -> None:
        self.slices: list[str] = []
        self.finished = threading.Event()

    def __call__(self, run: str) -> bool:
        self.slices.append(run)
        if self.slices.count(run) < 3:
            return False
        self.finished.set()
        return True


MakeEngine = Callable[[Slice], Engine]


@pytest.fixture(params=["inline", "durable"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeEngine]:
    made: list[Engine] = []

    def make(slice: Slice) -> Engine:
        engine = InlineEngine(slice) if request.param == "inline" else DurableEngine(slice, tmp_path / "engine.db")
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.stop(5)


def test_an_engine_runs_slices_until_one_says_done(make_engine: MakeEngine) -> None:
    count = Counter()
    engine = make_engine(count)
    engine.serve()
    engine.submit("run_a", "lane")
    assert count.finished.wait(20)
    assert count.slices == ["run_a"] * 3
    assert engine.workers()


def test_submitting_a_run_again_changes_nothing(make_engine: MakeEngine) -> None:
    count = Counter()
    engine = make_engine(count)
    engine.serve()
    engine.submit("run_a", "lane")
    assert count.finished.wait(20)
    if isinstance(engine, DurableEngine):
        engine.submit("run_a", "lane")
        count.finished.clear()
        engine.submit("run_b", "lane")
        assert count.finished.wait(20)
        assert count.slices.count("run_a") == 3


def test_a_run_open_at_the_stop_goes_on_in_the_next_process(tmp_path: Path) -> None:
    began, release, done = threading.Event(), threading.Event(), threading.Event()

    def first(run: str) -> bool:
        began.set()
        release.wait(20)
        return False

    def second(run: str) -> bool:
        done.set()
        return True

    engine = DurableEngine(first, tmp_path / "engine.db")
    engine.serve()
    engine.submit("run_a", "lane")
    assert began.wait(20)
    stopping = threading.Thread(target=engine.stop, args=(20,))
    stopping.start()
    release.set()
    stopping.join(30)
    again = DurableEngine(second, tmp_path / "engine.db")
    again.serve()
    try:
        assert done.wait(30)
    finally:
        again.stop(5)


def make_daemon(folder: Path, alpha: Memory, beta: Memory, clock: ManualClock) -> Daemon:
    return Daemon(folder, lambda where: open_loop(where, clock, alpha, beta), InlineEngine)


def test_a_tick_starts_what_is_due_and_nothing_else(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    daemon = make_daemon(loop.folder, loop.alpha, loop.beta, loop.clock)
    assert len(daemon.tick()) == 2
    assert daemon.tick() == []
    loop.clock.advance(301)
    assert len(daemon.tick()) == 2
    daemon.workspace.close()


def test_a_run_that_fails_does_not_stop_the_daemon(loop: Loop) -> None:
    daemon = make_daemon(loop.folder, loop.alpha, loop.beta, loop.clock)
    daemon.tick()
    loop.alpha.account_id = "another"
    loop.clock.advance(301)
    daemon.tick()
    health = orjson.loads(daemon.metrics.health())
    assert health["status"] == "degraded"
    assert health["connections"]["alpha"]["state"] == "failed"
    assert health["connections"]["beta"]["state"] == "done"
    daemon.workspace.close()


def test_health_and_metrics_on_a_local_port(loop: Loop) -> None:
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    daemon = make_daemon(loop.folder, loop.alpha, loop.beta, loop.clock)
    daemon.tick()
    server = listen("127.0.0.1:0", daemon.metrics)
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        with urllib.request.urlopen(f"{base}/healthz") as answer:
            assert orjson.loads(answer.read())["status"] == "ok"
        with urllib.request.urlopen(f"{base}/metrics") as answer:
            page = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert 'closedloop_records_total{connection="alpha",part="pull",state="applied"} 1.0' in page
    assert "ana@x.io" not in page
    daemon.workspace.close()


def test_a_changed_project_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    write_project(tmp_path, "sqlite:///closedloop.db")
    daemon = make_daemon(tmp_path, Memory(clock), Memory(clock), clock)
    file = tmp_path / "closedloop.yaml"
    good = file.read_text()
    file.write_text(good.replace("qualified_when", "qualifed_when"))
    daemon._read_anew()
    assert daemon.workspace.project.daemon.tick == 15
    file.write_text(good + "daemon: {tick: 5s}\n")
    daemon._read_anew()
    assert daemon.workspace.project.daemon.tick == 5
    daemon.workspace.close()


def test_metrics_begin_empty() -> None:
    assert orjson.loads(Metrics().health())["status"] == "starting"
