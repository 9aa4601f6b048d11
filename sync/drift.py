"""Fields that an account no longer has: frozen, so that the rest goes on.

A mapped field that vanished is neither asked for nor written, and what was known of it stays: an absent field is not a
blank one. When it is back its object is read from the beginning, for what changed meanwhile. So it is where a person
changes the mapping: a field that was not read for a while, or that takes another's place, says nothing by being blank.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from config.clock import stamp, unstamp
from config.errors import PermissionMissing, RetryLater
from config.log import Log
from connectors.api import ObjectSchema
from mappings.compiler import Mapped
from sync.arrivals import LAGS
from sync.pull import restart
from sync.state.database import upsert
from sync.state.schema import leads, meta, records, streams
from sync.timekeeping import theirs
from sync.workspace import Workspace

log = Log(__name__)

Frozen = Mapping[str, list[str]]
"""Object -> remote fields, sorted."""


_NOTES = select(meta.c.name, meta.c.value).where(
    meta.c.name.in_([bindparam("one"), bindparam("other"), bindparam("third")])
)


def compare(
    workspace: Workspace,
    connection: str,
    object: str,
    *,
    enter: Callable[[Connection], None],
    remapped: bool = False,
    first: Callable[[], None] = lambda: None,
) -> None:
    """Compare the object's mapping with the account's live fields, at most every `guards.describe_every`, and always
    where the object was `remapped` since it was read. Freezes what is gone; where a field came back the object is read
    anew. `first` is done as often, before it is noted that it was; `enter` begins every transaction, and may raise
    Fenced.
    """
    place = f"{connection}/{object}"
    now = workspace.clock.now()
    with workspace.state.read() as tx:
        names = {"one": f"described:{place}", "other": f"frozen:{place}", "third": f"read:{place}"}
        notes = dict(tx.execute(_NOTES, names).all())
    described, held = notes.get(f"described:{place}"), notes.get(f"frozen:{place}")
    if not remapped and is_known(workspace, connection, object, described, held):
        return
    mapped = workspace.compiled(connection)[object]
    others = _unread(mapped, notes.get(f"read:{place}")) if remapped else []
    before = Noted.of(held).unread(others, stamp(now))
    anew = _count_anew(workspace, connection, object, others, stamp(now))
    if remapped:  # also where the account tells nothing now: what is read next, is read by this mapping
        with workspace.state.begin() as tx:
            enter(tx)
            _keep(tx, f"anew:{place}", anew)
            _keep(tx, f"frozen:{place}", str(before))
            _keep(tx, f"read:{place}", _entries(mapped))
    gone = missing(workspace, connection, object)
    if gone is None:  # pulling will tell; what was frozen stays so
        workspace.freeze(connection, object, before.gone, before.back)
        first()
        return
    if gone != before.gone:
        log.warning("drift.frozen", connection=connection, object=object, fields=gone, before=before.gone)
    thawed = set(before.gone) - set(gone)
    noted = Noted(gone, before.back, before.at).unread(thawed, stamp(now))
    anew = _count_anew(workspace, connection, object, thawed, stamp(now))
    workspace.freeze(connection, object, noted.gone, noted.back)
    first()
    with workspace.state.begin() as tx:
        enter(tx)
        _keep(tx, f"anew:{place}", anew)
        _keep(tx, f"described:{place}", stamp(now))
        _keep(tx, f"frozen:{place}", str(noted))
        _keep(tx, f"read:{place}", _entries(mapped))
        if thawed:
            _thaw(tx, workspace, connection, object)


def _count_anew(workspace: Workspace, connection: str, object: str, fields: Iterable[str], at: str) -> str:
    """Note that these fields are back, or read by another entry, since `at`: what nothing told of since, as it was put
    away, says nothing by being blank in them when it is back. Returns the note, by the platform's clock."""
    since = dict.fromkeys(sorted(fields), theirs(workspace, connection, at))
    known = workspace.anew.get((connection, object), {})
    if since or known:
        workspace.anew[(connection, object)] = {**known, **since}
    return orjson.dumps({**known, **since}).decode() if since or known else ""


_WAYS = {"direction", "on_blank", "about"}
"""What of an entry says nothing of what a field holds."""


def _entries(mapped: Mapped) -> str:
    """What is noted of how an object is read: by which mapping, and each field's entry."""
    told = {name: entry.model_dump(mode="json", exclude=_WAYS) for name, entry in mapped.entries.items()}
    return orjson.dumps({"by": mapped.fingerprint, "entries": told}, option=orjson.OPT_SORT_KEYS).decode()


def _unread(mapped: Mapped, noted: str | None) -> list[str]:
    """The remote fields of entries that are new, or others, since the object was read as `noted`; without a note all
    may be."""
    before: dict[str, Any] = orjson.loads(noted) if noted else {"by": "", "entries": {}}
    if before["by"] == mapped.fingerprint:
        return []
    now = orjson.loads(_entries(mapped))["entries"]
    return sorted({told["remote"] for name, told in now.items() if before["entries"].get(name) != told} - {""})


@dataclass(frozen=True, slots=True)
class Noted:
    """What is noted of an object's mapped fields: those that are `gone` from the account, and those that are `back` and
    have not been read from the beginning since. The last of them came back `at` a moment of ours."""

    gone: list[str]
    back: list[str]
    at: str = ""

    @classmethod
    def of(cls, held: str | None) -> Noted:
        told = orjson.loads(held) if held else []
        return cls(told, []) if isinstance(told, list) else cls(told["gone"], told["back"], told.get("at", ""))

    def unread(self, fields: Iterable[str], at: str) -> Noted:
        """The same, where these fields were not read by the mapping as it is now, either."""
        back = sorted({*self.back, *fields} - set(self.gone))
        return Noted(self.gone, back, at if set(back) - set(self.back) else self.at)

    def __str__(self) -> str:
        if self.back:
            return orjson.dumps({"gone": self.gone, "back": self.back, "at": self.at}).decode()
        return orjson.dumps(self.gone).decode() if self.gone else ""


def is_known(workspace: Workspace, connection: str, object: str, described: str | None, held: str | None) -> bool:
    """Whether the object was described not long ago, by these two notes of it; what was frozen then stays so."""
    often = timedelta(seconds=workspace.project.guards.describe_every)
    if not described or workspace.clock.now() - unstamp(described) >= often:
        return False
    noted = Noted.of(held)
    workspace.freeze(connection, object, noted.gone, noted.back)
    return True


def recall(tx: Connection, workspace: Workspace, connections: Collection[str]) -> None:
    """Whoever begins knows what is noted of fields, before any record is read: one in doubt is looked up first."""
    noted = _all_noted(tx, connections)
    for name, value in tx.execute(_ANEW):
        connection, _, object = name.removeprefix("anew:").partition("/")
        if connection in connections:
            workspace.anew[(connection, object)] = orjson.loads(value)
            noted.setdefault((connection, object), Noted([], []))
    for name, value in tx.execute(_READ):
        connection, _, object = name.removeprefix("read:").partition("/")
        if connection in connections and (fields := _unread_by(workspace, connection, object, value)):
            noted[(connection, object)] = noted.get((connection, object), Noted([], [])).unread(fields, "")
    for (connection, object), told in noted.items():
        if object in workspace.compiled(connection):
            workspace.freeze(connection, object, told.gone, told.back)


def _unread_by(workspace: Workspace, connection: str, object: str, noted: str) -> list[str]:
    mapped = workspace.compiled(connection).get(object)
    if mapped is None or f'"by":"{mapped.fingerprint}"' in noted:  # nearly always
        return []
    return _unread(mapped, noted)


def _thaw(tx: Connection, workspace: Workspace, connection: str, object: str) -> None:
    """A field came back: the object is read from the beginning, and every lead is planned anew for it. Until it has
    been read so, a blank of that field tells nothing: it may have been made anew, and then nobody emptied it."""
    restart(tx, connection, object, workspace.compiled(connection)[object].kind)
    tx.execute(_READ_ANEW, {"of": connection, "named": object})
    tx.execute(update(leads).where(leads.c.dirty == 0, leads.c.state == "live").values(dirty=2))


_MINE = select(streams.c.id).where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
_READ_ANEW = update(records).where(records.c.stream.in_(_MINE), records.c.gone.is_(None)).values(raw_hash=0)
_UNREAD = (
    select(records.c.id)
    .where(records.c.stream.in_(_MINE), records.c.gone.is_(None), records.c.raw_hash == 0)
    .where(records.c.version > bindparam("since"))
    .limit(1)
)


def is_unread(tx: Connection, workspace: Workspace, connection: str, object: str) -> bool:
    """Whether a record has not been brought since the object is read from the beginning, because its index lags: it is
    to be told yet. No longer than an index may lag."""
    held = tx.execute(_NOTES, {"one": f"frozen:{connection}/{object}", "other": "", "third": ""}).all()
    at = Noted.of(held[0].value if held else None).at
    if not at or workspace.clock.now() > unstamp(at) + LAGS:
        return False
    told = {"of": connection, "named": object, "since": stamp(unstamp(theirs(workspace, connection, at)) - LAGS)}
    return tx.execute(_UNREAD, told).first() is not None


def missing(workspace: Workspace, connection: str, object: str) -> list[str] | None:
    """The mapped remote fields that the account has not now; None where it cannot be asked."""
    try:
        schema = workspace.connector(connection).describe(object)
    except (PermissionMissing, RetryLater) as error:
        log.warning("drift.not_described", connection=connection, object=object, error=type(error).__name__)
        return None
    return vanished(workspace.compiled(connection)[object], schema)


def read_whole(tx: Connection, workspace: Workspace, connection: str, object: str, gone: Collection[str]) -> None:
    """The object has been read from the beginning: from now on the blanks of all its fields tell something, but of
    those that are `gone` again by now: they may have been so while it was read."""
    place = f"{connection}/{object}"
    held = tx.execute(_NOTES, {"one": f"frozen:{place}", "other": "", "third": ""}).all()
    noted = Noted.of(held[0].value if held else None)
    noted = Noted(sorted({*noted.gone, *gone}), [])
    _keep(tx, f"frozen:{place}", str(noted))
    workspace.freeze(connection, object, noted.gone, [])


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


_ANEW = select(meta.c.name, meta.c.value).where(meta.c.name.like(literal_column("'anew:%'")))
_READ = select(meta.c.name, meta.c.value).where(meta.c.name.like(literal_column("'read:%'")))
_FROZEN = select(meta.c.name, meta.c.value).where(meta.c.name.like(literal_column("'frozen:%'")))


def frozen(tx: Connection, connections: Iterable[str]) -> dict[str, Frozen]:
    """What is frozen now, by connection."""
    found: dict[str, dict[str, list[str]]] = {}
    for (connection, object), noted in _all_noted(tx, connections).items():
        if noted.gone:
            found.setdefault(connection, {})[object] = noted.gone
    return dict(found)


def _all_noted(tx: Connection, connections: Iterable[str]) -> dict[tuple[str, str], Noted]:
    found, known = {}, set(connections)
    for name, value in tx.execute(_FROZEN):
        connection, _, object = name.removeprefix("frozen:").partition("/")
        if connection in known:
            found[(connection, object)] = Noted.of(value)
    return found


_FORGET = delete(meta).where(meta.c.name == bindparam("of"))


def _keep(tx: Connection, name: str, value: str) -> None:
    if value:
        tx.execute(upsert(meta, tx, update=["value"]), [{"name": name, "value": value}])
    else:
        tx.execute(_FORGET, {"of": name})
