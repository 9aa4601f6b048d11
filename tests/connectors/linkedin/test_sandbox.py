"""The LinkedIn sandbox itself: it repeats itself."""

from __future__ import annotations

from config.clock import ManualClock
from connectors.linkedin.sandbox import LinkedInSandbox
from tests.connectors.linkedin.kit import ANA, person


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> LinkedInSandbox:
        sandbox = LinkedInSandbox(seed=4, clock=clock)
        sandbox.put("leads", ANA)
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.submit(person(1))
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
