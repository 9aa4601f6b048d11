"""A Mailchimp audience in memory, and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.clock import ManualClock
from connectors.api import Connector
from connectors.mailchimp.sandbox import MailchimpSandbox
from tests.connectors.surroundings import connect


@pytest.fixture
def chimp(clock: ManualClock) -> Iterator[MailchimpSandbox]:
    with MailchimpSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, MailchimpSandbox)
        yield sandbox


@pytest.fixture
def mailchimp(chimp: MailchimpSandbox, clock: ManualClock) -> Iterator[Connector]:
    connector = connect(chimp, clock)
    yield connector
    connector.close()
