"""Which deal is a copy of which, so that no deal counts twice.

A copy bears the name of its home (`connection/object/id`, the unified field `home`), and a row of `copies` says so, one
for each copy and one for each home and place. The row is written with the answer to the create; where that was lost, by
the name that the copy bears once it is pulled. A deal that bears a name which another copy has already is not heard: it
goes to a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from connectors.api import Gone
from sync.arrivals import OUTSIDE
from sync.entries import entry, quarantine_rows
from sync.load import chunks
from sync.state.schema import OPEN_WRITES, copies, journal, quarantine, records, streams

Place = tuple[str, str, str]
"""(connection, object, id) of a deal."""

Changed = tuple[int, str, str, str]
"""(stream, id, connection, object) of a dirty row."""

_HOME = tuple_(copies.c.home_connection, copies.c.home_object, copies.c.home_record)
_RECORD = tuple_(copies.c.connection, copies.c.object, copies.c.record)


def place(name: str) -> Place | None:
    """The place that `connection/object/id` names; None where it names none."""
    parts = name.split("/", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 and all(parts) else None


def of_homes(tx: Connection, homes: Iterable[Place]) -> dict[Place, list[Place]]:
    """The copies of these deals, by home."""
    found: dict[Place, list[Place]] = defaultdict(list)
    for some in chunks(sorted(set(homes))):
        for row in tx.execute(select(copies).where(_HOME.in_(some))):
            home = (row.home_connection, row.home_object, row.home_record)
            found[home].append((row.connection, row.object, row.record))
    return found


def note(tx: Connection, copy: Place, home: Place, at: str) -> bool:
    """Write down that `copy` is one of `home`; False where that has another copy there, which still stands, and of
    which nobody said that it is none. What was refused of making it is over, on whoever's account that was to be."""
    there = (copies.c.connection == copy[0]) & (copies.c.object == copy[1])
    known = tx.execute(select(copies.c.record).where(there, _HOME.in_([home]))).scalar()
    if known == copy[2]:
        return True
    if known is not None and _stands(tx, (copy[0], copy[1], known)):
        return False
    tx.execute(copies.delete().where(there, (copies.c.record == copy[2]) | _HOME.in_([home])))
    names = ("connection", "object", "record", "home_connection", "home_object", "home_record")
    tx.execute(insert(copies), [{**dict(zip(names, (*copy, *home), strict=True)), "at": at}])
    refused = quarantine.c.state.in_(["open", "replaying"]) & (quarantine.c.record == "/".join(home))
    mine = refused & (quarantine.c.connection == copy[0]) & (quarantine.c.object == copy[1])
    tx.execute(update(quarantine).where(mine).values(state="resolved", last_at=at))
    return True


_STANDS = (
    select(records.c.body)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id == bindparam("id"), records.c.gone.is_(None))
)


def _stands(tx: Connection, where: Place) -> bool:
    body = tx.execute(_STANDS, {"of": where[0], "named": where[1], "id": where[2]}).scalar()
    return body is not None and orjson.loads(body).get("home", where) is not None


_BEARING = select(records.c.id, records.c.body, records.c.gone).where(
    records.c.stream == bindparam("of"),
    records.c.id.in_(bindparam("some", expanding=True)),
    records.c.gone.is_(None) | (records.c.gone != OUTSIDE),
    records.c.body.contains('"home":"', autoescape=True),
)


def recognise(tx: Connection, changed: Sequence[Changed], at: str) -> None:
    """Note the copies among these changed deals, by the name that each bears; a second copy is left to a person. One
    that is gone before anybody came to look at it was a copy all the same: its home is not copied there again."""
    by_stream: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for stream, id, connection, object in changed:
        by_stream[(stream, connection, object)].append(id)
    for (stream, connection, object), ids in by_stream.items():
        for some in chunks(ids):
            for id, body, gone in tx.execute(_BEARING, {"of": stream, "some": some}).all():
                home = place(str(orjson.loads(body)["home"]))
                if home is None or home[0] == connection:
                    continue
                if gone is not None:
                    _note_late(tx, (connection, object, id), _survivor(tx, home), at)
                elif not _noted(tx, (connection, object, id), home, at):
                    leave_out(tx, stream, (connection, object, id), _survivor(tx, home), at)
            _let_go(tx, stream, (connection, object), some, at)


def _note_late(tx: Connection, copy: Place, home: Place, at: str) -> None:
    """Write down that what is gone was a copy of `home`, unless it is known as one, or another is there."""
    there = (copies.c.connection == copy[0]) & (copies.c.object == copy[1])
    known = select(copies.c.record).where(there, (copies.c.record == copy[2]) | _HOME.in_([home]))
    if tx.execute(known).first() is None:
        note(tx, copy, home, at)


_KNOWN = select(copies.c.record, copies.c.home_connection, copies.c.home_object, copies.c.home_record)
_BORE = (
    select(records.c.id, records.c.body)
    .where(records.c.stream == bindparam("of"), records.c.gone.is_not(None), records.c.gone != OUTSIDE)
    .where(records.c.into.is_(None), records.c.body.contains('"home":"', autoescape=True))
    .order_by(records.c.id)
)


def _let_go(tx: Connection, stream: int, where: tuple[str, str], ids: Sequence[str], at: str) -> None:
    """Those copies that name no home any more are deals of their own where one that is gone by now named it, too: that
    one was the copy. So are those whose home lives on as another. Any other name was lost, and is given again."""
    known = tx.execute(_KNOWN.where(_RECORD.in_([(*where, id) for id in ids]))).all()
    blank = {(row[1], row[2], row[3]): row.record for row in known if _is_own(tx, (*where, row.record))}
    for merged in [home for home in blank if _survivor(tx, home) != home]:
        tx.execute(copies.delete().where(_RECORD.in_([(*where, blank.pop(merged))])))
    for id, body in tx.execute(_BORE, {"of": stream}).all() if blank else ():
        named = place(str(orjson.loads(body)["home"]))
        home = named and _survivor(tx, named)
        if home in blank:
            note(tx, (*where, id), home, at)
            del blank[home]


def _is_own(tx: Connection, where: Place) -> bool:
    """Whether this deal is there, and told to name no home."""
    body = tx.execute(_STANDS, {"of": where[0], "named": where[1], "id": where[2]}).scalar()
    return body is not None and orjson.loads(body).get("home", where) is None


def _noted(tx: Connection, copy: Place, home: Place, at: str) -> bool:
    """Whether the deal is a copy of what the home that it names lives on as, or, where that has another, of that home
    itself, which says nothing any more."""
    survivor = _survivor(tx, home)
    if survivor != home:
        _stand_in(tx, survivor, at)
    return note(tx, copy, survivor, at) or (survivor != home and note(tx, copy, home, at))


def _stand_in(tx: Connection, survivor: Place, at: str) -> None:
    """What a known deal lives on as is known, too: as gone, until a pull tells of it. So a copy of one that was deleted
    before anybody saw it is no deal of its own."""
    connection, object, id = survivor
    here = (streams.c.connection == connection) & (streams.c.object == object)
    stream = tx.execute(select(streams.c.id).where(here)).scalar()
    known = (records.c.stream == stream) & (records.c.id == id)
    if stream is not None and tx.execute(select(records.c.id).where(known)).first() is None:
        row = {"stream": stream, "id": id, "raw_hash": 0, "hash": 0, "body": "{}", "version": "", "first_at": at}
        tx.execute(insert(records), [{**row, "gone": Gone.DELETED.value, "dirty": False}])


def welcome_back(tx: Connection, changed: Sequence[Changed], at: str) -> list[Changed]:
    """The second copies beside these changed deals that are the only ones now: each is the copy from now on."""
    heard: list[Changed] = []
    for stream, connection, object in sorted({(row[0], *row[2:]) for row in changed}):
        waiting = list(tx.execute(_SECONDS, {"of": connection, "named": object}).scalars())
        for some in chunks(waiting):
            for id, body in tx.execute(_SET_ASIDE, {"of": stream, "some": some}).all():
                home = place(str(orjson.loads(body)["home"]))
                if home is not None and _noted(tx, (connection, object, id), home, at):
                    _hear(tx, stream, (connection, object, id), at)
                    heard.append((stream, id, connection, object))
    return heard


_SECONDS = select(quarantine.c.record).where(
    quarantine.c.direction == "pull",
    quarantine.c.connection == bindparam("of"),
    quarantine.c.object == bindparam("named"),
    quarantine.c.code == "second_copy",
    quarantine.c.state == "open",
)
_SET_ASIDE = select(records.c.id, records.c.body).where(
    records.c.stream == bindparam("of"),
    records.c.id.in_(bindparam("some", expanding=True)),
    records.c.gone == OUTSIDE,
)


def _hear(tx: Connection, stream: int, copy: Place, at: str) -> None:
    tx.execute(update(records).where(records.c.stream == stream, records.c.id == copy[2]).values(gone=None))
    there = (quarantine.c.connection == copy[0]) & (quarantine.c.object == copy[1])
    mine = there & (quarantine.c.record == copy[2]) & (quarantine.c.code == "second_copy")
    tx.execute(update(quarantine).where(mine).values(state="resolved", last_at=at))


def follow(tx: Connection, changed: Sequence[Changed], at: str) -> list[Changed]:
    """Where homes among these changed deals were merged into others, their copies are the others' from now on; one that
    has a copy of its own there, or is being copied there, keeps that. Returns the others, whose copies say something
    else now: whoever is in them is to be planned anew."""
    heirs: set[Place] = set()
    homes = [(connection, object, id) for _, id, connection, object in changed]
    for home, found in of_homes(tx, homes).items():
        survivor = _survivor(tx, home)
        taken = {copy[:2] for copy in of_homes(tx, [survivor]).get(survivor, ())} | _under_way(tx, survivor)
        for copy in found if survivor != home else ():
            if copy[:2] not in taken:
                _stand_in(tx, survivor, at)
                note(tx, copy, survivor, at)
                heirs.add(survivor)
    return [(0, id, connection, object) for connection, object, id in sorted(heirs)]


_MAKING = select(journal.c.connection, journal.c.object, journal.c.after).where(OPEN_WRITES, journal.c.verb == "create")


def _under_way(tx: Connection, home: Place) -> set[tuple[str, str]]:
    """Where a copy of this deal may be made, by a write of unknown fate: (connection, object)."""
    name = "/".join(home)
    return {(row[0], row[1]) for row in tx.execute(_MAKING) if orjson.loads(row[2]).get("home") == name}


_INTO = (
    select(records.c.into)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id == bindparam("id"), records.c.into.is_not(None))
)


def _survivor(tx: Connection, home: Place) -> Place:
    """The deal that `home` lives on as."""
    seen = {home}
    while into := tx.execute(_INTO, {"of": home[0], "named": home[1], "id": home[2]}).scalar():
        object, _, id = str(into).partition("/")
        home = (home[0], object, id)
        if home in seen:
            break
        seen.add(home)
    return home


def leave_out(tx: Connection, stream: int, copy: Place, home: Place, at: str) -> None:
    """Hear no more of a second copy, and tell a person of it."""
    mine = (records.c.stream == stream) & (records.c.id == copy[2])
    tx.execute(update(records).where(mine).values(gone=OUTSIDE))
    name = "/".join(home)
    told = entry(
        "",
        at,
        (*copy, "", "home"),
        code="second_copy",
        reason=f"names {name} as its home, as another deal here does already: it is not counted",
        fix="Delete one of the two there, or blank the name of the home in the one that is a deal of its own.",
        direction="pull",
    )
    quarantine_rows(tx, [told])


def kin(tx: Connection, changed: Iterable[Changed]) -> list[Changed]:
    """The copies of those of these changed deals that have any: whether they count hangs on their home.

    And the homes of those that are copies: they are set back on account of the people in the home, who may be others.
    """
    places = sorted({(connection, object, id) for _, id, connection, object in changed})
    found = [copy for those in of_homes(tx, places).values() for copy in those]
    for some in chunks(places):
        found += [(row[0], row[1], row[2]) for row in tx.execute(_HOMES_OF.where(_RECORD.in_(some)))]
    return [(0, id, connection, object) for connection, object, id in found]


_HOMES_OF = select(copies.c.home_connection, copies.c.home_object, copies.c.home_record)


def settled(tx: Connection, stream: int, made: Iterable[tuple[Place, str]], at: str) -> int:
    """Note what was made, as (copy, name of its home); how many of them turned out to be second ones."""
    seconds = 0
    for copy, name in made:
        home = place(name)
        if home is not None and not note(tx, copy, home, at):
            leave_out(tx, stream, copy, home, at)
            seconds += 1
    return seconds
