"""Writing: which way each operation takes, and what became of it.

Updates go by id and creates by upsert on the external id, both of which may be repeated without harm. A create without
an external id is looked up by its e-mail first and then sent once: if its answer is lost it is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from connectors.api import Operation, Result, Verb
from connectors.salesforce import bulk
from connectors.salesforce.client import Client
from connectors.salesforce.errors import Refusal, bulk_refusal, of_record, refusal
from connectors.salesforce.objects import BY_SOBJECT, OBJECTS
from connectors.salesforce.read import by_key
from connectors.salesforce.records import id18

BATCH = 200
BULK_FROM = 2_000
"""Above this many operations the vendor advises Bulk API 2.0."""
LOCK_TRIES = 4
CONSENT = ("HasOptedOutOfEmail", "HasOptedOutOfFax", "DoNotCall")
"""Opt-outs: written, never taken back."""
AWAY = ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND")
"""What a delete is told of a record that is in the bin, or gone from it."""
HEADERS = {"Sforce-Duplicate-Rule-Header": "allowSave=false, includeRecordDetails=true, runAsCurrentUser=true"}

_STOP = (RetryLater, QuotaExhausted, AuthorizationLost, PermissionMissing)

Pair = tuple[Operation, Refusal | ClosedloopError | Mapping[str, Any]]
"""An operation with its row of the answer, its refusal, or the error that befell its call."""


@dataclass(frozen=True, slots=True)
class Way:
    """How operations are sent: `update` by id, `upsert` by `key`, `insert`, `delete` by id (into the bin)."""

    verb: str
    key: str = ""

    @property
    def repeatable(self) -> bool:
        return self.verb != "insert"


class Push:
    """One call of the port's push."""

    def __init__(self, client: Client, object: str, external_id: str) -> None:
        self.client = client
        self.object = object
        self.sobject = OBJECTS[object].sobject
        self.external_id = external_id
        self.place = {"connection": client.account.connection, "object": object}

    def run(self, operations: Sequence[Operation]) -> Iterator[Result]:
        """A result for each operation; after an error that stops all, the rest carry that error."""
        stopped: ClosedloopError | None = None
        try:
            known = list(self._looked_up(operations))
        except _STOP as error:  # nothing was sent
            yield from _all(list(operations), error)
            return
        for way, batch in self._batches(known):
            if stopped is not None:
                yield from _all(batch, stopped)
                continue
            waiting = {operation.key: operation for operation in batch}
            try:
                for result in self._send(way, batch):
                    del waiting[result.key]
                    yield result
            except _STOP as error:
                stopped = error
                yield from _all(list(waiting.values()), error)  # of these nothing was done

    def _batches(self, operations: Sequence[Operation]) -> Iterator[tuple[Way, list[Operation]]]:
        """The operations by the way they take, each record at most once in a batch."""
        ways: dict[Way, list[Operation]] = {}
        for operation in operations:
            ways.setdefault(self._way(operation), []).append(operation)
        for way, those in ways.items():
            for wave in _waves(those):
                large = len(wave) > BULK_FROM and way.verb in ("update", "upsert")
                size = len(wave) if large else BATCH
                for start in range(0, len(wave), size):
                    yield (replace(way, verb="bulk " + way.verb) if large else way), wave[start : start + size]

    def _way(self, operation: Operation) -> Way:
        if operation.verb in (Verb.ARCHIVE, Verb.ERASE):
            return Way("delete", "Id")
        if operation.id:
            return Way("update", "Id")
        if self.external_id and operation.match.get(self.external_id):
            return Way("upsert", self.external_id)
        return Way("insert")

    def _looked_up(self, operations: Sequence[Operation]) -> Iterator[Operation]:
        """Creates of people who stand there by now, turned into updates: another program or a person may have made them
        since the last pull, and no external id of ours tells of it."""
        emails = [str(o.match["Email"]) for o in operations if self._needs_look(o)]
        known = by_key(self.client, self.object, "Email", emails, []) if emails else {}
        for operation in operations:
            found = known.get(str(operation.match.get("Email"))) if self._needs_look(operation) else None
            if found is None or found.gone is not None:
                yield operation
            else:
                yield replace(operation, verb=Verb.UPDATE, id=found.id)

    def _needs_look(self, operation: Operation) -> bool:
        return operation.verb is Verb.CREATE and bool(operation.match.get("Email"))

    def _send(self, way: Way, batch: list[Operation]) -> Iterator[Result]:
        if way.verb.startswith("bulk "):
            return self._send_bulk(replace(way, verb=way.verb.removeprefix("bulk ")), batch)
        return self._send_collection(way, batch)

    # collections

    def _send_collection(self, way: Way, batch: list[Operation]) -> Iterator[Result]:
        locked = batch
        for attempt in range(LOCK_TRIES):
            if attempt:
                self.client.surroundings.clock.sleep(0.5 * 2**attempt)
            answers = self._exchange(way, locked)
            again = []
            known, met = _apart(answers)
            for operation, answer in [*known, *met]:  # what is known is told before anything more is asked
                if isinstance(answer, Refusal) and answer.is_lock and attempt + 1 < LOCK_TRIES:
                    again.append(operation)
                else:
                    yield self._result(operation, answer, way)
            if not again:
                return
            locked = again

    def _exchange(self, way: Way, batch: list[Operation]) -> list[Pair]:
        """Each operation with its row of the answer, its refusal, or the error that befell the call."""
        try:
            rows = self._delete(batch) if way.verb == "delete" else self._save(way, batch)
        except InDoubt as error:
            return [(operation, error) for operation in batch]
        except RecordRejected as error:
            return self._halved(way, batch, error)
        return _paired(way, batch, rows, self.place)

    def _save(self, way: Way, batch: list[Operation]) -> Any:
        method, path = {
            "update": ("PATCH", "composite/sobjects"),
            "upsert": ("PATCH", f"composite/sobjects/{self.sobject}/{way.key}"),
            "insert": ("POST", "composite/sobjects"),
        }[way.verb]
        body = {"allOrNone": False, "records": [self._record(way, operation) for operation in batch]}
        return self.client.call(method, path, object=self.object, body=body, headers=HEADERS, repeatable=way.repeatable)

    def _delete(self, batch: list[Operation]) -> Any:
        """Into the bin. What lies there already counts as done: a repeated delete must not look like a failure."""
        params = {"ids": ",".join(operation.id for operation in batch), "allOrNone": "false"}
        rows = self.client.call("DELETE", "composite/sobjects", object=self.object, params=params, repeatable=True)
        for operation, row in zip(batch, rows if isinstance(rows, list) else [], strict=False):
            if not row.get("success") and _why(row).code in AWAY:
                row.update(success=True, id=operation.id)
        return rows

    def _halved(self, way: Way, batch: list[Operation], error: RecordRejected) -> list[Pair]:
        """The platform refused the call as a whole for one row's sake: find that row."""
        if len(batch) == 1:
            return [(batch[0], error)]
        middle = len(batch) // 2
        return self._answered(way, batch[:middle]) + self._answered(way, batch[middle:])

    def _answered(self, way: Way, half: list[Operation]) -> list[Pair]:
        """What became of a half; what stops it says nothing of the other."""
        try:
            return self._exchange(way, half)
        except ClosedloopError as error:
            return [(operation, error) for operation in half]

    def _record(self, way: Way, operation: Operation) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": self.sobject}, **_allowed(operation.values)}
        if way.verb == "update":
            record["id"] = operation.id
        if way.verb == "upsert":
            record[way.key] = operation.match[way.key]
        return record

    def _result(self, operation: Operation, answer: Refusal | ClosedloopError | Mapping[str, Any], way: Way) -> Result:
        if isinstance(answer, ClosedloopError):
            return Result(operation.key, error=answer)
        if isinstance(answer, Refusal):
            return self._refused(operation, answer)
        created = bool(answer.get("created", way.verb == "insert"))
        return Result(operation.key, id=id18(str(answer["id"])), created=created)

    def _refused(self, operation: Operation, refused: Refusal) -> Result:
        """A duplicate that is surely the same person is updated instead; everything else is the record's own fault."""
        if not operation.id and refused.existing and self._same(operation, refused):
            linked = replace(operation, verb=Verb.UPDATE, id=id18(refused.existing))
            [(_, answer)] = self._exchange(Way("update", "Id"), [linked])
            if not (isinstance(answer, Refusal) and answer.existing):
                return self._result(linked, answer, Way("update", "Id"))
        return Result(operation.key, error=of_record(refused, record=operation.id, **self.place))

    def _same(self, operation: Operation, refused: Refusal) -> bool:
        """Whether the record that the platform names is the one meant: a duplicate rule may guess by name alone."""
        if refused.existing_object and BY_SOBJECT.get(refused.existing_object) != self.object:
            return False
        found = by_key(self.client, self.object, "id", [refused.existing], list(operation.match) or ["Id"])
        record = found.get(refused.existing)
        if record is None or record.gone is not None:
            return False
        held = orjson.loads(record.raw)
        return any(
            value and str(held.get(name) or "").lower() == str(value).lower() for name, value in operation.match.items()
        )

    # bulk

    def _send_bulk(self, way: Way, batch: list[Operation]) -> Iterator[Result]:
        rows = [self._bulk_row(way, operation) for operation in batch]
        start = 0
        for data, number in bulk.write_csv(rows):
            part = batch[start : start + number]
            start += number
            try:
                job = bulk.ingest(self.client, self.object, self.sobject, way.verb, way.key, data)
                yield from self._bulk_results(way, part, job)
            except bulk.NothingDone:
                # collections tell which row, or which field, it was
                for place in range(0, len(part), BATCH):
                    yield from self._send_collection(way, part[place : place + BATCH])
            except InDoubt as error:
                yield from _all(part, error)

    def _bulk_row(self, way: Way, operation: Operation) -> dict[str, Any]:
        key = operation.id if way.verb == "update" else operation.match[way.key]
        return {way.key: key, **{name: value for name, value in _allowed(operation.values).items() if name != way.key}}

    def _bulk_results(self, way: Way, batch: list[Operation], job: str) -> Iterator[Result]:
        """Results by the key column; locked rows go again through collections, missing ones are in doubt."""
        waiting = {str(o.id if way.verb == "update" else o.match[way.key]): o for o in batch}
        failed: list[tuple[Operation, Refusal]] = []
        doubt: ClosedloopError = InDoubt("The bulk job's results do not name this row.", **self.place)
        try:
            yield from self._bulk_told(way, job, waiting, failed)
        except InDoubt as error:
            doubt = error
        yield from _all(list(waiting.values()), doubt)
        locked = [operation for operation, refused in failed if refused.is_lock]
        for operation, refused in failed:
            if not refused.is_lock:
                yield self._refused(operation, refused)
        for start in range(0, len(locked), BATCH):
            yield from self._send_collection(way, locked[start : start + BATCH])

    def _bulk_told(
        self, way: Way, job: str, waiting: dict[str, Operation], failed: list[tuple[Operation, Refusal]]
    ) -> Iterator[Result]:
        """The results of the rows that were done, or not come to, and into `failed` those that were not; what no row
        tells of stays in `waiting`. Raises InDoubt."""
        for row in self._bulk_rows(job, "successfulResults"):
            operation = waiting.pop(row.get(way.key) or row["sf__Id"], None)
            if operation is not None:
                yield Result(operation.key, id=id18(row["sf__Id"]), created=row["sf__Created"] == "true")
        for row in self._bulk_rows(job, "failedResults"):
            operation = waiting.pop(row.get(way.key) or row["sf__Id"], None)
            if operation is not None:
                failed.append((operation, bulk_refusal(row["sf__Error"])))
        for row in self._bulk_rows(job, "unprocessedrecords"):
            operation = waiting.pop(row.get(way.key, ""), None)
            if operation is not None:
                what = "Salesforce did not come to this row of the bulk job."
                yield Result(operation.key, error=RetryLater(what, after=60.0, **self.place))

    def _bulk_rows(self, job: str, part: str) -> Iterator[dict[str, str]]:
        with bulk.under_way(self.client, self.object):
            yield from bulk.outcome(self.client, job, part, self.object)


def _allowed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without any that would take back an opt-out: the person may have given it since we looked."""
    return {name: value for name, value in values.items() if name not in CONSENT or value is True or value == "true"}


def _apart(answers: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """The answers, and apart from them those that name another record: that one is looked at first."""
    met = [isinstance(answer, Refusal) and bool(answer.existing) for _, answer in answers]
    pairs = list(zip(answers, met, strict=True))
    return [pair for pair, other in pairs if not other], [pair for pair, other in pairs if other]


def _all(batch: Sequence[Operation], error: ClosedloopError) -> Iterator[Result]:
    return (Result(operation.key, error=error) for operation in batch)


def _waves(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """The operations in lists in which no record comes twice; order between lists is kept."""
    waves: list[list[Operation]] = []
    counts: dict[str, int] = {}
    for operation in operations:
        target = operation.id or "|".join(str(value).lower() for value in operation.match.values()) or operation.key
        turn = counts.get(target, 0)
        counts[target] = turn + 1
        if turn == len(waves):
            waves.append([])
        waves[turn].append(operation)
    return iter(waves)


def _paired(way: Way, batch: list[Operation], rows: Any, place: Mapping[str, str]) -> list[Pair]:
    """Answer rows and operations brought together.

    The platform promises the request's order and gives refused rows no id. Updates are checked by id: where one does
    not fit, only those with an id are believed and the rest are in doubt, as is everything when rows are missing.
    """
    rows = rows if isinstance(rows, list) else []
    by_id_alone = way.verb in ("update", "delete")
    if len(rows) == len(batch) and (not by_id_alone or _in_order(batch, rows)):
        return [
            (operation, row if row.get("success") else _why(row)) for operation, row in zip(batch, rows, strict=True)
        ]
    named = {id18(str(row["id"])): row for row in rows if row.get("success") and row.get("id")}
    doubt = InDoubt(
        "Salesforce's answer does not fit what was sent.", connection=place["connection"], object=place["object"]
    )
    by_id = named if by_id_alone else {}
    return [(operation, by_id.get(id18(operation.id), doubt)) for operation in batch]


def _in_order(batch: list[Operation], rows: list[Any]) -> bool:
    pairs = zip(batch, rows, strict=True)
    return all(id18(str(row["id"])) == id18(operation.id) for operation, row in pairs if row.get("success"))


def _why(row: Mapping[str, Any]) -> Refusal:
    """The row's error; of several, the one that is the record's own fault."""
    refusals = [refusal(error) for error in row.get("errors") or ()] or [Refusal("UNKNOWN_EXCEPTION", "")]
    return next((one for one in refusals if not one.is_lock), refusals[0])
