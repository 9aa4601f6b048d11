"""Planted bugs of fields that an account loses and has again, of what a platform cuts off or rounds, of crowds of one
instant."""

from __future__ import annotations

from tests.planted.bug import Bug

DRIFT = (
    Bug(
        "a field that is gone again when its object was read counts as read",
        "sync/drift.py",
        "noted = Noted(sorted({*noted.gone, *gone}), [])",
        "noted = Noted(noted.gone, [])",
        tests="tests/engine/test_guards.py",
    ),
    Bug(
        "an object counts as read whole while a record of it is to be told yet",
        "sync/steps/pull.py",
        "if is_unread(tx, attempt.workspace, connection, object):",
        "if False:",
        tests="tests/engine/test_remapping.py",
    ),
    Bug(
        "a field that was made anew empties it where a record was put away meanwhile",
        "sync/arrivals.py",
        "return self.mapped.anew_since(before.version) if before.gone is not None else frozenset()",
        "return frozenset()",
        tests="tests/engine/test_guards.py",
    ),
    Bug(
        "what was put away while a field was made anew, and is back, counts as told of it",
        "sync/arrivals.py",
        "**dict.fromkeys(self._unheard_of(before) & old.keys()), ",
        "",
        tests="tests/engine/test_guards.py",
    ),
    Bug(
        "the blank of a field that was made anew, and was read since, answers a write in doubt",
        "mappings/compiler.py",
        "self.doubted | self.anew_since(at)",
        "self.doubted",
        tests="tests/engine/test_doubt.py",
    ),
    Bug(
        "what a later create's record holds is a word on what an earlier one gave",
        "sync/doubt.py",
        "        if twin.id not in others:",
        "        if True:",
        tests="tests/engine/test_doubt.py",
    ),
    Bug(
        "who lost the lease of an account says what fields it has",
        "sync/drift.py",
        '        enter(tx)\n        _keep(tx, f"anew:{place}", anew)\n        _keep(tx, f"described',
        '        _keep(tx, f"anew:{place}", anew)\n        _keep(tx, f"described',
        tests="tests/simulation/test_losing.py",
    ),
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
    Bug(
        "a text that was cut off, in a record that a lost create made, goes back",
        "sync/doubt.py",
        "        known = rewritten(row, body) | held\n",
        "        known = held\n",
        tests="tests/simulation/test_rewriting.py",
    ),
    Bug(
        "an amount that a platform rounded is taken for an edit",
        "sync/core/rounding.py",
        'return sent["currency"] == value["currency"] and is_rounded(sent["amount"], value["amount"])',
        "return sent == value",
        tests="tests/simulation/test_amounts.py",
    ),
    Bug(
        "a time that a platform tells by another zone is taken for an edit",
        "sync/core/rounding.py",
        "    if not apart % _QUARTER and -_WEST <= apart <= _EAST:\n",
        "    if not apart:\n",
        tests="tests/engine/test_writes.py::test_a_number_or_a_time_that_a_platform_rounds_does_not_go_back",
    ),
    Bug(
        "HubSpot: a contact is found by its main address only",
        "connectors/hubspot/connector.py",
        'if key == "email" else ()\n',
        'if key == "" else ()\n',
        tests="tests/simulation/test_seconds.py",
    ),
    Bug(
        "HubSpot: the first page of a search is taken for all",
        "connectors/hubspot/connector.py",
        "if len(page.results) < SEARCH_PAGE or page.total == len(page.results):",
        "if len(page.results) <= SEARCH_PAGE:",
        tests="tests/simulation/test_crowds.py",
    ),
    Bug(
        "Salesforce: the fields of an object are asked for once",
        "connectors/salesforce/connector.py",
        "        facts = self._facts(object)\n        body = self._client",
        "        facts = self._facts(object)\n        if object in self._schemas:\n"
        "            return self._schemas[object]\n        body = self._client",
        tests="tests/simulation/test_crowds.py",
    ),
    Bug(
        "HubSpot: people are asked for by the modified time of other objects",
        "connectors/hubspot/connector.py",
        'STAMP = {"contacts": "lastmodifieddate"}',
        'STAMP = {"contacts": "hs_lastmodifieddate"}',
        tests="tests/simulation/test_crowds.py",
    ),
)
