"""One scenario: a seed decides the sides' habits, the faults, who edits what and when, which run comes when and where
a process dies. After it everything is healed and left alone, and what must hold then is checked.

The oracle is simpler than the engine: of each person and field it knows every value anybody ever gave, and which
values were in sight when a later one was given. What nobody replaced knowingly may survive; nothing else may.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from config.clock import ManualClock
from config.errors import ClosedloopError
from connectors.api import Account, Connector, Platform, Surroundings
from sync.push import DOUBT
from sync.runs import Options, Report, Runner
from sync.state.database import State
from sync.workspace import Owners, Workspace
from tests.simulation.side import Side, drawn_habits, drawn_rates

SIDES = ("alpha", "beta", "gamma")
FIELDS = ("first", "title")
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
ENDS = ("applied", "unchanged", "held", "quarantined", "parked")
QUIET_RUNS = 8
"""Runs after which a healed world has come to rest; mistaken writes are looked up in one and done in the next."""

_MANIFEST = """
name: {name}
title: {name}
about: a simulated platform
api: "1"
sdk: none
hosts: [127.0.0.1]
auth: {{none: {{about: nothing}}}}
objects:
  contacts: {{kind: lead, about: people, push: [create, update], unique: [email, key]}}
"""

_MAPPING = """
platform: {name}
objects:
  contacts:
    kind: lead
    match: [email]
    create_when: "true"
    fields:
      - {{remote: key, field: closedloop_id, direction: push}}
      - {{remote: email, field: email, direction: both, transform: [email]}}
      - {{remote: first, field: first_name, direction: both}}
      - {{remote: title, field: title, direction: both, on_blank: clear}}
      - {{remote: consent, field: email_consent, direction: both}}
"""

_PROJECT = """
version: 1
state: sqlite:///closedloop.db
connections:
{connections}
guards: {{describe_every: 86400, changed: {{share: 100%, over: 0}}, opted_out: {{share: 100%, over: 0}}}}
first_run: {{canary: 1}}
"""


class Crash(BaseException):
    """The process dies here."""


class Violation(AssertionError):
    """What must hold does not."""


@dataclass(slots=True)
class Edit:
    """A value that a person gave a field, and all values that were in sight, or replaced by those in sight."""

    field: str
    value: str | None
    replaced: frozenset[int]
    side: str
    row: str


@dataclass(slots=True)
class Outcome:
    """What a scenario came to."""

    seed: int
    events: int
    faults: dict[str, int]
    crashes: int
    trace: str
    boundaries: int
    violation: str = ""


@cache
def _world(number: int) -> tuple[Path, Workspace]:
    """The project that all scenarios of so many sides share: files, compiled mappings and statements, and an empty
    state to copy."""
    folder = Path(tempfile.mkdtemp(prefix="closedloop-sim-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    (folder / "mappings").mkdir()
    for name in SIDES[:number]:
        (folder / name).mkdir()
        (folder / name / "manifest.yaml").write_text(_MANIFEST.format(name=name))
        (folder / "mappings" / f"{name}.yaml").write_text(_MAPPING.format(name=name))
    lines = "\n".join(f"  {name}: {{auth: {{mode: none}}}}" for name in SIDES[:number])
    (folder / "closedloop.yaml").write_text(_PROJECT.format(connections=lines))
    clock = ManualClock(START)
    workspace = Workspace.open(folder, clock=clock, find=lambda name: _platform(name, folder / name, None))
    workspace.close()
    shutil.copy(folder / "closedloop.db", folder / "empty.db")
    return folder, workspace


def _platform(name: str, folder: Path, side: Side | None) -> Platform:
    def open(account: Account, surroundings: Surroundings) -> Connector:
        assert side is not None
        return side

    return Platform(name, folder, open, None)


@dataclass
class Scenario:
    """A world of some sides and the process between them. `die_at` is the number of the boundary where it dies."""

    seed: int
    steps: int = 14
    die_at: int = 0
    faults: bool = True
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    sides: dict[str, Side] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    opted_out: list[tuple[str, str, str]] = field(default_factory=list)
    deleted: set[tuple[str, str]] = field(default_factory=set)
    boundaries: int = 0
    crashes: int = 0
    events: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.trace = hashlib.sha256()
        self.number = self.rng.choice((2, 2, 3))
        self.crash_rate = self.rng.choice((0.0, 0.0, 0.01, 0.05)) if self.faults else 0.0
        self.meddles = self.rng.choice((0.0, 0.0, 0.05, 0.2))
        self.healed = False
        self._acting = False
        for name in SIDES[: self.number]:
            rates = drawn_rates(self.rng) if self.faults else {}
            self.sides[name] = Side(name, self.clock, drawn_habits(self.rng), rates, Random(self.rng.random()))
            self.sides[name].between = self._meanwhile
            self.sides[name].boundary = self._boundary
        self.folder, _ = _world(self.number)
        shutil.copy(self.folder / "empty.db", self.folder / "closedloop.db")
        self._ids = 0
        self.workspace = self._opened()

    # the process

    def _opened(self) -> Workspace:
        """What a new process would hold: nothing but the files. (The engine's compiled statements say nothing.)"""
        folder, made = _world(self.number)
        state = State(made.state.engine, self.clock)
        find = {name: _platform(name, folder / name, side) for name, side in self.sides.items()}.__getitem__
        workspace = Workspace(self.folder, made.project, state, self.clock, made.fields, made.order, self._new_id, find)
        workspace._owners = {name: Owners(state, name) for name in self.sides}
        workspace._compiled = {name: made._compiled[name] for name in self.sides}
        workspace._mapped = {name: dict(made._compiled[name]) for name in self.sides}
        begin = state.begin

        @contextmanager
        def watched(*, durable: bool = True) -> Iterator[Any]:
            with begin(durable=durable) as tx:
                yield tx
                self._boundary("commit.before")
            self._boundary("commit.after")

        state.__dict__["begin"] = watched
        return workspace

    def _new_id(self) -> str:
        self._ids += 1
        return f"ld_{self._ids:025d}"

    def _boundary(self, name: str) -> None:
        self.boundaries += 1
        self.events += 1
        self.trace.update(name.encode())
        dies = self.boundaries == self.die_at
        if not self.healed and not dies and self.crash_rate:
            dies = self.rng.random() < self.crash_rate
        if dies:
            self.crashes += 1
            raise Crash(name)

    def _reborn(self) -> None:
        """A new process over what the dead one had stored."""
        self.workspace.state.engine.dispose()
        self.workspace = self._opened()

    def sync(self) -> Report | None:
        """One sync of all sides; None when the process died in it."""
        self.clock.advance(20)
        try:
            report = Runner(self.workspace).run("sync", tuple(self.sides), Options(approve=True))
        except Crash:
            self._reborn()
            return None
        self._account(report)
        return report

    def _account(self, report: Report) -> None:
        """Each operation that was planned ends in exactly one state, and the run says so when some did not end well."""
        for connection, objects in report.counts["write"].items():
            for row in objects.values():
                ended = sum(
                    row[name] for name in ("applied", "unchanged", "held", "quarantined", "parked") if name in row
                )
                if row["planned"] != ended:
                    raise Violation(f"P22: {connection}: planned {row['planned']}, ended {ended}: {row}")
        if report.errors and report.state == "done":
            raise Violation("P23: a run with errors says that it is done")

    # people

    def _meanwhile(self) -> None:
        if not self.healed and not self._acting and self.meddles and self.rng.random() < self.meddles:
            self.act()

    def act(self) -> None:
        """Somebody, somewhere, does something."""
        self._acting = True
        self.clock.advance(self.rng.choice((0.2, 1.0, 7.0)))
        side = self.sides[self.rng.choice(tuple(self.sides))]
        live = sorted(side.live())
        what = self.rng.random()
        if what < 0.25 or not live:
            self._join(side)
        elif what < 0.85:
            self._edit(side, self.rng.choice(live))
        elif what < 0.93:
            self._opt_out(side, self.rng.choice(live))
        else:
            self._delete(side, self.rng.choice(live))
        self._acting = False

    def _join(self, side: Side) -> None:
        email = f"p{self.rng.randrange(4)}@x.example"
        if any(row.values.get("email") == email for row in side.rows().values()):
            return
        values: dict[str, Any] = {"email": email, "consent": "subscribed"}
        id = side.put(values)
        self._say(side, id, self.rng.choice(FIELDS))

    def _edit(self, side: Side, id: str) -> None:
        name = self.rng.choice(FIELDS)
        blank = name == "title" and self.rng.random() < 0.1
        self._say(side, id, name, blank=blank)

    def _say(self, side: Side, id: str, name: str, *, blank: bool = False) -> None:
        before = side.history[id][-1].values.get(name)
        seen = self._edit_of(before)
        replaced = frozenset() if seen is None else self.edits[seen].replaced | {seen}
        value = None if blank else f"Value {len(self.edits)}"
        self.edits.append(Edit(name, value, replaced, side.name, id))
        side.edit(id, {name: value})
        self.trace.update(f"{side.name}/{id}.{name}={value}".encode())

    def _edit_of(self, value: Any) -> int | None:
        return int(str(value).split()[1]) if value else None

    def _opt_out(self, side: Side, id: str) -> None:
        side.edit(id, {"consent": "unsubscribed"})
        self.opted_out.append((side.name, id, str(side.history[id][-1].values["email"])))

    def _delete(self, side: Side, id: str) -> None:
        side.remove(id)
        self.deleted.add((side.name, str(side.history[id][-1].values["email"])))

    # the whole

    def run(self) -> Outcome:
        """Live through it, heal, and check."""
        violation = ""
        try:
            for _ in range(self.steps):
                if self.rng.random() < 0.62:
                    self.act()
                else:
                    self.sync()
            self._heal()
            self._check()
        except (Violation, ClosedloopError) as error:
            violation = f"{type(error).__name__}: {error}"
        finally:
            self.workspace.close()
        struck: dict[str, int] = {}
        for side in self.sides.values():
            for name, number in side.struck.items():
                struck[name] = struck.get(name, 0) + number
        for side in self.sides.values():
            self.trace.update(repr(sorted((id, row.values) for id, row in side.rows().items())).encode())
        return Outcome(self.seed, self.events, struck, self.crashes, self.trace.hexdigest(), self.boundaries, violation)

    def _heal(self) -> None:
        """Faults end, people rest, what was refused is let through; then runs until one writes nothing."""
        from sqlalchemy import select

        from sync.replay import replay
        from sync.state.schema import quarantine

        self.healed = True
        for side in self.sides.values():
            side.healed = True
            due, side.late = side.late, []
            for _, operation in due:
                side._apply(operation)
        self.clock.advance(3600)
        self._sure()
        with self.workspace.state.read() as tx:
            refused = list(tx.execute(select(quarantine.c.id).where(quarantine.c.state == "open")).scalars())
        try:
            replay(self.workspace, refused)
        except Crash:
            self._reborn()
            replay(self.workspace, refused)
        for _ in range(QUIET_RUNS):
            self.clock.advance(DOUBT)  # what a death left in doubt can be judged
            report = self._sure()
            if not report.counts["write"] and report.state == "done":
                break
        else:
            raise Violation(f"P8: does not come to rest: {report.state} {report.counts['write']} {report.errors}")
        self.clock.advance(600)
        again = self._sure()
        if again.counts["write"]:
            raise Violation(f"P8: writes again after it came to rest: {again.counts['write']}")

    def _sure(self) -> Report:
        report = self.sync()
        if report is None:  # the crash that was asked for came only now
            report = self.sync()
        assert report is not None
        return report

    def _check(self) -> None:
        people = sorted({str(row.values["email"]) for side in self.sides.values() for row in side.rows().values()})
        for email in people:
            self._check_person(email)

    def _check_person(self, email: str) -> None:
        found = {
            name: [row for row in side.rows().values() if row.values.get("email") == email]
            for name, side in self.sides.items()
        }
        live = {name: [row for row in rows if row.gone is None] for name, rows in found.items()}
        for name, rows in live.items():
            side = self.sides[name]
            made = side.created[email]
            unseen = sum(1 for row in found[name] if row.gone and row.id not in side.told_gone)
            if made > 1 + unseen:  # what was deleted before anybody looked was never known to have been there
                raise Violation(f"P3: {email} was created {made} times on {name}")
            if len(rows) > 1 and made == 0:
                raise Violation(f"P3: {email} stands {len(rows)} times on {name}")
            if email in side.revived:
                raise Violation(f"P6: {email} came back on {name}")
            if not found[name] and any(live.values()):
                raise Violation(f"P2: {email} is missing on {name}")
        rows = [row for those in live.values() for row in those]
        if not rows:
            return
        self._check_consent(email, rows)
        for name in FIELDS:
            self._check_field(email, name, rows, found)

    def _check_consent(self, email: str, rows: list[Any]) -> None:
        told = {str(row.values.get("consent")) for row in rows}
        opted = [(side, id) for side, id, who in self.opted_out if who == email]
        # who joined and was deleted before anybody looked was never known to have said anything
        heard = [id for side, id in opted if id in self.sides[side].known or self.sides[side].rows()[id].gone is None]
        if heard and told != {"unsubscribed"}:
            raise Violation(f"P16: {email} opted out, and stands as {told}")
        if not opted and "unsubscribed" in told:
            raise Violation(f"P16b: {email} never opted out, and stands as {told}")

    def _check_field(self, email: str, name: str, rows: list[Any], found: dict[str, list[Any]]) -> None:
        values = {str(row.values.get(name) or "").casefold() for row in rows}
        if len(values) > 1:
            raise Violation(f"P1: {name} of {email} differs: {values}")
        [value] = values
        ids = {(side, row.id) for side, those in found.items() for row in those}
        mine = [n for n, edit in enumerate(self.edits) if (edit.side, edit.row) in ids and edit.field == name]
        if not mine:
            if value:
                raise Violation(f"P5: {name} of {email} is {value!r}, which nobody said")
            return
        if any((side, email) in self.deleted for side in found):
            return  # what was said on a record that is gone counts no more, or counted before it went
        replaced = {other for n in mine for other in self.edits[n].replaced}
        if value not in {str(self.edits[n].value or "").casefold() for n in mine}:
            raise Violation(f"P5: {name} of {email} is {value!r}, which nobody said")
        standing = {str(self.edits[n].value or "").casefold() for n in mine if n not in replaced}
        if value not in standing:
            raise Violation(f"P4: {name} of {email} is {value!r}; may be {sorted(standing)}")


def run(seed: int, **options: Any) -> Outcome:
    """The scenario of `seed`."""
    return Scenario(seed, **options).run()
