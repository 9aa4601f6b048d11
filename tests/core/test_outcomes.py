"""What sales did with a lead: its deals folded into the lead's own fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync.core.outcomes import fold, stage_voice
from sync.core.views import OURSELVES, DealView, Provenance


def deal(id: str, at: str, **body: Any) -> DealView:
    return DealView("crm", "deals", id, body, at)


def euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def won(id: str, at: str, day: str | None, **body: Any) -> DealView:
    return deal(id, at, is_closed=True, is_won=True, close_date=day, stage="Won", **body)


def lost(id: str, at: str, day: str, reason: str) -> DealView:
    return deal(id, at, is_closed=True, is_won=False, close_date=day, stage="Lost", lost_reason=reason)


def test_deals_won_fold_into_outcomes() -> None:
    first = won("1", "2", "2026-01-02", amount=euros("10.5"))
    more = won("2", "3", "2026-02-02", amount=euros("4.5"))
    other = won("3", "1", "2026-03-02", amount={"amount": "99", "currency": "USD"})
    folded, why = fold([more, first, other])
    assert folded == {
        "is_customer": True,
        "won_deals": 3,
        "open_deals": 0,
        "deal_stage": "Won",
        "customer_since": "2026-01-02",
        "won_amount": euros("15"),
        "open_amount": None,
        "lost_reason": None,
    }
    assert set(why) == set(folded)
    told = Provenance("crm/deals/1", "2", "outcome")
    assert why["is_customer"] == why["won_amount"] == told
    assert why["open_amount"] == why["lost_reason"] == replace(told, cleared=True)


def test_the_last_lost_deal_tells_the_reason() -> None:
    folded, why = fold([lost("2", "1", "2026-02-02", "price"), lost("1", "9", "2026-01-02", "time")])
    assert (folded["is_customer"], folded["won_deals"], folded["open_deals"]) == (False, 0, 0)
    assert (folded["lost_reason"], folded["customer_since"], folded["won_amount"]) == ("price", None, None)
    assert why["lost_reason"] == Provenance("crm/deals/2", "1", "outcome")
    assert why["customer_since"].cleared, "what was told of a deal that was won until then is taken back"


def test_who_bought_has_no_reason_for_not_buying() -> None:
    folded, why = fold([won("1", "1", "2026-01-02"), lost("2", "2", "2026-02-02", "price")])
    assert (folded["is_customer"], folded["lost_reason"]) == (True, None)
    assert folded["deal_stage"] == "Lost"
    assert why["is_customer"].source == "crm/deals/1"


def test_open_deals_are_counted_and_added() -> None:
    mine = [deal("1", "2", stage="New", amount=euros("7")), deal("2", "1", stage="Demo", amount=euros("0.50"))]
    folded, why = fold(mine)
    assert folded == {
        "is_customer": False,
        "won_deals": 0,
        "open_deals": 2,
        "deal_stage": "New",
        "customer_since": None,
        "won_amount": None,
        "open_amount": euros("7.5"),
        "lost_reason": None,
    }
    assert why["open_deals"] == Provenance("crm/deals/1", "2", "outcome")


def test_a_deal_closed_and_won_is_neither_lost_nor_open() -> None:
    folded, _ = fold([won("1", "1", "2026-01-02", lost_reason="none")])
    assert (folded["open_deals"], folded["lost_reason"]) == (0, None)
    undecided = deal("1", "1", is_closed=False, is_won=None)
    assert fold([undecided])[0]["open_deals"] == 1
    assert fold([undecided])[0]["lost_reason"] is None


def test_the_deal_that_moved_last_tells_the_stage_and_a_tie_falls_to_the_name() -> None:
    assert fold([deal("1", "5", stage="a"), deal("2", "4", stage="b")])[0]["deal_stage"] == "a"
    assert fold([deal("2", "4", stage="b"), deal("1", "4", stage="a")])[0]["deal_stage"] == "b"


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        (["100", "20"], "120"),
        (["0.10", "0.20"], "0.3"),
        (["0"], "0"),
        (["5", "-5"], "0"),
        (["1000000", "0"], "1000000"),
    ],
)
def test_amounts_are_added_exactly_and_written_plainly(amounts: list[str], total: str) -> None:
    deals = [deal(str(number), "1", amount=euros(amount)) for number, amount in enumerate(amounts)]
    assert fold(deals)[0]["open_amount"] == euros(total)


def test_a_deal_without_an_amount_adds_nothing() -> None:
    assert fold([deal("1", "1"), deal("2", "1", amount=euros("3")), deal("3", "1", amount=None)])[0]["open_amount"] == (
        euros("3")
    )
    assert fold([deal("1", "1")])[0]["open_amount"] is None


def test_of_whom_no_deal_is_left_nothing_stands() -> None:
    folded, why = fold([], Provenance("crm/deals/7", "3", "outcome"))
    assert folded.pop("is_customer") is False
    assert set(folded) == set(fold([deal("1", "1")])[0]) - {"is_customer"}
    assert set(folded.values()) == {None}
    gone = Provenance("crm/deals/7", "3", "outcome: no deal is left")
    assert why.pop("is_customer") == gone
    assert set(why.values()) == {replace(gone, cleared=True)}
    assert set(why) == set(folded)


def test_no_deal_tells_nothing() -> None:
    assert fold([]) == ({}, {})
    assert stage_voice([]) is None


def test_deals_prove_a_stage() -> None:
    bought = [won("2", "2", "2026-02-02"), won("1", "3", "2026-01-02"), deal("0", "1")]
    voice = stage_voice(bought)
    assert voice is not None
    assert (voice.source, voice.connection, voice.value) == ("crm/deals/1", OURSELVES, "customer")
    assert (voice.at, voice.since, voice.cleared) == ("3", "3", False)
    open_ = stage_voice([deal("2", "2"), deal("1", "2"), deal("0", "3")])
    assert open_ is not None
    assert (open_.source, open_.value, open_.at, open_.since) == ("crm/deals/1", "opportunity", "2", "2")


def test_a_deal_without_a_closing_day_comes_first_and_a_tie_falls_to_the_name() -> None:
    undated = won("9", "1", None)
    assert fold([won("1", "1", "2026-01-02"), undated])[1]["is_customer"].source == "crm/deals/9"
    same = [won("2", "1", "2026-01-02"), won("1", "2", "2026-01-02")]
    assert fold(same)[1]["is_customer"].source == "crm/deals/1"
