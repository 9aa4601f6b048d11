"""Looking records up in the system of record: by id, by a field, by the reference of a hand-off brief."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

from simple_salesforce.format import format_soql

from config.clock import stamp
from connectors.api import Gone, Record
from connectors.salesforce import soql
from connectors.salesforce.client import Client
from connectors.salesforce.objects import OBJECTS
from connectors.salesforce.records import columns, id18, reader

_ID = re.compile(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?")
MERGES_FOLLOWED = 5
BRIEF_WINDOW = timedelta(days=30)
REFERENCE = "Closedloop reference: "
"""The last line of a brief begins so. Task descriptions cannot be filtered by, so the tasks that we made lately are
read and compared here; 2,000 of them cost one call."""


def rows(client: Client, text: str, object: str, *, deleted: bool = False) -> list[dict[str, Any]]:
    """All rows of a query, page after page."""
    answer = client.get("queryAll" if deleted else "query", object=object, params={"q": text})
    found = list(answer["records"])
    while not answer["done"]:
        answer = client.get(answer["nextRecordsUrl"], object=object)
        found += answer["records"]
    return found


def by_key(client: Client, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
    """The records whose `key` is one of `values`, by the value asked for."""
    if key == "reference":
        return by_reference(client, object, values, fields)
    return (
        by_id(client, object, values, fields) if key.lower() == "id" else by_field(client, object, key, values, fields)
    )


def by_id(client: Client, object: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
    """By id. A merged id answers with the survivor; a converted lead with itself, gone, and the contact in `into`."""
    facts = OBJECTS[object]
    asked = {id18(id): id for id in ids if _ID.fullmatch(id)}
    found: dict[str, Record] = {}
    pending = {id: [given] for id, given in asked.items()}  # id to read -> the values it answers
    for _ in range(MERGES_FOLLOWED):
        following: dict[str, list[str]] = {}
        for record in _read(client, object, "Id", list(pending), fields, deleted=facts.bin):
            answers = pending.get(record.id, [])
            if record.gone is Gone.MERGED:
                following.setdefault(id18(record.into), []).extend(answers)
            elif record.gone is not Gone.DELETED:
                found.update(dict.fromkeys(answers, record))
        if not following:
            break
        pending = following
    return found


def by_field(client: Client, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
    """By another field, without case. Of several the oldest; a live record goes before a converted lead."""
    wanted: dict[str, list[str]] = {}
    for value in dict.fromkeys(values):
        if value:
            wanted.setdefault(value.lower(), []).append(value)
    found: dict[str, Record] = {}
    given = [those[0] for those in wanted.values()]
    texts = _texts(object, key, given, [*fields, key], order="CreatedDate, Id")
    read = reader(object, [*fields, key])
    for text in texts:
        for row in rows(client, text, object):
            named = str(row.get(key) or "").lower()
            record = read(row)
            for value in wanted.get(named, ()):
                if value not in found or (found[value].gone is not None and record.gone is None):
                    found[value] = record
    return found


def _read(
    client: Client, object: str, key: str, values: Sequence[str], fields: Sequence[str], *, deleted: bool
) -> list[Record]:
    read = reader(object, fields)
    texts = _texts(object, key, values, fields)
    return [read(row) for text in texts for row in rows(client, text, object, deleted=deleted)]


def _texts(object: str, key: str, values: Sequence[str], fields: Sequence[str], *, order: str = "") -> list[str]:
    """Queries that together ask for all `values`, each short enough for a request line."""
    head = soql.select(columns(object, fields), OBJECTS[object].sobject, "", order)
    room = max(1_000, soql.LONGEST_QUERY - len(quote_plus(head)))
    names = columns(object, fields)
    return [
        soql.select(names, OBJECTS[object].sobject, soql.member(key, chunk), order)
        for chunk in soql.chunks(key, values, room)
    ]


def by_reference(client: Client, object: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
    """The briefs that carry the references, among those that we made in the last 30 days."""
    client.sdk()
    since = soql.literal(stamp(client.surroundings.clock.now() - BRIEF_WINDOW))
    where = f"CreatedDate >= {since}"
    if client.user:
        where += " AND " + format_soql("CreatedById = {id}", id=client.user)
    names = columns(object, [*fields, "Description"])
    text = soql.select(names, OBJECTS[object].sobject, where, "CreatedDate, Id")
    read, wanted = reader(object, [*fields, "Description"]), set(values)
    found: dict[str, Record] = {}
    for row in rows(client, text, object):
        last = str(row.get("Description") or "").rstrip().rpartition("\n")[2]
        reference = last.removeprefix(REFERENCE)
        if last.startswith(REFERENCE) and reference in wanted and reference not in found:
            found[reference] = read(row)
    return found
