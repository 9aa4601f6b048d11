"""Planted bugs of fields that an account loses and has again."""

from __future__ import annotations

from tests.planted.bug import Bug

DRIFT = (
    Bug(
        "a field that was made anew empties it everywhere",
        "sync/arrivals.py",
        "            if body.get(name) in (None, []) and old.get(name) not in (None, []):\n",
        "            if name not in body:\n",
        tests="tests/engine/test_guards.py::test_a_field_that_was_made_anew_empties_nothing_elsewhere",
    ),
    Bug(
        "a field that is back is not read from the beginning",
        "sync/drift.py",
        "        if thawed:\n",
        "        if thawed and not place:\n",
        tests="tests/engine/test_guards.py::test_a_field_that_is_back_is_read_and_written_again",
    ),
    Bug(
        "who looks up what is in doubt knows nothing of the fields that are gone",
        "sync/steps/attempt.py",
        "            recall(tx, workspace, self.connections)\n",
        "",
        tests="tests/simulation/test_drift.py::test_a_field_that_goes_and_comes_back_loses_nothing",
    ),
)
