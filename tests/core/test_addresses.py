"""People with several addresses, in stories drawn at random: what happened to one address moves those that it ought to
move, and no other, also where writes are late and the lead is merged in between."""

from __future__ import annotations

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
    return Provenance(HUB, "3", "most_recent", beside=others, holders=holders)


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
    hub = replace(of("hub", "1", "a"), body={"email": "a", "emails": ["b", "c"]}, pulled=frozenset({"email", "emails"}))
    changed = of("crm", "2", "c", changed={"email": "9"})
    assert decided(hub, changed, of("crm", "3", "b"), main="a", why=why) == ("c", ["crm/contacts/3"])
