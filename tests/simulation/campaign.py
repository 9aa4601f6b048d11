"""Scenarios by the thousand: `make campaign MINUTES=n`, on all cores, from a seed onwards.

All levels run: a share of the time goes to the real connectors over the real sandboxes, some of it to deaths at every
boundary there, another to states that are lost and restored, another to platforms that are rolled back, another to
deals, the rest to people on platforms in memory. What was met is printed, and each violation with what replays it:
`--level LEVEL --seed N --once` tells one scenario step by step, and what is left of it when all that does not matter
is taken away. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog

from tests.simulation import deals, deaths, older, platforms, restoring, rolling, scenario, shrink
from tests.simulation.coverage import Coverage
from tests.simulation.scenario import Outcome

BATCHES = {"port": 100, "http": 10, "restored": 20, "rolled": 40, "older": 40, "deals": 40, "deaths": 10}
"""Scenarios handed to a process at once; about the same time."""
RAREST = 8
"""Combinations shown, of those that were met."""
HTTP_EVERY = 3
"""Of so many batches one is of the HTTP level."""
RESTORED_EVERY = 12
"""Of so many one is of states that are lost on the way."""
ROLLED_EVERY = 12
"""Of so many one is of platforms that are rolled back."""
OLDER_EVERY = 36
"""Of so many one is of a few records that are restored there."""
DEALS_EVERY = 6
"""Of so many one is of deals."""
DEATHS_EVERY = 12
"""Of so many one is of deaths at every boundary over HTTP, in turn."""
LEVELS: dict[str, Callable[..., Outcome]] = {
    "port": scenario.run,
    "http": platforms.run,
    "restored": restoring.run,
    "rolled": rolling.run,
    "older": older.run,
    "deaths": deaths.dies,
    "deals": deals.run,
}
_SMALLER: dict[str, type[scenario.Scenario]] = {"port": scenario.Scenario, "deals": deals.DealScenario}
"""Levels whose failing seeds can be made small."""


def quietly() -> None:
    """The engine's warnings are what is asked for here: thousands of them say nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def batch(level: str, first: int) -> tuple[list[Outcome], float]:
    """The scenarios of some seeds, and the seconds of a core that they took; the first of some batches twice, to see
    that a seed decides everything."""
    quietly()
    began = time.process_time()
    gc.disable()  # thousands of short-lived objects and few cycles: collected between the batches,
    gc.freeze()  # which need not look through all modules each time
    done = [_outcome(level, seed) for seed in range(first, first + BATCHES[level])]
    if first % 100 == 0 and _outcome(level, first).trace != done[0].trace:
        done[0].violation = "P33: the same seed went another way"
    gc.collect()
    for outcome in done:
        outcome.told = outcome.told if outcome.violation else []
    return done, time.process_time() - began


def _outcome(level: str, seed: int) -> Outcome:
    """What the scenario came to. One that ends in a traceback is a violation like any other, and ends no campaign."""
    try:
        return LEVELS[level](seed)
    except Exception as error:  # noqa: BLE001 - it is told, with its place and seed
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
        return Outcome(seed, 0, {}, 0, "", 0, violation=what)


@dataclass
class Tally:
    """What all scenarios of a level came to."""

    seeds: int = 0
    events: int = 0
    crashes: int = 0
    seconds: float = 0.0  # of a core
    faults: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    violations: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.events += outcome.events
        self.crashes += outcome.crashes
        self.faults.update({name: n for name, n in outcome.faults.items() if not name.startswith("died")})
        self.met.update(outcome.met)
        if outcome.violation:
            self.violations.append(outcome)


def _level(number: int) -> str:
    """Whose turn the batch of this number is."""
    if number % RESTORED_EVERY == 3:
        return "restored"
    if number % ROLLED_EVERY == 9:
        return "rolled"
    if number % OLDER_EVERY == 23:
        return "older"
    if number % DEATHS_EVERY == 6:
        return "deaths"
    if number % DEALS_EVERY == 2:
        return "deals"
    return "http" if number % HTTP_EVERY == 1 else "port"


def batches(first: int, until: float, workers: int) -> Iterator[tuple[str, list[Outcome], float]]:
    """Scenarios of all levels from seed `first` on until the (monotonic) time, with the seconds of a core they took."""
    following = dict.fromkeys(LEVELS, first)
    number = 0
    with ProcessPoolExecutor(workers) as pool:
        running: dict[Any, str] = {}
        while running or number == 0 or time.monotonic() < until:
            while len(running) < workers * 2 and (number == 0 or time.monotonic() < until):
                level = _level(number)
                running[pool.submit(batch, level, following[level])] = level
                following[level] += BATCHES[level]
                number += 1
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                level = running.pop(done)
                yield (level, *done.result())


def once(level: str, seed: int) -> int:
    """Tell one scenario, and what of it is needed to fail."""
    quietly()
    outcome = LEVELS[level](seed)
    print("\n".join(outcome.told))
    print(outcome.violation or "holds", f"(trace {outcome.trace[:16]})")
    if outcome.violation and level in _SMALLER:
        options, small = shrink.shrunk(seed, outcome, _SMALLER[level])
        print("\nNeeded for it:", *small.told, small.violation, sep="\n")
        print(f"run({seed}, {', '.join(f'{name}={value!r}' for name, value in options.items())})")
    return 1 if outcome.violation else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--level", choices=sorted(LEVELS), default="port")
    parser.add_argument("--once", action="store_true", help="only this seed, told step by step")
    told = parser.parse_args()
    if told.once:
        return once(told.level, told.seed)
    began = time.monotonic()
    tallies = {level: Tally() for level in LEVELS}
    for level, done, seconds in batches(told.seed, began + told.minutes * 60, os.cpu_count() or 1):
        tallies[level].seconds += seconds
        for outcome in done:
            tallies[level].add(outcome)
            if outcome.violation:
                print(f"{level} seed {outcome.seed}: {outcome.violation}", flush=True)
    report(tallies, time.monotonic() - began)
    return 1 if any(tally.violations for tally in tallies.values()) else 0


def report(tallies: dict[str, Tally], seconds: float) -> None:
    kinds: Counter[str] = Counter()
    for level, tally in tallies.items():
        struck = Counter(tally.faults)
        print(
            f"{level}: {tally.seeds} scenarios in {seconds:.0f} s, {tally.events} calls and commits, "
            f"{sum(struck.values())} faults, {tally.crashes} deaths of the process"
        )
        for name, number in sorted(struck.items()):
            print(f"  {name:14}{number:8}")
        _report_coverage(Coverage.of(level, tally.met))
        kinds.update(struck)
        kinds["crash"] += tally.crashes
    print(orjson.dumps(summary(tallies, kinds, seconds)).decode())


def _report_coverage(coverage: Coverage) -> None:
    met, never = coverage.met, coverage.never
    print(f"  {len(met)} of {coverage.possible} combinations of operation, fault and crash point were met; the rarest:")
    for name, number in sorted(met.items(), key=lambda pair: (pair[1], pair[0]))[:RAREST]:
        print(f"    {number:6} {name}")
    print(f"  never met: {len(never)}")
    for name in never:
        print(f"           {name}")


def summary(tallies: dict[str, Tally], kinds: Counter[str], seconds: float) -> dict[str, Any]:
    every = list(tallies.values())
    coverage = {level: Coverage.of(level, tally.met) for level, tally in tallies.items()}
    return {
        "seeds": sum(tally.seeds for tally in every),
        "events": sum(tally.events for tally in every),
        "faults": sum(kinds.values()),
        "kinds": dict(sorted(kinds.items())),
        "violations": sum(len(tally.violations) for tally in every),
        "by_level": {level: tally.seeds for level, tally in tallies.items()},
        "per_core_second": {level: round(t.seeds / t.seconds, 1) for level, t in tallies.items() if t.seconds},
        "combinations": {
            level: {"possible": found.possible, "met": len(found.met), "never": len(found.never)}
            for level, found in coverage.items()
        },
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
