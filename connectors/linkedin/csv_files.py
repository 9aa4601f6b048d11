"""Files that people carry between a CRM and Sales Navigator: it takes account lists and gives usage reports, as CSV.

Leads (people) can be neither uploaded nor downloaded there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.errors import RecordRejected
from connectors.linkedin.csv_cells import guarded, lines, written

ACCOUNTS = 1000
"""Accounts in one file."""
BYTES = 20 * 1024 * 1024
"""A file must be smaller."""
COLUMNS = {"Account Name": "name", "Website": "website", "Country": "country", "LinkedIn URL": "linkedin_url"}
"""The columns of an account list, and the company's fields they come from. The name is a must, the rest helps."""

Company = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class AccountLists:
    """Files to upload, which companies are in none of them (by place) and why, and how many names begin as a formula
    does and got an apostrophe in front: Sales Navigator matches by spelling, and may not know these."""

    files: Sequence[bytes]
    left_out: Mapping[int, str]
    altered: int


def account_lists(companies: Sequence[Company]) -> AccountLists:
    """The companies as account lists: comma-separated, at most 1,000 accounts and less than 20 MB each. What has no
    name, or says the same as another row, is left out."""
    left_out, rows = dict[int, str](), dict[tuple[str, ...], list[str]]()
    for number, company in enumerate(companies):
        row = [_cell(company.get(field)) for field in COLUMNS.values()]
        known = tuple(cell.casefold() for cell in row)
        if not row[0]:
            left_out[number] = "has no name, and an account list needs one"
        elif known in rows:
            left_out[number] = "says the same as another"
        elif len(_file([row])) >= BYTES:
            left_out[number] = "is too large for a file"
        else:
            rows[known] = row
    kept = list(rows.values())
    files = [file for n in range(0, len(kept), ACCOUNTS) for file in _fitting(kept[n : n + ACCOUNTS])]
    return AccountLists(files, left_out, sum(guarded(row[0]) != row[0] for row in kept))


def _fitting(rows: Sequence[Sequence[str]]) -> Iterator[bytes]:
    """One file, or where it would be too large, two halves of it."""
    file = _file(rows)
    if len(file) < BYTES:
        yield file
        return
    middle = len(rows) // 2
    yield from _fitting(rows[:middle])
    yield from _fitting(rows[middle:])


def _file(rows: Sequence[Sequence[str]]) -> bytes:
    return written(tuple(COLUMNS), rows)


def _cell(value: str | None) -> str:
    """One line; otherwise as it is, for it is matched by its spelling."""
    return " ".join((value or "").split())


def usage_report(file: bytes) -> list[dict[str, str]]:
    """The rows of a usage report by its own column names; numbers of seats, never of leads.

    RecordRejected for what is no comma-separated table, as some countries' spreadsheets save it.
    """
    told = lines(file)
    head = next((place for place, (_, row) in enumerate(told) if len([cell for cell in row if cell.strip()]) > 1), None)
    if head is None:
        raise RecordRejected(
            "This is no comma-separated usage report.",
            fix="Export it anew; do not save it by a spreadsheet that separates by semicolons.",
            code="unreadable",
        )
    names = [re.sub(r"\s+", " ", name).strip() for name in told[head][1]]
    odd = next((line for line, row in told if len(row) > len(names)), None)
    if odd is not None:
        raise RecordRejected(f"Line {odd} of the usage report has more cells than columns.", code="unreadable")
    return [dict(zip(names, row, strict=False)) for _, row in told[head + 1 :]]
