"""Tables as files: every cell in quotes, and guarded (`config/cells.py`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from config.cells import guarded
from config.errors import RecordRejected


def written(head: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table, separated by commas, every cell guarded and in quotes."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(head)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def lines(file: bytes) -> list[tuple[int, list[str]]]:
    """The rows that hold anything, each with the line it ends on; UTF-8, or UTF-16 as spreadsheets export it.

    Letters that are neither become U+FFFD. RecordRejected, with the line, where a quote is not closed or stands wrong.
    """
    reader = csv.reader(io.StringIO(_text(file), newline=""), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise RecordRejected(
            f"The file cannot be read beyond line {reader.line_num}: {error}.",
            fix="Export it anew as comma-separated values.",
            code="unreadable",
        ) from None


def _text(file: bytes) -> str:
    if file.startswith((b"\xff\xfe", b"\xfe\xff")):
        return file.decode("utf-16", "replace")
    return file.decode("utf-8-sig", "replace")
