"""People with several addresses, in stories drawn at random: what happened to one address moves those that it ought to
move, and no other, also where writes are late and the lead is merged in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from mappings.model import LEAD_FIELDS
from sync.core.merge import merge
from sync.core.plan import plan_lead
from sync.core.views import LeadView, Provenance, RecordView, inherited
from tests.core.plans import nothing_refused, target

STORIES = 40
STEPS = 12
HUB = "hub/contacts/1"


class Story:
    """One person: a contact of `hub`, which knows their main address and further ones, and records of `crm`."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.time = self.number = 0
        self.values: dict[str, Any] = {}
        self.reasons: dict[str, Provenance] = {}
        self.told: list[str] = []
        contact = self._new("hub", "a@x.io")
        self.records = {
            HUB: replace(contact, body={**contact.body, "emails": []}, pulled=frozenset({"email", "emails"}))
        }
        self._add(self._new("crm", "a@x.io"))
        self.rest()

    def _new(self, connection: str, email: str) -> RecordView:
        self.number += 1
        body: dict[str, Any] = {"email": email}
        return RecordView(connection, "contacts", str(self.number), body, self._now(), pulled=frozenset({"email"}))

    def _add(self, record: RecordView) -> None:
        self.records[record.name] = record

    def _now(self) -> str:
        self.time += 1
        return f"2026-03-01T09:{self.time // 60:02}:{self.time % 60:02}.000Z"

    def _fresh(self) -> str:
        return f"n{self.time}@x.io"

    @property
    def crm(self) -> list[RecordView]:
        return [one for one in self.records.values() if one.connection == "crm" and not one.gone]

    def stands(self) -> dict[str, str]:
        return {one.name: one.body["email"] for one in self.records.values() if not one.gone}

    def give(self, name: str, email: str, at: str) -> None:
        """The record holds another address; hub keeps the one before as a further one."""
        one = self.records[name]
        body = {**one.body, "email": email}
        if name == HUB:
            body["emails"] = sorted({*one.body["emails"], one.body["email"]} - {email})
        self.records[name] = replace(one, body=body, changed={**one.changed, "email": at})

    def round(self) -> int:
        """The lead is merged and planned once; each write is done, or not yet. How many there were."""
        views = inherited(list(self.records.values()))
        made = merge(views, LEAD_FIELDS, {}, self.values, self.reasons)
        self.values, self.reasons = made.values, made.reasons
        lead = LeadView("ld_1", self.values, self.reasons, tuple(views))
        planned = plan_lead(lead, [target("hub"), target("crm")], LEAD_FIELDS, nothing_refused).operations
        for operation in planned:
            if self.rng.random() < 0.6:
                [change] = operation.changes
                self.give(f"{operation.connection}/contacts/{operation.record}", change.new, change.at)
        return len(planned)

    def rest(self) -> None:
        for _ in range(40):
            if not self.round():
                return
        raise AssertionError(f"does not come to rest: {self.told}")

    # what people do, and where the addresses stand afterwards

    def main_changes(self) -> dict[str, str]:
        before, main = self.stands(), self.values["email"]
        name = self.rng.choice([name for name, email in before.items() if email == main])
        email = self._fresh()
        self.give(name, email, self._now())
        return {name: email if held == main else held for name, held in before.items()}

    def further_becomes_main(self) -> dict[str, str]:
        before = self.stands()
        known = self.records[HUB].body["emails"]
        beside = [email for name, email in before.items() if email in known and name != HUB]
        if not beside:
            return before
        email = self.rng.choice(beside)
        self.give(HUB, email, self._now())
        return {**before, HUB: email}

    def further_changes(self) -> dict[str, str]:
        before = self.stands()
        beside = [name for name, email in before.items() if email != self.values["email"]]
        if not beside:
            return before
        name, email = self.rng.choice(beside), self._fresh()
        self.give(name, email, self._now())
        return {**before, name: email}

    def somebody_joins(self) -> dict[str, str]:
        before = self.stands()
        known = [*self.records[HUB].body["emails"], *before.values(), self._fresh()]
        joined = self._new("crm", self.rng.choice(known))
        if not self.crm:
            joined = replace(joined, body={"email": self.values["email"]})
        self._add(joined)
        return {**before, joined.name: joined.body["email"]}

    def hub_learns(self) -> dict[str, str]:
        """Two contacts were merged there: an address that only stood elsewhere is a further one."""
        contact = self.records[HUB]
        more = {*contact.body["emails"], *self.stands().values()} - {contact.body["email"]}
        self.records[HUB] = replace(contact, body={**contact.body, "emails": sorted(more)})
        return self.stands()

    def somebody_goes(self) -> dict[str, str]:
        """Deleted, or merged into another; of those that are left one has the main address, or is given it."""
        if len(self.crm) < 2:
            return self.stands()
        gone, heir = self.rng.sample(self.crm, 2)
        merged = self.rng.random() < 0.5
        how, into = ("merged", f"contacts/{heir.id}") if merged else ("deleted", "")
        self.records[gone.name] = replace(gone, version=self._now(), gone=how, into=into)
        left = self.stands()
        if self.values["email"] in {one.body["email"] for one in self.crm}:
            return left
        return {**left, "": self.values["email"]}  # whichever of them

    def step(self) -> None:
        does = self.rng.choice(
            (
                self.main_changes,
                self.further_becomes_main,
                self.further_changes,
                self.somebody_joins,
                self.hub_learns,
                self.somebody_goes,
            )
        )
        before = self.stands()
        wanted = does()
        self.told.append(f"{does.__name__}: {before} -> {self.stands()} {self.records[HUB].body['emails']}")
        self.rest()
        self._judge(wanted)

    def _judge(self, wanted: dict[str, str]) -> None:
        main = wanted.pop("", None)
        stands, story = self.stands(), "\n".join(self.told)
        moved = {name for name, email in wanted.items() if stands[name] != email}
        if main is None:
            assert not moved, f"{moved}: {stands}\n{story}"
        else:
            assert [stands[name] for name in moved] == [main], f"{moved}: {stands}\n{story}"
        assert self.values["email"] == stands[HUB], story
        assert not self.crm or stands[HUB] in {one.body["email"] for one in self.crm}, f"{stands}\n{story}"
        others = {one.body["email"] for one in self.crm} - {stands[HUB]}
        assert others <= set(self.values.get("emails") or ()), story


@pytest.mark.parametrize("first", range(0, 4 * STORIES, STORIES))
def test_addresses_stand_where_people_gave_them(first: int) -> None:
    for seed in range(first, first + STORIES):
        story = Story(seed)
        for _ in range(STEPS):
            story.step()


def of(connection: str, id: str, email: str, at: str = "1", **more: Any) -> RecordView:
    return RecordView(connection, "contacts", id, {"email": email}, at, pulled=frozenset({"email"}), **more)


def decided(*records: RecordView, main: str = "", why: Provenance | None = None) -> tuple[str, list[str]]:
    """The main address that these records make, and who is beside it."""
    before = ({"email": main}, {"email": why}) if why else ({}, {})
    made = merge(records, LEAD_FIELDS, {}, *before)
    return made.values["email"], [name for name, _ in made.reasons["email"].beside]


def noted(holders: tuple[str, ...], **beside: str) -> Provenance:
    others = tuple((f"crm/contacts/{id}", email) for id, email in beside.items())
    return Provenance(HUB, day(3), "most_recent", beside=others, holders=holders)


def day(number: int) -> str:
    return f"2026-03-0{number}T09:00:00.000Z"


def hub(main: str, *further: str, at: str = "1") -> RecordView:
    """The contact there, which knows further addresses of the person."""
    body = {"email": main, "emails": list(further)}
    return replace(of("hub", "1", main, at), body=body, pulled=frozenset({"email", "emails"}))


def crm(*ids: str) -> list[str]:
    return [f"crm/contacts/{id}" for id in ids]


def test_of_records_that_are_new_the_one_of_an_address_known_elsewhere_says_which_is_the_main_one() -> None:
    assert decided(of("hub", "1", "a"), of("crm", "2", "a"), of("crm", "3", "b", "9")) == ("a", ["crm/contacts/3"])
    assert decided(of("hub", "1", "b"), of("crm", "2", "a"), of("crm", "3", "b")) == ("b", ["crm/contacts/2"])
    assert decided(of("crm", "2", "a"), of("crm", "3", "b", "9")) == ("b", ["crm/contacts/2"])


def test_who_joins_with_the_main_address_follows_it() -> None:
    why = noted((HUB, "crm/contacts/2"), **{"4": "b"})
    changed, holder, further = of("hub", "1", "c", changed={"email": "9"}), of("crm", "2", "a"), of("crm", "4", "b")
    joins, other = of("crm", "3", "a", "8"), of("crm", "3", "d", "8")
    assert decided(changed, holder, joins, further, main="a", why=why) == ("c", ["crm/contacts/4"])
    both = ["crm/contacts/3", "crm/contacts/4"]
    assert decided(changed, holder, other, further, main="a", why=why) == ("c", both)


def test_who_joins_where_only_a_further_address_is_left_changes_nothing_of_the_main_one() -> None:
    why = noted((HUB, "crm/contacts/2"), **{"3": "b"})
    main, beside = decided(of("hub", "1", "a"), of("crm", "3", "b"), of("crm", "4", "d", "9"), main="a", why=why)
    assert (main, beside) == ("a", ["crm/contacts/3", "crm/contacts/4"])


def test_a_main_address_that_is_changed_to_a_further_one_of_nobody_is_changed() -> None:
    why = noted((HUB, "crm/contacts/2"), **{"3": "b"})
    changed = of("crm", "2", "c", changed={"email": "9"})
    assert decided(hub("a", "b", "c"), changed, of("crm", "3", "b"), main="a", why=why) == ("c", ["crm/contacts/3"])


# who says which address is the main one


def test_who_calls_one_address_the_main_one_and_another_a_further_one_is_believed() -> None:
    """Whatever was given last elsewhere: whoever merges two contacts there says which address stays the main one."""
    one, two, mail = of("crm", "2", "a", "9"), of("crm", "3", "b"), of("mail", "1", "a", "7")
    knows = hub("b", "a", at="8")
    assert decided(knows, mail, one, two) == ("b", crm("2"))
    unheard = replace(knows, pulled=frozenset({"email"}))  # its further addresses are only written, by us
    assert decided(unheard, mail, one, two) == ("a", crm("3"))


def test_an_address_that_changes_places_with_the_main_one_stays_with_its_record() -> None:
    """Else two records there had the same one, and none the other."""
    why = noted((HUB, *crm("2")), **{"3": "b"})
    one, two = of("crm", "2", "a"), of("crm", "3", "b")
    assert decided(hub("b", "a", at="9"), one, two, main="a", why=why) == ("b", crm("2"))
    assert decided(of("hub", "1", "b", "9"), one, two, main="a", why=why) == ("b", crm("2"))


def test_where_nobody_has_the_main_address_any_more_the_one_given_last_is_it_and_the_others_stay() -> None:
    why = noted((HUB, *crm("2")), **{"3": "b", "4": "c"})
    assert decided(of("crm", "3", "b"), of("crm", "4", "c", "2"), main="a", why=why) == ("c", crm("3"))


def test_records_of_one_platform_that_say_the_same_follow_the_main_address_whoever_joined() -> None:
    why = noted((HUB, *crm("2")))
    holder, joined = of("crm", "2", "c", changed={"email": "7"}), of("crm", "3", "c", "8")
    assert decided(of("hub", "1", "d", "9"), holder, joined, main="a", why=why) == ("d", [])


@pytest.mark.parametrize("at", [day(2), day(3)])
def test_who_was_to_be_given_the_main_address_follows_it_though_its_old_one_is_a_further_one_by_now(at: str) -> None:
    """Its write waits, or was lost: what it says is older than the main address, and nobody's choice beside it."""
    why = noted((HUB, *crm("2", "4")), **{"5": "c"})
    waits, given, further = of("crm", "2", "b", at), of("crm", "4", "a"), of("crm", "5", "c")
    assert decided(hub("a", "b", at=day(3)), waits, given, further, main="a", why=why) == ("a", crm("5"))


def test_of_two_that_have_the_main_address_one_that_is_given_a_further_one_has_that_beside_it() -> None:
    why = noted((HUB, *crm("2", "4")))
    changed, holder = of("crm", "2", "b", changed={"email": "9"}), of("crm", "4", "a")
    assert decided(hub("a", "b"), changed, holder, main="a", why=why) == ("a", crm("2"))


def test_a_lead_merged_before_holders_were_noted_hears_whoever_changed_its_address() -> None:
    why = replace(noted((), **{"3": "b"}), holders=None)
    changed, gone = of("crm", "2", "c", changed={"email": "9"}), of("crm", "4", "a", gone="merged", into="contacts/2")
    assert decided(of("hub", "1", "a"), changed, of("crm", "3", "b"), gone, main="a", why=why) == ("c", crm("3"))


# whose address counts


def test_who_is_gone_or_blank_or_only_written_to_has_no_address_beside_the_main_one() -> None:
    """It would keep it for ever, where it is to be given the main one."""
    both = of("hub", "1", "a"), of("crm", "2", "a")
    written = replace(of("crm", "3", "b"), pulled=frozenset())
    blank = replace(of("crm", "3", ""), body={"email": None})
    for other in (of("crm", "3", "b", gone="deleted"), blank, written):
        assert decided(*both, other) == ("a", [])


def test_what_a_platform_made_of_the_main_address_is_no_other_one_until_somebody_changes_it() -> None:
    made = of("crm", "2", "ana@x.io", held={"email": ("Ana@x.io", "ana@x.io")})
    main, further = of("hub", "1", "Ana@x.io", "2"), of("crm", "3", "b", "3")
    assert decided(main, made, further) == ("Ana@x.io", crm("3"))
    changed = replace(made, body={"email": "c"}, changed={"email": "9"})
    assert decided(main, changed, replace(further, body={"email": "Ana@x.io"})) == ("Ana@x.io", crm("2"))


def test_addresses_beside_the_main_one_are_further_ones_in_one_order_and_who_brought_them_is_told() -> None:
    """Another order at each merge would be written to every platform each time."""
    further = [of("crm", str(number), email, str(number)) for number, email in enumerate("hgfedcb", start=3)]
    made = merge([of("hub", "1", "a", "9"), of("crm", "2", "a"), *further], LEAD_FIELDS, {}, {}, {})
    assert made.values["emails"] == list("bcdefgh")
    assert made.reasons["emails"] == Provenance("crm/contacts/3", "3", "union")
    assert made.values["email"] == "a"


# who lives on as another


def ended(id: str, email: str, into: str, how: str = "merged", at: str = day(1)) -> RecordView:
    return of("crm", id, email, at, gone=how, into=f"contacts/{into}")


def test_who_lives_on_as_one_that_joins_hands_on_what_was_known_of_its_address() -> None:
    """The heir of a further address stays beside, and a change of the one that had the main address changes it."""
    why = noted((HUB, *crm("2")), **{"3": "b", "5": "c"})
    main = of("hub", "1", "a")
    assert decided(main, ended("3", "b", "4"), of("crm", "4", "b", day(8)), main="a", why=why) == ("a", crm("4"))
    heir, further = of("crm", "4", "d", day(8)), of("crm", "5", "c")
    assert decided(main, ended("2", "a", "4"), heir, further, main="a", why=why) == ("d", crm("5"))


def test_who_joined_and_lives_on_as_another_that_joined_hands_nothing_on() -> None:
    why = noted((HUB, *crm("2")), **{"3": "b"})
    joined = ended("4", "d", "5"), of("crm", "5", "d", day(8))
    known = of("hub", "1", "a"), of("crm", "2", "a"), of("crm", "3", "b")
    assert decided(*known, *joined, main="a", why=why) == ("a", crm("3", "5"))


def test_one_that_others_were_merged_into_stays_what_it_was() -> None:
    why = noted((HUB, *crm("2")), **{"3": "b", "5": "c"})
    main, further = of("hub", "1", "a"), of("crm", "3", "b", day(2))
    assert decided(main, ended("2", "a", "3"), further, main="a", why=why) == ("a", crm("3"))
    holder, other = of("crm", "2", "d", changed={"email": day(8)}), of("crm", "5", "e", changed={"email": day(9)})
    assert decided(main, ended("3", "b", "2"), holder, other, main="a", why=why) == ("d", crm("5"))


@pytest.mark.parametrize(
    ("how", "made_at", "decides"),
    [
        ("converted", day(4), ("d", crm("5"))),
        ("converted", day(1), ("a", crm("4", "5"))),  # it was there before, and has an address of its own
        ("merged", day(4), ("a", crm("4", "5"))),
    ],
)
def test_what_a_conversion_made_is_what_it_was_made_of_though_it_was_seen_first(
    how: str, made_at: str, decides: tuple[str, list[str]]
) -> None:
    """It was taken for one that joined. Whoever converted a lead and gave another address there gave the main one."""
    why = noted((HUB, *crm("2")), **{"4": "d", "5": "c"})
    old, heir = ended("2", "a", "4", how, at=day(3)), of("crm", "4", "d", made_at)
    main, further = of("hub", "1", "a"), of("crm", "5", "c")
    assert decided(main, old, heir, further, main="a", why=why) == decides


def then(first: Sequence[RecordView], *second: RecordView, why: Provenance) -> tuple[str, list[str]]:
    """The lead is merged of the first records, and then of the second."""
    made = merge(first, LEAD_FIELDS, {}, {"email": "a"}, {"email": why})
    assert made.values["email"] == "a"
    return decided(*second, main="a", why=made.reasons["email"])


def test_who_lives_on_as_one_that_nobody_has_seen_yet_hands_on_when_it_comes() -> None:
    why = noted((HUB, *crm("2")), **{"3": "b"})
    main, further = of("hub", "1", "a"), of("crm", "3", "b")
    before = [main, ended("2", "a", "4"), further]
    assert then(before, *before, of("crm", "4", "d", day(8)), why=why) == ("d", crm("3"))
    before = [main, ended("3", "b", "4")]
    assert then(before, *before, of("crm", "4", "b", day(8)), why=why) == ("a", crm("4"))


def test_who_was_beside_the_main_address_hands_on_no_more_than_that() -> None:
    both, further = (of("hub", "1", "a"), of("crm", "2", "a")), of("crm", "3", "b")
    merged = ended("3", "b", "4"), of("crm", "4", "b", day(8))
    assert then([*both, further], *both, *merged, why=noted((HUB, *crm("2")))) == ("a", crm("4"))


def test_who_was_deleted_and_comes_back_with_another_address_joins() -> None:
    why = noted((HUB, *crm("2")), **{"3": "b"})
    main, further = of("hub", "1", "a"), of("crm", "3", "b")
    back = of("crm", "2", "d", day(8))
    deleted = [main, of("crm", "2", "a", gone="deleted"), further]
    assert then(deleted, main, back, further, why=why) == ("a", crm("2", "3"))
