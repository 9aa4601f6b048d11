"""Planted bugs of webhooks."""

from __future__ import annotations

from tests.planted.bug import Bug

HOOKS = (
    Bug(
        "whoever is asked for, and answered for by another, lives on as themselves",
        "sync/absorb.py",
        "living = [id for id, gone in known if gone is None]",
        "living = [id for id, gone in known if gone is not None]",
        tests="tests/engine/test_hints.py::"
        "test_what_is_given_again_after_a_merge_that_a_hint_brought_was_not_carried_over",
    ),
    Bug(
        "a hint that is told again while it is followed is dropped",
        "sync/hints.py",
        'hints.c.told == bindparam("times"),',
        'hints.c.told <= bindparam("times") + 1,',
        tests="tests/engine/test_hints.py::test_what_is_told_while_it_is_read_is_read_again",
    ),
    Bug(
        "what a webhook brought is written over what nobody looked at",
        "sync/hints.py",
        'Notice(one.object, one.record) if one.record else Notice("", "")',
        'Notice("", "")',
        tests="tests/engine/test_hints.py::test_the_other_side_is_read_before_it_is_written",
    ),
    Bug(
        "LinkedIn: whatever is asked is signed",
        "connectors/linkedin/webhook.py",
        "not CODE.fullmatch(code)",
        "not code",
        tests="tests/connectors/linkedin/test_webhooks.py::test_nothing_that_a_delivery_could_be_signed_with_is_signed_for_a_challenge",
    ),
)
