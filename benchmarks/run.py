"""`make bench`: our path beside the peers, in alternating rounds, and the API calls of a sync.

Prints a table; the last line is one JSON object. Ratios are medians of the ratios within a round, since the machine's
speed moves more between rounds than within one. Every contestant is a fresh process, measured from its start to its
end with all it started (wall, CPU, peak memory), on core 0; the server has core 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".venv-bench"
LOCK = HERE / "requirements-peers.lock"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one contestant: seconds, seconds of CPU, megabytes at the peak, and what it printed last."""

    wall: float
    cpu: float
    peak: float
    told: dict[str, Any]


def measure(python: Path, script: str, *arguments: str) -> Measured:
    """Run a contestant to its end. Raises RuntimeError with its last words when it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(python), str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        preexec_fn=_alone,
    )
    out, err = process.stdout.read(), process.stderr.read()  # what they print is far below a pipe's size
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{script} failed:\n{err.decode()[-2000:]}")
    told = orjson.loads(out.strip().splitlines()[-1])
    return Measured(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, told)


def _alone() -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {0})


@contextmanager
def server(contacts: int) -> Iterator[str]:
    """The address of a server of so many contacts, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "port"
        command = [sys.executable, str(HERE / "server.py"), "--contacts", str(contacts), "--ready", str(ready)]
        with subprocess.Popen(command) as process:
            try:
                while not ready.exists():
                    if process.poll() is not None:
                        raise RuntimeError("the benchmark's server did not start")
                    time.sleep(0.05)
                yield f"http://127.0.0.1:{ready.read_text()}"
            finally:
                process.terminate()


def ask(address: str, path: str) -> dict[str, Any]:
    """A word with the server itself: /__calls, /__reset, /__touch."""
    with urllib.request.urlopen(address + path) as answer:
        told: dict[str, Any] = orjson.loads(answer.read())
    return told


def peers_python() -> Path:
    """The interpreter of the peers' environment, which is made where it is missing or older than its lock."""
    python, mark = PEERS / "bin" / "python", PEERS / ".installed"
    if not mark.exists() or mark.read_bytes() != LOCK.read_bytes():
        print("making .venv-bench for the peers", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "-r", str(LOCK)], check=True)
        mark.write_bytes(LOCK.read_bytes())
    return python


Round = dict[str, Measured]


def one_round(address: str, peers: Path | None, *, backwards: bool) -> Round:
    """Every contestant once; the order turns round from round to round."""
    found: Round = {}
    own = Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        turns = [
            lambda: found.update(pull=measure(own, "ours.py", "pull", address, folder)),
            lambda: found.update(sdk=measure(own, "sdk.py", address)),
        ]
        if peers:
            turns.append(lambda: found.update(dlt=measure(peers, "peer_dlt.py", address, f"{folder}/peer")))
        for turn in reversed(turns) if backwards else turns:
            turn()
        found["rescan"] = measure(own, "ours.py", "rescan", address, folder)
    return found


def rounds(contacts: int, number: int, peers: Path | None) -> list[Round]:
    """`number` rounds against one server. Raises RuntimeError when a contestant missed a contact."""
    done = []
    with server(100) as address:
        one_round(address, peers, backwards=False)  # compiles what no run before compiled, and is not counted
    with server(contacts) as address:
        for turn in range(number):
            found = one_round(address, peers, backwards=turn % 2 == 1)
            for name, measured in found.items():
                if measured.told["pulled"] != contacts:
                    raise RuntimeError(f"{name} pulled {measured.told['pulled']} of {contacts} contacts")
            line = "  ".join(f"{name} {m.wall:.1f} s" for name, m in found.items())
            print(f"round {turn + 1} of {number}: {line}", flush=True)
            done.append(found)
    return done


def peak(contacts: int) -> float:
    """Megabytes of our first pull and re-scan of so many contacts, whichever is more."""
    own = Path(sys.executable)
    with server(contacts) as address, tempfile.TemporaryDirectory() as folder:
        return max(measure(own, "ours.py", what, address, folder).peak for what in ("pull", "rescan"))


def ratio(done: list[Round], slow: str, fast: str, what: str = "wall") -> float | None:
    """How many times as fast `fast` is: the median of the rounds."""
    pairs = [getattr(one[slow], what) / getattr(one[fast], what) for one in done if slow in one]
    return round(statistics.median(pairs), 2) if pairs else None


NAMES = {
    "pull": "closedloop, first pull (map, diff, SQLite)",
    "rescan": "closedloop, re-scan, nothing changed",
    "sdk": "hubspot-api-client get_all (stores nothing)",
    "dlt": "dlt rest_api -> DuckDB, merge, parquet",
}


def table(done: list[Round], contacts: int) -> str:
    lines = [f"{'':46}{'rec/s':>9}{'wall s':>9}{'CPU us/rec':>12}{'peak MB':>9}"]
    for name, title in NAMES.items():
        runs = [one[name] for one in done if name in one]
        if not runs:
            continue
        wall = statistics.median(run.wall for run in runs)
        cpu = statistics.median(run.cpu for run in runs) / contacts * 1e6
        most = max(run.peak for run in runs)
        lines.append(f"{title:46}{contacts / wall:>9,.0f}{wall:>9.2f}{cpu:>12.1f}{most:>9.0f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 contacts, one round: a look, not a measurement")
    parser.add_argument("--contacts", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="leave out what needs .venv-bench")
    chosen = parser.parse_args()
    contacts, number = (20_000, 1) if chosen.quick else (chosen.contacts, chosen.rounds)
    done = rounds(contacts, number, None if chosen.no_peers else peers_python())
    print(f"\n{contacts:,} contacts x 25 fields, {number} rounds, medians\n\n{table(done, contacts)}\n")
    most = max(one[name].peak for one in done for name in ("pull", "rescan"))
    result = {
        "contacts": contacts,
        "rounds": number,
        "pull_vs_dlt": ratio(done, "dlt", "pull"),
        "pull_vs_dlt_cpu": ratio(done, "dlt", "pull", "cpu"),
        "pull_vs_sdk_get_all": ratio(done, "sdk", "pull"),
        "pull_vs_sdk_get_all_cpu": ratio(done, "sdk", "pull", "cpu"),
        "rescan_vs_first": ratio(done, "pull", "rescan"),
        "peak_mb_50k": round(peak(50_000), 1),
        "peak_mb_200k": round(most, 1) if contacts == 200_000 else None,
    }
    result.update(_calls())
    print(orjson.dumps(result).decode())


def _calls() -> dict[str, Any]:
    told = measure(Path(sys.executable), "calls.py").told
    print("API calls, counted by the platforms:\n")
    for line in told.pop("lines"):
        print(line)
    print()
    return told


if __name__ == "__main__":
    main()
