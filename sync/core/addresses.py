"""The main address of a person of whom one platform has several records, each with another of their addresses.

Such a record keeps its address, as long as another one there has the main one or is to have it. What it says is no word
on the main one, then; when somebody changes it, the new address is one more of the person's. A change of the main one
goes to the records that had it.

Which record says what is judged by how the lead was merged last: `holders` had the main address or were to be given it,
`beside` had others. So a change of a holder's address is told from one of the others, and whoever joined since brings
an address along, and changes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mappings.model import Field, Rule, Values
from sync.core.views import Provenance, RecordView, was_made_of

MAIN, FURTHER = "email", "emails"
"""The fields of a lead's addresses."""


@dataclass(frozen=True, slots=True)
class _Bearer:
    """A living record and the address that it says, with further ones of the person if it knows some."""

    record: RecordView
    address: str

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def further(self) -> set[str]:
        told = self.record.body.get(FURTHER) if FURTHER in self.record.pulled else None
        return set(told or ()) - {self.address}


@dataclass(frozen=True, slots=True)
class _Noted:
    """Records that had the main address, and those that had another, as (record, address)."""

    holders: tuple[str, ...] = ()
    beside: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Who says which address. `silent` are records (by name) that say nothing of the main one; `firsts` are those that
    have the main one, or follow it, of connections where records say different ones. `awaited` is what was noted of
    records that live on as others which nobody has seen yet."""

    bearers: tuple[_Bearer, ...]
    silent: frozenset[str]
    firsts: Mapping[str, frozenset[str]]
    awaited: _Noted

    def beside(self, main: Any) -> tuple[tuple[str, str], ...]:
        """The records that say another address than `main` beside it, and which."""
        found = []
        for one in self.bearers:
            if one.address != main and (one.name in self.silent or self._keeps(one, main)):
                found.append((one.name, one.address))
        return tuple(found)

    def _keeps(self, one: _Bearer, main: Any) -> bool:
        firsts = self.firsts.get(one.record.connection)
        if firsts is None:
            return False
        near = [other for other in self.bearers if other.record.connection == one.record.connection]
        return one.name not in firsts or any(o.address == main and o.name not in firsts for o in near)


def read(records: Sequence[RecordView], before: Values, why: Provenance | None) -> Addresses:
    """Who of `records` says which address, and who of them is to be heard on the main one. `before` and `why` are the
    lead's values and the reason for its main address as merged last."""
    bearers = tuple(one for record in records if (one := _bearer(record)) is not None)
    why, awaited = _handed_on(records, why) if why else (None, _Noted())
    groups: dict[str, list[_Bearer]] = defaultdict(list)
    for one in bearers:
        groups[one.record.connection].append(one)
    crowds = {name: group for name, group in groups.items() if len({one.address for one in group}) > 1}
    unchanged = why.beside if why else ()
    if not crowds and not unchanged:
        return Addresses(bearers, frozenset(), {}, awaited)
    firsts = {name: _firsts(group, bearers, before.get(MAIN), why) for name, group in crowds.items()}
    silent = {one.name for one in bearers if (one.name, one.address) in unchanged}
    silent |= {one.name for name, group in crowds.items() for one in group if one.name not in firsts[name]}
    return Addresses(bearers, frozenset(silent if len(silent) < len(bearers) else ()), firsts, awaited)


def _handed_on(records: Sequence[RecordView], why: Provenance) -> tuple[Provenance, _Noted]:
    """What was noted of records that live on as others is noted of those. One that was noted already keeps that, unless
    it was made by a conversion that was seen first by it: then it is what it was made of. Beside it, what was noted of
    those that live on as records which nobody has seen yet."""
    beside, holders = dict(why.beside), list(why.holders or ())
    known = {record.name: record for record in records}
    awaited = set()
    for old in records:
        heir = f"{old.connection}/{old.into}" if old.gone and old.into else ""
        if heir and heir not in known:
            awaited.add(old.name)
        elif heir and not known[heir].gone:
            noted = heir in beside or heir in holders
            if old.name in holders and (not noted or was_made_of(old, known[heir], records)):
                beside.pop(heir, None)
                holders.append(heir)
            elif old.name in beside and not noted:
                beside[heir] = beside[old.name]
    later = _Noted(
        holders=tuple(name for name in holders if name in awaited),
        beside=tuple((name, address) for name, address in why.beside if name in awaited),
    )
    return replace(why, beside=tuple(beside.items()), holders=why.holders and tuple(holders)), later


def _bearer(record: RecordView) -> _Bearer | None:
    address = record.body.get(MAIN)
    if not address or record.gone or MAIN not in record.pulled:
        return None
    sent, holds = record.held.get(MAIN, (None, None))
    return _Bearer(record, str(sent if sent and holds == address else address))


def _firsts(
    group: Sequence[_Bearer], bearers: Sequence[_Bearer], main: str | None, why: Provenance | None
) -> frozenset[str]:
    """Of records of one connection that say different addresses, those that have the main one or follow it."""
    beside = {name for name, _ in why.beside} if why else set()
    known = why.holders if why else ()  # None: merged by a version that noted none
    here = f"{group[0].record.connection}/"
    if known and not any(name.startswith(here) for name in {*beside, *known}):
        known = (*known, *(one.name for one in group if MAIN in one.record.changed))  # ours: who joins has changed none

    def had_it(one: _Bearer) -> bool:
        if one.address == main:
            return True
        if one.name in beside or (known is not None and one.name not in known):
            return False
        if why and known is not None and one.record.at(MAIN) <= why.at:
            return True  # it was to be given the main one, and was not yet
        return not any(one.address in other.further for other in bearers)

    firsts = {one.name for one in group if had_it(one)}
    told, lesser = _told(group, bearers, set(known or ()) - beside)
    firsts = (firsts - lesser) | told
    return frozenset(firsts or _likeliest(group, bearers, known or (), beside))


def _told(group: Sequence[_Bearer], bearers: Sequence[_Bearer], known: set[str]) -> tuple[set[str], set[str]]:
    """The records of `group` whose address some record calls the main one, and those whose address it calls a further
    one, where it says both: who merges two contacts, or takes another of their addresses for the main one, says so. A
    holder is not told by it: it may have been changed just now."""
    told: set[str] = set()
    lesser: set[str] = set()
    for one in bearers:
        mains = {other.name for other in group if other.address == one.address} - known
        less = {other.name for other in group if other.address in one.further}
        if mains and less:
            told |= mains
            lesser |= less
    return told, lesser - told


def _likeliest(
    group: Sequence[_Bearer], bearers: Sequence[_Bearer], known: Collection[str], beside: set[str]
) -> set[str]:
    """Where none had the main address: those of the address that other connections know too, of one whose address was
    changed rather than of one beside it, of that rather than of who joined, or that was given last."""
    elsewhere = {one.address for one in bearers if one not in group and one.name not in beside}

    def rank(one: _Bearer) -> tuple[bool, bool, bool, str, str]:
        noted = one.name in beside
        return (one.address in elsewhere, one.name in known and not noted, noted, one.record.at(MAIN), one.name)

    likeliest = max(group, key=rank)
    return {one.name for one in group if one.address == likeliest.address}


def note(addresses: Addresses, values: Values, reasons: dict[str, Provenance], fields: Mapping[str, Field]) -> None:
    """Note in `reasons` who has the main address and who another; others are among the further ones in `values`."""
    why = reasons.get(MAIN)
    if why is None:
        return
    beside = addresses.beside(values.get(MAIN))
    apart = {name for name, _ in beside}
    holders = tuple(one.name for one in addresses.bearers if one.name not in apart)
    awaited = addresses.awaited
    reasons[MAIN] = replace(why, holders=(*holders, *awaited.holders), beside=(*beside, *awaited.beside))
    told = set(values.get(FURTHER) or ())
    more = {address for _, address in beside} - told
    if more and FURTHER in fields and fields[FURTHER].rule is Rule.UNION:
        values[FURTHER] = sorted(told | more)
        source = next(one for one in addresses.bearers if one.name in apart)
        reasons.setdefault(FURTHER, Provenance(source.name, source.record.at(MAIN), Rule.UNION.value))
