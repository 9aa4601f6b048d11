"""Take up a state again that may not write: restored from a backup, or another than this host knows (`sync.epoch`).

What the lost state sent last may still come, or is not shown yet, and would look like somebody's edit of afterwards:
that is waited for. Who was forgotten since is forgotten again; everything is read anew from all platforms, and nothing
is written; what the older state would have decided without knowing becomes a question (`sync.restored`). Then the state
has a new id and an epoch beyond all that is known, and may write. Until then the same command begins again where it was
stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, select, update

from config.clock import unstamp
from sync import epoch
from sync.epoch import Identity, Mark
from sync.forget import Person, find, scrub
from sync.load import chunks
from sync.restored import CODE
from sync.runs import REBASELINE, Options, Report, Runner
from sync.state.database import NOTE, upsert
from sync.state.schema import identities, meta, quarantine, records, runs, streams
from sync.withheld import begin_anew, count
from sync.workspace import Workspace

SURE = 300.0
"""Seconds after which whatever a state sent before it was lost has been done, and stands in every index."""
_BEGAN = "rebaseline_began"


@dataclass(slots=True)
class Rebaselined:
    """What came of it. `report` is None where it was done from another host already; `taken_up` says whether the state
    may write now; `forgotten` counts the people forgotten again, `questions` what is open, by kind."""

    report: Report | None
    taken_up: bool
    forgotten: int = 0
    questions: dict[str, int] = field(default_factory=dict)


def fresh_id() -> str:
    return secrets.token_hex(16)


def rebaseline(
    workspace: Workspace,
    runner: Runner,
    *,
    create_missing: bool = False,
    large: bool = False,
    new_id: Callable[[], str] = fresh_id,
) -> Rebaselined:
    """Do all of it. With `create_missing` nobody is asked about people who are missing somewhere; with `large` an
    account that looks emptied is taken for what it shows."""
    mark, known = epoch.standing(workspace.state, workspace.marks)
    forgotten = _forget_again(workspace, mark)
    if mark is not None and epoch.is_succeeded(mark, known):
        epoch.remember(workspace.state, workspace.marks)
        return Rebaselined(None, True, forgotten)
    _close_runs(workspace)
    _wait(workspace, runner, _began(workspace, mark, known))
    options = Options(push=False, bulk=True, large=large, choice="create_missing" if create_missing else "")
    report = runner.run(REBASELINE, workspace.connections, options)
    if report.state != "done":
        return Rebaselined(report, False, forgotten)
    with workspace.state.begin() as tx:
        epoch.take_up(tx, new_id(), mark)
        left = count(tx) | {"written already": _doubted(tx)}
    epoch.remember(workspace.state, workspace.marks)
    return Rebaselined(report, True, forgotten, {kind: number for kind, number in left.items() if number})


def _began(workspace: Workspace, mark: Mark | None, known: Identity) -> str:
    """When it was first tried to take up this state: the state that was lost wrote nothing after it."""
    lost = [known.id, known.epoch, mark.id if mark else "", mark.epoch if mark else 0]
    with workspace.state.begin() as tx:
        told = tx.execute(NOTE, {"of": _BEGAN}).scalar()
        noted = orjson.loads(told) if told else {}
        if noted.get("lost") == lost:
            return str(noted["at"])
        at = workspace.now()
        row = {"name": _BEGAN, "value": orjson.dumps({"lost": lost, "at": at}).decode()}
        tx.execute(upsert(meta, tx, update=["value"]), [row])
        return at


def _wait(workspace: Workspace, runner: Runner, began: str) -> None:
    """SURE has passed since `began`, or somebody said to stop."""
    passed = (workspace.clock.now() - unstamp(began)).total_seconds()
    left = min(SURE, SURE - passed)
    runner.progress.stage("", "wait")
    while left > 0 and not runner.stop.is_set():
        workspace.clock.sleep(min(left, 1.0))
        left -= 1.0


def _doubted(tx: Connection) -> int:
    mine = (quarantine.c.code == CODE) & (quarantine.c.state == "open")
    return len(tx.execute(select(quarantine.c.id).where(mine)).all())


def _close_runs(workspace: Workspace) -> None:
    """Runs that the older state holds for unfinished are over."""
    standing = runs.c.state.in_(["running", "cancelled"]) & (runs.c.command != REBASELINE)
    ended = {"state": "failed", "finished_at": workspace.now(), "error": "The state was restored."}
    with workspace.state.begin() as tx:
        tx.execute(update(runs).where(standing).values(**ended))
        begin_anew(tx)


def _forget_again(workspace: Workspace, mark: Mark | None) -> int:
    """Whoever was forgotten after the backup was made: their number, as far as they are in the state again."""
    if mark is None or not mark.forgotten:
        return 0
    with workspace.state.begin() as tx:
        fresh = workspace.suppression.restore(tx, mark.forgotten, mark.key)
        people = _people(tx, workspace, frozenset(mark.forgotten)) if fresh else []
        for person in people:
            scrub(tx, person)
    if people:
        workspace.state.compact()
    return len(people)


def _people(tx: Connection, workspace: Workspace, digests: frozenset[str]) -> list[Person]:
    """Those in the state whose address or record has one of these digests."""
    digest = workspace.suppression.digest
    found: dict[str, Person] = {}
    addresses = tx.execute(select(identities.c.value).where(identities.c.kind == "email")).scalars().all()
    for address in addresses:
        if digest("email", address) in digests:
            person = find(tx, address)
            found.setdefault(repr(person.records or person.leads), person)
    joined = select(streams.c.connection, streams.c.object, records.c.id).join(
        streams, streams.c.id == records.c.stream
    )
    theirs = [tuple(row) for row in tx.execute(joined) if digest("record", "/".join(row)) in digests]
    for some in chunks(theirs):
        person = find(tx, _NO_ADDRESS, [(row[0], row[1], row[2]) for row in some])
        found.setdefault(repr(person.records or person.leads), person)
    return [person for person in found.values() if person.records or person.leads]


_NO_ADDRESS = "nobody@invalid"
"""An address that nobody has: these people are found by their records."""
