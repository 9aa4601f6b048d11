"""Plant each bug in a copy of the project and run the suite there until it is red; the last line is JSON.

`python -m tests.planted [--jobs N] [NAME...]`: a NAME is a part of a bug's name. Exits 1 when a bug went unseen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.planted.bug import Bug
from tests.planted.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("config", "connectors", "docs", "mappings", "sync", "tests", "pyproject.toml", "README.md", "CHANGELOG.md")
PATIENCE = 900


def main() -> int:
    """Plant them all; 0 when every one was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("names", nargs="*")
    wanted = parser.parse_args()
    bugs = [bug for bug in BUGS if not wanted.names or any(name in bug.name for name in wanted.names)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        if failure := _red(_copy(Path(folder) / "sound"), "tests/core tests/planted"):
            sys.stdout.write(f"the suite is red without any bug:\n{failure}\n")
            return 2
        with ThreadPoolExecutor(wanted.jobs) as pool:
            seen = list(pool.map(lambda bug: _caught(bug, Path(folder)), bugs))
    caught = sum(seen)
    result = {"planted": len(bugs), "caught": caught, "seconds": round(time.monotonic() - began)}
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if caught == len(bugs) else 1


def _caught(bug: Bug, folder: Path) -> bool:
    """Whether the suite is red with this bug in it; says which test saw it."""
    copy = _copy(folder / f"bug{BUGS.index(bug)}")
    plant(bug, copy)
    began = time.monotonic()
    told = _red(copy, bug.tests)
    shutil.rmtree(copy)
    sys.stdout.write(f"{'caught ' if told else 'UNSEEN '} {time.monotonic() - began:5.0f} s  {bug.name}: {told}\n")
    sys.stdout.flush()
    return bool(told)


def plant(bug: Bug, root: Path) -> None:
    """Put the bug into the project at `root`. Raises ValueError when its place is not there exactly once."""
    file = root / bug.file
    text = file.read_text()
    if text.count(bug.old) != 1:
        raise ValueError(f"{bug.name}: {bug.file} has its place {text.count(bug.old)} times")
    file.write_text(text.replace(bug.old, bug.new))


def _copy(target: Path) -> Path:
    target.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target / part)
    return target


def _red(copy: Path, tests: str) -> str:
    """The first test that fails; "" when none does. On SQLite alone, which is quicker: red there is red."""
    shared = os.environ.get("CLOSEDLOOP_SHARED") or str(ROOT.parent / "shared")
    environment = {**os.environ, "PYTHONPATH": str(copy), "CLOSEDLOOP_SHARED": shared, "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-k", "not postgresql"]
    command = [sys.executable, "-m", "pytest", *options, *tests.split()]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the suite did not end within {PATIENCE} s"
    if done.returncode == 0:
        return ""
    if done.returncode in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"there is no such test: {tests}")
    lines = done.stdout.splitlines()
    return next((line for line in lines if line.startswith(("FAILED", "ERROR"))), (lines or ["no output"])[-1])[:160]


if __name__ == "__main__":
    raise SystemExit(main())
