"""A clock that is ahead of the platform's makes no pull pass over what changed in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from config.clock import ManualClock
from connectors import registry
from connectors.conformance import bench
from connectors.conformance_bench import Bench, numbered
from connectors.instant import HostClock

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
AHEAD = timedelta(hours=3)
PEOPLE = [name for name in registry.names() if registry.facts(name).objects]


class Ahead(ManualClock):
    """Ours, three hours ahead of the sandbox's."""

    def __init__(self, theirs: ManualClock) -> None:
        super().__init__(AT)
        self._theirs = theirs

    def now(self) -> datetime:
        return self._theirs.now() + AHEAD


@pytest.fixture(params=PEOPLE)
def ahead(request: pytest.FixtureRequest) -> Iterator[tuple[Bench, Bench]]:
    """The platform's bench by its own clock, and by ours."""
    with bench(registry.platform(request.param)) as theirs:
        yield theirs, replace(theirs, clock=Ahead(theirs.clock))


def test_what_changed_by_a_clock_behind_ours_is_pulled(ahead: tuple[Bench, Bench]) -> None:
    theirs, ours = ahead
    with ours.connected() as connector:
        programs_tell_none = theirs.facts.name == "singer"
        assert connector.check().ahead == (None if programs_tell_none else AHEAD.total_seconds())
        for object in theirs.sampled:
            edited = theirs.facts.objects[object].edited
            if not edited:
                continue
            cursor = ours.pulled(connector, object).cursors[-1]
            theirs.clock.advance(3600)
            theirs.sandbox.edit(object, theirs.ids[object][0], numbered(edited, 0))  # type: ignore[attr-defined]
            theirs.clock.advance(3600)
            assert theirs.ids[object][0] in ours.pulled(connector, object, cursor).ids, object


def test_the_instant_is_the_hosts_and_never_later_than_ours() -> None:
    clock = ManualClock(AT)
    host = HostClock(clock)
    assert host.now() == AT
    host.heard({"date": "Mon, 02 Mar 2026 08:00:00 GMT"})
    assert host.now() == AT - timedelta(hours=1)
    clock.advance(60)
    assert host.now() == AT - timedelta(minutes=59)
    host.heard({"date": "of old"})
    host.heard({})
    assert host.now() == AT - timedelta(minutes=59)
    host.heard({"date": "Mon, 02 Mar 2026 12:00:00 GMT"})
    assert host.now() == AT + timedelta(minutes=1)


def test_the_time_that_an_answer_takes_is_no_difference() -> None:
    host = HostClock(ManualClock(AT))
    host.heard({"date": "Mon, 02 Mar 2026 08:59:57 GMT"})
    assert host.now() == AT
