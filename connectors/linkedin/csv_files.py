"""Files that people carry between a CRM and Sales Navigator: it takes account lists and gives usage reports, as CSV.

Leads (people) can be neither uploaded nor downloaded.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from config.errors import RecordRejected

ACCOUNTS = 1000
"""Accounts in one file."""
BYTES = 20 * 1024 * 1024
"""A file must be smaller."""
COLUMNS = {"Account Name": "name", "Website": "website", "Country": "country", "LinkedIn URL": "linkedin_url"}
"""The columns of an account list, and the company's fields they come from. The name is a must, the rest helps."""


def account_lists(companies: Sequence[Mapping[str, str | None]]) -> list[bytes]:
    """Files to upload as account lists: comma-separated, at most 1,000 accounts and less than 20 MB each.

    A company without a name is of no use there and is left out by the caller: it is refused here, by its place.
    """
    for number, company in enumerate(companies):
        if not (company.get("name") or "").strip():
            raise RecordRejected(
                f"Company {number + 1} of {len(companies)} has no name.",
                fix="An account list needs one; leave the company out.",
                field="name",
                code="required",
            )
    return [file for n in range(0, len(companies), ACCOUNTS) for file in _fitting(companies[n : n + ACCOUNTS])]


def _fitting(companies: Sequence[Mapping[str, str | None]]) -> Iterator[bytes]:
    """One file, or where it would be too large, two halves of it."""
    file = _file(companies)
    if len(file) < BYTES or len(companies) == 1:
        yield file
        return
    middle = len(companies) // 2
    yield from _fitting(companies[:middle])
    yield from _fitting(companies[middle:])


def _file(companies: Sequence[Mapping[str, str | None]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(company.get(field)) for field in COLUMNS.values()] for company in companies)
    return text.getvalue().encode()


def _cell(value: str | None) -> str:
    """One line; otherwise as it is, for it is matched by its spelling."""
    return " ".join((value or "").split())


def usage_report(file: bytes) -> list[dict[str, str]]:
    """The rows of a usage report by its own column names; numbers of seats, never of leads.

    RecordRejected for what is no comma-separated table, as some countries' spreadsheets save it.
    """
    try:
        lines = [line for line in csv.reader(io.StringIO(_text(file))) if any(cell.strip() for cell in line)]
    except csv.Error:
        lines = []
    head = next((number for number, line in enumerate(lines) if len([cell for cell in line if cell.strip()]) > 1), None)
    if head is None:
        raise RecordRejected(
            "This is no comma-separated usage report.",
            fix="Export it anew; do not save it by a spreadsheet that separates by semicolons.",
            code="unreadable",
        )
    names = [re.sub(r"\s+", " ", name).strip() for name in lines[head]]
    odd = next((number for number, line in enumerate(lines) if len(line) > len(names)), None)
    if odd is not None:
        raise RecordRejected(f"Line {odd + 1} of the usage report has more cells than columns.", code="unreadable")
    return [dict(zip(names, line, strict=False)) for line in lines[head + 1 :]]


def _text(file: bytes) -> str:
    """UTF-16 as spreadsheets export it, or UTF-8."""
    if file.startswith((b"\xff\xfe", b"\xfe\xff")):
        return file.decode("utf-16", "replace")
    return file.decode("utf-8-sig", "replace")
