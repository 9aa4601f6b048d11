"""The reverse of what was written, as a plan: made from the journal's before-values, shown before anything is sent.

A value is given back only where the record still holds what we wrote, and nothing of ours came after it: what a person
changed since is theirs and stays. What an undo writes is in the journal like any other write, so an undo can be undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, select

from config.clock import stamp, unstamp
from config.errors import Misconfigured
from connectors.api import Verb
from mappings.model import Field, Kind, Rule, Values
from sync.core.plan import Change, Planned, Target, fingerprint, losses, standing
from sync.core.views import RecordView
from sync.load import chunks, record_view
from sync.settle import AWAY, HELD
from sync.state.schema import deal_people, journal, records, runs, streams
from sync.targets import deal_targets, targets
from sync.workspace import Workspace

AT_ONCE = timedelta(seconds=5)
"""So long after a record was made its platform's own rules go on filling it. No person is as quick."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which writes to take back: those of a run, of a connection, of an object, to a lead; "" where no matter."""

    run: str = ""
    connection: str = ""
    object: str = ""
    lead: str = ""

    def condition(self) -> ColumnElement[bool]:
        found = journal.c.state.in_(["settled", "sent", "in_doubt"])
        for name in ("run", "connection", "object", "lead"):
            if value := getattr(self, name):
                found &= journal.c[name] == value
        return found

    def told(self) -> str:
        """The choice in a few words, for the journal and the screen."""
        named = [f"{name} {getattr(self, name)}" for name in ("connection", "object", "lead") if getattr(self, name)]
        return ", ".join([self.run, *named]) if self.run else ", ".join(named)


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not taken back, and why. `field` is "" where it is the record as a whole."""

    connection: str
    object: str
    record: str
    field: str
    why: str


@dataclass(slots=True)
class Reverse:
    """The operations that take the chosen writes back, and what stays as it is."""

    operations: list[Planned] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def connections_of(tx: Connection, chosen: Chosen) -> list[str]:
    """The connections that the chosen writes went to. Raises Misconfigured when the run is unknown or unfinished."""
    if chosen.run:
        state = tx.execute(select(runs.c.state).where(runs.c.id == chosen.run)).scalar()
        if state is None:
            raise Misconfigured("There is no such run.", fix="`closedloop status` lists the last ones.")
        if state == "running":
            raise Misconfigured("This run has not ended.", fix="Let it end, or stop it, then undo it.")
    query = select(journal.c.connection).where(chosen.condition()).distinct().order_by(journal.c.connection)
    return list(tx.execute(query).scalars())


def reverse(tx: Connection, workspace: Workspace, chosen: Chosen) -> Reverse:
    """What would take the chosen writes back, by the state as it is."""
    made = Reverse()
    rows = select(journal.c.id, journal.c.connection, journal.c.object, journal.c.lead).where(chosen.condition())
    selected: set[int] = set()
    places: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for id, connection, object, lead in tx.execute(rows.order_by(journal.c.id)):
        selected.add(id)
        places[(connection, object)][lead or ""] = None
    for (connection, object), leads in places.items():
        if connection not in workspace.connections:
            made.left.append(Left(connection, object, "", "", "the project has no such connection any more"))
            continue
        _Object(tx, workspace, connection, object, chosen, selected, made).take(list(leads))
    return made


class _Object:
    """The chosen writes to one object of one connection."""

    def __init__(
        self,
        tx: Connection,
        workspace: Workspace,
        connection: str,
        object: str,
        chosen: Chosen,
        selected: set[int],
        made: Reverse,
    ) -> None:
        self.tx, self.workspace, self.connection, self.object = tx, workspace, connection, object
        self.chosen, self.selected, self.made = chosen, selected, made
        here = [*targets(workspace, [connection]), *(into.target for into in deal_targets(workspace, [connection]))]
        self.target: Target | None = next((target for target in here if target.object == object), None)
        self.facts = workspace.manifest(connection).objects[object]

    def take(self, leads: Sequence[str]) -> None:
        for some in chunks(leads):
            mine = (journal.c.connection == self.connection) & (journal.c.object == self.object)
            query = select(journal).where(mine, journal.c.lead.in_(some), journal.c.state.in_(_KNOWN))
            by_record: dict[str, list[Any]] = defaultdict(list)
            for row in self.tx.execute(query.order_by(journal.c.id)):
                by_record[row.record].append(row)
            views = self._views(list(by_record))
            for record, rows in by_record.items():
                if any(row.id in self.selected for row in rows):
                    self._take_record(record, rows, views.get(record))

    def _views(self, ids: Sequence[str]) -> dict[str, RecordView]:
        found = {}
        for some in chunks(ids):
            query = (
                select(records, streams.c.connection, streams.c.object)
                .join(streams, streams.c.id == records.c.stream)
                .where(streams.c.connection == self.connection, streams.c.object == self.object)
                .where(records.c.id.in_(some))
            )
            for row in self.tx.execute(query):
                found[row.id] = record_view(self.workspace, row)
        return found

    def _leave(self, record: str, why: str, field: str = "") -> None:
        self.made.left.append(Left(self.connection, self.object, record, field, why))

    def _take_record(self, record: str, rows: list[Any], view: RecordView | None) -> None:
        """`rows` are all writes to the record, the first one first."""
        if any(row.state != "settled" for row in rows):
            self._leave(record, "it is not known yet what became of a write; sync first")
            return
        last = rows[-1]
        if last.verb in AWAY and last.id in self.selected:
            self._bring_back(record, last, view)
            return
        mine = [row for row in rows if row.id in self.selected]
        if any(row.reasons == "{}" for row in mine):
            self._leave(record, "what it held before is no longer kept")
        elif self.facts.kind not in HELD and last.verb not in AWAY:
            self._put_away(record, rows, None)
        elif view is None or view.gone:
            self._leave(record, "the record is gone")
        elif any(row.verb == Verb.CREATE for row in mine):
            self._take_back_create(record, rows, view)
        else:
            self._give_back(record, rows, view)

    # what was made

    def _take_back_create(self, record: str, rows: list[Any], view: RecordView) -> None:
        last_create = max(number for number, row in enumerate(rows) if row.verb == Verb.CREATE)
        made, later = rows[last_create], rows[last_create + 1 :]
        if not made.created:
            self._leave(record, "the record may have been there before; what it held then is not known")
        elif foreign := next((row.run for row in later if row.id not in self.selected), ""):
            self._leave(record, f"it was written again by {foreign}: undo that first")
        elif theirs := self._edited(rows[last_create:], view):
            self._leave(record, f"people changed {', '.join(theirs)} since")
        elif self._in_a_deal(record):
            self._leave(record, "it is in a deal")
        else:
            self._put_away(record, rows[last_create:], view)

    def _edited(self, rows: Sequence[Any], view: RecordView) -> list[str]:
        """The fields that do not hold what we wrote, or that came to hold something after we made the record, by its
        platform's clock: our own tells nothing of when somebody gave a value there."""
        wrote: Values = {}
        for row in rows:
            wrote.update(orjson.loads(row.after))
        made = stamp(unstamp(view.first_at) + AT_ONCE)
        touched = {name for name, at in view.changed.items() if name not in wrote and at > made} - {"created_at"}
        return sorted(touched | {name for name in wrote if not _still_ours(name, wrote[name], view)})

    def _in_a_deal(self, record: str) -> bool:
        if self.facts.kind is not Kind.LEAD:
            return False
        mine = (deal_people.c.connection == self.connection) & (deal_people.c.person == record)
        return self.tx.execute(select(deal_people.c.deal).where(mine).limit(1)).first() is not None

    def _put_away(self, record: str, rows: Sequence[Any], view: RecordView | None) -> None:
        if "archive" not in self.facts.push:
            title = self.workspace.manifest(self.connection).title
            self._leave(record, f"{title} has no way for a program to put such a record away: do it there")
            return
        changes = losses(view, self.target) if view is not None and self.target is not None else ()
        match = standing(view, self.target) if view is not None and self.target is not None else {}
        self._plan(Verb.ARCHIVE, record, rows[0].lead, changes, {}, match, view.hash if view else 0)

    def _bring_back(self, record: str, row: Any, view: RecordView | None) -> None:
        """A record that was put away is made again, with what it held."""
        before = {name: value for name, value in orjson.loads(row.before).items() if value is not None}
        if view is not None and not view.gone:
            self._leave(record, "it is back already")
            return
        if self.facts.kind is Kind.DEAL:
            self._leave(record, "a copy of a deal that was put away is not made again")
            return
        if row.verb == Verb.ERASE or self.target is None or not self.target.can_create or not before:
            self._leave(record, "it cannot be made again from what is known")
            return
        remote, back, _ = self.target.express(before, True)
        times = orjson.loads(row.times or "{}")
        changes = tuple(
            Change(name, self.target.remote.get(name, name), None, back[name], "", times.get(name, [""])[0])
            for name in sorted(before)
            if name in back
        )
        match = {
            self.target.remote[name]: remote[self.target.remote[name]]
            for name in self.target.match
            if self.target.remote.get(name) in remote
        }
        self._plan(Verb.CREATE, "", row.lead, changes, remote, match, 0)

    # what was changed

    def _give_back(self, record: str, rows: list[Any], view: RecordView) -> None:
        target = self.target
        if target is None or not target.can_update:
            self._leave(record, "the project does not write there any more")
            return
        old, times, undoes = self._before(record, rows, view, target)
        remote, back, problems = target.express(old, False)
        for name, why in problems.items():
            self._leave(record, f"the old value cannot be written: {why}", name)
        if problems:
            old = {name: value for name, value in old.items() if name not in problems}
            remote, back, _ = target.express(old, False)
        changes = tuple(
            Change(
                name, target.remote.get(name, name), view.body.get(name), back.get(name), "", times[name],
                view.changed.get(name, ""),
            )
            for name in sorted(old)
        )  # fmt: skip
        if changes:
            kept = {name: undoes[name] for name in old}
            self._plan(Verb.UPDATE, record, rows[0].lead, changes, remote, standing(view, target), view.hash, kept)

    def _before(
        self, record: str, rows: list[Any], view: RecordView, target: Target
    ) -> tuple[Values, dict[str, str], dict[str, str]]:
        """Per field that is to be given back: the old value, since when it counted, the wish that is taken back."""
        old: Values = {}
        times: dict[str, str] = {}
        undoes: dict[str, str] = {}
        for name, writes in _by_field(rows).items():
            mine = _last_run_of(writes, lambda row: row.id in self.selected)
            if not mine:
                if any(row.id in self.selected for row in writes):
                    self._leave(record, f"it was written again by {writes[-1].run}: undo that first", name)
                continue
            wrote, before = orjson.loads(mine[-1].after)[name], orjson.loads(mine[0].before).get(name)
            if why := _obstacle(name, wrote, before, view, target, self.workspace.fields.get(name)):
                self._leave(record, why, name)
            elif before != view.body.get(name):
                old[name] = before
                times[name] = orjson.loads(mine[0].times or "{}").get(name, [""])[0]
                undoes[name] = fingerprint(wrote)
        return old, times, undoes

    def _plan(
        self,
        verb: Verb,
        record: str,
        lead: str,
        changes: tuple[Change, ...],
        values: Mapping[str, Any],
        match: Mapping[str, Any],
        seen: int,
        undoes: Mapping[str, str] | None = None,
    ) -> None:
        why = f"undo of {self.chosen.told()}"
        operation = Planned(
            connection=self.connection,
            object=self.object,
            verb=verb.value,
            lead=lead,
            record=record,
            changes=changes,
            values=values,
            match=match,
            seen=seen,
            why=why,
            undoes=undoes or {},
        )
        self.made.operations.append(operation)


_KNOWN = ("settled", "sent", "in_doubt")


def _by_field(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """All writes of each field, the first one first."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name in orjson.loads(row.after):
            found[name].append(row)
    return found


def _last_run_of(writes: list[Any], chosen: Callable[[Any], bool]) -> list[Any]:
    """The unbroken series of chosen writes at the end; empty when the last write is not chosen."""
    start = len(writes)
    while start and chosen(writes[start - 1]):
        start -= 1
    return writes[start:]


def _still_ours(name: str, wrote: Any, view: RecordView) -> bool:
    """Whether the field holds what we wrote, or what the platform made of it."""
    holds = view.body.get(name)
    held = view.held.get(name)
    return bool(holds == wrote or (held is not None and held[0] == wrote and held[1] in (None, holds)))


def _obstacle(name: str, wrote: Any, before: Any, view: RecordView, target: Target, known: Field | None) -> str:
    """Why the field is not given back; "" when it is."""
    if not _still_ours(name, wrote, view):
        return "it was changed since"
    if name not in target.pushed:
        return "the mapping does not write it any more"
    if known is not None and known.rule is Rule.MOST_RESTRICTIVE and not _tighter(before, view.body.get(name), known):
        return "an opt-out is not taken back by a program"
    return ""


def _tighter(before: Any, now: Any, known: Field) -> bool:
    if before == now:
        return True
    return before in known.options and now in known.options and known.options.index(before) > known.options.index(now)
