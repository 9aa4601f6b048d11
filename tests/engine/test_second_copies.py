"""Of one deal there may come to be two copies (a lost answer, a death, a merge): one is followed, none counts twice."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from config.errors import InDoubt
from connectors.api import Gone
from sync import decide
from sync.runs import Options, Runner
from sync.state.schema import copies, journal
from tests.engine.deals import COPY, WON, Deals, ana, both, complaints, deal, values

__all__ = ["both"]


@pytest.mark.parametrize("told", [True, False], ids=["lost after the effect", "lost before it"])
def test_a_lost_answer_makes_no_twin(both: Deals, told: bool) -> None:
    _, prospect = ana(both)
    deal(both, prospect, **WON)
    if told:
        both.alpha.lose_answers = 1
    else:
        both.alpha.refuse = lambda op: InDoubt("The answer was lost.") if op.object == "deals" else None
    both.sync(names=("beta", "alpha"))
    both.alpha.refuse = lambda operation: None
    for _ in range(3):
        both.sync()
        assert values(both)["won_deals"] == 1
    both.settled()
    assert len(both.alpha.all("deals")) == 1
    with both.workspace.state.read() as tx:
        assert len(tx.execute(select(copies)).all()) == 1
        states = sorted(tx.execute(select(journal.c.state).where(journal.c.object == "deals")).scalars())
    assert states == (["settled"] if told else ["settled", "withdrawn"])


def test_a_copy_made_in_a_run_that_died_is_known_by_the_name_it_bears(both: Deals) -> None:
    """Also where the state was lost: no second copy, no second count."""
    contact, prospect = ana(both)
    home = deal(both, prospect, **WON)
    stray = {**COPY, "stage": "Done", "closed": True, "won": True, "home": f"beta/deals/{home}"}
    both.alpha.put("deals", {**stray, "person": f"contacts/{contact}"})
    both.sync()
    assert values(both)["won_deals"] == 1
    both.settled()
    assert len(both.alpha.all("deals")) == 1
    assert values(both)["won_deals"] == 1


def test_a_copy_that_somebody_deletes_before_a_run_came_to_look_at_it_is_not_made_again(
    both: Deals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that made it, and the one that read it, died; by the next it was gone."""
    contact, prospect = ana(both)
    home = deal(both, prospect, **WON)
    both.alpha.put("deals", {**COPY, "home": f"beta/deals/{home}", "person": f"contacts/{contact}"}, "stray")
    with monkeypatch.context() as dying:
        dying.setattr(decide, "touch_leads", _dies)
        with pytest.raises(KeyboardInterrupt):
            both.sync()
    both.alpha.remove("deals", "stray")
    both.settled()
    assert both.alpha.all("deals") == []
    assert values(both)["won_deals"] == 1


def _dies(*_: object) -> int:
    raise KeyboardInterrupt


def test_where_the_first_copy_is_made_a_deal_of_its_own_the_second_takes_its_place(both: Deals) -> None:
    """Somebody blanked the name of the home in the one of the two that we follow."""
    contact, prospect = ana(both)
    home = deal(both, prospect, **WON)
    both.settled()
    both.clock.advance(60)
    [first] = both.alpha.rows["deals"]
    clone = both.alpha.put("deals", {**both.alpha.all("deals")[0], "person": f"contacts/{contact}"})
    both.settled()
    both.clock.advance(60)
    both.alpha.edit("deals", first, {"home": None, "worth": "100"})
    both.settled()
    assert complaints(both) == []
    assert both.alpha.rows["deals"][first].values["home"] is None
    assert values(both)["won_deals"] == 2
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "950"})
    both.settled()
    assert [both.alpha.rows["deals"][id].values["worth"] for id in (first, clone)] == ["100", "950"]


def test_a_second_copy_goes_to_a_person_and_does_not_count(both: Deals) -> None:
    contact, prospect = ana(both)
    home = deal(both, prospect, **WON)
    both.settled()
    both.clock.advance(60)
    clone = both.alpha.put("deals", {**both.alpha.all("deals")[0], "title": "Clone", "person": f"contacts/{contact}"})
    both.settled()
    assert values(both)["won_deals"] == 1
    [told] = complaints(both, "second_copy")
    assert (told.record, f"beta/deals/{home}" in told.reason) == (clone, True)
    assert both.alpha.rows["deals"][clone].values["title"] == "Clone"
    both.clock.advance(60)
    both.alpha.edit("deals", clone, {"home": None, "worth": "100"})
    both.settled()
    assert complaints(both) == []
    assert values(both)["won_deals"] == 2


def _duplicated(both: Deals) -> tuple[str, str]:
    """The copy of a deal, and what somebody made of it by hand: (the copy, its duplicate)."""
    contact, prospect = ana(both)
    deal(both, prospect, **WON)
    both.settled()
    both.clock.advance(60)
    [copy] = both.alpha.rows["deals"]
    clone = both.alpha.put("deals", {**both.alpha.all("deals")[0], "person": f"contacts/{contact}"})
    both.settled()
    return copy, clone


def _read_anew(both: Deals) -> int:
    """How many deals of alpha's a full read finds changed."""
    runner = Runner(both.workspace)
    report = runner.run("backfill", ("alpha", "beta"), Options(approve=True))
    assert not report.counts["write"]
    found: int = report.counts["pull"]["alpha"]["deals"]["applied"]
    return found


def test_a_second_copy_is_no_news_when_all_is_read_anew(both: Deals) -> None:
    _duplicated(both)
    assert _read_anew(both) == 0
    [told] = complaints(both, "second_copy")
    assert told.attempts == 1


def test_a_second_copy_takes_the_place_of_the_first_that_somebody_deletes(both: Deals) -> None:
    copy, clone = _duplicated(both)
    both.clock.advance(60)
    both.alpha.remove("deals", copy)
    [home] = both.beta.rows["deals"]
    both.beta.edit("deals", home, {"amount": "901"})
    both.settled()
    assert both.alpha.rows["deals"][clone].values["worth"] == "901"
    assert values(both)["won_deals"] == 1
    assert complaints(both) == []
    assert _read_anew(both) == 0


@pytest.mark.parametrize("at_once", [True, False], ids=["heard at once", "the deletion heard before"])
def test_a_copy_that_was_made_a_deal_of_its_own_counts_where_the_second_one_is_gone(both: Deals, at_once: bool) -> None:
    """And the home is not copied again: its copy was deleted."""
    copy, clone = _duplicated(both)
    both.clock.advance(60)
    both.alpha.remove("deals", clone)
    if not at_once:
        both.settled()
        both.clock.advance(60)
    both.alpha.edit("deals", copy, {"home": None, "worth": "100"})
    both.settled()
    assert values(both)["won_deals"] == 2
    [home] = both.beta.rows["deals"]
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "950"})
    both.settled()
    assert [deal["worth"] for deal in both.alpha.all("deals")] == ["100"]
    assert complaints(both) == []


def _merged(both: Deals) -> tuple[str, str]:
    """Two deals, of one person and both copied, are merged: (the one that stays, the copy that is left over)."""
    _, prospect = ana(both)
    old, new = deal(both, prospect, name="Old"), deal(both, prospect, name="New")
    both.settled()
    both.clock.advance(60)
    both.beta.remove("deals", old, Gone.MERGED, into=new)
    both.settled()
    left = next(id for id, row in both.alpha.rows["deals"].items() if row.values["title"] == "Old")
    both.clock.advance(60)
    return new, left


def test_two_copies_of_deals_that_are_merged_stay_and_one_of_them_is_followed(both: Deals) -> None:
    """The other is left as it is, even where somebody changes it; and nothing is asked about it."""
    new, left = _merged(both)
    both.alpha.edit("deals", left, {"worth": "7"})
    both.beta.edit("deals", new, {"amount": "901"})
    both.settled()
    assert {copy["title"]: copy["worth"] for copy in both.alpha.all("deals")} == {"Old": "7", "New": "901"}
    assert values(both)["open_amount"] == {"amount": "901", "currency": "EUR"}
    assert complaints(both) == []
    assert _read_anew(both) == 0


def test_a_copy_of_a_deal_that_was_merged_counts_where_somebody_makes_it_one_of_its_own(both: Deals) -> None:
    """What it was a copy of lives on as another, which has a copy of its own there."""
    new, left = _merged(both)
    both.alpha.edit("deals", left, {"home": None, "worth": "7"})
    both.beta.edit("deals", new, {"amount": "901"})
    both.settled()
    assert values(both)["open_amount"] == {"amount": "908", "currency": "EUR"}
    assert both.alpha.rows["deals"][left].values["home"] is None


def test_a_copy_of_unknown_fate_is_its_homes_before_that_of_a_deal_merged_into_it(both: Deals) -> None:
    _, prospect = ana(both)
    old = deal(both, prospect, name="Old")
    both.settled()
    new = deal(both, prospect, name="New")
    both.alpha.lose_answers = 1
    both.sync()
    both.beta.remove("deals", old, Gone.MERGED, into=new)
    both.sync(names=("beta",))  # what became of the copy is not looked up
    both.settled()
    homes = {copy["title"]: copy["home"] for copy in both.alpha.all("deals")}
    assert homes == {"Old": f"beta/deals/{old}", "New": f"beta/deals/{new}"}
    assert complaints(both) == []
    assert _read_anew(both) == 0
