"""Cells of files that people open in a spreadsheet: nothing that is written may be run there, nothing gets lost of it.

A spreadsheet takes a cell that begins with = + - @ (or their full-width forms), a tab or a line's end for a formula.
Such a cell gets an apostrophe in front. Reading takes the apostrophe away again, so that phone numbers (+49 ...) and
negative numbers come back as they were; a text that had one already gets another.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text of a cell that `guarded` made, or that a person wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
