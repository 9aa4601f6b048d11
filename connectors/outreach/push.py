"""Writing to Outreach: one call per record, for its bulk interfaces match by id only and tell little of single rows.

A create is a POST. Addresses are unique in an org: where one is known already Outreach answers 422, the prospect is
looked up and updated. A list (addresses, numbers) is replaced as a whole, so the one that is there is read first and
only its head is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from config.clock import stamp
from config.errors import ClosedloopError, InDoubt, RecordRejected
from config.log import Log
from connectors.api import Operation, Record, Result, Verb
from connectors.outreach.client import IDS, Client, Resource, attribute, related_id, relation
from connectors.outreach.objects import LISTS, OBJECTS, SEQUENCES, Known, reader
from connectors.outreach.pull import enrolments, prospect_reader
from connectors.retry import half_done

log = Log(__name__)

OPT_OUTS: Mapping[str, Any] = {
    "optedOut": True,
    "emailOptedOut": True,
    "callOptedOut": True,
    "emailsOptStatus": "opted_out",
    "callsOptStatus": "opted_out",
}
"""The only values of consent that are ever written."""
BRIEF = "action_item"
LOOK_BACK = timedelta(days=30)
"""How long ago a brief may have been written to be found again: tasks cannot be searched by their text."""


def push_prospects(
    client: Client, known: Known, operations: Sequence[Operation], fields: Sequence[str], mailbox: str
) -> Iterator[Result]:
    """Create and update prospects, and add them to sequences. After an error that would meet the next one as well,
    the rest carry it."""
    prospects = Prospects(client, prospect_reader(client, known, fields), mailbox)
    stop: ClosedloopError | None = None
    for start in range(0, len(operations), IDS):
        some = operations[start : start + IDS]
        if stop is None:
            try:
                prospects.lists = _lists(client, some)
            except ClosedloopError as error:
                stop = error
        for operation in some:
            if stop is not None:
                yield Result(operation.key, error=stop)
                continue
            result = _pushed(prospects, operation)
            if result.error is not None and not isinstance(result.error, RecordRejected | InDoubt):
                stop = result.error
            yield result


def push_away(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """Delete what the operations name. Outreach has no bin that a person could take a prospect out of again."""
    stop: ClosedloopError | None = None
    for operation in operations:
        error = stop
        if stop is None:
            try:
                client.delete(OBJECTS[operation.object].path, operation.id)
            except ClosedloopError as met:
                error = met
                stop = None if isinstance(met, RecordRejected | InDoubt) else met
        yield Result(operation.key, operation.id, error=error)


def _lists(client: Client, operations: Sequence[Operation]) -> dict[str, Resource]:
    """The lists, as they stand, of those prospects whose address or number changes."""
    ids = [op.id for op in operations if op.verb is Verb.UPDATE and LISTS.keys() & op.values.keys()]
    rows = client.by_ids("prospects", "prospect", ids, tuple(LISTS.values())) if ids else ()
    return {str(row["id"]): row for row in rows}


class Prospects:
    """The writes of prospects. `lists` holds, by id, the lists whose head an update changes."""

    def __init__(self, client: Client, read: Callable[[Sequence[Resource]], list[Record]], mailbox: str) -> None:
        self.lists: Mapping[str, Resource] = {}
        self._client, self._read, self._mailbox = client, read, mailbox
        self._sequences: dict[str, Resource] = {}

    def push(self, operation: Operation) -> Result:
        """The result of one operation; our errors where it is refused."""
        values = _consenting(operation)
        sequences = _sequences(values)
        if sequences and not self._mailbox:
            raise RecordRejected(
                "Adding to a sequence needs a mailbox that sends.",
                fix="Set settings.mailbox to the id of one.",
                code="mailbox",
            )
        if operation.verb is Verb.UPDATE:
            row, created = self._update(operation.id, values, self.lists.get(operation.id)), False
        else:
            row, created = self._create(operation, values)
        id = str(row["id"]) if row else operation.id
        wrote = created or bool(values.keys() - OPT_OUTS.keys())
        try:
            if row is not None and _ignored(row, values):
                row = self._client.update("prospects", "prospect", id, {"optedOut": True}, {})
            for sequence in sequences:
                self._enrol(id, sequence, row)
                wrote = True
        except ClosedloopError as error:
            if not wrote:
                raise
            raise half_done(error) from error
        return Result(operation.key, id, created, self._held(row))

    def _held(self, row: Resource | None) -> Record | None:
        """What the prospect holds. None where what that is made of cannot be looked up: it is written all the same."""
        try:
            [record] = self._read([row]) if row is not None else [None]
        except ClosedloopError as error:
            log.info("push.not_read_back", object="prospects", error=type(error).__name__)
            return None
        return record if record is None or record.gone is None else None

    def _create(self, operation: Operation, values: Mapping[str, Any]) -> tuple[Resource, bool]:
        attributes, relations = _payload(values, None)
        try:
            return self._client.create("prospects", "prospect", attributes, relations), True
        except RecordRejected as error:
            email = str(values.get("email") or operation.match.get("email") or "")
            if error.code != "duplicate" or not email:
                raise
            there = self._find(email)
            if there is None:
                raise
        row = self._update(str(there["id"]), {name: v for name, v in values.items() if name != "email"}, there)
        return row or there, False

    def _find(self, email: str) -> Resource | None:
        """The prospect who has this address; None where it is another's in the bin, or hidden from the user."""
        fields = (*LISTS.values(), "updatedAt", "trashedAt")
        rows = [row for row in self._client.by_emails([email], fields) if not attribute(row, "trashedAt")]
        return next((row for row in rows if email.lower() in _lower(attribute(row, "emails"))), None)

    def _update(self, id: str, values: Mapping[str, Any], lists: Resource | None) -> Resource | None:
        """The prospect as it stands now; None where there was nothing to write but sequences."""
        if LISTS.keys() & values.keys() and lists is None:
            raise _vanished(id)
        attributes, relations = _payload(values, lists)
        if not attributes and not relations:
            return None
        try:
            return self._client.update("prospects", "prospect", id, attributes, relations)
        except RecordRejected as error:
            raise _vanished(id) if error.code == "resourceNotFound" else error from error

    def _enrol(self, prospect: str, sequence: str, row: Resource | None) -> None:
        """Add to a sequence, once ever; nobody who opted out, and never to a sequence that ignores opt-outs."""
        if sequence in enrolments(self._client, [prospect], [sequence]).get(prospect, ()):
            return
        told = self._sequence(sequence)
        if told is None:
            raise _sequence_refused(sequence, f"There is no sequence {sequence}.", "Correct the mapping.")
        if attribute(told, "transactional"):
            raise _sequence_refused(sequence, f"The sequence {sequence} ignores opt-outs.", "Use one that does not.")
        if row is None:
            row = next(iter(self._client.by_ids("prospects", "prospect", [prospect], _CONSENTS)), None)
        if row is None:
            raise _vanished(prospect)
        if attribute(row, "optedOut") or attribute(row, "emailOptedOut"):
            raise _sequence_refused(sequence, "The prospect opted out.", "Nobody who opted out is written to.")
        pairs = {"prospect": prospect, "sequence": sequence, "mailbox": self._mailbox}
        relations = {name: relation(name, id) for name, id in pairs.items()}
        self._client.create("sequenceStates", "sequenceState", {}, relations)

    def _sequence(self, id: str) -> Resource | None:
        if id not in self._sequences:
            rows = self._client.by_ids("sequences", "sequence", [id], ("transactional",))
            self._sequences.update({str(row["id"]): row for row in rows})
        return self._sequences.get(id)


_CONSENTS = ("optedOut", "emailOptedOut")


def _vanished(id: str) -> RecordRejected:
    return RecordRejected(
        "The prospect was deleted, merged into another, or is hidden from the user.",
        fix="The next sync follows what it can see.",
        record=id,
        code="merged_away",
    )


def _sequence_refused(sequence: str, what: str, fix: str) -> RecordRejected:
    return RecordRejected(what, fix=fix, field=f"{SEQUENCES}{sequence}", code="sequence")


def _consenting(operation: Operation) -> dict[str, Any]:
    """The values without consents that say nothing. An opt-out travels; an opt-in never does."""
    values = dict(operation.values)
    for name, out in OPT_OUTS.items():
        if name not in values or values[name] == out:
            continue
        if operation.verb is Verb.UPDATE:
            raise RecordRejected(
                "Only an opt-out can be written to Outreach.",
                fix="The person must opt in by what they do.",
                field=name,
                code="consent",
            )
        del values[name]
    return values


def _ignored(row: Resource, values: Mapping[str, Any]) -> bool:
    """Whether an opt-out of e-mail did not hold: orgs without granular opt-out know the general one only."""
    meant = values.get("emailOptedOut") or values.get("emailsOptStatus")
    return bool(meant) and not attribute(row, "emailOptedOut") and not attribute(row, "optedOut")


def _sequences(values: dict[str, Any]) -> list[str]:
    """Take `sequences.7: true` out of the values; the ids to add to."""
    found = []
    for name in [name for name in values if name.startswith(SEQUENCES)]:
        if values.pop(name):
            found.append(name.removeprefix(SEQUENCES))
    return found


def _payload(values: Mapping[str, Any], lists: Resource | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and relationships as Outreach takes them."""
    facts = OBJECTS["prospects"]
    attributes: dict[str, Any] = {}
    relations: dict[str, Any] = {}
    for name, value in values.items():
        if name in facts.relations:
            relations[name] = relation(facts.relations[name], value)
        elif name in LISTS:
            attributes[LISTS[name]] = _headed(attribute(lists, LISTS[name]) if lists else None, value)
        else:
            attributes[name] = value
    return attributes, relations


def _headed(held: Sequence[str] | None, head: Any) -> list[str]:
    """The list with another head; what else is in it stays."""
    rest = list(held or ())[1:]
    if head is None:
        return rest
    return [str(head), *(item for item in rest if item.lower() != str(head).lower())]


def _lower(items: Any) -> set[str]:
    return {str(item).lower() for item in items or ()}


# the hand-off brief


def push_briefs(client: Client, operations: Sequence[Operation], owner: str, now: datetime) -> Iterator[Result]:
    """Hand-off briefs as tasks, due now, for the prospect's owner. Creating is not repeatable: a lost answer leaves
    the row in doubt."""
    people = [str(operation.values["person"]).partition("/")[2] for operation in operations]
    owners: dict[str, str | None] = {}
    try:
        for row in client.by_ids("prospects", "prospect", people, ("owner",)):
            owners[str(row["id"])] = related_id(row, "owner")
    except ClosedloopError as error:
        yield from (Result(operation.key, error=error) for operation in operations)
        return
    stop: ClosedloopError | None = None
    for operation, person in zip(operations, people, strict=True):
        if stop is not None:
            yield Result(operation.key, error=stop)
            continue
        try:
            yield Result(operation.key, _brief(client, operation, person, owners.get(person) or owner, now), True)
        except ClosedloopError as error:
            stop = None if isinstance(error, RecordRejected | InDoubt) else error
            yield Result(operation.key, error=error)


def _brief(client: Client, operation: Operation, person: str, owner: str, now: datetime) -> str:
    if not owner:
        raise RecordRejected(
            "The prospect has no owner to give the brief to.",
            fix="Set settings.task_owner to the id of a user.",
            code="owner",
        )
    values = operation.values
    end = f"\n\n{values['reference']}"
    note = f"{values['subject']}\n\n{values['body']}"[: 65_000 - len(end)] + end
    attributes = {"action": BRIEF, "note": note, "dueAt": stamp(now)}
    relations = {"subject": relation("prospect", person), "owner": relation("user", owner)}
    return str(client.create("tasks", "task", attributes, relations)["id"])


def find_briefs(client: Client, known: Known, references: Sequence[str], now: datetime) -> dict[str, Record]:
    """Briefs by the reference in their last line, latest first."""
    facts, waiting, found = OBJECTS["tasks"], set(references), {}
    read = reader("tasks", ("note",), known)
    query = {
        "filter[createdAt]": f"{stamp(now - LOOK_BACK)}..inf",
        "sort": "-createdAt",
        f"fields[{facts.type}]": "note,updatedAt",
    }
    for row in client.all(facts.path, query):
        last = str(attribute(row, "note") or "").rstrip().rpartition("\n")[2].strip()
        if last in waiting:
            waiting.discard(last)
            found[last] = read(row)
        if not waiting:
            break
    return found


def _pushed(prospects: Prospects, operation: Operation) -> Result:
    try:
        return prospects.push(operation)
    except ClosedloopError as error:
        error.object, error.record = error.object or operation.object, error.record or operation.id
        return Result(operation.key, operation.id if isinstance(error, InDoubt) else "", error=error)
