"""For every connection: what should it hold, what does it hold, so which operations follow, each with a reason.

The plan is derived afresh from what was observed; nothing of it is stored but what was sent. A target holds what its
mapping can express: a value is compared in the form in which it would come back (written, then read), so that a
lossy picklist or a rounded amount does not look like a difference for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import orjson
import xxhash

from mappings.model import CONSENT, Field, Rule, Values
from sync.core.addresses import MAIN
from sync.core.views import UNDECIDED, LeadView, Provenance, RecordView

NAME = "closedloop_id"
"""The lead's own name, as records bear it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an operation: unified name, remote name, what the target holds, what it is to hold, and why."""

    field: str
    remote: str
    old: Any
    new: Any
    reason: str
    at: str = ""  # since when the new value counts
    since: str = ""  # the same of the old value; "" where it counts from the record's first absorb


@dataclass(frozen=True, slots=True)
class Planned:
    """An operation as planned. `values` are remote, as they would be sent; `seen` hashes what the target was known
    to hold, so that a plan applied later can tell whether the record changed since."""

    connection: str
    object: str
    verb: str  # one of connectors.api.Verb
    lead: str
    record: str
    changes: tuple[Change, ...]
    values: Mapping[str, Any]
    match: Mapping[str, Any]
    seen: int
    why: str = ""
    handoff: bool = False
    undoes: Mapping[str, str] = field(default_factory=dict)  # field -> fingerprint of the wish that is taken back
    about: str = ""  # of a copy that is to be made: the deal at home, as connection/object/id

    @property
    def key(self) -> str:
        """The operation's identity: the same wish over the same observation has the same key."""
        wish = [self.connection, self.object, self.verb, self.lead, self.record, self.seen, self.values]
        digest = xxhash.xxh3_128_hexdigest(orjson.dumps(wish, option=orjson.OPT_SORT_KEYS))
        return f"op_{digest}"

    def op(self, run: str) -> str:
        """The name of this operation's row in the journal of `run`."""
        return f"{self.key}:{run}"

    @property
    def after(self) -> Values:
        return {change.field: change.new for change in self.changes}

    @property
    def before(self) -> Values:
        return {change.field: change.old for change in self.changes}

    @property
    def times(self) -> dict[str, list[str]]:
        """Since when the old and the new values count, by field."""
        return {change.field: [change.since, change.at] for change in self.changes}


@dataclass(frozen=True, slots=True)
class Target:
    """An object of a connection that takes pushes, in the words the planner needs.

    `express(values, creating)` gives (remote values, the unified values they would read back as, problems by field).
    `refused(record, lead, field, value)` says whether quarantine holds just this (field "" is the operation).
    """

    connection: str
    object: str
    pushed: frozenset[str]
    match: tuple[str, ...]
    remote: Mapping[str, str]
    express: Callable[[Values, bool], tuple[dict[str, Any], Values, Mapping[str, str]]]
    creates: Callable[[LeadView], str]  # why a lead with no record here gets one; '' when it does not
    can_create: bool = True
    can_update: bool = True
    can_archive: bool = False
    handoff: bool = False


_UNSAID = ("pending", "unknown")
"""Consents that nobody gave and nobody withdrew."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What follows elsewhere from a deletion: nothing more is written (`unlink`), or the records are put away
    (`archive`), once on each connection: `done` are those where they were. `why` is the reason for a person."""

    policy: Literal["unlink", "archive"]
    why: str
    done: frozenset[str] = frozenset()


Refused = Callable[[str, str, str, str, str, str], bool]
"""(connection, object, record, lead, field, fingerprint) -> held in quarantine already."""


Problem = tuple[Target, str, str, str]
"""A field no target value could be made of: (target, record, field, why)."""


@dataclass(slots=True)
class Outcome:
    """What planning one lead gave: operations, and what could not be expressed."""

    operations: list[Planned] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def fingerprint(value: Any) -> str:
    """A short hash of a value, to recognise it without keeping it."""
    return xxhash.xxh3_64_hexdigest(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def plan_lead(
    lead: LeadView,
    targets: Sequence[Target],
    fields: Mapping[str, Field],
    refused: Refused,
    fate: Fate | None = None,
) -> Outcome:
    """The operations that bring every target's records of `lead` in line with it.

    `targets` are of one or several connections, in the order of their manifests: the first of a connection that
    wants to create wins. What a person is still to decide goes nowhere. `fate` is that of a lead that was deleted
    somewhere: nobody is made anew of it.
    """
    if fate and fate.policy == "unlink":
        return Outcome()
    undecided = {name for name, why in lead.reasons.items() if why.rule == UNDECIDED}
    if undecided:
        lead = replace(lead, values={name: value for name, value in lead.values.items() if name not in undecided})
    outcome = Outcome()
    for connection in dict.fromkeys(target.connection for target in targets):
        theirs = [target for target in targets if target.connection == connection]
        here = [record for record in lead.records if record.connection == connection]
        live = [record for record in here if not record.gone]
        if live and fate and connection not in fate.done:
            for record in live:
                _farewell(lead, record, theirs, fate.why, outcome)
        elif live:
            apart = _apart(lead, live, theirs)
            for record in live:
                target = next((t for t in theirs if t.object == record.object), None)
                if target is not None and target.can_update:
                    left = {MAIN} if record.name in apart else set()
                    left |= set() if _is_named(lead, record, live, target) else {NAME}
                    revision(_but(lead, left), record, target, fields, refused, outcome)
        elif not here and not fate:
            _create(lead, theirs, refused, outcome)
    return outcome


def _apart(lead: LeadView, live: Sequence[RecordView], theirs: Sequence[Target]) -> set[str]:
    """The records of one connection that keep another address than the lead's main one, which another record there has
    or is to have. Where that would be none, it is the first of them."""
    why = lead.reasons.get(MAIN)
    if why is None or not why.beside:
        return set()
    takes = {target.object for target in theirs if target.can_update and MAIN in target.pushed}
    beside = {name for name, _ in why.beside}
    apart = [record for record in live if record.name in beside]
    others = [record for record in live if record.name not in beside]
    if any(record.body.get(MAIN) == lead.values.get(MAIN) or record.object in takes for record in others):
        return {record.name for record in apart}
    heir = next((record for record in apart if record.object in takes), None)
    return {record.name for record in apart if record is not heir}


def _is_named(lead: LeadView, record: RecordView, live: Sequence[RecordView], target: Target) -> bool:
    """Whether the record is to bear the lead's name. Where records are found by it, one of each object is: a platform
    takes it no second time, and would refuse whatever else is written with it."""
    same = [one for one in live if one.object == record.object]
    if len(same) == 1 or NAME not in target.match:
        return True
    named = next((one for one in same if one.body.get(NAME) == lead.values.get(NAME)), same[0])
    return record is named


def _but(lead: LeadView, left: Collection[str]) -> LeadView:
    if not left:
        return lead
    return replace(lead, values={name: value for name, value in lead.values.items() if name not in left})


def revision(
    lead: LeadView,
    record: RecordView,
    target: Target,
    fields: Mapping[str, Field],
    refused: Refused,
    outcome: Outcome,
) -> None:
    """Add to `outcome` what brings `record` in line with the values of `lead`."""
    wanted = {
        name: lead.values[name]
        for name in target.pushed
        if name in lead.values and _differs(name, lead, record, fields)
    }
    if not wanted:
        return
    remote, back, problems = target.express(wanted, False)
    outcome.problems.extend((target, record.id, name, why) for name, why in problems.items())
    changes = []
    for name in wanted:
        if name in problems or back.get(name) == record.body.get(name) or _settled_otherwise(name, back, record):
            continue
        if refused(target.connection, target.object, record.id, lead.id, name, fingerprint(back.get(name))):
            continue
        old, since = record.body.get(name), record.changed.get(name, "")
        changes.append(_change(name, target, old, back.get(name), lead.reasons.get(name), since))
    if not changes:
        return
    names = {change.field for change in changes}
    values = remote if names == set(wanted) else target.express({n: wanted[n] for n in names}, False)[0]
    operation = Planned(
        connection=target.connection,
        object=target.object,
        verb="update",
        lead=lead.id,
        record=record.id,
        changes=tuple(sorted(changes, key=lambda change: change.field)),
        values=values,
        match=standing(record, target),
        seen=record.hash,
    )
    if not refused(target.connection, target.object, record.id, lead.id, "", fingerprint(values)):
        outcome.operations.append(operation)


def _farewell(lead: LeadView, record: RecordView, theirs: Sequence[Target], why: str, outcome: Outcome) -> None:
    """Put a record away; one that is in a deal, or that no program can put away, is left to a person."""
    target = next((t for t in theirs if t.object == record.object), None)
    if target is None:
        return
    if lead.values.get("open_deals") is not None:
        outcome.problems.append((target, record.id, "", f"{why}, but the person is in a deal"))
    elif not target.can_archive:
        outcome.problems.append((target, record.id, "", f"{why}, but no program can put the record away here"))
    else:
        operation = Planned(
            connection=target.connection,
            object=target.object,
            verb="archive",
            lead=lead.id,
            record=record.id,
            changes=losses(record, target),
            values={},
            match=standing(record, target),
            seen=record.hash,
            why=why,
        )
        outcome.operations.append(operation)


def losses(record: RecordView, target: Target) -> tuple[Change, ...]:
    """What goes with a record that is put away: every value of it that we could write again."""
    names = sorted(name for name, value in record.body.items() if name in target.pushed and value is not None)
    return tuple(
        Change(name, target.remote.get(name, name), record.body[name], None, "", "", record.changed.get(name, ""))
        for name in names
    )


def standing(record: RecordView, target: Target) -> dict[str, Any]:
    """The keys the record is known by now: some platforms address a record by its e-mail, not by its id."""
    known = {name: record.body[name] for name in target.match if record.body.get(name)}
    remote, _, _ = target.express(known, False)
    return {target.remote[name]: remote[target.remote[name]] for name in known if target.remote[name] in remote}


def _differs(name: str, lead: LeadView, record: RecordView, fields: Mapping[str, Field]) -> bool:
    """Whether the lead's value should go to the record: different, and a step the field's rule allows."""
    want, have = lead.values[name], record.body.get(name)
    if want == have or (want is False and have is None):  # "no" over nothing is no news
        return False
    if want is None or want == []:
        why = lead.reasons.get(name)
        return bool(why and why.cleared) and have not in (None, [])
    known = fields.get(name)
    if known is not None and known.options == CONSENT and want in _UNSAID:
        return False  # that nobody knows is no evidence: it takes no consent away that somebody else has
    if known is not None and known.rule in (Rule.MOST_RESTRICTIVE, Rule.FURTHEST) and have in known.options:
        # consent only ever tightens and a stage only moves forward by itself
        return want in known.options and known.options.index(want) > known.options.index(have)
    return True


def _settled_otherwise(name: str, back: Values, record: RecordView) -> bool:
    """The platform made something else of just this value before, and sending it again would change nothing; or a
    person took just this value back, and the record holds still what it was given instead."""
    wish, holds = back.get(name), record.body.get(name)
    held = record.held.get(name)
    if held is not None and held[0] == wish and held[1] == holds:
        return True
    pinned = record.pinned.get(name)
    return pinned is not None and pinned == (fingerprint(wish), fingerprint(holds))


def _create(lead: LeadView, targets: Sequence[Target], refused: Refused, outcome: Outcome) -> None:
    for target in targets:
        why = target.creates(lead) if target.can_create else ""
        if why:
            outcome.operations.extend(creation(lead, target, why, refused, outcome.problems))
            return


def creation(
    lead: LeadView,
    target: Target,
    why: str,
    refused: Refused,
    problems: list[Problem],
    *,
    about: str = "",
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> list[Planned]:
    """The operation that makes a record of `lead` at `target`; none where it cannot be recognised, or was refused.

    `about` stands for the record that there is not yet in what is refused, `beside` is sent along as it is.
    """
    wanted = {
        name: value
        for name, value in lead.values.items()
        if name in target.pushed and value is not None and value != []
    }
    remote, back, unsayable = target.express(wanted, True)
    problems.extend((target, about, name, reason) for name, reason in unsayable.items())
    held = {
        name
        for name in wanted
        if name in unsayable
        or refused(target.connection, target.object, about, lead.id, name, fingerprint(back.get(name)))
    }
    if held:
        wanted = {name: value for name, value in wanted.items() if name not in held}
        remote, back, _ = target.express(wanted, True)
    match = {target.remote[name]: remote[target.remote[name]] for name in target.match if name in back}
    values = {**remote, **beside}
    if not match and target.match:
        return []
    if refused(target.connection, target.object, about, lead.id, "", fingerprint(values)):
        return []
    said = sorted(name for name, value in back.items() if value is not None and value != [])
    changes = [_change(name, target, None, back[name], lead.reasons.get(name)) for name in said]
    operation = Planned(
        connection=target.connection,
        object=target.object,
        verb="create",
        lead=lead.id,
        record="",
        changes=tuple(changes),
        values=values,
        match=match,
        seen=0,
        why=why,
        handoff=target.handoff,
        about=about,
    )
    return [operation]


def _change(name: str, target: Target, old: Any, new: Any, why: Provenance | None, since: str = "") -> Change:
    told, at = (why.told(), why.at) if why else ("", "")
    return Change(name, target.remote.get(name, name), old, new, told, at, since)
