"""A deal, or a copy of one, that somebody restored from a backup: it is as it was hours ago, its time included, and
nothing else is (C8). A full read tells of it; a deal is what its home shows, and a copy is written anew (P1).

It happens to a world that has lived, before it is healed. Drawn beside the story of a seed.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.desk import Desk
from tests.simulation.side import Row

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario

KIND = "backups"
RESTORED = "deal restored"
SHARE = 0.2
HOURS = 2.0
"""Longer than any index lags."""


def strike(scenario: DealScenario) -> None:
    """Somebody works on a deal, the engine may hear of it, and then the deal, or its copy, is what it was before."""
    rng = Random(f"{scenario.seed}-{KIND}")
    if KIND in scenario.without or not scenario.faults or rng.random() >= SHARE:
        return
    _sync_twice(scenario)
    crm, mail = scenario.desks["beta"], scenario.desks["alpha"]
    open_ = [id for id, row in sorted(crm.standing("deals").items()) if not row.values.get("closed")]
    if not open_:
        return
    copied = {row.values.get("home"): id for id, row in sorted(mail.standing("deals").items())}
    home = rng.choice([id for id in open_ if f"beta/deals/{id}" in copied] or open_)
    copy = copied.get(f"beta/deals/{home}")
    side, id = (mail, copy) if copy and rng.random() < 0.5 else (crm, home)
    kept = side.history[id][-1]
    scenario.clock.advance(HOURS * 3600)
    scenario.trade.amend(home)
    _sync_twice(scenario)
    scenario.clock.advance(HOURS * 3600)
    _restore(scenario, side, kept)


def _sync_twice(scenario: DealScenario) -> None:
    """A first write of all that there is to write is followed by the rest."""
    scenario.sync()
    scenario.sync()


def _restore(scenario: DealScenario, side: Desk, kept: Row) -> None:
    side.catch_up()
    now = side.history[kept.id][-1]
    if now.gone is not None or now is kept:
        return
    blank = dict.fromkeys(now.values)  # what had no value yet is told as blank
    side.history[kept.id].append(replace(kept, at=scenario.clock.now(), values={**blank, **kept.values}))
    scenario.met[f"beside/{RESTORED}"] += 1
    scenario._say(f"{side.name}/{kept.id} is restored")
    scenario.sync("backfill")
    scenario.oddities.unmoved = True  # no pull of news tells of it: a full one is granted when the faults end
