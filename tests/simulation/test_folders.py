"""Nothing of a simulation stays in memory behind the process that made it."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.folders import folder


def _made(name: str) -> str:
    return str(folder(name))


def test_a_folder_goes_with_its_process() -> None:
    program = "from tests.simulation.folders import folder; print(folder('test'))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    made = Path(told.stdout.strip())
    assert made.name.startswith("closedloop-test-")
    assert not made.exists()


def test_a_folder_goes_with_a_worker_of_a_pool() -> None:
    with get_context("spawn").Pool(1) as pool:
        made = Path(pool.apply(_made, ("test",)))
        assert made.is_dir()
        pool.close()
        pool.join()
    assert not made.exists()
