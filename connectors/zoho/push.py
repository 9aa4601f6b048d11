"""Writing: which way each operation takes, and what became of it.

An update goes by id and a create by upsert on the fields that identify it; both may be repeated without harm. A
hand-off brief is inserted, once. Zoho's answer has a row for each row sent, in order, and names no key: what it says
of a create is believed only when the record, read back, carries the key that was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.errors import ClosedloopError, InDoubt, RecordRejected, RetryLater
from connectors.api import Operation, Record, Result, Verb
from connectors.retry import last_word
from connectors.zoho.client import Client, Row, is_id
from connectors.zoho.errors import existing, place, row_error
from connectors.zoho.objects import OBJECTS, Known, reader, wanted

BATCH = 100
OPT_OUTS = ("Email_Opt_Out", "SMS_Opt_Out")
"""Flags that are only ever set."""


@dataclass(frozen=True, slots=True)
class Way:
    """How operations are sent: `update` by id, `upsert` by the fields `keys`, `insert`."""

    verb: str
    keys: tuple[str, ...] = ()

    @property
    def repeatable(self) -> bool:
        return self.verb != "insert"


@dataclass(frozen=True, slots=True)
class Told:
    """What a call said of one operation: the record's id, or why not. `created`: the record is new."""

    operation: Operation
    id: str = ""
    created: bool = False
    error: ClosedloopError | None = None
    existing: str = ""
    at: str = ""  # the time of the change, as Zoho tells it


@dataclass(frozen=True, slots=True)
class Writer:
    """What a push writes with. `payload` makes the row that an operation sends; `proves` says whether a row that is
    read back is the one that a create meant; `columns` are what that needs to be read."""

    client: Client
    known: Known
    object: str
    fields: Sequence[str]
    workflows: bool
    payload: Callable[[Operation], Row]
    proves: Callable[[Operation, Row], bool]
    columns: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return OBJECTS[self.object].module


def checked(writer: Writer, operations: Sequence[Operation]) -> Generator[Result, None, list[Operation]]:
    """The results of those that cannot be sent; returns the others, as they may be sent."""
    good: list[Operation] = []
    for operation in operations:
        try:
            allowed = replace(operation, values=consenting(operation))
            writer.payload(allowed)
            good.append(allowed)
        except RecordRejected as error:
            yield failed(writer, operation, error)
    return good


def push(writer: Writer, operations: Sequence[Operation]) -> Iterator[Result]:
    """A result for each create and update that was `checked`; after an error that would meet the next call as well,
    the rest carry it."""
    stop: ClosedloopError | None = None
    for way, batch in _batches(operations):
        if stop is not None:
            yield from (Result(operation.key, error=stop) for operation in batch)
        else:
            stop = yield from _sent(writer, way, batch)


def _batches(operations: Sequence[Operation]) -> Iterator[tuple[Way, list[Operation]]]:
    """The operations by the way they take, each record at most once in a batch."""
    ways: dict[Way, list[Operation]] = {}
    for operation in operations:
        ways.setdefault(_way(operation), []).append(operation)
    for way, those in ways.items():
        for wave in waves(those):
            for start in range(0, len(wave), BATCH):
                yield way, wave[start : start + BATCH]


def _way(operation: Operation) -> Way:
    if operation.id:
        return Way("update")
    keys = tuple(name for name, value in operation.match.items() if value and name != "reference")
    return Way("upsert", keys) if keys else Way("insert")


def waves(operations: Sequence[Operation]) -> list[list[Operation]]:
    """The operations in lists in which no record comes twice; order between lists is kept."""
    waves: list[list[Operation]] = []
    turns: dict[str, int] = {}
    for operation in operations:
        keys = [operation.id] if operation.id else [f"{n}={v}".casefold() for n, v in operation.match.items()]
        turn = max((turns.get(key, 0) for key in keys), default=0)
        turns |= dict.fromkeys(keys, turn + 1)
        if turn == len(waves):
            waves.append([])
        waves[turn].append(operation)
    return waves


def _sent(writer: Writer, way: Way, batch: list[Operation]) -> Generator[Result, None, ClosedloopError | None]:
    """The results of one batch; returns the error that would meet the next one as well."""
    try:
        told = _paired(way, batch, _saved(writer, way, batch))
    except RecordRejected as error:
        if len(batch) == 1:
            yield failed(writer, batch[0], error)
            return None
        middle = len(batch) // 2  # refused as a whole for one row's sake: find that row
        stop = yield from _sent(writer, way, batch[:middle])
        if stop is None:
            return (yield from _sent(writer, way, batch[middle:]))
        yield from (failed(writer, operation, stop) for operation in batch[middle:])
        return stop
    except ClosedloopError as error:
        yield from (failed(writer, operation, error) for operation in batch)
        return None if isinstance(error, InDoubt) else error
    told = [_linked(writer, one) if one.existing and not one.operation.id else one for one in told]
    held, unread = _read_back(writer, [one.id for one in told if one.error is None])
    read = reader(writer.object, writer.fields, writer.known)
    for one in told:
        yield _result(writer, one, held.get(one.id), read, unread)
    return unread


def _saved(writer: Writer, way: Way, batch: list[Operation]) -> list[Row]:
    rows = []
    for operation in batch:
        row = writer.payload(operation)
        keys = {"id": operation.id} if way.verb == "update" else {name: operation.match[name] for name in way.keys}
        rows.append({**keys, **row})
    method, path = ("PUT", writer.module) if way.verb == "update" else ("POST", writer.module)
    if way.verb == "upsert":
        path += "/upsert"
    return writer.client.save(
        method, path, rows, repeatable=way.repeatable, checks=way.keys, workflows=writer.workflows
    )


def _paired(way: Way, batch: list[Operation], rows: Sequence[Row]) -> list[Told]:
    """Answer rows and operations brought together. Where their number differs, a row of an update has another id, or
    a refusal speaks of another row than it stands for, no place is believed: an update is found by its id, the rest
    is in doubt."""
    if len(rows) == len(batch) and all(
        _fits(operation, row, n) for n, (operation, row) in enumerate(zip(batch, rows, strict=True))
    ):
        return [_told(operation, row, way) for operation, row in zip(batch, rows, strict=True)]
    named = {_id(row): row for row in rows if _done(row)} if way.verb == "update" else {}
    doubt = InDoubt("Zoho's answer does not fit what was sent.")
    return [
        _told(operation, named[operation.id], way) if operation.id in named else Told(operation, error=doubt)
        for operation in batch
    ]


def _fits(operation: Operation, row: Row, number: int) -> bool:
    if _done(row):
        return is_id(_id(row)) and (not operation.id or _id(row) == operation.id)
    return place(row) in (None, number)


def _done(row: Row) -> bool:
    return row.get("status") == "success" and str(row.get("code")) == "SUCCESS"


def _id(row: Row) -> str:
    details = row.get("details")
    return str(details.get("id") or "") if isinstance(details, dict) else ""


def _told(operation: Operation, row: Row, way: Way) -> Told:
    if _done(row):
        created = way.verb == "insert" or (way.verb == "upsert" and row.get("action") == "insert")
        return Told(operation, _id(row), created, at=str(row["details"].get("Modified_Time") or ""))
    error = row_error(row)
    return Told(operation, error=error, existing=existing(row) if error.code == "duplicate" else "")


def _linked(writer: Writer, one: Told) -> Told:
    """A create that met a record is an update of it, where that record is surely the one meant."""
    try:
        held, unread = _read_back(writer, [one.existing])
        if unread is not None:  # refused so far, and nobody knows yet for whose sake
            return replace(one, error=unread, existing="")
        row = held.get(one.existing)
        if row is None or not writer.proves(one.operation, row):
            return one
        batch = [replace(one.operation, verb=Verb.UPDATE, id=one.existing)]
        [told] = _paired(Way("update"), batch, _saved(writer, Way("update"), batch))
        return replace(told, operation=one.operation, existing="")
    except ClosedloopError as error:
        return replace(one, error=error, existing="")


def _read_back(writer: Writer, ids: Sequence[str]) -> tuple[dict[str, Row], ClosedloopError | None]:
    """The rows as Zoho holds them now, and what kept them from being read."""
    names = list(dict.fromkeys([*wanted(writer.object, writer.fields), *writer.columns]))
    try:
        return {str(row["id"]): row for row in writer.client.by_ids(writer.module, ids, names)}, None
    except ClosedloopError as error:
        return {}, error


def _result(
    writer: Writer, one: Told, row: Row | None, read: Callable[[Row], Record], unread: ClosedloopError | None
) -> Result:
    if one.error is not None:
        return failed(writer, one.operation, one.error)
    if one.operation.id:
        return Result(one.operation.key, one.id, record=_as_written(writer, one, row, read))
    if row is None or not writer.proves(one.operation, row):
        what = "Zoho's answer names a record that cannot be read back." if unread is None else unread.what
        if row is not None:
            what = "Zoho's answer names another record than the one sent."
        return failed(writer, one.operation, InDoubt(what))
    return Result(one.operation.key, one.id, one.created, _as_written(writer, one, row, read))


def _as_written(writer: Writer, one: Told, row: Row | None, read: Callable[[Row], Record]) -> Record | None:
    """What Zoho made of what we wrote. None where it was not read, or somebody changed a value after we had written it:
    the next pull shows that as theirs."""
    if row is None:
        return None
    later = bool(one.at) and str(row.get("Modified_Time") or "") != one.at
    sent = writer.payload(one.operation)
    return None if later and any(row.get(name) != value for name, value in sent.items() if name in row) else read(row)


def failed(writer: Writer, operation: Operation, error: ClosedloopError) -> Result:
    if isinstance(error, RecordRejected | InDoubt):
        error.object, error.record = error.object or writer.object, error.record or operation.id
    return Result(operation.key, operation.id if isinstance(error, InDoubt) else "", error=error)


# people


def people(
    client: Client,
    known: Known,
    object: str,
    fields: Sequence[str],
    operations: Sequence[Operation],
    *,
    workflows: bool,
) -> Writer:
    """The writer of leads and contacts: a create is proved by any key that it was sent with."""
    keys = {name for operation in operations for name in operation.match}
    return Writer(
        client, known, object, fields, workflows, lambda operation: nested(operation.values), _same, tuple(sorted(keys))
    )


def _same(operation: Operation, row: Row) -> bool:
    return any(
        value and str(row.get(name) or "").casefold() == str(value).casefold()
        for name, value in operation.match.items()
    )


def nested(values: Mapping[str, Any]) -> Row:
    """Values as Zoho takes them: `Owner.id` becomes a member of `Owner`; without an id the lookup is cleared."""
    row: Row = {}
    for name, value in values.items():
        head, _, member = name.partition(".")
        if not member:
            row[name] = value
        elif member == "id":
            row[head] = {"id": str(value)} if value else None
        else:
            raise RecordRejected(
                "Only the id of a lookup is written.", fix=f"Map {head}.id.", field=head, code="lookup"
            )
    return row


def consenting(operation: Operation) -> dict[str, Any]:
    """The values without consents that say nothing. An opt-out travels; an opt-in never does."""
    values = dict(operation.values)
    for name in OPT_OUTS:
        if name not in values or values[name] in (True, "true"):
            continue
        if operation.verb is Verb.UPDATE:
            raise RecordRejected(
                "Only an opt-out can be written to Zoho.",
                fix="The person must opt in by what they do.",
                object=operation.object,
                record=operation.id,
                field=name,
                code="consent",
            )
        del values[name]
    return values


# putting away


def push_away(client: Client, operations: Sequence[Operation], *, workflows: bool) -> Iterator[Result]:
    """Put what the operations name into the bin, and out of it for good where they erase. What is away already is
    done."""
    stop: ClosedloopError | None = None
    for start in range(0, len(operations), BATCH):
        batch = operations[start : start + BATCH]
        errors: dict[str, ClosedloopError] = {}
        if stop is None:
            try:
                errors = _binned(client, OBJECTS[batch[0].object].module, [op.id for op in batch], workflows=workflows)
            except ClosedloopError as met:
                stop = None if isinstance(met, InDoubt) else met
                errors = dict.fromkeys((op.id for op in batch), met)
        for operation in batch:
            error = stop or errors.get(operation.id)
            if error is None and operation.verb is Verb.ERASE and is_id(operation.id):
                error = _erased(client, operation.id)
            yield Result(operation.key, operation.id, error=error)


def _binned(client: Client, module: str, ids: Sequence[str], *, workflows: bool) -> dict[str, ClosedloopError]:
    """Why those that could not be put away are still there. Refusals name no id, so that what is not confirmed is
    looked for."""
    known = [id for id in dict.fromkeys(ids) if is_id(id)]
    rows = client.delete(module, known, workflows=workflows) if known else []
    confirmed = {_id(row) for row in rows if _done(row)}
    open_ = [id for id in known if id not in confirmed]
    if not open_:
        return {}
    doubt = InDoubt("Zoho does not say whether this was deleted.")
    try:
        there = {str(row["id"]) for row in client.by_ids(module, open_, ("Modified_Time",))}
    except ClosedloopError as error:
        doubt.__cause__ = error
        return dict.fromkeys(open_, doubt)
    reasons = {id: row_error(row) for id, row in zip(known, rows, strict=False) if not _done(row)}
    return {id: reasons.get(id, doubt) for id in there}


def _erased(client: Client, id: str) -> ClosedloopError | None:
    """Why a record is still in the bin; None where it is not. No look-up tells the two apart, so that what is lost is a
    RetryLater: whoever is to be erased is asked for again."""
    try:
        row = client.destroy(id)
    except ClosedloopError as error:
        if last_word(error).code in ("INVALID_DATA", "merged_away", "404", "RECORD_NOT_FOUND"):
            return None
        return RetryLater(error.what, after=60.0) if isinstance(error, InDoubt) else error
    return None if _done(row) else row_error(row)
