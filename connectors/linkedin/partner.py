"""Sales Navigator's closed interfaces that bring something to keep in step: CRM data validation, profile associations.

An association is looked up by the CRM's record: there is no list of them, so nothing of them is pulled.

An export names the CRM's records whose person is no longer at the company. It is made on demand and may take two
hours, so one pull asks for it and a later one fetches it. A cursor is one of
    {"since": ms}                                    the next export starts there
    {"since": ms, "job": id}                         an export is being made
    {"since": ms, "job": id, "file": n}              its files from n on are still to be read
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from config.clock import unstamp
from config.errors import RetryLater
from connectors.api import Page, Record
from connectors.linkedin.client import Client, Row
from connectors.linkedin.pull import YEAR, State, cursor
from connectors.linkedin.restli import crm_instance

FLAG = "not at company (LinkedIn)"
ASSOCIATIONS = 50
"""Records asked for in one call; more make the address too long."""
_IDS = ("recordid", "crmrecordid", "crmid", "contactid", "id")
"""How the column of the record's id may be called; LinkedIn publishes no example."""
_TYPES = ("recordtype", "crmrecordtype", "objecttype", "type")


def validations(client: Client, instance: str, state: State) -> Iterator[Page]:
    """Flags for CRM records, one page per file; an empty one while LinkedIn is at work."""
    now = client.clock.now()
    start = _start(state.get("since"), now)
    job = str(state.get("job") or client.start_validation(instance, start))
    told = client.validation(instance, job)
    ended = told is None or str(told.get("status", "")).startswith("FAILED") or _expired(told, now.timestamp() * 1000)
    if ended:
        job = client.start_validation(instance, start)
        told = client.validation(instance, job)
    if told is None or told.get("status") != "COMPLETED":
        yield Page([], cursor({"since": start, "job": job}), False)
        return
    files = [str(address) for address in told.get("downloadUrls") or ()]
    following = {"since": int(told.get("nextExportStartAt") or start)}
    first = int(state.get("file") or 0) if not ended else 0
    for number, address in enumerate(files[first:], first + 1):
        last = number >= len(files)
        next = following if last else {"since": start, "job": job, "file": number}
        yield Page(flags(client.download(address), instance), cursor(next), not last)
    if first >= len(files):
        yield Page([], cursor(following), False)


def _start(since: Any, now: datetime) -> int:
    """Milliseconds: what the last export said, or a stamp, or a year back."""
    if isinstance(since, int):
        return since
    return round((unstamp(since) if since else now - YEAR).timestamp() * 1000)


def _expired(told: Row, now: float) -> bool:
    """Addresses of a finished export live for a short time."""
    ends = told.get("expireAt")
    return told.get("status") == "COMPLETED" and isinstance(ends, int) and ends <= now


def flags(file: bytes, instance: str) -> list[Record]:
    """The rows of an export as records; RetryLater for a table without a column that can be the record's id."""
    try:
        table = csv.DictReader(io.StringIO(file.decode("utf-8-sig", "replace")))
        names, rows = {_plain(name): name for name in table.fieldnames or ()}, list(table)
    except csv.Error:
        names, rows = {}, []
    column = next((names[name] for name in _IDS if name in names), None)
    kind = next((names[name] for name in _TYPES if name in names), "")
    if column is None and file.strip():
        raise RetryLater("LinkedIn's export has no column for the record's id.", after=3600, object="crm_flags")
    return [_flag(row, row[column], row.get(kind) or "", instance) for row in rows if column and row.get(column)]


def _flag(row: Mapping[str, Any], id: str, kind: str, instance: str) -> Record:
    raw = {**_owned(id, instance), "recordType": kind or None, "flag": FLAG}
    return Record(id, orjson.dumps(raw))


def _owned(id: str, instance: str) -> dict[str, Any]:
    """The CRM record's id, under the name by which the lead is found."""
    platform = crm_of(instance)
    owner = f"{platform}Id" if platform else "recordId"
    return {"id": id, "recordId": id, owner: id}


def crm_of(instance: str) -> str:
    """The platform that a CRM instance is of, as far as we speak with it; ''."""
    return "salesforce" if "SFDC" in instance else "hubspot" if "HUBSPOT" in instance.upper() else ""


def profiles(client: Client, instance: str, partner: str, records: Sequence[str]) -> dict[str, Record]:
    """Who on LinkedIn these records of the CRM are, where Sales Navigator is confident of it; by the CRM's record id.

    `partner` stands in for the word in a URN of the compound form. The photo that may come along is not kept.
    """
    named, id = crm_instance(instance)
    found: dict[str, Record] = {}
    for start in range(0, len(records), ASSOCIATIONS):
        told = client.associations(partner or named, id, records[start : start + ASSOCIATIONS])
        found.update({record: _profile(record, row, instance) for record, row in told.items() if record})
    return {record: found[record] for record in records if record in found}


def _profile(id: str, row: Row, instance: str) -> Record:
    raw = {**_owned(id, instance), "member": row.get("member"), "profile": row.get("profile")}
    return Record(id, orjson.dumps(raw))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
