"""Which state this is and how far it has gone: the same pair in the database and in a small file beside the project.

A database restored from a backup knows nothing of what was written since: it would write it again, overwrite what came
after, bring back whoever was deleted. So the state counts an epoch, raised before the first write of each run, in the
database first and then in the file (the mark). A database behind its mark was restored; one whose id the mark does not
know is another. Neither may write before `sync.rebaseline` has read everything anew.

Invariant: no write leaves before database and mark hold an epoch under which no other run began to write. A death
between the two leaves the database ahead, which is allowed; that of another host always is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection, Integer, Text, bindparam, cast, exists, select, update

from config.errors import StateUnusable
from sync.state.database import State, upsert
from sync.state.files import replace
from sync.state.schema import meta, suppressed
from sync.state.suppression import KEY_CHECK

VARIABLE = "CLOSEDLOOP_EPOCH"
FILE = "closedloop.epoch"
FORMAT = 1
FIX = (
    "`closedloop rebaseline` reads all platforms anew, writes nothing to them, and makes questions of what this state "
    "would have decided without knowing; or put the newer state back."
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the database says of itself. `former` are the ids it had before it was taken up anew."""

    id: str
    epoch: int
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands outside the database: the state's id, the epoch of the last run that wrote, and who was forgotten
    (keyed digest -> when), with the digest that tells the key."""

    id: str
    epoch: int
    forgotten: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


class Marks(Protocol):
    """Where a mark is kept. `where` names the place for a person."""

    where: str

    def load(self) -> Mark | None: ...
    def save(self, mark: Mark) -> None: ...


class FileMarks:
    """A mark in a file: whole or not at all, on the disk when `save` returns, for its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = str(path)

    @classmethod
    def of(cls, folder: Path) -> FileMarks:
        """The project's: `closedloop.epoch` beside its files, or the file that CLOSEDLOOP_EPOCH names."""
        return cls(Path(os.environ.get(VARIABLE, "") or folder / FILE))

    def load(self) -> Mark | None:
        """The mark; None when there is none yet. Raises StateUnusable when it cannot be read."""
        try:
            told = orjson.loads(self._path.read_bytes())
            return Mark(told["state"], int(told["epoch"]), dict(told["forgotten"]), told["key"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnusable(f"{self.where} cannot be read: {error.strerror}.", fix=_WRITABLE) from error
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            fix = "Look at it. If it is worth nothing, remove it and run `closedloop rebaseline`."
            raise StateUnusable(f"{self.where} is damaged: it tells no epoch.", fix=fix) from error

    def save(self, mark: Mark) -> None:
        """Keep `mark` in place of the one before. Raises StateUnusable when that cannot be."""
        told = {
            "closedloop_epoch": FORMAT,
            "state": mark.id,
            "epoch": mark.epoch,
            "key": mark.key,
            "forgotten": dict(mark.forgotten),
        }
        try:
            replace(self._path, orjson.dumps(told, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise StateUnusable(f"{self.where} cannot be written: {error.strerror}.", fix=_WRITABLE) from error


_WRITABLE = (
    f"Make it readable and writable for this user, or name another file in {VARIABLE}: nothing is written before."
)


def _noted(name: str) -> Any:
    return select(meta.c.value).where(meta.c.name == name).scalar_subquery()


_IDENTITY = select(
    _noted("state_id").label("id"),
    _noted("epoch").label("epoch"),
    _noted("former_ids").label("former"),
    _noted(KEY_CHECK).label("key"),
    exists().select_from(suppressed).label("forgotten"),
)
"""Also under which key people were forgotten, and whether anybody was."""
_SUPPRESSED = select(suppressed.c.digest, suppressed.c.at).order_by(suppressed.c.id)


def identity(tx: Connection) -> Identity:
    """What the database says of itself."""
    return _identity(tx.execute(_IDENTITY).one())


def _identity(told: Any) -> Identity:
    return Identity(told.id or "", int(told.epoch or 0), tuple(orjson.loads(told.former)) if told.former else ())


def standing(state: State, marks: Marks) -> tuple[Mark | None, Identity]:
    """The mark and what the database says, in this order: the database only ever runs ahead of a mark."""
    mark = marks.load()
    with state.read() as tx:
        return mark, identity(tx)


def is_succeeded(mark: Mark, known: Identity) -> bool:
    """Whether the state was taken up anew from another host, which this mark has not seen."""
    return mark.id in known.former


def check(state: State, marks: Marks) -> None:
    """Raises StateUnusable (code `restored`) when this state must not write: see the top of this file."""
    mark, known = standing(state, marks)
    if mark is None or (mark.id == known.id and mark.epoch <= known.epoch):
        return
    if mark.id == known.id:
        what = f"The state was restored from a backup: it is at epoch {known.epoch}, {marks.where} at {mark.epoch}."
    elif is_succeeded(mark, known):
        what = f"The state was restored, and taken up anew from another host; {marks.where} is of before."
    else:
        what = f"The state is another one than {marks.where} knows, or was restored from before it was taken up anew."
    raise StateUnusable(f"{what} Nothing is written with it.", fix=FIX, code="restored")


_RAISED = update(meta).where(meta.c.name == bindparam("of")).values(value=cast(cast(meta.c.value, Integer) + 1, Text))


def advance(tx: Connection) -> None:
    """The next epoch begins. Of two processes at once each has one of its own."""
    tx.execute(upsert(meta, tx), [{"name": "epoch", "value": "0"}])
    tx.execute(_RAISED, {"of": "epoch"})


def remember(state: State, marks: Marks) -> None:
    """Bring the mark up to the database, as far as that has come."""
    mark: Mark | None = None
    while True:
        with state.read() as tx:
            told = tx.execute(_IDENTITY).one()
            known = _identity(told)
            if mark is not None and mark.epoch == known.epoch and mark.id == known.id:
                return
            mark = Mark(known.id, known.epoch, _forgotten(tx) if told.forgotten else {}, told.key or "")
        marks.save(mark)  # another process may have gone on meanwhile, and saved before this: look again


def _forgotten(tx: Connection) -> dict[str, str]:
    rows: Any = tx.execute(_SUPPRESSED)
    return {row.digest: row.at for row in rows}


def take_up(tx: Connection, fresh: str, mark: Mark | None) -> None:
    """From now on the state has the id `fresh`, and an epoch beyond all that is known; its former ids stay known."""
    known = identity(tx)
    former = dict.fromkeys([*known.former, known.id, *([mark.id] if mark else [])])
    epoch = max(known.epoch, mark.epoch if mark else 0) + 1
    told = {"state_id": fresh, "epoch": str(epoch), "former_ids": orjson.dumps(list(former)).decode()}
    rows = [{"name": name, "value": value} for name, value in told.items()]
    tx.execute(upsert(meta, tx, update=["value"]), rows)
