"""Mutation testing of the pure core: each mutant must turn `tests/core` red; the last line is JSON.

`python -m tests.mutation [--jobs N] [MODULE...]`. One warm process forks a child per mutant, which puts the mutant in
the module's place and runs the tests: so a mutant costs what the tests cost. Exits 1 below the score of FLOOR.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import hypothesis
import pytest

import mappings.compiler  # warm: every child needs what it brings along
import sync.core
from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "merge",
    "plan",
    "addresses",
    "resolve",
    "qualify",
    "outcomes",
    "echo",
    "rounding",
    "views",
    "copies",
    "conversions",
)
FLOOR = 0.9
PATIENCE = 60
"""Seconds of a child; a mutant that never ends is killed, and by that found."""

OPTIONS = ("-x", "-q", "--no-header", "--noconftest", "-p", "no:cacheprovider", "--assert=plain")
WARM = (mappings.compiler,)


def main() -> int:
    """Try them all; 0 when enough of them were found."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("modules", nargs="*", default=MODULES)
    wanted = parser.parse_args()
    began = time.monotonic()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    _settle_hypothesis()
    gc.freeze()  # what is here now is never looked at again, so that a child need not copy it
    for module in wanted.modules:
        if os.waitpid(_start(module, None), 0)[1]:  # without tests of its own it is red, and so would each mutant be
            sys.stdout.write(f"the tests of {module} are red without any mutant\n")
            return 2
    tried, survivors = 0, []
    for module in wanted.modules:
        found = list(mutants((ROOT / "sync" / "core" / f"{module}.py").read_text()))
        tried += len(found)
        survivors += _tell(module, _left(module, found, wanted.jobs))
    score = 1 - len(survivors) / tried
    result = {
        "score": round(score, 4),
        "mutants": tried,
        "survivors": len(survivors),
        "seconds": round(time.monotonic() - began),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if score >= FLOOR else 1


def _settle_hypothesis() -> None:
    """The same examples for every mutant, and no search for the smallest that fails."""
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, phases=phases, deadline=None)
    hypothesis.settings.load_profile("mutation")


def _left(module: str, found: Iterable[Mutant], jobs: int) -> list[Mutant]:
    """The mutants that no test sees."""
    running: dict[int, Mutant] = {}
    left: list[Mutant] = []
    for mutant in found:
        running[_start(module, mutant)] = mutant
        if len(running) >= jobs:
            left.extend(_ended(running))
    while running:
        left.extend(_ended(running))
    return sorted(left, key=lambda mutant: mutant.line)


def _ended(running: dict[int, Mutant]) -> list[Mutant]:
    """Wait for one child; its mutant, where it survived."""
    child, status = os.wait()
    mutant = running.pop(child)
    return [mutant] if os.waitstatus_to_exitcode(status) == 0 else []


def _tell(module: str, left: list[Mutant]) -> list[Mutant]:
    for mutant in left:
        sys.stdout.write(f"UNSEEN sync/core/{module}.py:{mutant.line}: {mutant.what}\n")
    sys.stdout.flush()
    return left


def _start(module: str, mutant: Mutant | None) -> int:
    """A child process that runs the tests with the mutant in its place; it exits with 0 when they are green."""
    child = os.fork()
    if child == 0:
        os._exit(_run(module, mutant))
    return child


def _run(module: str, mutant: Mutant | None) -> int:
    signal.alarm(PATIENCE)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            if mutant is not None:
                _install(module, mutant)
            own = ROOT / "tests" / "core" / f"test_{module}.py"
            laws = own.with_name("test_laws.py")
            rest = [path for path in sorted(own.parent.glob("test_*.py")) if path not in (own, laws)]
            with contextlib.redirect_stdout(io.StringIO()):
                return _tests([own]) or _tests([*rest, laws])
        except BaseException:  # noqa: BLE001 - a mutant may break anything, the import included: then it is found
            return 1


def _tests(paths: Iterable[Path]) -> int:
    return int(pytest.main([*OPTIONS, *map(str, paths)]))


def _install(module: str, mutant: Mutant) -> None:
    """Put the mutant where the tests will import the module from."""
    name = f"sync.core.{module}"
    spec = importlib.util.find_spec(name)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    setattr(sync.core, module, made)
    exec(compile(mutant.tree, str(spec.origin), "exec"), made.__dict__)


if __name__ == "__main__":
    raise SystemExit(main())
