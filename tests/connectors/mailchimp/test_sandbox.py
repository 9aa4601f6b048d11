"""The Mailchimp sandbox itself: it takes its state back."""

from __future__ import annotations

from config.clock import ManualClock
from connectors.mailchimp.sandbox import MailchimpSandbox
from tests.connectors.mailchimp.kit import FIELDS, fill
from tests.connectors.surroundings import connect, pulled


def test_a_snapshot_brings_everything_back(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    fill(chimp, 5)
    with MailchimpSandbox(seed=2, clock=clock) as other:
        other.restore(chimp.snapshot())
        connector = connect(other, clock)
        assert len(pulled(connector, "members", None, FIELDS)[0]) == 5
        connector.close()
