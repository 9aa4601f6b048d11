"""The ActiveCampaign sandbox itself: it repeats itself."""

from __future__ import annotations

from config.clock import ManualClock
from connectors.activecampaign.sandbox import ActiveCampaignSandbox


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> ActiveCampaignSandbox:
        sandbox = ActiveCampaignSandbox(seed=4, clock=clock)
        sandbox.deal("d", [sandbox.put("contacts", {"email": "a@x.io", "tags": ["t"], "lists": {"1": "1"}})])
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.put("contacts", {"email": "b@x.io"})
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
