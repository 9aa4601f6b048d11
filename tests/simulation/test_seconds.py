"""A record that shows another address than it is found by (S24): nobody is there twice, and no address is lost."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.api import Operation, Verb
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
