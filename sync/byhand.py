"""Records that a person brings in: read out of a file, or looked up on demand. No run pulls them."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, select, update

from config.errors import Misconfigured
from connectors.api import Record
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync.absorb import Absorbed, absorb_records
from sync.load import chunks
from sync.state.schema import leads, records, streams
from sync.streams import stream_for
from sync.workspace import Workspace


def connection_of(workspace: Workspace, platform: str, name: str = "") -> str:
    """The connection to `platform` with this name, or the only one there is."""
    mine = [one for one in workspace.connections if workspace.project.connections[one].platform == platform]
    if name in mine or (not name and len(mine) == 1):
        return name or mine[0]
    raise Misconfigured(
        f"{name} is no connection to {platform}." if name else f"There are {len(mine)} connections to {platform}.",
        fix=f"Name one of: {', '.join(mine)}." if mine else f"Connect {platform} in closedloop.yaml.",
    )


def take_in(workspace: Workspace, connection: str, object: str, arrived: Sequence[Record]) -> Absorbed:
    """Absorb the records; the next run decides what follows from them."""
    mapped = _mapped(workspace, connection, object)
    counts = Absorbed()
    for some in chunks(list(arrived)):
        with workspace.state.begin() as tx:
            stream = stream_for(tx, connection, object, mapped.kind)
            counts = counts + absorb_records(
                tx, stream, some, mapped, run="by hand", at=workspace.now(), forgotten=workspace.suppression
            )
            tx.execute(
                update(streams).where(streams.c.id == stream.id).values(complete=True, pulled_at=workspace.now())
            )
    return counts


def _mapped(workspace: Workspace, connection: str, object: str) -> Mapped:
    mapped = workspace.mapped(connection).get(object)
    if mapped is None:
        raise Misconfigured(
            f"The mapping of {connection} has no {object}.",
            fix=f"Copy the entry {object} from the platform's ready mapping.",
            connection=connection,
            object=object,
        )
    return mapped


def people_of(tx: Connection, workspace: Workspace, platform: str) -> list[str]:
    """The ids of the records of people that connections to `platform` hold."""
    mine = [one for one in workspace.connections if workspace.project.connections[one].platform == platform]
    query = (
        select(records.c.id)
        .join(streams, streams.c.id == records.c.stream)
        .where(streams.c.connection.in_(mine), streams.c.kind == Kind.LEAD.value, records.c.gone.is_(None))
        .order_by(records.c.id)
    )
    return list(dict.fromkeys(tx.execute(query).scalars()))


def companies(tx: Connection) -> dict[str, Values]:
    """The companies that connections tell, by where they are (connection/object/id)."""
    query = (
        select(streams.c.connection, streams.c.object, records.c.id, records.c.body)
        .join(streams, streams.c.id == records.c.stream)
        .where(streams.c.kind == Kind.COMPANY.value, records.c.gone.is_(None))
        .order_by(streams.c.connection, streams.c.object, records.c.id)
    )
    found = {}
    for row in tx.execute(query):
        body: Values = orjson.loads(row.body)
        found[f"{row.connection}/{row.object}/{row.id}"] = {
            **body,
            "website": body.get("website") or body.get("domain"),
        }
    return found


def people(tx: Connection) -> dict[str, Values]:
    """The live leads, by their id."""
    query = select(leads.c.id, leads.c.body).where(leads.c.state == "live").order_by(leads.c.id)
    return {row.id: orjson.loads(row.body) for row in tx.execute(query)}


def employers(tx: Connection, *, qualified: bool) -> dict[str, Values]:
    """The companies that leads (or qualified ones) name, by one of their leads."""
    found: dict[str, Values] = {}
    told: set[tuple[str, str]] = set()
    for id, body in people(tx).items():
        if (qualified and body.get("qualified") is not True) or not body.get("company"):
            continue
        name, website = str(body["company"]), str(body.get("website") or "")
        if (name.casefold(), website.casefold()) not in told:
            told.add((name.casefold(), website.casefold()))
            found[id] = {"name": name, "website": website, "country": body.get("country")}
    return found
