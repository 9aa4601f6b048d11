"""Bulk write: one job takes 25,000 rows for 500 credits, where a hundred rows cost ten, and two to be read back.

A job cannot be looked for: only the answer that makes it tells its id. So a note is kept, from before it is asked for
until it is known to have ended, and while there is one nothing of its object is read or written: a crash, or an answer
that was lost, leads back to the job, and nothing is sent twice. What a job did not do for certain goes by the hundred.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import orjson

from config.clock import Clock, stamp, unstamp
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from config.log import Log
from connectors.api import Operation, Result, Tokens
from connectors.zoho.bulk_file import Line, Load, asked, loads, packed, results, split
from connectors.zoho.client import Client, Row, is_id
from connectors.zoho.errors import row_error
from connectors.zoho.pull import Source
from connectors.zoho.push import Writer, failed
from connectors.zoho.read import by_field

FROM = 5_000
"""Rows from which a job is cheaper than a hundred rows a call."""
COST = 500
"""Credits of a job."""
LONGEST_JOB = 3600.0
"""Seconds after which we stop waiting for a job that we made."""
PATIENCE = 60.0
"""Seconds to wait for a job that an earlier process made."""
UNHEARD = timedelta(minutes=15)
"""How long a job whose id we never heard may be at work."""
GIVEN_UP = timedelta(days=1)
"""After this time a job is taken to have ended, whatever Zoho says: its results are gone by then."""
_ENDED = ("COMPLETED", "FAILED", "FAILURE", "SKIPPED")
_FAULTS = ("MANDATORY_NOT_FOUND", "INVALID_DATA", "LIMIT_EXCEEDED")
"""Errors of a row that its columns explain. Of others the calls by the hundred tell more: whom a duplicate meets."""

log = Log(__name__)


class NothingDone(Exception):
    """A job that came to no row."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """The account's bulk writes, with a note of each that is not known to have ended."""

    client: Client
    tokens: Tokens
    clock: Clock

    def settle(self, object: str) -> None:
        """No job of ours is at work on `object`. Raises RetryLater while one may be."""
        text = self.tokens.get(_note(object))
        if not text:
            return
        note: Row = orjson.loads(text)
        left = (unstamp(note["until"]) - self.clock.now()).total_seconds()
        if left > 0 and not note["job"]:
            raise RetryLater("Zoho may be at work on a bulk write whose answer was lost.", after=min(left, 60.0))
        if left > 0:
            try:
                self.ended(note["job"], PATIENCE)
            except RecordRejected as error:
                log.warning("bulk_write.unknown", object=object, code=error.code)
        if self.tokens.get(_note(object)) == text:  # or it is of another job by now
            self.forget(object)

    def remember(self, object: str, job: str, life: timedelta) -> None:
        note = {"job": job, "until": stamp(self.clock.now() + life)}
        self.tokens.put(_note(object), orjson.dumps(note).decode())

    def forget(self, object: str) -> None:
        self.tokens.put(_note(object), "")

    def begin(self, object: str, module: str, load: Load, fields: Sequence[Row]) -> str:
        """The id of a job for the load. An error other than InDoubt says that there is none."""
        try:
            file = self.client.upload(f"{module}.zip", packed(load))
        except AuthorizationLost as error:  # the host of files says so of a scope, too
            raise PermissionMissing(error.what, code=error.code) from error
        self.remember(object, "", UNHEARD)
        try:
            job = self.client.start(asked(load, module, file, fields))
        except InDoubt:
            raise
        except ClosedloopError:
            self.forget(object)
            raise
        self.remember(object, job, GIVEN_UP)
        return job

    def ended(self, id: str, patience: float) -> Row:
        """How the job ended. Raises RetryLater while it has not."""
        pause, waited = 1.0, 0.0
        while True:
            told = self.client.job(id)
            if told["status"].upper() in _ENDED:
                return told
            if waited >= patience:
                raise RetryLater("Zoho is still at work on a bulk write.", after=60.0)
            self.clock.sleep(pause)
            waited += pause
            pause = min(pause * 2, 30.0)

    def outcome(self, told: Row, key: str) -> list[Line]:
        """What a job that ended so did, row by row. Raises NothingDone where it came to none."""
        files = [one["file"] for one in told.get("resource") or () if isinstance(one.get("file"), dict)]
        touched = sum(int(file.get(name) or 0) for file in files for name in ("added_count", "updated_count"))
        result = told.get("result")
        link = str(result.get("download_url") or "") if isinstance(result, dict) else ""
        if not touched and (told["status"].upper() != "COMPLETED" or (files and not link)):
            raise NothingDone
        if not link:
            raise RetryLater("Zoho tells no result of it.")
        return results(self.client.download(link), key)


def _note(object: str) -> str:
    return f"bulk-write-{object}"


def push_many(writer: Writer, jobs: Jobs, operations: Sequence[Operation]) -> Generator[Result, None, list[Operation]]:
    """The results of what went as jobs; returns what is to go by the hundred, in the order given."""
    answered: set[str] = set()
    waiting, stop = _worthwhile(writer, jobs, operations)
    for load in waiting:
        found: list[Result] = []
        if stop is None:
            found, stop = _carried(writer, jobs, load)
        yield from found
        answered |= {result.key for result in found}
    rest = [operation for operation in operations if operation.key not in answered]
    if stop is not None:
        yield from (Result(operation.key, error=stop) for operation in rest)
        return []
    return rest


def _worthwhile(
    writer: Writer, jobs: Jobs, operations: Sequence[Operation]
) -> tuple[list[Load], ClosedloopError | None]:
    """The loads that are worth a job, and for which there are credits; or what kept us from finding out."""
    if len(operations) < FROM:
        return [], None
    try:
        found = [load for load in loads(writer.known.fields(writer.module), operations) if len(load.rows) >= FROM]
        found = [_unknown(writer, jobs, load) if load.verb == "upsert" else load for load in found]
    except ClosedloopError as error:
        return [], error
    parts = [part for load in found for part in split(load, FROM)]
    spare = writer.client.spare
    return (parts if spare is None else parts[: max(0, spare // COST)]), None


def _unknown(writer: Writer, jobs: Jobs, load: Load) -> Load:
    """The load without creates whose person stands there under another key than that which the job looks by."""
    source = Source(writer.client, writer.known, (), jobs.clock.now(), jobs.clock.sleep)
    met: set[str] = set()
    for name in dict.fromkeys(name for operation in load.operations for name in operation.match if name != load.key):
        held = by_field(source, writer.object, name, [str(o.match[name]) for o in load.operations if o.match.get(name)])
        met |= {operation.key for operation in load.operations if str(operation.match.get(name)) in held}
    return replace(load, rows=tuple(row for row in load.rows if row[0].key not in met))


def _carried(writer: Writer, jobs: Jobs, load: Load) -> tuple[list[Result], ClosedloopError | None]:
    """What became of the operations of one load, as far as that is known; and the error that would meet the next one.
    Those without a result go by the hundred."""
    try:
        job = jobs.begin(writer.object, writer.module, load, writer.known.fields(writer.module))
    except (RecordRejected, PermissionMissing) as error:
        log.warning("bulk_write.refused", object=writer.object, rows=len(load.rows), code=error.code)
        return [], None
    except InDoubt as error:
        later = RetryLater("Zoho may be at work on a bulk write whose answer was lost.", after=60.0)
        return _doubted(writer, load, error), later
    except ClosedloopError as error:
        return [Result(operation.key, error=error) for operation in load.operations], error
    try:
        told = jobs.ended(job, LONGEST_JOB)
    except ClosedloopError as error:
        return _doubted(writer, load, error), error
    jobs.forget(writer.object)
    try:
        return _judged(writer, load, jobs.outcome(told, load.key)), None
    except NothingDone:
        log.warning("bulk_write.failed", object=writer.object, rows=len(load.rows))
        return [], None
    except ClosedloopError as error:
        return _doubted(writer, load, error), None


def _doubted(writer: Writer, load: Load, error: ClosedloopError) -> list[Result]:
    doubt = InDoubt(f"What a bulk write of Zoho did is not known. {error.what}")
    return [failed(writer, operation, doubt) for operation in load.operations]


def _judged(writer: Writer, load: Load, lines: Sequence[Line]) -> list[Result]:
    """The results of the rows that are certain: done, refused for a reason that is told, not come to, or not named."""
    waiting = {_key(load, operation): operation for operation in load.operations}
    found: list[Result] = []
    for line in lines:
        operation = waiting.pop(line.key.casefold(), None)
        result = _result(writer, operation, line) if operation is not None else None
        if result is not None:
            found.append(result)
    doubt = InDoubt("The result of Zoho's bulk write does not name this row.")
    return found + [failed(writer, operation, doubt) for operation in waiting.values()]


def _key(load: Load, operation: Operation) -> str:
    return operation.id or str(operation.match[load.key]).casefold()


def _result(writer: Writer, operation: Operation, line: Line) -> Result | None:
    """None where the calls by the hundred tell more."""
    if line.status in ("ADDED", "UPDATED"):
        if not is_id(line.id) or operation.id not in ("", line.id):
            return failed(writer, operation, InDoubt("Zoho's bulk write names another record than the one sent."))
        return Result(operation.key, line.id, line.status == "ADDED")
    if line.status == "UNPROCESSED":
        return Result(operation.key, error=RetryLater("Zoho's bulk write did not come to this row.", after=60.0))
    if not line.errors or any(code not in _FAULTS or "id" in columns for code, columns in line.errors):
        return None
    code, columns = line.errors[0]
    field = columns[0].partition(".")[0] if columns else ""
    return failed(writer, operation, row_error({"code": code, "details": {"api_name": field}}, "bulk write "))
