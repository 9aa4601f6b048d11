"""Planted bugs that only a world in which platforms do odd things shows: each by a seed of `tests/simulation`."""

from __future__ import annotations

from tests.planted.bug import Bug

SIMULATED = (
    Bug(
        "Outreach: a time of the future says where the next pull begins",
        "connectors/outreach/pull.py",
        'yield page, {"since": began}, total',
        'yield page, {"since": max(began, place)}, total',
        tests="tests/simulation/test_beside.py::test_a_time_of_the_future_moves_no_place_where_a_pull_begins",
    ),
    Bug(
        "Outreach: a page link that is too old is no reason to begin anew",
        "connectors/outreach/pull.py",
        'REFUSED = ("badRequest", "400", "422")',
        'REFUSED = ("400", "422")',
        tests="tests/simulation/test_beside.py::test_a_link_to_the_next_page_that_is_too_old_ends_no_pull",
    ),
    Bug(
        "Constant Contact: a tag takes the place of all others",
        "connectors/constant_contact/merge.py",
        "return [*rest, id] if value and id else rest",
        "return [id] if value and id else rest",
        tests="tests/simulation/test_beside.py::test_no_update_takes_away_what_a_person_put_on_a_record",
    ),
    Bug(
        "what changes without moving its record's time is not heard",
        "sync/arrivals.py",
        "record.version < before.version and not self._is_back(record, before)",
        "record.version <= before.version and not self._is_back(record, before)",
        tests="tests/simulation/test_beside.py::test_a_roll_up_that_moves_no_time_is_heard_by_a_full_read",
    ),
    Bug(
        "Mailchimp: members are written to by the address that was known",
        "connectors/mailchimp/writes.py",
        'self._path(f"members/{operation.id or subscriber_hash(email_of(operation))}")',
        'self._path(f"members/{subscriber_hash(email_of(operation))}")',
        tests="tests/connectors/mailchimp/test_push.py",
    ),
    Bug(
        "an address that a record bore before its merge makes two people one",
        "sync/resolve.py",
        "if key in self._owners and key not in borne} - {lead}",
        "if key in self._owners} - {lead}",
        tests="tests/engine/test_identity.py::"
        "test_a_merge_that_brings_an_address_of_another_along_says_whose_the_record_is",
    ),
)
