"""The daemon as a process: it syncs by itself, answers on its port, reloads on SIGHUP, ends on SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors import registry
from sync import scaffold


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def health(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return orjson.loads(answer.read())  # type: ignore[no-any-return]
    except (urllib.error.URLError, OSError):
        return {}


def until(condition: Any, seconds: float, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            pytest.fail(f"in vain: {process.communicate()[1].decode()[-2000:]}")
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP on this system")
def test_a_day_in_the_life_of_the_daemon(tmp_path: Path) -> None:
    port = free_port()
    with registry.platform("hubspot").sandbox(seed=5) as hubspot:
        for number in range(5):
            hubspot.put("contacts", {"email": f"p{number}@x.example"})
        chosen = {"hubspot": scaffold.sandbox_connection(tmp_path, "hubspot", hubspot)}
        scaffold.write(tmp_path, chosen)
        file = tmp_path / "closedloop.yaml"
        text = file.read_text().replace("127.0.0.1:9464", f"127.0.0.1:{port}").replace("every: 5m", "every: 1s")
        file.write_text(text.replace("daemon:\n", "daemon:\n  tick: 1s\n"))
        code = "from sync.cli.app import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--project", str(tmp_path), "daemon"],
            stderr=subprocess.PIPE,
            env={**os.environ, "NO_COLOR": "1"},
        )
        until(lambda: health(port).get("connections", {}).get("hubspot", {}).get("state") == "done", 60, process)
        first = health(port)["connections"]["hubspot"]["finished_at"]
        process.send_signal(signal.SIGHUP)
        until(lambda: health(port)["connections"]["hubspot"]["finished_at"] > first, 60, process)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told.decode()[-2000:]
    events = [orjson.loads(line)["event"] for line in told.decode().splitlines() if line.startswith("{")]
    assert {"daemon.started", "daemon.reloaded", "daemon.stopped"} <= set(events)
    assert "@x.example" not in told.decode()
