"""Taps that misbehave as processes do: each is an error with a name, and leaves nothing running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, RetryLater
from connectors.api import Connector
from connectors.singer.process import TapProcess, harmless
from connectors.singer.sandbox import SingerSandbox
from tests.connectors.surroundings import connect, pulled

CLOCK = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def sandbox() -> Iterator[SingerSandbox]:
    with SingerSandbox(seed=1, clock=CLOCK) as made:
        assert isinstance(made, SingerSandbox)
        for number in range(3):
            made.put("contacts", {"email": f"p{number}@x.example"})
        yield made


def became(sandbox: SingerSandbox, **behave: Any) -> ClosedloopError:
    """What a pull ends with while the tap behaves like this."""
    sandbox.behave = behave
    connector = connect(sandbox, CLOCK, timeout=1)
    try:
        with pytest.raises(ClosedloopError) as told:
            pulled(connector, "contacts", None, [])
        return told.value
    finally:
        connector.close()


def test_a_tap_that_dies_says_its_last_word_without_what_is_personal(sandbox: SingerSandbox) -> None:
    told = became(sandbox, die_after=2, last="KeyError: row 'Ana Diaz' ana@people.example {'phone': 1} +34 600 123 456")
    assert isinstance(told, RetryLater)
    assert told.code == "ended"
    assert "ended with code 1. It said last: CRITICAL KeyError: row" in str(told)
    assert not re.search(r"Ana|people\.example|600|phone", str(told))


@pytest.mark.parametrize(
    ("behave", "error", "what"),
    [
        ({"die_after": 1, "exit": 2}, Misconfigured, "code 2"),
        ({"die_after": 1, "last": "403 Client Error: Forbidden"}, AuthorizationLost, "403"),
        ({"garbage_after": 1}, RetryLater, "no Singer message"),
        ({"hang_after": 2}, RetryLater, "silent for 1 seconds"),
        ({"shout": 2}, RetryLater, "silent for 1 seconds.*shouting without end"),
        ({"hang_after": 0}, RetryLater, "silent"),
    ],
)
def test_every_end_has_its_error(sandbox: SingerSandbox, behave: Any, error: type, what: str) -> None:
    told = became(sandbox, **behave)
    assert type(told) is error
    assert re.search(what, str(told))
    assert "ana@people" not in str(told)


def test_the_next_pull_goes_on_from_what_was_stored(sandbox: SingerSandbox) -> None:
    connector = connect(sandbox, CLOCK)
    sandbox.state_every, sandbox.behave = 1, {"die_after": 5}
    pages = connector.pull("contacts", None, [])
    first = next(pages)
    with pytest.raises(RetryLater):
        list(pages)
    told = [record.id for record in first.records]
    sandbox.behave = {}
    told += [record.id for record in pulled(connector, "contacts", first.cursor, [])[0]]
    connector.close()
    assert set(told) == {"r1", "r2", "r3"}


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def tap(tmp_path: Path, text: str) -> TapProcess:
    file = tmp_path / "tap.py"
    file.write_text(text)
    return TapProcess(
        [sys.executable, "-I", "-S", str(file)], connection="x", timeout=5, hidden=frozenset(), waiting=lambda: None
    )


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc for what still runs")
def test_closing_ends_the_tap_and_all_that_it_started(tmp_path: Path) -> None:
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    process = tap(
        tmp_path,
        f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}])\n"
        "print(child.pid, flush=True)\ntime.sleep(600)\n",
    )
    lines = process.lines()
    pid = int(next(lines))
    assert running(pid)
    process.close()
    until = time.monotonic() + 5
    while running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not running(pid)


def test_a_tap_waits_for_its_reader(tmp_path: Path) -> None:
    """What it wrote beyond the pipe and one chunk it has not written: nobody holds it."""
    count = tmp_path / "count"
    process = tap(
        tmp_path,
        f"import os\nfd = os.open({str(count)!r}, os.O_CREAT | os.O_WRONLY)\nline = b'x' * 1023 + b'\\n'\n"
        "for n in range(10_000):\n    os.write(1, line)\n    os.pwrite(fd, str(n).encode(), 0)\n",
    )
    lines = process.lines()
    assert len(next(lines)) == 1023
    before = -1
    while (now := int(count.read_text() or 0)) != before:
        before = now
        time.sleep(0.2)
    assert now < 400  # KiB: two pipes' worth, not the ten thousand
    assert sum(1 for _ in lines) == 10_000  # the rest, and the empty end
    process.close()


def test_a_line_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.singer.process.LONGEST", 200_000)
    process = tap(tmp_path, "import sys\nwhile True: sys.stdout.write('x' * 10_000)\n")
    with pytest.raises(RetryLater, match="longer than 200000 bytes"):
        list(process.lines())
    process.close()


def test_a_tap_that_closes_its_output_and_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = tap(tmp_path, "import os, time\nos.close(1)\ntime.sleep(600)\n")
    monkeypatch.setattr(process, "_timeout", 0.2)
    with pytest.raises(RetryLater, match="did not end"):
        list(process.lines())
    process.close()


def test_a_tap_ended_by_a_signal_is_told(tmp_path: Path) -> None:
    process = tap(tmp_path, "import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(RetryLater, match="ended by signal 9"):
        list(process.lines())
    process.close()


def test_a_silent_tap_keeps_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.singer.process.BREATH", 0.05)
    process = tap(tmp_path, "import time\ntime.sleep(0.4)\nprint('x')\n")
    breaths: list[int] = []
    monkeypatch.setattr(process, "_waiting", lambda: breaths.append(1))
    assert list(process.lines()) == [b"x", b""]
    assert len(breaths) >= 3
    process.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("FileNotFoundError: [Errno 2] No such file", "FileNotFoundError: [Errno 2] No such file"),
        ("GET https://x.example/a?token=abc failed", "GET https://x.example/a?… failed"),
        ("bad token hunter2!", "bad token ***!"),
        ("row {'name': 'Ana'} is bad", "row … is bad"),
        ("key sk_live_0123456789abcdefghij", "key …"),
        ('value "Ana" is bad', "value … is bad"),
        ("a\x1b[31mb", "a [31mb"),
        ("w " * 300, ("w " * 300)[:200]),
    ],
)
def test_a_last_word_shows_no_value(text: str, shown: str) -> None:
    assert harmless(text, frozenset({"hunter2"})) == shown


def children() -> set[str]:
    """The processes that this one has started and that still are; a database of other tests may be among them."""
    told = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False).stdout
    return set(told.split())


def test_nothing_runs_after_a_pull_to_its_end(sandbox: SingerSandbox) -> None:
    before = children()
    connector: Connector = connect(sandbox, CLOCK, page=1)
    pages = connector.pull("contacts", None, [])
    assert next(pages).more
    assert children() > before
    assert not list(pages)[-1].more
    assert children() == before
    connector.close()
