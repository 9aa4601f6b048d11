"""Writes of unknown fate that gave a person's record another address, where an address is all that a platform knows
somebody by: once such a write is done, nobody is found by the old id any more.

Whoever stands under the new address is that record, with all that is known of it, unless they may be somebody else.
Looked up by the old id alone it passed for gone, and for a second record of the person when it was pulled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, select, update

from connectors.api import Record, Verb
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync import pins
from sync.core.addresses import MAIN
from sync.state.database import upsert
from sync.state.schema import identities, records
from sync.streams import StreamRow
from sync.workspace import Workspace

_THESE = select(records.c.id, records.c.lead, records.c.body).where(
    records.c.stream == bindparam("of"), records.c.id.in_(bindparam("some", expanding=True))
)

_ANOTHERS = select(identities.c.lead).where(
    identities.c.kind == bindparam("kind"),
    identities.c.value == bindparam("value"),
    identities.c.lead != bindparam("who"),
)


def look_up(
    workspace: Workspace, connection: str, object: str, mapped: Mapped, rows: Iterable[Any]
) -> dict[str, Record]:
    """Who stands under the new address of each of these rows of the journal, by the record's old id. Whoever has an id
    that outlasts addresses is somebody else. Raises what a connector raises."""
    lasting = workspace.manifest(connection).objects[object].lasting_id
    if mapped.kind is not Kind.LEAD or not lasting:
        return {}
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        key, address = _new_address(row)
        if key:
            wanted[key][address] = row.record
    found: dict[str, Record] = {}
    for key, ids in wanted.items():
        told = workspace.connector(connection).read(object, key, sorted(ids), mapped.remote_fields)
        there = {ids[value]: one for value, one in told.items() if one.gone is None and one.id != ids[value]}
        found.update({old: one for old, one in there.items() if not mapped.decode(one.raw).get(lasting)})
    return found


def _new_address(row: Any) -> tuple[str, str]:
    """The platform's name of the address that an update was to write, and the address; "" of any other write."""
    if row.verb != Verb.UPDATE or not orjson.loads(row.after).get(MAIN):
        return "", ""
    remote = orjson.loads(row.remote)
    return next(((key, str(remote["values"][key])) for key in remote["match"] if key in remote["values"]), ("", ""))


def rename(
    tx: Connection, workspace: Workspace, stream: StreamRow, mapped: Mapped, found: Mapping[str, Record]
) -> dict[str, Record]:
    """Those of `found` (by old id) that are the record which had the old id, and are known by their new one from now
    on."""
    known = {row.id: row for row in tx.execute(_THESE, _those(stream, found)).all()}
    renamed = {}
    for old, record in found.items():
        before, there = known.get(old), known.get(record.id)
        if before is None or before.lead is None or (there is not None and there.lead not in (None, before.lead)):
            continue
        told, _ = mapped.read(mapped.decode(record.raw))
        if _takes_back(mapped, orjson.loads(before.body), told) or _is_anothers(tx, workspace, stream, before, told):
            continue
        _rename(tx, workspace, stream, before, record.id)
        renamed[old] = record
    return renamed


def _those(stream: StreamRow, found: Mapping[str, Record]) -> dict[str, Any]:
    return {"of": stream.id, "some": sorted({*found, *(record.id for record in found.values())})}


def _takes_back(mapped: Mapped, body: Mapping[str, Any], told: Values) -> bool:
    """Whether a consent says less there than the record did: it may be somebody who joined by that address, while the
    record is gone, and its opt-out stands."""
    for name, options in mapped.consents.items():
        rank: dict[Any, int] = {option: number for number, option in enumerate(options)}
        if rank.get(told.get(name), -1) < rank.get(body.get(name), -1):
            return True
    return False


def _is_anothers(tx: Connection, workspace: Workspace, stream: StreamRow, before: Any, told: Values) -> bool:
    """Whether somebody else is known by that address: it may be they who joined by it, while the record is gone."""
    for kind, value in workspace.keys(stream.connection, "", told):
        if value and tx.execute(_ANOTHERS, {"kind": kind, "value": value, "who": before.lead}).first() is not None:
            return True
    return False


def _rename(tx: Connection, workspace: Workspace, stream: StreamRow, before: Any, new: str) -> None:
    of = records.c.stream == stream.id
    tx.execute(delete(records).where(of, records.c.id == new))  # as a pull told it: it is told again just now
    tx.execute(update(records).where(of, records.c.id == before.id).values(id=new, raw_hash=0))
    mine = identities.c.lead == before.lead
    for kind, value in workspace.keys(stream.connection, before.id, {}):
        tx.execute(delete(identities).where(mine, identities.c.kind == kind, identities.c.value == value))
    claims = [
        {"kind": kind, "value": value, "lead": before.lead}
        for kind, value in workspace.keys(stream.connection, new, {})
    ]
    if claims:
        tx.execute(upsert(identities, tx), claims)
    pins.move(tx, stream.id, before.id, new)
