"""The present instant, as a platform has it.

A pull notes when it began, and the next one asks for what changed since. The platform compares that with its own
stamps: by a clock that is ahead of the platform's, whatever changed in between would never be asked for. So the instant
is our clock's, less what it is ahead of the `Date` of the platform's answers (RFC 9110, 6.6.1). By a clock that is
behind, some records are only read twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from config.clock import Clock

SLACK = timedelta(seconds=5)
"""An answer takes its time, and a `Date` has whole seconds: so much is no difference."""


@dataclass(slots=True)
class HostClock:
    """The time of the platform's host, never later than ours; ours until an answer was heard."""

    ours: Clock
    _ahead: timedelta | None = None

    def heard(self, headers: Mapping[str, str]) -> None:
        """An answer came just now, with these headers. Without a `Date` that can be read all stays as it was."""
        with suppress(ValueError):
            told = parsedate_to_datetime(headers.get("date") or "")
            self._ahead = self.ours.now() - (told if told.tzinfo else told.replace(tzinfo=UTC))

    @property
    def ahead(self) -> float | None:
        """Seconds by which ours is ahead of the host's, negative where it is behind; None until an answer was heard."""
        return None if self._ahead is None else self._ahead.total_seconds()

    def now(self) -> datetime:
        return self.ours.now() - (self._ahead if self._ahead is not None and self._ahead > SLACK else timedelta(0))
