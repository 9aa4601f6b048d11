"""What must hold of deals, their copies and what people and platforms are told of them: judged by what was done to the
sides and what stands there. P1, P2 ... name the properties.

It is simpler than the engine: who is in a deal its ties say, and a person is whoever has one of the addresses that were
merged. What came of a person is counted from those deals, and nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select

from connectors.api import Gone, Verb
from sync.clashes import CODE as TAKEN
from sync.core.conversions import OF_LEADS
from sync.core.conversions import _id as event_id
from sync.state.schema import deal_people, journal, quarantine, records, streams
from tests.simulation import inboxes
from tests.simulation.amounts import kept
from tests.simulation.conditions import is_met
from tests.simulation.desk import FACTS, PEOPLE, SUMS, Desk, said
from tests.simulation.oracle import Violation
from tests.simulation.sharing import Waiting
from tests.simulation.side import Row
from tests.simulation.twins import CODE

if TYPE_CHECKING:
    from tests.simulation.deals import DealScenario

HOME = "beta"


class Judge:
    """One world at rest."""

    def __init__(self, scenario: DealScenario) -> None:
        self.scenario = scenario
        self.mail, self.crm = scenario.desks["alpha"], scenario.desks["beta"]
        self.sources = (self.crm,) if scenario.handed else (self.crm, self.mail)  # whose deals count
        self.whole: dict[str, str] = {}
        for one, other in scenario.trade.merged:
            keep, lose = self.person(one), self.person(other)
            if keep != lose:
                self.whole[lose] = keep
        people = [
            (side, row) for side in scenario.desks.values() for row in side.rows().values() if row.object in PEOPLE
        ]
        self.names = {side.whose[row.id] for side, row in people}  # by which anybody ever joined
        told = [(side.whose[row.id], one.values) for side, row in people for one in side.history[row.id]]
        self.bearers = {values["key"]: name for name, values in reversed(told) if values.get("key")}
        self.events = {event_id(event, key): name for key, name in self.bearers.items() for event in OF_LEADS}
        self.holders: dict[str, set[str]] = defaultdict(set)  # by address: whoever ever had it
        for name, values in told:
            self.holders[str(values["email"]).casefold()].add(self.person(name))
        self.waiting = Waiting.of(scenario)
        self.mistaken = {self.person(name) for name in self.waiting.mistaken}
        self.set_aside = set_aside(scenario)

    def person(self, email: str) -> str:
        """One name for all addresses of a person."""
        while email in self.whole:
            email = self.whole[email]
        return email

    def people(self, side: Desk, ids: set[str]) -> set[str]:
        return {self.person(side.whose[id]) for id in ids}

    def parties(self, side: Desk, deal: str) -> set[str]:
        """Who is in the deal. Whoever was put away before the engine looked was never known to be there."""
        ids = side.people_of(deal)
        return self.people(side, {id for id in ids if side.history[id][-1].gone is None or side.knows(id)})

    def ever_in(self, side: Desk, deal: str) -> set[str]:
        """Everybody who was ever in the deal, or in one that was merged into it."""
        told = [row for rows in side.history.values() for row in rows if row.object == "ties"]
        ids = {id for row in told if row.values["from_id"] == deal for id in row.values["to_ids"]}
        return self.people(side, ids)

    def was_told(self, person: str) -> bool:
        """Whether the engine ever wrote anywhere what came of the person."""
        return any(
            set(SUMS) & set(values) and self.spoken_of(side, over, values) == person
            for side in self.scenario.desks.values()
            for _, over, values in side.writes
        )

    def spoken_of(self, side: Desk, over: Row | None, values: dict[str, Any]) -> str:
        """Whom a write speaks of: the person of the record that it went over, or who bears the name that it gave."""
        return self.person(side.whose[over.id] if over is not None else self.bearers.get(values.get("key"), ""))

    def is_known(self, side: Desk, deal: str) -> bool:
        """Whether the engine could know whose the deal is."""
        return not self.mistaken & self.ever_in(side, deal)

    def counted(self, person: str) -> list[list[Row]]:
        """The deals of a person that count, all that each ever was: of the CRM, and marketing's own where nobody is
        handed over."""
        return [
            side.history[id]
            for side in self.sources
            for id, row in side.standing("deals").items()
            if not row.values.get("home") and person in self.parties(side, id)
        ]


def check(scenario: DealScenario) -> None:
    """Judge a world that came to rest."""
    judge = Judge(scenario)
    _check_writes(judge)
    for home in judge.crm.every("deals").values():
        if judge.is_known(judge.crm, home.id):
            _check_copies(judge, home)
    _check_set_aside(judge)
    _check_no_more(judge)
    for side in scenario.desks.values():
        if side is not judge.crm:
            for row in side.standing("contacts").values():
                _check_sums(judge, side, row)
    if "gamma" in scenario.desks:
        _check_told(judge, scenario.desks["gamma"])
    inboxes.check(judge)
    _check_state(scenario, judge.set_aside)


# copies


def _check_copies(judge: Judge, home: Row) -> None:
    mail, name = judge.mail, f"{HOME}/deals/{home.id}"
    if mail.made[name] > 1 + mail.unheard[name]:
        raise Violation(f"P3: {name} was copied {mail.made[name]} times")
    every = [row for row in mail.standing("deals").values() if row.values.get("home") == name]
    live = [row for row in every if row.id not in judge.set_aside]
    merged = home.gone is Gone.MERGED  # one is the survivor's then, and one is left as it is
    if len(live) > 1 + merged:
        raise Violation(f"P3: {name} has {len(live)} copies, and nobody is told")
    if home.gone is not None:
        return
    parties = judge.parties(judge.crm, home.id)
    here = judge.people(mail, set(mail.standing("contacts")))
    wanted = is_met(judge.scenario.condition, home.values)
    if wanted and not live and parties & here and not _was_removed(judge, name):
        raise Violation(f"P2: {name} has no copy")
    for copy in live if parties else ():
        want = said({**home.values, "worth": kept(home.values["worth"], mail.places)}, FACTS)
        if said(copy.values, FACTS) != want:
            raise Violation(f"P1: {name} is {want}, its copy {said(copy.values, FACTS)}")


def _check_set_aside(judge: Judge) -> None:
    """P24: what is said to be a second copy is one: there is another of that deal, or of one merged with it."""
    homes = {row.id: _family(judge, row) for row in judge.mail.standing("deals").values() if row.values.get("home")}
    for id in judge.set_aside:
        if id not in homes or Counter(homes.values())[homes[id]] < 2:
            raise Violation(f"P24: alpha/{id} is said to be a second copy, and is none")


def _family(judge: Judge, copy: Row) -> str:
    told = judge.crm.history.get(str(copy.values["home"]).rpartition("/")[2])
    return _survivor(judge.crm, told[-1]) if told else ""


def _was_removed(judge: Judge, name: str) -> bool:
    """Whether somebody removed a copy that bore this name at any time, or that of a deal merged into it."""
    names = {name}
    for row in judge.crm.every("deals").values():
        if row.gone is Gone.MERGED and f"{HOME}/deals/{_survivor(judge.crm, row)}" == name:
            names.add(f"{HOME}/deals/{row.id}")
    gone = (row for row in judge.mail.every("deals").values() if row.gone is not None)
    return any(told.values.get("home") in names for row in gone for told in judge.mail.history[row.id])


def _survivor(side: Desk, row: Row) -> str:
    while row.gone is Gone.MERGED:
        row = side.history[row.into][-1]
    return row.id


def _check_no_more(judge: Judge) -> None:
    """P3, P6: no copy was made beside another, nor after somebody removed one; each is of somebody who was in it."""
    mail = judge.mail
    if mail.twins:
        raise Violation(f"P3: copied again while a copy stood: {mail.twins}")
    if mail.revived_deals:
        raise Violation(f"P6: came back: {mail.revived_deals}")
    for id, person in mail.given.items():
        home = str(mail.history[id][0].values["home"]).rpartition("/")[2]
        if judge.is_known(judge.crm, home) and not judge.people(mail, {person}) & judge.ever_in(judge.crm, home):
            raise Violation(f"P5: the copy {id} of {home} is tied to {person}, who was never in it")


def _check_writes(judge: Judge) -> None:
    """P5, P7, P9: what is written of a deal was said at its home at some time; nothing is put away; nothing is written
    without a reason."""
    written = 0
    for side in judge.scenario.desks.values():
        written += len(side.writes)
        for verb, over, values in side.writes:
            if verb not in (Verb.CREATE, Verb.UPDATE):
                raise Violation(f"P7: {side.name} was told to {verb}, and nobody asked for it")
            if side is judge.mail and ("home" in values or (over is not None and over.object == "deals")):
                _check_copied(judge, over, values)
    trade, scenario = judge.scenario.trade, judge.scenario
    struck = sum(sum(desk.met.values()) for desk in scenario.desks.values()) + 4 * scenario.crashes
    if written > len(scenario.desks) * 6 * (trade.acts + struck + 4):
        raise Violation(f"P9: {written} writes for {trade.acts} acts and {struck} faults")


def _check_copied(judge: Judge, over: Row | None, values: dict[str, Any]) -> None:
    if over is not None and (over.id, over.version) in judge.mail.unheard_ends:
        return  # somebody had just made it a deal of its own
    home = str(values.get("home") or (over.values.get("home") if over else "")).rpartition("/")[2]
    told = judge.crm.history.get(home)
    if told is None:
        raise Violation(f"P5: a deal was written that is a copy of none: {values}")
    if over is None and not is_met(judge.scenario.condition, values):
        raise Violation(f"P5: {home} was copied, and is none of those that are: {values}")
    for name in FACTS:
        if name in values and said(values, (name,)) not in [said(row.values, (name,)) for row in told]:
            raise Violation(f"P5: {name}={values[name]!r} was written for {home}, where nobody said so")


# what came of people


def _check_sums(judge: Judge, side: Desk, row: Row) -> None:
    person = judge.person(side.whose[row.id])
    if person in judge.mistaken:
        return
    deals = judge.counted(person)
    want, holds = _sums(deals, side.places), said(row.values, SUMS)
    if holds.get("at") in _moved_last(deals):
        want["at"] = holds["at"]
    if not want and not judge.was_told(person):
        holds.pop("earned", None)  # of whom nobody ever told anything, somebody's own word stands
    if holds != want:
        raise Violation(f"P1: {side.name}/{row.id} ({person}) is told {holds}; its deals say {want}")


def _sums(deals: list[list[Row]], places: int | None) -> dict[str, str]:
    """What these deals come to, with so many decimals, as `said` tells it; the stage, which hangs on times, apart."""
    now = [told[-1] for told in deals]
    won = sorted((row for row in now if row.values["won"]), key=_closed)
    lost = sorted((row for row in now if row.values["closed"] and not row.values["won"]), key=_closed)
    open_ = [row for row in now if not row.values["closed"]]
    told = {
        "customer": bool(won),
        "wins": len(won),
        "open": len(open_),
        "earned": kept(_total(won), places),
        "hopes": kept(_total(open_), places),
        "since": won[0].values["until"] if won else None,
        "why": lost[-1].values.get("first") if lost and not won else None,
    }
    return said(told, SUMS)


def _moved_last(deals: list[list[Row]]) -> set[str]:
    """The stages of the deals that may have moved last. One that was saved without a change, or changed there and back
    between two looks, has not moved for whoever looked; one that was restored may have moved then, or long before."""
    first = [next(row.version for row in told if row.values == told[-1].values) for told in deals]
    may = [
        told for told in deals if told[-1].version >= max(first) or told[-1].version < max(row.version for row in told)
    ]
    return {str(told[-1].values["stage"]).casefold() for told in may}


def _closed(row: Row) -> str:
    return str(row.values["until"])


def _total(rows: list[Row]) -> str | None:
    total = sum((Decimal(str(row.values["worth"])) for row in rows if row.values.get("worth")), Decimal(0))
    return str(total) if total else None


# outcomes told by themselves


def _check_told(judge: Judge, side: Desk) -> None:
    """P2, P3, P5: each outcome is told once, if it came to be, with what it was worth then."""
    told = list(side.every("outcomes").values())
    again = [id for id, number in Counter(row.values["event_id"] for row in told).items() if number > 1]
    if again:
        raise Violation(f"P3: told more than once: {again}")
    known = {row.values["event_id"]: row for row in told if row.values["event"] in ("won", "lost")}
    for home, name, rows in _homes(judge):
        for event in ("won", "lost"):
            one = known.pop(event_id(event, name), None)
            if judge.is_known(home, rows[-1].id):
                _check_event(judge, event, one, home, rows)
    if known:
        raise Violation(f"P5: told of no deal that counts: {[row.values for row in known.values()]}")


def _homes(judge: Judge) -> Iterator[tuple[Desk, str, list[Row]]]:
    for side in judge.sources:
        for id, row in side.every("deals").items():
            if not row.values.get("home"):
                yield side, f"{side.name}/deals/{id}", side.history[id]


def _check_event(judge: Judge, event: str, told: Row | None, home: Desk, rows: list[Row]) -> None:
    when = [row for row in rows if row.values["closed"] and row.values["won"] is (event == "won")]
    last, detail = rows[-1], "worth" if event == "won" else "first"
    if told is None:
        parties = judge.parties(home, last.id)
        if last.gone is None and last in when and parties:
            raise Violation(f"P2: nobody was told that {home.name}/{last.id} was {event}")
        return
    places = judge.scenario.desks["gamma"].places if detail == "worth" else None
    may = [said({detail: kept(row.values.get(detail), places)}, (detail,)) for row in when]
    if when and detail == "first" and any("left_out" in what for what in home.met):
        may.append({})  # an answer that told of the loss had left the reason out
    if said(told.values, (detail,)) not in may:
        raise Violation(f"P5: {home.name}/{last.id} is told to be {event}: {told.values}")
    person = told.values.get("person")  # nobody is named whose records were all put away by then
    if person and not judge.holders[person.casefold()] & judge.ever_in(home, last.id):
        raise Violation(f"P5: {home.name}/{last.id} is told of somebody who was never in it: {told.values}")


# the engine's own state

_UNSETTLED = select(journal.c.id).where(journal.c.state.in_(["intent", "sent", "in_doubt"]))
_OPEN = select(quarantine.c.connection, quarantine.c.object, quarantine.c.record, quarantine.c.code).where(
    quarantine.c.state == "open"
)
_KNOWN = select(streams.c.connection, streams.c.object, records.c.id, records.c.body, records.c.gone).join(
    streams, streams.c.id == records.c.stream
)
_TIED = select(deal_people.c.connection, deal_people.c.deal, deal_people.c.person)
_FACTS = {"name": "title", "stage": "stage", "is_closed": "closed", "is_won": "won", "close_date": "until"}


def set_aside(scenario: DealScenario) -> set[str]:
    """The deals of marketing's that the engine says to be second copies."""
    with scenario.workspace.state.read() as tx:
        return {row.record for row in tx.execute(_OPEN) if row.code == CODE}


def _check_state(scenario: DealScenario, aside: set[str]) -> None:
    """P31, P24, P13: nothing is in doubt or refused for ever; deals and ties are known as they stand."""
    with scenario.workspace.state.read() as tx:
        unsettled = tx.execute(_UNSETTLED).all()
        refused = [tuple(row) for row in tx.execute(_OPEN).all() if row.code not in (CODE, TAKEN)]
        known = tx.execute(_KNOWN).all()
        tied = {tuple(row) for row in tx.execute(_TIED).all()}
    if unsettled:
        raise Violation(f"P31: {len(unsettled)} writes are in doubt for ever")
    if refused:
        raise Violation(f"P24: still in quarantine: {refused}")
    for row in known:
        if row.id not in aside:
            _check_baseline(scenario, row)
    stand = {
        (name, deal, person)
        for name, desk in scenario.desks.items()
        for tie in desk.standing("ties").values()
        for deal, person in [(tie.values["from_id"], one) for one in tie.values["to_ids"]]
    }
    if tied != stand:
        raise Violation(f"P13: ties are known as {sorted(tied - stand)}, and are {sorted(stand - tied)}")


def _check_baseline(scenario: DealScenario, row: Any) -> None:
    stands = scenario.desks[row.connection].history[row.id][-1]
    if (row.gone is None) != (stands.gone is None):
        raise Violation(f"P13: {row.connection}/{row.id} is gone={stands.gone}, and known as gone={row.gone}")
    if row.object != "deals" or row.gone is not None:
        return
    body = orjson.loads(row.body)
    for field, name in _FACTS.items():
        if said(body, (field,)).get(field) != said(stands.values, (name,)).get(name):
            raise Violation(f"P13: {row.connection}/{row.id}.{name} is known as {body.get(field)!r}")
