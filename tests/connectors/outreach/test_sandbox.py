"""The Outreach sandbox itself: it repeats itself."""

from __future__ import annotations

from config.clock import ManualClock
from connectors.outreach.sandbox import OutreachSandbox


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> OutreachSandbox:
        sandbox = OutreachSandbox(seed=4, clock=clock)
        sandbox.deal("d", [sandbox.put("prospects", {"email": "a@x.io"})])
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.put("prospects", {"email": "b@x.io"})
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
