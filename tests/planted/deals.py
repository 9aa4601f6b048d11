"""Planted bugs of deals: what came of people, and copies of deals elsewhere."""

from __future__ import annotations

from tests.planted.bug import Bug

DEALS = (
    Bug(
        "a copy counts as a second deal",
        "sync/load.py",
        "records.c.gone.is_(None), ~_IS_COPY)",
        "records.c.gone.is_(None))",
        tests="tests/engine/test_copies.py::test_a_deal_is_copied_with_its_person_and_counts_once",
    ),
    Bug(
        "a copy is not known by the name it bears",
        "sync/resolve.py",
        "        recognise(tx, bear, at)\n",
        "",
        tests="tests/engine/test_second_copies.py::test_a_copy_made_in_a_run_that_died_is_known_by_the_name_it_bears",
    ),
    Bug(
        "a copy that somebody deleted is made again",
        "sync/core/copies.py",
        "    if copy is not None:\n        if not copy.gone and target.can_update:",
        "    if copy is not None and not copy.gone:\n        if target.can_update:",
        tests="tests/core/test_copies.py",
    ),
    Bug(
        "a deal of two people is copied for each",
        "sync/deals.py",
        "if whose == lead.id else Outcome()",
        "if whose else Outcome()",
        tests="tests/engine/test_copies.py::test_a_deal_of_two_people_has_one_copy",
    ),
    Bug(
        "a person's own ties count as parts in deals",
        "sync/ties.py",
        'if values.get("from_object") not in people',
        'if values.get("from_object") != ""',
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "what was told is not taken back when no deal is left",
        "sync/core/outcomes.py",
        "return _none_left(before) if before is not None else ({}, {})",
        "return {}, {}",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "what was told of somebody is forgotten when they are merged",
        "sync/resolve.py",
        "    _inherit_outcomes(tx, keep, lose)\n    clashes",
        "    clashes",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "an outcome that was told is due again",
        "sync/conversions.py",
        '.values(state=state))\n        if state == "sent"',
        '.values(state="due"))\n        if state == "sent"',
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "a second copy takes the place of one that stands",
        "sync/copies.py",
        "    if known is not None and _stands(tx, (copy[0], copy[1], known)):\n        return False\n",
        "",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "a second copy is news to every full read",
        "sync/arrivals.py",
        "(record.gone is None and before == OUTSIDE)",
        "False",
        tests="tests/engine/test_second_copies.py::test_a_second_copy_is_no_news_when_all_is_read_anew",
    ),
    Bug(
        "a copy that was made is not written down",
        "sync/settle.py",
        "        copies.settled(tx, stream.id, copied, at)\n    own",
        "    own",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "a copy that somebody changed is not set back",
        "sync/resolve.py",
        "*(kin(tx, deals) if bearing else ())",
        "",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "a copy is tied to the wrong one of its people",
        "sync/core/copies.py",
        "for lead in parties if (record := standing(lead)) is not None",
        "for lead in reversed(parties) if (record := standing(parties[0])) is not None",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "a deal that is deleted counts for ever",
        "sync/load.py",
        "records.c.gone.is_(None), ~_IS_COPY",
        "~_IS_COPY",
        tests="tests/simulation/test_deals.py::test_what_failed_once_holds",
    ),
    Bug(
        "what is blank at home stays in the copy",
        "sync/core/copies.py",
        "cleared=value is None",
        "cleared=False",
        tests="tests/core/test_copies.py",
    ),
    Bug(
        "money of two currencies is added",
        "sync/core/outcomes.py",
        ' for money in amounts if money["currency"] == currency), ',
        " for money in amounts), ",
        tests="tests/core/test_outcomes.py",
    ),
)
