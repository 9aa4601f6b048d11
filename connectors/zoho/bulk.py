"""Bulk read: one job of 50 credits brings 200,000 rows as a zipped CSV, where pages of 2,000 cost 3 credits each.

A cursor is {"job": {"id": j, "row": n, "until": u, "page": p}}: n rows of the job's file are given. A job that failed,
or whose file is gone (they are kept for a day), is replaced by the walk of pull.py from the beginning.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import orjson

from config.clock import stamp
from config.errors import PermissionMissing, RecordRejected, RetryLater
from connectors.api import Page
from connectors.zoho.client import BULK, Client, Row
from connectors.zoho.objects import OBJECTS, Known, further, reader, wanted
from connectors.zoho.pull import Source, pages

FROM = 10_000
"""Records from which a bulk read is cheaper than queries."""
ROWS = 2000
"""Rows of a page of ours."""
LONGEST_JOB = 3600.0
LARGEST_FILE = 1 << 30
"""Bytes of the unpacked file. Rows of 200,000 records with 50 fields have less."""

Job = dict[str, Any]


class Unusable(Exception):
    """A job pays not, or brings nothing: it failed, or its file is gone."""


def bulk_pages(source: Source, object: str, state: Mapping[str, Any]) -> Iterator[Page]:
    """The pull of a whole module, by bulk where it is large enough."""
    total = None
    try:
        job = dict(state["job"]) if "job" in state else None
        if job is None:
            total = source.client.count(OBJECTS[object].module)
            if (total or 0) <= FROM or any(name.startswith("$") for name in wanted(object, source.fields)):
                raise Unusable
            job = _started(source, object, 1, stamp(source.at))
        yield from _given(source, object, job, total)
    except Unusable:
        yield from pages(source, object, {}, total)


def _started(source: Source, object: str, page: int, until: str) -> Job:
    """A job that was asked for. Raises Unusable where Zoho does not take it."""
    names = [*wanted(object, source.fields), *further(source.fields)]
    query = {
        "module": {"api_name": OBJECTS[object].module},
        "fields": ["id", *names],
        "page": page,
    }
    try:
        told = source.client.call("POST", f"{BULK}/read", json={"query": query}, repeatable=True).told
    except (RecordRejected, PermissionMissing) as error:
        raise Unusable from error
    return {"id": source.client.id_of(told["data"][0]["details"]), "row": 0, "until": until, "page": page}


def _given(source: Source, object: str, job: Job, total: int | None) -> Iterator[Page]:
    """The pages of the job, and of the jobs that follow it: one reads 200,000 rows."""
    forms, read = _forms(source.known, object), reader(object, source.fields, source.known)
    while True:
        result = _finished(source, job["id"])
        some: list[Row] = []
        for row in _rows(source.client, job["id"], forms, int(job["row"])):
            some.append(row)
            if len(some) == ROWS:
                job = {**job, "row": job["row"] + ROWS}
                yield Page([read(row) for row in some], _cursor({"job": job}), True, total)
                some = []
        if not result.get("more_records"):
            yield Page([read(row) for row in some], _cursor({"since": job["until"]}), False, total)
            return
        job = _started(source, object, int(job["page"]) + 1, job["until"])
        yield Page([read(row) for row in some], _cursor({"job": job}), True, total)


def _cursor(state: Mapping[str, Any]) -> str:
    return orjson.dumps(state).decode()


def _finished(source: Source, id: str) -> Row:
    """The result of the job, when there is one. Raises Unusable, or RetryLater when it takes too long."""
    pause, waited = 1.0, 0.0
    while True:
        try:
            told = source.client.call("GET", f"{BULK}/read/{id}").told["data"][0]
        except RecordRejected as error:
            raise Unusable from error
        if told["state"] == "COMPLETED":
            result: Row = told["result"]
            return result
        if told["state"] in ("FAILURE", "FAILED"):
            raise Unusable
        if waited >= LONGEST_JOB:
            raise RetryLater("Zoho's bulk read takes too long.", after=600.0)
        source.sleep(pause)
        waited += pause
        pause = min(pause * 2, 15.0)


def _rows(client: Client, id: str, forms: Mapping[str, Callable[[str], Any]], skip: int) -> Iterator[Row]:
    """The rows of the job's file behind the first `skip`, in the form of the other answers."""
    try:
        body = client.call("GET", f"{BULK}/read/{id}/result", headers={"accept": "*/*"}, parse=False).body
    except RecordRejected as error:
        raise Unusable from error
    try:
        with unzipped(body) as file:
            yield from _parsed(csv.reader(io.TextIOWrapper(file, "utf-8", newline="")), forms, skip)
    except (zipfile.BadZipFile, zlib.error, csv.Error, EOFError, NotImplementedError, RuntimeError) as error:
        raise RetryLater("Zoho's bulk answer is broken.") from error


def _parsed(lines: Iterator[list[str]], forms: Mapping[str, Callable[[str], Any]], skip: int) -> Iterator[Row]:
    names = ["id" if name == "Id" else name for name in next(lines, [])]
    makers = [forms.get(name, _text) for name in names]
    for number, cells in enumerate(lines):
        if len(cells) != len(names):
            raise csv.Error("a line has another number of cells than the first")
        if number >= skip:
            yield {name: make(cell) for name, make, cell in zip(names, makers, cells, strict=True)}


def unzipped(body: bytes) -> IO[bytes]:
    """The one file of the archive. Raises BadZipFile where there is not one, or a larger one than any answer has."""
    archive = zipfile.ZipFile(io.BytesIO(body))
    members = archive.infolist()
    if len(members) != 1 or members[0].file_size > LARGEST_FILE:
        raise zipfile.BadZipFile("not one file of a size that can be")
    return archive.open(members[0])


# a CSV tells everything as text


def _text(cell: str) -> str | None:
    return cell or None


def _number(cell: str) -> int | float | None:
    return orjson.loads(cell) if cell else None


def _lookup(cell: str) -> Row | None:
    return {"id": cell} if cell else None


def _choices(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


_FORMS: Mapping[str, Callable[[str], Any]] = {
    "boolean": lambda cell: cell.lower() == "true" if cell else None,
    "integer": _number,
    "bigint": _text,
    "double": _number,
    "currency": _number,
    "percent": _number,
    "multiselectpicklist": _choices,
    "lookup": _lookup,
    "ownerlookup": _lookup,
    "userlookup": _lookup,
}


def _forms(known: Known, object: str) -> Mapping[str, Callable[[str], Any]]:
    """How each column's text becomes the value that the other answers tell."""
    kinds = {str(field["api_name"]): str(field["data_type"]) for field in known.fields(OBJECTS[object].module)}
    return {"Tag": _choices, **{name: _FORMS[kind] for name, kind in kinds.items() if kind in _FORMS}}
