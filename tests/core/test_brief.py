"""What a salesperson reads before the first call."""

from __future__ import annotations

from sync.core.brief import write
from sync.core.views import ActivityView


def test_an_activity_of_which_nothing_more_is_known_is_told_without_a_word_too_many() -> None:
    call = ActivityView("crm", "call", "2026-03-01T09:30:00.000Z")
    told = write({"email": "ana@x.io"}, ["asked for contact"], [call])
    assert told.endswith("- 2026-03-01 09:30 had a call")
