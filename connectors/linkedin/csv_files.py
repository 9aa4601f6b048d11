"""Files that people carry between a CRM and LinkedIn: Sales Navigator takes account lists and gives usage reports.

It takes no lists of leads (people) and gives none. What is written of people is for whoever works on it by hand, in the
columns that `csv_import` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.cells import guarded
from config.errors import RecordRejected
from connectors.linkedin.csv_cells import lines, written

ACCOUNTS = 1000
"""Accounts in one file."""
BYTES = 20 * 1024 * 1024
"""A file must be smaller."""
COLUMNS = {"Account Name": "name", "Website": "website", "Country": "country", "LinkedIn URL": "linkedin_url"}
"""The columns of an account list, and the company's fields they come from. The name is a must, the rest helps."""

PEOPLE = {
    "Email Address": "email",
    "First Name": "first_name",
    "Last Name": "last_name",
    "Job Title": "title",
    "Company Name": "company",
    "Phone Number": "phone",
    "Country": "country",
    "LinkedIn Profile URL": "linkedin_url",
}
"""The columns of a list of people, and the lead's fields they come from."""
OPTED_OUT = ("unsubscribed", "complained", "erased")

Company = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Lists:
    """Files, which rows are in none of them (by place) and why, and how many names begin as a formula does and got an
    apostrophe in front: Sales Navigator matches by spelling, and may not know these."""

    files: Sequence[bytes]
    left_out: Mapping[int, str]
    altered: int


def account_lists(companies: Sequence[Company]) -> Lists:
    """The companies as account lists: comma-separated, at most 1,000 accounts and less than 20 MB each. What has no
    name, or says the same as another row, is left out."""
    left_out, rows = dict[int, str](), dict[tuple[str, ...], Sequence[str]]()
    for number, company in enumerate(companies):
        row = [_cell(company.get(field)) for field in COLUMNS.values()]
        known = tuple(cell.casefold() for cell in row)
        if not row[0]:
            left_out[number] = "has no name, and an account list needs one"
        elif known in rows:
            left_out[number] = "says the same as another"
        elif len(written(tuple(COLUMNS), [row])) >= BYTES:
            left_out[number] = "is too large for a file"
        else:
            rows[known] = row
    kept = list(rows.values())
    files = [file for n in range(0, len(kept), ACCOUNTS) for file in _fitting(tuple(COLUMNS), kept[n : n + ACCOUNTS])]
    return Lists(files, left_out, sum(guarded(row[0]) != row[0] for row in kept))


def people_lists(people: Sequence[Mapping[str, str | None]]) -> Lists:
    """The leads as lists of people. Who has no address, or opted out of e-mail, is left out."""
    left_out, rows = dict[int, str](), list[Sequence[str]]()
    for number, person in enumerate(people):
        row = [_cell(person.get(field)) for field in PEOPLE.values()]
        if not row[0]:
            left_out[number] = "has no e-mail address"
        elif person.get("email_consent") in OPTED_OUT:
            left_out[number] = "opted out"
        elif len(written(tuple(PEOPLE), [row])) >= BYTES:
            left_out[number] = "is too large for a file"
        else:
            rows.append(row)
    return Lists(list(_fitting(tuple(PEOPLE), rows)) if rows else [], left_out, 0)


def _fitting(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[bytes]:
    """One file, or where it would be too large, two halves of it."""
    file = written(head, rows)
    if len(file) < BYTES:
        yield file
        return
    middle = len(rows) // 2
    yield from _fitting(head, rows[:middle])
    yield from _fitting(head, rows[middle:])


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
