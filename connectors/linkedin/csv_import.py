"""Lists of people and of companies that somebody has as a file, as records: what LinkedIn gives by no interface, such
as Campaign Manager's own download of form responses, or an account list that was worked on.

Columns go by their names in small letters with underscores; LinkedIn's usual names become ours. A blank cell says
nothing. A row that cannot be a record is told by its line, and no other is touched by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
import xxhash

from config.cells import unguarded
from config.errors import RecordRejected
from connectors.api import Record
from connectors.linkedin.csv_cells import lines
from connectors.linkedin.csv_files import BYTES

LEADS, ACCOUNTS = "csv_leads", "csv_accounts"
_PLAIN = {
    LEADS: {
        "lead_id": "id", "response_id": "id", "email_address": "email", "e_mail": "email", "work_email": "email",
        "company_name": "company", "account_name": "company", "job_title": "title", "phone_number": "phone",
        "profile_url": "linkedin_url", "linkedin_profile_url": "linkedin_url", "linkedin_profile": "linkedin_url",
    },
    ACCOUNTS: {
        "account_id": "id", "account_name": "name", "company_name": "name", "company": "name", "url": "website",
        "company_website": "website", "linkedin_company_url": "linkedin_url", "linkedin_profile_url": "linkedin_url",
    },
}  # fmt: skip
"""Names that columns come with, and ours. The first column of ours counts, where a file has several."""
_NEEDS = {LEADS: ("id", "email"), ACCOUNTS: ("id", "name")}
"""Columns of which one tells a row apart."""


@dataclass(frozen=True, slots=True)
class Odd:
    """A row that was not taken: its line in the file, and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A file's records, and its rows that are none."""

    records: Sequence[Record]
    odd: Sequence[Odd]


def listed(file: bytes, object: str) -> Listed:
    """The rows of a file as records of `object`. RecordRejected for what is no such table, before any row is taken."""
    if len(file) >= BYTES:
        raise RecordRejected(
            f"The file has {len(file) // 1024 // 1024} MB.", fix="Split it: 20 MB are taken at once.", code="too_large"
        )
    told = lines(file)
    if not told:
        raise RecordRejected("The file is empty.", code="unreadable")
    columns = _columns(told[0][1], object)
    identity = _person if object == LEADS else _company
    found: dict[str, tuple[int, Record]] = {}
    odd: list[Odd] = []
    for line, row in told[1:]:
        record = _record(row, columns, identity)
        if isinstance(record, str):
            odd.append(Odd(line, record))
        elif record.id in found:
            odd.append(
                Odd(line, f"is the same {'person' if object == LEADS else 'company'} as line {found[record.id][0]}")
            )
        else:
            found[record.id] = (line, record)
    return Listed([record for _, record in found.values()], odd)


def _columns(head: Sequence[str], object: str) -> list[str]:
    """The columns by our names; "" for one without a name."""
    told = [re.sub(r"[\W_]+", "_", unguarded(name.strip()).lower()).strip("_") for name in head]
    columns = list(told)
    for place, name in enumerate(told):
        ours = _PLAIN[object].get(name, "")
        if ours and ours not in columns:
            columns[place] = ours
    twice = next((name for name in columns if name and columns.count(name) > 1), "")
    if twice:
        raise RecordRejected(f"Two columns are called {twice}.", fix="Name them apart.", code="columns")
    if not set(_NEEDS[object]) & set(columns):
        separated = " It must be separated by commas." if len(columns) == 1 else ""
        raise RecordRejected(
            f"The file has no column {' or '.join(_NEEDS[object])}.{separated}",
            fix="Its first line must hold the names of its columns.",
            code="columns",
        )
    return columns


def _record(row: Sequence[str], columns: Sequence[str], identity: Callable[[Mapping[str, str]], str]) -> Record | str:
    """The row's record, or why it is none."""
    if len(row) != len(columns):
        return f"has {len(row)} cells, and the file {len(columns)} columns"
    raw = {name: text for name, cell in zip(columns, row, strict=True) if name and (text := unguarded(cell).strip())}
    if any("\N{REPLACEMENT CHARACTER}" in text for text in raw.values()):
        return "holds letters that are neither UTF-8 nor UTF-16"
    id = identity(raw)
    return Record(id, orjson.dumps(raw)) if id else "has nothing to tell it apart by"


def _person(raw: Mapping[str, str]) -> str:
    return _id(raw.get("id", ""), raw.get("email", "").casefold())


def _company(raw: Mapping[str, str]) -> str:
    words = f"{raw['name'].casefold()}/{_host(raw.get('website', ''))}" if raw.get("name") else ""
    return _id(raw.get("id", ""), words)


def _host(website: str) -> str:
    """The host of an address; the whole of what is none."""
    try:
        return (urlsplit(website if "//" in website else f"//{website}").hostname or "").removeprefix("www.")
    except ValueError:
        return website


def _id(own: str, words: str) -> str:
    """The row's own id, or one made of what tells it apart, which is the same each time it is told."""
    made = f"csv:{xxhash.xxh3_64_hexdigest(words.encode())}" if words else ""
    return own if own.isprintable() and own else made
