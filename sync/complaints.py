"""Quarantine of what was pulled: values and records that cannot be read, until they come clean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from mappings.compiler import ValueProblem
from sync.entries import OPEN, entry, quarantine_rows
from sync.state.schema import quarantine


class Complaints:
    """The complaints about one group of records of one object, written with `store`."""

    def __init__(self, tx: Connection, connection: str, object: str, run: str, at: str) -> None:
        self._tx = tx
        self._of = (connection, object)
        self._run, self._at = run, at
        self._where = {"of": connection, "named": object}
        self._open: dict[str, set[str]] = {}
        self._raised: list[dict[str, Any]] = []
        self._settled: dict[str, list[str]] = defaultdict(list)

    def recall(self, ids: Sequence[str]) -> None:
        """Look up which of the records `ids` have open complaints. Costs one probe while the object has none."""
        if self._tx.execute(_ANY, self._where).first() is None:
            return
        for some in _chunks(ids):
            for record, field in self._tx.execute(_THEIRS, {**self._where, "some": some}):
                self._open.setdefault(record, set()).add(field)

    @property
    def any_open(self) -> bool:
        """Whether any of the recalled records has an open complaint, which a good reading would settle."""
        return bool(self._open)

    def judge(self, record: str, problems: Iterable[ValueProblem]) -> None:
        """`record` was read anew with these problems: they are raised, earlier ones that went away are settled."""
        fields = set()
        for problem in problems:
            fields.add(problem.field)
            self._raise(record, problem)
        for field in self._open.get(record, set()) - fields:
            self._settled[field].append(record)

    def _raise(self, record: str, problem: ValueProblem) -> None:
        place = (*self._of, record, "", problem.field)
        reason = f"{problem.field or 'the record'} {problem.reason}"
        fix = problem.fix or "Correct it on the platform, or change the mapping."
        told = entry(self._run, self._at, place, code=problem.code, reason=reason, fix=fix, direction="pull")
        self._raised.append(told)

    def store(self) -> None:
        if self._raised:
            quarantine_rows(self._tx, self._raised)
        for field, records in self._settled.items():
            for some in _chunks(records):
                given = {**self._where, "some": some, "about": field, "at": self._at}
                self._tx.execute(_RESOLVE, given)


_HERE = (
    (quarantine.c.direction == "pull")
    & (quarantine.c.connection == bindparam("of"))
    & (quarantine.c.object == bindparam("named"))
    & quarantine.c.state.in_(OPEN)
)
_SOME = quarantine.c.record.in_(bindparam("some", expanding=True))
_ANY = select(quarantine.c.id).where(_HERE).limit(1)
_THEIRS = select(quarantine.c.record, quarantine.c.field).where(_HERE, _SOME)
_RESOLVE = (
    update(quarantine)
    .where(_HERE, _SOME, quarantine.c.field == bindparam("about"))
    .values(state="resolved", last_at=bindparam("at"))
)


def _chunks(values: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
