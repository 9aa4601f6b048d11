"""What a platform that was rolled back shows in its bin, or not at all."""

from __future__ import annotations

from copy import deepcopy

import pytest

from config.clock import stamp
from connectors.api import Gone
from sync.rollback import ACCEPT
from tests.engine.conftest import Loop
from tests.engine.memory import rejected
from tests.engine.test_rollback import HOUR, ids, loop_back, run, titles

__all__ = ["loop_back"]


@pytest.mark.parametrize("back", [True, False], ids=["it is back since", "it stays there"])
def test_what_was_rolled_back_into_the_bin_is_nobodys_word_of_now(loop_back: Loop, back: bool) -> None:
    """Should it be back, what it says was given when it was given. All others are as the account shows them."""
    alpha, clock = loop_back.alpha, loop_back.clock
    clock.advance(2 * HOUR)
    alpha.remove("contacts", "a0", Gone.ARCHIVED)
    loop_back.settled()
    kept = deepcopy(alpha.rows)
    clock.advance(2 * HOUR)
    _bring_back(loop_back)
    for id in ids(loop_back, "a"):
        alpha.edit("contacts", id, {"title": "Chief"})
    loop_back.settled()
    assert titles(loop_back) == {("Chief", "Chief")}
    clock.advance(2 * HOUR)
    alpha.rows.clear()
    alpha.rows.update(kept)
    assert run(loop_back).state == "held"
    assert run(loop_back, "backfill", ("alpha",), choice=ACCEPT).state == "done"
    loop_back.settled()
    if back:
        _bring_back(loop_back)
        loop_back.settled()
        assert titles(loop_back) == {("Chief", "Chief"), ("Clerk", "Clerk")}
    assert loop_back.beta.rows["contacts"]["b0"].values["title"] == "Chief"


def _bring_back(loop: Loop) -> None:
    loop.clock.advance(60)
    row = loop.alpha.rows["contacts"]["a0"]
    row.gone, row.version = None, stamp(loop.clock.now())


def test_a_stage_that_was_lost_is_not_taken_back_by_who_never_had_one(loop_back: Loop) -> None:
    """Nobody could be told of it yet when somebody gives an earlier one elsewhere."""
    alpha, beta = loop_back.alpha, loop_back.beta
    mapping = loop_back.folder / "mappings" / "beta.yaml"
    mark = "      - {remote: first, field: first_name, direction: both}\n"
    stage = "      - {remote: stage, field: lifecycle_stage, direction: both}\n"
    mapping.write_text(mapping.read_text().replace(mark, mark + stage))
    loop_back.reopen()
    loop_back.settled()
    kept = deepcopy(alpha.rows)
    kept["contacts"]["a0"].values["stage"] = None
    loop_back.clock.advance(2 * HOUR)
    for id in ids(loop_back, "a"):
        alpha.edit("contacts", id, {"title": "Chief"})
    alpha.edit("contacts", "a0", {"stage": "customer"})
    loop_back.sync(push=False)
    loop_back.clock.advance(2 * HOUR)
    alpha.rows.clear()
    alpha.rows.update(kept)
    assert run(loop_back).state == "held"
    alpha.refuse = lambda operation: rejected()
    run(loop_back, "backfill", ("alpha",), choice=ACCEPT)
    loop_back.clock.advance(60)
    beta.edit("contacts", "b0", {"stage": "subscriber"})
    loop_back.sync()
    alpha.refuse = lambda operation: None
    loop_back.settled()
    assert beta.rows["contacts"]["b0"].values["stage"] == "customer"
