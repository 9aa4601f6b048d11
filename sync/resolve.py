"""Link what was absorbed: every new or changed person record to exactly one lead, or to nobody until a person decides.

Invariant: a record leaves the dirty set in the transaction that stores its link (or its open question), and the lead
it belongs to enters the dirty set in the same one. A crash repeats a batch or does not; it never loses one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, Table, bindparam, exists, select, update

from connectors.api import Gone, Notice
from mappings.model import Kind
from sync import hints
from sync.carried import date_spread
from sync.copies import Changed, follow, kin, recognise, welcome_back
from sync.core import resolve
from sync.core.resolve import Key
from sync.load import chunks
from sync.makers import Makers
from sync.parked import close_match, park
from sync.state.database import upsert
from sync.state.schema import (
    DIRTY_ACTIVITIES,
    DIRTY_RECORDS,
    activities,
    deal_people,
    dirty_leads,
    identities,
    leads,
    records,
    streams,
)
from sync.ties import touch_beside
from sync.unite import unite
from sync.workspace import Workspace

BATCH = 500


@dataclass(slots=True)
class Resolved:
    """What one batch did: records looked at, leads made, records parked as ambiguous (connection, object -> number),
    new ones that bear their lead's name (stream, id, lead), which nobody but us gives."""

    records: int = 0
    created: int = 0
    named: list[tuple[int, str, str]] = field(default_factory=list)
    parked: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))


def resolve_batch(tx: Connection, workspace: Workspace, limit: int = BATCH) -> Resolved:
    """Link up to `limit` dirty person records; `records` is 0 when none is left."""
    batch = _Batch(tx, workspace, _dirty(tx, limit))
    for row in sorted(batch.rows, key=lambda row: bool(row.into)):  # what another lives on as has keys of its own
        batch.take(row)
    batch.store()
    return batch.done


_DIRTY = (
    select(
        records.c.stream,
        records.c.id,
        records.c.body,
        records.c.lead,
        records.c.gone,
        records.c.into,
        streams.c.connection,
        streams.c.object,
    )
    .join(streams, streams.c.id == records.c.stream)
    .where(DIRTY_RECORDS, streams.c.kind == Kind.LEAD.value)
    .order_by(records.c.stream, records.c.id)
    .limit(bindparam("limit"))
)


def _dirty(tx: Connection, limit: int) -> list[Any]:
    return list(tx.execute(_DIRTY, {"limit": limit}))


_ENDED = (
    select(streams.c.connection, streams.c.object, records.c.id, records.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .where(records.c.lead == bindparam("whose"))
    .where(streams.c.connection == bindparam("of"), records.c.into == bindparam("into"))
)
_IS_KNOWN = (
    select(records.c.id)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id == bindparam("id"))
)
_OWNERS = select(identities).where(
    identities.c.kind == bindparam("of"), identities.c.value.in_(bindparam("some", expanding=True))
)
_TOUCH = update(leads).where(leads.c.id.in_(bindparam("some", expanding=True))).values(dirty=1)
_NEW = leads.insert()
_LINK = (
    update(records)
    .where(records.c.stream == bindparam("s"), records.c.id == bindparam("i"))
    .values(lead=bindparam("l"), dirty=False)
)


class _Batch:
    """One transaction's worth of linking; what it decides early, its later records see."""

    def __init__(self, tx: Connection, workspace: Workspace, rows: list[Any]) -> None:
        self.tx = tx
        self.workspace = workspace
        self.rows = rows
        self.done = Resolved()
        self.at = workspace.now()
        self._keys = {(row.stream, row.id): self._keys_of(row) for row in rows}
        self._ended = [row for row in rows if _lives_on(row)]
        self._owners = self._known(set(map(_heir, self._ended)).union(*self._keys.values()))
        self._ending: dict[Key, list[Any]] = defaultdict(list)
        self._await_heirs()
        self._new_keys: dict[Key, str] = {}
        self._links: list[dict[str, Any]] = []
        self._new_leads: list[str] = []
        self._touched: set[str] = set()
        self._left: set[str] = set()  # leads that have one record less than they had
        self._moved: dict[str, str] = {}
        self._parked: set[tuple[int, str]] = set()
        self._makers = Makers(tx, workspace)

    def _keys_of(self, row: Any) -> tuple[Key, ...]:
        own = resolve.record_key(row.connection, row.object, row.id)
        return (own, *self.workspace.keys(row.connection, row.id, orjson.loads(row.body)))

    def _await_heirs(self) -> None:
        """What somebody lives on as is theirs before its own keys are asked: one of them may be with whom it came to
        first, whoever has it by now."""
        ended = {resolve.record_key(row.connection, row.object, row.id): row for row in self._ended}
        for row in ended.values():
            heir: Key | None = _heir(row) if row.lead else None
            while heir is not None and row not in self._ending[heir]:
                self._ending[heir].append(row)
                self._owners.setdefault(heir, row.lead)
                heir = _heir(ended[heir]) if heir in ended else None  # which may live on as another itself

    def _known(self, wanted: Iterable[Key]) -> dict[Key, str]:
        by_kind: dict[str, list[str]] = defaultdict(list)
        for kind, value in wanted:
            by_kind[kind].append(value)
        found: dict[Key, str] = {}
        for kind, values in by_kind.items():
            for some in chunks(sorted(values)):
                rows = self.tx.execute(_OWNERS, {"of": kind, "some": some})
                found.update({(row.kind, row.value): row.lead for row in rows})
        return found

    def take(self, row: Any) -> None:
        """Decide one record."""
        self.done.records += 1
        found = self._keys[(row.stream, row.id)]
        decision = self._decided(row, found)
        if decision.rivals:
            self._park(row, decision.rivals)
            self._links.append({"s": row.stream, "i": row.id, "l": None})
            return
        lead = decision.lead or self._new_lead()
        if decision.by and decision.by[0] == "record":
            lead = self._joined(lead, found, row)
        self._links.append({"s": row.stream, "i": row.id, "l": lead})
        self._touched.add(lead)
        if row.lead is None and ("closedloop_id", lead) in found:
            self.done.named.append((row.stream, row.id, lead))
        if row.gone:
            self._left.add(lead)
        self._claim(lead, found[1:], row)
        if _lives_on(row):
            self._follow(lead, row)

    def _decided(self, row: Any, found: Sequence[Key]) -> resolve.Match:
        """Whose a record is: what a create of ours made whose answer was lost, and that nothing else says of for
        certain, is that lead's, whoever has had its address first."""
        decision = resolve.match(found, self._owners, self._moved.get(row.lead, row.lead))
        if row.lead is not None or decision.is_certain:
            return decision
        made_for = self._makers.lead(row, found)
        return resolve.Match(lead=self._moved.get(made_for, made_for)) if made_for else decision

    def _new_lead(self) -> str:
        lead = self.workspace.new_id()
        self._new_leads.append(lead)
        self._owners[("closedloop_id", lead)] = lead
        self._new_keys[("closedloop_id", lead)] = lead
        self.done.created += 1
        return lead

    def _joined(self, lead: str, found: Sequence[Key], row: Any) -> str:
        """Somebody lives on as this record, which nobody had seen before: whoever else is known by its keys is they, as
        if it had been seen first. Of several others a person decides which; and a key that they bore before themselves
        says nothing new: it was asked then whose it is."""
        for one in self._ending[found[0]]:
            other = self._moved.get(one.lead, one.lead)
            lead = lead if other == lead else self._unite(lead, other)
        if not {self._owners[key] for key in found if key in self._owners} - {lead}:
            return lead
        place = {"whose": lead, "of": row.connection, "into": f"{row.object}/{row.id}"}
        ended = [*self.tx.execute(_ENDED, place).all(), *self._ending[found[0]]]
        borne = {key for one in ended for key in self._keys_of(one)}
        others = {self._owners[key] for key in found if key in self._owners and key not in borne} - {lead}
        if len(others) != 1:
            return lead
        return self._unite(lead, *others)

    def _claim(self, lead: str, found: Iterable[Key], row: Any) -> None:
        """Give the lead the keys that are free. A key of another lead stays there: a shared or reused address."""
        for key in found:
            owner = self._owners.setdefault(key, lead)
            if owner == lead:
                self._new_keys[key] = lead
            else:
                self._park(row, ((lead, key), (owner, key)))

    def _follow(self, lead: str, row: Any) -> None:
        """The platform says that this record lives on as another: both are one person."""
        object, _, record_id = row.into.partition("/")
        key = _heir(row)
        survivor = self._survivor_lead(row.connection, object, record_id)
        if survivor:
            if survivor != lead:
                self._unite(lead, survivor)
            return
        if (other := self._owners.get(key, lead)) != lead:  # both live on as a record that is nobody's yet
            lead = self._unite(lead, other)
        self._owners[key] = self._new_keys[key] = lead
        self._ask_no_more(row.connection, object, record_id)
        self._ask_for(row.connection, object, record_id)

    def _ask_for(self, connection: str, object: str, id: str) -> None:
        """Read what another lives on as where no pull told of it: it was put away before, and its end said nothing."""
        place = {"of": connection, "named": object, "id": id}
        if not self.tx.execute(_IS_KNOWN, place).first():
            hints.keep(self.tx, connection, [Notice(object, id)], self.at)

    def _ask_no_more(self, connection: str, object: str, id: str) -> None:
        """The platform has said whose this record is: if it is nobody's yet, it is linked anew."""
        mine = [link for link in self._links if link["i"] == id and self._name(link["s"]) == (connection, object)]
        if mine:
            self._links = [link for link in self._links if link not in mine]
            self._parked -= {(link["s"], id) for link in mine}
            self.done.parked[(connection, object)] -= 1
        close_match(self.tx, connection, object, id, self.at)

    def _survivor_lead(self, connection: str, object: str, record_id: str) -> str | None:
        for link in self._links:
            if link["i"] == record_id and self._name(link["s"]) == (connection, object):
                lead: str | None = link["l"]
                return lead
        query = (
            select(records.c.lead)
            .join(streams, streams.c.id == records.c.stream)
            .where(streams.c.connection == connection, streams.c.object == object, records.c.id == record_id)
        )
        found = self.tx.execute(query).scalar()
        return self._moved.get(found, found) if found else None

    def _name(self, stream: int) -> tuple[str, str] | None:
        return next(((row.connection, row.object) for row in self.rows if row.stream == stream), None)

    def _unite(self, one: str, other: str) -> str:
        """Make two leads one, and return which. One that this batch made has nothing yet, whatever its name: the other
        stays."""
        keep, lose = sorted([one, other], key=lambda lead: (lead in self._new_leads, lead))
        self._moved = {old: keep if new == lose else new for old, new in self._moved.items()} | {lose: keep}
        for link in self._links:
            if link["l"] == lose:
                link["l"] = keep
        for known in (self._owners, self._new_keys):
            known.update({key: keep for key, lead in known.items() if lead == lose})
        self._touched.discard(lose)
        self._touched.add(keep)
        unite(self.tx, keep, lose, self.at)
        if lose in self._new_leads:
            self._new_leads.remove(lose)
        return keep

    def _park(self, row: Any, rivals: Iterable[tuple[str, Key]]) -> None:
        if (row.stream, row.id) not in self._parked:
            self._parked.add((row.stream, row.id))
            self.done.parked[(row.connection, row.object)] += 1
        options = [{"lead": lead, "by": list(key)} for lead, key in rivals]
        park(
            self.tx,
            kind="match",
            connection=row.connection,
            object=row.object,
            record=row.id,
            options=options,
            at=self.at,
        )

    def store(self) -> None:
        """Write the batch: leads, keys, links, and what is dirty now."""
        fresh = [
            {"id": lead, "body": "{}", "reasons": "{}", "created_at": self.at, "updated_at": self.at, "dirty": 1}
            for lead in self._new_leads
        ]
        if fresh:
            self.tx.execute(_NEW, fresh)
        if self._new_keys:
            rows = [{"kind": kind, "value": value, "lead": lead} for (kind, value), lead in self._new_keys.items()]
            self.tx.execute(upsert(identities, self.tx, update=["lead"]), rows)
        self._store_links()
        for some in chunks(sorted(self._touched - set(self._new_leads))):
            self.tx.execute(_TOUCH, {"some": some})
        touch_beside(self.tx, self._left)
        ended = {(row.stream, row.id) for row in self._ended}
        for lead in sorted({link["l"] for link in self._links if (link["s"], link["i"]) in ended} - {None}):
            date_spread(self.tx, self.workspace, lead, ended)

    def _store_links(self) -> None:
        if not self._links:
            return
        self.tx.execute(_LINK, self._links)


def _lives_on(row: Any) -> bool:
    """Whether its platform says that the record lives on as another."""
    return row.gone in (Gone.MERGED, Gone.CONVERTED) and bool(row.into)


def _heir(row: Any) -> Key:
    """The key of what the record lives on as."""
    object, _, record_id = row.into.partition("/")
    return resolve.record_key(row.connection, object, record_id)


_STIRRED = select(
    exists().select_from(records).where(DIRTY_RECORDS).label("records"),
    exists().select_from(activities).where(DIRTY_ACTIVITIES).label("activities"),
    exists().where(dirty_leads(1), leads.c.state == "live").label("leads"),
)


def is_decided(tx: Connection) -> bool:
    """Whether nothing waits to be linked or merged: one look at three short indexes."""
    return not any(tx.execute(_STIRRED).one())


def touch_leads(tx: Connection, at: str, bearing: frozenset[tuple[str, str]] = frozenset(), limit: int = 5000) -> int:
    """Leads whose deals, links to deals or activities changed are to be merged anew.

    Looks at no more than `limit` changed rows of each sort; returns how many, 0 when none is left. `bearing` are the
    (connection, object) of deals that bear the name of their home where they are copies.
    """
    stirred = tx.execute(_STIRRED).one()
    if not (stirred.records or stirred.activities):
        return 0
    deals = _changed(tx, [Kind.DEAL, Kind.ASSOCIATION], limit)
    others: list[Changed] = []
    if bearing:
        others = follow(tx, deals, at)
        bear = [deal for deal in deals if (deal[2], deal[3]) in bearing]
        recognise(tx, bear, at)
        deals += welcome_back(tx, bear, at)
        others += kin(tx, deals)
    _touch(tx, _people_of_deals(tx, [*deals, *others]))
    _settle_rows(tx, records, records.c.id, deals)
    seen = _changed_activities(tx, limit)
    _touch(tx, _people_of_activities(seen))
    _touch_by_email(tx, sorted({row.email for row in seen if row.email and not row.person}))
    _settle_rows(tx, activities, activities.c.key, [(row.stream, row.key, "", "") for row in seen])
    rest = _changed(tx, [Kind.COMPANY, Kind.CAMPAIGN, Kind.OWNER], limit)
    _settle_rows(tx, records, records.c.id, rest)
    return len(deals) + len(seen) + len(rest)


Person = tuple[str, str, str]
"""(connection, object, id) of a person record."""


_CHANGED = (
    select(records.c.stream, records.c.id, streams.c.connection, streams.c.object)
    .join(streams, streams.c.id == records.c.stream)
    .where(DIRTY_RECORDS, streams.c.kind.in_(bindparam("kinds", expanding=True)))
    .order_by(records.c.stream, records.c.id)
    .limit(bindparam("limit"))
)
_HAPPENED = (
    select(activities.c.stream, activities.c.key, activities.c.person, activities.c.email, streams.c.connection)
    .join(streams, streams.c.id == activities.c.stream)
    .where(DIRTY_ACTIVITIES)
    .order_by(activities.c.stream, activities.c.key)
    .limit(bindparam("limit"))
)


def _changed(tx: Connection, kinds: list[Kind], limit: int) -> list[Changed]:
    found = tx.execute(_CHANGED, {"kinds": [kind.value for kind in kinds], "limit": limit})
    return [(row.stream, row.id, row.connection, row.object) for row in found]


def _changed_activities(tx: Connection, limit: int) -> list[Any]:
    return list(tx.execute(_HAPPENED, {"limit": limit}))


def _people_of_deals(tx: Connection, changed: list[Changed]) -> set[Person]:
    """Everyone in the changed deals, and everyone whom the changed associations tie to one."""
    by_deal = sorted({id for _, id, _, _ in changed})
    by_source = sorted({f"{object}/{id}" for _, id, _, object in changed})
    found: set[Person] = set()
    for column, wanted in ((deal_people.c.deal, by_deal), (deal_people.c.source, by_source)):
        for some in chunks(wanted):
            query = select(deal_people.c.connection, deal_people.c.person_object, deal_people.c.person)
            found.update((row[0], row[1], row[2]) for row in tx.execute(query.where(column.in_(some))))
    return found


def _people_of_activities(seen: list[Any]) -> set[Person]:
    found = set()
    for row in seen:
        if row.person:
            object, _, id = row.person.partition("/")
            found.add((row.connection, object, id))
    return found


def _touch(tx: Connection, who: set[Person]) -> None:
    """Mark the leads of these records."""
    by_object: dict[tuple[str, str], list[str]] = defaultdict(list)
    for connection, object, id in sorted(who):
        by_object[(connection, object)].append(id)
    for (connection, object), ids in by_object.items():
        stream = select(streams.c.id).where(streams.c.connection == connection, streams.c.object == object)
        for some in chunks(ids):
            owners = select(records.c.lead).where(records.c.stream == stream.scalar_subquery(), records.c.id.in_(some))
            tx.execute(update(leads).where(leads.c.id.in_(owners), leads.c.state == "live").values(dirty=1))


def _touch_by_email(tx: Connection, addresses: list[str]) -> None:
    for some in chunks(addresses):
        owners = select(identities.c.lead).where(identities.c.kind == "email", identities.c.value.in_(some))
        tx.execute(update(leads).where(leads.c.id.in_(owners), leads.c.state == "live").values(dirty=1))


def _settle_rows(tx: Connection, table: Table, key: Any, changed: list[Changed]) -> None:
    if changed:
        statement = update(table).where(table.c.stream == bindparam("s"), key == bindparam("k")).values(dirty=False)
        tx.execute(statement, [{"s": stream, "k": id} for stream, id, _, _ in changed])
