"""What the core decides over: records, deals, activities and leads as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mappings.model import Values
from sync.core.echo import APART, later

OURSELVES = "closedloop"
"""Stands for the connection where the engine itself is the source of a value (a score, an outcome)."""


UNDECIDED = "undecided"
"""The rule of a value that stands only until a person has decided: it is what the lead had, and is not written."""


@dataclass(frozen=True, slots=True)
class RecordView:
    """A linked record: what it holds (`body`), since when, and what a blank of its means.

    `changed` has the stamp of each field that changed after the first absorb; the others count from `first_at`.
    `pulled` are the fields it speaks for: what we only push to it is no voice of its own. `held` tells, for fields
    the platform rewrote, what we sent and what it made of it. `pinned` has, for fields a person took back with an
    undo, the fingerprints of the value taken back and of the one that the record holds instead. `into` is the
    `object/id` of the record that a gone one lives on as; its `version` is when it ended then.
    """

    connection: str
    object: str
    id: str
    body: Values
    first_at: str
    changed: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    pulled: frozenset[str] = frozenset()
    on_blank: Mapping[str, str] = field(default_factory=dict)
    gone: str | None = None
    into: str = ""
    version: str = ""
    hash: int = 0
    pinned: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`connection/object/id`: how reasons and people speak of the record."""
        return f"{self.connection}/{self.object}/{self.id}"

    def at(self, name: str) -> str:
        """The stamp from which the value of field `name` counts."""
        return self.changed.get(name, self.first_at)


def inherited(records: Sequence[RecordView]) -> Sequence[RecordView]:
    """`records` of one lead, where the values that a merge or a conversion carried over count from when they were
    given, not from when they were carried: a person who converts a lead says nothing new of its fields. A conversion
    is often seen first by the record it made: what that held from the start, and an older one of the same connection
    holds as well, was carried too. What a record made by a conversion says otherwise replaced what it was made with."""
    heirs = {record.name: record for record in records}
    for name in _in_turn(records):
        old = heirs[name]
        for heir in [heirs[one.name] for one in records if one.connection == old.connection and one.name != name]:
            if old.gone and old.into == f"{heir.object}/{heir.id}":
                since = _lives_on(old, heir, made=was_made_of(old, heir, records))
            elif heir.gone is None and old.first_at < heir.first_at:
                since = _carried(old, heir)
            else:
                continue
            held = {**_made_of_ours(old, heir, since), **heir.held}
            heirs[heir.name] = replace(heir, changed={**heir.changed, **since}, held=held)
    return list(heirs.values())


def _in_turn(records: Sequence[RecordView]) -> list[str]:
    """The names of the records, whoever lives on before whom they live on as: what came over to that one, and further
    with it, is as old as it was at the first."""
    into = {one.name: f"{one.connection}/{one.into}" for one in records if one.gone and one.into}
    names = [one.name for one in records]
    return names if len(into) < 2 else sorted(names, key=lambda name: -_hops(name, into))


def _hops(name: str, into: Mapping[str, str]) -> int:
    number = 0
    while name in into and number < len(into):
        name, number = into[name], number + 1
    return number


def _made_of_ours(old: RecordView, heir: RecordView, carried: Collection[str]) -> dict[str, tuple[Any, Any]]:
    """What the platform had made on `old` of values of ours is that on `heir` as well, where it was carried there."""
    return {
        name: old.held[name]
        for name in old.held.keys() & carried
        if heir.body.get(name) == old.body.get(name) == old.held[name][1]
    }


def _lives_on(old: RecordView, heir: RecordView, *, made: bool) -> dict[str, str]:
    """Since when the values of `heir` count, which `old` is known to live on as, and may have been `made` into."""
    since = {}
    for name, value in heir.body.items():
        was = old.body.get(name)
        if value is None or was is None:
            continue
        if value == was and (made or old.at(name) < heir.at(name)):
            since[name] = old.at(name)
        elif made and heir.at(name) >= heir.first_at:  # what counts from before it was made we gave it from elsewhere
            since[name] = later(heir.at(name), old.at(name))
    return since


def came_over(old: RecordView, heir: RecordView, ended: str) -> dict[str, tuple[str, str]]:
    """Fields whose values may have come from `old`, which ended at `ended` ("" where no time tells), to `heir`, which
    it lives on as: since when they count there, and since when they counted before. What `heir` had before that end is
    its own."""
    return {
        name: (heir.at(name), old.at(name))
        for name, value in heir.body.items()
        if value not in (None, []) and value == old.body.get(name) and old.at(name) < heir.at(name) >= ended
    }


def was_made_of(old: RecordView, heir: RecordView, records: Sequence[RecordView]) -> bool:
    """Whether `heir` was made by the conversion of `old`, as far as their lead's `records` tell. Of several that were
    converted into it the first made it, or of one moment the one that it is like."""

    def rank(one: RecordView) -> tuple[str, int, str]:
        same = sum(value is not None and one.body.get(name) == value for name, value in heir.body.items())
        return one.version, -same, one.id

    into = (old.connection, old.into)
    makers = [one for one in records if one.gone == "converted" and (one.connection, one.into) == into]
    makers = [one for one in makers if _may_be_made_of(one, heir)]
    return bool(makers) and old.name == min(makers, key=rank).name


def _may_be_made_of(old: RecordView, heir: RecordView) -> bool:
    """Whether `heir` is no older than what `old` said last, as far as clocks tell. Else it was there already when `old`
    was converted into it, and has values of its own."""
    said = [at for at in old.changed.values() if not old.version or at <= old.version]  # later ones: `sync.heirs`
    last = max((old.first_at, *said))
    return datetime.fromisoformat(heir.first_at) > datetime.fromisoformat(last) - APART


def _carried(old: RecordView, heir: RecordView) -> dict[str, str]:
    """Since when the values of a living `heir` count that it had from the start, and that `old` has, too."""
    return {
        name: old.at(name)
        for name, value in heir.body.items()
        if value is not None
        and old.body.get(name) == value
        and old.at(name) < heir.at(name)
        and name not in heir.changed
    }


@dataclass(frozen=True, slots=True)
class DealView:
    """A deal that the lead takes part in."""

    connection: str
    object: str
    id: str
    body: Values
    at: str
    role: str = ""

    @property
    def name(self) -> str:
        return f"{self.connection}/{self.object}/{self.id}"


@dataclass(frozen=True, slots=True)
class ActivityView:
    """One thing the person did."""

    connection: str
    type: str
    at: str
    title: str = ""
    url: str = ""
    campaign: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Why a lead's field has its value: which record said so, since when, by which rule, over whom.

    `over` are the losing voices as (record, value, since). `cleared` is true when the winner said "blank" on purpose.
    Of the main address `beside` are the records that say another one beside it, as (record, address), and `holders` all
    others that say one (None: not noted).
    """

    source: str
    at: str
    rule: str
    over: tuple[tuple[str, Any, str], ...] = ()
    cleared: bool = False
    beside: tuple[tuple[str, str], ...] = ()
    holders: tuple[str, ...] | None = None

    def told(self) -> str:
        """One line for a person."""
        line = f"{self.source} says so since {self.at[:19].replace('T', ' ')} ({self.rule})"
        return f"{line}, over {len(self.over)} other" if self.over else line


@dataclass(frozen=True, slots=True)
class LeadView:
    """A lead as decided: its values, why, and where its records are."""

    id: str
    values: Values
    reasons: Mapping[str, Provenance]
    records: tuple[RecordView, ...] = ()
    qualified_at: str | None = None
    handed_off_at: str | None = None
