"""Planted bugs of platforms that are rolled back."""

from __future__ import annotations

from tests.planted.bug import Bug

_SEEN = "tests/simulation/test_rolling.py::test_what_failed_once_holds"

ROLLED = (
    Bug(
        "a connection is guarded while the fate of its first writes is unknown",
        "sync/steps/push.py",
        "if in_doubt(tx) & set(attempt.workspace.connections) - known:",
        "if False:",
        tests="tests/engine/test_guards.py",
    ),
    Bug(
        "a deal that is told older stays as it was known",
        "sync/rollback.py",
        "back=_still_older(workspace, connection, object, told) if few else ())",
        "back=())",
        tests="tests/engine/test_older_records.py",
    ),
    Bug(
        "a stage that was kept falls where no record has any",
        "sync/core/merge.py",
        "            if (last := _last_word(field, decided.get(field.name), before.get(field.name))) is not None:\n",
        "            if (last := None) is not None:\n",
        tests="tests/core/test_merge.py",
    ),
    Bug(
        "a backfill that died at its start reads nothing anew",
        "sync/runs.py",
        '"stage": the_beginning(now) if anew else ""',
        '"stage": ""',
        tests="tests/engine/test_loop.py",
    ),
    Bug(
        "what is accepted keeps its newer time where its bytes are the same",
        "sync/arrivals.py",
        "same = same and self.back is None",
        "same = same and True",
        tests=_SEEN,
    ),
    Bug(
        "what is put back is heeded only where a project asks",
        "sync/rollback.py",
        "        note(tx, at)\n",
        "",
        tests=_SEEN,
    ),
    Bug(
        "a look that failed is not taken again",
        "sync/drift.py",
        "    first()\n    with workspace",
        "    with workspace",
        tests=_SEEN,
    ),
    Bug(
        "a record that came back with a roll-back is left out",
        "sync/rollback.py",
        "went_back(one.version, row.version) and not (row.gone and one.gone)",
        "went_back(one.version, row.version) and not row.gone",
        tests=_SEEN,
    ),
    Bug(
        "what came back older is forgotten when its run ends",
        "sync/steps/rolled_back.py",
        "        rollback.suspect(tx, connection, object)\n    if counts.lost",
        "    if counts.lost",
        tests=_SEEN,
    ),
    Bug(
        "an opt-out of which nothing was decided yet is forgotten with what a record lost",
        "sync/rollback.py",
        "last = max(more, key=lambda loss: (rank[loss.value], loss.at), default=None)",
        "last = None",
        tests="tests/simulation/test_older.py::test_what_failed_once_holds",
    ),
    Bug(
        "what was stored and not decided of yet is forgotten with what a record lost",
        "sync/work.py",
        "    if rolled_back.is_told(attempt):\n        yield from decide(attempt)\n",
        "",
        tests="tests/engine/test_rollback.py::test_a_clearing_that_nothing_was_decided_of_is_put_back_as_a_value_is",
    ),
    Bug(
        "what is put back falls to what was given before it and is heard after",
        "sync/core/merge.py",
        "return [voice for voice in voices if voice.at > answer.since]",
        "return voices",
        tests="tests/engine/test_rollback.py::"
        "test_what_was_given_before_what_is_put_back_and_is_heard_after_does_not_overturn_it",
    ),
    Bug(
        "a few records that are told older stay as they were known, and nobody is asked",
        "sync/steps/rolled_back.py",
        "        elif rollback.ask(tx, attempt.workspace, connection, object, lost.back, attempt.run):\n",
        "        else:\n",
        tests="tests/engine/test_older_records.py",
    ),
    Bug(
        "an opt-out of somebody who was no lead yet is forgotten where their record alone is told older",
        "sync/rollback.py",
        "    found = [record for record in found if record.id not in undecided]\n",
        "",
        tests="tests/engine/test_older_records.py::test_an_opt_out_of_somebody_who_was_no_lead_yet_is_put_back",
    ),
    Bug(
        "a value that a record lost, and that no other holds, is not among what a person may take",
        "sync/core/merge.py",
        "            voices.extend(_unsaid(doubtful[field.name], voices))\n",
        "            pass\n",
        tests="tests/engine/test_older_records.py",
    ),
    Bug(
        "what was lost and overtaken by then may be taken all the same",
        "sync/rollback.py",
        "if loss.said in (None, []) or _is_overtaken(known, about, loss.said, loss.at, names):",
        "if loss.said in (None, []):",
        tests="tests/engine/test_older_records.py::test_a_value_that_was_overtaken_by_then_may_not",
    ),
    Bug(
        "what was lost before is forgotten with the next that is lost",
        "sync/withheld.py",
        "voices = (*known.get(lead, {}).get(name, ()), *(lost or {})",
        "voices = (*(), *(lost or {})",
        tests="tests/engine/test_older_records.py::test_what_else_was_lost_of_it_since_may_be_taken_too",
    ),
    Bug(
        "who is not there any more is let go the wrong way",
        "sync/rollback.py",
        "            if row.lead in elsewhere:\n",
        "            if not elsewhere:\n",
        tests=_SEEN,
    ),
    Bug(
        "a roll-back holds only the runs that saw it",
        "sync/steps/push.py",
        "    rolled_back.hold(attempt)\n    broken = {",
        "    broken = {",
        tests="tests/engine/test_rollback.py::test_a_run_of_another_connection_writes_nothing_either",
    ),
    Bug(
        "who is asked for by id while a word on a roll-back is carried out is heard only where older",
        "sync/steps/rolled_back.py",
        "            _take_in(attempt, tx, connection, object, asked.newer)\n",
        "",
        tests="tests/engine/test_rollback.py",
    ),
    Bug(
        "which records every index shows is judged by our clock",
        "sync/rollback.py",
        "until = stamp(unstamp(theirs(workspace, connection, stamp(workspace.clock.now()))) - LAGS)",
        "until = stamp(workspace.clock.now() - LAGS)",
        tests="tests/engine/test_timekeeping.py",
    ),
    Bug(
        "a time far ahead is judged by our clock",
        "sync/timekeeping.py",
        "return stamp(unstamp(at) - timedelta(seconds=ahead)) if ahead else at",
        "return at",
        tests="tests/engine/test_timekeeping.py",
    ),
    Bug(
        "what was rolled back into the bin is a word of now",
        "sync/arrivals.py",
        "        if self.back is None or not self._is_older(record, before):\n            return self._revised",
        "        if True:\n            return self._revised",
        tests="tests/engine/test_rolled_away.py",
    ),
    Bug(
        "a stage that was kept falls to who never had one",
        "sync/rollback.py",
        "view.name in lost_by or _may_take_back(field, view)]",
        "True]",
        tests="tests/engine/test_rolled_away.py",
    ),
)
