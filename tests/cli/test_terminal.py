"""At a terminal: the question before the first writes, and Ctrl-C at each moment."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from sync import scaffold
from tests.cli.test_commands import closedloop

ASKED = "Write this?"
PATIENCE = 60.0
"""Seconds."""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=5)) for name in ("hubspot", "salesforce")}


@pytest.fixture
def project(platforms: dict[str, Any], tmp_path: Path) -> Path:
    """One person who is ready for sales."""
    chosen = {name: scaffold.sandbox_connection(tmp_path, name, made) for name, made in platforms.items()}
    scaffold.write(tmp_path, chosen, tail="qualification: {qualified_when: \"lead.title == 'Chief'\"}\n")
    values = {"email": "ana@x.example", "firstname": "Ana", "lastname": "X", "jobtitle": "Chief"}
    platforms["hubspot"].put("contacts", values)
    return tmp_path


class Terminal:
    """`closedloop` at a terminal of its own, as the leader of its session: Ctrl-C reaches it and nobody else."""

    def __init__(self, project: Path, *arguments: str) -> None:
        code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # it may be ignored out here
        code += "from sync.cli.app import main; main()"
        self.screen = ""
        self.keys, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "-C", str(project), *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)

    def until(self, text: str) -> None:
        """Read the screen until `text` is there."""
        end = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert time.monotonic() < end, self.screen
            self._read()

    def interrupt(self) -> None:
        """Ctrl-C, and again after a while: one that comes just before the program begins to read waits for the next."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self.process.send_signal(signal.SIGINT)
            again = time.monotonic() + 3
            while self.process.poll() is None and time.monotonic() < again:
                self._read()

    def done(self) -> int:
        """Read on to the end: the exit code."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError(f"goes on and on: {self.screen}")
            self._read()
        with suppress(OSError):
            self.screen += os.read(self.keys, 65_536).decode(errors="replace")
        os.close(self.keys)
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self.keys], [], [], 0.1)[0]:
            with suppress(OSError):  # the other side is closed: the end
                self.screen += os.read(self.keys, 65_536).decode(errors="replace")


def test_a_yes_lets_the_first_writes_through(project: Path, platforms: dict[str, Any]) -> None:
    terminal = Terminal(project, "sync")
    terminal.until(ASKED)
    assert "would create 1 leads" in terminal.screen.replace("\x1b[1m", "").replace("\x1b[0m", "")
    os.write(terminal.keys, b"y\n")
    assert terminal.done() == 0, terminal.screen
    assert [row["FirstName"] for row in platforms["salesforce"].all("leads")] == ["Ana"]


def test_what_changed_before_the_yes_is_shown_again(project: Path, platforms: dict[str, Any]) -> None:
    terminal = Terminal(project, "sync")
    terminal.until(ASKED)
    values = {"email": "bob@x.example", "firstname": "Bob", "lastname": "Y", "jobtitle": "Chief"}
    platforms["hubspot"].put("contacts", values)
    terminal.screen = ""
    os.write(terminal.keys, b"y\n")
    terminal.until("has changed since it was shown")
    terminal.until(ASKED)
    assert "would create 2 leads" in terminal.screen.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert platforms["salesforce"].all("leads") == []
    os.write(terminal.keys, b"y\n")
    assert terminal.done() == 0, terminal.screen
    assert sorted(row["FirstName"] for row in platforms["salesforce"].all("leads")) == ["Ana", "Bob"]


@pytest.mark.parametrize(("answer", "code"), [(b"\n", 3), (b"\x03", 130)], ids=["enter", "ctrl-c"])
def test_anything_else_writes_nothing(project: Path, platforms: dict[str, Any], answer: bytes, code: int) -> None:
    terminal = Terminal(project, "sync")
    terminal.until(ASKED)
    os.write(terminal.keys, answer)
    if code == 130:  # the pseudo-terminal is not its controlling one: the signal that the key would send
        terminal.interrupt()
    assert terminal.done() == code, terminal.screen
    assert platforms["salesforce"].all("leads") == []
    assert "Traceback" not in terminal.screen


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(project: Path, platforms: dict[str, Any]) -> None:
    platforms["hubspot"].latency = 0.3
    terminal = Terminal(project, "sync", "--yes")
    _until_called(platforms["hubspot"], 3)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.done() == 130, terminal.screen
    assert "Stopped cleanly" in terminal.screen
    platforms["hubspot"].latency = 0.0
    again = closedloop(project, "sync", "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(platforms["salesforce"].all("leads")) == 1


def _until_called(sandbox: Any, calls: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(sandbox.log) < calls:
        assert time.monotonic() < end
        time.sleep(0.02)
