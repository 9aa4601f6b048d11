"""What becomes of a copy when people, deals or copies are merged, deleted, forgotten or taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from config.errors import ClosedloopError, InDoubt
from connectors.api import Gone
from sync import forget as forgetting
from sync import undo
from sync.runs import Options, Runner
from sync.state.schema import journal, records
from sync.unlink import unlink
from tests.engine.deals import COPY, OPEN, WON, Deals, ana, both, complaints, deal, tie, values
from tests.engine.memory import rejected, unreachable

__all__ = ["both"]


def _for_the_first(both: Deals, error: ClosedloopError) -> tuple[str, str, str]:
    """A deal of two people of whose copy, on account of one of them, this became: (its home, that one's name, the
    other's)."""
    for name in ("ana", "bob"):
        both.alpha.put("contacts", {"email": f"{name}@x.io"}, name)
        both.beta.put("prospects", {"email": f"{name}@x.io"}, name)
    home = both.beta.put("deals", OPEN)
    for name in ("ana", "bob"):
        tie(both.beta, home, "prospects", [name], f"of {name}")
    both.alpha.refuse = lambda operation: error if operation.object == "deals" else None
    both.sync()
    both.alpha.refuse = lambda operation: None
    with both.workspace.state.read() as tx:
        [lead] = tx.execute(select(journal.c.lead).where(journal.c.object == "deals")).scalars()
        [first] = set(tx.execute(select(records.c.id).where(records.c.lead == lead)).scalars())
    return home, first, "bob" if first == "ana" else "ana"


def _put_away(both: Deals, name: str) -> None:
    both.alpha.remove("contacts", name, Gone.ARCHIVED)


def _taken_out(both: Deals, name: str) -> None:
    both.beta.remove("deal_contacts", f"of {name}")


def _forgotten(both: Deals, name: str) -> None:
    forgetting.forget(both.workspace, forgetting.erasure(both.workspace, f"{name}@x.io"), Runner(both.workspace))


def _unlinked(both: Deals, name: str) -> None:
    with both.workspace.state.begin() as tx:
        unlink(tx, both.workspace, f"alpha/contacts/{name}")


@pytest.mark.parametrize("leaves", [_put_away, _taken_out, _forgotten, _unlinked])
def test_a_copy_that_was_refused_for_somebody_who_is_there_no_more_is_made_for_the_next(
    both: Deals, leaves: Callable[[Deals, str], None]
) -> None:
    _, first, other = _for_the_first(both, rejected())
    both.clock.advance(60)
    leaves(both, first)
    both.settled()
    assert [copy["person"] for copy in both.alpha.all("deals")] == [f"contacts/{other}"]
    assert complaints(both) == []


def test_a_copy_that_was_refused_and_whose_next_answer_was_lost_is_known_by_its_name(both: Deals) -> None:
    """What had been refused of it is over all the same."""
    _, first, other = _for_the_first(both, rejected())
    both.alpha.lose_answers = 1
    both.clock.advance(60)
    _put_away(both, first)
    both.settled()
    assert [copy["person"] for copy in both.alpha.all("deals")] == [f"contacts/{other}"]
    assert complaints(both) == []


def test_a_field_of_a_copy_that_goes_through_on_another_account_is_over(both: Deals) -> None:
    home, first, _ = _for_the_first(both, unreachable())
    both.settled()
    [copy] = both.alpha.rows["deals"]
    both.alpha.refuse = lambda operation: rejected("title") if operation.values.get("title") == "New" else None
    both.clock.advance(60)
    both.beta.edit("deals", home, {"name": "New"})
    both.sync()
    assert [(row.record, row.field) for row in complaints(both)] == [(copy, "name")]
    both.clock.advance(60)
    _taken_out(both, first)
    both.beta.edit("deals", home, {"name": "Newest"})
    both.settled()
    assert [copy["title"] for copy in both.alpha.all("deals")] == ["Newest"]
    assert complaints(both) == []


def test_a_copy_that_may_still_come_for_somebody_who_left_is_not_made_for_the_next(both: Deals) -> None:
    home, first, _ = _for_the_first(both, InDoubt("The answer was lost."))
    both.clock.advance(1)
    _put_away(both, first)
    Runner(both.workspace).run("sync", ("alpha", "beta"), Options(approve=True))
    both.alpha.put("deals", {**COPY, "home": f"beta/deals/{home}", "person": f"contacts/{first}"})
    both.settled()
    assert len(both.alpha.all("deals")) == 1
    assert complaints(both) == []


def test_a_person_who_is_merged_takes_the_deal_along(both: Deals) -> None:
    contact, prospect = ana(both)
    home = deal(both, prospect)
    both.settled()
    other = both.beta.put("prospects", {"email": "ana@y.io"})
    both.settled()
    both.clock.advance(60)
    both.beta.remove("prospects", prospect, Gone.MERGED, into=other)
    [(id, _)] = [(id, row) for id, row in both.beta.rows["deal_contacts"].items()]
    both.beta.edit("deal_contacts", id, {"to_ids": [other]})
    both.beta.edit("deals", home, {"amount": "950"})
    both.settled()
    assert both.mine() == [{**COPY, "worth": "950"}]
    assert [copy["person"] for copy in both.alpha.all("deals")] == [f"contacts/{contact}"]


def test_a_home_that_is_merged_hands_its_copy_on(both: Deals) -> None:
    _, prospect = ana(both)
    old = deal(both, prospect)
    both.settled()
    both.clock.advance(60)
    new = deal(both, prospect, name="Both", amount="1800")
    both.beta.remove("deals", old, Gone.MERGED, into=new)
    both.settled()
    [copy] = both.alpha.all("deals")
    assert (copy["title"], copy["worth"], copy["home"]) == ("Both", "1800", f"beta/deals/{new}")
    both.settled()
    assert values(both)["open_amount"] == {"amount": "1800", "currency": "EUR"}
    assert len(both.written()) == 2


def test_it_says_what_that_home_is_also_where_somebody_else_is_in_it_first(both: Deals) -> None:
    """Whose turn it is to plan the copy was never told that there is one."""
    people = {both.beta.put("prospects", {"email": f"{name}@x.io"}): f"{name}@x.io" for name in ("ana", "bob")}
    both.settled()
    with both.workspace.state.read() as tx:
        found = tx.execute(select(records.c.id).where(records.c.id.in_(people)).order_by(records.c.lead))
        first, second = found.scalars()
    both.alpha.put("contacts", {"email": people[second]})
    old, new = deal(both, second), deal(both, first, name="Both", amount="1800")
    both.settled()
    assert [copy["home"] for copy in both.alpha.all("deals")] == [f"beta/deals/{old}"]
    both.clock.advance(60)
    both.beta.remove("deals", old, Gone.MERGED, into=new)
    both.settled()
    [copy] = both.alpha.all("deals")
    assert (copy["title"], copy["worth"], copy["home"]) == ("Both", "1800", f"beta/deals/{new}")


def test_a_home_that_is_deleted_leaves_its_copy_which_does_not_count(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect, **WON)
    both.settled()
    both.clock.advance(60)
    both.beta.remove("deals", home)
    both.settled()
    assert len(both.alpha.all("deals")) == 1
    assert not values(both).get("won_deals")
    assert len(both.written()) == 1


def test_a_copy_that_somebody_deletes_is_not_made_again(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.settled()
    both.clock.advance(60)
    [id] = both.alpha.rows["deals"]
    both.alpha.remove("deals", id)
    both.beta.edit("deals", home, {"amount": "901"})
    both.settled()
    assert both.alpha.all("deals") == []
    assert values(both)["open_deals"] == 1


def test_who_is_forgotten_leaves_a_copy_that_is_followed_no_more(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.settled()
    made = forgetting.erasure(both.workspace, "ana@x.io")
    assert {operation.object for operation in made.operations} == {"contacts", "prospects"}
    forgetting.forget(both.workspace, made, Runner(both.workspace))
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "901"})
    both.settled()
    assert both.mine() == [COPY]
    with both.workspace.state.read() as tx:
        assert tx.execute(select(journal.c.lead).where(journal.c.object == "deals")).scalars().all() == [None]


def taken_back(both: Deals, run: str) -> undo.Reverse:
    with both.workspace.state.read() as tx:
        made = undo.reverse(tx, both.workspace, undo.Chosen(run=run))
    Runner(both.workspace).send("undo", ["alpha"], made.operations, [], Options(approve=True, choice=run))
    return made


def test_an_update_can_be_taken_back_and_stays_so(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.settled()
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "1000"})
    run = both.sync().run
    assert both.mine() == [{**COPY, "worth": "1000"}]
    taken_back(both, run)
    assert both.mine() == [COPY]
    both.settled()
    assert both.mine() == [COPY]
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "1100"})
    both.settled()
    assert both.mine() == [{**COPY, "worth": "1100"}]


def test_a_copy_can_be_taken_back_and_is_not_made_again(both: Deals) -> None:
    _, prospect = ana(both)
    deal(both, prospect)
    run = both.sync().run
    made = taken_back(both, run)
    assert [op.verb for op in made.operations if op.object == "deals"] == ["archive"]
    both.settled()
    assert both.alpha.all("deals") == []
    assert values(both)["open_deals"] == 1


def test_a_deal_that_was_put_away_unseen_is_none_whatever_was_merged_into_it(both: Deals) -> None:
    """Nobody was ever in it, and it had no copy: a full read, which tells of both at once, tells nothing new."""
    _, prospect = ana(both)
    old = deal(both, prospect, name="Secret")
    new = both.beta.put("deals", OPEN)
    both.beta.remove("deals", new, Gone.ARCHIVED)
    both.settled()
    both.clock.advance(3600)
    both.beta.remove("deals", old, Gone.MERGED, into=new)
    both.settled()
    report = Runner(both.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    assert report.counts["pull"]["beta"]["deals"]["applied"] == 0
    with both.workspace.state.read() as tx:
        assert new not in tx.execute(select(records.c.id)).scalars().all()
