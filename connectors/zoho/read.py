"""Looking records up: by id, by another field, by the reference of a hand-off brief. Queries and lists read Zoho's
database; its search, whose index lags, is never asked."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from config.clock import stamp
from connectors.api import Record
from connectors.zoho import coql
from connectors.zoho.client import is_id
from connectors.zoho.members import FIELDS as MEMBER_FIELDS
from connectors.zoho.members import member_records
from connectors.zoho.objects import CONVERTED, OBJECTS, reader, wanted
from connectors.zoho.pull import Source, converted_records, rows_of, users
from connectors.zoho.roles import FIELDS, tie_records


def by_id(source: Source, object: str, values: Sequence[str]) -> dict[str, Record]:
    """By id. A converted lead answers with itself, gone, and the contact in `into`. Of a merged record nothing is
    left but the survivor's own id."""
    if object == "users":
        pages = users(source.client, source.at)
        return {record.id: record for page in pages for record in page.records if record.id in set(values)}
    client, module = source.client, OBJECTS[object].module
    if object == "contact_roles":
        deals = list(client.by_ids(module, values, [name.partition(".")[0] for name in FIELDS]))
        return {record.id: record for record in tie_records(client, deals)}
    if object == "campaign_members":
        campaigns = [value.partition("/")[0] for value in values]
        rows = list(client.by_ids(module, campaigns, MEMBER_FIELDS))
        return {record.id: record for record in member_records(client, rows, stamp(source.at)) if record.id in values}
    read = reader(object, source.fields, source.known)
    records = [read(row) for row in client.by_ids(module, values, wanted(object, source.fields))]
    found = {record.id: record for record in records}
    if object == "leads" and (missing := [id for id in values if is_id(id) and id not in found]):
        rows = list(client.by_ids(module, missing, CONVERTED, converted="true"))
        found |= {record.id: record for record in converted_records(client, rows)}
    return found


def by_field(source: Source, object: str, key: str, values: Sequence[str]) -> dict[str, Record]:
    """By another field, without case. Of several the oldest."""
    asked: dict[str, list[str]] = {}
    for value in dict.fromkeys(values):
        if value:
            asked.setdefault(value.casefold(), []).append(value)
    given = [those[0] for those in asked.values()]
    fields = [*source.fields, key] if key not in source.fields else list(source.fields)
    whole = Source(source.client, source.known, fields, source.at, source.sleep)
    read = reader(object, fields, source.known)
    found: dict[str, Record] = {}
    for start in range(0, len(given), coql.VALUES):
        where, last = coql.member(key, given[start : start + coql.VALUES]), ""
        while True:
            page = rows_of(whole, object, coql.both(where, f"id > {last}") if last else where, "id", coql.FEW)
            for row in page.rows:
                if not row.get("Converted__s"):
                    named = str(orjson.loads((record := read(row)).raw).get(key) or "").casefold()
                    found |= {value: record for value in asked.get(named, ()) if value not in found}
            if not page.more or not page.rows:
                break
            last = source.client.id_of(page.rows[-1])
    return found
