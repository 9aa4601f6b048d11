"""Kill -9 between the answer to a webhook and what follows from it: nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import registry
from connectors.trust import trust
from tests.hooks.surroundings import hubspot_event, hubspot_signed, sync_each, write


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """The real daemon, as a process."""

    def __init__(self, folder: Path, port: int) -> None:
        code = "from sync.cli.app import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, "--project", str(folder), "daemon"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NO_COLOR": "1"},
        )
        self.url = f"http://127.0.0.1:{port}/hooks/hubspot"
        self.until(lambda: self._listens(port))

    def _listens(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends or self._process.poll() is not None:
                self.kill()
                pytest.fail("in vain")
            time.sleep(0.05)

    def send(self, id: str) -> int:
        body = hubspot_event(id)
        headers = hubspot_signed(body)
        return httpx.post(
            self.url, content=body, headers=headers, verify=trust(), trust_env=False, timeout=30
        ).status_code

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


def asked(folder: Path, query: str) -> Any:
    with closing(sqlite3.connect(folder / "closedloop.db", timeout=30)) as connection:
        return connection.execute(query).fetchone()[0]


def pending(folder: Path) -> int:
    return int(asked(folder, "select count(*) from hints"))


def body(folder: Path) -> str:
    return str(asked(folder, "select r.body from records r join streams s on s.id = r.stream where s.kind = 'lead'"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_daemon_that_is_killed_after_its_answer_has_lost_nothing(tmp_path: Path) -> None:
    port = free_port()
    with registry.platform("hubspot").sandbox(seed=4) as made:
        made.put("contacts", {"email": "ana@people.example", "firstname": "Ana"})
        [id] = made.store.rows["contacts"]
        write(tmp_path, {"hubspot": made}, f"listen: '127.0.0.1:{port}'")
        sync_each(tmp_path)

        one = Process(tmp_path, port)
        made.edit("contacts", id, {"firstname": "Anna"})
        assert one.send(id) == 200
        one.kill()  # it waits for more of the burst still
        assert pending(tmp_path) == 1
        assert '"Ana"' in body(tmp_path)

        one = Process(tmp_path, port)
        one.until(lambda: '"Anna"' in body(tmp_path))
        one.until(lambda: pending(tmp_path) == 0)

        made.edit("contacts", id, {"firstname": "Anne"})
        made.inject("slow", "POST /crm/objects/.*/contacts/batch/read", seconds=3.0)
        assert one.send(id) == 200
        one.until(lambda: not made.faults[-1].times)  # the read is under way
        one.kill()
        assert pending(tmp_path) == 1

        one = Process(tmp_path, port)
        one.until(lambda: '"Anne"' in body(tmp_path))
        one.until(lambda: pending(tmp_path) == 0)
        assert one.end() == 0
