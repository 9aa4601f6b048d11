"""A deal of the CRM stands as a deal in the marketing tool too: made once, kept in step, and never counted twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import select

from sync.insight.explain import explain
from sync.insight.report import funnel
from sync.state.schema import leads
from tests.engine.conftest import MARKETING
from tests.engine.deals import COPY, DEALS, OPEN, WON, Deals, ana, both, deal, tie, values

__all__ = ["both"]


def test_a_deal_is_copied_with_its_person_and_counts_once(both: Deals) -> None:
    contact, prospect = ana(both)
    home = deal(both, prospect, **WON)
    both.settled()
    [copy] = both.alpha.all("deals")
    assert copy == {
        "title": "Deal", "worth": "900", "stage": "Done", "closed": True, "won": True, "until": "2026-03-01",
        "home": f"beta/deals/{home}", "person": f"contacts/{contact}",
    }  # fmt: skip
    both.settled()  # the copy and its tie come back
    assert len(both.written()) == 1
    told = values(both)
    assert (told["won_deals"], told["won_amount"]) == (1, {"amount": "900", "currency": "EUR"})
    with both.workspace.state.read() as tx:
        total = funnel(tx, currency="EUR").total
    assert (total.won_deals, total.revenue, total.customers) == (1, Decimal(900), 1)


def test_a_copy_follows_its_home_one_update_at_a_time(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.settled()
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "1200"})
    both.settled()
    assert [dict(op.values) for op in both.written()[1:]] == [{"worth": "1200"}]
    both.beta.edit("deals", home, {"stage": "Closed Lost", "closed": True, "lost_reason": "price"})
    both.settled()
    assert both.mine() == [{**COPY, "worth": "1200", "stage": "Over", "closed": True, "reason": "price"}]
    both.beta.edit("deals", home, {"stage": "Negotiation", "closed": False, "lost_reason": None})
    both.settled()
    assert both.mine() == [{**COPY, "worth": "1200", "reason": None}]
    assert len(both.written()) == 4


def test_what_somebody_changes_in_a_copy_is_set_back_once(both: Deals) -> None:
    _, prospect = ana(both)
    deal(both, prospect)
    both.settled()
    [id] = both.alpha.rows["deals"]
    both.clock.advance(60)
    both.alpha.edit("deals", id, {"worth": "1", "note": "mine"})
    both.settled()
    assert both.mine() == [{**COPY, "note": "mine"}]
    assert values(both)["open_amount"] == {"amount": "900", "currency": "EUR"}


def test_a_copy_is_set_back_though_it_is_tied_to_somebody_who_left_the_deal(both: Deals) -> None:
    _, first = ana(both)
    second = both.beta.put("prospects", {"email": "bob@x.io"})
    deal(both, first, second)
    both.settled()
    both.clock.advance(60)
    [(tied, _)] = both.beta.rows["deal_contacts"].items()
    both.beta.edit("deal_contacts", tied, {"to_ids": [second]})
    both.settled()
    both.clock.advance(60)
    [id] = both.alpha.rows["deals"]
    both.alpha.edit("deals", id, {"worth": "1"})
    both.settled()
    assert both.mine() == [COPY]


def test_what_came_of_a_person_is_taken_back_with_the_deal(both: Deals) -> None:
    contact, prospect = ana(both)
    home = deal(both, prospect, **WON)
    both.settled()
    told = both.alpha.rows["contacts"][contact].values

    def since() -> Any:
        return told["customer_since"]

    assert since() == "2026-03-01"
    both.clock.advance(60)
    both.beta.edit("deals", home, {"stage": "Negotiation", "closed": False, "won": False})
    both.settled()
    assert since() is None
    both.clock.advance(60)
    both.beta.edit("deals", home, WON)
    both.settled()
    assert since() == "2026-03-01"
    both.clock.advance(60)
    both.beta.remove("deals", home)
    both.settled()
    assert since() is None
    assert (values(both)["is_customer"], values(both)["won_deals"]) == (False, None)
    with both.workspace.state.read() as tx:
        total = funnel(tx, currency="EUR").total
    assert (total.customers, total.lost) == (0, 0), "a deal that was deleted is not a lost one"


def test_what_the_platform_makes_of_a_value_is_left_so(both: Deals) -> None:
    _, prospect = ana(both)
    both.alpha.rewrite = lambda values: {
        name: value.upper() if name == "title" else value for name, value in values.items()
    }
    home = deal(both, prospect)
    both.settled()
    both.settled()
    assert len(both.written()) == 1
    both.beta.edit("deals", home, {"name": "Other"})
    both.settled()
    assert both.mine()[0]["title"] == "OTHER"
    assert len(both.written()) == 2


def test_a_copy_whose_home_is_pulled_later_counts_until_then(both: Deals) -> None:
    contact, prospect = ana(both)
    home = both.beta.put("deals", {**OPEN, **WON}, "b9")
    both.alpha.put(
        "deals", {**COPY, "won": True, "closed": True, "home": "beta/deals/b9", "person": f"contacts/{contact}"}
    )
    both.sync(names=("alpha",))
    assert values(both)["won_deals"] == 1
    tie(both.beta, home, "prospects", [prospect])
    both.sync()
    assert values(both)["won_deals"] == 1
    assert values(both)["won_amount"] == {"amount": "900", "currency": "EUR"}


def test_a_deal_of_alphas_own_is_no_copy_and_is_copied_nowhere(both: Deals) -> None:
    contact, _ = ana(both)
    both.alpha.put("deals", {**COPY, "person": f"contacts/{contact}"})
    both.settled()
    assert values(both)["open_deals"] == 1
    assert both.beta.rows.get("deals", {}) == {}
    assert both.written() == []


def test_nobody_is_made_for_a_deals_sake_and_the_copy_comes_with_the_person(both: Deals) -> None:
    prospect = both.beta.put("prospects", {"email": "bob@x.io"})
    deal(both, prospect)
    both.settled()
    assert both.alpha.all("contacts") == both.alpha.all("deals") == []
    contact = both.alpha.put("contacts", {"email": "bob@x.io"})
    both.settled()
    assert [copy["person"] for copy in both.alpha.all("deals")] == [f"contacts/{contact}"]


def test_a_new_person_and_the_deal_come_in_one_run(both: Deals) -> None:
    both.reopened((MARKETING + DEALS.lstrip("\n")).replace('create_when: "false"', 'create_when: "true"'))
    deal(both, both.beta.put("prospects", {"email": "bob@x.io"}))
    report = both.sync()
    assert len(both.alpha.all("contacts")) == len(both.alpha.all("deals")) == 1
    assert report.counts["write"]["alpha"]["deals"]["applied"] == 1
    assert not both.sync().counts["write"]


def test_a_deal_of_two_people_has_one_copy(both: Deals) -> None:
    _, first = ana(both)
    both.alpha.put("contacts", {"email": "bob@x.io"})
    second = both.beta.put("prospects", {"email": "bob@x.io"})
    home = deal(both, first, second)
    both.settled()
    both.clock.advance(60)
    both.beta.edit("deals", home, {"amount": "901"})
    both.settled()
    assert [copy["worth"] for copy in both.alpha.all("deals")] == ["901"]
    assert len(both.written()) == 2


def test_create_when_says_of_which_deals(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect, name="Secret")
    both.settled()
    assert both.alpha.all("deals") == []
    both.clock.advance(60)
    both.beta.edit("deals", home, {"name": "Deal"})
    both.settled()
    assert both.mine() == [COPY]


def test_a_mapping_that_begins_to_push_deals_copies_those_that_are_known(both: Deals) -> None:
    both.reopened(MARKETING)
    _, prospect = ana(both)
    deal(both, prospect)
    both.settled()
    assert both.alpha.rows.get("deals", {}) == {}
    both.reopened(MARKETING + DEALS.lstrip("\n"))
    both.settled()
    assert both.mine() == [COPY]


def test_explain_names_the_copies(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.settled()
    [id] = both.alpha.rows["deals"]
    with both.workspace.state.read() as tx:
        [lead] = tx.execute(select(leads.c.id)).scalars()
        told = explain(tx, both.workspace, lead)
    assert [(one["deal"], one["copies"]) for one in told["deals"]] == [(f"beta/deals/{home}", [f"alpha/deals/{id}"])]
    assert [row["reasons"][""] for row in told["writes"] if row["object"] == "deals"] == [
        f"copy of beta/deals/{home}, for a person who stands here"
    ]
