"""A deal of the CRM stands as a deal in the marketing tool too: made once, kept in step, and never counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from config.clock import ManualClock
from config.errors import ClosedloopError, InDoubt, Misconfigured
from connectors.api import Gone, Operation
from sync import forget as forgetting
from sync import undo
from sync.insight.explain import explain
from sync.insight.report import funnel
from sync.planfile import apply, dump, make_plan, parse
from sync.replay import replay
from sync.runs import Options, Report, Runner
from sync.state.schema import copies, journal, leads, quarantine, records
from sync.unlink import unlink
from tests.engine.conftest import MARKETING, PROJECT, Loop, open_loop, write_project
from tests.engine.memory import Memory, rejected, unreachable

DEALS = """
  deals:
    kind: deal
    match: [home]
    create_when: "deal.name != 'Secret'"
    fields:
      - {remote: home, field: home, direction: push}
      - {remote: title, field: name, direction: push}
      - {remote: worth, field: amount, direction: push, transform: [{money: EUR}]}
      - remote: stage
        field: stage
        direction: push
        transform: [{values: {map: {Talking: Negotiation, Done: Closed Won, Over: Closed Lost}}}]
      - {remote: closed, field: is_closed, direction: push}
      - {remote: won, field: is_won, direction: push}
      - {remote: until, field: close_date, direction: push}
      - {remote: reason, field: lost_reason, direction: push}
  deal_contacts:
    kind: association
    fields:
      - {remote: from_object, field: from_object}
      - {remote: from_id, field: from_id}
      - {remote: to_object, field: to_object}
      - {remote: to_ids, field: to_ids}
"""
OPEN = {"name": "Deal", "amount": "900", "stage": "Negotiation", "closed": False, "won": False}
WON = {"stage": "Closed Won", "closed": True, "won": True, "close_date": "2026-03-01"}
COPY = {"title": "Deal", "worth": "900", "stage": "Talking", "closed": False, "won": False}


class Deals(Loop):
    """The loop where alpha takes copies of deals; no hand-off, so deals of both count."""

    def sync(self, **more: Any) -> Report:
        """One sync of both; before it, alpha shows by its own ties who is in each of its deals."""
        for id, row in self.alpha.rows.get("deals", {}).items():
            if "person" in row.values and f"t{id}" not in self.alpha.rows.get("deal_contacts", {}):
                tie(self.alpha, id, "contacts", [row.values["person"].partition("/")[2]], f"t{id}")
        return super().sync(**more)

    def mine(self) -> list[dict[str, Any]]:
        """Alpha's deals, without the names of their homes and people."""
        return [{n: v for n, v in deal.items() if n not in ("home", "person")} for deal in self.alpha.all("deals")]

    def written(self) -> list[Operation]:
        return [operation for operation in self.alpha.writes if operation.object == "deals"]

    def reopened(self, mapping: str) -> None:
        """What the project is with another mapping of alpha."""
        self.workspace.close()
        (self.folder / "mappings" / "alpha.yaml").write_text(mapping)
        self.workspace = open_loop(self.folder, self.clock, self.alpha, self.beta)


def tie(side: Memory, deal: str, object: str, people: list[str], id: str = "") -> str:
    values = {"from_object": "deals", "from_id": deal, "to_object": object, "to_ids": people}
    return side.put("deal_contacts", values, id)


@pytest.fixture
def both(tmp_path: Path, state_url: str) -> Iterator[Deals]:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    write_project(tmp_path, state_url)
    manifest = (tmp_path / "alpha" / "manifest.yaml").read_text()
    plain, pushed = "{kind: deal, about: deals}", "{kind: deal, about: deals, push: [create, update, archive]}"
    (tmp_path / "alpha" / "manifest.yaml").write_text(manifest.replace(plain, pushed))
    (tmp_path / "mappings" / "alpha.yaml").write_text(MARKETING + DEALS.lstrip("\n"))
    project = PROJECT.format(state=state_url).replace("handoff: {to: beta, object: prospects, brief: true}\n", "")
    (tmp_path / "closedloop.yaml").write_text(project)
    alpha, beta = Memory(clock), Memory(clock)
    both = Deals(tmp_path, clock, alpha, beta, open_loop(tmp_path, clock, alpha, beta))
    yield both
    both.workspace.close()


def ana(both: Deals) -> tuple[str, str]:
    """A person of both sides: (contact of alpha, prospect of beta)."""
    one = both.alpha.put("contacts", {"email": "ana@x.io"})
    return one, both.beta.put("prospects", {"email": "ana@x.io"})


def deal(both: Deals, *people: str, **more: Any) -> str:
    made = both.beta.put("deals", {**OPEN, **more})
    tie(both.beta, made, "prospects", list(people))
    return made


def values(both: Deals) -> dict[str, Any]:
    """The only lead's values."""
    with both.workspace.state.read() as tx:
        [body] = tx.execute(select(leads.c.body).where(leads.c.state == "live")).scalars()
    found: dict[str, Any] = orjson.loads(body)
    return found


def complaints(both: Deals, code: str = "") -> list[Any]:
    with both.workspace.state.read() as tx:
        rows = list(tx.execute(select(quarantine).where(quarantine.c.state == "open")))
    return [row for row in rows if code in ("", row.code)]


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


def test_two_copies_of_deals_that_are_merged_stay_and_one_of_them_is_followed(both: Deals) -> None:
    """The other is left as it is, even where somebody changes it; and nothing is asked about it."""
    _, prospect = ana(both)
    old, new = deal(both, prospect, name="Old"), deal(both, prospect, name="New")
    both.settled()
    both.clock.advance(60)
    both.beta.remove("deals", old, Gone.MERGED, into=new)
    both.settled()
    left = next(id for id, row in both.alpha.rows["deals"].items() if row.values["title"] == "Old")
    both.clock.advance(60)
    both.alpha.edit("deals", left, {"worth": "7"})
    both.beta.edit("deals", new, {"amount": "901"})
    both.settled()
    assert {copy["title"]: copy["worth"] for copy in both.alpha.all("deals")} == {"Old": "7", "New": "901"}
    assert values(both)["open_amount"] == {"amount": "901", "currency": "EUR"}
    assert complaints(both) == []
    assert _read_anew(both) == 0


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


def test_what_is_refused_waits_for_a_person_each_deal_by_itself(both: Deals) -> None:
    _, prospect = ana(both)
    homes = [deal(both, prospect), deal(both, prospect, name="Second")]
    both.alpha.refuse = lambda operation: rejected() if operation.object == "deals" else None
    both.sync()
    report = both.sync()
    assert not report.counts["write"], "what was refused is not sent again"
    assert sorted(row.record for row in complaints(both)) == sorted(f"beta/deals/{home}" for home in homes)
    both.alpha.refuse = lambda operation: None
    replay(both.workspace, [row.id for row in complaints(both)])
    both.settled()
    assert len(both.alpha.all("deals")) == 2
    assert complaints(both) == []


def test_a_value_that_cannot_be_said_is_left_out_and_told(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect, stage="Nowhere")
    both.settled()
    assert both.mine() == [{name: value for name, value in COPY.items() if name != "stage"}]
    [copy] = both.alpha.rows["deals"]
    assert {(row.record, row.field) for row in complaints(both, "not_expressible")} == {(copy, "stage")}
    both.clock.advance(60)
    both.beta.edit("deals", home, {"stage": "Negotiation"})
    both.settled()
    assert both.mine() == [COPY]
    assert complaints(both) == []


def test_first_copies_wait_for_a_yes(both: Deals) -> None:
    _, prospect = ana(both)
    deal(both, prospect)
    report = both.sync(approve=False)
    assert report.state == "held"
    assert report.waiting["alpha"].creates == {"deals": 1}
    assert both.alpha.all("deals") == []


def test_a_plan_shows_copies_and_is_applied_exactly(both: Deals) -> None:
    _, prospect = ana(both)
    home = deal(both, prospect)
    both.sync(push=False)
    plan = make_plan(both.workspace, ("alpha", "beta"))
    [planned] = [op for op in plan.operations if op.object == "deals"]
    assert planned.why == f"copy of beta/deals/{home}, for a person who stands here"
    assert {change.field: change.reason.partition(" since ")[0] for change in planned.changes}["amount"] == (
        f"beta/deals/{home} says so"
    )
    applied = apply(both.workspace, parse(dump(plan)), Runner(both.workspace))
    assert applied.stale == []
    assert both.mine() == [COPY]
    again = apply(both.workspace, parse(dump(plan)), Runner(both.workspace))
    assert "deals" in [op.object for op in again.stale]
    both.settled()
    assert len(both.alpha.all("deals")) == 1


def test_too_many_copies_at_once_are_held(both: Deals) -> None:
    _, prospect = ana(both)
    file = both.folder / "closedloop.yaml"
    file.write_text(file.read_text() + "guards: {changed: {share: 1%, over: 3}}\n")
    both.reopen()
    deal(both, prospect)
    both.settled()
    both.clock.advance(60)
    for number in range(4):
        deal(both, prospect, name=f"Deal {number}")
    report = both.sync()
    assert (report.state, report.held["alpha"].planned) == ("held", {"deals": {"create": 4}})
    assert len(both.alpha.all("deals")) == 1
    both.clock.advance(60)
    Runner(both.workspace).run("sync", ("alpha", "beta"), Options(large=True))
    assert len(both.alpha.all("deals")) == 5


def test_a_field_of_a_copy_that_is_fought_over_is_left_to_a_person(both: Deals) -> None:
    _, prospect = ana(both)
    deal(both, prospect)
    both.settled()
    [id] = both.alpha.rows["deals"]
    for worth in ("1", "2", "3", "4"):
        both.clock.advance(600)
        both.alpha.edit("deals", id, {"worth": worth})
        both.sync()
    assert [(row.record, row.field) for row in complaints(both, "flapping")] == [(id, "amount")]
    assert both.mine()[0]["worth"] == "4"


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


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{remote: title, field: name, direction: push}", "{remote: title, field: name, direction: both}", "both ways"),
        ("match: [home]", "match: [name]", "name of their home"),
        ("{remote: home, field: home, direction: push}", "{remote: x, field: type}", "name of their home"),
        ("deal.name", "deal.nam", "deal.nam"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(both: Deals, old: str, new: str, told: str) -> None:
    text = (MARKETING + DEALS.lstrip("\n")).replace(old, new)
    with pytest.raises(Misconfigured) as caught:
        both.reopened(text)
    both.reopened(MARKETING)
    assert told in " ".join(map(str, caught.value.problems))
