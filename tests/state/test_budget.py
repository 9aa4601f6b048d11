"""Call rates are kept exactly, whoever asks, and a block stops everybody."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.clock import ManualClock, SystemClock
from sync.state.budget import StateBudget
from sync.state.database import State
from tests.conftest import START, MakeState


def _seconds(clock: ManualClock) -> float:
    return (clock.now() - START).total_seconds()


def test_a_burst_is_free_and_then_the_rate_holds(state: State, clock: ManualClock) -> None:
    budget = StateBudget(state, clock)
    times = []
    for _ in range(20):
        budget.take("hub", 1, rate=10, burst=5)
        times.append(round(_seconds(clock), 3))
    assert times[:5] == [0.0] * 5
    assert times[5:] == [round((n + 1) / 10, 3) for n in range(15)]


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 2)), min_size=1, max_size=25), st.integers(1, 6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_window_holds_more_than_burst_and_rate(state: State, asked: list[tuple[int, float]], burst: int) -> None:
    clock = ManualClock(START)
    budget, rate, calls = StateBudget(state, clock), 5.0, []
    key = f"k{time.perf_counter_ns()}"
    for number, pause in asked:
        number = min(number, burst)
        budget.take(key, number, rate=rate, burst=burst)
        calls.extend([_seconds(clock)] * number)
        clock.sleep(pause)
    for start in calls:
        for width in (0.0, 0.5, 1.0, 3.0):
            inside = sum(start <= at <= start + width for at in calls)
            assert inside <= burst + width * rate + 1e-3


def test_a_block_holds_everybody_back_and_is_never_shortened(make_state: MakeState, clock: ManualClock) -> None:
    one, other = StateBudget(make_state(), clock), StateBudget(make_state(), clock)
    one.block("hub", 30)
    one.block("hub", 5)
    other.take("mail", 1, rate=10, burst=1)
    assert _seconds(clock) == 0
    other.take("hub", 1, rate=10, burst=1)
    assert 30 <= _seconds(clock) <= 30.2


class Interrupting(ManualClock):
    """A clock during whose first sleep somebody else is told to stop."""

    budget: StateBudget | None = None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.budget is not None:
            told, self.budget = self.budget, None
            told.block("hub", 60)


def test_a_block_that_comes_while_waiting_counts(state: State) -> None:
    clock = Interrupting(START)
    budget = StateBudget(state, clock)
    budget.take("hub", 1, rate=1, burst=1)
    clock.budget = budget
    budget.take("hub", 1, rate=1, burst=1)
    assert _seconds(clock) >= 61


def test_real_time_and_several_programs(make_state: MakeState) -> None:
    budgets = [StateBudget(make_state(), SystemClock()) for _ in range(3)]
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: budgets[n % 3].take("hub", 1, rate=100, burst=5), range(45)))
    assert 0.39 <= time.monotonic() - began <= 3
