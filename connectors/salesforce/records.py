"""From the platform's rows to records: what is kept in `raw`, what tells that a row is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from connectors.api import Gone, Record
from connectors.salesforce.objects import OBJECTS, PREFIXES

Row = dict[str, Any]

_UNTOLD = ("attributes", "SystemModstamp", "IsDeleted", "MasterRecordId", "IsConverted", "ConvertedContactId")
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def id18(id: str) -> str:
    """The 18-character form of a 15-character id; anything else as it is."""
    if len(id) != 15 or not id.isalnum():
        return id
    groups = (id[start : start + 5] for start in (0, 5, 10))
    return id + "".join(_CHECK[sum(1 << n for n, c in enumerate(group) if c.isupper())] for group in groups)


def reader(object: str, wanted: Sequence[str]) -> Callable[[Row], Record]:
    """What makes a record of a row of `object`. System members stay in `raw` only where the mapping wants them."""
    asked = {name.partition(".")[0] for name in wanted}
    dropped = tuple(name for name in _UNTOLD if name not in asked or name == "attributes")
    make = _MAKERS.get(object)
    parents = any("." in name for name in wanted)

    def read(row: Row) -> Record:
        id, version = row["Id"], version_of(row.get("SystemModstamp") or "")
        gone, into = fate(row)
        for name in dropped:
            row.pop(name, None)
        if parents:
            for value in row.values():
                if isinstance(value, dict):
                    value.pop("attributes", None)
        if make is not None:
            row = make(row)
        into_object = "contacts" if gone is Gone.CONVERTED else ""
        return Record(id, orjson.dumps(row), version, gone, into, into_object)

    return read


def version_of(at: str) -> str:
    """`2026-01-02T03:04:05.000+0000` as we write instants."""
    return at[:23] + "Z" if at.endswith(("+0000", "Z")) and len(at) >= 24 else at


def fate(row: Mapping[str, Any]) -> tuple[Gone | None, str]:
    """Why a row is no live record, and where it lives on."""
    if row.get("IsDeleted"):
        master = row.get("MasterRecordId")
        return (Gone.MERGED, str(master)) if master else (Gone.DELETED, "")
    if row.get("IsConverted") and row.get("ConvertedContactId"):
        return Gone.CONVERTED, str(row["ConvertedContactId"])
    return None, ""


def _role(row: Row) -> Row:
    return {
        "from_object": "opportunities",
        "from_id": row.get("OpportunityId"),
        "to_object": "contacts",
        "to_ids": [row["ContactId"]] if row.get("ContactId") else [],
        "role": row.get("Role"),
        "primary": bool(row.get("IsPrimary")),
    }


def _person(*names: str) -> Callable[[Row], Row]:
    """Adds PersonId and PersonObject, of the first of `names` that holds a person's id."""

    def make(row: Row) -> Row:
        id = next((row[name] for name in names if row.get(name)), None)
        object = PREFIXES.get(str(id)[:3])
        return {**row, "PersonId": id if object else None, "PersonObject": object}

    return make


_MAKERS: Mapping[str, Callable[[Row], Row]] = {
    "contact_roles": _role,
    "campaign_members": _person("ContactId", "LeadId"),
    "tasks": _person("WhoId"),
    "events": _person("WhoId"),
}


def columns(object: str, fields: Sequence[str]) -> list[str]:
    """What to ask for, so that a record has `fields` and all that we need ourselves."""
    facts = OBJECTS[object]
    return [*facts.system, *facts.made_of, *(name for name in fields if name not in facts.made)]
