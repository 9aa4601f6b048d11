"""Planted bugs of runs that are taken in slices."""

from __future__ import annotations

from tests.planted.bug import Bug

SLICES = (
    Bug(
        "a later slice forgets what went wrong",
        "sync/steps/attempt.py",
        "        self._note(failed=[{name: getattr(one, name) for name in _TOLD} for one in self.errors])\n",
        "",
        tests="tests/engine/test_slices.py::test_another_account_is_not_written_to_in_a_later_slice",
    ),
    Bug(
        "a later slice forgets what was held",
        "sync/steps/pull.py",
        "    attempt.hold(held)",
        "    attempt.held[connection] = held",
        tests="tests/engine/test_slices.py::test_an_emptied_account_is_held_in_a_later_slice_too",
    ),
)
