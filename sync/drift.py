"""Fields that an account no longer has: frozen, so that the rest goes on.

A mapped field that vanished is neither asked for nor written, and what was known of it stays: an absent field is not a
blank one. When it is back its object is read from the beginning, for what changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import orjson
from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from config.clock import stamp, unstamp
from config.errors import PermissionMissing, RetryLater
from config.log import Log
from connectors.api import ObjectSchema
from mappings.compiler import Mapped
from sync.pull import restart
from sync.state.database import upsert
from sync.state.schema import leads, meta
from sync.workspace import Workspace

log = Log(__name__)

Frozen = Mapping[str, list[str]]
"""Object -> remote fields, sorted."""


_NOTES = select(meta.c.name, meta.c.value).where(meta.c.name.in_([bindparam("one"), bindparam("other")]))


def compare(workspace: Workspace, connection: str, object: str, *, first: Callable[[], None] = lambda: None) -> bool:
    """Compare the object's mapping with the account's live fields, at most every `guards.describe_every`; whether a
    field came back, so that the object is to be read anew. Freezes what is gone. `first` is done as often, before it is
    noted that it was."""
    place = f"{connection}/{object}"
    now = workspace.clock.now()
    with workspace.state.read() as tx:
        notes = dict(tx.execute(_NOTES, {"one": f"described:{place}", "other": f"frozen:{place}"}).all())
    described, held = notes.get(f"described:{place}"), notes.get(f"frozen:{place}")
    if is_known(workspace, connection, object, described, held):
        return False
    before = _fields(held)
    try:
        schema = workspace.connector(connection).describe(object)
    except (PermissionMissing, RetryLater) as error:  # pulling will tell; what was frozen stays so
        log.warning("drift.not_described", connection=connection, object=object, error=type(error).__name__)
        workspace.freeze(connection, object, before)
        first()
        return False
    gone = vanished(workspace.compiled(connection)[object], schema)
    if gone != before:
        log.warning("drift.frozen", connection=connection, object=object, fields=gone, before=before)
    workspace.freeze(connection, object, gone)
    first()
    with workspace.state.begin() as tx:
        _keep(tx, f"described:{place}", stamp(now))
        _keep(tx, f"frozen:{place}", orjson.dumps(gone).decode() if gone else "")
    return bool(set(before) - set(gone))


def is_known(workspace: Workspace, connection: str, object: str, described: str | None, held: str | None) -> bool:
    """Whether the object was described not long ago, by these two notes of it; what was frozen then stays so."""
    often = timedelta(seconds=workspace.project.guards.describe_every)
    if not described or workspace.clock.now() - unstamp(described) >= often:
        return False
    workspace.freeze(connection, object, _fields(held))
    return True


def _fields(held: str | None) -> list[str]:
    return list(orjson.loads(held)) if held else []


def thaw(workspace: Workspace, connection: str, object: str) -> None:
    """A field came back: the object is read from the beginning, and every lead is planned anew for it."""
    restart(workspace.state, connection, object, workspace.compiled(connection)[object].kind)
    with workspace.state.begin() as tx:
        tx.execute(update(leads).where(leads.c.dirty == 0, leads.c.state == "live").values(dirty=2))


def vanished(mapped: Mapped, schema: ObjectSchema) -> list[str]:
    """The mapped remote fields that the account has not. A platform that tells no fields has them all."""
    if not schema.fields:
        return []
    return sorted(
        {
            entry.remote
            for entry in mapped.entries.values()
            if entry.remote and not _there(entry.remote, schema.fields, schema.open_ended)
        }
    )


def _there(remote: str, live: Mapping[str, object], open_ended: Iterable[str]) -> bool:
    return remote in live or remote.split(".", 1)[0] in live or remote.startswith(tuple(open_ended))


_FROZEN = select(meta.c.name, meta.c.value).where(meta.c.name.like(literal_column("'frozen:%'")))


def frozen(tx: Connection, connections: Iterable[str]) -> dict[str, Frozen]:
    """What is frozen now, by connection."""
    found: dict[str, dict[str, list[str]]] = {name: {} for name in connections}
    for name, value in tx.execute(_FROZEN):
        connection, _, object = name.removeprefix("frozen:").partition("/")
        if connection in found:
            found[connection][object] = orjson.loads(value)
    return {name: objects for name, objects in found.items() if objects}


_FORGET = delete(meta).where(meta.c.name == bindparam("of"))


def _keep(tx: Connection, name: str, value: str) -> None:
    if value:
        tx.execute(upsert(meta, tx, update=["value"]), [{"name": name, "value": value}])
    else:
        tx.execute(_FORGET, {"of": name})
