"""Bulk API 2.0 through the same session: query jobs read as a stream, ingest jobs with their three result files.

The SDK's own bulk2 keeps the first token for ever, sleeps 5 s before its first look, holds whole result files as text
and aborts the job on any exception; none of it is used.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from config.errors import ClosedloopError, InDoubt, PermissionMissing, RetryLater
from connectors.salesforce.client import Client

CHUNK = 10_000
"""Rows of a result page, and of a Page."""
LONGEST_JOB = 3_600.0
"""Seconds after which we stop waiting for a job."""
LARGEST_UPLOAD = 90_000_000
"""Bytes: the platform takes 150 MB after base64."""
NULL = "#N/A"
_DONE, _DEAD = "JobComplete", ("Failed", "Aborted")

Row = dict[str, Any]


def start_query(client: Client, object: str, soql: str) -> str:
    """A query job over `soql`; its id."""
    body = {"operation": "query", "query": soql}
    job = client.call("POST", "jobs/query", object=object, body=body, repeatable=True)
    return str(job["id"])


class NothingDone(Exception):
    """The job was refused as a whole (a column it does not know, say) before it came to any row."""


def job_state(client: Client, kind: str, id: str, object: str) -> str | None:
    """The job's state, None when the platform does not know it (any more)."""
    facts = _job(client, kind, id, object)
    return str(facts["state"]) if facts else None


def _job(client: Client, kind: str, id: str, object: str) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = client.get(f"jobs/{kind}/{id}", object=object)
    except PermissionMissing:
        return None
    return facts


def wait(client: Client, kind: str, id: str, object: str) -> None:
    """Return when the job is done. Raises NothingDone, or RetryLater when it failed otherwise or takes too long."""
    pause, waited = 0.5, 0.0
    while True:
        facts = _job(client, kind, id, object)
        state = str(facts["state"]) if facts else None
        if state == _DONE:
            return
        if facts and state == "Failed" and facts.get("numberRecordsProcessed") == 0:
            raise NothingDone(str(facts.get("errorMessage") or ""))
        if state is None or state in _DEAD or waited >= LONGEST_JOB:
            what = (
                f"The bulk job {id} ended as {state or 'unknown'}."
                if waited < LONGEST_JOB
                else f"The bulk job {id} takes too long."
            )
            raise RetryLater(what, after=60.0, connection=client.account.connection, object=object)
        client.surroundings.clock.sleep(pause)
        waited += pause
        pause = min(pause * 2, 10.0)


def results(
    client: Client, id: str, locator: str, object: str, forms: Mapping[str, Callable[[str], Any]]
) -> tuple[list[Row], str]:
    """One page of a query's rows in the form of the REST answers, and the locator of the next ('' on the last)."""
    params = {"maxRecords": str(CHUNK)}
    if locator:
        params["locator"] = locator
    headers, lines = client.stream(f"jobs/query/{id}/results", params=params, object=object)
    reader = csv.reader(line.decode("utf-8") for line in lines)
    names = next(reader, [])
    makers = [forms.get(name, _text) for name in names]
    rows = []
    for cells in reader:
        row: Row = {}
        for name, make, cell in zip(names, makers, cells, strict=True):
            _put(row, name, make(cell))
        rows.append(row)
    expected = headers.get("Sforce-NumberOfRecords", "")
    if expected.isdigit() and int(expected) != len(rows):
        what = "Salesforce's bulk answer is incomplete."
        raise RetryLater(what, connection=client.account.connection, object=object)
    following = headers.get("Sforce-Locator", "null")
    return rows, "" if following == "null" else following


def _put(row: Row, name: str, value: Any) -> None:
    head, dot, rest = name.partition(".")
    if not dot:
        row[name] = value
        return
    parent = row.setdefault(head, {})
    _put(parent, rest, value)


def _text(cell: str) -> str | None:
    return cell or None


FORMS: Mapping[str, Callable[[str], Any]] = {
    "boolean": lambda cell: cell == "true",
    "integer": lambda cell: int(float(cell)) if cell else None,
    "number": lambda cell: float(cell) if cell else None,
}
"""Cells are text; the REST answers are JSON. By the type that `describe` tells."""


def write_csv(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[bytes, int]]:
    """The rows as uploads, each with the number of its rows. None clears, what a row lacks is left alone."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = _line(names)
    parts, size = [head], len(head)
    for row in rows:
        line = _line([_cell(row, name) for name in names])
        if size + len(line) > LARGEST_UPLOAD:
            yield b"".join(parts), len(parts) - 1
            parts, size = [head], len(head)
        parts.append(line)
        size += len(line)
    yield b"".join(parts), len(parts) - 1


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        return ""
    value = row[name]
    if value is None or value == "":
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _line(cells: Sequence[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode("utf-8")


def ingest(client: Client, object: str, sobject: str, operation: str, key: str, data: bytes) -> str:
    """Upload `data` as one job and wait for it; its id. `key` is the external id field of an upsert.

    Nothing happens to any record before the job is closed. A failure up to there raises RetryLater or another error
    of a call that did nothing, or NothingDone; one after it raises InDoubt.
    """
    body = {"object": sobject, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
    if operation == "upsert":
        body["externalIdFieldName"] = key
    id = str(client.call("POST", "jobs/ingest", object=object, body=body, repeatable=True)["id"])
    try:
        client.send("PUT", f"jobs/ingest/{id}/batches", data=data, kind="text/csv", object=object)
    except InDoubt as error:
        _abort(client, id, object)
        raise RetryLater(error.what, connection=error.connection, object=object) from error
    _close(client, id, object)
    with under_way(client, object):
        wait(client, "ingest", id, object)
    return id


@contextmanager
def under_way(client: Client, object: str) -> Iterator[None]:
    """Inside, a job is at work, or was: whatever keeps us from hearing of it, its rows are in doubt."""
    try:
        yield
    except (ClosedloopError, csv.Error, ValueError) as error:
        what = error.what if isinstance(error, ClosedloopError) else "Salesforce's result of a bulk job is broken."
        raise InDoubt(what, connection=client.account.connection, object=object) from error


def _close(client: Client, id: str, object: str) -> None:
    """Let the job begin. A lost answer is looked up: the state tells."""
    path = f"jobs/ingest/{id}"
    try:
        client.call("PATCH", path, object=object, body={"state": "UploadComplete"}, repeatable=True)
    except InDoubt:
        with under_way(client, object):
            state = job_state(client, "ingest", id, object)
        if state == "Open":
            raise RetryLater("The bulk job could not be started.", connection=client.account.connection) from None


def _abort(client: Client, id: str, object: str) -> None:
    try:
        client.call("PATCH", f"jobs/ingest/{id}", object=object, body={"state": "Aborted"}, repeatable=True)
    except ClosedloopError:
        return  # an open job without data does nothing, and the platform drops it by itself


def outcome(client: Client, id: str, part: str, object: str) -> Iterator[dict[str, str]]:
    """The rows of one of a job's result files: successfulResults, failedResults, unprocessedrecords."""
    _, lines = client.stream(f"jobs/ingest/{id}/{part}", params={}, object=object)
    reader = csv.reader(line.decode("utf-8") for line in lines)
    names = next(reader, [])
    for cells in reader:
        yield dict(zip(names, cells, strict=True))
