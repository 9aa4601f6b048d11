"""Cells of files that people open in a spreadsheet: nothing that is written may be run there, nothing gets lost of it.

A spreadsheet takes a cell that begins with = + - @ (or their full-width forms), a tab or a line's end for a formula.
Such a cell gets an apostrophe in front, and every cell stands in quotes. Reading takes the apostrophe away again, so
that phone numbers (+49 ...) and negative numbers come back as they were; a text that had one already gets another.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from config.errors import RecordRejected

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text of a cell that `guarded` made, or that a person wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


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
