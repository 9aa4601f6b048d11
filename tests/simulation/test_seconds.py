"""A record that shows another address than it is found by (S24): nobody is there twice, and no address is lost."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from connectors.api import Operation, Verb
from sync.state.schema import conflicts, quarantine
from tests.simulation.platforms import PairScenario
from tests.simulation.process import Crash
from tests.simulation.wire import wired

NAMES = ("hubspot", "mailchimp")


def join(world: PairScenario, name: str, email: str) -> None:
    target = next(target for target in world.objects[name] if target.can_create)
    remote, _, _ = target.express({"email": email, "last_name": "Ruiz"}, True)
    world._push(name, Operation("join", Verb.CREATE, target.object, remote, "", world._match(target, remote)))


def dies_after_upsert(world: PairScenario) -> None:
    """The process dies when HubSpot has made somebody, and has answered nothing yet."""
    portal = world.pair.sandboxes["hubspot"]

    def between(where: str) -> None:
        if where == "call.after" and not world.crashes and portal.store.rows["contacts"] and not world.wire.calm:
            world.crashes += 1
            raise Crash(where)

    world.wire.between = between


def shown(world: PairScenario) -> dict[str, list[Any]]:
    return {name: [values["email"] for _, _, values in world._people(name)] for name in NAMES}


@pytest.mark.parametrize("lags", [0, 10_000])
def test_an_address_changed_after_a_create_whose_answer_was_lost_is_not_taken_back(lags: int) -> None:
    world = PairScenario(7, names=NAMES, faults=False)
    portal = world.pair.sandboxes["hubspot"]
    with wired(world.wire), world.beside.during():
        world._connect(NAMES)
        join(world, "mailchimp", "ana@x.example")
        dies_after_upsert(world)
        assert world.sync() is None
        [made] = portal.store.rows["contacts"]
        world.pair.clock.advance(60)
        portal.edit("contacts", made, {"email": "ana@y.example"})
        portal.index_lag = lags
        for _ in range(3):
            world.pair.clock.advance(600)
            world.sync()
        portal.index_lag = 0
        world.pair.clock.advance(600)
        world._come_to_rest()
        assert shown(world) == {"hubspot": ["ana@y.example"], "mailchimp": ["ana@y.example"]}
        assert portal.get("contacts", made)["hs_additional_emails"] == "ana@x.example"
    world.workspace.close()
    world.hand.close()


def paired(second: str = "leads") -> PairScenario:
    """Ana has two addresses at HubSpot, and at Salesforce a contact of the one and a lead, or contact, of the other."""
    world = PairScenario(7, names=("hubspot", "salesforce"), faults=False)
    portal, org = world.pair.sandboxes["hubspot"], world.pair.sandboxes["salesforce"]
    with wired(world.wire), world.beside.during():
        world._connect(world.names)
        portal.put("contacts", {"email": "a@x.example", "hs_additional_emails": "b@x.example", "lastname": "Ruiz"})
        org.put("contacts", {"Email": "a@x.example", "LastName": "Ruiz"})
        company = {"Company": "X"} if second == "leads" else {}
        org.put(second, {"Email": "b@x.example", "LastName": "Ruiz", **company})
    return world


def rests(world: PairScenario) -> None:
    """Three runs: by the last of them nothing is written any more, nothing was refused, and nobody is asked."""
    reports = []
    with wired(world.wire), world.beside.during():
        for _ in range(3):
            world.pair.clock.advance(600)
            reports.append(world.sync())
    assert reports[-1] is not None
    assert not reports[-1].counts["write"]
    with world.workspace.state.read() as tx:
        refused = quarantine.c.direction == "push", quarantine.c.state == "open"
        assert tx.execute(select(quarantine.c.id).where(*refused)).all() == []
        assert tx.execute(select(conflicts.c.id).where(conflicts.c.state == "open")).all() == []


def shows(world: PairScenario) -> tuple[str, list[str]]:
    """HubSpot's main address; Salesforce's, the contacts' first."""
    portal, org = world.pair.sandboxes["hubspot"], world.pair.sandboxes["salesforce"]
    [ana] = portal.all("contacts")
    return ana["email"], [row["Email"] for row in org.all("contacts") + org.all("leads")]


@pytest.mark.parametrize("second", ["leads", "contacts"])
def test_each_of_two_records_keeps_its_address(second: str) -> None:
    world = paired(second)
    portal, org = world.pair.sandboxes["hubspot"], world.pair.sandboxes["salesforce"]
    first, last = [row["Id"] for row in [*org.all("contacts"), *org.all("leads")]]
    [ana] = portal.store.rows["contacts"]
    rests(world)
    assert shows(world) == ("a@x.example", ["a@x.example", "b@x.example"])
    org.edit(second, last, {"Email": "d@x.example"})
    rests(world)
    assert shows(world) == ("a@x.example", ["a@x.example", "d@x.example"])
    assert portal.get("contacts", ana)["hs_additional_emails"] == "b@x.example"
    portal.edit("contacts", ana, {"email": "c@x.example", "phone": "+49301234567"})
    rests(world)
    assert shows(world) == ("c@x.example", ["c@x.example", "d@x.example"])
    assert [row["Phone"] for row in org.all("contacts") + org.all("leads")] == ["+49301234567"] * 2
    org.edit("contacts", first, {"Email": "e@x.example"})
    rests(world)
    assert shows(world) == ("e@x.example", ["e@x.example", "d@x.example"])
    world.workspace.close()
    world.hand.close()


def test_two_contacts_that_hubspot_merges_leave_salesforce_both_addresses() -> None:
    world = paired("contacts")
    portal, org = world.pair.sandboxes["hubspot"], world.pair.sandboxes["salesforce"]
    [ana] = portal.store.rows["contacts"]
    portal.edit("contacts", ana, {"hs_additional_emails": ""})
    bob = portal.put("contacts", {"email": "b@x.example", "lastname": "Ruiz"})
    rests(world)
    portal.merge("contacts", ana, bob)
    rests(world)
    assert shows(world) == ("a@x.example", ["a@x.example", "b@x.example"])
    one, two = (row["Id"] for row in org.all("contacts"))
    org.merge("contacts", two, one)  # the one that is left there follows the main address
    rests(world)
    assert shows(world) == ("a@x.example", ["a@x.example"])
    world.workspace.close()
    world.hand.close()
