"""Scenarios by the thousand: `python -m tests.simulation.campaign --minutes 2` on all cores, from a seed onwards.

Prints what was met, and each violation with the seed that replays it; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import orjson
import structlog

from tests.simulation.scenario import Outcome, run

BATCH = 10


def quietly() -> None:
    """The engine's warnings are what is asked for here: thousands of them say nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def batch(first: int) -> list[Outcome]:
    """The scenarios of some seeds; every hundredth twice, to see that a seed decides everything."""
    quietly()
    done = [run(seed) for seed in range(first, first + BATCH)]
    if first % 100 == 0:
        again = run(first)
        if again.trace != done[0].trace:
            done[0].violation = "P33: the same seed went another way"
    return done


def outcomes(first: int, until: float, workers: int) -> Iterator[Outcome]:
    """Scenarios from seed `first` on until the (monotonic) time."""
    with ProcessPoolExecutor(workers) as pool:
        running = [pool.submit(batch, first + number * BATCH) for number in range(workers * 2)]
        following = first + len(running) * BATCH
        while running:
            yield from running.pop(0).result()
            if time.monotonic() < until:
                running.append(pool.submit(batch, following))
                following += BATCH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    told = parser.parse_args()
    began = time.monotonic()
    kinds: Counter[str] = Counter()
    seeds = events = crashes = 0
    violations: list[Outcome] = []
    for outcome in outcomes(told.seed, began + told.minutes * 60, os.cpu_count() or 1):
        seeds, events, crashes = seeds + 1, events + outcome.events, crashes + outcome.crashes
        kinds.update(outcome.faults)
        if outcome.violation:
            violations.append(outcome)
            print(f"seed {outcome.seed}: {outcome.violation}", flush=True)
    seconds = time.monotonic() - began
    print(f"{seeds} scenarios in {seconds:.0f} s, {events} durable boundaries, {crashes} deaths of the process")
    for name, number in sorted(kinds.items()):
        print(f"  {name:14}{number:8}")
    kinds["crash"] = crashes
    summary = {
        "seeds": seeds,
        "events": events,
        "faults": sum(kinds.values()),
        "kinds": dict(sorted(kinds.items())),
        "violations": len(violations),
        "seconds": round(seconds, 1),
    }
    print(orjson.dumps(summary).decode())
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
