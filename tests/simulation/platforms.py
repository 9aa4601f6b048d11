"""Scenarios with the real connectors over the real sandboxes: every pair of platforms of which one can be written to.

People act through connectors of their own, on a wire where nothing goes wrong; the engine's calls meet the faults.
What a platform calls its people and fields is asked of its mapping, so that a new one joins by being registered.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Any

import orjson
from sqlalchemy import select

from config.errors import AuthorizationLost, ClosedloopError
from connectors import registry
from connectors.api import Operation, Verb
from mappings.model import Values
from sync.core.plan import Target
from sync.push import DOUBT
from sync.replay import replay
from sync.runs import Options, Report, Runner
from sync.state.schema import leads, leases, quarantine
from sync.targets import targets
from sync.workspace import Owners, Workspace
from tests.simulation import clocks, habits, keepsakes, logins, questions, sources
from tests.simulation.beside import Beside
from tests.simulation.marks import MemoryMarks
from tests.simulation.optouts import OptOuts
from tests.simulation.oracle import Violation, check_account
from tests.simulation.pairs import START, pair, pairs, writable
from tests.simulation.pairs_oracle import check_person
from tests.simulation.post import Post
from tests.simulation.process import Crash, unsettled
from tests.simulation.quick import Memory
from tests.simulation.scenario import Outcome
from tests.simulation.wire import FAULTS, wired

QUIET_RUNS = 10
REST = {"linkedin": 86_400}
"""Seconds after the last fault; LinkedIn's calls, once used up, come again at midnight."""
TWINS = ("salesforce",)
"""Platforms that take a second record of one address without a word: who joins there between the engine's look and its
create cannot be seen by anybody."""
_SHOWN = re.compile("Valüe (\\d+)".encode())


@cache
def _memory() -> Memory:
    return Memory()


@dataclass(slots=True)
class Said:
    """A value that somebody gave, and what was in sight or replaced by what was."""

    email: str
    name: str
    replaced: frozenset[int]


@dataclass
class PairScenario:
    """One seed over one pair of platforms. Where `die_at` is given, the process dies at just that boundary: before or
    after a call, before or after a commit. Of `without` (beside.KINDS) nothing befalls it."""

    seed: int
    names: tuple[str, str] = ("", "")
    faults: bool = True
    die_at: int = 0
    without: frozenset[str] = frozenset()
    said: list[Said] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    events: int = 0
    crashes: int = 0

    def __post_init__(self) -> None:
        known = pairs()
        self.names = self.names if self.names[0] else known[self.seed % len(known)]
        keeps = self.faults and "keepsakes" not in self.without
        self.pair = pair(self.names, keeps and keepsakes.marks(self.seed, self.names))
        self.rng = Random(self.seed)
        random.seed(self.seed)  # the retries' jitter
        self.trace = hashlib.sha256()
        self.pair.clock._now = START
        for name, sandbox in self.pair.sandboxes.items():
            habits.put(sandbox, self.pair.usual[name])
            sandbox.restore(orjson.loads(self.pair.empty[name]))
            sandbox.random.seed(self.seed)
            sandbox.log.clear()
        self.wire = self.pair.wire
        rates = {n: self._rates() for n in self.names} if self.faults else {}
        self.wire.reset(Random(self.rng.random()), rates)
        self.wire.between, self.wire.shown = self._meanwhile, self._shown
        self.crash_rate = self.rng.choice((0.0, 0.0, 0.01, 0.04)) if self.faults else 0.0
        self.worn = self.rng.choice((0.0, 0.0, 0.5)) if self.faults else 0.0
        self.meddles = self.rng.choice((0.0, 0.0, 0.0, 0.03, 0.1)) if self.faults else 0.0
        for name, sandbox in self.pair.sandboxes.items():
            habits.put(sandbox, habits.drawn(sandbox, self.pair.usual[name], self.rng) if self.faults else {})
        if self.faults and self.rng.random() < 0.25:
            self.wire.rules = habits.strict
        self.hooked = self.rng.choice((0.0, 0.0, 0.5))
        self.post = Post(Random(self.rng.random()))
        self.chance = Random(self.rng.random())
        self.healed = self.acting = False
        self.aiming = Random(f"{self.seed}-aimed")
        self.aimed = self.aiming.choice((0.0, 0.0, 0.0, 0.2)) if self.faults and "aimed" not in self.without else 0.0
        self.worn = 0.5 if self.aimed else self.worn
        self.optouts = OptOuts(self.seed, self.faults)
        self.heard: set[int] = set()
        self._ids = 0
        self.marks = MemoryMarks()
        self.clock = clocks.off(self.seed, self.pair.clock) if self.faults else self.pair.clock
        self.behind = 0.0  # seconds: by a clock that is behind, the latest edits are of the future, and not pulled yet
        self.fast = 0.0
        if isinstance(self.clock, clocks.Watch):
            self.behind, self.fast = max(0.0, -self.clock.by), max(0.0, self.clock.by)
            self.wire.met["beside/clock off"] += 1
        self.beside = Beside(self)
        _memory().renew()
        self.workspace = self._opened()
        self.hand = self._opened(watched=False)  # with the same tokens: some platforms renew them with each use
        self.objects: dict[str, list[Target]] = {}
        for target in targets(self.hand):
            self.objects.setdefault(target.connection, []).append(target)

    def _rates(self) -> dict[str, float]:
        """What strikes a platform in this scenario, and how often: a few things, so that much still goes on."""
        chosen = self.rng.sample(FAULTS, self.rng.choice((0, 1, 2, 3, 4, 6)))
        return {fault: self.rng.choice((0.02, 0.08, 0.25)) for fault in chosen}

    # the process

    def _opened(self, *, watched: bool = True) -> Workspace:
        made = self.pair.made
        state = _memory().state(self.clock)
        project = self.beside.lacking.project(made.project)
        workspace = Workspace(self.pair.folder, project, state, self.clock, made.fields, made.order, self._new_id)
        workspace.marks = self.marks
        workspace._owners = {name: Owners(state, name) for name in self.names}
        workspace._compiled = {name: made._compiled[name] for name in self.names}
        workspace._mapped = {name: dict(made._compiled[name]) for name in self.names}
        if watched:
            self._watch(state)
        return workspace

    def _watch(self, state: Any) -> None:
        begin = state.begin

        @contextmanager
        def watched(*, durable: bool = True) -> Iterator[Any]:
            with begin(durable=durable) as tx:
                yield tx
                self._boundary("commit.before")
            self._boundary("commit.after")

        state.__dict__["begin"] = watched

    def _new_id(self) -> str:
        self._ids += 1
        return f"ld_{self.beside.number(self._ids, 25):025d}"

    def _boundary(self, name: str) -> None:
        self.events += 1
        self.trace.update(name.encode())
        chance = self.crash_rate and not self.healed and self.chance.random() < self.crash_rate
        if chance or self._is_aimed_at() or self.events == self.die_at:
            self.crashes += 1
            self.wire.met[f"{self.wire.doing}/{self.wire.struck or 'well'}/died at {name}"] += 1
            raise Crash(name)

    def _is_aimed_at(self) -> bool:
        """Whether it dies just here, in the wake of a log-in or a write that was struck: those are few."""
        here = self.aimed and not self.healed and self.wire.struck and self.wire.doing in ("login", "write")
        return bool(here) and self.aiming.random() < self.aimed

    def sync(self, command: str = "sync", *names: str) -> Report | None:
        """One run over both platforms, or those named; None when the process died in it."""
        self.pair.clock.advance(30)
        self._wear()
        self.wire.calm = False
        self.wire.doing, self.wire.struck = "start", ""
        try:
            report = Runner(self.workspace).run(command, names or self.names, Options(approve=True))
        except Crash:
            self.told.append("dies")
            self.workspace.close()
            with _memory().begin() as tx:
                tx.execute(leases.update().values(expires_at=0.0))
            self.workspace = self._opened()
            return None
        finally:
            self.wire.calm = True
        self.told.append(f"{command}: {report.state} {report.counts['write']} {[str(e) for e in report.errors]}")
        check_account(report)
        return report

    def _meanwhile(self, where: str) -> None:
        """What happens around a call: people, and other programs, edit while the engine is at work; it may die."""
        self.beside.addresses.around(where, self.wire.at)
        free = where == "call.before" and self.wire.doing != "login" and not (self.healed or self.acting)
        if free and self.meddles and self.chance.random() < self.meddles:
            self.wire.met[f"{self.wire.doing}/somebody acts"] += 1
            self.acting = self.wire.calm = True
            self.act()
            self._by_themselves()
            if self.hooked:
                self._deliver()
            self.acting = self.wire.calm = False
        self._boundary(where)

    def _deliver(self) -> str:
        """Webhooks of a platform that has any arrive; its name, "" where there are none."""
        names = [name for name in self.names if registry.facts(name).webhook is not None]
        if not names:
            return ""
        name = self.chance.choice(names)
        if notices := self.post.deliver(self.hand, name):
            self.told.append(f"{name} delivers {[(one.object, one.id) for one in notices]}")
        return name

    def _shown(self, body: bytes) -> None:
        """The engine was told these values."""
        self.heard.update(int(number) for number in _SHOWN.findall(body))
        self.beside.addresses.shown(self.wire.at, body)

    def _wear(self) -> None:
        """Access tokens have run out since, perhaps: the first call of each platform renews them."""
        for name, sandbox in self.pair.sandboxes.items():
            if not self.healed and sandbox.consents is not None and self.chance.random() < self.worn:
                self.told.append(f"{name}: the access token has ended")
                sandbox.consents.ends()

    # people

    def _connect(self, names: Iterable[str]) -> None:
        """Somebody connects these accounts, for the first time or again."""
        for name in sorted(names):
            self.told.append(f"{name} is connected")
            logins.connect(self.hand, name, self.pair.sandboxes[name])

    def act(self) -> None:
        """Somebody does something."""
        self._by_hand(self._act)

    def _by_themselves(self) -> None:
        """Somebody opts out, perhaps, or puts something on a record."""
        self._by_hand(partial(self.optouts.act, self))
        self._by_hand(partial(self.beside.keepsakes.act, self))
        self.beside.crowd.act(self)
        self.beside.addresses.act()
        self.beside.further.act()

    def _by_hand(self, does: Callable[[], None]) -> None:
        """It is done, by somebody who connects the account again where the log-in was lost: they share it. What they
        were about to say then is said by nobody."""
        before = len(self.said)
        try:
            with self.beside.lacking.lifted():
                does()
        except AuthorizationLost as error:
            del self.said[before:]
            self._connect([error.connection])
            self._by_hand(does)

    def _act(self) -> None:
        self.pair.clock.advance(self.rng.choice((3, 15)))
        name = self.rng.choice([name for name in self.names if name in self.objects or name in sources.ACTS])
        email = f"p{self.rng.randrange(3)}@x.example"
        if name not in self.objects:
            fields, does = sources.ACTS[name]
            said = {one: self._value(email, one, None) for one in fields}
            does(self.pair.sandboxes[name], email, said)
            self.told.append(f"{name}: {email} says {said}")
            return
        found = self._find(name, email)
        addresses = self.beside.addresses
        if found is None and not (self.acting and name in TWINS) and addresses.may_join(name, email):
            self._join(name, email)
        elif found is not None:
            target, id, values = found
            self._say(name, target, id, values)

    def _join(self, name: str, email: str, address: str = "") -> None:
        """Somebody is entered, with another address than their first, perhaps."""
        target = next(target for target in self.objects[name] if target.can_create)
        values = {"email": address or email} | {one: self._value(email, one, None) for one in ("last_name",)}
        if self.names[0] == "google_analytics":
            values["first_name"] = sources.client_of(email)
        remote, _, problems = target.express(values, True)
        assert not problems, problems
        operation = Operation("join", Verb.CREATE, target.object, remote, "", self._match(target, remote))
        self.beside.addresses.joined(email, address or email, (name, self._push(name, operation)))
        self.told.append(f"{name}: {email} joins: {values}")

    def _match(self, target: Target, remote: Mapping[str, Any]) -> dict[str, Any]:
        names = [target.remote[one] for one in target.match]
        return {one: remote[one] for one in names if one in remote}

    def _say(self, name: str, target: Target, id: str, held: Values) -> None:
        one = self.rng.choice(self.pair.spoken)
        if self.beside.lacking.is_gone(name, one) or self.beside.addresses.hides(name, id, held):
            return
        self._give(name, target, id, one, held)

    def _give(self, name: str, target: Target, id: str, one: str, held: Values) -> None:
        """Somebody gives a field a new value."""
        email = self.beside.addresses.person(held)
        values = {one: self._value(email, one, held.get(one))}
        known = {key: held[key] for key in target.match if held.get(key)}
        remote, _, _ = target.express(values, False)
        match = self._match(target, target.express(known, False)[0])
        self._push(name, Operation("edit", Verb.UPDATE, target.object, remote, id, match))
        self.told.append(f"{name}: {email} {values}")

    def _value(self, email: str, name: str, seen: Any) -> str:
        before = self.number(seen)
        replaced = frozenset() if before is None else self.said[before].replaced | {before}
        self.said.append(Said(email, name, replaced))
        return f"Valüe {len(self.said) - 1}"

    @staticmethod
    def number(value: Any) -> int | None:
        found = re.fullmatch(r"Valüe (\d+)", str(value or ""))
        return int(found[1]) if found else None

    def _push(self, name: str, operation: Operation) -> str:
        """Somebody does this; the id of the record."""
        with self.beside.stamping(name, operation):
            [result] = list(self.hand.connector(name).push([operation], []))
        if result.error is not None:
            raise result.error
        self.post.changed(name, operation.object, result.id)
        return result.id

    def _find(self, name: str, email: str) -> tuple[Target, str, Values] | None:
        for target, id, values in self._people(name):
            if self.beside.addresses.person(values) == email:
                return target, id, values
        return None

    def _people(self, name: str) -> Iterator[tuple[Target, str, Values]]:
        """Everybody on a platform, as its own mapping reads them."""
        for target in self.objects[name]:
            mapped = self.hand.mapped(name)[target.object]
            connector = self.hand.connector(name)
            latest = {
                record.id: record
                for page in connector.pull(target.object, None, mapped.remote_fields)
                for record in page.records
            }
            for record in latest.values():
                if record.gone is None:
                    yield target, record.id, mapped.read(mapped.decode(record.raw))[0]

    # the whole

    def run(self) -> Outcome:
        violation = ""
        with wired(self.wire), self.beside.during():
            try:
                self._live()
                self._check_clients()
            except (Violation, ClosedloopError, AssertionError) as error:
                violation = f"{type(error).__name__}: {error}"
            finally:
                self.workspace.close()
                self.hand.close()
        faults: Counter[str] = Counter()
        for name, number in self.wire.met.items():
            if "died" not in name:
                faults[name.partition("/")[2]] += number
        self.trace.update(repr(self.told).encode())
        trace = self.trace.hexdigest()
        return Outcome(
            self.seed, self.events, dict(faults), self.crashes, trace, self.events, violation, self.wire.met, self.told
        )

    def _live(self) -> None:
        self._connect(self.names)
        for _ in range(self.rng.choice((4, 5, 6))):
            if self.rng.random() < 0.6:
                self.act()
                self._by_themselves()
            elif self.rng.random() >= self.hooked:
                self.sync()
            elif name := self._deliver():
                self.sync("hints", name)
        self.beside.addresses.live()
        self._heal()
        if waiting := self.beside.futures.waiting():
            self._check(waiting)
            self.pair.clock.advance(self.beside.futures.longest)
            self._come_to_rest()
        self._check()

    def _heal(self) -> None:
        self.healed = True
        self.beside.lacking.heal(self.workspace)
        self.wire.rates, self.wire.rules = {}, lambda sandbox: nullcontext()
        for name, sandbox in self.pair.sandboxes.items():
            usual = self.pair.usual[name]
            habits.put(sandbox, {switch: usual[switch] for switch in habits.PASSING if switch in usual})
        self.pair.clock.advance(max(REST.get(name, 7200) for name in self.names) + self.behind)
        with self.workspace.state.read() as tx:
            open_ = (quarantine.c.state == "open") & (quarantine.c.code != "in_doubt")  # nobody counts those again
            refused = list(tx.execute(select(quarantine.c.id).where(open_)).scalars())
        self._replay(refused)
        if self.beside.lacking.unheard:  # nothing but a full read tells what was said of it meanwhile
            report = self.sync("backfill") or self.sync("backfill")
            self._connect(logins.lost(report.errors) if report else ())
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._settle()
        with self._opened(watched=False) as command:
            asked = questions.put_right(self, command)
        if asked:
            self._settle()
        self.pair.clock.advance(600)
        again = self.sync("backfill") or self.sync("backfill")  # it dies once at most
        assert again is not None
        if again.counts["write"]:
            raise Violation(f"P8: writes again after it came to rest: {again.counts['write']}")

    def _settle(self) -> None:
        for _ in range(QUIET_RUNS):
            self.pair.clock.advance(DOUBT)
            report = self.sync()
            rests = report and not report.counts["write"] and report.state == "done"
            if rests and not unsettled(self.workspace.state):
                break
            self._connect(logins.lost(report.errors) if report else ())
        else:
            raise Violation(f"P8: does not come to rest: {self.told[-1]}")

    def _replay(self, refused: Sequence[int]) -> None:
        """A command of its own, which finds a log-in lost, perhaps: then it is given after that."""
        with self._opened(watched=False) as command:
            try:
                replay(command, refused)
                return
            except AuthorizationLost as error:
                self._connect([error.connection])
        self._replay(refused)

    def _check(self, waiting: Collection[str] = ()) -> None:
        """Judge all but those whose records nobody was told of yet, because they are of the future."""
        self.pair.clock.advance(600 + self.behind)
        people, addresses = {name: list(self._people(name)) for name in self.objects}, self.beside.addresses
        addresses.wait(people)
        for email in sorted({said.email for said in self.said} - set(waiting) - addresses.mistaken):
            check_person(self, email, people)
        found = {name: [values for _, _, values in every] for name, every in people.items()}
        self.beside.keepsakes.check(self)
        self.beside.further.check()
        if not waiting:
            self.optouts.check(self, found)
            self._check_outcomes()

    def _check_clients(self) -> None:
        """Nobody waited for ever, or went to another host than the platform's."""
        if self.wire.wrong:
            raise Violation(self.wire.wrong[0])

    def _check_outcomes(self) -> None:
        with self.workspace.state.read() as tx:
            bodies = tx.execute(select(leads.c.id, leads.c.body).where(leads.c.state == "live")).all()
            emails = {row.id: str(orjson.loads(row.body).get("email")) for row in bodies}
            for name in self.names:
                sources.check_outcomes(tx, name, self.pair.sandboxes[name], emails, self.optouts.said)


def run(seed: int, **options: Any) -> Outcome:
    """The scenario of `seed`."""
    return PairScenario(seed, **options).run()


__all__ = ["PairScenario", "pairs", "run", "writable"]
