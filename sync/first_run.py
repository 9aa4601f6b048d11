"""The first writes to an account: only after a person's yes, and a canary batch first.

The first run is the one that ruins people's data elsewhere. Here it matches and links, shows what it would do, waits,
then writes a few records, reads them back from the platform, and goes on only when they hold what was meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from sqlalchemy import Connection, bindparam, literal_column, select, update

from config.errors import ClosedloopError, RecordRejected
from config.log import Log
from sync.core.plan import Planned
from sync.ledger import Ledger
from sync.load import chunks
from sync.state.database import upsert
from sync.state.schema import connections, journal, meta
from sync.workspace import Workspace

log = Log(__name__)


_NAMED = connections.c.name == bindparam("of")
_APPROVE = update(connections).where(_NAMED, connections.c.approved_at.is_(None)).values(approved_at=bindparam("at"))
_BEFORE_ITS_FIRST_RUN = connections.insert()
_KNOWN = select(connections.c.name).where(_NAMED)
_NOT_DONE = select(journal.c.id).where(
    journal.c.op.in_(bindparam("some", expanding=True)), journal.c.state != "settled"
)
_PASSED = select(meta.c.name).where(meta.c.name.like(literal_column("'canary:%'")))


def approve(tx: Connection, connection: str, at: str) -> None:
    """Let the first writes to `connection` through (an approval given before stays as it is)."""
    if tx.execute(_APPROVE, {"of": connection, "at": at}).rowcount:
        return
    known = tx.execute(_KNOWN, {"of": connection}).scalar()
    if known is None:
        row = {"name": connection, "platform": "", "created_at": at, "approved_at": at}
        tx.execute(_BEFORE_ITS_FIRST_RUN, [row])


class Canary:
    """Holds back all but a few of a connection's first operations until those few are known to be good."""

    def __init__(self, workspace: Workspace, ledger: Ledger) -> None:
        self._workspace = workspace
        self._ledger = ledger
        self._size = workspace.project.first_run.canary

    @cached_property
    def _passed(self) -> set[str]:
        with self._workspace.state.read() as tx:
            return {name.removeprefix("canary:") for name in tx.execute(_PASSED).scalars()}

    def size(self, names: Iterable[str]) -> int:
        """How many operations make the next chunk while one of `names` has its canary before it; 0 for no matter."""
        names = list(names)
        return self._size if names and any(name not in self._passed for name in names) else 0

    def split(self, operations: Sequence[Planned]) -> tuple[list[Planned], list[Planned]]:
        """(the canary batch, the rest): at most `first_run.canary` operations of each connection new to writes."""
        if not self._size:
            return [], list(operations)
        first: list[Planned] = []
        rest: list[Planned] = []
        taken: dict[str, int] = defaultdict(int)
        for operation in operations:
            name = operation.connection
            if name in self._passed or taken[name] >= self._size:
                rest.append(operation)
            else:
                taken[name] += 1
                first.append(operation)
        return first, rest

    def judge(self, first: Sequence[Planned]) -> dict[str, ClosedloopError]:
        """Remember the connections whose canary went well; an error for each where more than half was refused."""
        stopped: dict[str, ClosedloopError] = {}
        for name in dict.fromkeys(operation.connection for operation in first):
            mine = [operation for operation in first if operation.connection == name]
            refused = self._refused(mine)
            if refused * 2 > len(mine):
                stopped[name] = RecordRejected(
                    f"The first {len(mine)} writes were tried and {refused} of them refused; nothing more was sent.",
                    fix="Look at `closedloop quarantine list`, correct the mapping, then sync again.",
                    connection=name,
                )
                continue
            self._passed.add(name)
            with self._workspace.state.begin() as tx:
                self._ledger.enter(tx)
                row = {"name": f"canary:{name}", "value": self._workspace.now()}
                tx.execute(upsert(meta, tx, update=["value"]), [row])
            log.info("first_run.canary_passed", connection=name, operations=len(mine), refused=refused)
        return stopped

    def _refused(self, operations: Sequence[Planned]) -> int:
        refused = 0
        with self._workspace.state.read() as tx:
            for some in chunks([operation.op(self._ledger.run) for operation in operations]):
                refused += len(list(tx.execute(_NOT_DONE, {"some": some})))
        return refused
