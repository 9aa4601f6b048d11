"""One scenario: a seed decides the sides' habits, the faults, who does what and when, which run comes when, where a
process dies and where another takes over. After it everything is healed and left alone, and the oracle judges.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import orjson
from sqlalchemy import bindparam, select

from config.clock import ManualClock
from config.errors import ClosedloopError, Fenced, StateUnusable
from sync.push import DOUBT
from sync.replay import replay
from sync.runs import Options, Report, Runner
from sync.state.database import State
from sync.state.schema import leases, quarantine, records, runs, streams
from sync.workspace import Owners, Workspace
from tests.simulation import (
    clocks,
    dates,
    drift,
    filling,
    joining,
    naming,
    oddities,
    oracle,
    questions,
    quirks,
    remapping,
    returns,
    rewriting,
    sharing,
    slices,
)
from tests.simulation.marks import MemoryMarks
from tests.simulation.oracle import Violation
from tests.simulation.people import People
from tests.simulation.process import Crash, Life, Watched, forget, place, plain, unsettled
from tests.simulation.sharing import owned
from tests.simulation.side import Side
from tests.simulation.swarm import drawn_habits, drawn_rates
from tests.simulation.world import SIDES, START, World, memory, objects_of, platform, project_of

_KINDS = (slices, returns, drift, rewriting, naming, dates, remapping, filling, joining)
LATER = tuple(one.KIND for one in _KINDS)
BESIDE = ("clocks", "addresses", "sharing", "slow", *LATER, *oddities.KINDS, *quirks.KINDS)
"""What befalls a world beside the story of its seed, drawn from a source of its own."""
ANSWERS = 3
"""An answer may bring up another question: an address that somebody does not get there is free for the next."""
QUIET_RUNS = 8
"""Runs after which a healed world has come to rest; mistaken writes are looked up in one and done in the next."""

_EXPIRE = leases.update().values(expires_at=0.0)
_HELD = select(leases.c.name, leases.c.token).where(leases.c.expires_at > 0)
_TOKENS = select(leases.c.name, leases.c.token)
_UNFINISHED = select(runs.c.id).where(runs.c.command == bindparam("of"), runs.c.state == "running")
_LINKED = (
    select(streams.c.connection, records.c.id)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead.is_not(None))
)
_BODIES = (
    select(streams.c.connection, records.c.id, records.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead.is_not(None))
)
_REFUSED = select(quarantine.c.id).where(quarantine.c.state == "open")


@dataclass(slots=True)
class Outcome:
    """What a scenario came to. `events` are calls and commits; `met` counts what struck what."""

    seed: int
    events: int
    faults: dict[str, int]
    crashes: int
    trace: str
    boundaries: int
    violation: str = ""
    met: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)


@dataclass
class Scenario:
    """A world of some sides and the process between them. `die_at` is the number of the boundary where it dies;
    `true_state` puts the engine's own State over a file in the place of the one in memory; of `without` (kinds of
    faults, "crash", "takeover", "meddling", BESIDE) nothing strikes, people's acts whose numbers are in `idle` are left
    out, and after `until` steps it ends: that is how a failing seed is made small. (With `steps` it is another story.)
    """

    seed: int
    steps: int = 0
    until: int = 0
    die_at: int = 0
    faults: bool = True
    true_state: bool = False
    without: frozenset[str] = frozenset()
    idle: frozenset[int] = frozenset()
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    sides: dict[str, Side] = field(default_factory=dict)
    marks: MemoryMarks = field(default_factory=MemoryMarks)
    boundaries: int = 0
    crashes: int = 0
    events: int = 0
    met: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    each: Callable[[int], None] = lambda number: None  # what happens before each step
    restored: bool = False
    kept: frozenset[tuple[str, str]] | None = None  # the records that a backup knows, while it may still be restored
    taking_up: bool = False  # a state that was restored is being taken up

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.trace = hashlib.sha256()
        self.world: World = (self.rng.choice((2, 2, 3)), self.rng.random() < 0.3, False, "")
        self.crash_rate = self._rate("crash", (0.0, 0.0, 0.01, 0.05))
        self.takeover_rate = self._rate("takeover", (0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.03))
        self.meddles = self._rate("meddling", (0.0, 0.0, 0.05, 0.2), always=True)
        self.planned = self.steps or self.rng.choice((5, 7, 9, 12))
        self.healed = False
        self._acting = self._taken = False
        names = SIDES[: self.world[0]]
        self.clocks = clocks.drawn(self.seed, self.clock, names, allowed=self._befalls("clocks"))
        if self.clocks.differ:
            self.met["beside/clocks differ"] += 1
        self.drift = drift.drawn(self.seed, names, allowed=self._befalls(drift.KIND))
        for name in names:
            rates = drawn_rates(self.rng)
            allowed = {fault: rate for fault, rate in rates.items() if self.faults and fault not in self.without}
            side = Side(name, self.clocks.of_side[name], drawn_habits(self.rng), allowed, Random(self.rng.random()))
            side = self.drift.of(side) if self.drift else side
            side.objects = objects_of(self.world, name)
            side.between = self._meanwhile
            side.boundary = partial(self._boundary, side)
            side.ours = self.clocks.engine.now
            self.sides[name] = side
        quirks.slow_down(self)
        self.people = People(self.sides, Random(self.rng.random()), self._say, number=self.rng.choice((1, 2, 4)))
        if self.drift:
            self.drift.watch(self)
        self.chance = Random(self.rng.random())
        self.moving, self.moves = sharing.drawn_moves(self)
        self.sharing, self.shares = sharing.drawn_shares(self)
        self.mixed = bool(self.shares)  # an address does not say whose a record is
        dates.draw(self, dates.drawn(self.seed, names, allowed=self._befalls(dates.KIND)))
        rewriting.draw(self)
        self.oddities = oddities.Oddities(self.seed, self.people, self._befalls, self._stored, self.met)
        self.quirks = quirks.Quirks(self)
        self.returns = returns.Returns(self, allowed=self._befalls(returns.KIND))
        dated = self.people.dated
        filling_in = filling.draw(self)
        beside = dated.world if dated else f"fills/{filling_in}" if filling_in else ""
        self.world = (*self.world[:2], self.quirks.rolls, beside)
        self.slice = slices.drawn(self.seed) if self._befalls(slices.KIND) else 0.0
        self.number = naming.draw(self)
        self.remapping = remapping.drawn(self)
        self.joining = joining.drawn(self)
        self._ids = self._broke = 0
        self._after_takeover: dict[str, int] = {}
        self._side: Side | None = None
        self.folder, _ = project_of(self.world)
        if self.true_state:
            shutil.copy(self.folder / "empty.db", self.folder / "closedloop.db")
        else:
            memory().renew()
        self.workspace = self.opened()

    def _rate(self, name: str, choices: tuple[float, ...], *, always: bool = False) -> float:
        drawn = self.rng.choice(choices)
        return drawn if (self.faults or always) and name not in self.without else 0.0

    def _befalls(self, what: str) -> bool:
        """Whether this one of BESIDE may befall the world."""
        return self.faults and what not in self.without

    def _say(self, what: str) -> None:
        self.trace.update(what.encode())
        self.told.append(what)

    # the process

    def opened(self) -> Workspace:
        """What a new process would hold: nothing but the files. (The engine's compiled statements say nothing.)"""
        folder, made = project_of(self.world)
        clock = self.clocks.engine
        state = State(made.state.engine, clock) if self.true_state else memory().state(clock)
        fenced = self.takeover_rate > 0
        life = self.life = Life()
        seat = partial(platform, seats=life.seats, fenced=fenced, seated=self.quirks.seated)
        made_by = {name: seat(name, folder / name, side) for name, side in self.sides.items()}
        find = made_by.__getitem__
        project = self.drift.project(made.project) if self.drift else made.project
        workspace = Workspace(self.folder, project, state, clock, made.fields, made.order, self._new_id, find)
        workspace.marks = self.marks
        workspace._owners = {name: Owners(state, name) for name in self.sides}
        changed = self.remapping.compiled if self.remapping else lambda name, mapped: mapped
        workspace._compiled = {name: changed(name, made._compiled[name]) for name in self.sides}
        workspace._mapped = {name: dict(workspace._compiled[name]) for name in self.sides}
        if not self.remapping:
            workspace.rules = made.rules  # told once for all that share the project
        state.__dict__["begin"] = partial(Watched, self, life, state.begin)
        return workspace

    def _new_id(self) -> str:
        self._ids += 1
        return f"ld_{self.number(self._ids, 25):025d}"

    def _boundary(self, side: Side | None, name: str) -> None:
        """A point at which a process may die: before and after each commit and each call."""
        self._side = side
        self.boundaries += 1
        self.events += 1
        self.trace.update(name.encode())
        if self.boundaries == self.die_at or (
            self.crash_rate and not self.healed and self.chance.random() < self.crash_rate
        ):
            self._die(side, name)
        may = self.takeover_rate and not (self.healed or self._taken or self._acting or name.endswith("before"))
        if may and self.chance.random() < self.takeover_rate:
            self._taken_over(side, name)

    def _die(self, side: Side | None, name: str) -> None:
        self.crashes += 1
        self.life.end()
        where = place(side)
        self.met[f"{where}/died at {name}"] += 1
        self._say(f"dies at boundary {self.boundaries}, {name} ({where})")
        raise Crash(name)

    def _taken_over(self, side: Side | None, name: str) -> None:
        """This process stops for a while; another finds its leases expired, works, and is done when it goes on."""
        self._taken = True
        self._say(f"is taken over at {name}")
        self.met[f"{place(side)}/taken over at {name}"] += 1
        with plain(self.workspace.state) as tx:
            held = dict(map(tuple, tx.execute(_HELD).all()))
            tx.execute(_EXPIRE)
        mine, calls = self.life, [(one.doing, one.struck) for one in self.sides.values()]
        other = self.opened()
        try:
            Runner(other).run("backfill", tuple(self.sides), Options(approve=True))
        except Crash:
            pass
        except ClosedloopError as error:
            self._say(f"the other fails: {type(error).__name__}")
        finally:
            forget(other, self.life)
            self._taken, self.life, self._side = False, mine, side
            for one, (doing, struck) in zip(self.sides.values(), calls, strict=True):
                one.doing, one.struck = doing, struck  # the calls of this process go on
        with plain(self.workspace.state) as tx:  # who died before it took anything over has taken nothing over
            now = dict(map(tuple, tx.execute(_TOKENS).all()))
        taken = {name for name, token in held.items() if now[name] != token}
        self._after_takeover = {n: side.pushes for n, side in self.sides.items() if f"connection:{n}" in taken}

    def reborn(self) -> None:
        """A new process over what the dead one had stored. That it is dead can be seen: its leases hold no more."""
        with plain(self.workspace.state) as tx:
            tx.execute(_EXPIRE)
        self.workspace.state.engine.dispose()
        forget(self.workspace, self.life)
        self.workspace = self.opened()

    def sync(self, command: str = "sync", options: Options | None = None) -> Report | None:
        """One run over all sides; None when the process died in it, or was taken over."""
        self.clock.advance(20)
        self._side = None
        self._after_takeover = {}
        pushes = sum(side.pushes for side in self.sides.values())
        self._broke = self._broken()
        try:
            report = self._run(command, options or Options(approve=True))
        except Crash:
            self.reborn()
            return None
        except Fenced:
            self._say("is fenced")
            oracle.check_fenced(self._after_takeover, self.sides)
            self.reborn()
            return None
        except StateUnusable as error:
            if error.code != "busy" or not self.takeover_rate:
                raise
            self._say("finds the other at work, or just dead")
            self.reborn()
            return None
        self._say(f"{command}: {report.state}")
        for told in report.errors:
            told.__traceback__ = None  # it holds all that there was
        oracle.check_account(report)
        if report.state == "done" and self._broke != self._broken() and not self.takeover_rate:
            raise Violation("P23: a run in which a pull broke says that it is done")
        if command == "plan" and pushes != sum(side.pushes for side in self.sides.values()) and not self.takeover_rate:
            raise Violation("P32: a run that was to write nothing wrote")
        return report

    def _run(self, command: str, options: Options) -> Report:
        if not self.slice:
            return Runner(self.workspace).run(command, tuple(self.sides), options)
        self.met["beside/slices"] += 1
        return slices.taken(self.workspace, command, tuple(self.sides), options, self.slice)

    # the world

    def _meanwhile(self) -> None:
        if self.meddles and not (self.healed or self._acting) and self.chance.random() < self.meddles:
            self.act()
        if self.meddles and not (self.healed or self._acting):
            self._strike(place(self._side))
        if self.clocks.rate and not (self.healed or any(side.late for side in self.sides.values())):
            self._set_clock(held=any(side.lags for side in self.sides.values()))

    def _broken(self) -> int:
        """How often a look at a platform or a pull has failed."""
        return sum(side.broke for side in self.sides.values())

    def _set_clock(self, *, held: bool) -> None:
        """What a late write made may be hidden by an index that lags: the clock is `held` until that shows it."""
        if by := self.clocks.moved(held=held):
            self._broke = self._broken() if slices.is_anew(self.slice, by) else self._broke
            self.met[f"{place(self._side)}/clock set"] += 1
            self.met["beside/clock set"] += 1
            self._say(f"the engine's clock is set by {by} s")

    def act(self) -> None:
        self._acting = True
        self.clock.advance(self.rng.choice((0.2, 1.0, 7.0)))
        for side in self.sides.values():
            side.catch_up()  # before the people look
        if self.people.acts in self.idle:
            self.people.acts += 1
        else:
            self.people.act()
            if self.moves and self.moving.random() < self.moves and self.people.move(self.moving, self._linked()):
                self.met["beside/address changed"] += 1
            if self.shares and self.sharing.random() < self.shares:
                self.met["beside/address shared"] += self.people.share(self.sharing, owned(self))
            joining.merge(self)
        self._acting = False

    def _strike(self, place: str) -> None:
        """What platforms do by themselves: before the call that is under way at `place`, or between runs ("")."""
        if self.oddities.any:
            self._acting = True
            for side in self.sides.values():
                side.catch_up()
            self.oddities.strike(place)
            self._acting = False

    def _stored(self) -> dict[tuple[str, str], str]:
        """The records of which the engine has stored whose they are, and the consent that it knows of each."""
        with self.workspace.state.read() as tx:
            return {(side, id): orjson.loads(body).get("email_consent", "") for side, id, body in tx.execute(_BODIES)}

    def _linked(self) -> set[tuple[str, str]]:
        """The records of which the engine has stored whose they are, and of which a backup knows it that may come."""
        with self.workspace.state.read() as tx:
            linked = set(map(tuple, tx.execute(_LINKED).all()))
        return linked if self.kept is None else linked & self.kept

    def run(self) -> Outcome:
        """Live through it, heal, and check."""
        violation = ""
        try:
            for number in range(self.planned)[: self.until or None]:
                self.each(number)
                if self.rng.random() < 0.66:
                    self.act()
                    self._strike("")
                    for strike in [one.strike for one in (self.returns, self.remapping, self.joining) if one]:
                        strike()
                else:
                    self._some_run()
            self._heal()
            self._check()
        except (Violation, ClosedloopError) as error:
            violation = f"{type(error).__name__}: {error}"
        finally:
            self.workspace.close()
        return self._outcome(violation)

    def _some_run(self) -> None:
        kind = self.rng.random()
        if kind < 0.8:
            self.sync()
        elif kind < 0.93:
            self.sync("backfill")
        else:
            self.sync("plan", Options(push=False))

    def _outcome(self, violation: str) -> Outcome:
        met = self.met.copy()
        faults: Counter[str] = Counter()
        for side in self.sides.values():
            met.update(side.met)
            for name, number in side.met.items():
                faults[name.partition("/")[2]] += number
            self.trace.update(repr(sorted((id, row.values) for id, row in side.rows().items())).encode())
        faults.update({name.partition("/")[2]: n for name, n in self.met.items() if name.startswith("beside/")})
        faults["takeover"] = sum(number for name, number in self.met.items() if "taken over" in name)
        trace = self.trace.hexdigest()
        return Outcome(
            self.seed, self.events, dict(faults), self.crashes, trace, self.boundaries, violation, met, self.told
        )

    # the end

    def _heal(self) -> None:
        """Faults end, people rest, what was refused is let through; then runs until one writes nothing; then one that
        reads everything from the beginning finds nothing new, and writes nothing either."""
        self.healed = True
        if self.drift:
            self.drift.back(self)
        if self.remapping:
            self.remapping.back()
        for side in self.sides.values():
            side.healed = True
            due, side.late = side.late, []
            for operation in due:
                side.apply(operation[-1])
        self.clock.advance(3600 + self.clocks.behind)
        self._replay(self._surely)
        if self.oddities.unmoved:
            self._read_anew()
        self._come_to_rest()
        if any(side.untold for side in self.sides.values()):  # left out until no pull of news would tell it any more
            self._read_anew()
            self._come_to_rest()
        for _ in range(ANSWERS):
            if not questions.answered(self):
                break
            self._come_to_rest()
        self.clock.advance(600)
        oracle.check_rest(self._read_anew())

    def _read_anew(self) -> Report:
        """A whole full sync: one that was cut off would go on, with the accounts of what it found then."""
        if self._unfinished("backfill"):
            self._surely(partial(self.sync, "backfill"))
        report: Report = self._surely(partial(self.sync, "backfill"))
        return report

    def _come_to_rest(self) -> None:
        for _ in range(QUIET_RUNS):
            self.clock.advance(DOUBT)  # what a death left in doubt can be judged
            report = self._surely(self.sync)
            if not report.counts["write"] and report.state == "done" and not unsettled(self.workspace.state):
                return
        raise Violation(f"P8: does not come to rest: {report.state} {report.counts['write']} {report.errors}")

    def _unfinished(self, command: str) -> bool:
        with self.workspace.state.read() as tx:
            return tx.execute(_UNFINISHED, {"of": command}).first() is not None

    def _replay(self, surely: Callable[[Callable[[], Any]], Any]) -> None:
        with self.workspace.state.read() as tx:
            refused = list(tx.execute(_REFUSED).scalars())
        if refused:
            surely(self.sync)  # what is refused waits for a person all the same
            surely(partial(self._replayed, refused))

    def _replayed(self, refused: list[int]) -> Any:
        try:
            return replay(self.workspace, refused)
        except Crash:
            self.reborn()
            return None

    def _surely(self, what: Callable[[], Any]) -> Any:
        """`what`, again when the death that was asked for came only now."""
        done = what()
        return what() if done is None else done

    def _check(self) -> None:
        oracle.check(self)
        self.quirks.check()
        rewriting.check(self)
        dates.check(self)
        filling.check(self)
        joining.check(self)


def run(seed: int, **options: Any) -> Outcome:
    """The scenario of `seed`. Of its world nothing is left then: all of it hangs together, and would have to be looked
    for by the garbage collector."""
    scenario = Scenario(seed, **options)
    try:
        return scenario.run()
    finally:
        forget(scenario.workspace, scenario.life)
        for side in scenario.sides.values():
            del side.boundary
        scenario.sides.clear()
        vars(scenario).clear()
