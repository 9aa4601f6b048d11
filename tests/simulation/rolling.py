"""Scenarios in which a platform is rolled back: `sync.rollback`.

The same world, the same faults, the same oracle. At some step one side is remembered as it is; at a later one, hours
after, it is so again: values, times and who is there. From when the engine has noticed, nothing is written until a
person has said which way it is to go. What the people said who are asked is told to the oracle: put back, the side's
older values are nobody's word; accepted, they are given anew, over what had replaced them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any

import orjson
from sqlalchemy import select

from config.clock import stamp, unstamp
from config.project import Guards, Limit, Project
from connectors.api import Gone
from sync.arrivals import LAGS, ROUNDING
from sync.push import open_targets
from sync.rollback import ACCEPT, PUT_BACK
from sync.runs import Options, Report, Runner
from sync.state.schema import conflicts, leads, meta, records, streams
from sync.workspace import Workspace
from tests.simulation import naming, oracle
from tests.simulation.oracle import Violation
from tests.simulation.people import FIELDS, Edit
from tests.simulation.process import Crash
from tests.simulation.scenario import BESIDE, Outcome, Scenario
from tests.simulation.side import Row, Side
from tests.simulation.undecided import NAME, Undecided

TRIES = 12
"""How often a person's answer is carried out while faults strike; then once without."""
AWAY = 2 * 3600
"""Seconds between what is remembered and what comes after it, and for which the side is away while it is rolled back:
no index shows anything of before then."""
EVERY = 1800
"""Seconds between two looks of the engine at whether a side was rolled back."""
_REMOTE = {"first": "first_name", "title": "title", "stage": "lifecycle_stage", "consent": "email_consent"}
_OUT = "unsubscribed"
_SEEN = select(meta.c.value)
_DECIDED = (
    select(records.c.id, leads.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .join(leads, leads.c.id == records.c.lead)
)
_ASKED = (
    select(records.c.id, conflicts.c.field)
    .join(streams, streams.c.id == records.c.stream)
    .join(conflicts, conflicts.c.lead == records.c.lead)
    .where(conflicts.c.state == "open", conflicts.c.kind == "field")
)
_KNOWN = select(records.c.id, records.c.version, records.c.body, records.c.gone).join(
    streams, streams.c.id == records.c.stream
)


@dataclass
class RollingScenario(Scenario):
    """A world of which one side is rolled back, once."""

    def __post_init__(self) -> None:
        self.without |= {"takeover", *BESIDE} - {"slow", naming.KIND}
        Scenario.__post_init__(self)
        self.planned = self.steps or Random(f"{self.seed}-rolled steps").choice((6, 9, 12, 16))
        self.rolling = Rolling(self, Random(f"{self.seed}-rolled"))
        self.each = self.rolling.each

    def _boundary(self, side: Side | None, name: str) -> None:
        Scenario._boundary(self, side, name)
        undecided = self.rolling.undecided
        if name == "commit.after" and undecided.is_stored():
            undecided.waits = None
            self.met[f"beside/{NAME}"] += 1
            self._die(side, name)

    def opened(self) -> Workspace:
        """With guards that hold a few people, too, and look often."""
        workspace = Scenario.opened(self)
        workspace.project = _guarded(workspace.project)
        return workspace

    def sync(self, command: str = "sync", options: Options | None = None) -> Report | None:
        rolling = self.rolling
        due, acts, before = rolling.is_due(), self.people.acts, rolling.pushes()
        report = Scenario.sync(self, command, options)
        if rolling.noticed and before != rolling.pushes():
            raise Violation("P35b: a side was rolled back, nobody had said which way it is to go, and it wrote")
        if report is not None:
            rolling.judge(report, due and acts == self.people.acts)
        return report

    def _heal(self) -> None:
        self.rolling.decide_at_last()
        for side in self.sides.values():  # a look at the newest records is told what was left out, and stores nothing
            if any(met.endswith("/left_out") for met in side.met):
                side.untold.add(("", ""))
        Scenario._heal(self)

    def _check(self) -> None:
        self.restored = True  # what it knew of a time was lost
        Scenario._check(self)


def _guarded(project: Project) -> Project:
    guards: Guards = project.guards.model_copy(
        update={"rolled_back": Limit(share=0.01, over=0, number=0), "describe_every": EVERY}
    )
    return project.model_copy(update={"guards": guards})


@dataclass
class Rolling:
    """Which side of a scenario is rolled back, to when, and which way it goes then."""

    scenario: RollingScenario
    rng: Random
    side: Side = field(init=False)
    undecided: Undecided = field(init=False)
    way: str = ""
    taken: int = 0
    rolled: int = 0
    patience: int = 0  # runs that are held until somebody answers
    kept: dict[str, Row] = field(default_factory=dict)
    back: dict[str, Row] = field(default_factory=dict)  # records that were rolled back, as they are then
    gone: set[str] = field(default_factory=set)  # those that are not there any more
    unseen: set[str] = field(default_factory=set)  # those whose times the engine does not know to have gone back
    known: dict[str, dict[str, Any]] = field(default_factory=dict)  # what the engine had stored then
    led: dict[str, dict[str, Any]] = field(default_factory=dict)  # what the leads of the records held then
    over: dict[str, Row] = field(default_factory=dict)  # as they were just before
    staged: dict[str, int] = field(default_factory=dict)  # how many stages people had said there by then
    done: bool = False
    noticed: bool = False
    decided: bool = False

    def __post_init__(self) -> None:
        last = self.scenario.planned
        self.side = self.scenario.sides[self.rng.choice(tuple(self.scenario.sides))]
        self.way = self.rng.choice((ACCEPT, PUT_BACK))
        self.rolled = self.rng.randrange(min(3, last - 1), last)
        self.taken = self.rng.randrange(self.rolled)
        self.patience = self.rng.choice((0, 0, 1, 2))
        self.undecided = Undecided(self)

    def each(self, number: int) -> None:
        if number in (self.taken, self.rolled) and self.rng.random() < 0.8:
            self.scenario.sync()  # what is there is known, more often than not
        if number == self.taken:
            self.scenario.clock.advance(AWAY)
            self.side.catch_up()
            self.kept = self.side.rows()
            self.scenario._say(f"{self.side.name} is remembered")
            self.scenario.clock.advance(AWAY)
        elif number == self.rolled:
            self.undecided.strike()
            self._roll_back()
            if self.undecided.at_once:
                self._decide()
            elif self.rng.random() < 0.6:
                self.scenario.sync()

    # the side is as it was

    def _roll_back(self) -> None:
        side, scenario = self.side, self.scenario
        scenario.clock.advance(AWAY)
        side.catch_up()
        self.over, known = side.rows(), self._known()
        self.put(self.over)
        self._unhear(known)
        self.known = known
        self.staged = {id: len(scenario.people.staged.get((side.name, id), ())) for id in self.back}
        self.done = True
        scenario.met["beside/rolled back"] += 1
        scenario._say(f"{side.name} is rolled back: {sorted(self.back)}; not there any more: {sorted(self.gone)}")
        scenario.clock.advance(AWAY)

    def put(self, rows: dict[str, Row]) -> None:
        """All that is there is as it was."""
        for id, row in sorted(rows.items()):
            self._put(id, row)

    def _put(self, id: str, row: Row) -> None:
        kept = self.kept.get(id)
        if kept is row:
            return
        if kept is None:
            if row.gone in (None, Gone.ARCHIVED):  # nobody can bring back what was never there
                self.side.remove(id, Gone.DELETED)
            self.gone.add(id)
            self.side.purged.add(id)
            self.side.erased.add(id)
            return
        blank = dict.fromkeys(row.values)  # what had no value yet is told as blank
        self.back[id] = replace(kept, at=self.side.clock.now(), values={**blank, **kept.values})
        self.side.history[id].append(self.back[id])

    def _known(self) -> dict[str, dict[str, Any]]:
        """What the engine has stored of the side's records, by id."""
        with self.scenario.workspace.state.read() as tx:
            rows = tx.execute(_KNOWN.where(streams.c.connection == self.side.name)).all()
        return {row.id: {"version": row.version, "gone": row.gone, **orjson.loads(row.body)} for row in rows}

    def _emptied_at(self, id: str, name: str) -> str:
        """The version of a record by which a field was blanked last, before it was rolled back; "" for never."""
        rows = [row for row in self.side.history[id] if row is not self.back.get(id)]
        pairs = ((before.values.get(name), row.values.get(name), row.version) for before, row in pairwise(rows))
        emptied = [version for before, after, version in pairs if before and not after]
        return emptied[-1] if emptied else ""

    def _unhear(self, known: dict[str, dict[str, Any]]) -> None:
        """What was said there and taken back before the engine had stored it, nobody can know; nor need anybody have
        heard what was said on a record that was gone by then."""
        people, name = self.scenario.people, self.side.name
        lost, asked = set(self.back) | self.gone, self._read_leads()
        for edit in people.edits:
            mine = edit.side == name and edit.row in lost
            stored = _stands(known.get(edit.row, {}), edit.field, edit.value)
            if stored and mine and not edit.value:  # it was blank before, perhaps, as far as the engine knows
                stored = known.get(edit.row, {}).get("version", "") >= self._emptied_at(edit.row, edit.field)
            if mine and (self.over[edit.row].gone or not stored or (edit.row, _REMOTE.get(edit.field, "")) in asked):
                edit.mute = True
        self._forgive_opt_outs(
            (side, id)
            for side, id, _ in people.opted_out
            if side == name
            and id in lost
            and (id not in self.back or self.back[id].values.get("consent") != _OUT)
            and known.get(id, {}).get("email_consent") != _OUT
        )
        for id, row in self.back.items():
            version = known.get(id, {}).get("version")
            if not version or not _is_older(row.version, version):
                self.unseen.add(id)
            stages = people.staged.get((name, id), [])
            heard = (known.get(id, {}).get("lifecycle_stage"), self.back[id].values.get("stage"))
            while stages and stages[-1] not in heard:
                stages.pop()
            if not stages:
                people.staged.pop((name, id), None)

    def _read_leads(self) -> set[tuple[str, str]]:
        """Keep what the leads of the side's records hold; the (record, field) about which a question is open: what was
        asked about is not there any more."""
        mine = streams.c.connection == self.side.name
        with self.scenario.workspace.state.read() as tx:
            self.led = {row.id: orjson.loads(row.body) for row in tx.execute(_DECIDED.where(mine))}
            return {(row.id, row.field) for row in tx.execute(_ASKED.where(mine))}

    def _forgive_opt_outs(self, places: Iterable[tuple[str, str]]) -> None:
        """What was said of consent on these records need not have been heard; it may have been."""
        people, found = self.scenario.people, set(places)
        people.maybe_out.update(email for side, id, email in people.opted_out if (side, id) in found)
        people.opted_out = [one for one in people.opted_out if one[:2] not in found]

    # the engine notices

    def pushes(self) -> int:
        return sum(side.pushes for side in self.scenario.sides.values())

    def is_due(self) -> bool:
        """Whether the next run that reads the side is to notice: most of what is known there was rolled back, and it is
        time to look again. The look-up of a write in doubt comes before that, and may bring one more that is known."""
        if not self.done or self.decided or self._just_looked():
            return False
        known = {id: one for id, one in self._known().items() if not one["gone"]}
        rows = self.side.rows()
        until = stamp(self.scenario.clock.now() - LAGS)
        old = {id: one["version"] for id, one in known.items() if one["version"] and one["version"] < until}
        lost = [id for id, version in old.items() if id in self.gone or _is_older(rows[id].version, version)]
        told = [id for id in lost if id not in self.gone and rows[id].gone is None]
        with self.scenario.workspace.state.read() as tx:
            sought = len(open_targets(tx, self.side.name))
        return len(lost) * 2 > len(old) + sought and bool(told)

    def _just_looked(self) -> bool:
        with self.scenario.workspace.state.read() as tx:
            seen = tx.execute(_SEEN.where(meta.c.name == f"described:{self.side.name}/contacts")).scalar()
        now = self.scenario.workspace.clock.now()
        return seen is not None and (now - unstamp(seen)).total_seconds() < EVERY

    def judge(self, report: Report, due: bool) -> None:
        """P35b: it is noticed, and held, until somebody says which way it is to go."""
        held = [hold for hold in report.held.values() if "the account looks rolled back" in hold.why]
        if held and self.decided:
            raise Violation("P35b: it is held over what a person has decided")
        if held:
            self.noticed = True
            self.patience -= 1
        elif (due or self.noticed) and not report.errors and not self.decided and report.state != "cancelled":
            raise Violation(f"P35b: {self.side.name} was rolled back, and nothing tells of it")
        if self.noticed and not self.decided and self.patience < 0:
            self._decide()

    # a person says which way

    def _decide(self) -> None:
        scenario = self.scenario
        scenario._say(f"a person says: {self.way}")
        acting, scenario._acting = scenario._acting, True  # people wait until it is carried out
        if self.way == ACCEPT:
            self.side.told_gone |= self.gone & self.side.known
        else:  # whoever was known to live is made again, also where they had been put away once, and brought back
            alive = {id for id in self.gone if id in self.known and not self.known[id]["gone"]}
            self.side.told_gone -= alive
            self.side.unlisted -= alive
        self._give_all_anew()
        self.decided, self.noticed = True, False
        for number in range(TRIES + 1):
            if number == TRIES:
                self._rest(True)
            if self._carried_out():
                break
        else:
            raise Violation("P35b: what a person decided is never carried out")
        scenario._acting = acting
        self._rest(scenario.healed)

    def _give_all_anew(self) -> None:
        """At one moment: none of it replaces another."""
        for edit in [edit for id, row in sorted(self.back.items()) for edit in self._given_anew(id, row)]:
            self.scenario.people.again(edit)

    def _given_anew(self, id: str, row: Row) -> Iterator[Edit]:
        """Accepted, what stands on a record again is given anew. One that somebody touched before looks as if they had
        given all of it: it may stand either way. So may what the engine was told no time of since its own write."""
        people, over = self.scenario.people, self.over[id]
        untouched = self.side.history[id][-1] is row and id not in self.unseen
        if not untouched:
            self._taken_at_its_word(id, row)
        away = all(one.gone is not None for one in (row, self.side.history[id][-1]))  # and nobody brought it back since
        if away or (untouched and self.way == PUT_BACK):
            return
        for name in FIELDS:
            value = row.values.get(name)
            if value == over.values.get(name) or (untouched and name == "first" and not value):
                continue
            was = people.edit_of(over.values.get(name)) if over.values.get(name) else self._cleared(id, name)
            replaced = frozenset() if was is None else people.edits[was].replaced | {was}
            same = _stands(self.known.get(id, {}), name, value)  # for all the engine knows nothing has changed
            mute = not untouched or same or (not value and (id, name) not in self.side.filled)
            yield Edit(name, value, replaced, self.side.name, id, self.side.whose[id], mute)

    def _cleared(self, id: str, name: str) -> int | None:
        """The edit that cleared the field on this record, where that is what somebody did there last."""
        number, _ = self.scenario.people.given.get((self.side.name, id, name), (None, 0))
        return number if number is not None and self.scenario.people.edits[number].value is None else None

    def _taken_at_its_word(self, id: str, row: Row) -> None:
        """A record that somebody touched says by itself that its stage was set back; and that its person opts in again,
        where no other record was told of the opt-out, and none tells that the side was rolled back."""
        people, place, person = self.scenario.people, (self.side.name, id), self.side.whose[id]
        for edit in people.edits:  # of what was stored, and no lead's by then, a record that looks edited says nothing
            if (edit.side, edit.row) == place and not _stands(self.led.get(id, {}), edit.field, edit.value):
                edit.mute |= not _same(row.values.get(edit.field), edit.value)
        stages, stage = people.staged.get(place, []), row.values.get("stage")
        stands = len(stages) == self.staged.get(id, 0)  # nobody has said more of it since
        if stages and stage and stands:
            stages.append(stage)
        elif stages and stands:
            self.side.blind.add((id, "stage", stages[-1]))  # blank again, which is no stage that counts
        told = [one for one, consent in self.scenario._stored().items() if consent == _OUT and one != place]
        out = self.side.history[id][-1].values.get("consent") == _OUT
        if not (out or self._shows(id)) and person not in {
            self.scenario.sides[side].whose[other] for side, other in told
        }:
            self._forgive_opt_outs([place])

    def _shows(self, touched: str) -> bool:
        """Whether another record tells that the side was rolled back, to whoever looks."""
        others = [(id, row) for id, row in self.back.items() if id != touched and id not in self.unseen]
        return any(row is self.side.history[id][-1] and not (row.gone or self.known[id]["gone"]) for id, row in others)

    def _carried_out(self) -> bool:
        """All fields are told: of one that is left out here nothing tells whether it was rolled back, too."""
        scenario, rates = self.scenario, self.side.rates
        scenario.clock.advance(20)
        self.side.rates = {**rates, "left_out": 0.0}
        try:
            report = Runner(scenario.workspace).run(
                "backfill", (self.side.name,), Options(approve=True, choice=self.way)
            )
        except Crash:
            scenario.reborn()
            return False
        finally:
            self.side.rates = rates
        oracle.check_account(report)
        scenario._say(f"backfill {self.side.name} --rolled-back {self.way}: {report.state}")
        return report.state == "done" or not report.errors

    def _rest(self, healed: bool) -> None:
        self.scenario.healed = healed
        for side in self.scenario.sides.values():
            side.healed = healed

    def decide_at_last(self) -> None:
        """Whoever was not asked by the end is asked when nothing strikes any more."""
        if not self.done or self.decided:
            return
        self._rest(True)
        self.patience = 0
        self.scenario.clock.advance(EVERY)
        for _ in range(2):
            if not self.decided:
                self.scenario._surely(lambda: self.scenario.sync("backfill"))
        if not self.decided:
            self.side.unlisted |= self.gone  # who is not there any more was deleted in silence, for all that tells
            self.way = PUT_BACK
            self._give_all_anew()


def _stands(known: dict[str, Any], name: str, value: Any) -> bool:
    return _same(known.get(_REMOTE[name]), value)


def _same(one: Any, other: Any) -> bool:
    return str(one or "").casefold() == str(other or "").casefold()


def _is_older(told: str, known: str) -> bool:
    return unstamp(known) - unstamp(told) > ROUNDING


def run(seed: int, **options: Any) -> Outcome:
    """The scenario of `seed`, with a side that is rolled back on the way."""
    return RollingScenario(seed, **options).run()


__all__ = ["Outcome", "run"]
