"""Writing to ActiveCampaign: contacts one by one, or imported in bulk where there are many.

A create is `contact/sync`, keyed by the address: asked twice it is one contact, and a known one is changed. A contact's
lists, tags and custom fields are other records over there, so what it holds afterwards is read back, a page at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.clock import Clock
from config.errors import ClosedloopError, InDoubt, RecordRejected
from config.log import Log
from connectors.activecampaign.client import IDS, IMPORT, Client, Row
from connectors.activecampaign.contacts import JOINED, STATUS, UNSUBSCRIBED, Beside, People
from connectors.activecampaign.imports import BATCH, portions, take_in
from connectors.activecampaign.objects import OBJECTS
from connectors.activecampaign.wishes import Wish, gone, wish
from connectors.api import Operation, Record, Result, Verb
from connectors.retry import half_done

FEW = 25
"""Contacts that are written one by one between two looks at what they hold."""

log = Log(__name__)

Standing = tuple[Row, Beside]
"""A contact's row, and what stands beside it."""

Joining = tuple[Wish, Row, bool]
"""A wish, the contact as an import is to put it on lists, and whether something of the wish is done already."""


def push_contacts(writer: Writer, operations: Sequence[Operation]) -> Iterator[Result]:
    """Create and change contacts. After an error that would meet the next one as well, the rest carry it."""
    wishes: list[Wish] = []
    for operation in operations:
        try:
            wishes.append(wish(operation, writer.people.known))
        except RecordRejected as error:
            yield Result(operation.key, operation.id, error=_placed(error, operation))
    many = [one for one in wishes if one.importable] if writer.bulk_from else []
    if len(many) < max(writer.bulk_from, 1):
        many = []
    keys = {one.operation.key for one in many}
    single = [one for one in wishes if one.operation.key not in keys]
    waiting = {one.operation.key: one.operation for one in wishes}
    for result in _portions(writer, single, many):
        if result.key in waiting:
            del waiting[result.key]
            yield result
        if result.error is not None and not isinstance(result.error, RecordRejected | InDoubt):
            yield from (Result(key, operation.id, error=result.error) for key, operation in waiting.items())
            return


def _portions(writer: Writer, single: Sequence[Wish], many: Sequence[Wish]) -> Iterator[Result]:
    for start in range(0, len(single), FEW):
        yield from writer.one_by_one(single[start : start + FEW])
    for start in range(0, len(many), BATCH):
        yield from writer.imported(many[start : start + BATCH])


@dataclass
class Writer:
    """What writing contacts takes. `bulk_from` is the number from which on they are imported, 0 for never."""

    people: People
    clock: Clock
    bulk_from: int
    _tags: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        return self.people.client

    # one by one

    def one_by_one(self, wishes: Sequence[Wish]) -> Iterator[Result]:
        """One result for each: first of those that were done, with what they hold now; an error that would meet the
        next one as well comes last."""
        done: dict[str, tuple[str, bool]] = {}
        told: dict[str, Row] = {}
        joining: dict[str, Joining] = {}
        failed: list[Result] = []
        try:
            standing = self._standing([one.operation.id for one in wishes if one.looks and not one.creates])
        except ClosedloopError as error:
            yield from (_failed(one, error) for one in wishes)
            return
        for one in wishes:
            before = self.client.writes
            try:
                id, created, joins, row = self._write(one, standing)
                done[one.operation.key] = (id, created)
                told[id] = {**told.get(id, {}), **{name: row[name] for name in one.values if name in row}}
                if joins:
                    joining[one.operation.key] = (one, joins, self.client.writes > before)
            except ClosedloopError as met:
                fate = half_done(met) if self.client.writes > before else met
                failed.append(_failed(one, fate))
                if not isinstance(fate, RecordRejected | InDoubt):
                    break
        for result in self._join(joining) if joining else ():
            del done[result.key]
            failed.insert(0, result)
        held = self._held([id for id, _ in done.values()], told)
        yield from (Result(key, id, created, held.get(id)) for key, (id, created) in done.items())
        yield from failed

    def _write(self, one: Wish, standing: dict[str, Standing]) -> tuple[str, bool, Row, Row]:
        """The contact's id, whether it is new, what is left to import (the lists it is to join), and what the answer
        says of the contact."""
        id, created = one.operation.id, False
        row: Row = {}
        if one.looks and not one.creates:  # what would be refused afterwards is refused before
            if id not in standing:
                raise gone()
            _joins(one, standing[id])
        try:
            if one.creates:
                row, created = self.client.sync(one.body | {"email": one.values.get("email") or one.email})
                id = str(row["id"])
                if one.looks:
                    standing = self._standing([id])
            elif one.body:
                row = self.client.change(id, one.body)
            if one.looks and id not in standing:
                raise gone()
            self._tag(one, id, standing.get(id))
            return id, created, self._lists(one, id, standing.get(id)), row
        except RecordRejected as error:
            raise gone() if error.code == "404" else error from error

    def _tag(self, one: Wish, id: str, standing: Standing | None) -> None:
        for name, on in one.tags.items():
            if on:
                self.client.tag(id, self._tag_id(name))
            elif standing is not None:
                for link in standing[1].get("contactTags") or ():
                    if self.people.known.tag_name(str(link.get("tag"))) == name:
                        self.client.delete(f"contactTags/{link['id']}")

    def _tag_id(self, name: str) -> str:
        """The tag's id; it is made where there is none. Of two with one name the first."""
        if name not in self._tags:
            there = {tag: id for id, tag in reversed(self.people.known.tags.items())}
            self._tags[name] = there.get(name) or self.client.new_tag(name)
        return self._tags[name]

    def _lists(self, one: Wish, id: str, standing: Standing | None) -> Row:
        """Take the contact off its lists. What an import has to say to put it on others; {} for nothing."""
        if standing is None:
            return {}
        for list in self._off(one, standing):
            self.client.unsubscribe(id, list)
        joins = _joins(one, standing)
        email = str(one.values.get("email") or standing[0].get("email") or "")
        return {"email": email, "subscribe": [{"listid": list} for list in joins]} if joins else {}

    def _join(self, joining: dict[str, Joining]) -> Iterator[Result]:
        """Put contacts on lists, in one import; the results of those for whom that failed."""
        contacts: dict[str, dict[str, Any]] = {}
        for _, contact, _ in joining.values():
            there = contacts.setdefault(str(contact["email"]).casefold(), {**contact, "subscribe": []})
            there["subscribe"] = [*there["subscribe"], *contact["subscribe"]]
        try:
            refused = take_in(self.client, self.clock, contacts).refused
        except ClosedloopError as error:
            yield from (_failed(one, half_done(error) if wrote else error) for one, _, wrote in joining.values())
            return
        for one, contact, wrote in joining.values():
            if str(contact["email"]).casefold() in refused:
                list = contact["subscribe"][0]["listid"]
                not_joined = _not_joined(list, "ActiveCampaign does not put the contact on the list.")
                yield _failed(one, half_done(not_joined) if wrote else not_joined)

    def _off(self, one: Wish, standing: Standing) -> list[str]:
        """The lists to take the contact off. Somebody on no list is put down as having left all that count, so that
        no form or import that comes later goes unnoticed."""
        if not one.out and not one.off:
            return []
        words = {str(row.get("list")): STATUS.get(str(row.get("status"))) for row in standing[1]["contactLists"]}
        counted = self.people.counted
        off = [list for list in one.off if words.get(list) != UNSUBSCRIBED]
        if one.out:
            mine = [list for list in words if not counted or list in counted]
            off += [list for list in mine or sorted(counted or self.people.known.lists) if list not in off]
        return [list for list in off if words.get(list) != UNSUBSCRIBED]

    # in bulk

    def imported(self, wishes: Sequence[Wish]) -> Iterator[Result]:
        """One result for each of up to 250; a second wish for one address comes after the first, alone."""
        waiting: dict[str, Wish] = {}
        contacts: dict[str, Row] = {}
        again: list[Wish] = []
        try:
            standing = self._standing([one.operation.id for one in wishes if not one.creates])
            newest = self.client.newest() if any(one.creates for one in wishes) else 0
        except ClosedloopError as error:
            yield from (_failed(one, error) for one in wishes)
            return
        for one in wishes:
            try:
                email, contact = self._contact(one, standing)
            except RecordRejected as error:
                yield _failed(one, error)
                continue
            if waiting.setdefault(email.casefold(), one) is one:
                contacts[email.casefold()] = contact
            else:
                again.append(one)
        for some in portions(contacts):
            yield from self._taken({email: waiting[email] for email in some}, some, newest)
        for start in range(0, len(again), FEW):
            yield from self.one_by_one(again[start : start + FEW])

    def _contact(self, one: Wish, standing: dict[str, Standing]) -> tuple[str, Row]:
        """The address and the contact as an import takes it. It goes by the address that the contact has now."""
        if one.creates:
            return one.email, one.imported(one.email, (), ())
        if one.operation.id not in standing:
            raise gone()
        there = standing[one.operation.id]
        email = str(there[0].get("email") or "")
        if not email:
            raise RecordRejected("The contact has no address.", fix="Give it one.", field="email", code="no_email")
        return email, one.imported(email, self._off(one, there), _joins(one, there))

    def _taken(self, wishes: dict[str, Wish], contacts: dict[str, Row], newest: int) -> Iterator[Result]:
        """The results of one import, matched by address. One that is refused as a whole goes again without those who
        are to blame; where nobody is named, one by one."""
        try:
            taken = take_in(self.client, self.clock, contacts)
        except RecordRejected as error:
            yield from self._blamed(wishes, contacts, newest, error)
            return
        except ClosedloopError as error:
            yield from (_failed(one, error) for one in wishes.values())
            return
        found: dict[str, Record] = {}
        try:
            found = self._by_email(taken.ids)
        except ClosedloopError as error:  # they are taken in, and nobody knows yet which is whose
            log.info("push.not_read_back", object="contacts", number=len(taken.ids), error=type(error).__name__)
        for email, one in wishes.items():
            record = found.get(email)
            if email in taken.refused:
                fix = "Look at the address and the fields."
                yield _failed(one, RecordRejected("The import refused the contact.", fix=fix, code=IMPORT))
            elif record is None:
                yield _failed(one, InDoubt("The import's answer leaves this contact out."))
            elif not one.creates and record.id != one.operation.id:
                yield _failed(one, gone())
            else:
                yield Result(one.operation.key, record.id, one.creates and int(record.id) > newest, record)

    def _blamed(
        self, wishes: dict[str, Wish], contacts: dict[str, Row], newest: int, error: RecordRejected
    ) -> Iterator[Result]:
        emails = list(contacts)
        numbers = {int(word) for word in error.record.split(",") if word.isdigit()} if error.code == IMPORT else set()
        blamed = {emails[number] for number in numbers if number < len(emails)}
        if not blamed:
            for start in range(0, len(emails), FEW):
                yield from self.one_by_one([wishes[email] for email in emails[start : start + FEW]])
            return
        fix = "Look at the address and the fields."
        refused = RecordRejected("The import refused the contact.", fix=fix, code=IMPORT)
        yield from (_failed(wishes[email], refused) for email in blamed)
        rest = {email: contact for email, contact in contacts.items() if email not in blamed}
        if rest:
            yield from self._taken({email: wishes[email] for email in rest}, rest, newest)

    # what is there

    def _standing(self, ids: Sequence[str]) -> dict[str, Standing]:
        """The contacts with these ids, with their lists and tags."""
        asking = People(self.client, self.people.known, (), extra=("contactLists", "contactTags"))
        found: dict[str, Standing] = {}
        for page in self.client.by_ids(ids, asking.query) if ids else ():
            found |= {str(row["id"]): (row, beside) for row, beside in asking.beside(page)}
        return found

    def _held(self, ids: Sequence[str], told: Mapping[str, Row]) -> dict[str, Record]:
        """What the contacts hold now, by id; nothing of those that cannot be read just now, or in which a value is not
        what its write was `told` to have made of it: somebody edited it since, which the next pull shows as theirs."""
        found: dict[str, Record] = {}
        try:
            for page in self.client.by_ids(ids, self.people.query) if ids else ():
                for row, record in zip(page.rows, self.people.records(page), strict=True):
                    answered = told.get(record.id, {})
                    stands = all(str(row.get(name) or "") == str(value or "") for name, value in answered.items())
                    if record.gone is None and stands:
                        found[record.id] = record
        except ClosedloopError as error:  # they are written; what they hold is told by the next pull
            log.info("push.not_read_back", object="contacts", number=len(ids), error=type(error).__name__)
            return {}
        return found

    def _by_email(self, ids: Sequence[str]) -> dict[str, Record]:
        """The contacts with these ids by their address, in lower case."""
        found: dict[str, Record] = {}
        for start in range(0, len(ids), IDS):
            for page in self.client.by_ids(ids[start : start + IDS], self.people.query):
                emails = [str(row.get("email") or "").casefold() for row in page.rows]
                found |= dict(zip(emails, self.people.records(page), strict=True))
        return found


def _joins(one: Wish, standing: Standing) -> list[str]:
    """The lists to put the contact on: once ever, and nobody who left any list or whose mails bounce."""
    words = {str(row.get("list")): STATUS.get(str(row.get("status"))) for row in standing[1].get("contactLists") or ()}
    wanted = [list for list in one.joins if list not in words]
    left = {UNSUBSCRIBED, STATUS["3"]} & set(words.values())
    if wanted and (left or one.out or str(standing[0].get("bounced_hard") or "0") != "0"):
        raise _not_joined(wanted[0], "The contact left a list, or its mails bounce.")
    return wanted


def _not_joined(list: str, what: str) -> RecordRejected:
    fix = "Nobody who opted out is put on a list."
    return RecordRejected(what, fix=fix, field=f"{JOINED}{list}", code="consent")


def _placed(error: ClosedloopError, operation: Operation) -> ClosedloopError:
    error.object, error.record = error.object or operation.object, operation.id
    return error


def _failed(one: Wish, error: ClosedloopError) -> Result:
    if isinstance(error, RecordRejected):  # an error is one row's; the import's may be of many
        fields = {"fix": error.fix, "field": error.field, "code": error.code, "connection": error.connection}
        error = RecordRejected(error.what, object=one.operation.object, record=one.operation.id, **fields)
    return Result(one.operation.key, one.operation.id, error=error)


def push_away(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """Delete what the operations name, for good: ActiveCampaign has no bin."""
    stop: ClosedloopError | None = None
    for operation in operations:
        error = stop
        if stop is None:
            try:
                client.delete(f"{OBJECTS[operation.object].path}/{operation.id}")
            except ClosedloopError as met:
                error = _placed(met, operation)
                stop = None if isinstance(met, RecordRejected | InDoubt) else met
        yield Result(operation.key, operation.id, error=error)


def away(operation: Operation) -> bool:
    return operation.verb in (Verb.ARCHIVE, Verb.ERASE)
