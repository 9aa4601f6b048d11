"""Every transaction that a run writes in begins with a look at the run's leases; a place that has none says why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).parents[2] / "sync"
LOOKS = ("enter(tx)", "ledger.enter(tx)", "self.ledger.look(tx)", "inside(tx, ")
"""How a look is written. `inside` is a run's own, which comes with one."""
PERSON = "a person's command, of no run"
BEFORE = "before the run has its leases"
ITSELF = "the look itself, or what it looks at"
STANDS = "of the database as a whole, of no run"
BESIDE = {
    "byhand.py take_in": PERSON,
    "cli/act.py _lift": PERSON,
    "cli/conflicts.py conflicts_resolve": PERSON,
    "cli/conflicts.py duplicates_dismiss": PERSON,
    "cli/conflicts.py duplicates_link": PERSON,
    "cli/conflicts.py unlink": PERSON,
    "cli/look.py quarantine_dismiss": PERSON,
    "forget.py _suppress": PERSON,
    "forget.py forget": "after the run; nobody else says or does anything of these people any more",
    "rebaseline.py _began": PERSON,
    "rebaseline.py _close_runs": PERSON,
    "rebaseline.py _forget_again": PERSON,
    "rebaseline.py rebaseline": "after the run; taken up twice it has another name, and all former ones are known",
    "replay.py _read_anew": PERSON,
    "replay.py replay": PERSON,
    "runs.py approve": PERSON,
    "runs.py open": BEFORE,
    "steps/attempt.py _refuse_restored": "a state that was restored: nobody goes on with its runs",
    "runs.py fail": "after the run: of one that is open still",
    "hooks.py _kept": "a webhook's word that something is to be read; it may come at any time",
    "daemon.py _stay": ITSELF,
    "fence.py check": ITSELF,
    "state/leases.py acquire_all": ITSELF,
    "state/leases.py release": ITSELF,
    "state/budget.py _reserve": "how many calls leave; each passes the fence after it",
    "state/budget.py block": "for how long no call leaves",
    "state/tokens.py begin_anew": PERSON,
    "state/tokens.py put": "under a lease of its own: who is to renew a log-in",
    "state/database.py _migrate": STANDS,
    "state/database.py _remember_identity": STANDS,
    "state/database.py begin": STANDS,
    "state/migrate.py upgrade": STANDS,
    "state/rekey.py drop_others": STANDS,
    "state/rekey.py rekey": STANDS,
}


def _transactions() -> Iterator[tuple[str, bool]]:
    """Where one that writes begins, and whether its leases are looked at in it."""
    for path in sorted(ROOM.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            begun = {ast.unparse(one) for one in ast.walk(function) if isinstance(one, ast.Assign)}
            for block in ast.walk(function):
                if isinstance(block, ast.With) and _begins(block, begun):
                    done = ast.unparse(block)
                    yield f"{path.relative_to(ROOM).as_posix()} {function.name}", any(look in done for look in LOOKS)


def _begins(block: ast.With, assigned: set[str]) -> bool:
    opened = {ast.unparse(item.context_expr) for item in block.items}
    said = opened | {text for text in assigned if text.partition(" = ")[0] in opened}
    return any(".begin(" in text for text in said)


def test_every_transaction_of_a_run_looks_at_its_leases() -> None:
    without = {place for place, looks in _transactions() if not looks}
    assert without == BESIDE.keys()
