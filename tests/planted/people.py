"""Bugs of who is who, and of people with several addresses."""

from __future__ import annotations

from tests.planted.bug import Bug

PEOPLE = (
    Bug(
        "two who live on as one new record stay two",
        "sync/resolve.py",
        "if (other := self._owners.get(key, lead)) != lead:",
        "if (other := lead) != lead:",
        tests="tests/engine/test_identity.py",
    ),
    Bug(
        "a record whose end said nothing is not asked for when it means somebody",
        "sync/resolve.py",
        "        self._ask_for(row.connection, object, record_id)\n",
        "",
        tests="tests/engine/test_identity.py",
    ),
    Bug(
        "who is who is asked of two who are one by now",
        "sync/unite.py",
        "    answer_moot(tx, keep, lose, at)\n",
        "",
        tests="tests/engine/test_united.py",
    ),
    Bug(
        "the main address is written over every other",
        "sync/core/plan.py",
        "apart = _apart(lead, live, theirs)\n",
        "apart: set[str] = set()\n",
        tests="tests/engine/test_addresses.py",
    ),
    Bug(
        "a further address that is changed replaces the main one",
        "sync/core/merge.py",
        "if field.name == addresses.MAIN and known.silent:",
        "if False:",
        tests="tests/engine/test_addresses.py",
    ),
    Bug(
        "who joins is not told from whoever had the main address",
        "sync/core/addresses.py",
        "if one.name in beside or (known is not None and one.name not in known):",
        "if one.name in beside:",
        tests="tests/engine/test_addresses.py",
    ),
    Bug(
        "a second record is given the lead's name, too",
        "sync/core/plan.py",
        "if len(same) == 1 or NAME not in target.match:",
        "if True:",
        tests="tests/core/test_plan.py",
    ),
)
