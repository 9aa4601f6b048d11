"""What goes into the file of a bulk write, and what its result says.

A file is a CSV of which the first column is the key that a row is found by: our own field of a create, the id of an
update. The result repeats the first three columns, so that each row is known again by its key. Updates stand in a file
with others of the same columns, so that a cell is empty only where a value is cleared.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.errors import RetryLater
from connectors.api import Operation
from connectors.zoho.bulk import unzipped
from connectors.zoho.client import Row, is_id
from connectors.zoho.push import waves

MOST = 25_000
"""Rows of a file."""
LARGEST = 20_000_000
"""Bytes of a file; Zoho takes 25 MB."""
COLUMNS = 200
NAME = "rows.csv"
PACKING = zipfile.ZIP_DEFLATED
DATE = "yyyy-MM-dd"
"""The form of dates, which must be told: by itself Zoho reads MM/dd/yyyy."""

Cells = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """A field as far as a file must know it; `options` are the choices that it has, where it tells them."""

    kind: str
    unique: bool
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Load:
    """The operations of one job, each with its cells. `verb` is update by the id, or upsert by the unique field `key`;
    `columns` are those behind the key."""

    verb: str
    key: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Operation, Cells], ...]

    @property
    def operations(self) -> list[Operation]:
        return [operation for operation, _ in self.rows]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a result: what became of the row with the key `key`; `errors` are codes, each with its columns."""

    key: str
    status: str
    id: str
    errors: tuple[tuple[str, tuple[str, ...]], ...] = ()


# into the file


def loads(fields: Sequence[Row], operations: Sequence[Operation]) -> list[Load]:
    """The operations that a file can hold, by what a job does to them; of one record only the first."""
    known = {str(field["api_name"]): _column(field) for field in fields}
    groups: dict[tuple[str, str, frozenset[str]], list[tuple[Operation, Cells]]] = {}
    for operation in waves(operations)[0] if operations else ():
        key = _key(operation, known)
        cells = _cells(operation, key, known) if key else None
        if cells is not None:
            shape = frozenset(cells) if operation.id else frozenset()
            groups.setdefault(("update" if operation.id else "upsert", key, shape), []).append((operation, cells))
    return [Load(verb, key, _columns(key, rows), tuple(rows)) for (verb, key, _), rows in groups.items()]


def _column(field: Row) -> Column:
    picks = field.get("pick_list_values") or ()
    options = frozenset(str(pick.get(name)) for pick in picks for name in ("display_value", "actual_value"))
    return Column(str(field.get("data_type")), bool(field.get("unique")), options)


def _key(operation: Operation, known: Mapping[str, Column]) -> str:
    """What the operation's record is found by; '' where that is nothing unique: Zoho would insert every row."""
    if operation.id:
        return "id" if is_id(operation.id) else ""
    return next((name for name, value in operation.match.items() if value and name in known and known[name].unique), "")


def _columns(key: str, rows: Sequence[tuple[Operation, Cells]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for _, cells in rows for name in cells if name != key))


def _cells(operation: Operation, key: str, known: Mapping[str, Column]) -> Cells | None:
    """The operation as cells by column; None where a file cannot hold it for sure."""
    matched = {name: value for name, value in operation.match.items() if value}
    cells = {"id": operation.id} if operation.id else {}
    for name, value in {**({} if operation.id else matched), **operation.values}.items():
        head, _, member = name.partition(".")
        if head not in known or member not in ("", "id"):
            return None
        cell = _cell(known[head], value)
        if cell is None:
            return None
        cells[name] = cell
    return cells if len(cells) > 1 and cells.get(key) else None


def _cell(column: Column, value: Any) -> str | None:
    """A value as a cell; '' clears. None for what may come to mean something else on its way: a backslash escapes in
    some readers of CSV, a semicolon parts the choices of a list, an instant has no form that we know to be taken, and
    a choice that the list does not have would be added to it."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    many = isinstance(value, list)
    parts = [str(part) for part in value] if many else [str(value)]
    if isinstance(value, dict) or "\\" in "".join(parts) or column.kind == "datetime":
        return None
    if many and (column.kind != "multiselectpicklist" or any(";" in part for part in parts)):
        return None
    if "picklist" in column.kind and column.options and not column.options.issuperset(parts):
        return None
    return ";".join(parts)


def split(load: Load, least: int) -> Iterator[Load]:
    """The load in files that Zoho takes; a last one of fewer than `least` rows is left out."""
    if len(load.columns) >= COLUMNS:
        return
    some: list[tuple[Operation, Cells]] = []
    size = 0
    for row in load.rows:
        length = sum(len(cell.encode()) + 3 for cell in row[1].values()) + len(load.columns)
        if some and (len(some) == MOST or size + length > LARGEST):
            yield replace(load, rows=tuple(some))
            some, size = [], 0
        some.append(row)
        size += length
    if len(some) >= least:
        yield replace(load, rows=tuple(some))


def packed(load: Load) -> bytes:
    """The file, zipped. Every cell stands in quotes, so that nothing in a value parts cells."""
    out = io.StringIO()
    lines = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    names = [load.key, *load.columns]
    lines.writerow(names)
    lines.writerows([cells.get(name, "") for name in names] for _, cells in load.rows)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", PACKING) as archive:
        archive.writestr(zipfile.ZipInfo(NAME), out.getvalue(), PACKING)
    return body.getvalue()


def asked(load: Load, module: str, file: str, fields: Sequence[Row]) -> Row:
    """The job that carries the uploaded `file` out. What is empty clears in an update alone."""
    dates = {str(field["api_name"]) for field in fields if field.get("data_type") == "date"}
    mappings: list[Row] = []
    for index, name in enumerate([load.key, *load.columns]):
        head, _, member = name.partition(".")
        more = {"find_by": "id"} if member else {"format": DATE} if name in dates else {}
        mappings.append({"api_name": head, "index": index, **more})
    resource: Row = {"type": "data", "module": {"api_name": module}, "file_id": file, "file_names": [NAME]}
    resource |= {"find_by": load.key, "field_mappings": mappings}
    return {
        "character_encoding": "UTF-8",
        "operation": load.verb,
        "ignore_empty": load.verb == "upsert",
        "resource": [resource],
    }


# out of the result


def results(body: bytes, key: str) -> list[Line]:
    """The lines of a result. Raises RetryLater where it is none."""
    try:
        with unzipped(body) as file:
            lines = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
            names = [name.strip() for name in next(lines, [])]
            if not {"STATUS", "RECORD_ID", "ERRORS"} <= set(names):
                raise csv.Error("a result without its columns")
            at = names.index(key) if key in names else 0
            return [_line(dict(zip(names, cells, strict=True)), cells[at]) for cells in lines if cells]
    except (
        zipfile.BadZipFile,
        zlib.error,
        csv.Error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeDecodeError,
        ValueError,
    ) as error:
        raise RetryLater("The result of Zoho's bulk write is broken.") from error


def _line(row: Mapping[str, str], key: str) -> Line:
    """`CODE-Column,Column:CODE-Column` are two errors."""
    errors = []
    for part in filter(None, row["ERRORS"].split(":")):
        code, _, columns = part.partition("-")
        errors.append((code.strip(), tuple(name.strip() for name in columns.split(",") if name.strip())))
    return Line(key, row["STATUS"].strip().upper(), row["RECORD_ID"].strip(), tuple(errors))
