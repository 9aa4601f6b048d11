"""What must hold, judged by what people did and what stands there: nothing of the engine's reasoning is used.

It is simpler than the engine. Of each person and field it knows every value anybody ever gave, and which values were
in sight when a later one was given: what nobody replaced knowingly may survive, nothing else may. P1, P2 ... name the
properties; each is told where it is checked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import orjson
from sqlalchemy import select

from config.clock import stamp
from connectors.api import Gone, Verb
from sync.runs import Report
from sync.state.schema import conflicts, journal, leads, quarantine, records, streams
from sync.timekeeping import WORTH_TELLING
from tests.simulation.moments import FILLER, plain
from tests.simulation.people import FIELDS, STAGES, Edit
from tests.simulation.sharing import Waiting
from tests.simulation.side import Row, Side

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

ENDS = ("applied", "unchanged", "held", "quarantined", "parked")
PULLED = ("applied", "unchanged", "held", "quarantined", "parked", "suppressed")


class Violation(AssertionError):
    """What must hold does not."""


# of one run


def check_account(report: Report) -> None:
    """P22: each record pulled and each operation planned ends in exactly one state. P23: what did not end well is
    told."""
    for part, whole, ends in (("write", "planned", ENDS), ("pull", "pulled", PULLED)):
        for connection, objects in report.counts[part].items():
            for row in objects.values():
                ended = sum(row.get(name, 0) for name in ends)
                if row[whole] != ended:
                    raise Violation(f"P22: {connection}: {whole} {row[whole]}, ended {ended}: {row}")
    if report.errors and report.state == "done":
        raise Violation("P23: a run with errors says that it is done")


def check_fenced(pushes: Mapping[str, int], sides: Mapping[str, Side]) -> None:
    """P15: whoever was taken over writes nothing more."""
    for name, before in pushes.items():
        if sides[name].pushes > before:
            raise Violation(f"P15: {name} was written to by a process that had been taken over")


def check_rest(report: Report) -> None:
    """P8: reading everything anew finds nothing new (so no cursor ever passed anything: P13), and writes nothing."""
    if report.counts["write"]:
        raise Violation(f"P8: writes again after it came to rest: {report.counts['write']}")
    for connection, objects in report.counts["pull"].items():
        for object, row in objects.items():
            if row["applied"] or row["quarantined"]:
                raise Violation(f"P13: {connection}/{object} held something that no pull had brought: {row}")


# of the whole


@dataclass
class _Person:
    """Everything about one person: of one address, or of several of people who turned out to be one."""

    email: str
    firsts: frozenset[str]  # the addresses that they joined with
    rows: dict[str, list[Row]]  # by side, gone ones too
    edits: dict[int, Edit]
    waiting: Waiting

    @property
    def live(self) -> list[tuple[str, Row]]:
        return [(name, row) for name, rows in self.rows.items() for row in rows if row.gone is None]

    @property
    def lost(self) -> bool:
        """Whether any record of theirs is gone."""
        return any(row.gone for rows in self.rows.values() for row in rows)


def check(scenario: Scenario) -> None:
    """Judge a world that came to rest."""
    waiting, one = Waiting.of(scenario), scenario.people.one
    _check_writes(scenario, waiting)
    firsts: dict[str, set[str]] = defaultdict(set)
    for side in scenario.sides.values():
        for whose in side.whose.values():
            firsts[one(whose)].add(whose)
    for email in sorted(firsts):
        rows = {
            name: [row for row in side.rows().values() if side.whose[row.id] in firsts[email]]
            for name, side in scenario.sides.items()
        }
        edits = {number: edit for number, edit in enumerate(scenario.people.edits) if edit.email in firsts[email]}
        if email not in waiting.mistaken:
            _check_person(scenario, _Person(email, frozenset(firsts[email]), rows, edits, waiting))
    _check_state(scenario)


def _check_person(scenario: Scenario, person: _Person) -> None:
    _check_records(scenario, person)
    if not person.live:
        return
    _check_consent(scenario, person)
    _check_stage(scenario, person)
    _check_address(scenario, person)
    for name in FIELDS:
        _check_field(scenario, person, name)


def _check_records(scenario: Scenario, person: _Person) -> None:
    for name, rows in person.rows.items():
        side = scenario.sides[name]
        for email in person.firsts:
            made = side.created[email]
            strange = any(email in side.strangers for side in scenario.sides.values())  # seen before its conversion is
            # what was gone before anybody looked was not known to have been there
            if made > 1 + side.unheard[email] + strange:
                raise Violation(f"P3: {email} was created {made} times on {name}")
        if person.firsts & side.revived:
            raise Violation(f"P6: {person.email} came back on {name}")
        if not rows and person.live and not any((name, email) in person.waiting.unmade for email in person.firsts):
            raise Violation(f"P2: {person.email} is missing on {name}")


def _check_consent(scenario: Scenario, person: _Person) -> None:
    told = {str(row.values.get("consent")) for _, row in person.live}
    opted = [(side, id) for side, id, email in scenario.people.opted_out if email in person.firsts]
    # who joined and was deleted before anybody looked was never known to have said anything; and of some nothing tells
    heard = [
        id
        for side, id in opted
        if (id in scenario.sides[side].known or scenario.sides[side].history[id][-1].gone is None)
        and id not in scenario.sides[side].silent
    ]
    maybe = bool(person.firsts & scenario.people.maybe_out)
    told_anywhere = bool(heard) or (maybe and "unsubscribed" in told)
    if told_anywhere and told != {"unsubscribed"}:
        raise Violation(f"P16: {person.email} opted out, and stands as {told}")
    if not opted and not maybe and "unsubscribed" in told:
        raise Violation(f"P16b: {person.email} never opted out, and stands as {told}")


def _check_stage(scenario: Scenario, person: _Person) -> None:
    """P18. Where nobody acts between the engine's look and its write, no stage that stands was taken back."""
    told = {row.values.get("stage") for _, row in person.live}
    if len(told) > 1:
        raise Violation(f"P1: stage of {person.email} differs: {sorted(map(str, told))}")
    [stage] = told
    said = [(side, id, stages) for (side, id), stages in scenario.people.staged.items() if _is_of(person, side, id)]
    if stage is not None and stage not in {one for _, _, stages in said for one in stages}:
        raise Violation(f"P5: stage of {person.email} is {stage}, which nobody said")
    if scenario.meddles or any("late_commit" in what for side in scenario.sides.values() for what in side.met):
        return
    last = [
        stages[-1]
        for side, id, stages in said
        if scenario.sides[side].history[id][-1].gone is None
        and (id, "stage", stages[-1]) not in scenario.sides[side].blind  # a write met it before anybody was shown it
    ]
    if last and (stage is None or STAGES.index(stage) < max(map(STAGES.index, last))):
        raise Violation(f"P18: stage of {person.email} is {stage}; people said {last}")


def _check_beside(scenario: Scenario, person: _Person, name: str, row: Row, free: Sequence[Row]) -> None:
    """It has an address that somebody gave them, and another record there has the main one, or waits for it, or was
    deleted in silence: it is known as it was."""
    address = str(row.values["email"]).casefold()
    given = {str(_plain(edit)).casefold() for edit in person.edits.values() if edit.field == "email"}
    if address not in person.firsts | given:
        raise Violation(f"P5: {name}/{row.id} of {person.email} keeps {address!r}, which nobody gave them")
    near = [other for side, other in person.live if side == name and other.id != row.id]
    silent = any(other.gone and other.id in scenario.sides[name].unlisted for other in person.rows[name])
    if not silent and not any(other in free or (name, other.id) in person.waiting.kept for other in near):
        raise Violation(f"P1: {name}/{row.id} of {person.email} keeps {address!r}, and is the only one there")


def _check_address(scenario: Scenario, person: _Person) -> None:
    """P1, P4, P5 of the address: wherever somebody stands they have the same one, and none that was replaced knowingly.
    Their first may be entered again anywhere, whoever has changed it. What waits for an address of its own keeps
    another; so does, of several records of a side, what has one of theirs beside the main one."""
    theirs = [(name, row) for name, row in person.live if (name, row.id) not in person.waiting.kept]
    free = [row for name, row in theirs if (name, row.id) not in person.waiting.beside]
    for name, row in theirs:
        if (name, row.id) in person.waiting.beside:
            _check_beside(scenario, person, name, row, free)
    if not free:
        return
    [address, *others] = sorted({str(row.values["email"]).casefold() for row in free})
    if others:
        raise Violation(f"P1: the address of {person.email} differs: {[address, *others]}")
    if (person.email, "email") in scenario.people.decided:
        _check_decided(scenario, person, "email", address)
        return
    moves = {number: edit for number, edit in person.edits.items() if edit.field == "email"}
    standing = {_plain(edit) for edit in _standing(scenario, person, moves).values()}
    standing |= {first for first in person.firsts if not _is_left(scenario, person, first, moves)}
    if address not in standing:
        raise Violation(f"P4: the address of {person.email} is {address!r}; may be {sorted(standing)}")


def _is_left(scenario: Scenario, person: _Person, first: str, moves: Mapping[int, Edit]) -> bool:
    """Whether the address that somebody joined with was replaced. Of two who turned out to be one a change of the main
    address replaced the one that it goes back to, and one of a further address none."""
    people = scenario.people
    if people.joined[first] > 1:
        return False
    mine = (edit for number, edit in moves.items() if len(person.firsts) == 1 or people.roots.get(number) == first)
    return any(_is_heard(scenario, person, edit) for edit in mine)


def _is_of(person: _Person, side: str, id: str) -> bool:
    return any(row.id == id for row in person.rows[side])


def _check_field(scenario: Scenario, person: _Person, name: str) -> None:
    values = {plain(row.values.get(name)) for _, row in person.live}
    if len(values) > 1:
        raise Violation(f"P1: {name} of {person.email} differs: {sorted(values)}")
    [value] = values
    edits = {number: edit for number, edit in person.edits.items() if edit.field == name}
    if (person.email, name) in scenario.people.decided:
        _check_decided(scenario, person, name, value)
        return
    if value not in {_plain(edit) for edit in edits.values()} | ({""} if _may_be_blank(person, edits) else set()):
        raise Violation(f"P5: {name} of {person.email} is {value!r}, which nobody said")
    if not edits or (not value and _may_be_blank(person, edits)):
        return
    standing = _standing(scenario, person, edits)
    if value not in {_plain(edit) for edit in standing.values()}:
        raise Violation(f"P4: {name} of {person.email} is {value!r}; may be {sorted(map(_plain, standing.values()))}")
    _check_policy(scenario, person, name, value, standing)
    _check_losers(scenario, person, name, value, standing)


def _check_decided(scenario: Scenario, person: _Person, name: str, value: str) -> None:
    """What a person was asked, and answered, is so."""
    decided = plain(scenario.people.decided[(person.email, name)])
    if value != decided:
        raise Violation(f"P4: {name} of {person.email} is {value!r}; a person decided {decided!r}")


def _plain(edit: Edit) -> str:
    return plain(edit.value)


def _may_be_blank(person: _Person, edits: Mapping[int, Edit]) -> bool:
    """A blank stands where nobody said anything, or only on records that are gone, or what was lost unheard."""
    here = {(name, row.id) for name, row in person.live}
    return all((edit.side, edit.row) not in here or (edit.value and edit.mute) for edit in edits.values())


def _standing(scenario: Scenario, person: _Person, edits: Mapping[int, Edit]) -> dict[int, Edit]:
    """The edits that nobody replaced knowingly, as far as anybody could hear it."""
    replaced = set().union(*(edit.replaced for edit in edits.values() if _is_heard(scenario, person, edit)))
    return {number: edit for number, edit in edits.items() if number not in replaced}


def _is_heard(scenario: Scenario, person: _Person, edit: Edit) -> bool:
    """Whether the engine could know of an edit. What was said on a record that is gone it need not have heard; nor what
    it wrote over before anybody was shown it, nor what people had replaced there by then; and a blank says something
    only where it knew the field to be filled. Where clocks differ, it tells by what it wrote itself which of two values
    replaced the other: being restored, it knows no more what it wrote."""
    side = scenario.sides[edit.side]
    if scenario.clocks.differ and scenario.restored:
        return False
    if person.lost and (edit.side, edit.row) not in {(name, row.id) for name, row in person.live}:
        return False
    return not edit.mute and not _was_missed(side, edit)


def _was_missed(side: Side, edit: Edit) -> bool:
    """Whether a value was written over before anybody was shown it, or was never shown: other people had replaced it,
    and what they said tells by itself what they saw."""
    held = [(edit.row, edit.field, value) for value in (edit.value, str(edit.value or "").upper())]
    return any(one in side.blind for one in held) or not any(one in side.shown for one in held)


def _check_policy(scenario: Scenario, person: _Person, name: str, value: str, standing: Mapping[int, Edit]) -> None:
    """P4c: among what stands the latest wins. A record has one time for all its fields, so an edit counts from some
    moment between when it was made and when its record was last touched; only what is later than all that must win. A
    blank in a field that was never known to be filled tells nothing, and wins over nothing; nor does a value that what
    stands replaced where another had given it, too: the sides agreed on it."""
    if person.lost or scenario.meddles or len(standing) < 2 or _disturbed(scenario):
        return
    spans = {number: _counts(scenario, edit, name) for number, edit in standing.items()}
    agreed = {_plain(scenario.people.edits[n]) for e in standing.values() if _plain(e) == value for n in e.replaced}
    for number, edit in standing.items():
        first = spans[number][0]
        if edit.mute or _plain(edit) in agreed:
            continue
        if all(spans[other][1] < first for other in standing if other != number) and _plain(edit) != value:
            raise Violation(f"P4c: {name} of {person.email} is {value!r}; {_plain(edit)!r} is the latest")


def _counts(scenario: Scenario, edit: Edit, name: str) -> tuple[str, str]:
    """Between which moments an edit counts, each as the clock of its side has it. Where clocks differ, whoever replaced
    a value counts from after it in any case: by the clock of the side that it came from."""
    first, last = _span(scenario, edit, name)
    if not scenario.clocks.differ:
        return first, last
    replaced = [scenario.people.edits[number] for number in edit.replaced]
    return first, max([last, *(_span(scenario, other, name)[1] for other in replaced)])


def _span(scenario: Scenario, edit: Edit, name: str) -> tuple[str, str]:
    """Between which times of its record the value was given and last stood there. A time of whole seconds may have been
    any in its second, and replaced what was given earlier in it; one ahead of the clock may be taken for now, by the
    clock of its side as well as the engine knows it: not where its own is set, and not to the minute."""
    told = scenario.sides[edit.side].history[edit.row]
    mine = [row for row in told if plain(row.values.get(name)) == _plain(edit)]
    first, at = mine[0].version, stamp(mine[0].at)
    last = max(max(row.version, stamp(row.at)) for row in mine) + "+"
    if first > at and scenario.clocks.differ:
        return "" if scenario.clocks.rate else stamp(mine[0].at - timedelta(seconds=WORTH_TELLING)), last
    return min(first, at), last


def _check_losers(scenario: Scenario, person: _Person, name: str, value: str, standing: Mapping[int, Edit]) -> None:
    """P4b: what lost without anybody's knowing is kept: in the reasons of the lead, or in the journal of what we
    wrote over it. What nobody was ever shown cannot be; nor need what was replaced knowingly by a value that was no
    voice just then, as the mapping was."""
    if person.lost or scenario.meddles or _disturbed(scenario):
        return
    kept = _kept(scenario)
    mute = [edit for edit in person.edits.values() if edit.field == name and edit.mute and edit.value]
    over = frozenset[int]().union(*(edit.replaced for edit in mute))
    for number, edit in standing.items():
        if _plain(edit) == value or not edit.value or number in over:
            continue
        held = [row.values.get(name) for row in scenario.sides[edit.side].history[edit.row]]
        shown = [one for one in held if plain(one) == _plain(edit)]
        if (edit.row, name, shown[0]) in scenario.sides[edit.side].shown and _plain(edit) not in kept:
            raise Violation(f"P4b: {_plain(edit)!r}, {name} of {person.email}, lost and is nowhere kept")


def _disturbed(scenario: Scenario) -> bool:
    """Whether something happened between the engine's look and its write that no engine can see, or what it knew of it
    was lost."""
    return (
        bool(scenario.crashes)
        or scenario.restored
        or any(side.met or side.habits.lag for side in scenario.sides.values())
    )


def _kept(scenario: Scenario) -> set[str]:
    with scenario.workspace.state.read() as tx:
        before = tx.execute(select(journal.c.before)).scalars()
        reasons = tx.execute(select(leads.c.reasons)).scalars()
        asked = tx.execute(select(conflicts.c.options)).scalars()
        found = {value for text in before for value in orjson.loads(text).values()}
        found |= {over[1] for text in reasons for why in orjson.loads(text).values() for over in why.get("over", ())}
        return {plain(value) for value in [*found, *asked]}


# of everything that was ever written


def _check_writes(scenario: Scenario, waiting: Waiting) -> None:
    """P5, P7, P9, P16, P19 of each single write, whenever it came."""
    said: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for edit in scenario.people.edits:
        said[edit.email][edit.field].add(_plain(edit))
    for (email, field), value in scenario.people.decided.items():  # it may be a blank that the account made
        said[email][field].add(plain(value))
    for name, side in scenario.sides.items():
        for number, (verb, over, values) in enumerate(side.writes):
            if verb not in (Verb.CREATE, Verb.UPDATE):
                raise Violation(f"P7: {name} was told to {verb}, and nobody asked for it")
            email = side.identify(values) if over is None else side.whose[over.id]
            if scenario.people.one(email) in waiting.mistaken:
                continue
            by = _said_by(scenario, said, email, (name, number))
            for field in FIELDS:
                if field not in values or values[field] == FILLER:
                    continue
                if not any(plain(values[field]) in one[field] for one in by):
                    raise Violation(f"P5/P19: {field}={values[field]!r} was written for {email}: nobody said so")
            if over is not None and over.values.get("consent") == "unsubscribed" != values.get(
                "consent", "unsubscribed"
            ):
                raise Violation(f"P16: {email} on {name} was opted in by a write")
    _check_number(scenario)


def _said_by(scenario: Scenario, said: Mapping[str, Any], email: str, at: tuple[str, int]) -> list[Any]:
    """What was said of a person, and of all whom they had turned out to be one with, as of the nth write to a side."""
    one = scenario.people.one
    if not scenario.people.unions:
        return [said[email]]
    return [found for whose, found in said.items() if one(whose, at) == one(email, at)]


def _check_number(scenario: Scenario) -> None:
    """P9: no more writes than the world gave reasons for."""
    written = sum(len(side.writes) for side in scenario.sides.values())
    struck = (
        sum(sum(side.met.values()) for side in scenario.sides.values())
        + scenario.oddities.struck
        + scenario.returns.struck
        + 4 * scenario.crashes
        + 20 * scenario.restored
    )
    fields = len(FIELDS) + 3
    allowed = len(scenario.sides) * fields * (scenario.people.acts + struck + 1)
    if written > allowed:
        raise Violation(f"P9: {written} writes for {scenario.people.acts} acts and {struck} faults")


_UNSETTLED = select(journal.c.id).where(journal.c.state.in_(["intent", "sent", "in_doubt"]))
_REFUSED = select(journal.c.connection, journal.c.lead).where(journal.c.state == "quarantined")
_ENTRIES = select(quarantine.c.connection, quarantine.c.lead)
_STRAY = (
    select(quarantine.c.id)
    .join(leads, leads.c.id == quarantine.c.lead)
    .where(quarantine.c.state == "open", leads.c.state != "live")
)
_KNOWN = select(streams.c.connection, records.c.id, records.c.body, records.c.gone, records.c.lead).join(
    streams, streams.c.id == records.c.stream
)


def _check_state(scenario: Scenario) -> None:
    """Nothing is left open that the healed world would not need; what was refused went through when it was let (P24);
    each record's baseline is what stands there."""
    with scenario.workspace.state.read() as tx:
        unsettled = tx.execute(_UNSETTLED).all()
        refused = tx.execute(_REFUSED).all()
        entries = {(row.connection, row.lead) for row in tx.execute(_ENTRIES)}
        stray = tx.execute(_STRAY).all()
        known = tx.execute(_KNOWN).all()
    if unsettled:
        raise Violation(f"P31: {len(unsettled)} writes are in doubt for ever")
    if lost := {(row.connection, row.lead) for row in refused} - entries:
        raise Violation(f"P24: refused, and not in quarantine: {sorted(lost)}")
    if stray:
        raise Violation(f"P24: {len(stray)} entries wait for leads that became others")
    _check_baselines(scenario, known)


def _check_baselines(scenario: Scenario, known: Iterable[Any]) -> None:
    remote = {"email": "email", "first_name": "first", "title": "title", "lifecycle_stage": "stage"}
    if scenario.people.dated:
        del remote["title"]  # what is no text is compared by what it means
    for row in known:
        if row.id in scenario.sides[row.connection].unlisted:
            continue  # deleted in silence: it is known as it was, until somebody asks for it
        stands = scenario.sides[row.connection].history[row.id][-1]
        if (row.gone is None) != (stands.gone is None):
            raise Violation(f"P13: {row.connection}/{row.id} is gone={stands.gone}, and known as gone={row.gone}")
        if row.gone is not None or stands.gone is Gone.DELETED:
            continue
        body = orjson.loads(row.body)
        for field, name in remote.items():
            if not is_same(body.get(field), stands.values.get(name)):
                raise Violation(f"P13: {row.connection}/{row.id}.{name} is known as {body.get(field)!r}")
        if row.lead is None:
            raise Violation(f"P2: {row.connection}/{row.id} is nobody's")


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same text, whatever its case: a mapping reads marks in one order (NFC)."""
    one, other = str(one or "").casefold(), str("" if other == FILLER else other or "").casefold()
    return one == other or whole(one) == whole(other)


def whole(value: Any) -> str:
    """All of a value as it is compared."""
    return normalize("NFC", normalize("NFC", str(value or "")).casefold())
