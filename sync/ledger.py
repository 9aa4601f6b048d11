"""The accounts of a run: every record pulled and every operation planned ends in exactly one state, counted in the
transaction that decides it. The same object holds the run's leases, and checks in every transaction that they are
still its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from sync.absorb import Absorbed
from sync.state.leases import Lease, looking, renew
from sync.state.schema import runs


@dataclass(slots=True)
class Written:
    """What became of the operations of one object: each in exactly one of the last five."""

    planned: int = 0
    applied: int = 0
    unchanged: int = 0
    held: int = 0
    quarantined: int = 0
    parked: int = 0


_COUNT = update(runs).where(runs.c.id == bindparam("run")).values(counts=bindparam("told"))
_COUNT_AND_STAGE = _COUNT.values(stage=bindparam("stage"))
_STAGE = update(runs).where(runs.c.id == bindparam("run")).values(stage=bindparam("told"))
END = update(runs).where(runs.c.id == bindparam("run"))
END = END.values(state=bindparam("ends"), finished_at=bindparam("at"), error=bindparam("told"))
"""Closes a run's row."""
_END_AND_STAGE = END.values(stage=bindparam("stage"))
_COUNTED = select(runs.c.counts).where(runs.c.id == bindparam("run"))

PULL_STATES = ("applied", "unchanged", "held", "quarantined", "parked", "suppressed")


class Ledger:
    """Counts of one run, kept in its row. `enter` is the first statement of every transaction of the run."""

    def __init__(self, run: str, counts: dict[str, Any] | None = None) -> None:
        self.run = run
        self.counts: dict[str, Any] = counts or {"pull": {}, "write": {}, "handoffs": 0}
        self._leases: Sequence[Lease] = ()
        self._look = looking(())
        self._renewed = 0.0
        self._stage = ""

    @classmethod
    def of(cls, tx: Connection, run: str) -> Ledger:
        """The accounts of another run, as stored."""
        told = tx.execute(_COUNTED, {"run": run}).scalar()
        return cls(run, orjson.loads(told) if told and told != "{}" else None)

    def hold(self, leases: Sequence[Lease]) -> None:
        """From now on every transaction of the run checks these, which have just been taken."""
        self._leases = leases
        self._look = looking(leases)
        self._renewed = time.monotonic()

    def enter(self, tx: Connection) -> None:
        """Raises Fenced when a lease is somebody else's by now; renews them when it is time. Stores what was left."""
        self.look(tx)
        self.leave(tx)

    def look(self, tx: Connection) -> None:
        """The same where what was left is stored by what follows."""
        if self._leases and time.monotonic() - self._renewed > self._leases[0].seconds / 3:
            renew(tx, self._leases)
            self._renewed = time.monotonic()
        else:
            self._look(tx)

    def remember(self, stage: str) -> None:
        """How far the run is, stored by its next transaction. What never was is done again, and comes to the same."""
        self._stage = stage

    def ended(self, tx: Connection, state: str, at: str, told: str | None) -> None:
        """Close the run's row, in a transaction of the run; what was left is stored with it."""
        given = {"run": self.run, "ends": state, "at": at, "told": told}
        if self._stage:
            tx.execute(_END_AND_STAGE, {**given, "stage": self._stage})
            self._stage = ""
        else:
            tx.execute(END, given)

    def leave(self, tx: Connection) -> None:
        """Store what was to be remembered."""
        if self._stage:
            tx.execute(_STAGE, {"run": self.run, "told": self._stage})
            self._stage = ""

    def pulled(self, tx: Connection, connection: str, object: str, absorbed: Absorbed) -> None:
        """Add what one group of pages brought."""
        row = self._row("pull", connection, object, ("pulled", *PULL_STATES))
        row["pulled"] += absorbed.pulled
        row["applied"] += absorbed.new + absorbed.changed + absorbed.gone
        row["unchanged"] += absorbed.unchanged
        row["held"] += absorbed.filtered
        row["quarantined"] += absorbed.quarantined
        row["suppressed"] = row.get("suppressed", 0) + absorbed.suppressed
        if absorbed.pulled:
            self._save(tx)

    def parked(self, tx: Connection, connection: str, object: str, number: int) -> None:
        """`number` records of those applied turned out to need a person."""
        row = self._row("pull", connection, object, ("pulled", *PULL_STATES))
        number = min(number, row["applied"])
        row["applied"] -= number
        row["parked"] += number
        self._save(tx)

    def wrote(self, tx: Connection, connection: str, object: str, written: Written) -> None:
        """Add what became of some operations."""
        row = self._row("write", connection, object, Written.__slots__)
        for name in Written.__slots__:
            row[name] += getattr(written, name)
        self._save(tx)

    def handed_off(self, tx: Connection, number: int) -> None:
        self.counts["handoffs"] += number
        self._save(tx)

    def total(self, part: str, state: str) -> int:
        """The sum of one state over all objects of `pull` or `write`."""
        return sum(row[state] for objects in self.counts[part].values() for row in objects.values())

    @property
    def needs_person(self) -> bool:
        """Whether any record or operation waits for a person."""
        waiting = ("quarantined", "parked")
        return any(self.total(part, state) for part in ("pull", "write") for state in waiting) or bool(
            self.total("write", "held")
        )

    def _row(self, part: str, connection: str, object: str, states: Sequence[str]) -> dict[str, int]:
        objects = self.counts[part].setdefault(connection, {})
        row: dict[str, int] = objects.setdefault(object, dict.fromkeys(states, 0))
        return row

    def _save(self, tx: Connection) -> None:
        given = {"run": self.run, "told": orjson.dumps(self.counts).decode()}
        if self._stage:
            tx.execute(_COUNT_AND_STAGE, {**given, "stage": self._stage})
            self._stage = ""
        else:
            tx.execute(_COUNT, given)
